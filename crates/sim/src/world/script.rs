//! What scenarios steer a world with, and the end of every run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consensus::{Message, Phase, StopReason};
use model::{Ballot, Block, Height, Instant, NodeId, Reason, Roster, Vote};

use super::{Event, Hold, World};
use replica::Replica;

use crate::checks::rules::quorum;
use crate::checks::{Checked, Violation, ensure};
use crate::disk::{Platter, lock};
use crate::seat::Seat;
use crate::workload::{OpId, State};

/// What a client reaches its node after.
const AT_ONCE: Duration = Duration::from_micros(1);

/// A copy of a machine's disk, to put back later.
pub struct DiskImage(Platter);

impl World<'_> {
    /// Lets `length` pass.
    ///
    /// # Errors
    /// The first violation.
    pub fn run_for(&mut self, length: Duration) -> Checked {
        let deadline = self.now.plus(length);
        while self.step(deadline)? {}
        Ok(())
    }

    /// Lets time pass until `done` holds, at most `limit`. Whether it holds.
    ///
    /// # Errors
    /// The first violation.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Violation> {
        let deadline = self.now.plus(limit);
        loop {
            if done(self) {
                return Ok(true);
            }
            if !self.step(deadline)? {
                return Ok(false);
            }
        }
    }

    /// Runs the storm: until the plan's length has passed or `events` have happened.
    pub(crate) fn storm(&mut self, events: u64) -> Checked {
        let deadline = Instant::default().plus(self.plan.length);
        while self.stats.events < events && self.step(deadline)? {}
        Ok(())
    }

    /// Mends everything, perhaps but for a minority that stays down, and waits until every client has its answer and
    /// all heads are equal; then brings everybody back, asks every node for one more write, and waits again. The time
    /// it took.
    ///
    /// # Errors
    /// `check_liveness` if it takes longer than `limit`, or the first other violation.
    pub fn settle(&mut self, limit: Duration) -> Result<Duration, Violation> {
        let began = self.now;
        self.absent = self.draw_absent();
        self.heal()?;
        self.converge(limit)?;
        for seat in std::mem::take(&mut self.absent) {
            self.start_now(seat);
        }
        self.converge(limit)?;
        for seat in self.living().collect::<Vec<_>>() {
            self.write(seat);
        }
        self.converge(limit)?;
        self.check_final_state()?;
        let took = self.now.since(began);
        self.stats.calm = self.stats.calm.max(took);
        Ok(took)
    }

    pub(super) fn converge(&mut self, limit: Duration) -> Checked {
        let done = |world: &Self| world.unfinished().is_none() || world.is_lost_for_good();
        let reached = self.run_until(limit, done)?;
        ensure(reached, "check_liveness", || {
            format!(
                "after {limit:?} without faults {}",
                self.unfinished().unwrap_or_default()
            )
        })
    }

    /// Whether so many disks of voters are lost that no quorum will ever be there again. Changes of the members may come
    /// to that: nobody knows that a machine which answers now is gone the next moment.
    fn is_lost_for_good(&self) -> bool {
        let voters = self.voters();
        let alive = voters.iter().filter(|seat| !self.is_lost(**seat)).count();
        alive < quorum(voters.len())
    }

    /// Whether a machine's disk was found to be damaged, so that its identity has ended.
    fn is_lost(&self, seat: Seat) -> bool {
        self.machine(seat).broken || self.stop_reason(seat) == Some(StopReason::RolledBack)
    }

    /// The machines that take part: they belong to the cluster, are not absent, and no disk of theirs was found to be
    /// damaged.
    fn living(&self) -> impl Iterator<Item = Seat> + '_ {
        self.cast.seats().filter(|seat| {
            !self.is_lost(*seat) && !self.absent.contains(seat) && self.belongs(*seat)
        })
    }

    /// Whether a machine is in the roster of the top, or will be again: it was pruned, and comes back by itself.
    fn belongs(&self, seat: Seat) -> bool {
        let id = self.cast.id(seat);
        let roster = self.chain.roster(self.chain.top());
        let left = roster.former().get(&id);
        roster.everybody().any(|member| member.id == id)
            || left.is_some_and(|left| left.reason == Reason::Silent)
    }

    /// Whether a machine has become what it is going to be.
    fn is_seated(&self, seat: Seat) -> bool {
        let id = self.cast.id(seat);
        let roster = self.chain.roster(self.chain.top());
        roster.voters().contains(id) || roster.learner(id).is_some_and(|learner| !learner.votes)
    }

    /// What is still to be done before the cluster is at rest.
    fn unfinished(&self) -> Option<String> {
        if let Some(op) = self.workload.waiting().first() {
            let count = self.workload.waiting().len();
            return Some(format!(
                "{count} operations wait, the first is {op:?} {:?}",
                self.workload.op(*op)
            ));
        }
        let living: BTreeSet<Seat> = self.living().collect();
        let mut pending = self.workload.pending();
        if let Some((seat, leaf)) = pending.find(|(seat, _)| living.contains(seat)) {
            return Some(format!(
                "{seat} has taken {leaf:?}, which is neither decided nor dropped"
            ));
        }
        let top = self.chain.top();
        living.into_iter().find_map(|seat| {
            let tip = self.tip(seat);
            let voting = self.is_voting(seat);
            (tip != Some(top) || !voting || !self.is_seated(seat)).then(|| {
                let role = self.machine(seat).replica().map(Replica::role);
                format!(
                    "{seat} is at {tip:?} of {top}, taking part: {voting}, {:?} {role:?}",
                    self.phase(seat)
                )
            })
        })
    }

    fn check_final_state(&mut self) -> Checked {
        let top = self.chain.top();
        if self.is_lost_for_good() {
            self.stats.meet("quorum lost for good");
            return Ok(());
        }
        ensure(
            top >= self.history.written(),
            "check_acknowledged_survive",
            || {
                format!(
                    "the chain ends at {top}, {} was acknowledged",
                    self.history.written()
                )
            },
        )?;
        let expected = self.chain.core_at(top);
        for seat in self.living().collect::<Vec<_>>() {
            let equal = self
                .machine(seat)
                .replica()
                .is_some_and(|replica| *replica.core() == expected);
            ensure(equal, "check_core_state_equal", || {
                format!("{seat} ends with another core state")
            })?;
            self.check_image(seat)?;
        }
        Ok(())
    }

    /// A client writes a record under a request key through this node.
    pub fn write(&mut self, seat: Seat) -> OpId {
        let op = self.workload.new_write();
        self.send_op(seat, op, AT_ONCE);
        op
    }

    /// A client reads through this node.
    pub fn read(&mut self, seat: Seat) -> OpId {
        let op = self.workload.new_read();
        self.send_op(seat, op, AT_ONCE);
        op
    }

    /// The height of a write or read, once its client knows.
    pub fn answer(&self, op: OpId) -> Option<Height> {
        match self.workload.op(op).state {
            State::Answered(height) => Some(height),
            State::Waiting | State::Refused | State::Unknown => None,
        }
    }

    /// Ends a process as `kill -9` does.
    pub fn kill_now(&mut self, seat: Seat) {
        self.kill(seat);
    }

    /// Takes the power away from one machine.
    ///
    /// # Errors
    /// If its disk does not hold what it has said.
    pub fn cut_power_now(&mut self, seat: Seat) -> Checked {
        self.cut_power(seat)
    }

    /// Starts a machine that is down.
    pub fn start_now(&mut self, seat: Seat) {
        self.schedule(Duration::ZERO, Event::Start(seat));
    }

    /// Blocks a link both ways.
    pub fn cut_link(&mut self, a: Seat, b: Seat) {
        self.network.block(a, b);
        self.network.block(b, a);
    }

    /// Takes such a block away.
    pub fn mend_link(&mut self, a: Seat, b: Seat) {
        self.network.unblock(a, b);
        self.network.unblock(b, a);
    }

    /// Holds back what `from` sends to `to` and `matches` picks, until [`World::release`].
    pub fn hold(&mut self, from: Seat, to: Seat, matches: fn(&Message) -> bool) {
        self.holds.push(Hold { from, to, matches });
    }

    /// How many messages are held back.
    pub fn held(&self) -> usize {
        self.limbo.len()
    }

    /// Ends all holds. What was held is sent, or lost, as `kept` says.
    pub fn release(&mut self, kept: Kept) {
        self.holds.clear();
        let limbo = std::mem::take(&mut self.limbo);
        if kept == Kept::Sent {
            limbo
                .into_iter()
                .for_each(|packet| self.dispatch_packet(packet));
        }
    }

    /// Makes a machine's flushes take seconds, or ends that.
    pub fn slow_disk(&mut self, seat: Seat, pace: Pace) {
        self.machine_mut(seat).disk.slow = pace == Pace::Slow;
    }

    /// Makes a machine's next flush fail. Its process ends `down` later, and starts again after as long.
    pub fn fail_next_flush(&mut self, seat: Seat, down: Duration) {
        let disk = &mut self.machine_mut(seat).disk;
        disk.fail_next = true;
        disk.down = down;
    }

    /// Copies what a machine's disk holds durably.
    pub fn copy_disk(&self, seat: Seat) -> DiskImage {
        DiskImage(lock(&self.machine(seat).platter).durable_image())
    }

    /// Puts an old copy in a machine that is down: its identity's past is gone.
    pub fn roll_back_disk(&mut self, seat: Seat, image: DiskImage) {
        let machine = self.machine_mut(seat);
        assert!(
            machine.process.is_none(),
            "a disk is swapped while its machine is down"
        );
        machine.platter = Arc::new(Mutex::new(image.0));
        machine.disk.forgetful = true;
    }

    /// Puts the disk of another cluster's node in a machine that is down: the same keys and the same first block, and
    /// another history above it.
    pub fn lead_astray(&mut self, seat: Seat, image: DiskImage) {
        self.roll_back_disk(seat, image);
        self.machine_mut(seat).disk.astray = true;
    }

    /// Takes from a machine that is down all files of its log but the first and the newest.
    pub fn lose_middle_of_log(&mut self, seat: Seat) {
        let machine = self.machine_mut(seat);
        machine.disk.forgetful = true;
        lock(&machine.platter).lose_middle_of_log();
    }

    /// The height a node has decided, if it runs.
    pub fn tip_of(&self, seat: Seat) -> Option<Height> {
        self.tip(seat)
    }

    /// The highest height that any node has decided.
    pub fn top(&self) -> Height {
        self.chain.top()
    }

    /// The block of a height, once decided.
    pub fn block(&self, height: Height) -> Option<Arc<Block>> {
        self.chain.block(height).cloned()
    }

    /// The ballot at which a height was decided, as the first node to report it has proven.
    pub fn decided_at(&self, height: Height) -> Option<Ballot> {
        self.chain.ballot(height)
    }

    /// Who has the turn of the height above the top.
    pub fn turn_holder(&self) -> Option<Seat> {
        let turn = self.chain.turn(self.top().next())??;
        Some(self.cast.seat(turn.node))
    }

    /// Who votes above the top.
    pub fn voters(&self) -> Vec<Seat> {
        let roster = self.chain.roster(self.chain.top());
        let voters = roster.voters().voters().iter();
        voters.map(|member| self.cast.seat(member.id)).collect()
    }

    /// Who belongs to the cluster above the top.
    pub fn roster(&self) -> &Roster {
        self.chain.roster(self.chain.top())
    }

    /// Under which identity a machine takes part.
    pub fn identity(&self, seat: Seat) -> NodeId {
        self.cast.id(seat)
    }

    /// Whether everybody who should vote does, and all are at the top.
    pub fn is_at_rest(&self) -> bool {
        self.unfinished().is_none()
    }

    /// A running node's vote at its undecided height.
    pub fn vote(&self, seat: Seat) -> Option<Vote> {
        Some(self.machine(seat).replica()?.vote())
    }

    /// How far a running node is in taking part.
    pub fn phase(&self, seat: Seat) -> Option<Phase> {
        let machine = self.machine(seat);
        let now = machine.clock.read(self.now).instant;
        Some(machine.replica()?.status(now).phase)
    }

    /// Whether a node runs and votes.
    pub fn is_voting(&self, seat: Seat) -> bool {
        self.machine(seat)
            .process
            .as_ref()
            .is_some_and(|process| process.voting)
    }

    /// Why a running node has stopped voting, if it has.
    pub fn stop_reason(&self, seat: Seat) -> Option<StopReason> {
        self.machine(seat).process.as_ref()?.stopped
    }
}

/// What becomes of messages held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// They go on their way.
    Sent,
    /// They are lost.
    Lost,
}

/// How quick a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As the plan says.
    Usual,
    /// 0.2 to 5 seconds for a flush.
    Slow,
}
