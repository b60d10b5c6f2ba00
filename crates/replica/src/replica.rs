//! One step at a time.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use consensus::{
    Counters, DiskRoom, Effect, Engine, Message, PeerStatus, Phase, Recovered, Role, StopReason,
    Urgency,
};
use ledger::{Completion, Disk, Ledger, Reader};
use model::{
    BlockHash, ChainId, Decided, Height, Instant, LogSeq, NodeId, Nonce, Now, Roster,
    SealedCommand, Signatures, Timestamp, Turn, Vote, limits,
};

use crate::caretaker::{Care, Caretaker};
use crate::core_state::{CoreState, Disposition};
use crate::heads::{Comparison, Heads};
use crate::input::{AppliedBlock, Input, Output};
use crate::opening::{self, Known};

/// One answer to a peer that is behind carries at most this many blocks and about this many bytes.
const CATCH_UP_BLOCKS: usize = 64;
const CATCH_UP_BYTES: usize = 4 << 20;

/// Who runs here, and on what.
pub struct Config {
    /// The node's identity.
    pub me: NodeId,
    /// Makes and checks signatures.
    pub signatures: Arc<dyn Signatures>,
    /// Drawn for this start.
    pub nonce: Nonce,
    /// For back-off times, and for the salts of the node's own commands.
    pub seed: u64,
    /// Nodes that blocks may be asked of besides those that the ledger names.
    pub contacts: Vec<NodeId>,
    /// What the node does for the membership by itself.
    pub care: Care,
}

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] ledger::OpenError),
    /// A block cannot be read.
    #[error(transparent)]
    Read(#[from] ledger::ReadError),
}

impl OpenError {
    /// Whether the ledger did not open for damage that others may make good, and the height that could not be read.
    pub fn damage(&self) -> Option<Option<Height>> {
        match self {
            Self::Read(error) | Self::Ledger(ledger::OpenError::Read(error)) => {
                Some(Some(error.height()))
            }
            Self::Ledger(
                ledger::OpenError::DamagedVotes { .. }
                | ledger::OpenError::DamagedBlock { .. }
                | ledger::OpenError::Sealed { .. },
            ) => Some(None),
            Self::Ledger(_) => None,
        }
    }
}

/// What a replica shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The chain.
    pub chain: ChainId,
    /// This incarnation.
    pub me: Turn,
    /// How far it is in taking part.
    pub phase: Phase,
    /// Height of the last decided block.
    pub tip: Height,
    /// Its hash.
    pub head: BlockHash,
    /// Its time.
    pub time: Timestamp,
    /// Who may propose next without a prepare.
    pub turn: Option<Turn>,
    /// Whether a quorum of voters, this node counted if it is one, was heard within the last second.
    pub has_quorum: bool,
    /// Whether it listens to nodes that it does not know.
    pub lonely: bool,
    /// Whether the disk takes writes.
    pub disk: DiskRoom,
    /// What this node is to the cluster.
    pub role: Role,
    /// The other nodes: voters, learners, and who has left.
    pub peers: Vec<PeerStatus>,
    /// What happened how often since the start.
    pub counters: Counters,
}

/// What a replica begins with besides its ledger.
#[derive(Debug, Clone)]
pub struct Start {
    /// From which height on blocks are to be shown.
    pub wanted: Height,
    /// The core state at some height, from a snapshot that is believed.
    pub known: Option<Known>,
}

/// A message that waits for its record.
#[derive(Debug)]
struct Waiting {
    after: LogSeq,
    to: NodeId,
    message: Message,
}

/// One member's synchronous state machine.
///
/// Invariant: no message leaves before the record it rests on, and every record before that, is durable.
pub struct Replica<D: Disk> {
    engine: Engine,
    ledger: Ledger<D>,
    core: CoreState,
    caretaker: Caretaker,
    heads: Heads,
    signatures: Arc<dyn Signatures>,
    now: Now,
    chain: ChainId,
    found: ledger::Report,
    time: Timestamp,
    disk: DiskRoom,
    durable: LogSeq,
    waiting: VecDeque<Waiting>,
    outputs: VecDeque<Output>,
}

