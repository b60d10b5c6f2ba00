//! A member that lies, talking to a healthy one.
//!
//! The link proves who speaks, and nothing of what is said. An input is a script: which of the three voters listens, then
//! what it hears, when its disk is flushed and when its clock goes on. Signatures are believed, so the liars also hold
//! stolen keys: two blocks may be proved at a height, and the listener must stop rather than follow. Whatever it hears it
//! must not panic, must not lower a promise, and must extend its chain without a gap.

use std::collections::VecDeque;
use std::sync::Arc;

use consensus::{Config, Effect, Engine, Input, Message, ReadId, Recovered};
use model::{
    Ballot, BlockHash, Boot, Decided, Decode as _, Encode as _, Height, Instant, LogSeq, NodeId,
    Nonce, Now, Record, Roster, Timestamp, Vote,
};

use crate::Seed;
use crate::chain::{Trusting, genesis, membership, record};

const RECEIVE: u8 = 0;
const FLUSH: u8 = 1;
const WAIT: u8 = 2;
const SUBMIT: u8 = 3;
const READ: u8 = 4;
const INSTRUCTIONS: u8 = 5;
/// More effects of one input would be an attack that costs nothing.
const EFFECTS_MAX: usize = 4096;

fn voter(index: u8) -> NodeId {
    let membership = membership();
    let index = usize::from(index) % membership.len();
    membership.get(index).expect("it is below the number").id
}

/// An engine and what is known of it from outside.
struct Listener {
    engine: Engine,
    now: Now,
    appended: LogSeq,
    tip: (Height, BlockHash),
    promised: (Height, Ballot),
    reads: u64,
}

impl Listener {
    fn new(index: u8) -> Self {
        let genesis = genesis();
        let config = Config {
            me: voter(index),
            boot: Boot(1),
            nonce: Nonce([index; 16]),
            chain: genesis.header().chain,
            contacts: Vec::new(),
            signatures: Arc::new(Trusting),
            seed: 1,
        };
        let now = Now {
            instant: Instant::from_millis(1),
            wall: Timestamp(genesis.header().time.0 + 1_000),
        };
        let tip = Decided {
            block: genesis.clone(),
            certificate: None,
        };
        let roster = Arc::new(Roster::founded(membership().clone()));
        let recovered = Recovered {
            tip,
            roster,
            vote: None,
            floor: Height::GENESIS,
            ended: false,
        };
        Self {
            engine: Engine::new(config, recovered, now),
            now,
            appended: LogSeq(0),
            tip: (Height::GENESIS, genesis.hash()),
            promised: (Height::GENESIS, Ballot::NONE),
            reads: 0,
        }
    }

    /// Takes an input and gives what is to be sent.
    fn take(&mut self, input: Input) -> Vec<(NodeId, Message)> {
        self.engine.handle(self.now, input);
        let mut sent = Vec::new();
        let mut effects = 0;
        while let Some(effect) = self.engine.poll_effect() {
            effects += 1;
            assert!(effects <= EFFECTS_MAX, "one input has no end of effects");
            match effect {
                Effect::Append { seq, record, .. } => self.note(seq, &record),
                Effect::Send { to, message, .. } => sent.push((to, message)),
                Effect::Decided {
                    block, certificate, ..
                } => {
                    let (height, hash) = self.tip;
                    assert_eq!(block.height(), height.next(), "no height is left out");
                    assert_eq!(block.header().parent, Some(hash), "one chain");
                    assert_eq!(certificate.hash, block.hash());
                    self.tip = (block.height(), block.hash());
                }
                _ => {}
            }
        }
        // A wake-up in the past would be a busy loop.
        let _ = self.engine.next_wake();
        sent
    }

    fn note(&mut self, seq: LogSeq, record: &Record) {
        assert_eq!(seq, self.appended.next(), "records have no gaps");
        self.appended = seq;
        let (Record::Vote { vote, .. }
        | Record::Start {
            vote: Some(vote), ..
        }) = record
        else {
            return;
        };
        self.note_vote(vote);
    }

    fn note_vote(&mut self, vote: &Vote) {
        let (height, promised) = self.promised;
        assert!(vote.height >= height, "votes go up");
        if vote.height == height {
            assert!(vote.promised >= promised, "a promise is never lowered");
        }
        let accepted = vote.accepted.as_ref().map(|(ballot, _)| *ballot);
        assert!(accepted.is_none_or(|accepted| accepted <= vote.promised));
        self.promised = (vote.height, vote.promised);
    }

    fn wait(&mut self, ms: u8) {
        let duration = std::time::Duration::from_millis(ms.into());
        self.now.instant = self.now.instant.plus(duration);
        self.now.wall = self.now.wall.plus(duration);
    }

