//! Does what an operation over many files is to do, one command per file.
//!
//! The node that was asked works through the files that it chose. Nobody else needs to know which these are: how far the
//! operation is stands in the ledger, file by file, and a file is taken once however often it comes. So when nothing has
//! happened for a while to an operation that is not over, other nodes go on with it, one sooner than the next, each with
//! the files that it finds missing. No node owns an operation.
//!
//! Commands go out in handfuls, and the next handful waits until the one before the last is applied: so other people's
//! writes find room in every block, and no node's catalogue falls behind.

use std::collections::BTreeMap;
use std::time::Duration;

use catalogue::Operation;
use futures::future::join_all;
use model::{BlobId, BulkStep, Digest, Height, LibraryId, NodeId, OperationId, Payload, TokenId};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{CatalogueHandle, ReplicaHandle, Request, SubmitError};

/// Commands under way at a time.
const HANDFUL: usize = 256;
/// How long a command may take, and its application.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts at what did not work.
const AGAIN: Duration = Duration::from_millis(200);
/// After so many attempts without any success the others may try.
const ATTEMPTS: u32 = 50;
/// How often a node looks for operations that nobody works on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An operation to which nothing has happened for so long is gone on with, by the first of the nodes in its order.
const ADOPT_AFTER: Duration = Duration::from_secs(3);
/// By each further one so much later.
const ADOPT_STEP: Duration = Duration::from_secs(2);
/// One of which only its client knows the rest is over after so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Gets the commands of one operation decided.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) replica: ReplicaHandle,
    pub(crate) catalogue: CatalogueHandle,
    pub(crate) operation: OperationId,
    pub(crate) library: LibraryId,
    pub(crate) actor: TokenId,
}

impl Runner {
    /// Takes all these files and says that it is over; false if that did not work, so that others go on.
    pub(crate) async fn run(self, files: Vec<BlobId>) -> bool {
        let count = files.len();
        let done = self.take_all(files).await.is_ok() && self.end().await.is_ok();
        if done {
            info!(operation = %self.operation, files = count, "an operation is over");
        } else {
            warn!(operation = %self.operation, "an operation stopped on the way; it is gone on with");
        }
        done
    }

    async fn take_all(&self, files: Vec<BlobId>) -> Result<(), SubmitError> {
        let mut before_last = Height::GENESIS;
        let mut last = Height::GENESIS;
        for handful in files.chunks(HANDFUL) {
            self.applied(before_last).await;
            before_last = last;
            last = self.take(handful).await?;
        }
        self.applied(last).await;
        Ok(())
    }

    /// Slower is better than far behind, so the time is as long as a block may take and no longer.
    async fn applied(&self, height: Height) {
        let deadline = Instant::now() + PATIENCE;
        _ = self.catalogue.applied(height, deadline).await;
    }

    /// Takes a handful, with patience; the height of the last.
    async fn take(&self, files: &[BlobId]) -> Result<Height, SubmitError> {
        let mut left = files.to_vec();
        let mut last = Height::GENESIS;
        let mut failure = SubmitError::Unknown;
        for _ in 0..ATTEMPTS {
            let taking = left.iter().map(|file| {
                let (operation, file) = (self.operation, *file);
                self.submit(BulkStep::Take { operation, file })
            });
            let answers = join_all(taking).await;
            let mut again = Vec::new();
            for (file, answer) in left.iter().zip(answers) {
                match answer {
                    Ok(height) => last = last.max(height),
                    Err(SubmitError::Stopped) => return Err(SubmitError::Stopped),
                    // One that was decided all the same does nothing the second time.
                    Err(error) => {
                        again.push(*file);
                        failure = error;
                    }
                }
            }
            if again.is_empty() {
                return Ok(last);
            }
            left = again;
            tokio::time::sleep(AGAIN).await;
        }
        Err(failure)
    }

    async fn end(&self) -> Result<(), SubmitError> {
        let operation = self.operation;
        let height = self.submit(BulkStep::End { operation }).await?;
        self.applied(height).await;
        Ok(())
    }

    async fn submit(&self, step: BulkStep) -> Result<Height, SubmitError> {
        let request = Request {
            library: self.library.clone(),
            actor: self.actor,
            key: None,
            payload: Payload::Bulk(step),
        };
        let decision = self
            .replica
            .submit(request, Instant::now() + PATIENCE)
            .await?;
        Ok(decision.position.height)
    }
}

/// Goes on with operations that nobody works on, for as long as the node runs.
pub(crate) async fn follow(replica: ReplicaHandle, catalogue: CatalogueHandle, me: NodeId) {
    let mut seen: BTreeMap<OperationId, (Option<Height>, Instant)> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let open = match catalogue.read(|reader| open_operations(reader)).await {
            Ok(open) => open,
            Err(error) => {
                warn!(%error, "operations cannot be looked at");
                continue;
            }
        };
        seen.retain(|id, _| open.iter().any(|(operation, _)| operation.id == *id));
        for (operation, progress) in open {
            let now = Instant::now();
            let entry = seen.entry(operation.id).or_insert((progress, now));
            if entry.0 != progress {
                *entry = (progress, now);
            }
            let quiet = entry.1.elapsed();
            if quiet >= patience(&replica, operation.id, me) {
                go_on(&replica, &catalogue, operation, quiet).await;
            }
        }
    }
}

type Open = Vec<(Operation, Option<Height>)>;

fn open_operations(reader: &catalogue::Reader) -> Result<Open, catalogue::ReadError> {
    let open = reader.unfinished_operations()?.into_iter();
    let with_progress = open.map(|operation| {
        let (_, last) = reader.operation_counts(operation.id)?;
        Ok((operation, last))
    });
    with_progress.collect()
}

/// How long this node leaves it to the others: the order among the nodes is another for each operation.
fn patience(replica: &ReplicaHandle, operation: OperationId, me: NodeId) -> Duration {
    let place = |node: &NodeId| Digest::of(&[operation.as_bytes(), node.as_bytes()]);
    let roster = replica.roster();
    let mine = place(&me);
    let before = roster.everybody().filter(|member| place(&member.id) < mine);
    ADOPT_AFTER + ADOPT_STEP * u32::try_from(before.count()).unwrap_or(u32::MAX)
}

async fn go_on(
    replica: &ReplicaHandle,
    catalogue: &CatalogueHandle,
    operation: Operation,
    quiet: Duration,
) {
    let runner = Runner {
        replica: replica.clone(),
        catalogue: catalogue.clone(),
        operation: operation.id,
        library: operation.library.clone(),
        actor: operation.actor,
    };
    let rest = catalogue.read(move |reader| reader.operation_rest(&operation));
    let files = match rest.await {
        Ok(Some(files)) => files,
        Ok(None) if quiet < GIVE_UP_AFTER => return,
        Ok(None) => Vec::new(),
        Err(error) => {
            warn!(%error, operation = %runner.operation, "what is left of an operation cannot be told");
            return;
        }
    };
    info!(operation = %runner.operation, files = files.len(), "going on with an operation");
    runner.run(files).await;
}
