//! Starting, driving and ending replicas.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use consensus::{Message, StopReason};
use ledger::Reader;
use model::{
    Block, Decode as _, Encode as _, Entry, Height, Instant, Nonce, Reason, SealedCommand, limits,
};
use replica::{AppliedBlock, Config, Input, OpenError, Output, Replica};

use super::mending::Mending;
use super::snapshots::Beginning;
use super::{Event, Season, World};
use crate::checks::durability::{Kept, check_votes_survive};
use crate::checks::rights::Saying;
use crate::checks::rules::quorum;
use crate::checks::{Checked, Violation, ensure};
use crate::clock::Clock;
use crate::disk::{SimDisk, Writeback, lock};
use crate::machine::{Life, Process};
use crate::network::{Packet, Shape};
use crate::plan::Fault;
use crate::rng::Chance;
use crate::seat::Seat;
use crate::shelf::Shelf;
use crate::snapshots::Making;

/// A replica, the shelf that it has filled on its way, and what it began with; or why there is none.
type Opened = Result<(Replica<SimDisk>, Shelf, Beginning), OpenError>;

impl World<'_> {
    /// A machine's process starts, unless it runs already or never will again.
    pub(super) fn start(&mut self, seat: Seat) -> Checked {
        let machine = self.machine(seat);
        let waits = !machine.born || machine.broken || machine.away_until > self.now;
        if machine.process.is_some() || waits || self.absent.contains(&seat) {
            return Ok(());
        }
        let clock = self.draw_clock(seat);
        let nonce = Nonce(self.rng.bytes());
        self.rights.begin(seat, nonce);
        let incarnation = (nonce, self.rng.bits());
        let reading = clock.read(self.now);
        let cuts = self.cuts_before_power_fails();
        lock(&self.platter(seat)).limit_cuts(cuts);
        let opened = self.open(seat, incarnation, reading);
        if opened.is_err() && lock(&self.platter(seat)).is_out_of_cuts() {
            self.schedule(Duration::from_millis(100), Event::Start(seat));
            return self.cut_power(seat);
        }
        lock(&self.platter(seat)).limit_cuts(None);
        let Some(opened) = self.open_mended(seat, opened, (incarnation, reading))? else {
            return Ok(());
        };
        let machine = self.machine_mut(seat);
        machine.clock = clock;
        machine.life = Life(machine.life.0 + 1);
        let (replica, shelf, begun) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                machine.broken = true;
                let excused = machine.disk.is_doubtful();
                self.stats.meet("disk refused at start");
                self.line(|| format!("{seat} cannot start: {error}"));
                return ensure(excused, "check_disk_opens", || {
                    format!("{seat} cannot start on a disk that never failed: {error}")
                });
            }
        };
        let wiped = self.machine(seat).disk.wiped;
        ensure(!wiped, "check_a_lost_ledger_is_not_made_anew", || {
            format!("{seat} starts on a disk that holds no ledger")
        })?;
        self.note_found(replica.found());
        let status = replica.status(reading.instant);
        if !self.machine(seat).disk.is_doubtful() {
            self.rights.opened(seat, status.me.boot);
        }
        self.line(|| format!("{seat} starts: tip {} {:?}", status.tip, status.me));
        self.chain.opened(
            seat,
            (status.tip, status.head),
            (replica.core(), replica.roster()),
        )?;
        self.machine_mut(seat).process = Some(Process {
            replica,
            shelf,
            making: Making::default(),
            wake_at: None,
            voting: false,
            stopped: None,
        });
        self.check_beginning(seat, &begun)?;
        self.arm_sealer(seat);
        self.arm_maker(seat);
        self.drain(seat)
    }

    /// What comes of opening a ledger once it is mended, if it is damaged; nothing if it cannot be mended yet.
    fn open_mended(
        &mut self,
        seat: Seat,
        mut opened: Opened,
        (incarnation, reading): ((Nonce, u64), model::Now),
    ) -> Result<Option<Opened>, Violation> {
        let damage = |opened: &Opened| opened.as_ref().err().and_then(OpenError::damage);
        let mut tried = BTreeSet::new();
        // The second time, mending did not help.
        while let Some(unreadable) = damage(&opened).filter(|damage| tried.insert(*damage)) {
            match self.mend(seat, unreadable)? {
                Mending::Done => opened = self.open(seat, incarnation, reading),
                Mending::Later => return Ok(None),
                Mending::Refused => break,
            }
        }
        Ok(Some(opened))
    }

    /// Opens the ledger, with the nonce and the seed of a new incarnation.
    fn open(&self, seat: Seat, (nonce, seed): (Nonce, u64), reading: model::Now) -> Opened {
        let machine = self.machine(seat);
        let config = Config {
            me: machine.id,
            signatures: Arc::clone(&machine.signatures),
            nonce,
            seed,
            contacts: machine.contacts.clone(),
            care: self.care(seat),
        };
        let file_bytes = self.plan.sealing.as_ref().and_then(|plan| plan.file_bytes);
        lock(&machine.platter).end_files_at(file_bytes);
        let disk = SimDisk::new(self.platter(seat));
        let (begun, shelf) = (RefCell::default(), RefCell::<Shelf>::default());
        let start = |reader: &Reader| {
            let found = Beginning::find(&machine.drawer, reader);
            shelf.replace(found.shelf.clone());
            let start = found.start();
            begun.replace(found);
            start
        };
        let opened = Replica::open_from(disk, config, reading, start, |applied| {
            let height = applied.block.height();
            shelf.borrow_mut().apply(height, &applied.dispositions);
        });
        opened.map(|replica| (replica, shelf.into_inner(), begun.into_inner()))
    }

    /// The clock of a new start: its own beginning and drift, and the wall clock's error of before.
    fn draw_clock(&mut self, seat: Seat) -> Clock {
        let drift = i64::from(self.plan.drift_ppm);
        let drift = self.rng.below(2 * drift.unsigned_abs() + 1).cast_signed() - drift;
        let offset = self
            .rng
            .duration(Duration::ZERO..Duration::from_secs(1_000_000));
        let wall_error = self.machine(seat).clock.wall_error();
        let mut clock = Clock::new(offset, i32::try_from(drift).unwrap_or(0));
        clock.set_wall_error(wall_error);
        clock
    }

    /// What opening a disk has met.
    fn note_found(&mut self, found: &ledger::Report) {
        for (what, seen) in [
            ("rotten copy repaired", !found.repaired.is_empty()),
            ("torn end cut off", !found.cut.is_empty()),
            ("lost page cache made up for", !found.superseded.is_empty()),
            ("damaged segment left aside", !found.damaged.is_empty()),
        ] {
            if seen {
                self.stats.meet(what);
            }
        }
    }

    /// Now and then power fails while a damaged end of the log is being cut off.
    fn cuts_before_power_fails(&mut self) -> Option<u32> {
        let may_fail = self.season == Season::Storm && self.plan.faults.contains(&Fault::PowerCut);
        (may_fail && self.rng.chance(Chance::percent(10)))
            .then(|| u32::try_from(self.rng.below(3)).unwrap_or(0))
    }

    /// Hands a running replica one input and does what it says.
    pub(super) fn feed(&mut self, seat: Seat, input: Input) -> Checked {
        let now = self.now;
        let machine = self.machine_mut(seat);
        let reading = machine.clock.read(now);
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        process.replica.handle(reading, input);
        self.drain(seat)
    }

    fn drain(&mut self, seat: Seat) -> Checked {
        let mut outputs = Vec::new();
        if let Some(process) = &mut self.machine_mut(seat).process {
            while let Some(output) = process.replica.poll_output() {
                outputs.push(output);
            }
        }
        // What is decided is looked at first: it says who may have sent the rest.
        for output in &outputs {
            if let Output::Decided(applied) = output {
                self.decided(seat, applied)?;
            }
        }
        self.note_dropped_pushes(seat);
        if let Some(replica) = self.machine(seat).replica() {
            let tip = self.chain.tip(seat);
            self.chain
                .check_rosters_equal(seat, tip, replica.roster())?;
        }
        for output in outputs {
            self.carry_out(seat, output)?;
        }
        self.poke_disk(seat);
        self.arm(seat);
        Ok(())
    }

    fn decided(&mut self, seat: Seat, applied: &AppliedBlock) -> Checked {
        let block = &applied.block;
        self.line(|| format!("{seat} decides {block:?} of {:?}", block.header().proposer));
        self.trace.mix_bytes(&block.hash().0);
        let top = self.chain.top();
        self.chain.decided(seat, applied, self.workload.asked())?;
        if self.chain.top() > top {
            self.note_members(top);
            self.note_bounds(block);
        }
        if let Some(process) = &mut self.machine_mut(seat).process {
            process.shelf.apply(block.height(), &applied.dispositions);
        }
        self.note_snapshots(seat, applied);
        self.rights.decided(seat, block.height());
        let chosen = self.votes.chosen(block.height());
        ensure(
            chosen.is_none_or(|hash| hash == block.hash()),
            "check_agreement",
            || format!("{seat} decides {block:?}, a quorum accepted {chosen:?}"),
        )?;
        let Some(certificate) = &applied.certificate else {
            return Ok(());
        };
        let platter = self.platter(seat);
        let voters = self.chain.voters(block.height());
        let place = voters.index_of(self.cast.id(seat));
        self.durability.check_own_accept_counts_when_durable(
            seat,
            (certificate, place),
            &self.votes,
            &lock(&platter),
        )
    }

    /// Which changes of the members the block above `below` has brought.
    fn note_members(&mut self, below: Height) {
        let before = Arc::clone(self.chain.roster(below));
        let after = Arc::clone(self.chain.roster(below.next()));
        for learner in after.learners() {
            let node = learner.member.id;
            if before.everybody().all(|member| member.id != node) {
                self.schedule(Duration::ZERO, Event::Admitted(self.cast.seat(node)));
            }
        }
        if after.epoch() == before.epoch() {
            return;
        }
        let (old, new) = (before.voters().len(), after.voters().len());
        let mut left = after.former().values();
        let pruned = left.any(|left| left.height == below.next() && left.reason == Reason::Silent);
        self.stats.meet(match (new.cmp(&old), pruned) {
            (Ordering::Greater, _) => "voter seated",
            (Ordering::Equal, _) => "voter replaced",
            (Ordering::Less, true) => "voter pruned",
            (Ordering::Less, false) => "voter removed",
        });
    }

    /// Counted once for each run: a process only knows how often it has happened since its start.
    fn note_dropped_pushes(&mut self, seat: Seat) {
        let replica = self.machine(seat).replica();
        if replica.is_some_and(|replica| replica.counters().pushes_dropped > 0) {
            self.stats.met.insert("no room for pushed commands", 1);
        }
    }

    /// A block that could not hold what waited next has met a bound.
    fn note_bounds(&mut self, block: &Block) {
        let sealed = block.entries().iter().filter_map(Entry::sealed);
        let bytes: usize = sealed.map(SealedCommand::block_bytes).sum();
        if block.entries().len() == limits::BLOCK_COMMANDS_MAX {
            self.stats.meet("block full of commands");
        }
        if bytes + limits::RECORD_BYTES_MAX > limits::BLOCK_BYTES_MAX {
            self.stats.meet("block full of bytes");
        }
    }

    fn carry_out(&mut self, seat: Seat, output: Output) -> Checked {
        match output {
            Output::Send { to, message } => self.send(seat, self.cast.seat(to), &message),
            Output::Decided(applied) => self.tell_clients(seat, &applied),
            Output::ReadReady { id, height } => self.read_ready(seat, id, height),
            Output::Dropped(leaves) => {
                self.line(|| format!("{seat} drops {leaves:?}"));
                self.chain.dropped(seat, &leaves)?;
                self.commands_dropped(seat, &leaves);
                Ok(())
            }
            Output::Voting => {
                self.line(|| format!("{seat} takes part"));
                let voters = Arc::clone(self.chain.voters(self.chain.tip(seat).next()));
                let me = (self.cast.id(seat), &*voters);
                self.rights
                    .check_start_up_check_is_answered(seat, me, &self.cast)?;
                if let Some(process) = &mut self.machine_mut(seat).process {
                    process.voting = true;
                }
                Ok(())
            }
            Output::Stopped(reason) => self.stopped(seat, reason),
            Output::Refused { from, why } => {
                let from = self.cast.seat(from);
                self.line(|| format!("{seat} refuses a message of {from}: {why}"));
                *self.stats.refused.entry(why).or_default() += 1;
                Ok(())
            }
            Output::Evidence(evidence) => ensure(false, "check_nobody_is_accused", || {
                format!("{seat} accuses a node: {evidence:?}")
            }),
        }
    }

    fn stopped(&mut self, seat: Seat, reason: StopReason) -> Checked {
        self.line(|| format!("{seat} stops: {reason}"));
        let machine = self.machine(seat);
        let justified = match reason {
            StopReason::FlushFailed => lock(&machine.platter).has_failed(),
            StopReason::RolledBack => machine.disk.forgetful,
            StopReason::Forked { .. } => false,
            StopReason::Removed => {
                let roster = self.chain.roster(self.chain.tip(seat));
                let left = roster.former().get(&self.cast.id(seat));
                left.is_some_and(|left| left.reason == Reason::Asked)
            }
        };
        if let Some(process) = &mut self.machine_mut(seat).process {
            process.voting = false;
            process.stopped = Some(reason);
        }
        ensure(justified, "check_stops_for_cause", || {
            format!("{seat} stops: {reason}")
        })
    }

    fn send(&mut self, from: Seat, to: Seat, message: &Message) -> Checked {
        self.check_saying(from, message)?;
        let packet = Packet {
            from,
            to,
            bytes: message.to_bytes().into(),
            shape: Shape::Intact,
        };
        if self.is_held(&packet, message) {
            self.line(|| format!("{from} -> {to} held back: {message:?}"));
            self.limbo.push(packet);
            return Ok(());
        }
        if !self.is_ambushed(from, message) {
            self.dispatch_packet(packet);
        }
        Ok(())
    }

    /// Everything that must hold of a message that leaves.
    fn check_saying(&mut self, seat: Seat, message: &Message) -> Checked {
        let top = self.chain.top().next();
        let height = height_of(message).unwrap_or(top).min(top);
        let voters = Arc::clone(self.chain.voters(height));
        let id = self.cast.id(seat);
        self.votes.said(seat, message, (id, &voters))?;
        let platter = self.platter(seat);
        let platter = lock(&platter);
        let turn = match message {
            Message::Accept(accept) => self.chain.turn(accept.block.height()),
            _ => None,
        };
        let saying = Saying {
            seat,
            id,
            message,
            membership: &voters,
            tip: self.chain.tip(seat),
            turn,
        };
        self.rights
            .says(&saying, self.votes.proposals(), &platter)?;
        self.durability
            .check_persist_before_send(seat, message, &platter)?;
        match message {
            Message::Accept(accept) if accept.ballot.node == self.machine(seat).id => {
                let (height, ballot) = (accept.block.height(), accept.ballot);
                let promises = self.rights.promises(seat, height, ballot);
                let counts = (promises, quorum(voters.len()));
                self.durability
                    .check_own_promise_counts_when_durable(seat, accept, counts, &platter)
            }
            Message::Decide { block, .. } => {
                self.chain.check_served_blocks_are_decided(seat, block)
            }
            _ => Ok(()),
        }
    }

    fn is_held(&self, packet: &Packet, message: &Message) -> bool {
        self.holds
            .iter()
            .any(|hold| (hold.from, hold.to) == (packet.from, packet.to) && (hold.matches)(message))
    }

    pub(super) fn dispatch_packet(&mut self, packet: Packet) {
        for (at, packet) in self.network.send(self.now, packet) {
            self.schedule_at(at, Event::Arrive(packet));
        }
    }

    /// A message comes out of the network. A damaged one is decoded all the same, to see that nothing breaks, and
    /// then lost: the link's encryption is authenticated.
    pub(super) fn arrive(&mut self, packet: Packet) -> Checked {
        let Packet {
            from,
            to,
            bytes,
            shape,
        } = packet;
        self.network.arrived(from, to);
        self.trace.mix(&[from.0 as u64, to.0 as u64]);
        self.trace.mix_bytes(&bytes);
        let message = match (Message::from_bytes(&bytes), shape) {
            (Ok(message), Shape::Intact) => message,
            (_, Shape::Damaged) => {
                self.line(|| format!("{from} -> {to} damaged"));
                return Ok(());
            }
            (Err(error), Shape::Intact) => {
                return Err(Violation {
                    check: "check_messages_decode",
                    detail: format!("{from} -> {to}: {error}"),
                });
            }
        };
        let runs = self.machine(to).process.is_some();
        self.line(|| {
            let lost = if runs { "" } else { " (nobody there)" };
            format!("{from} -> {to} {message:?}{lost}")
        });
        if runs {
            self.rights.hears(to, from, &message);
        }
        let from = self.machine(from).id;
        self.feed(to, Input::Receive { from, message })
    }

    /// A timer of a process is due, unless it was moved meanwhile.
    pub(super) fn wake(&mut self, seat: Seat, life: Life) -> Checked {
        let now = self.now;
        let machine = self.machine_mut(seat);
        if machine.life != life {
            return Ok(());
        }
        let local = machine.clock.read(now).instant;
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        if process.wake_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        process.wake_at = None;
        if process.replica.next_wake().is_some_and(|due| due <= local) {
            self.feed(seat, Input::Wake)
        } else {
            self.arm(seat);
            Ok(())
        }
    }

    /// Sets the timer a replica asks for. A timer moved to a later time fires in vain at the earlier one.
    fn arm(&mut self, seat: Seat) {
        let now = self.now;
        let machine = self.machine_mut(seat);
        let life = machine.life;
        let clock = machine.clock.clone();
        let Some(process) = &mut machine.process else {
            return;
        };
        let Some(due) = process.replica.next_wake() else {
            return;
        };
        let at: Instant = clock.when(due).max(now);
        if process.wake_at.is_none_or(|armed| at < armed) {
            process.wake_at = Some(at);
            self.schedule_at(at, Event::Wake(seat, life));
        }
    }

    /// The process dies; what the kernel holds stays.
    pub(super) fn kill(&mut self, seat: Seat) {
        self.line(|| format!("{seat} is killed"));
        let platter = self.platter(seat);
        lock(&platter).kill(&mut self.rng);
        self.end_process(seat);
    }

    /// The machine loses power: its disk must still hold everything it has ever said.
    pub(super) fn cut_power(&mut self, seat: Seat) -> Checked {
        let writeback = Writeback::draw(&mut self.rng);
        self.line(|| format!("{seat} loses power, {writeback:?} written back"));
        let platter = self.platter(seat);
        lock(&platter).cut_power(&mut self.rng, writeback);
        self.end_process(seat);
        self.check_image(seat)
    }

    fn end_process(&mut self, seat: Seat) {
        let machine = self.machine_mut(seat);
        machine.process = None;
        machine.paused = false;
        machine.held.clear();
        machine.disk.told_full = false;
        machine.disk.lazy_due = false;
        machine.disk.fail_next = false;
        machine.disk.ambush = None;
        machine.life = Life(machine.life.0 + 1);
        self.durability.forget(seat);
        self.connections_lost(seat);
    }

    /// Checks what a power cut would leave just now.
    pub(super) fn check_image(&mut self, seat: Seat) -> Checked {
        let machine = self.machine(seat);
        let disk = &machine.disk;
        let harmed = disk.forgetful || disk.rotten || disk.damaged;
        if harmed || machine.broken || !machine.born {
            return Ok(());
        }
        let image = lock(&machine.platter).durable_image();
        let kept = if disk.spoiled {
            Kept::Votes
        } else {
            Kept::Blocks
        };
        check_votes_survive(seat, (image, kept), &*machine.signatures, &self.votes)
    }
}

/// The height that a message is about, if it binds its sender.
fn height_of(message: &Message) -> Option<Height> {
    match message {
        Message::Prepare { height, .. }
        | Message::Promise { height, .. }
        | Message::Accepted { height, .. } => Some(*height),
        Message::Accept(accept) => Some(accept.block.height()),
        _ => None,
    }
}