    fn carry_out(&mut self, step: Step) -> Vec<(NodeId, Message)> {
        match step {
            Step::Receive(from, message) => self.take(Input::Receive { from, message }),
            Step::Flush => self.take(Input::Persisted(self.appended)),
            Step::Wait(ms) => {
                self.wait(ms);
                self.take(Input::Wake)
            }
            Step::Submit(byte) => self.take(Input::Submit {
                command: record(&[byte]),
                valid_until: Timestamp(u64::MAX),
            }),
            Step::Read => {
                self.reads += 1;
                self.take(Input::Read(ReadId(self.reads)))
            }
        }
    }
}

/// One line of a script.
#[derive(Debug, Clone)]
enum Step {
    Receive(NodeId, Message),
    Flush,
    Wait(u8),
    Submit(u8),
    Read,
}

impl Step {
    /// The next instruction of a script; nothing at its end. What is no message is heard by nobody.
    fn parse(script: &mut &[u8]) -> Option<Option<Self>> {
        let (&instruction, rest) = script.split_first()?;
        *script = rest;
        Some(match instruction % INSTRUCTIONS {
            RECEIVE => {
                let (&[from, high, low], rest) = script.split_first_chunk()?;
                let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
                let (bytes, rest) = rest.split_at(length);
                *script = rest;
                let from = if from == u8::MAX {
                    NodeId([0; 32])
                } else {
                    voter(from)
                };
                let message = Message::from_bytes(bytes).ok();
                message.map(|message| Self::Receive(from, message))
            }
            FLUSH => Some(Self::Flush),
            WAIT => Some(Self::Wait(byte(script)?)),
            SUBMIT => Some(Self::Submit(byte(script)?)),
            _ => Some(Self::Read),
        })
    }

    fn write(&self, from: u8, script: &mut Vec<u8>) {
        match self {
            Self::Receive(_, message) => {
                let bytes = message.to_bytes();
                let length = u16::try_from(bytes.len()).expect("small messages");
                script.extend([RECEIVE, from]);
                script.extend(length.to_be_bytes());
                script.extend(bytes);
            }
            Self::Flush => script.push(FLUSH),
            Self::Wait(ms) => script.extend([WAIT, *ms]),
            Self::Submit(byte) => script.extend([SUBMIT, *byte]),
            Self::Read => script.push(READ),
        }
    }
}

fn byte(script: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = script.split_first()?;
    *script = rest;
    Some(byte)
}

/// Plays a script.
///
/// # Panics
/// If a property is broken.
pub fn run(bytes: &[u8]) {
    let mut script = bytes;
    let Some(listener) = byte(&mut script) else {
        return;
    };
    let mut listener = Listener::new(listener);
    while let Some(step) = Step::parse(&mut script) {
        if let Some(step) = step {
            listener.carry_out(step);
        }
    }
}

/// What each voter hears while three of them decide a few blocks.
pub fn seeds() -> Vec<Seed> {
    let names = ["with-the-turn", "next", "last"];
    let mut play = Play::new();
    play.run();
    let seeds = names.into_iter().zip(play.scripts);
    seeds
        .map(|(name, script)| Seed::new(name, script))
        .collect()
}

/// Three honest voters and a network without faults, whose inputs are written down.
struct Play {
    voters: Vec<Listener>,
    scripts: Vec<Vec<u8>>,
    /// From, to, what.
    network: VecDeque<(u8, NodeId, Message)>,
}

impl Play {
    fn new() -> Self {
        Self {
            voters: (0..3).map(Listener::new).collect(),
            scripts: (0..3).map(|index| vec![index]).collect(),
            network: VecDeque::new(),
        }
    }

    fn run(&mut self) {
        self.everybody(&Step::Flush);
        self.pass(40);
        self.step(0, Step::Submit(1));
        self.pass(2);
        self.step(1, Step::Submit(2));
        self.step(2, Step::Read);
        self.pass(2);
        self.step(2, Step::Submit(3));
        self.pass(60);
        let decided = self.voters.iter().all(|voter| voter.tip.0 >= Height(3));
        assert!(decided, "a script in which nothing is decided is of no use");
    }

    /// Messages and flushes until nothing moves, then a wait.
    fn pass(&mut self, ms: u8) {
        for wait in [0, ms] {
            if wait > 0 {
                self.everybody(&Step::Wait(wait));
            }
            while let Some((from, to, message)) = self.network.pop_front() {
                let at = (0..3).find(|index| voter(*index) == to);
                let at = at.expect("messages go to voters");
                let sender = voter(from);
                self.write(at, from, Step::Receive(sender, message));
                self.step(at, Step::Flush);
            }
        }
    }

    fn everybody(&mut self, step: &Step) {
        for index in 0..3 {
            self.step(index, step.clone());
        }
    }

    fn step(&mut self, index: u8, step: Step) {
        self.write(index, 0, step);
    }

    fn write(&mut self, index: u8, from: u8, step: Step) {
        let at = usize::from(index);
        if let (Some(voter), Some(script)) = (self.voters.get_mut(at), self.scripts.get_mut(at)) {
            step.write(from, script);
            let sent = voter.carry_out(step);
            let sent = sent.into_iter().map(|(to, message)| (index, to, message));
            self.network.extend(sent);
        }
    }
}
