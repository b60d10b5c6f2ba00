//! Where files' bytes live.

use model::OriginalsStep;
use model::originals::STORE_URL_BYTES_MAX;
use rusqlite::params;

use super::Applier;
use crate::originals;
use crate::outcome::{Refusal, Verdict};

impl Applier<'_> {
    pub(super) fn originals(&self, step: &OriginalsStep) -> rusqlite::Result<Verdict> {
        let now = originals::store(self.db)?;
        match step {
            OriginalsStep::Move { to: Some(url) } if url.len() > STORE_URL_BYTES_MAX => {
                let detail = format!("a store's URL has at most {STORE_URL_BYTES_MAX} bytes");
                return Ok(Verdict::refused(Refusal::InvalidStore, detail));
            }
            OriginalsStep::Move { to: Some(url) } => match now {
                Some(now) if now.url != *url => {
                    let detail = format!(
                        "files' bytes are still in {}: move them to the disks first, and wait until it is left",
                        now.url
                    );
                    return Ok(Verdict::refused(Refusal::InvalidStore, detail));
                }
                Some(now) if now.is_home => {}
                _ => self.put_store(url, true)?,
            },
            OriginalsStep::Move { to: None } => {
                if let Some(now) = now.filter(|now| now.is_home) {
                    self.put_store(&now.url, false)?;
                }
            }
            OriginalsStep::Left { since } => {
                if now.is_some_and(|now| !now.is_home && now.since == *since) {
                    self.db
                        .prepare_cached("DELETE FROM originals")?
                        .execute([])?;
                }
            }
        }
        Ok(Verdict::Recorded)
    }

    fn put_store(&self, url: &str, is_home: bool) -> rusqlite::Result<()> {
        let since = self.position.height.0.cast_signed();
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO originals(id, url, home, since) VALUES (1, ?1, ?2, ?3)",
            )?
            .execute(params![url, is_home, since])?;
        Ok(())
    }
}
