//! What a run consists of, drawn from its seed.
//!
//! Swarm testing (Groce et al., ISSTA 2012): each seed leaves a random subset of the faults out, because faults hide
//! each other. A run in which every node crashes twice a second never gets far enough to show what loss alone does.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use ledger::Bounds;
use model::limits;

use crate::commands::Kinds;
use crate::keys::Scheme;
use crate::rng::{Chance, Rng};

/// A class of faults: something the nemesis does now and then, or a noise that never ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A process dies; its page cache lives on.
    Kill,
    /// A machine loses power.
    PowerCut,
    /// All machines lose power at once.
    Blackout,
    /// A machine loses power at the worst moment: between two sends of a vote, while a flush is under way, or when it
    /// has returned and nobody knows yet.
    Ambush,
    /// A process stands still for a while.
    Pause,
    /// The network falls into two parts.
    Split,
    /// One machine reaches nobody.
    Isolate,
    /// One direction of one link is dead.
    OneWay,
    /// One link is dead, both ways, while both ends reach the others.
    Partial,
    /// A link comes and goes.
    Flap,
    /// What is sent over a link arrives seconds later.
    Clog,
    /// A disk takes up to five seconds for a flush.
    SlowDisk,
    /// A disk is full.
    FullDisk,
    /// A flush fails.
    FailedFlush,
    /// A bit turns in one of the two copies of a vote or start.
    RotVote,
    /// A bit turns in a decided block.
    RotBlock,
    /// A wall clock jumps.
    ClockJump,
    /// A node shuts down in order.
    Shutdown,
    /// Members are invited, removed, replaced, and gone for long.
    Members,
    /// A voter's disk is lost: its machine comes back as another node.
    Wipe,
    /// A sealed segment rots on its disk, or is cut, overwritten or gone.
    RotSegment,
    /// What the archive holds is damaged, cut, swapped or forged, and its listing old.
    RotArchive,
    /// Part of a log is damaged in front of what is still whole: its votes count no more, and its blocks others have.
    Damage,
    /// Messages are lost.
    Loss,
    /// Messages arrive twice.
    Duplicate,
    /// Bits of messages are turned.
    Corrupt,
    /// Messages overtake each other.
    Reorder,
    /// A flush takes up to five seconds, on any disk.
    Stall,
    /// Clocks run fast or slow.
    Drift,
    /// Nodes seal what is decided, let go of their logs, and fill the archive.
    Sealing,
    /// Nodes make snapshots and begin with them, some say what is not true, and something is purged.
    Snapshots,
}

impl Fault {
    /// What the nemesis does.
    pub const DEEDS: [Self; 23] = [
        Self::Kill,
        Self::PowerCut,
        Self::Blackout,
        Self::Ambush,
        Self::Pause,
        Self::Split,
        Self::Isolate,
        Self::OneWay,
        Self::Partial,
        Self::Flap,
        Self::Clog,
        Self::SlowDisk,
        Self::FullDisk,
        Self::FailedFlush,
        Self::RotVote,
        Self::RotBlock,
        Self::ClockJump,
        Self::Shutdown,
        Self::Members,
        Self::Wipe,
        Self::RotSegment,
        Self::RotArchive,
        Self::Damage,
    ];

    /// What only happens in runs of their own kind, which are drawn apart.
    const APART: [Self; 5] = [
        Self::Damage,
        Self::Members,
        Self::Wipe,
        Self::RotSegment,
        Self::RotArchive,
    ];

    /// What goes on all the time.
    pub const NOISE: [Self; 8] = [
        Self::Loss,
        Self::Duplicate,
        Self::Corrupt,
        Self::Reorder,
        Self::Stall,
        Self::Drift,
        Self::Sealing,
        Self::Snapshots,
    ];

    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::DEEDS.into_iter().chain(Self::NOISE)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no fault; the faults are {}", names())]
pub struct ParseFaultError {
    text: String,
}

fn names() -> String {
    let all: Vec<String> = Fault::all().map(|fault| fault.to_string()).collect();
    all.join(", ")
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, ParseFaultError> {
        let mut all = Self::all();
        all.find(|fault| fault.to_string() == text)
            .ok_or_else(|| ParseFaultError { text: text.into() })
    }
}

/// In which order messages of one link arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As sent.
    Fifo,
    /// As it comes.
    Any,
}

