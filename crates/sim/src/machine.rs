//! One machine: a disk, two clocks, and a process that runs, stands still or is down.

use std::sync::Arc;
use std::time::Duration;

use consensus::StopReason;
use model::{Instant, NodeId, Signatures};
use replica::Replica;

use crate::clock::Clock;
use crate::disk::{Shared, SimDisk};
use crate::nemesis::Moment;
use crate::shelf::Shelf;
use crate::snapshots::{Drawer, Making};
use crate::world::Event;

/// Counts a machine's process starts, so that events of an ended one are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Life(pub(crate) u64);

/// What a running process consists of.
pub(crate) struct Process {
    pub(crate) replica: Replica<SimDisk>,
    /// What it would tell of files.
    pub(crate) shelf: Shelf,
    pub(crate) making: Making,
    /// When its next wake event comes.
    pub(crate) wake_at: Option<Instant>,
    pub(crate) voting: bool,
    pub(crate) stopped: Option<StopReason>,
}

/// How a machine's disk does just now.
#[derive(Debug, Clone)]
pub(crate) struct DiskHealth {
    pub(crate) flush: Duration,
    pub(crate) slow: bool,
    pub(crate) fail_next: bool,
    /// How long the machine is down once its flush has failed.
    pub(crate) down: Duration,
    /// The process has been told that there is no room.
    pub(crate) told_full: bool,
    /// Power fails at this moment, for so long.
    pub(crate) ambush: Option<(Moment, Duration)>,
    /// A write of lazy records is due.
    pub(crate) lazy_due: bool,
    /// A flush has failed once: what had been read from the cache may be gone.
    pub(crate) spoiled: bool,
    /// A segment is damaged. No vote is in it.
    pub(crate) rotten: bool,
    /// Its log is damaged in front of what is whole: no vote that counts is lost.
    pub(crate) damaged: bool,
    /// It holds another history than the cluster's: what no fault explains.
    pub(crate) astray: bool,
    /// It was mended, and all that its node had said was in it again.
    pub(crate) mended: bool,
    /// What was flushed is lost, or another's: what the node has said may be forgotten.
    pub(crate) forgetful: bool,
    /// It holds no ledger any more.
    pub(crate) wiped: bool,
}

impl DiskHealth {
    /// Whether anything may be wrong with what it holds.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.rotten || self.damaged || self.may_forget()
    }

    /// Whether a vote may be missing in it, or whatever a failed flush took.
    pub(crate) fn may_forget(&self) -> bool {
        self.spoiled || self.astray || self.forgetful
    }
}

/// One machine.
pub(crate) struct Machine {
    pub(crate) id: NodeId,
    pub(crate) signatures: Arc<dyn Signatures>,
    pub(crate) platter: Shared,
    pub(crate) clock: Clock,
    pub(crate) life: Life,
    pub(crate) process: Option<Process>,
    pub(crate) paused: bool,
    /// What came in while it was paused.
    pub(crate) held: Vec<Event>,
    pub(crate) disk: DiskHealth,
    /// The snapshots on its disk.
    pub(crate) drawer: Drawer,
    /// It exists: a founder, or invited once.
    pub(crate) born: bool,
    /// Whom its configuration names.
    pub(crate) contacts: Vec<NodeId>,
    /// It does not start before.
    pub(crate) away_until: Instant,
    /// Its disk cannot be opened any more, for a reason that the nemesis has to answer for.
    pub(crate) broken: bool,
}

impl Machine {
    /// The running replica.
    pub(crate) fn replica(&self) -> Option<&Replica<SimDisk>> {
        self.process.as_ref().map(|process| &process.replica)
    }

    /// Whether a process runs and is not paused.
    pub(crate) fn answers(&self) -> bool {
        self.process.is_some() && !self.paused
    }
}
