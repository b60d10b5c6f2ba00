//! The thread that seals decided blocks and lets go of the log behind them, erases what was purged from both, and makes
//! snapshots.
//!
//! It works on a reader alone, beside the replica: what it does is a matter of room and of the time that a start takes,
//! never of what is decided. So it goes slowly, and a failure is logged and tried again.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::{Bounds, Reader, SealError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::eraser::Eraser;
use crate::peer::chain_of_causes;
use crate::snapshots::maker::Maker;

/// Between two looks at whether there is something to seal.
const PAUSE: Duration = Duration::from_secs(5);
/// Between two segments, where many wait to be made.
const BREATH: Duration = Duration::from_millis(500);
/// How often it looks for something to erase.
const LOOK: Duration = Duration::from_millis(200);
/// Behind a failure.
const RETRY: Duration = Duration::from_secs(60);

/// The running thread. Dropped, it stops behind the segment that it is making, and waits for nobody else: who drops it may
/// be the runtime's only thread, without which no answer comes.
pub(crate) struct Sealer {
    closing: CancellationToken,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    /// Starts it. `closing` ends what its parts wait for.
    pub(crate) fn start(
        reader: Reader,
        bounds: Bounds,
        mut eraser: Eraser,
        mut maker: Maker,
        closing: CancellationToken,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let run = move || {
            let mut next = Instant::now() + BREATH;
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                // In this order: what the one has yet to read keeps the catalogue's journal from being emptied.
                maker.step();
                eraser.step();
                if Instant::now() < next {
                    continue;
                }
                let pause = step(&reader, &bounds).unwrap_or_else(|error| {
                    warn!(
                        error = chain_of_causes(&error),
                        "sealing the ledger failed; it is tried again"
                    );
                    RETRY
                });
                next = Instant::now() + pause;
            }
        };
        let thread = std::thread::Builder::new()
            .name("sealer".to_owned())
            .spawn(run)?;
        Ok(Self {
            closing,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.closing.cancel();
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by the thread.
            let _ = thread.join();
        }
    }
}

/// Makes one segment at most; how long to wait before the next.
fn step(reader: &Reader, bounds: &Bounds) -> Result<Duration, SealError> {
    let Some(segment) = ledger::seal(reader, bounds)? else {
        return Ok(PAUSE);
    };
    info!(%segment, blocks = segment.blocks(), "sealed a stretch of the ledger");
    for file in ledger::retire(reader)? {
        info!(%file, "the log lets go of a file whose blocks are sealed");
    }
    Ok(BREATH)
}
