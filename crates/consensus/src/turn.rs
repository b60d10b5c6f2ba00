//! Whose turn it is, who gets it next, and where commands go meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Ballot, Block, Draft, Height, Instant, LeafHash, LogSeq, NodeId, Reason, RosterChange,
    SealedCommand, SeatChange, Turn,
};

use crate::acceptor::AcceptedBlock;
use crate::engine::Engine;
use crate::message::Message;
use crate::peers::{Peer, Role};

/// A node whose clock is further ahead of a quorum's than this proposes nothing new, so that one wrong clock cannot
/// drag the chain's time.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(10);
/// The longest wait for more commands.
const LINGER_MAX: Duration = Duration::from_millis(2);
/// The longest wait between two pushes of a node without a vote.
const PUSH_WAIT_MAX: Duration = Duration::from_secs(1);
/// A learner that is further behind than this is not made a voter.
const LAG_MAX: u64 = 2;
/// One push message carries at most this much.
const PUSH_BYTES_MAX: usize = 512 << 10;

impl Engine {
    /// The incarnation expected to propose at the next height; none if the turn is vacant: nobody is named, or a
    /// stranger, an ended boot, a suspect, or a node that wants no turn.
    pub(crate) fn holder(&self) -> Option<Turn> {
        self.tip.header.hint.filter(|turn| self.can_hold(*turn))
    }

    fn can_hold(&self, turn: Turn) -> bool {
        if turn.node == self.me.node {
            return turn == self.me && !self.is_yielding();
        }
        self.peers.get(turn.node).is_some_and(|peer| {
            let ended = peer.boot().is_some_and(|boot| boot > turn.boot);
            peer.votes() && !ended && !peer.yielding && peer.missed.is_none()
        })
    }

    /// Where the ring distance of a takeover is counted from.
    pub(crate) fn last_in_turn(&self) -> NodeId {
        self.tip
            .header
            .hint
            .map_or(self.tip.header.proposer.node, |turn| turn.node)
    }

