//! From a URL to a store.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use super::{Patience, Store};

/// The bounds of a whole call are the store's business: they go with the length of the object.
const TIMEOUTS: [(ClientConfigKey, &str); 2] = [
    (ClientConfigKey::Timeout, "3 hours"),
    (ClientConfigKey::ConnectTimeout, "10 seconds"),
];

/// Why a URL names no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is no URL.
    #[error(
        "{url:?} is no URL: a store is file:///folder, az://container/prefix, s3://bucket/prefix or gs://bucket/prefix"
    )]
    Malformed {
        /// What was given.
        url: String,
    },
    /// It is of a kind that is not known.
    #[error(
        "a store cannot be at a {scheme}: URL: use file:///folder, az://container/prefix, s3://bucket/prefix or \
         gs://bucket/prefix"
    )]
    Scheme {
        /// Its scheme.
        scheme: String,
    },
    /// It has a part in which credentials are found.
    #[error(
        "the URL of a store has no user, password, query or fragment: credentials come from the environment \
         (AZURE_…, AWS_…, GOOGLE_…)"
    )]
    Credentials,
    /// The environment lacks something, or has something that cannot be used.
    #[error("the store {url} cannot be set up: {what}")]
    Settings {
        /// Which.
        url: String,
        /// What is wrong.
        what: String,
    },
}

pub(super) fn open(text: &str, settings: &[(&str, &str)]) -> Result<Store, OpenError> {
    let Ok(url) = Url::parse(text) else {
        // Whatever it is, it may hold a secret.
        let shown = text.split(['@', '?', '#']).next().unwrap_or_default();
        return Err(OpenError::Malformed {
            url: shown.to_owned(),
        });
    };
    let user = !url.username().is_empty() && !matches!(url.scheme(), "abfs" | "abfss");
    if user || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(OpenError::Credentials);
    }
    let place = url.as_str().trim_end_matches('/').into();
    let patience = Patience::default();
    if url.scheme() == "file" {
        let (root, prefix) = folder(&url)?;
        return Ok(Store {
            objects: Arc::new(LocalFileSystem::new().with_fsync(true)),
            prefix,
            root: Some(root.into()),
            place,
            patience,
        });
    }
    Ok(Store {
        objects: bucket(&url, settings)?,
        prefix: Path::from_url_path(url.path()).map_err(|error| unusable(&url, &error.into()))?,
        root: None,
        place,
        patience,
    })
}

fn bucket(url: &Url, settings: &[(&str, &str)]) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let opened = match url.scheme() {
        "s3" | "s3a" => s3(url, settings),
        "az" | "azure" | "abfs" | "abfss" => azure(url, settings),
        "gs" => google(url, settings),
        scheme => {
            let scheme = scheme.to_owned();
            return Err(OpenError::Scheme { scheme });
        }
    };
    opened.map_err(|error| unusable(url, &error))
}

fn unusable(url: &Url, error: &object_store::Error) -> OpenError {
    OpenError::Settings {
        url: url.to_string(),
        what: error.to_string(),
    }
}

/// Whether the folder exists is asked whenever it is used: a share may be mounted later.
fn folder(url: &Url) -> Result<(PathBuf, Path), OpenError> {
    let path = url.to_file_path().map_err(|()| OpenError::Malformed {
        url: url.to_string(),
    })?;
    let prefix = Path::from_absolute_path(&path);
    let prefix = prefix.map_err(|error| unusable(url, &error.into()))?;
    Ok((path, prefix))
}

/// Trying again is this crate's business: it knows how long is too long.
fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

fn s3(url: &Url, settings: &[(&str, &str)]) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::from_env()
        .with_url(url.as_str())
        .with_retry(no_retries());
    for (name, value) in TIMEOUTS {
        builder = builder.with_config(AmazonS3ConfigKey::Client(name), value);
    }
    for (name, value) in settings {
        builder = builder.with_config(name.parse()?, *value);
    }
    Ok(Arc::new(builder.build()?))
}

fn azure(url: &Url, settings: &[(&str, &str)]) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_url(url.as_str())
        .with_retry(no_retries());
    for (name, value) in TIMEOUTS {
        builder = builder.with_config(AzureConfigKey::Client(name), value);
    }
    for (name, value) in settings {
        builder = builder.with_config(name.parse()?, *value);
    }
    Ok(Arc::new(builder.build()?))
}

fn google(url: &Url, settings: &[(&str, &str)]) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_url(url.as_str())
        .with_retry(no_retries());
    for (name, value) in TIMEOUTS {
        builder = builder.with_config(GoogleConfigKey::Client(name), value);
    }
    for (name, value) in settings {
        builder = builder.with_config(name.parse()?, *value);
    }
    Ok(Arc::new(builder.build()?))
}
