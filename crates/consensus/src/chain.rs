//! Decided blocks: the tip, the log behind it, and catching up with others.

use std::collections::VecDeque;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Ballot, Block, BlockHash, Certificate, Decided, Entry, Header, Height, Instant, LogSeq, Mark,
    NodeId, Record, Roster, SealedCommand, Signature, Vote,
};

use crate::acceptor::Acceptor;
use crate::effect::{Effect, StopReason, Urgency};
use crate::engine::{Engine, Phase};
use crate::learner::Learner;
use crate::message::Message;
use crate::proposer::Proposer;

/// A node that is behind for this long fetches, however slow the network seems.
const FETCH_AFTER_MAX: Duration = Duration::from_millis(100);
/// The longest wait for an answer to a fetch.
const FETCH_AGAIN_MAX: Duration = Duration::from_secs(1);

/// What a record takes besides its block: header, certificate, places in queues.
const RECORD_OVERHEAD: usize = 1 << 10;

/// The last decided block.
#[derive(Debug, Clone)]
pub(crate) struct Tip {
    pub(crate) header: Header,
    pub(crate) hash: BlockHash,
    pub(crate) certificate: Option<Certificate>,
    /// When it was decided here.
    pub(crate) since: Instant,
}

impl Tip {
    pub(crate) fn new(decided: Decided, since: Instant) -> Self {
        let Decided { block, certificate } = decided;
        Self {
            header: block.header().clone(),
            hash: block.hash(),
            certificate,
            since,
        }
    }

    pub(crate) fn height(&self) -> Height {
        self.header.height
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            height: self.height(),
            hash: self.hash,
        }
    }
}

/// How far this incarnation's log has been written and flushed.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    appended: LogSeq,
    durable: LogSeq,
    /// Decided marks not yet durable.
    marks: VecDeque<(LogSeq, Height)>,
    /// Records not yet durable, and their sizes.
    waiting: VecDeque<(LogSeq, usize)>,
    waiting_bytes: usize,
    durable_tip: Height,
    /// The recovered tip: durable with the first record, which repeats its mark.
    recovered: Height,
}

impl Log {
    pub(crate) fn new(recovered: Height) -> Self {
        Self {
            appended: LogSeq(0),
            durable: LogSeq(0),
            marks: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            durable_tip: Height::GENESIS,
            recovered,
        }
    }

    pub(crate) fn append(&mut self, record: &Record) -> LogSeq {
        self.appended = self.appended.next();
        let bytes = memory_of(record);
        self.waiting.push_back((self.appended, bytes));
        self.waiting_bytes += bytes;
        self.appended
    }

    pub(crate) fn durable(&mut self, seq: LogSeq) {
        assert!(
            seq <= self.appended,
            "a record was reported durable that was never appended"
        );
        self.durable = self.durable.max(seq);
        self.durable_tip = self.durable_tip.max(self.recovered);
        while let Some((_, height)) = self.marks.pop_front_if(|(mark, _)| *mark <= seq) {
            self.durable_tip = self.durable_tip.max(height);
        }
        while let Some((_, bytes)) = self.waiting.pop_front_if(|(waiting, _)| *waiting <= seq) {
            self.waiting_bytes -= bytes;
        }
    }

    pub(crate) fn durable_through(&self) -> LogSeq {
        self.durable
    }

    pub(crate) fn durable_tip(&self) -> Height {
        self.durable_tip
    }

    pub(crate) fn marked(&mut self, seq: LogSeq, height: Height) {
        self.marks.push_back((seq, height));
    }

    /// Roughly how many bytes wait for the disk.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.waiting_bytes
    }
}

/// Roughly what a record keeps in memory until it is written.
fn memory_of(record: &Record) -> usize {
    let block = match record {
        Record::Vote { vote, body: true } => vote.accepted.as_ref().map(|(_, block)| block),
        Record::Decided {
            block, body: true, ..
        } => Some(block),
        _ => None,
    };
    let sealed = block
        .into_iter()
        .flat_map(|block| block.entries())
        .filter_map(Entry::sealed);
    RECORD_OVERHEAD + sealed.map(SealedCommand::block_bytes).sum::<usize>()
}