    /// Steps in the ring from `node` to this one, suspects not counted, at least 1.
    pub(crate) fn ring_distance(&self, node: NodeId) -> u32 {
        if node == self.me.node {
            return 1;
        }
        let between = self
            .voters()
            .ring_after(node)
            .take_while(|id| *id != self.me.node);
        let counted = between.filter(|id| self.peers.get(*id).is_some_and(|p| p.missed.is_none()));
        u32::try_from(counted.count())
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    /// Whether this node has commands to propose and may set the block's time.
    pub(crate) fn wants_block(&self) -> bool {
        self.has_work() && !self.is_clock_ahead()
    }

    /// Whether this node has commands that it would propose.
    pub(crate) fn has_work(&self) -> bool {
        self.pending.len() > self.unfit_changes().len()
    }

    pub(crate) fn is_clock_ahead(&self) -> bool {
        let behind = self
            .peers
            .voters()
            .filter(|(_, peer)| peer.is_clock_behind(CLOCK_AHEAD_MAX));
        behind.count() >= self.voters().quorum()
    }

    /// Proposes at ballot 1, which needs no prepare, if this incarnation has the turn and need not linger.
    pub(crate) fn propose_with_turn(&mut self) {
        if self.linger_due().is_none_or(|due| self.now.instant < due) {
            return;
        }
        self.counters.turns_used += 1;
        self.proposer.turn_used = true;
        let (block, workers) = self.new_block();
        self.propose(Ballot::of_turn(self.me), block, workers);
    }

    /// When to propose with the turn; none if that is not possible.
    ///
    /// At once, unless fewer commands are pending than the last block held: the clients it answered are about to send
    /// more, and a block of a few commands costs as much as one of many. The wait is a fraction of any hedge.
    pub(crate) fn linger_due(&self) -> Option<Instant> {
        let ballot = Ballot::of_turn(self.me);
        let has_turn = self.tip.header.hint == Some(self.me);
        if !has_turn
            || self.proposer.turn_used
            || !self.proposer.is_idle()
            || self.acceptor.promised() > ballot
            || !self.may_vote()
            || !self.wants_block()
        {
            return None;
        }
        let pace = self.pace();
        let linger = (pace.round_trip.min(pace.flush) / 2).min(LINGER_MAX);
        let few = self.pending.len() < self.tip.header.commands as usize;
        Some(if few {
            self.tip.since.plus(linger)
        } else {
            self.tip.since
        })
    }

    /// Pending changes of the voters that this node does not propose now. Acceptors never refuse one for reasons that
    /// differ between nodes, so whoever proposes it looks first. One block changes the voters once.
    fn unfit_changes(&self) -> BTreeSet<LeafHash> {
        let mut taken = false;
        let changes = self.pending.seat_changes().into_iter();
        changes
            .filter(|(_, epoch, change)| {
                let fit = !taken && self.is_fit(*epoch, change);
                taken |= fit;
                !fit
            })
            .map(|(leaf, ..)| leaf)
            .collect()
    }

    /// Whether a change of the voters fits the chain, and leaves a quorum that is there: who joins has caught up, who is
    /// to be pruned is not heard here either.
    fn is_fit(&self, epoch: Height, change: &SeatChange) -> bool {
        let Some(voters) = self.voters().with(change) else {
            return false;
        };
        let now = self.now.instant;
        let is_there = |node: NodeId| {
            node == self.me.node || self.peers.get(node).is_some_and(|peer| peer.is_alive(now))
        };
        let there = voters.voters().iter().filter(|member| is_there(member.id));
        let joins_in_time = match change {
            SeatChange::Add(member) | SeatChange::Replace { new: member, .. } => {
                let peer = self.peers.get(member.id);
                is_there(member.id)
                    && peer
                        .and_then(|peer| peer.lag)
                        .is_some_and(|lag| lag <= LAG_MAX)
            }
            SeatChange::Remove { node, reason } => *reason == Reason::Asked || !is_there(*node),
        };
        self.roster.accepts(epoch, change) && there.count() >= voters.quorum() && joins_in_time
    }

    /// A block of everything pending, and who had commands in it.
    pub(crate) fn new_block(&mut self) -> (Arc<Block>, u16) {
        let unfit = self.unfit_changes();
        self.pending.forget_pushed(&unfit);
        let after_parent = self.tip.header.time.plus(Duration::from_micros(1));
        // A clock that is far ahead sets no time: the block is empty and only moves the chain on.
        let (time, (commands, origins)) = if self.is_clock_ahead() {
            (after_parent, Default::default())
        } else {
            (self.now.wall.max(after_parent), self.pending.batch(&unfit))
        };
        let workers = origins
            .iter()
            .filter_map(|node| self.voters().index_of(*node))
            .fold(0, |bits: u16, index| bits | 1 << index);
        let height = self.tip.height().next();
        self.note_workers(height, workers);
        let block = Block::new(Draft {
            chain: self.chain,
            height,
            parent: Some(self.tip.hash),
            membership: self.voters().hash(),
            proposer: self.me,
            time,
            hint: self.hint(height, origins.contains(&self.me.node)),
            commands,
        });
        (Arc::new(block), workers)
    }

    /// Who gets the turn of the height after `height`: the next voter after this one that can hold it, has work and is
    /// near; none is: this node itself if the block holds commands of its own, else the next one with work, however far.
    /// None has work: this node itself, unless it wants no turn.
    fn hint(&self, height: Height, has_own: bool) -> Option<Turn> {
        let recent = 2 * self.voters().len() as u64;
        let working = || {
            self.candidates().filter(|(_, peer)| {
                peer.worked
                    .is_some_and(|worked| worked.0 + recent >= height.0)
            })
        };
        let keeps = has_own && !self.is_yielding();
        let next = working()
            .find(|(turn, _)| !self.is_far(turn.node))
            .or_else(|| working().next().filter(|_| !keeps))
            .or_else(|| self.candidates().next().filter(|_| self.is_yielding()));
        next.map_or(Some(self.me), |(turn, _)| Some(turn))
    }

    /// Whether a turn there costs everybody more than its commands cost their node if it pushes them instead.
    fn is_far(&self, node: NodeId) -> bool {
        self.peers.way_to(node) > self.pace().phase() * 2
    }

    /// The other voters that can hold a turn and were heard lately, in ring order after this one.
    fn candidates(&self) -> impl Iterator<Item = (Turn, &Peer)> {
        self.voters_alive().filter(|(turn, _)| self.can_hold(*turn))
    }

    /// The other voters that were heard lately, in ring order after this one.
    fn voters_alive(&self) -> impl Iterator<Item = (Turn, &Peer)> {
        self.voters().ring_after(self.me.node).filter_map(|node| {
            let peer = self.peers.get(node)?;
            let turn = Turn {
                node,
                boot: peer.boot()?,
            };
            peer.is_alive(self.now.instant).then_some((turn, peer))
        })
    }

    /// Who is to propose for a node that may not do it itself, because its clock is ahead: `turn` if that was heard
    /// lately, else the next one that can. If all the others decline, the next one that is there: a disk that was slow
    /// when it was last used declines as long as it has nothing to do.
    fn stand_in(&self, turn: Option<Turn>) -> Option<Turn> {
        let others = || self.candidates().map(|(other, _)| other);
        others()
            .find(|other| turn == Some(*other))
            .or(others().next())
            .or_else(|| self.voters_alive().map(|(other, _)| other).next())
    }

    /// Where a node without a vote sends its commands: to `turn`, and while no block comes, to one voter after the other,
    /// since it cannot take over itself.
    fn listener(&self, turn: Option<Turn>) -> Option<Turn> {
        let others: Vec<Turn> = self.voters_alive().map(|(turn, _)| turn).collect();
        let tries = self.pushes_in_vain();
        match tries.checked_sub(1) {
            None if turn.is_some() => turn,
            None => others.first().copied(),
            Some(tries) => {
                let count = others.len().max(1);
                others.get(tries as usize % count).copied()
            }
        }
    }

    fn pushes_in_vain(&self) -> u32 {
        let waited = self.now.instant.since(self.tip.since.max(self.work_since));
        pushes_within(waited, self.pace().resend())
    }

    /// When a node without a vote pushes its commands to the next voter.
    pub(crate) fn push_due(&self) -> Option<Instant> {
        if self.role() == Role::Voter || self.pending.is_empty() {
            return None;
        }
        let since = self.tip.since.max(self.work_since);
        let next = self.pushes_in_vain().saturating_add(1);
        Some(since.plus(push_after(next, self.pace().resend())))
    }

    /// Notes which voters had commands at a height.
    pub(crate) fn note_workers(&mut self, height: Height, workers: u16) {
        let roster = Arc::clone(&self.roster);
        for (index, member) in roster.voters().voters().iter().enumerate() {
            if workers & 1 << index != 0
                && let Some(peer) = self.peers.get_mut(member.id)
            {
                peer.worked = peer.worked.max(Some(height));
            }
        }
    }

    pub(crate) fn note_work(&mut self) {
        if self.pending.is_empty() {
            self.work_since = self.now.instant;
        }
    }

    pub(crate) fn on_push(&mut self, from: NodeId, commands: Vec<SealedCommand>) {
        self.note_work();
        let next = self.tip.height().next();
        let now = self.now.instant;
        if let Some(peer) = self.peers.get_mut(from) {
            peer.worked = peer.worked.max(Some(next));
        }
        let is_outsider = self
            .peers
            .get(from)
            .is_some_and(|peer| peer.role == Role::Outsider);
        let heeded = |command: &SealedCommand| !is_outsider || asks_admission(from, command);
        for command in commands.into_iter().filter(heeded) {
            let may_be = command.bytes().len() <= model::limits::COMMAND_BYTES_MAX;
            if may_be && !self.pending.pushed(command, from, now) {
                self.counters.pushes_dropped += 1;
            }
        }
    }

    /// Sends our pending commands to whoever proposes next: the holder of the turn, or, if a block of this height is
    /// already on its way, the one it names.
    pub(crate) fn push_commands(&mut self) {
        let height = self.tip.height().next();
        let coming = self
            .acceptor
            .accepted()
            .map(|AcceptedBlock { block, .. }| block.header().hint);
        let (target, height) = match coming {
            Some(hint) => (hint.filter(|turn| self.can_hold(*turn)), height.next()),
            None => (self.holder(), height),
        };
        let target = if self.role() != Role::Voter {
            self.listener(target)
        } else if self.is_clock_ahead() {
            self.stand_in(target)
        } else {
            target
        };
        let Some(target) = target
            .map(|turn| turn.node)
            .filter(|node| *node != self.me.node)
        else {
            return;
        };
        let mut batch = Vec::new();
        let mut bytes = 0;
        for command in self.pending.take_unpushed(target, height) {
            bytes += command.block_bytes();
            batch.push(command);
            if bytes >= PUSH_BYTES_MAX {
                bytes = 0;
                let commands = std::mem::take(&mut batch);
                self.send(LogSeq(0), target, Message::Push { commands });
            }
        }
        if !batch.is_empty() {
            self.send(LogSeq(0), target, Message::Push { commands: batch });
        }
    }
}

/// When a node without a vote pushes for the `n`th time, from 1, if no block comes: after `step`, then each time after
/// twice the wait of the time before, at last once in [`PUSH_WAIT_MAX`].
fn push_after(n: u32, step: Duration) -> Duration {
    let doubling = doublings(step);
    let doubled = step * ((1 << n.min(doubling)) - 1);
    doubled + PUSH_WAIT_MAX * n.saturating_sub(doubling)
}

/// How many such times have come within `waited`.
fn pushes_within(waited: Duration, step: Duration) -> u32 {
    let doubling = doublings(step);
    let slow = waited.saturating_sub(push_after(doubling, step));
    let beyond = u32::try_from(slow.as_nanos() / PUSH_WAIT_MAX.as_nanos()).unwrap_or(u32::MAX / 2);
    let early = (1..=doubling).take_while(|n| push_after(*n, step) <= waited);
    u32::try_from(early.count()).unwrap_or(doubling) + beyond
}

/// How often the wait between two pushes doubles.
fn doublings(step: Duration) -> u32 {
    let times = PUSH_WAIT_MAX.as_nanos() / step.as_nanos().max(1);
    times.max(1).ilog2().min(16) + 1
}

/// Whether a node asks to be admitted itself: all that is heeded of one that does not belong to the cluster.
fn asks_admission(from: NodeId, command: &SealedCommand) -> bool {
    let change = command.roster_change().map(|(_, change)| change);
    matches!(change, Some(RosterChange::Admit { member, .. }) if member.id == from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_come_ever_more_slowly_and_never_end() {
        for step in [5, 40, 700, 4_000].map(Duration::from_millis) {
            for n in 1..30 {
                let due = push_after(n, step);
                assert_eq!(pushes_within(due, step), n, "{step:?}");
                let just_before = due - Duration::from_nanos(1);
                assert_eq!(pushes_within(just_before, step), n - 1, "{step:?}");
            }
            let late = push_after(30, step) - push_after(29, step);
            assert_eq!(late, PUSH_WAIT_MAX);
        }
    }
}
