//! Where files' bytes live.

use model::originals::STORE_URL_BYTES_MAX;
use model::{Height, OriginalsStep};
use rusqlite::params;

use super::Applier;
use crate::originals::{self, OriginalsStore};
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
                None => self.put_store(url, true, self.position.height)?,
                Some(now) if now.is_home && now.url == *url => {}
                Some(now) => return Ok(still_in(&now)),
            },
            OriginalsStep::Move { to: None } => {
                if let Some(now) = now.filter(|now| now.is_home) {
                    self.put_store(&now.url, false, now.era)?;
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

    fn put_store(&self, url: &str, is_home: bool, era: Height) -> rusqlite::Result<()> {
        let since = self.position.height.0.cast_signed();
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO originals(id, url, home, era, since)
                 VALUES (1, ?1, ?2, ?3, ?4)",
            )?
            .execute(params![url, is_home, era.0.cast_signed(), since])?;
        Ok(())
    }
}

/// A store is left for good before another one, or the same again, is moved to: what is late to leave it must not meet what
/// is brought anew.
fn still_in(store: &OriginalsStore) -> Verdict {
    let what = match store.is_home {
        true => "move them to the disks first, and wait until the store is left",
        false => "it is being left: wait until that is done",
    };
    let detail = format!("files' bytes are still in {}: {what}", store.url);
    Verdict::refused(Refusal::InvalidStore, detail)
}
