//! One simulated cluster: machines, links, clients, the nemesis, and the queue of what happens next.
//!
//! Time jumps from event to event. Everything that happens is drawn from the plan's seed, in one order, so a seed is
//! a run. The parts: `process` drives replicas, `disks` their disks, `clients` the operations, `faults` the nemesis;
//! `mending` makes ledgers whole again; `snapshots` saves starts the way through the chain;
//! `ordeal` harms a disk at the end; `script` is what scenarios steer a world with.

mod clients;
mod disks;
mod faults;
mod mending;
mod ordeal;
mod process;
pub(crate) mod resync;
pub(crate) mod script;
mod sealing;
mod snapshots;
pub(crate) mod steward;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consensus::Message;
use model::{Block, Height, Instant, Member, Membership, Signatures, TokenId};

use crate::archive::Archive;
use crate::checks::chain::Chain;
use crate::checks::durability::Durability;
use crate::checks::history::History;
use crate::checks::rights::Rights;
use crate::checks::votes::Votes;
use crate::checks::{Checked, ensure};
use crate::clock::Clock;
use crate::disk::{Platter, Shared, lock};
use crate::genesis::draw_genesis;
use crate::keys;
use crate::machine::{DiskHealth, Life, Machine};
use crate::nemesis::{Nemesis, Way};
use crate::network::{Network, Packet};
use crate::plan::{Fault, Plan};
use crate::rng::Rng;
use crate::seat::{Cast, Seat};
use crate::snapshots::Drawer;
use crate::stats::Stats;
use crate::trace::{Sink, Trace};
use crate::workload::{OpId, Workload};

/// More events than this at one instant: a replica keeps itself busy.
const EVENTS_PER_INSTANT_MAX: u32 = 50_000;
/// A random disk's image is checked once in this many events, and once more for each KiB it is long.
const IMAGE_CHECK_EVERY: u64 = 512;

/// What a disk thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskStep {
    /// Write what is queued.
    Begin,
    /// The flush returns.
    Finish,
    /// Tell the process that there is no room.
    TellFull,
    /// See whether there is room again.
    Retry,
}

/// Something that will happen.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Arrive(Packet),
    Wake(Seat, Life),
    Disk(Seat, Life, DiskStep),
    /// A client's request reaches a node.
    Reach(Seat, OpId, u32),
    /// A client's patience ends.
    TimeOut(OpId, u32),
    /// A client comes back from its rest.
    Client(usize),
    Start(Seat),
    /// A process told to shut down ends.
    End(Seat, Life, Duration),
    /// An ambush has come to its moment.
    PowerFails(Seat, Life, Duration),
    Resume(Seat),
    Unblock(Vec<Way>),
    Flap(Vec<Way>, u64, Duration),
    Quicken(Seat),
    FreeRoom(Seat),
    Nemesis,
    /// A node's sealer looks.
    Seal(Seat, Life),
    /// A node's maker of snapshots looks.
    Snapshot(Seat, Life),
    /// A machine whose disk was lost gets another identity.
    Succeed(Seat),
    /// A machine was admitted.
    Admitted(Seat),
}

/// An event and its time. Later ones are smaller, for the heap.
struct Scheduled {
    at: Instant,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Which part of a run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Season {
    /// Faults and new operations come.
    Storm,
    /// Neither comes; what is under way has to end well.
    Calm,
}

/// A message that a scenario holds back.
struct Hold {
    from: Seat,
    to: Seat,
    matches: fn(&Message) -> bool,
}

/// A simulated cluster.
pub struct World<'a> {
    plan: Plan,
    now: Instant,
    queue: BinaryHeap<Scheduled>,
    order: u64,
    at_this_instant: u32,
    rng: Rng,
    /// Who sits where.
    cast: Cast,
    machines: Vec<Machine>,
    network: Network,
    workload: Workload,
    nemesis: Nemesis,
    season: Season,
    votes: Votes,
    chain: Chain,
    history: History,
    /// No client calls before.
    quiet_until: Instant,
    /// Machines that stay down while the others come to rest.
    absent: BTreeSet<Seat>,
    archive: Archive,
    /// All that were given out.
    invites: Vec<TokenId>,
    /// Of its own, so that runs in which nothing is sealed stay what they were.
    sealer: Rng,
    /// The same for snapshots.
    maker: Rng,
    /// Keys that nobody in the cluster has.
    stranger: Arc<dyn Signatures>,
    durability: Durability,
    rights: Rights,
    trace: Trace<'a>,
    stats: Stats,
    /// The faults that are felt just now, and until when.
    standing: BTreeMap<Fault, Instant>,
    image_check_at: u64,
    holds: Vec<Hold>,
    limbo: Vec<Packet>,
}

