//! Bytes of an upload on their way to being safe.
//!
//! They are cut into parts. A part is a blob: hashed, flushed, and on as many nodes as must hold it before the ledger
//! says that it has arrived. So an upload can go on at any node, and no node that dies takes back what a client was told.
//!
//! The work is done by a task of its own. When a connection breaks, the server forgets the request in the middle of its
//! handler; what has come by then is kept all the same. A client that comes back while its old connection hangs takes the
//! upload over: the old task stops at what it has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use catalogue::Outcome;
use model::{BlobId, Payload, UploadId, UploadStep};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::super::call::Call;
use super::super::holdings::Incoming;
use super::super::problem::Problem;
use super::super::{body, files};
use super::protocol::Checksum;

/// A part: large enough that saying so in the ledger costs little, small enough that a cut loses little time.
const PART_BYTES: u64 = 8 << 20;
/// Chunks of a body that wait for the disk.
const CHUNKS: usize = 8;

/// The uploads that bytes come in for.
#[derive(Default)]
pub(crate) struct Intakes(Mutex<HashMap<UploadId, Lane>>);

/// Who may add to one upload on this node.
#[derive(Clone, Default)]
struct Lane {
    turn: Arc<tokio::sync::Mutex<()>>,
    stop: CancellationToken,
}

/// The only one on this node to add to an upload.
pub(super) struct Turn {
    _guard: OwnedMutexGuard<()>,
    stop: CancellationToken,
}

impl Intakes {
    /// Stops whoever adds to the upload, and takes the place.
    pub(super) async fn take_over(&self, upload: UploadId) -> Turn {
        let stop = CancellationToken::new();
        let turn = {
            let mut lanes = self
                .0
                .lock()
                .expect("nothing panics while it holds the lanes");
            // Nobody holds a lane that only the map knows.
            lanes.retain(|_, lane| Arc::strong_count(&lane.turn) > 1);
            let lane = lanes.entry(upload).or_default();
            std::mem::replace(&mut lane.stop, stop.clone()).cancel();
            Arc::clone(&lane.turn)
        };
        Turn {
            _guard: turn.lock_owned().await,
            stop,
        }
    }
}

/// What is being added to.
pub(super) struct Intake {
    pub(super) call: Arc<Call>,
    pub(super) upload: UploadId,
    /// What has arrived.
    pub(super) offset: u64,
    /// How many bytes the upload has.
    pub(super) size: u64,
    pub(super) turn: Turn,
}

/// A part on this node's disk.
struct Piece {
    blob: BlobId,
    size: u64,
}

impl Intake {
    /// Takes a request's body and says how much of the upload has arrived then. Fails if the body ended early, after
    /// what came was kept; with a checksum everything is kept or nothing.
    pub(super) async fn run(
        self,
        mut bytes: Body,
        checksum: Option<Checksum>,
    ) -> Result<u64, Problem> {
        let (chunks, incoming) = mpsc::channel(CHUNKS);
        let room = self.size - self.offset;
        let working = tokio::spawn(self.work(incoming, checksum));
        let sent = forward(&mut bytes, &chunks, room).await;
        if sent.is_err() {
            // Only a whole body has a checksum that can be right.
            let _ = chunks.send(Err(())).await;
        }
        drop(chunks);
        let worked = working.await;
        let worked = worked.map_err(|error| Problem::internal("taking an upload", &error))?;
        sent.and(worked)
    }

    async fn work(
        mut self,
        mut chunks: mpsc::Receiver<Result<Bytes, ()>>,
        checksum: Option<Checksum>,
    ) -> Result<u64, Problem> {
        let mut sums = checksum;
        let checked = sums.is_some();
        let mut held_back = Vec::new();
        let mut whole = false;
        while !whole {
            let (piece, ended) = self.piece(&mut chunks, &mut sums).await?;
            whole = ended.is_some();
            if ended == Some(End::Broken) && checked {
                return Ok(self.offset);
            }
            match piece {
                Some(piece) if checked => held_back.push(piece),
                Some(piece) => self.arrived(piece).await?,
                None => {}
            }
        }
        if let Some(sums) = sums {
            sums.check()?;
        }
        for piece in held_back {
            self.arrived(piece).await?;
        }
        Ok(self.offset)
    }

    /// The next part, safe on enough nodes; and how the body ended, if it did.
    async fn piece(
        &self,
        chunks: &mut mpsc::Receiver<Result<Bytes, ()>>,
        checksum: &mut Option<Checksum>,
    ) -> Result<(Option<Piece>, Option<End>), Problem> {
        let holdings = &self.call.api.holdings;
        let mut incoming: Option<Incoming> = None;
        let mut size = 0;
        let mut ended = None;
        while size < PART_BYTES {
            let chunk = tokio::select! {
                biased;
                () = self.turn.stop.cancelled() => Some(Err(())),
                chunk = chunks.recv() => chunk,
            };
            match chunk {
                Some(Ok(chunk)) => {
                    if let Some(checksum) = checksum {
                        checksum.update(&chunk);
                    }
                    size += chunk.len() as u64;
                    let incoming = incoming.get_or_insert_with(|| holdings.begin(self.size));
                    incoming.write(&chunk).await?;
                }
                Some(Err(())) => ended = Some(End::Broken),
                None => ended = Some(End::Whole),
            }
            if ended.is_some() {
                break;
            }
        }
        let Some(incoming) = incoming else {
            return Ok((None, ended));
        };
        let staged = incoming.finish().await?;
        let blob = staged.id();
        if let Err(problem) = holdings.keep(staged).await {
            return Err(self.call.api.explain(problem).await);
        }
        Ok((Some(Piece { blob, size }), ended))
    }

    /// Has the ledger say that a part has arrived.
    async fn arrived(&mut self, piece: Piece) -> Result<(), Problem> {
        let step = UploadStep::Part {
            upload: self.upload,
            offset: self.offset,
            size: piece.size,
            blob: piece.blob,
        };
        match self.call.apply_unkeyed(Payload::Upload(step)).await? {
            Outcome::UploadStands {
                arrived,
                grown: true,
            } => {
                self.offset = arrived;
                Ok(())
            }
            Outcome::UploadStands { arrived, .. } => Err(super::elsewhere(arrived)),
            other => Err(files::declined(other)),
        }
    }
}

/// Hands a body on, chunk by chunk, as long as somebody takes it. Bytes behind the upload's end are refused.
async fn forward(
    bytes: &mut Body,
    chunks: &mpsc::Sender<Result<Bytes, ()>>,
    mut room: u64,
) -> Result<(), Problem> {
    while let Some(chunk) = body::next_chunk(bytes).await? {
        room = room
            .checked_sub(chunk.len() as u64)
            .ok_or_else(super::too_much)?;
        // The task ends early if it cannot go on, and then says why itself.
        if chunks.send(Ok(chunk)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As it should.
    Whole,
    /// The connection broke, or the upload was taken over.
    Broken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_later_stops_who_came_first() {
        let intakes = Intakes::default();
        let upload = UploadId([7; 16]);
        let first = intakes.take_over(upload).await;
        let mut second = Box::pin(intakes.take_over(upload));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(first.stop.is_cancelled());
        drop(first);
        let second = second.await;
        assert!(!second.stop.is_cancelled());
        drop(second);
        let other = intakes.take_over(UploadId([8; 16])).await;
        assert_eq!(intakes.0.lock().unwrap().len(), 1);
        drop(other);
    }
}