impl<D: Disk> Replica<D> {
    /// Opens the ledger and starts a new incarnation.
    ///
    /// # Errors
    /// If the ledger is missing, foreign or damaged, or the identity does not belong to it.
    pub fn open(disk: D, config: Config, now: Now) -> Result<Self, OpenError> {
        Self::open_replaying(disk, config, now, Height(u64::MAX), |_| {})
    }

    /// The same, showing every block from `wanted` on its way, once and in order: a catalogue that is behind can follow
    /// in the same pass. Of the blocks below, only those are read that the core state rests on.
    ///
    /// # Errors
    /// As [`Replica::open`].
    pub fn open_replaying(
        disk: D,
        config: Config,
        now: Now,
        wanted: Height,
        replayed: impl FnMut(&Arc<AppliedBlock>),
    ) -> Result<Self, OpenError> {
        let known = None;
        Self::open_from(disk, config, now, |_| Start { wanted, known }, replayed)
    }

    /// The same, where `start` says what to begin with when it sees the chain.
    ///
    /// # Errors
    /// As [`Replica::open`].
    pub fn open_from(
        disk: D,
        config: Config,
        now: Now,
        start: impl FnOnce(&Reader) -> Start,
        mut replayed: impl FnMut(&Arc<AppliedBlock>),
    ) -> Result<Self, OpenError> {
        let (ledger, recovered) = Ledger::open(disk, &*config.signatures)?;
        let reader = ledger.reader();
        let Start { wanted, known } = start(&reader);
        let core = opening::replay_knowing(&reader, known, wanted, |block| {
            replayed(block);
            ControlFlow::Continue(())
        })?;
        let time = recovered.tip.block.header().time;
        let signatures = config.signatures.clone();
        let engine = Engine::new(
            consensus::Config {
                me: config.me,
                boot: recovered.boot.next(),
                nonce: config.nonce,
                chain: recovered.chain,
                contacts: config.contacts,
                signatures: config.signatures,
                seed: config.seed,
            },
            Recovered {
                tip: recovered.tip,
                roster: recovered.roster,
                vote: recovered.vote,
                floor: recovered.floor,
                ended: recovered.ended,
            },
            now,
        );
        let mut replica = Self {
            engine,
            ledger,
            core,
            caretaker: Caretaker::new(config.care, config.seed, now.instant),
            heads: Heads::default(),
            signatures,
            now,
            chain: recovered.chain,
            found: recovered.report,
            time,
            disk: DiskRoom::Free,
            durable: LogSeq(0),
            waiting: VecDeque::new(),
            outputs: VecDeque::new(),
        };
        replica.carry_out();
        Ok(replica)
    }

