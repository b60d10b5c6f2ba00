//! The small state every replica keeps in memory: which requests were decided, and where.
//!
//! A command may stand in two blocks (it was pushed to two nodes, or a client retried through another one). The
//! second is a no-op that takes the first one's answer. An entry lives until its own block's time plus the window,
//! and a command is not applied in a block later than its `valid_until`, which is a block time at which its key was
//! looked up plus the same window: so no command can be applied after its key has been forgotten.
//!
//! A command that was erased counts as it did when its bytes were there. If it was the first of its request, its place in
//! the block says so, and says what the request is known by ([`model::Entry::Remembered`]): it is remembered alike. What
//! its request asked for in detail is not known any more, so a purge takes that out of the memory of every node at the
//! same height, whether or not the bytes are still there: from then on any request under that key is a repeat.
//!
//! The state is a function of the chain alone: [`CoreState::apply`] over all blocks gives the same on every node. A
//! start need not read all of them (`opening`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::codec::{Decode, DecodeError, Encode, Reader};
use model::{
    Block, Command, Digest, Entry, Erasure, LeafHash, Payload, Position, Residue, Timestamp, limits,
};

/// What a command in a decided block is.
#[derive(Debug, Clone, PartialEq)]
pub enum Disposition {
    /// The first of its request: to be applied.
    Fresh(Command),
    /// The same request again: the answer is the first one's.
    Duplicate(Position),
    /// Another request under a key that is taken: refused.
    KeyReused(Position),
    /// Decided after its `valid_until`: refused.
    Expired,
    /// Its bytes were destroyed by a later purge: skipped.
    Erased,
    /// Its bytes were pruned: a catalogue must not skip it, but begin with a snapshot that holds what it did.
    Pruned,
    /// Not a command: refused.
    Malformed,
}

/// What is remembered of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// SHA-256 of the request; of a command without key, its leaf. [`Remembered::FORGOTTEN`] if it was purged.
    pub request: Digest,
    /// Where its command stands.
    pub position: Position,
}

impl Remembered {
    /// In place of what an erased request asked for.
    pub const FORGOTTEN: Digest = Digest([0; 32]);

    /// Whether this is the request that is meant, as far as anybody still knows.
    pub fn is(&self, request: &Digest) -> bool {
        self.request == *request || self.request == Self::FORGOTTEN
    }
}

/// The deduplication window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoreState {
    requests: BTreeMap<Digest, Remembered>,
    /// By end of life; one queue per length of window keeps both sorted.
    keyed: VecDeque<(Timestamp, Digest)>,
    unkeyed: VecDeque<(Timestamp, Digest)>,
    time: Timestamp,
}

impl CoreState {
    /// Time of the last block applied.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The `valid_until` for a command whose key, if any, was looked up in this state.
    pub fn valid_until(&self, keyed: bool) -> Timestamp {
        self.time.plus(window(keyed))
    }

    /// The request remembered under this id (see `Command::request_id`).
    pub fn lookup(&self, request_id: &Digest) -> Option<&Remembered> {
        self.requests.get(request_id)
    }

    /// Takes the next block.
    pub fn apply(&mut self, block: &Block) -> Vec<Disposition> {
        self.apply_noting(block, &mut |_, _| {})
    }

    /// The same, naming every request in the block and the window for which it is remembered if it counts.
    pub(crate) fn apply_noting(
        &mut self,
        block: &Block,
        note: &mut impl FnMut(Digest, Duration),
    ) -> Vec<Disposition> {
        self.time = block.header().time;
        self.forget();
        (0..)
            .zip(block.entries())
            .map(|(index, entry)| self.dispose(block, index, entry, note))
            .collect()
    }

