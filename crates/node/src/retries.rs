//! Files whose picture nobody could decode are tried again on a node that has the decoder.
//!
//! The catalogue knows which files wait for what. A node that finds the program, because it was installed later or always
//! had it while others took the uploads, looks at them and says in the ledger what it saw. Where several nodes have the
//! program, those whom placement names later leave the file to the others for some rounds; if two do it all the same, the
//! first to say so is believed.

use std::collections::BTreeMap;
use std::time::Duration;

use blobs::Verdict;
use catalogue::Waiting;
use model::{BlobId, MediaStep, NodeId, Payload};
use replica::NODE_ITSELF;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::copies::Copies;
use crate::pictures::Pictures;
use crate::{CatalogueHandle, ReplicaHandle, Request};

/// Files looked at in one round.
const BATCH: u32 = 64;
/// A node that placement does not name leaves a file to others for so many rounds.
const ROUNDS_MAX: usize = 16;
/// How long a decision may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The decoders that files may wait for.
const DECODERS: [&str; 2] = ["libheif", "ffmpeg"];

/// The task.
pub(crate) struct Retries {
    pub(crate) me: NodeId,
    pub(crate) pictures: Pictures,
    pub(crate) copies: Copies,
    pub(crate) catalogue: CatalogueHandle,
    pub(crate) replica: ReplicaHandle,
    pub(crate) store: blobs::Store,
    pub(crate) every: Duration,
}

impl Retries {
    /// Looks again and again.
    pub(crate) async fn run(self) {
        let mut left = DECODERS.map(|needs| (needs, BTreeMap::new()));
        loop {
            tokio::time::sleep(self.every).await;
            for (needs, left) in &mut left {
                if self.pictures.can(needs) {
                    let before = std::mem::take(left);
                    *left = self.round(needs, &before).await;
                }
            }
        }
    }

    /// Goes over all files that wait for one decoder. Tells in how many rounds in a row each was left to others.
    async fn round(
        &self,
        needs: &'static str,
        before: &BTreeMap<BlobId, usize>,
    ) -> BTreeMap<BlobId, usize> {
        let mut left = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self
                .catalogue
                .read(move |rows| rows.waiting(needs, after, BATCH))
                .await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    debug!(%error, "asking for files that wait for a decoder");
                    return left;
                }
            };
            for waiting in &page {
                let rounds = before.get(&waiting.file).copied().unwrap_or(0);
                let rank = self.copies.placement().ranking(waiting.file);
                let rank = rank.iter().position(|node| *node == self.me);
                if rounds < rank.unwrap_or(usize::MAX).min(ROUNDS_MAX) {
                    left.insert(waiting.file, rounds + 1);
                    continue;
                }
                self.try_again(waiting).await;
            }
            match page.last() {
                Some(last) if page.len() == BATCH as usize => after = Some(last.file),
                _ => return left,
            }
        }
    }

    async fn try_again(&self, waiting: &Waiting) {
        let file = waiting.file;
        let here = self.store.has(file).unwrap_or(false);
        if !here && let Err(error) = self.copies.fetch(file, async || false).await {
            return debug!(%file, %error, "a file that waits for a decoder is not here");
        }
        let look = match self.pictures.look(file).await {
            Ok(Some(look)) => look,
            Ok(None) => return,
            Err(error) => return debug!(%file, %error, "looking at a file again"),
        };
        if look.broken.is_some() && !self.is_sound(file).await {
            return debug!(%file, "the bytes here are damaged, not the file");
        }
        info!(%file, needs = waiting.needs, broken = look.broken, "looked at a file again");
        let request = Request {
            library: waiting.library.clone(),
            actor: NODE_ITSELF,
            key: None,
            payload: Payload::Media(MediaStep::Look { file, look }),
        };
        let deadline = Instant::now() + PATIENCE;
        match self.replica.submit(request, deadline).await {
            // Until that is applied the file would seem to wait still.
            Ok(decision) => {
                let applied = self.catalogue.applied(decision.position.height, deadline);
                _ = applied.await;
            }
            Err(error) => debug!(%file, %error, "saying what was seen"),
        }
    }

    async fn is_sound(&self, file: BlobId) -> bool {
        let store = self.store.clone();
        let verified = tokio::task::spawn_blocking(move || store.verify(file)).await;
        matches!(verified, Ok(Ok(Verdict::Sound)))
    }
}