    /// Takes one input. Drain [`Replica::poll_output`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.take(now, input);
        self.settle();
    }

    /// Takes an input of several that are at hand: commands that come at once are then pushed and proposed at once.
    /// [`Replica::settle`] must follow before time passes.
    pub fn take(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Receive { from, message } => {
                self.compare_heads(from, &message);
                self.engine
                    .take(now, consensus::Input::Receive { from, message });
            }
            Input::Submit(command) => self.submit(now, command),
            Input::Read(id) => self.engine.take(now, consensus::Input::Read(id)),
            Input::Disk(completion) => self.completed(now, completion),
            Input::Yield => self.engine.take(now, consensus::Input::Yield),
            Input::Forked { since } => self.engine.take(now, consensus::Input::Forked { since }),
            Input::Wake => self.engine.take(now, consensus::Input::Wake),
        }
        self.carry_out();
    }

    /// Looks whether a peer has another history, and finds out whose is certified.
    fn compare_heads(&mut self, from: NodeId, message: &Message) {
        let reader = self.ledger.reader();
        let found = self.heads.hear(
            from,
            message,
            |height| reader.hash(height),
            self.now.instant,
        );
        match found {
            Some(Comparison::Ask(height)) if self.durable > LogSeq(0) => {
                let message = Message::Fetch { from: height };
                self.outputs.push_back(Output::Send { to: from, message });
            }
            Some(Comparison::Differs { block, certificate }) => {
                let since = block.height();
                let roster = self.ledger.reader().roster_deciding(since);
                let proved = roster.is_ok_and(|roster| {
                    let voters = roster.voters();
                    certificate.hash == block.hash()
                        && certificate.height == since
                        && certificate
                            .verify(self.chain, voters, &*self.signatures)
                            .is_ok()
                });
                if proved {
                    let forked = consensus::Input::Forked { since };
                    self.engine.take(self.now, forked);
                }
            }
            Some(Comparison::Ask(_)) | None => {}
        }
    }

    /// Acts on everything taken. Drain [`Replica::poll_output`] afterwards.
    pub fn settle(&mut self) {
        self.take_care();
        self.engine.settle();
        self.carry_out();
    }

    fn take_care(&mut self) {
        let valid_until = self.core.valid_until(false);
        let now = self.now;
        for command in self.caretaker.look(&self.engine, now.instant, valid_until) {
            let input = consensus::Input::Submit {
                command,
                valid_until,
            };
            self.engine.take(now, input);
        }
    }

    /// The next thing for the node to do, in order.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Wake`] is due, if no other input comes first.
    pub fn next_wake(&self) -> Option<Instant> {
        let engine = self.engine.next_wake();
        let care = self.caretaker.due(&self.engine);
        engine.into_iter().chain(care).min()
    }

    fn submit(&mut self, now: Now, command: SealedCommand) {
        let stopped = matches!(self.engine.phase(), Phase::Stopped(_));
        let fits = command.bytes().len() <= limits::COMMAND_BYTES_MAX;
        match command.open() {
            Ok(opened) if !stopped && fits => {
                let valid_until = opened.valid_until;
                self.engine.take(
                    now,
                    consensus::Input::Submit {
                        command,
                        valid_until,
                    },
                );
            }
            _ => self
                .outputs
                .push_back(Output::Dropped(vec![command.leaf()])),
        }
    }

    fn completed(&mut self, now: Now, completion: Completion) {
        match completion {
            Completion::Durable(seq) => {
                self.durable = self.durable.max(seq);
                self.ledger.durable(seq);
                self.release();
                self.engine.take(now, consensus::Input::Persisted(seq));
            }
            Completion::Full => self.disk_room(now, DiskRoom::Full),
            Completion::Room => self.disk_room(now, DiskRoom::Free),
            Completion::Failed(_) => {
                // What waited for the disk must never leave: the record may be lost.
                self.waiting.clear();
                self.engine.take(now, consensus::Input::PersistFailed);
            }
        }
    }

    fn disk_room(&mut self, now: Now, room: DiskRoom) {
        self.disk = room;
        self.engine.take(now, consensus::Input::DiskFull(room));
    }

    /// Lets go of the messages whose records are durable.
    fn release(&mut self) {
        let durable = self.durable;
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|w| w.after <= durable);
        self.waiting = waiting;
        let ready: VecDeque<Waiting> = ready;
        let sends = ready.into_iter().map(|w| Output::Send {
            to: w.to,
            message: w.message,
        });
        self.outputs.extend(sends);
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Append {
                    seq,
                    record,
                    urgency,
                } => {
                    self.ledger.append(seq, &record, flush(urgency));
                }
                Effect::Send { after, to, message } if after <= self.durable => {
                    self.outputs.push_back(Output::Send { to, message });
                }
                // Behind a failed flush nothing becomes durable any more.
                Effect::Send { .. } if self.flush_failed() => {}
                Effect::Send { after, to, message } => {
                    self.waiting.push_back(Waiting { after, to, message });
                }
                Effect::SendDecided { to, from } => self.send_decided(to, from),
                Effect::Decided {
                    block,
                    certificate,
                    roster,
                } => {
                    self.time = block.header().time;
                    let decided = Decided {
                        block,
                        certificate: Some(certificate),
                    };
                    let applied = Arc::new(AppliedBlock {
                        roster,
                        ..apply(&mut self.core, decided)
                    });
                    self.outputs.push_back(Output::Decided(applied));
                }
                Effect::ReadReady { id, height } => {
                    self.outputs.push_back(Output::ReadReady { id, height });
                }
                Effect::Voting => self.outputs.push_back(Output::Voting),
                Effect::Stopped(reason) => self.stopped(reason),
                Effect::Evidence(evidence) => {
                    self.outputs.push_back(Output::Evidence(evidence));
                }
                Effect::Refused { from, why } => {
                    self.outputs.push_back(Output::Refused { from, why });
                }
                Effect::Dropped(leaves) => self.outputs.push_back(Output::Dropped(leaves)),
            }
        }
    }

    fn stopped(&mut self, reason: StopReason) {
        if reason == StopReason::RolledBack {
            // Whoever has told may be away when this node starts again. If it cannot be noted, that start asks anew.
            let _ = self.ledger.end();
        }
        self.outputs.push_back(Output::Stopped(reason));
    }

    fn flush_failed(&self) -> bool {
        self.engine.phase() == Phase::Stopped(StopReason::FlushFailed)
    }

    /// Sends decided blocks out of the ledger. A block that cannot be read ends the batch: others have it too.
    fn send_decided(&mut self, to: NodeId, from: Height) {
        let mut bytes = 0;
        for height in (from.0..=self.engine.tip().0)
            .take(CATCH_UP_BLOCKS)
            .map(Height)
        {
            let Ok(Some(Decided {
                block,
                certificate: Some(certificate),
            })) = self.ledger.read(height)
            else {
                return;
            };
            let sealed = block.entries().iter().filter_map(|entry| entry.sealed());
            bytes += sealed.map(SealedCommand::block_bytes).sum::<usize>();
            self.outputs.push_back(Output::Send {
                to,
                message: Message::Decide { block, certificate },
            });
            if bytes >= CATCH_UP_BYTES {
                return;
            }
        }
    }

    /// What the replica shows of itself.
    pub fn status(&self, now: Instant) -> Status {
        Status {
            chain: self.chain,
            me: self.engine.identity(),
            phase: self.engine.phase(),
            tip: self.engine.tip(),
            head: self.engine.head(),
            time: self.time,
            turn: self.engine.turn(),
            has_quorum: self.engine.has_quorum(now),
            lonely: self.engine.is_lonely(),
            disk: self.disk,
            role: self.engine.role(),
            peers: self.engine.peer_status(now),
            counters: self.engine.counters(),
        }
    }

    /// What opening the ledger found and mended.
    pub fn found(&self) -> &ledger::Report {
        &self.found
    }

    /// Height of the last decided block.
    pub fn tip(&self) -> Height {
        self.engine.tip()
    }

    /// Whether a write may be taken now: how far the node takes part, whether its disk has room, and whether q - 1
    /// other voters were heard within the last second.
    pub fn readiness(&self, now: Instant) -> (Phase, DiskRoom, bool) {
        (self.engine.phase(), self.disk, self.engine.has_quorum(now))
    }

    /// What happened how often since the start.
    pub fn counters(&self) -> Counters {
        self.engine.counters()
    }

    /// Who belongs to the cluster above the last decided block.
    pub fn roster(&self) -> &Arc<Roster> {
        self.engine.roster()
    }

    /// What this node is to the cluster above the last decided block.
    pub fn role(&self) -> Role {
        self.engine.role()
    }

    /// The vote at the undecided height.
    pub fn vote(&self) -> Vote {
        self.engine.vote()
    }

    /// The chain, for other threads.
    pub fn reader(&self) -> Reader {
        self.ledger.reader()
    }

    /// Which requests were decided.
    pub fn core(&self) -> &CoreState {
        &self.core
    }
}

pub(crate) fn apply(core: &mut CoreState, decided: Decided) -> AppliedBlock {
    let dispositions = core.apply(&decided.block);
    applied(decided, dispositions)
}

pub(crate) fn applied(decided: Decided, dispositions: Vec<Disposition>) -> AppliedBlock {
    AppliedBlock {
        block: decided.block,
        certificate: decided.certificate,
        dispositions,
        roster: None,
    }
}

fn flush(urgency: Urgency) -> ledger::Flush {
    match urgency {
        Urgency::Now => ledger::Flush::Now,
        Urgency::Lazy => ledger::Flush::Lazy,
    }
}