/// How the network behaves when it is well.
#[derive(Debug, Clone)]
pub struct NetworkPlan {
    /// From which each link draws its base delay.
    pub delay: Range<Duration>,
    /// What each message may take longer.
    pub jitter: Duration,
    /// A message is lost.
    pub loss: Chance,
    /// A message arrives twice.
    pub duplicate: Chance,
    /// A bit of a message is flipped.
    pub corrupt: Chance,
    /// Whether messages overtake each other.
    pub order: Order,
}

/// How the disks behave when they are well.
#[derive(Debug, Clone)]
pub struct DiskPlan {
    /// From which each machine draws what its flush takes.
    pub flush: Range<Duration>,
    /// What each flush may take longer.
    pub jitter: Duration,
    /// A flush takes up to five seconds.
    pub stall: Chance,
}

/// How nodes seal what is decided.
#[derive(Debug, Clone)]
pub struct SealingPlan {
    /// Where segments end: far smaller than in earnest.
    pub bounds: Bounds,
    /// From which a node draws the time between two looks.
    pub pause: Range<Duration>,
    /// A file of the log ends at about this many bytes; none: where it does in earnest.
    pub file_bytes: Option<u64>,
}

/// What clients do.
#[derive(Debug, Clone)]
pub struct WorkloadPlan {
    /// How many there are.
    pub clients: usize,
    /// From which a client draws the pause after each burst.
    pub pause: Range<Duration>,
    /// How many operations come at once, at most.
    pub burst: u64,
    /// Length of a record.
    pub body: Range<u64>,
    /// A write carries a request key.
    pub keyed: Chance,
    /// Which kinds of commands are written.
    pub kinds: Kinds,
    /// A write is longer than any command may be.
    pub too_long: Chance,
    /// An operation is a read.
    pub reads: Chance,
    /// A read is content with a height that its client has seen, or with anything.
    pub lax: Chance,
    /// A burst goes to the first node, whatever the others do.
    pub hot: Chance,
    /// A burst comes to every node at the same instant.
    pub rush: Chance,
    /// After a burst all clients are silent for seconds.
    pub lull: Chance,
    /// A client takes a long rest after a burst.
    pub rest: Chance,
    /// After which a client gives up on a node.
    pub patience: Range<Duration>,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// From which everything follows.
    pub seed: u64,
    /// How many voters there are at first.
    pub nodes: usize,
    /// How many machines stand ready to join.
    pub spares: usize,
    /// How long voters wait for a silent one before they say so; none for ever.
    pub dead_after: Option<Duration>,
    /// Which signatures.
    pub scheme: Scheme,
    /// The network.
    pub network: NetworkPlan,
    /// The disks.
    pub disk: DiskPlan,
    /// How nodes seal what is decided; none: they do not.
    pub sealing: Option<SealingPlan>,
    /// From which a node draws the time between two looks at its snapshots; none: it has none.
    pub snapshots: Option<Range<Duration>>,
    /// The clients.
    pub workload: WorkloadPlan,
    /// What the nemesis may do.
    pub faults: BTreeSet<Fault>,
    /// It strikes the holder of the turn, instead of anybody.
    pub aim: Chance,
    /// From which it draws the time between two deeds.
    pub fault_pause: Range<Duration>,
    /// While the cluster comes to rest a minority stays down.
    pub bereft: Chance,
    /// Clocks that are wrong stay so when everything is mended.
    pub skewed: Chance,
    /// In the end a disk loses what was flushed.
    pub ordeal: Chance,
    /// How wrong monotonic clocks run, in millionths.
    pub drift_ppm: i32,
    /// The faulty phase ends after this much simulated time.
    pub length: Duration,
}

const fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

impl Plan {
    /// A cluster of `nodes` in which nothing ever goes wrong and no client comes by itself: the ground on which
    /// scenarios stand.
    pub fn calm(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            nodes,
            spares: 0,
            dead_after: None,
            scheme: Scheme::StandIn,
            network: NetworkPlan {
                delay: micros(400)..micros(600),
                jitter: micros(100),
                loss: Chance::NEVER,
                duplicate: Chance::NEVER,
                corrupt: Chance::NEVER,
                order: Order::Fifo,
            },
            disk: DiskPlan {
                flush: micros(800)..micros(1_200),
                jitter: micros(200),
                stall: Chance::NEVER,
            },
            sealing: None,
            snapshots: None,
            workload: WorkloadPlan {
                clients: 0,
                pause: millis(1)..millis(2),
                burst: 1,
                body: 16..64,
                keyed: Chance::HALF,
                kinds: Kinds::Records,
                too_long: Chance::NEVER,
                reads: Chance::NEVER,
                lax: Chance::NEVER,
                hot: Chance::NEVER,
                rush: Chance::NEVER,
                lull: Chance::NEVER,
                rest: Chance::NEVER,
                patience: secs(5)..secs(6),
            },
            faults: BTreeSet::new(),
            aim: Chance::NEVER,
            fault_pause: secs(1)..secs(2),
            bereft: Chance::NEVER,
            skewed: Chance::NEVER,
            ordeal: Chance::NEVER,
            drift_ppm: 0,
            length: secs(10),
        }
    }

    /// The plan of a seed.
    pub fn swarm(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = draw_size(&mut rng);
        let scheme = if rng.chance(Chance::percent(5)) {
            Scheme::Ed25519
        } else {
            Scheme::StandIn
        };
        let network = NetworkPlan::draw(&mut rng);
        let disk = DiskPlan::draw(&mut rng);
        let workload = WorkloadPlan::draw(&mut rng);
        let share = Chance::percent(u32::try_from(rng.range(10..60)).unwrap_or(50));
        let usual = Fault::DEEDS
            .into_iter()
            .filter(|deed| !Fault::APART.contains(deed));
        let faults = usual.filter(|_| rng.chance(share)).collect();
        let fault_pause = rng
            .pick(&[
                millis(20)..millis(400),
                millis(200)..secs(2),
                secs(1)..secs(8),
            ])
            .cloned()
            .unwrap_or(secs(1)..secs(2));
        let drift_ppm = if rng.chance(Chance::HALF) { 200 } else { 0 };
        let aim = rng
            .pick(&[Chance::NEVER, Chance::percent(30), Chance::percent(80)])
            .copied()
            .unwrap_or(Chance::NEVER);
        let length = rng.duration(secs(10)..secs(120));
        Self {
            seed,
            nodes,
            spares: 0,
            dead_after: None,
            scheme,
            network,
            disk,
            sealing: None,
            snapshots: None,
            workload,
            faults,
            aim,
            fault_pause,
            bereft: Chance::HALF,
            skewed: Chance::HALF,
            ordeal: Chance::HALF,
            drift_ppm,
            length,
        }
    }

    /// In some runs the members change. Drawn apart, so that the other runs stay what they were.
    pub(crate) fn draw_changes(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x6d65_6d62_6572_7300);
        if !rng.chance(Chance::percent(40)) {
            return;
        }
        self.faults.insert(Fault::Members);
        self.nodes = self.nodes.min(7);
        self.spares = 1 + rng.index(4);
        self.dead_after = rng
            .chance(Chance::percent(70))
            .then(|| rng.duration(secs(3)..secs(12)));
        if rng.chance(Chance::HALF) {
            self.faults.insert(Fault::Wipe);
        }
    }

    /// In some runs logs are damaged that can be mended. Drawn apart too.
    pub(crate) fn draw_damage(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x6461_6d61_6765_6400);
        if rng.chance(Chance::percent(35)) {
            self.faults.insert(Fault::Damage);
        }
    }

    /// In some runs nodes make snapshots. Drawn apart too.
    pub(crate) fn draw_snapshots(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x736e_6170_7300_0000);
        if rng.chance(Chance::percent(30)) {
            let pauses = [millis(5)..millis(50), millis(50)..secs(1)];
            self.snapshots = rng.pick(&pauses).cloned();
        }
    }

    /// In a few runs more comes at once than a node keeps of what others push. Drawn apart too.
    pub(crate) fn draw_deluge(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x6465_6c75_6765_0000);
        if rng.chance(Chance::percent(2)) {
            let longest = limits::RECORD_BYTES_MAX as u64;
            self.workload.burst = 800;
            self.workload.body = longest * 7 / 8..longest + 1;
            self.workload.clients = 1;
            self.workload.reads = Chance::NEVER;
            self.workload.pause = secs(20)..secs(40);
        }
    }

    /// In some runs nodes seal what is decided, in segments so small that there are many. Drawn apart too.
    pub(crate) fn draw_sealing(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x7365_616c_696e_6700);
        if !rng.chance(Chance::percent(60)) {
            return;
        }
        let bytes = [700, 2_000, 6_000, 40_000];
        let times = [millis(20), secs(1), secs(3_600)];
        let pauses = [
            millis(1)..millis(30),
            millis(20)..millis(400),
            secs(1)..secs(5),
        ];
        self.sealing = Some(SealingPlan {
            bounds: Bounds {
                bytes: rng.pick(&bytes).copied().unwrap_or(2_000),
                time: rng.pick(&times).copied().unwrap_or(secs(1)),
                keep: rng.pick(&[0, 1, 4, 16]).copied().unwrap_or(1),
            },
            pause: rng.pick(&pauses).cloned().unwrap_or(secs(1)..secs(5)),
            file_bytes: None,
        });
        for fault in [Fault::RotSegment, Fault::RotArchive] {
            if rng.chance(Chance::HALF) {
                self.faults.insert(fault);
            }
        }
        let sizes = [None, Some(20_000), Some(60_000), Some(250_000)];
        if let Some(plan) = &mut self.sealing {
            plan.file_bytes = rng.pick(&sizes).copied().flatten();
        }
    }
}

