//! Who breaks things, when, and for how long.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use crate::plan::{Fault, Plan};
use crate::rng::{Chance, Rng};
use crate::seat::Seat;
use crate::world::steward::Errand;

/// A direction of a link.
pub(crate) type Way = (Seat, Seat);

/// The moment an ambush waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So many messages that bind the sender have left, and not one more.
    Said(u32),
    /// A flush is under way.
    Flushing,
    /// A flush has returned, and the process does not know yet.
    Flushed,
}

/// One deed, with all its details drawn.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Kill {
        seat: Seat,
        down: Duration,
    },
    PowerCut {
        seat: Seat,
        down: Duration,
    },
    Ambush {
        seat: Seat,
        moment: Moment,
        down: Duration,
    },
    Blackout {
        downs: Vec<Duration>,
    },
    Pause {
        seat: Seat,
        length: Duration,
    },
    Block {
        ways: Vec<Way>,
        length: Duration,
    },
    Flap {
        ways: Vec<Way>,
        times: u64,
        length: Duration,
    },
    Clog {
        ways: Vec<Way>,
        length: Duration,
    },
    SlowDisk {
        seat: Seat,
        length: Duration,
    },
    FullDisk {
        seat: Seat,
        room: u32,
        length: Duration,
    },
    FailFlush {
        seat: Seat,
        down: Duration,
    },
    Damage {
        seat: Seat,
    },
    RotVote {
        seat: Seat,
    },
    RotBlock {
        seat: Seat,
    },
    ClockJump {
        seat: Seat,
        microseconds: i64,
    },
    Shutdown {
        seat: Seat,
        notice: Duration,
        down: Duration,
    },
    Errand {
        via: Seat,
        errand: Errand,
    },
    Wipe {
        seat: Seat,
        down: Duration,
    },
    RotSegment {
        seat: Seat,
    },
    RotArchive,
}

impl Deed {
    /// How long the cluster feels it; none: until everything is mended.
    pub(crate) fn span(&self) -> Option<Duration> {
        match self {
            Self::Kill { down, .. }
            | Self::Wipe { down, .. }
            | Self::PowerCut { down, .. }
            | Self::Ambush { down, .. }
            | Self::FailFlush { down, .. } => Some(*down),
            Self::Blackout { downs } => downs.iter().max().copied(),
            Self::Pause { length, .. }
            | Self::Block { length, .. }
            | Self::Clog { length, .. }
            | Self::SlowDisk { length, .. }
            | Self::FullDisk { length, .. } => Some(*length),
            Self::Flap { times, length, .. } => {
                Some(*length * 2 * u32::try_from(*times).unwrap_or(1))
            }
            Self::Shutdown { notice, down, .. } => Some(*notice + *down),
            Self::Errand { .. } => Some(ERRAND_TAKES),
            Self::RotVote { .. }
            | Self::RotBlock { .. }
            | Self::RotSegment { .. }
            | Self::RotArchive
            | Self::Damage { .. }
            | Self::ClockJump { .. } => None,
        }
    }
}

/// Who is who when the nemesis strikes.
#[derive(Debug)]
pub(crate) struct Muster {
    /// Who has the turn.
    pub(crate) holder: Option<Seat>,
    pub(crate) voters: BTreeSet<Seat>,
    /// Voters and learners.
    pub(crate) members: BTreeSet<Seat>,
    /// Whose disks are not to be trusted.
    pub(crate) doubtful: BTreeSet<Seat>,
}

/// For how long a change of the members is felt.
const ERRAND_TAKES: Duration = Duration::from_secs(2);

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Draws one deed after the other.
#[derive(Debug)]
pub(crate) struct Nemesis {
    rng: Rng,
    nodes: usize,
    faults: Vec<Fault>,
    pause: Range<Duration>,
    aim: Chance,
    /// Whose disk may lie: never more than a minority, since a flush that failed may cost what had been read back.
    spoiled: BTreeSet<Seat>,
}

impl Nemesis {
    pub(crate) fn new(plan: &Plan, rng: Rng) -> Self {
        Self {
            rng,
            nodes: plan.nodes + plan.spares,
            faults: plan.faults.iter().copied().collect(),
            pause: plan.fault_pause.clone(),
            aim: plan.aim,
            spoiled: BTreeSet::new(),
        }
    }

    /// The time to the next deed; none if there is nothing it may do.
    pub(crate) fn pause(&mut self) -> Option<Duration> {
        (!self.faults.is_empty()).then(|| self.rng.duration(self.pause.clone()))
    }

    /// The next deed, perhaps against the holder of the turn; none if the fault drawn does not apply to this cluster.
    pub(crate) fn deed(&mut self, muster: &Muster) -> Option<(Fault, Deed)> {
        let holder = muster.holder;
        let fault = *self.rng.pick(&self.faults)?;
        let anybody = Seat(self.rng.index(self.nodes));
        let aimed = self.rng.chance(self.aim);
        let seat = holder.filter(|_| aimed).unwrap_or(anybody);
        let down = self.rng.duration(millis(5)..millis(2_000));
        let length = self.span();
        let deed = match fault {
            Fault::Kill => Deed::Kill { seat, down },
            Fault::PowerCut => Deed::PowerCut { seat, down },
            Fault::Blackout => Deed::Blackout {
                downs: (0..self.nodes)
                    .map(|_| self.rng.duration(millis(1)..millis(1_500)))
                    .collect(),
            },
            Fault::Ambush => Deed::Ambush {
                seat,
                moment: self.moment(),
                down,
            },
            Fault::Pause => Deed::Pause { seat, length },
            Fault::ClockJump => Deed::ClockJump {
                seat,
                microseconds: self.jump(),
            },
            Fault::Members => Deed::Errand {
                via: seat,
                errand: *self.rng.pick(&Errand::DEEDS)?,
            },
            Fault::Shutdown => Deed::Shutdown {
                seat,
                notice: self.rng.duration(millis(1)..millis(500)),
                down,
            },
            _ => self
                .network_deed(fault, seat, length)
                .or_else(|| self.disk_deed(fault, (seat, muster), down, length))?,
        };
        Some((fault, deed))
    }

