//! How long files stay in the trash.

use std::time::Duration;

use serde::Deserialize;

use super::checker::Checker;
use super::{ConfigError, duration};

/// How long a file stays in the trash before it is purged, unless the file says otherwise.
pub const TRASH_KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    keep: Option<String>,
}

pub(super) fn read<F: Fn(&str) -> Option<String>>(
    checker: &Checker<'_, F>,
    written: Written,
) -> Result<Option<Duration>, ConfigError> {
    let keep = written.keep.unwrap_or_else(|| "30d".to_owned());
    let keep = checker.text("STARLING_TRASH_KEEP", keep);
    match duration(&keep.value) {
        Some(time) => Ok(Some(time).filter(|time| !time.is_zero())),
        None => Err(keep.wrong(
            "trash.keep",
            format_args!(
                "is {:?}, neither 0 (for ever) nor a time such as 12h or 30d",
                keep.value
            ),
        )),
    }
}

/// As the file says it, if it is not the usual.
pub(super) fn written(keep: Option<Duration>) -> String {
    if keep == Some(TRASH_KEEP) {
        return String::new();
    }
    let seconds = keep.map_or(0, |keep| keep.as_secs());
    format!("\n[trash]\nkeep = \"{seconds}s\"\n")
}