impl Plan {
    /// Every class of faults that this run has, noise too.
    pub fn classes(&self) -> BTreeSet<Fault> {
        let noise = Fault::NOISE.into_iter().filter(|noise| match noise {
            Fault::Loss => self.network.loss > Chance::NEVER,
            Fault::Duplicate => self.network.duplicate > Chance::NEVER,
            Fault::Corrupt => self.network.corrupt > Chance::NEVER,
            Fault::Reorder => self.network.order == Order::Any,
            Fault::Stall => self.disk.stall > Chance::NEVER,
            Fault::Sealing => self.sealing.is_some(),
            Fault::Snapshots => self.snapshots.is_some(),
            _ => self.drift_ppm > 0,
        });
        self.faults.iter().copied().chain(noise).collect()
    }

    /// Takes a class of faults out of the run.
    pub fn leave_out(&mut self, fault: Fault) {
        self.faults.remove(&fault);

        match fault {
            Fault::Loss => self.network.loss = Chance::NEVER,
            Fault::Duplicate => self.network.duplicate = Chance::NEVER,
            Fault::Corrupt => self.network.corrupt = Chance::NEVER,
            Fault::Reorder => self.network.order = Order::Fifo,
            Fault::Stall => self.disk.stall = Chance::NEVER,
            Fault::Drift => self.drift_ppm = 0,
            Fault::Sealing => self.sealing = None,
            Fault::Snapshots => self.snapshots = None,
            _ => {}
        }
    }
}