    fn dispose(
        &mut self,
        block: &Block,
        index: u32,
        entry: &Entry,
        note: &mut impl FnMut(Digest, Duration),
    ) -> Disposition {
        let position = Position {
            height: block.height(),
            index,
        };
        let sealed = match entry {
            Entry::Sealed(sealed) => sealed,
            Entry::Erased(_) => return Disposition::Erased,
            Entry::Remembered { leaf, key } => {
                self.recall(*leaf, *key, position, note);
                return Disposition::Erased;
            }
            Entry::Pruned { leaf, residue } => {
                match residue {
                    Residue::Nothing => {}
                    Residue::Leaf => self.recall(*leaf, None, position, note),
                    Residue::Key(key) => self.recall(*leaf, Some(*key), position, note),
                }
                return Disposition::Pruned;
            }
        };
        let Ok(command) = sealed.open() else {
            return Disposition::Malformed;
        };
        let id = command.request_id(sealed.leaf());
        note(id, window(command.key.is_some()));
        let request = command
            .key
            .as_ref()
            .map_or(Digest(sealed.leaf().0), |key| key.request);
        if let Some(first) = self.requests.get(&id) {
            return if first.is(&request) {
                Disposition::Duplicate(first.position)
            } else {
                Disposition::KeyReused(first.position)
            };
        }
        if command.valid_until < self.time {
            return Disposition::Expired;
        }
        if command.valid_until > self.valid_until(command.key.is_some()) {
            // It could be applied again after its key is forgotten.
            return Disposition::Malformed;
        }
        self.remember(id, command.key.is_some(), Remembered { request, position });
        if let Payload::Purge(commands) = &command.payload {
            self.purge(commands);
        }
        Disposition::Fresh(command)
    }

    /// Remembers a request whose command is gone.
    fn recall(
        &mut self,
        leaf: LeafHash,
        key: Option<Digest>,
        position: Position,
        note: &mut impl FnMut(Digest, Duration),
    ) {
        let id = key.unwrap_or(Digest(leaf.0));
        note(id, window(key.is_some()));
        let request = if key.is_some() {
            Remembered::FORGOTTEN
        } else {
            id
        };
        self.remember(id, key.is_some(), Remembered { request, position });
    }

    fn remember(&mut self, id: Digest, keyed: bool, request: Remembered) {
        self.requests.insert(id, request);
        let queue = if keyed {
            &mut self.keyed
        } else {
            &mut self.unkeyed
        };
        queue.push_back((self.time.plus(window(keyed)), id));
    }

    /// Forgets what the requests of these commands asked for.
    fn purge(&mut self, commands: &[Erasure]) {
        for command in commands {
            let Residue::Key(id) = command.residue else {
                continue;
            };
            let remembered = self.requests.get_mut(&id);
            if let Some(request) = remembered.filter(|r| r.position == command.position) {
                request.request = Remembered::FORGOTTEN;
            }
        }
    }

    fn forget(&mut self) {
        for queue in [&mut self.keyed, &mut self.unkeyed] {
            while let Some((_, id)) = queue.pop_front_if(|(end, _)| *end < self.time) {
                self.requests.remove(&id);
            }
        }
    }
}

/// As in a snapshot: equal states have equal bytes.
impl Encode for CoreState {
    fn encode(&self, out: &mut Vec<u8>) {
        self.time.encode(out);
        length(self.requests.len()).encode(out);
        for (id, Remembered { request, position }) in &self.requests {
            id.encode(out);
            request.encode(out);
            position.encode(out);
        }
        for queue in [&self.keyed, &self.unkeyed] {
            length(queue.len()).encode(out);
            for (end, id) in queue {
                end.encode(out);
                id.encode(out);
            }
        }
    }
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("so many requests fit no memory")
}

impl Decode for CoreState {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let time = Timestamp::decode(input)?;
        let mut requests = Vec::new();
        for _ in 0..input.length()? {
            let id = Digest::decode(input)?;
            let (request, position) = (Digest::decode(input)?, Position::decode(input)?);
            requests.push((id, Remembered { request, position }));
        }
        if !requests.is_sorted_by(|(one, _), (other, _)| one < other) {
            let (what, value) = ("order of requests", 0);
            return Err(DecodeError::Invalid { what, value });
        }
        let mut queue = || -> Result<VecDeque<_>, DecodeError> {
            let entries = 0..input.length()?;
            let entries = entries.map(|_| Ok((Timestamp::decode(input)?, Digest::decode(input)?)));
            entries.collect()
        };
        Ok(Self {
            requests: requests.into_iter().collect(),
            keyed: queue()?,
            unkeyed: queue()?,
            time,
        })
    }
}

fn window(keyed: bool) -> Duration {
    if keyed {
        limits::KEYED_WINDOW
    } else {
        limits::UNKEYED_WINDOW
    }
}
