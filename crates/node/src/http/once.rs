//! Which commands of the chain count.
//!
//! A command may stand in the ledger twice: pushed to two nodes, or sent again by a client that heard nothing. The
//! second is a no-op, and a list of records must not show it. Whether a command is a repeat follows from the chain
//! alone, but only from the window of blocks before it, so a listing carries the replica's own bookkeeping along from
//! page to page. A listing that starts in the middle of the chain first goes over the window before its start.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ::ledger::Reader;
use model::{Block, Height, limits};
use replica::{CoreState, Disposition};

use super::ledger::read_block;
use super::problem::Problem;

/// Listings that are carried along at one time; a further one starts over.
const KEPT: usize = 4;

/// The places at which listings stopped.
#[derive(Default)]
pub(crate) struct Places(Mutex<VecDeque<Walk>>);

/// A walk over the chain that knows which commands count.
pub(crate) struct Walk {
    core: CoreState,
    last: Option<Taken>,
}

/// A block with what was made of each of its commands.
pub(crate) struct Taken {
    /// The block.
    pub(crate) block: Arc<Block>,
    /// One for each command, in order.
    pub(crate) dispositions: Vec<Disposition>,
}

impl Places {
    /// A walk that will stand at `height` next, from the place nearest before it.
    pub(crate) fn walk_to(&self, reader: &Reader, height: Height) -> Result<Walk, Problem> {
        let kept = {
            let mut places = self
                .0
                .lock()
                .expect("nothing panics while it holds the places");
            let at = places.iter().position(|walk| walk.stands_at(height));
            at.and_then(|at| places.remove(at))
        };
        match kept {
            Some(walk) => Ok(walk),
            None => Walk::over_window(reader, height),
        }
    }

    /// Remembers where a listing stopped.
    pub(crate) fn keep(&self, walk: Walk) {
        let mut places = self.0.lock().expect("see walk_to");
        places.push_back(walk);
        while places.len() > KEPT {
            places.pop_front();
        }
    }
}

impl Walk {
    fn over_window(reader: &Reader, height: Height) -> Result<Self, Problem> {
        let mut walk = Self {
            core: CoreState::default(),
            last: None,
        };
        let Some(start) = window_start(reader, height)? else {
            return Ok(walk);
        };
        for before in (start.0..height.0).map(Height) {
            walk.take(reader, before)?;
        }
        Ok(walk)
    }

    /// Whether `height` is the block taken last or the one behind it.
    fn stands_at(&self, height: Height) -> bool {
        let last = self.last.as_ref().map(|last| last.block.height());
        last.is_some_and(|last| last == height || last.next() == height)
    }

    /// Takes the block at `height`, once; nothing above the tip.
    pub(crate) fn take(
        &mut self,
        reader: &Reader,
        height: Height,
    ) -> Result<Option<&Taken>, Problem> {
        let taken = self.last.as_ref().map(|last| last.block.height());
        if taken != Some(height) {
            let Some(decided) = read_block(reader, height)? else {
                return Ok(None);
            };
            let block = decided.block;
            let dispositions = self.core.apply(&block);
            self.last = Some(Taken {
                block,
                dispositions,
            });
        }
        Ok(self.last.as_ref())
    }
}

/// The lowest height whose block can have a repeat at `height`: times grow with heights, so it is searched by halves.
fn window_start(reader: &Reader, height: Height) -> Result<Option<Height>, Problem> {
    let Some(before) = height.previous() else {
        return Ok(None);
    };
    let Some(newest) = read_block(reader, before)? else {
        return Ok(None);
    };
    let oldest = newest.block.header().time.minus(limits::KEYED_WINDOW);
    let (mut low, mut high) = (0, before.0);
    while low < high {
        let middle = low + (high - low) / 2;
        match read_block(reader, Height(middle))? {
            Some(decided) if decided.block.header().time < oldest => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(Some(Height(low)))
}
