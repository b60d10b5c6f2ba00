//! How much of the chain a start reads.
//!
//! The core state remembers a request for one window, so its blocks of the last window are what it is made of. But what
//! a command in one of them *is* may rest on an earlier block: the second of two equal requests is a duplicate only to
//! who knows the first, and whether the first counted may rest on one before that. So a start begins two windows back,
//! with an empty state, and keeps in mind which requests it may be wrong about: those it meets in its first window, since
//! they may have been decided before it began, and whenever one of these comes again within a window. Unless one of them
//! comes where it matters, the state is the one that the whole chain gives. If one does, the start begins further back;
//! at genesis there is nothing to doubt.
//!
//! Who knows the state at some height from a snapshot begins there, if that is less to read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use ledger::{ReadError, Reader};
use model::{Decided, Digest, Height, Timestamp, limits};

use crate::core_state::CoreState;
use crate::input::AppliedBlock;
use crate::replica::{applied, apply};

/// What comes of a replay that began too late.
#[derive(Debug)]
struct TooLate {
    /// The first height that is still to be shown.
    wanted: Height,
}

/// Shows every decided block from `wanted` on, once and in order, with what became of its commands, until `show` has
/// seen enough or the tip of the moment is reached. It works beside the replica, on any thread.
///
/// # Errors
/// If a block that it needs cannot be read.
pub fn replay(
    reader: &Reader,
    wanted: Height,
    show: impl FnMut(&Arc<AppliedBlock>) -> ControlFlow<()>,
) -> Result<CoreState, ReadError> {
    replay_knowing(reader, None, wanted, show)
}

/// The same, where the state is known at some height already.
///
/// # Errors
/// As [`replay`].
pub fn replay_knowing(
    reader: &Reader,
    known: Option<Known>,
    wanted: Height,
    show: impl FnMut(&Arc<AppliedBlock>) -> ControlFlow<()>,
) -> Result<CoreState, ReadError> {
    let (top, _) = reader.tip();
    replay_to(reader, known, (wanted, top), u64::MAX, show)
}

/// The state right behind the block of a height, from what is known at one below, if it is, and the blocks.
///
/// # Errors
/// If a block that it needs cannot be read.
pub fn core_at(
    reader: &Reader,
    known: Option<Known>,
    height: Height,
) -> Result<CoreState, ReadError> {
    let range = (height.next(), height);
    replay_to(
        reader,
        known,
        range,
        height.0,
        |_| ControlFlow::Continue(()),
    )
}

/// The state at a height.
#[derive(Debug, Clone)]
pub struct Known {
    /// Behind which block.
    pub height: Height,
    /// What it is.
    pub core: CoreState,
}

/// Reads no block above `last`.
fn replay_to(
    reader: &Reader,
    known: Option<Known>,
    (mut wanted, top): (Height, Height),
    last: u64,
    mut show: impl FnMut(&Arc<AppliedBlock>) -> ControlFlow<()>,
) -> Result<CoreState, ReadError> {
    let blocks = |from: Height| {
        let count = last.saturating_sub(from.0).saturating_add(1);
        reader
            .blocks(from)
            .take(usize::try_from(count).unwrap_or(usize::MAX))
    };
    let mut back = limits::KEYED_WINDOW;
    let mut begin = Beginning::new(reader, (wanted, top), back)?;
    let of_use = |known: &Known| (begin.from..wanted).contains(&known.height);
    if let Some(known) = known.filter(|known| known.height <= top).filter(of_use) {
        let from = known.height.next();
        let sure = go_over(
            blocks(from),
            known.core,
            None,
            (wanted, Timestamp(0)),
            &mut show,
        )?;
        return Ok(sure.expect("there is no doubt behind a known state"));
    }
    loop {
        match begin.over(blocks(begin.from), wanted, &mut show)? {
            Ok(core) => return Ok(core),
            Err(TooLate { wanted: next }) => {
                wanted = next;
                back *= 2;
            }
        }
        begin = Beginning::new(reader, (wanted, top), back)?;
    }
}