    fn network_deed(&mut self, fault: Fault, seat: Seat, length: Duration) -> Option<Deed> {
        let ways = match fault {
            Fault::Split => self.split(),
            Fault::Isolate => self.around(seat)?,
            Fault::OneWay => vec![self.way()?],
            Fault::Partial => both(self.way()?),
            Fault::Flap => {
                return Some(Deed::Flap {
                    ways: both(self.way()?),
                    times: self.rng.range(2..12),
                    length: self.rng.duration(millis(5)..millis(400)),
                });
            }
            Fault::Clog => {
                let ways = vec![self.way()?];
                return Some(Deed::Clog { ways, length });
            }
            _ => return None,
        };
        Some(Deed::Block { ways, length })
    }

    fn disk_deed(
        &mut self,
        fault: Fault,
        (seat, muster): (Seat, &Muster),
        down: Duration,
        length: Duration,
    ) -> Option<Deed> {
        Some(match fault {
            Fault::SlowDisk => Deed::SlowDisk { seat, length },
            Fault::FullDisk => Deed::FullDisk {
                seat,
                room: u32::try_from(self.rng.below(4)).unwrap_or(0),
                length,
            },
            Fault::FailedFlush => Deed::FailFlush {
                seat: self.spoil(seat, muster)?,
                down,
            },
            Fault::RotVote => Deed::RotVote { seat },
            Fault::RotBlock => Deed::RotBlock {
                seat: self.spoil(seat, muster)?,
            },
            Fault::RotSegment => Deed::RotSegment {
                seat: self.spoil(seat, muster)?,
            },
            Fault::RotArchive => Deed::RotArchive,
            Fault::Damage => Deed::Damage {
                seat: self.spoil(seat, muster)?,
            },
            Fault::Wipe => Deed::Wipe {
                seat: self.spoil(seat, muster)?,
                down,
            },
            _ => return None,
        })
    }

    /// How long a fault stands: mostly less than a second, sometimes ten.
    fn span(&mut self) -> Duration {
        if self.rng.chance(Chance::percent(20)) {
            self.rng.duration(millis(1_000)..millis(10_000))
        } else {
            self.rng.duration(millis(10)..millis(1_000))
        }
    }

    fn moment(&mut self) -> Moment {
        match self.rng.below(3) {
            0 => Moment::Flushing,
            1 => Moment::Flushed,
            _ => Moment::Said(u32::try_from(self.rng.below(4)).unwrap_or(0)),
        }
    }

    /// Every way from and to a machine.
    fn around(&self, seat: Seat) -> Option<Vec<Way>> {
        let others = Seat::all(self.nodes).filter(|other| *other != seat);
        let ways: Vec<Way> = others.flat_map(|other| both((seat, other))).collect();
        (!ways.is_empty()).then_some(ways)
    }

    fn way(&mut self) -> Option<Way> {
        if self.nodes < 2 {
            return None;
        }
        let from = self.rng.index(self.nodes);
        let step = 1 + self.rng.index(self.nodes - 1);
        Some((Seat(from), Seat((from + step) % self.nodes)))
    }

    fn split(&mut self) -> Vec<Way> {
        let sides: Vec<(Seat, bool)> = Seat::all(self.nodes)
            .map(|seat| (seat, self.rng.chance(Chance::HALF)))
            .collect();
        let mut ways = Vec::new();
        for (from, side) in &sides {
            let others = sides.iter().filter(|(_, other)| other != side);
            ways.extend(others.map(|(to, _)| (*from, *to)));
        }
        ways
    }

    /// Clocks are wrong by milliseconds, seconds or an hour, and sometimes right again.
    fn jump(&mut self) -> i64 {
        let bound = *self
            .rng
            .pick(&[1, 50_000, 3_000_000, 60_000_000, 3_600_000_000])
            .unwrap_or(&1);
        let size = i64::try_from(self.rng.below(bound)).unwrap_or(0);
        if self.rng.chance(Chance::HALF) {
            size
        } else {
            -size
        }
    }

    /// A machine whose disk may be spoiled: this one, or another one if a minority of the voters are in doubt already.
    fn spoil(&mut self, seat: Seat, muster: &Muster) -> Option<Seat> {
        let minority = muster.voters.len().saturating_sub(1) / 2;
        let mut doubtful: BTreeSet<Seat> = self.spoiled.union(&muster.doubtful).copied().collect();
        doubtful.retain(|seat| muster.members.contains(seat));
        if !muster.members.contains(&seat) {
            return None;
        }
        if !doubtful.contains(&seat) && doubtful.len() >= minority {
            return doubtful.first().copied();
        }
        self.spoiled.insert(seat);
        Some(seat)
    }
}

fn both((from, to): Way) -> Vec<Way> {
    vec![(from, to), (to, from)]
}
