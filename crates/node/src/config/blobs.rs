//! How many copies of files' bytes there are, and how they are kept up.

use std::time::Duration;

use model::limits;
use serde::Deserialize;

use super::checker::Checker;
use super::{ConfigError, duration};

/// What copies may take of the network and the disk unless the file says otherwise.
const COPY_BYTES_PER_SECOND: u64 = 64 << 20;
/// How often a node looks whether it has all its copies, unless the file says otherwise.
const SURVEY_EVERY: Duration = Duration::from_secs(600);
/// Looking more often would be all that a node does.
const SURVEY_EVERY_MIN: Duration = Duration::from_secs(1);
/// What copies of originals that are in a store may take of the disk unless the file says otherwise.
const CACHE_BYTES: u64 = 16 << 30;

/// Copies of files' bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobsConfig {
    /// Voters that hold each blob, if that is more than three and more than one beyond those that may crash.
    pub replicas: usize,
    /// What copies that nobody waits for may take; none for no limit.
    pub copy_bytes_per_second: Option<u64>,
    /// How often this node looks at all its copies.
    pub survey_every: Duration,
    /// What copies of originals may take of this node's disk while the originals are in a store.
    pub cache_bytes: u64,
}

impl Default for BlobsConfig {
    fn default() -> Self {
        Self {
            replicas: 0,
            copy_bytes_per_second: Some(COPY_BYTES_PER_SECOND),
            survey_every: SURVEY_EVERY,
            cache_bytes: CACHE_BYTES,
        }
    }
}

impl BlobsConfig {
    /// The section of the file that says so; nothing if it says what holds anyway.
    pub(super) fn to_toml(self) -> String {
        let usual = Self::default();
        let mut text = String::new();
        if self.replicas != usual.replicas {
            text += &format!("replicas = {}\n", self.replicas);
        }
        if self.copy_bytes_per_second != usual.copy_bytes_per_second {
            let rate = self.copy_bytes_per_second.unwrap_or(0);
            text += &format!("copy_bytes_per_second = {rate}\n");
        }
        if self.survey_every != usual.survey_every {
            text += &format!("survey_every = \"{}s\"\n", self.survey_every.as_secs());
        }
        if self.cache_bytes != usual.cache_bytes {
            text += &format!("cache_bytes = {}\n", self.cache_bytes);
        }
        if text.is_empty() {
            text
        } else {
            format!("\n[blobs]\n{text}")
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBlobs {
    replicas: Option<u64>,
    copy_bytes_per_second: Option<u64>,
    survey_every: Option<String>,
    cache_bytes: Option<u64>,
}

impl<F: Fn(&str) -> Option<String>> Checker<'_, F> {
    pub(super) fn blobs(&self, written: WrittenBlobs) -> Result<BlobsConfig, ConfigError> {
        let usual = BlobsConfig::default();
        let replicas = written.replicas.unwrap_or(0);
        let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
        if replicas > limits::VOTERS_MAX {
            let detail = format!(
                "is {replicas}, more than the {} voters there can be",
                limits::VOTERS_MAX
            );
            return Err(self.wrong("blobs.replicas", detail));
        }
        let rate = match written.copy_bytes_per_second {
            None => usual.copy_bytes_per_second,
            Some(0) => None,
            Some(rate) => Some(rate),
        };
        let text = self
            .variable("STARLING_BLOBS_SURVEY_EVERY")
            .or(written.survey_every);
        let survey_every = match text {
            None => usual.survey_every,
            Some(text) => duration(&text)
                .filter(|every| *every >= SURVEY_EVERY_MIN)
                .ok_or_else(|| {
                    let detail =
                        format!("is {text:?}, not a time of 1s or more, such as 90s, 10m or 1h");
                    self.wrong("blobs.survey_every", detail)
                })?,
        };
        let cache = self.variable("STARLING_BLOBS_CACHE_BYTES");
        let cache = cache.map(|text| {
            let detail = || format!("is {text:?}, not a number of bytes");
            let parsed = text.parse();
            parsed.map_err(|_| self.wrong("blobs.cache_bytes", detail()))
        });
        let cache_bytes = cache.transpose()?.or(written.cache_bytes);
        Ok(BlobsConfig {
            replicas,
            copy_bytes_per_second: rate,
            survey_every,
            cache_bytes: cache_bytes.unwrap_or(usual.cache_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BlobsConfig, String> {
        let written: WrittenBlobs = toml::from_str(text).map_err(|error| error.to_string())?;
        let checker = Checker {
            path: "node.toml".as_ref(),
            overrides: |_: &str| None,
        };
        checker.blobs(written).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_written_is_as_usual() {
        assert_eq!(read(""), Ok(BlobsConfig::default()));
        assert_eq!(BlobsConfig::default().to_toml(), "");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = BlobsConfig {
            replicas: 5,
            copy_bytes_per_second: None,
            survey_every: Duration::from_secs(90),
            cache_bytes: 0,
        };
        let text = config.to_toml();
        let (header, section) = text.split_at("\n[blobs]\n".len());
        assert_eq!(header, "\n[blobs]\n");
        assert_eq!(read(section), Ok(config));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        for (text, key) in [
            ("replicas = 16", "blobs.replicas"),
            ("survey_every = \"0\"", "blobs.survey_every"),
            ("survey_every = \"soon\"", "blobs.survey_every"),
            ("cache_bytes = \"1G\"", "1G"),
            ("replica = 3", "replica"),
            ("copy_bytes_per_second = -1", "-1"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(key), "{error}");
        }
    }
}