/// Mostly three or five voters, now and then any number up to fifteen.
fn draw_size(rng: &mut Rng) -> usize {
    if rng.chance(Chance::percent(5)) {
        return rng.pick(&[8, 9, 9, 11, 15, 15]).copied().unwrap_or(9);
    }
    rng.pick(&[1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7])
        .copied()
        .unwrap_or(3)
}

/// Zero in half of the seeds, else something up to `percent` in a hundred, more often little than much.
fn sometimes(rng: &mut Rng, percent: u64) -> Chance {
    if rng.chance(Chance::HALF) {
        return Chance::NEVER;
    }
    let bound = percent * 10_000;
    let draw = rng.below(bound).min(rng.below(bound));
    Chance(u32::try_from(draw).unwrap_or(0))
}

impl NetworkPlan {
    fn draw(rng: &mut Rng) -> Self {
        let scales = [
            (micros(50)..micros(300), micros(50)),
            (micros(300)..millis(2), millis(1)),
            (millis(2)..millis(20), millis(5)),
            (millis(10)..millis(120), millis(20)),
        ];
        let (delay, jitter) = rng
            .pick(&scales)
            .cloned()
            .unwrap_or((millis(1)..millis(2), millis(1)));
        Self {
            delay,
            jitter,
            loss: sometimes(rng, 30),
            duplicate: sometimes(rng, 30),
            corrupt: sometimes(rng, 5),
            order: if rng.chance(Chance::HALF) {
                Order::Fifo
            } else {
                Order::Any
            },
        }
    }
}

impl DiskPlan {
    fn draw(rng: &mut Rng) -> Self {
        let scales = [
            (micros(20)..micros(200), micros(50)),
            (micros(200)..millis(5), millis(1)),
            (millis(5)..millis(40), millis(20)),
        ];
        let (flush, jitter) = rng
            .pick(&scales)
            .cloned()
            .unwrap_or((millis(1)..millis(2), millis(1)));
        Self {
            flush,
            jitter,
            stall: sometimes(rng, 2),
        }
    }
}

impl WorkloadPlan {
    /// How many operations come at once, and how long they are. Now and then so many, or so long ones, that a block
    /// cannot hold them.
    fn draw_sizes(rng: &mut Rng) -> (u64, Range<u64>) {
        if rng.chance(Chance::percent(4)) {
            let floods = [
                (7_000, 16..24),
                (60, 50_000..limits::RECORD_BYTES_MAX as u64 + 1),
            ];
            return rng.pick(&floods).cloned().unwrap_or((60, 16..64));
        }
        let burst = rng.pick(&[1, 1, 1, 4, 30]).copied().unwrap_or(1);
        let bodies = [16..64, 16..64, 16..64, 16..600, 100..5_000];
        (burst, rng.pick(&bodies).cloned().unwrap_or(16..64))
    }

    fn draw(rng: &mut Rng) -> Self {
        let pauses = [
            millis(1)..millis(10),
            millis(10)..millis(200),
            millis(100)..secs(3),
        ];
        let (burst, body) = Self::draw_sizes(rng);
        Self {
            clients: 1 + rng.index(8),
            pause: rng
                .pick(&pauses)
                .cloned()
                .unwrap_or(millis(10)..millis(200)),
            burst,
            body,
            keyed: rng
                .pick(&[Chance::NEVER, Chance::HALF, Chance::percent(100)])
                .copied()
                .unwrap_or(Chance::HALF),
            kinds: *rng
                .pick(&[Kinds::Records, Kinds::All])
                .unwrap_or(&Kinds::All),
            too_long: sometimes(rng, 1),
            reads: sometimes(rng, 80),
            lax: sometimes(rng, 80),
            hot: sometimes(rng, 100),
            rush: sometimes(rng, 100),
            lull: sometimes(rng, 20),
            rest: sometimes(rng, 10),
            patience: rng
                .pick(&[millis(200)..secs(1), secs(2)..secs(4), secs(5)..secs(15)])
                .cloned()
                .unwrap_or(secs(2)..secs(4)),
        }
    }
}