impl<'a> World<'a> {
    /// The cluster of a plan, every machine about to start for the first time. Lines go to `sink`, if there is one.
    pub fn new(plan: Plan, sink: Option<Sink<'a>>) -> Self {
        let mut rng = Rng::new(plan.seed);
        let mut sealer = Rng::new(plan.seed ^ 0x7365_616c_6572_0000);
        let stranger = keys::draw(plan.scheme, 1, &mut sealer);
        let (_, stranger) = stranger.into_iter().next().expect("one was drawn");
        let seats = plan.nodes + plan.spares;
        let identities = keys::draw(plan.scheme, seats, &mut rng);
        let voters = identities.iter().zip(Seat::all(plan.nodes));
        let voters = voters
            .map(|((id, _), seat)| Member {
                id: *id,
                name: seat.to_string(),
            })
            .collect();
        let membership = Membership::new(voters).expect("identities are distinct");
        let genesis = Arc::new(draw_genesis(&membership, &mut rng));
        let (_, verifier) = identities.first().expect("a cluster has a node");
        let chain = Chain::new(Arc::clone(&genesis), membership, Arc::clone(verifier));
        let cast = Cast::new(identities.iter().map(|(id, _)| *id).collect());
        let machines = identities
            .into_iter()
            .zip(cast.seats())
            .map(|(identity, seat)| machine(seat, identity, &genesis, &plan, &mut rng))
            .collect();
        let mut world = Self {
            now: Instant::default(),
            queue: BinaryHeap::new(),
            order: 0,
            at_this_instant: 0,
            machines,
            network: Network::new(plan.network.clone(), seats, rng.fork()),
            workload: Workload::new(plan.workload.clone(), rng.fork()),
            nemesis: Nemesis::new(&plan, rng.fork()),
            season: Season::Storm,
            votes: Votes::default(),
            chain,
            history: History::default(),
            quiet_until: Instant::default(),
            absent: BTreeSet::new(),
            archive: Archive::default(),
            invites: Vec::new(),
            sealer,
            maker: Rng::new(plan.seed ^ 0x736e_6170_7368_6f74),
            stranger,
            durability: Durability::default(),
            rights: Rights::default(),
            trace: Trace::new(&cast, sink),
            stats: Stats::default(),
            standing: BTreeMap::new(),
            image_check_at: IMAGE_CHECK_EVERY,
            holds: Vec::new(),
            limbo: Vec::new(),
            rng,
            cast,
            plan,
        };
        world.schedule_beginning();
        world
    }

    fn schedule_beginning(&mut self) {
        for noise in self.plan.classes().intersection(&Fault::NOISE.into()) {
            self.standing.insert(*noise, Instant(u64::MAX));
        }
        for seat in Seat::all(self.plan.nodes) {
            let after = self
                .rng
                .duration(Duration::ZERO..Duration::from_millis(200));
            self.schedule(after, Event::Start(seat));
        }
        for client in 0..self.workload.clients() {
            let after = self.workload.pause();
            self.schedule(after, Event::Client(client));
        }
        if let Some(pause) = self.nemesis.pause() {
            self.schedule(pause, Event::Nemesis);
        }
    }