/// Fetching decided blocks that others have and we lack.
#[derive(Debug, Clone, Default)]
pub(crate) struct CatchUp {
    /// When to fetch, if we are still behind by then.
    due: Option<Instant>,
    /// Who was asked last and has not ended its batch.
    asked: Option<NodeId>,
    /// Who sent the last block that was missing, asked or not, until its batch ends.
    sending: Option<NodeId>,
}

impl CatchUp {
    /// Somebody reported a higher tip: under load that is a matter of a moment, so wait one. While a batch is
    /// awaited nothing else is asked for: every message from above would ask for the same blocks once more.
    pub(crate) fn behind(&mut self, due: Instant) {
        if self.asked.is_none() {
            self.due = Some(self.due.map_or(due, |at| at.min(due)));
        }
    }

    /// A peer has sent a block that was missing; more are awaited until `due`.
    pub(crate) fn received(&mut self, peer: NodeId, due: Instant) {
        self.sending = Some(peer);
        if self.asked.is_some() {
            self.due = Some(due);
        }
    }

    /// A beacon behind blocks ends their batch: ask for more at once if there is more. Any other beacon ends nothing,
    /// else each would start one more stream of the same blocks.
    pub(crate) fn batch_ended(&mut self, peer: NodeId, now: Instant) {
        if self.sending == Some(peer) {
            self.asked = None;
            self.sending = None;
            self.due = self.due.map(|_| now);
        }
    }

    pub(crate) fn wake(&self) -> Option<Instant> {
        self.due
    }

    /// Feeds who is awaited, not for how long.
    pub(crate) fn hash_state(&self, hasher: &mut impl Hasher) {
        (self.due.is_some(), self.asked, self.sending).hash(hasher);
    }
}

impl Engine {
    /// Decides the block at the next height and makes room for the one after it.
    pub(crate) fn decide(&mut self, block: Arc<Block>, certificate: Certificate) {
        assert_eq!(
            block.height(),
            self.tip.height().next(),
            "blocks are decided in order"
        );
        assert_eq!(
            block.header().parent,
            Some(self.tip.hash),
            "a decided block extends the chain"
        );
        let height = block.height();
        self.suspect_missed_turn(height, certificate.ballot);
        self.count_takeover(certificate.ballot);
        let record = Record::Decided {
            block: Arc::clone(&block),
            certificate: certificate.clone(),
            body: !self.bodies_logged.contains(&block.hash()),
        };
        let seq = self.append(record, Urgency::Lazy);
        self.log.marked(seq, height);
        let now = self.now.instant;
        let expired = self.pending.decided(&block, now);
        if !expired.is_empty() {
            self.effects.push_back(Effect::Dropped(expired));
        }
        let decided = Decided {
            block: Arc::clone(&block),
            certificate: Some(certificate.clone()),
        };
        self.tip = Tip::new(decided, now);
        self.acceptor = Acceptor::new();
        self.bodies_logged.clear();
        self.proposer = Proposer::new();
        self.learner = Learner::default();
        let roster = self.roster.after(&block).map(Arc::new);
        if let Some(roster) = &roster {
            self.enact(Arc::clone(roster), height);
        }
        self.effects.push_back(Effect::Decided {
            block,
            certificate,
            roster,
        });
        if let Some(vote) = self.held_vote.take_if(|vote| vote.height == height.next()) {
            self.install_vote(vote, LogSeq(1));
        } else if self
            .held_vote
            .as_ref()
            .is_some_and(|vote| vote.height <= height)
        {
            self.held_vote = None;
        }
    }

    fn count_takeover(&mut self, decided: Ballot) {
        if decided.k < 2 {
            return;
        }
        self.counters.takeovers_decided += 1;
        if decided.node == self.me.node && decided.boot == self.me.boot {
            self.counters.takeovers_won += 1;
        }
    }

    /// The block at `height` has changed who belongs to the cluster: in force from the next height on. Nobody acts
    /// there before this block is decided, so every height has one membership.
    fn enact(&mut self, roster: Arc<Roster>, height: Height) {
        let voters_changed = roster.voters() != self.roster.voters();
        self.peers.follow(&roster, self.me.node);
        self.roster = roster;
        if self.is_removed() {
            self.stop(StopReason::Removed);
        }
        if voters_changed {
            self.pending
                .forget_changes_of_other_epochs(self.roster.epoch());
            self.reads.start_again(height);
        }
    }

