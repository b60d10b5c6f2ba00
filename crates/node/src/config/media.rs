//! How a node gets pictures of what it cannot decode itself.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::checker::Checker;
use super::{ConfigError, duration};

/// Where and how often decoders are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaConfig {
    /// The folders with programs, parted by `:`; `PATH` if nothing is said; empty for none.
    pub decoders: Option<String>,
    /// How often files are looked for that wait for a decoder.
    pub look_every: Duration,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            decoders: None,
            look_every: Duration::from_secs(60),
        }
    }
}

impl MediaConfig {
    /// The folders to look in.
    pub fn folders(&self) -> Vec<PathBuf> {
        let path = match &self.decoders {
            Some(folders) => folders.into(),
            None => std::env::var_os("PATH").unwrap_or_default(),
        };
        let folders = std::env::split_paths(&path);
        folders.filter(|folder| folder.is_absolute()).collect()
    }

    /// As the file says it, if it is not the usual.
    pub(super) fn to_toml(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let mut text = "\n[media]\n".to_owned();
        if let Some(folders) = &self.decoders {
            text += &format!("decoders = {}\n", super::quoted(folders));
        }
        text + &format!("look_every = \"{}s\"\n", self.look_every.as_secs())
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    decoders: Option<String>,
    look_every: Option<String>,
}

pub(super) fn read<F: Fn(&str) -> Option<String>>(
    checker: &Checker<'_, F>,
    written: Written,
) -> Result<MediaConfig, ConfigError> {
    let usual = MediaConfig::default();
    let seconds = format!("{}s", usual.look_every.as_secs());
    let every = checker.text(
        "STARLING_MEDIA_LOOK_EVERY",
        written.look_every.unwrap_or(seconds),
    );
    let look_every = duration(&every.value).filter(|time| !time.is_zero());
    let look_every = look_every.ok_or_else(|| {
        let detail = format!("is {:?}, not a time, such as 60s", every.value);
        every.wrong("media.look_every", detail)
    })?;
    Ok(MediaConfig {
        decoders: checker
            .variable("STARLING_MEDIA_DECODERS")
            .or(written.decoders),
        look_every,
    })
}