    /// The simulated time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A hash over everything that has happened.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.heights = self.chain.top().0;
        stats.ops = self.workload.count();
        stats.time = self.now.since(Instant::default());
        let network = &self.network.tally;
        for (name, count) in [
            ("message lost", network.lost),
            ("message blocked", network.blocked),
            ("message repeated", network.duplicated),
            ("message damaged", network.damaged),
        ] {
            *stats.faults.entry(name.to_owned()).or_default() += count;
        }
        stats
    }

    /// Counts a deed, and what it coincides with.
    fn count_fault(&mut self, fault: Fault, span: Option<Duration>) {
        let end = span.map_or(Instant(u64::MAX), |span| self.now.plus(span));
        *self.stats.faults.entry(fault.to_string()).or_default() += 1;
        self.standing.retain(|_, until| *until > self.now);
        for other in self.standing.keys().filter(|other| **other != fault) {
            let pair = ((*other).min(fault), (*other).max(fault));
            self.stats.pairs.insert(pair, 1);
        }
        let until = self.standing.entry(fault).or_insert(end);
        *until = end.max(*until);
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.now.plus(after), event);
    }

    fn schedule_at(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.queue.push(Scheduled {
            at: at.max(self.now),
            order: self.order,
            event,
        });
    }

    /// Lets the next event happen, if it comes before `deadline`; otherwise the clock moves there. False: none came.
    pub(crate) fn step(&mut self, deadline: Instant) -> Result<bool, crate::checks::Violation> {
        if self.queue.peek().is_none_or(|next| next.at > deadline) {
            self.now = self.now.max(deadline);
            return Ok(false);
        }
        let Some(Scheduled { at, event, .. }) = self.queue.pop() else {
            return Ok(false);
        };
        self.at_this_instant = if at == self.now {
            self.at_this_instant + 1
        } else {
            0
        };
        self.now = at;
        ensure(
            self.at_this_instant < EVENTS_PER_INSTANT_MAX,
            "check_time_passes",
            || format!("{EVENTS_PER_INSTANT_MAX} events at {at:?}, the last is {event:?}"),
        )?;
        self.stats.events += 1;
        self.trace.mix(&[at.0]);
        self.dispatch(event)?;
        if self.stats.events >= self.image_check_at {
            let seat = Seat(self.rng.index(self.machines.len()));
            let length = lock(&self.machine(seat).platter).durable_bytes();
            self.image_check_at = self.stats.events + IMAGE_CHECK_EVERY + (length >> 10);
            self.check_image(seat)?;
        }
        Ok(true)
    }

    /// What happens to a paused machine happens when it goes on.
    fn dispatch(&mut self, event: Event) -> Checked {
        if let Some(seat) = held_for(&event)
            && self.machine(seat).paused
        {
            self.machine_mut(seat).held.push(event);
            return Ok(());
        }
        match event {
            Event::Arrive(packet) => self.arrive(packet),
            Event::Wake(seat, life) => self.wake(seat, life),
            Event::Disk(seat, life, step) => self.disk_step(seat, life, step),
            Event::Reach(seat, op, attempt) => self.reach(seat, op, attempt),
            Event::TimeOut(op, attempt) => self.time_out(op, attempt),
            Event::Client(client) => self.client(client),
            Event::Start(seat) => self.start(seat),
            Event::End(seat, life, down) => self.end(seat, life, down),
            Event::PowerFails(seat, life, down) => self.power_fails(seat, life, down),
            Event::Resume(seat) => self.resume(seat),
            Event::Unblock(ways) => self.unblock(&ways),
            Event::Flap(ways, times, length) => self.flap(ways, times, length),
            Event::Quicken(seat) => self.quicken(seat),
            Event::FreeRoom(seat) => self.free_room(seat),
            Event::Nemesis => self.nemesis_acts(),
            Event::Seal(seat, life) => self.sealer_looks(seat, life),
            Event::Snapshot(seat, life) => self.maker_looks(seat, life),
            Event::Succeed(seat) => self.succeed(seat),
            Event::Admitted(seat) => {
                self.admitted(seat);
                Ok(())
            }
        }
    }

    fn machine(&self, seat: Seat) -> &Machine {
        self.machines.get(seat.0).expect("a machine for each seat")
    }

    fn machine_mut(&mut self, seat: Seat) -> &mut Machine {
        self.machines
            .get_mut(seat.0)
            .expect("a machine for each seat")
    }

    fn platter(&self, seat: Seat) -> Shared {
        Arc::clone(&self.machine(seat).platter)
    }

    fn line(&mut self, text: impl FnOnce() -> String) {
        self.trace.line(self.now, text);
    }

    /// The height a machine has decided, if it runs.
    fn tip(&self, seat: Seat) -> Option<Height> {
        let machine = self.machine(seat);
        let now = machine.clock.read(self.now).instant;
        Some(machine.replica()?.status(now).tip)
    }
}

/// The machine whose process an event is for.
fn held_for(event: &Event) -> Option<Seat> {
    match event {
        Event::Arrive(packet) => Some(packet.to),
        Event::Wake(seat, _)
        | Event::Disk(seat, ..)
        | Event::Reach(seat, ..)
        | Event::Seal(seat, _)
        | Event::Snapshot(seat, _)
        | Event::End(seat, ..) => Some(*seat),
        _ => None,
    }
}

fn machine(
    seat: Seat,
    (id, signatures): (model::NodeId, Arc<dyn Signatures>),
    genesis: &Block,
    plan: &Plan,
    rng: &mut Rng,
) -> Machine {
    let file = ledger::GenesisFile::new(genesis);
    Machine {
        id,
        signatures,
        platter: Arc::new(Mutex::new(Platter::holding([(file.name, file.bytes)]))),
        clock: Clock::new(Duration::ZERO, 0),
        life: Life(0),
        process: None,
        paused: false,
        held: Vec::new(),
        disk: DiskHealth {
            flush: rng.duration(plan.disk.flush.clone()),
            slow: false,
            fail_next: false,
            down: Duration::ZERO,
            told_full: false,
            ambush: None,
            lazy_due: false,
            spoiled: false,
            rotten: false,
            damaged: false,
            astray: false,
            mended: false,
            forgetful: false,
            wiped: false,
        },
        drawer: Drawer::default(),
        born: seat.0 < plan.nodes,
        contacts: Vec::new(),
        away_until: Instant::default(),
        broken: false,
    }
}