/// Where a replay begins, and what it must be right about.
struct Beginning {
    from: Height,
    /// What it begins with is in doubt from this time; nothing at genesis.
    since: Option<Timestamp>,
    /// From this time on it must be right.
    exact: Timestamp,
}

impl Beginning {
    /// So far `back` from where it must be right that it can be.
    fn new(
        reader: &Reader,
        (wanted, top): (Height, Height),
        back: Duration,
    ) -> Result<Self, ReadError> {
        let time = |height| {
            let missing = ReadError::Missing { height };
            let decided = reader.block(height)?.ok_or(missing)?;
            Ok::<_, ReadError>(decided.block.header().time)
        };
        let mut exact = before(time(top)?, limits::KEYED_WINDOW);
        if wanted <= top {
            exact = exact.min(time(wanted)?);
        }
        let since = before(exact, back);
        let from = reader.since(since)?;
        // That the block below is older must be seen: where a segment is missing, the next one is what is found.
        let older = from.previous().map(time).transpose()?;
        Ok(Self {
            from,
            since: older.map(|_| since),
            exact,
        })
    }

    /// Goes over the blocks from `from` on.
    fn over(
        &self,
        blocks: impl Iterator<Item = Result<Decided, ReadError>>,
        wanted: Height,
        show: &mut impl FnMut(&Arc<AppliedBlock>) -> ControlFlow<()>,
    ) -> Result<Result<CoreState, TooLate>, ReadError> {
        let doubts = self.since.map(Doubts::since);
        go_over(
            blocks,
            CoreState::default(),
            doubts,
            (wanted, self.exact),
            show,
        )
    }
}

/// Applies blocks to a state, and shows those from `wanted` on.
fn go_over(
    blocks: impl Iterator<Item = Result<Decided, ReadError>>,
    mut core: CoreState,
    mut doubts: Option<Doubts>,
    (wanted, exact): (Height, Timestamp),
    show: &mut impl FnMut(&Arc<AppliedBlock>) -> ControlFlow<()>,
) -> Result<Result<CoreState, TooLate>, ReadError> {
    let mut next = wanted;
    for decided in blocks {
        let decided = decided?;
        let (height, time) = (decided.block.height(), decided.block.header().time);
        let applied = match &mut doubts {
            Some(doubts) => {
                let (applied, sure) = doubts.apply(&mut core, decided);
                if !sure && (time >= exact || height >= next) {
                    return Ok(Err(TooLate { wanted: next }));
                }
                applied
            }
            None => apply(&mut core, decided),
        };
        if height >= next {
            if show(&Arc::new(applied)).is_break() {
                break;
            }
            next = height.next();
        }
    }
    Ok(Ok(core))
}

fn before(time: Timestamp, by: Duration) -> Timestamp {
    let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    Timestamp(time.0.saturating_sub(micros))
}

/// The requests that a replay may be wrong about.
struct Doubts {
    since: Timestamp,
    /// Until when.
    until: BTreeMap<Digest, Timestamp>,
}

impl Doubts {
    fn since(since: Timestamp) -> Self {
        Self {
            since,
            until: BTreeMap::new(),
        }
    }

    /// Applies a block; whether it is sure about all of it.
    fn apply(&mut self, core: &mut CoreState, decided: Decided) -> (AppliedBlock, bool) {
        let time = decided.block.header().time;
        let mut sure = true;
        let dispositions = core.apply_noting(&decided.block, &mut |id, window| {
            sure &= !self.doubt(time, id, window);
        });
        (applied(decided, dispositions), sure)
    }

    /// A request comes at this time. What it may be shadowed by began before the replay, or is itself in doubt.
    fn doubt(&mut self, time: Timestamp, id: Digest, window: Duration) -> bool {
        let unseen = time <= self.since.plus(window);
        let doubtful = unseen || self.until.get(&id).is_some_and(|until| *until >= time);
        if doubtful {
            self.until.insert(id, time.plus(window));
        } else {
            self.until.remove(&id);
        }
        doubtful
    }
}

#[cfg(test)]
mod tests;