    /// Puts a recovered vote in force; it rests on the start record, which repeats it.
    pub(crate) fn install_vote(&mut self, vote: Vote, seq: LogSeq) {
        if let Some((_, block)) = &vote.accepted {
            self.bodies_logged.insert(block.hash());
            self.learner.keep_body(block);
        }
        self.proposer.saw(vote.promised);
        self.voted_since = self.now.instant;
        self.acceptor = Acceptor::recovered(vote, seq);
    }

    /// Decides if a quorum has accepted one block at one ballot and its body is here.
    pub(crate) fn decide_if_chosen(&mut self) {
        let Some((ballot, hash)) = self.learner.chosen(self.voters().quorum()) else {
            return;
        };
        let Some(block) = self.body(hash) else {
            let now = self.now.instant;
            if self.learner.wanted.is_none() {
                // The body is probably on its way.
                let due = now.plus(self.pace().round_trip);
                self.learner.wanted = Some((hash, due));
            }
            return;
        };
        let votes: Vec<(NodeId, Signature)> =
            self.learner.votes(ballot, hash).into_iter().collect();
        let subject = (block.height(), ballot, hash);
        let certificate = Certificate::collect(self.voters(), subject, votes);
        self.decide(block, certificate);
    }

    /// A block of the next height that is known whole.
    fn body(&self, hash: BlockHash) -> Option<Arc<Block>> {
        let accepted = self.acceptor.accepted().map(|accepted| &accepted.block);
        let accepted = accepted.filter(|block| block.hash() == hash);
        self.learner.body(hash).or(accepted).cloned()
    }

    pub(crate) fn body_due(&self) -> Option<Instant> {
        self.learner.wanted.map(|(_, due)| due)
    }

    pub(crate) fn fetch_body_if_due(&mut self) {
        let now = self.now.instant;
        let Some((hash, due)) = self.learner.wanted else {
            return;
        };
        if now < due {
            return;
        }
        self.learner.wanted = Some((hash, now.plus(self.pace().resend())));
        let height = self.tip.height().next();
        let Some((ballot, hash)) = self.learner.chosen(self.voters().quorum()) else {
            return;
        };
        let voters = self.learner.votes(ballot, hash);
        let others: Vec<NodeId> = voters
            .into_keys()
            .filter(|node| *node != self.me.node)
            .collect();
        for node in others {
            self.send(LogSeq(0), node, Message::FetchAccepted { height, hash });
        }
    }

    pub(crate) fn on_fetch_body(&mut self, from: NodeId, height: Height, hash: BlockHash) {
        if height <= self.tip.height() {
            self.send_decided(from, height);
        } else if height == self.tip.height().next()
            && let Some(block) = self.body(hash)
        {
            self.send(LogSeq(0), from, Message::Body { block });
        }
    }

    pub(crate) fn on_body(&mut self, from: NodeId, block: &Arc<Block>) {
        let wanted = self
            .learner
            .wanted
            .is_some_and(|(hash, _)| hash == block.hash());
        if !wanted {
            return;
        }
        if self.extends_tip(block) {
            self.learner.keep_body(block);
            self.decide_if_chosen();
        } else {
            self.refuse(from, "a body that does not extend the chain");
        }
    }

    /// Whether a block may be decided at the next height.
    pub(crate) fn extends_tip(&self, block: &Block) -> bool {
        block
            .check_extends(&self.tip.header, self.tip.hash, self.voters())
            .is_ok()
    }

    pub(crate) fn on_decide(&mut self, from: NodeId, block: Arc<Block>, certificate: Certificate) {
        let height = block.height();
        if height > self.tip.height().next() {
            self.note_reported_tip(from, height);
            return;
        }
        let is_news = height > self.tip.height();
        if !is_news && (height < self.tip.height() || block.hash() == self.tip.hash) {
            return;
        }
        let proves = certificate.height == height
            && certificate.hash == block.hash()
            && certificate
                .verify(self.chain, self.voters(), &*self.signatures)
                .is_ok();
        if !is_news {
            if proves {
                self.stop(StopReason::Forked { since: height });
            }
            return;
        }
        if proves && self.has_lost_its_vote(&certificate) {
            return;
        }
        if proves && self.extends_tip(&block) {
            let due = self.now.instant.plus(self.fetch_patience());
            self.catch_up.received(from, due);
            self.decide(block, certificate);
        } else if proves && block.header().parent != Some(self.tip.hash) {
            // Who decides this height has decided another block below it.
            let since = self.tip.height();
            self.stop(StopReason::Forked { since });
        } else {
            self.refuse(from, "a decision without proof");
        }
    }

