//! The certificate for HTTPS, taken anew when its files change.
//!
//! Whoever renews it (`starling cluster certificate`, an ACME client) puts new files in place; connections made from the
//! next look on are served with them, those that are open go on. Files that cannot be used change nothing: between two
//! writes certificate and key do not go together, and the next look finds out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};

use crate::config::TlsConfig;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Why HTTPS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("reading {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} holds no {what} in PEM")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What the parser says.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// Key and certificate do not go together, or are of an unknown kind.
    #[error("the certificate in {path} cannot be used")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
}

/// What says that a file has been replaced: when it was last written, and how long it is.
type Stamp = Option<(SystemTime, u64)>;

/// A certificate with its key, in use.
#[derive(Debug)]
pub struct Certificate {
    files: TlsConfig,
    /// Of the files whose content was last tried, or is in use.
    stamps: RwLock<[Stamp; 2]>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// If a file is missing, is not PEM, or the two do not go together.
    pub fn load(files: &TlsConfig) -> Result<Arc<Self>, TlsError> {
        // Before what they hold: if it changes in between, it is read again.
        let stamps = stamps(files);
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(load(files)?)),
            stamps: RwLock::new(stamps),
            files: files.clone(),
        }))
    }

    /// What connections are encrypted with.
    ///
    /// # Errors
    /// If the provider offers no version of TLS that is usual.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let resolver: Arc<dyn ResolvesServerCert> = self.clone();
        let mut tls = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Unusable {
                path: self.files.certificate.clone(),
                source,
            })?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(tls))
    }

    /// Looks at the files again and again.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || this.look()).await;
            match looked {
                Ok(Ok(true)) => info!("HTTPS has a new certificate"),
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(
                        error,
                        "the new certificate for HTTPS cannot be used; the old one stays"
                    );
                }
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }

    /// Takes the files anew if they have changed since they were last tried. Whether it did.
    pub(crate) fn look(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.files);
        if *self.stamps.read().expect(LOCK) == now {
            return Ok(false);
        }
        *self.stamps.write().expect(LOCK) = now;
        let loaded = Arc::new(load(&self.files)?);
        *self.current.write().expect(LOCK) = loaded;
        Ok(true)
    }
}

const LOCK: &str = "nothing panics while it holds this lock";

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().expect(LOCK).clone())
    }
}

fn stamps(files: &TlsConfig) -> [Stamp; 2] {
    [&files.certificate, &files.key].map(|path| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn load(files: &TlsConfig) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let pem = read(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|source| TlsError::Pem {
        path: files.key.clone(),
        what: "private key",
        source,
    })?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Unusable {
        path: files.certificate.clone(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let fault = |source| TlsError::Pem {
        path: path.to_owned(),
        what: "certificate",
        source,
    };
    let chain = chain.map_err(fault)?;
    if chain.is_empty() {
        return Err(fault(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::create_ca;

    /// Puts a certificate in place and gives its key.
    fn write(files: &TlsConfig, name: &str) -> Vec<u8> {
        let ca = create_ca(model::ChainId([1; 16])).unwrap();
        let made = ca.issue_https(&[name.to_owned()]).unwrap();
        fs::write(&files.certificate, &made.certificate_pem).unwrap();
        fs::write(&files.key, &made.key_pem).unwrap();
        made.key_pem.into_bytes()
    }

    fn in_use(certificate: &Certificate) -> Vec<u8> {
        let current = certificate.current.read().unwrap();
        current.end_entity_cert().unwrap().to_vec()
    }

    #[test]
    fn new_files_are_taken_and_bad_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsConfig {
            certificate: folder.path().join("https.pem"),
            key: folder.path().join("https-key.pem"),
        };
        write(&files, "one.example.org");
        let certificate = Certificate::load(&files).unwrap();
        let first = in_use(&certificate);
        assert!(!certificate.look().unwrap(), "nothing has changed");

        // Half of a renewal, then all of it.
        let old_key = fs::read(&files.key).unwrap();
        let key = write(&files, "two.example.org");
        fs::write(&files.key, [&old_key[..], b"\n"].concat()).unwrap();
        assert!(certificate.look().is_err());
        assert_eq!(in_use(&certificate), first);
        assert!(
            !certificate.look().unwrap(),
            "it is not tried again and again"
        );
        fs::write(&files.key, [&key[..], b"\n\n"].concat()).unwrap();
        assert!(certificate.look().unwrap());
        assert_ne!(in_use(&certificate), first);

        fs::remove_file(&files.certificate).unwrap();
        assert!(certificate.look().is_err());
        assert!(certificate.server_config().is_ok());
    }
}