    /// Decides the next height if its certificate came with an accept for the height above and its body is here.
    pub(crate) fn decide_by_certificate(&mut self, certificate: &Certificate) {
        if certificate.height != self.tip.height().next() {
            return;
        }
        let Some(block) = self.body(certificate.hash) else {
            return;
        };
        let proves = certificate
            .verify(self.chain, self.voters(), &*self.signatures)
            .is_ok();
        if proves && !self.has_lost_its_vote(certificate) {
            self.decide(block, certificate.clone());
        }
    }

    /// Whether a certificate of the next height, which proves it, holds a vote of this node that its disk knows nothing
    /// of. Then the disk is older than the node, and nobody else need say so.
    fn has_lost_its_vote(&mut self, certificate: &Certificate) -> bool {
        let place = self.voters().index_of(self.me.node);
        let signed = place.is_some_and(|place| certificate.voters & 1 << place != 0);
        // Votes at heights that the disk knew to be decided are not kept.
        let kept = certificate.height > self.start.known();
        let lost = signed && kept && self.acceptor.promised() < certificate.ballot;
        // Before the first record of this start is flushed nothing may be said, not even that: the block comes again.
        if lost && self.phase != Phase::Opening {
            self.stop(StopReason::RolledBack);
        }
        lost
    }

    /// Sends decided blocks, and a beacon behind them that ends the batch.
    pub(crate) fn send_decided(&mut self, to: NodeId, from: Height) {
        if from == Height::GENESIS {
            self.refuse(to, "genesis is not to be had from peers");
            return;
        }
        // Nothing leaves before the first record of this incarnation, and blocks wait for no record.
        if from <= self.tip.height() && self.phase != Phase::Opening {
            self.effects.push_back(Effect::SendDecided { to, from });
        }
        self.send_beacon(to);
    }

    /// Notes that a peer is at `tip`, and fetches before long if that is above ours.
    pub(crate) fn note_reported_tip(&mut self, from: NodeId, tip: Height) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.note_tip(tip);
        }
        if tip > self.tip.height() {
            let wait = self.pace().resend().min(FETCH_AFTER_MAX);
            self.catch_up.behind(self.now.instant.plus(wait));
        }
    }

    /// Fetches at once: a message has come that cannot be used without the blocks before it.
    pub(crate) fn fetch_soon(&mut self) {
        self.catch_up.behind(self.now.instant);
    }

    pub(crate) fn fetch_if_behind(&mut self) {
        let now = self.now.instant;
        if self.catch_up.due.is_none_or(|due| now < due) {
            return;
        }
        let tip = self.tip.height();
        let ahead: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.tip > tip)
            .map(|(node, _)| node)
            .collect();
        if ahead.is_empty() {
            self.catch_up = CatchUp::default();
            return;
        }
        // The next one after whoever was asked last, so that a silent peer does not hold us up.
        let next = self
            .catch_up
            .asked
            .and_then(|last| ahead.iter().find(|node| **node > last));
        let Some(peer) = next.or(ahead.first()).copied() else {
            return;
        };
        self.catch_up = CatchUp {
            due: Some(now.plus(self.fetch_patience())),
            asked: Some(peer),
            sending: None,
        };
        self.send(LogSeq(0), peer, Message::Fetch { from: tip.next() });
    }

    fn fetch_patience(&self) -> Duration {
        (self.pace().round_trip * 4).clamp(FETCH_AFTER_MAX, FETCH_AGAIN_MAX)
    }

    /// Whoever had the turn at a height that another decided is suspected until it reports that height.
    fn suspect_missed_turn(&mut self, height: Height, ballot: Ballot) {
        let Some(turn) = self.tip.header.hint else {
            return;
        };
        if ballot.k >= 2
            && ballot.node != turn.node
            && let Some(peer) = self.peers.get_mut(turn.node)
            && peer.tip < height
        {
            peer.missed = Some(height);
        }
    }
}
