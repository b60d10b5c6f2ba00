//! A ledger's folder in memory, which flushes at once, and a node that writes its life into it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::{Disk, Flush, GenesisFile, Ledger, OpenError, Recovered, Storage, Write};
use model::{Block, Decided, LogSeq, Mark, Nonce, Record, SealedCommand, Vote};

use crate::chain::{Trusting, ballot, certify, child};

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Cheap to clone; all clones are the same folder.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    files: Arc<Mutex<Files>>,
}

impl Folder {
    /// With these files in it.
    pub fn holding(files: Files) -> Self {
        Self {
            files: Arc::new(Mutex::new(files)),
        }
    }

    /// A new ledger.
    pub fn founded(genesis: &Block) -> Self {
        let GenesisFile { name, bytes } = GenesisFile::new(genesis);
        Self::holding(Files::from([(name, bytes)]))
    }

    /// What is in it.
    pub fn files(&self) -> Files {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Storage for Folder {
    fn files(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().keys().cloned().collect())
    }

    fn len(&self, file: &str) -> io::Result<u64> {
        let files = self.lock();
        Ok(files.get(file).ok_or_else(missing)?.len() as u64)
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let files = self.lock();
        let bytes = files.get(file).ok_or_else(missing)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(length);
        let read = bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(read.to_vec())
    }
}

impl Disk for Folder {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    fn cut(&mut self, file: &str, length: u64) -> io::Result<()> {
        let mut files = self.lock();
        let bytes = files.get_mut(file).ok_or_else(missing)?;
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn submit(&mut self, write: Write) {
        let mut files = self.lock();
        let bytes = files.entry(write.file).or_default();
        let start = usize::try_from(write.offset).expect("log files are small");
        let end = start + write.bytes.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        let place = bytes.get_mut(start..end).expect("it was made long enough");
        place.copy_from_slice(&write.bytes);
    }
}

/// What a log is there to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// The start counter.
    pub boot: u64,
    /// The last decided block.
    pub tip: Decided,
    /// The vote above it.
    pub vote: Option<Vote>,
}

impl Memory {
    /// As it was found.
    pub fn of(recovered: &Recovered) -> Self {
        Self {
            boot: recovered.boot.0,
            tip: recovered.tip.clone(),
            vote: recovered.vote.clone(),
        }
    }
}

/// A node without a protocol: it writes down what it is told to, and every write is flushed.
#[derive(Debug)]
pub struct Node {
    /// Where.
    pub folder: Folder,
    /// What it knew after each record, the last state last.
    pub memories: Vec<Memory>,
    ledger: Ledger<Folder>,
    seq: LogSeq,
}

impl Node {
    /// Opens what is in a folder.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open(folder: &Folder) -> Result<Self, OpenError> {
        let (ledger, recovered) = Ledger::open(folder.clone(), &Trusting)?;
        Ok(Self {
            folder: folder.clone(),
            memories: vec![Memory::of(&recovered)],
            ledger,
            seq: LogSeq(0),
        })
    }

    /// What it knows.
    pub fn memory(&self) -> &Memory {
        self.memories.last().expect("it knew something at once")
    }

    /// Writes a record after which this is what it knows.
    fn append(&mut self, record: &Record, memory: Memory) {
        self.seq = self.seq.next();
        self.ledger.append(self.seq, record, Flush::Now);
        self.ledger.durable(self.seq);
        self.memories.push(memory);
    }

    /// Starts, unless the counter of starts is used up, which takes longer than the universe has.
    pub fn start(&mut self) {
        let memory = self.memory().clone();
        let Some(boot) = memory.boot.checked_add(1) else {
            return;
        };
        let tip = &memory.tip.block;
        let record = Record::Start {
            boot: model::Boot(boot),
            nonce: Nonce([boot.to_be_bytes()[7]; 16]),
            tip: Mark {
                height: tip.height(),
                hash: tip.hash(),
            },
            vote: memory.vote.clone(),
        };
        self.append(&record, Memory { boot, ..memory });
    }

    /// Promises ballot `k`.
    pub fn promise(&mut self, k: u64) {
        let memory = self.memory().clone();
        let accepted = memory.vote.clone().and_then(|vote| vote.accepted);
        self.vote(memory, ballot(k), accepted, false);
    }

    /// Accepts a block with these commands at ballot `k`.
    pub fn accept(&mut self, k: u64, commands: Vec<SealedCommand>) {
        let memory = self.memory().clone();
        let block = child(memory.tip.block.header(), commands);
        self.vote(memory, ballot(k), Some((ballot(k), block)), true);
    }

    fn vote(
        &mut self,
        memory: Memory,
        promised: model::Ballot,
        accepted: Option<(model::Ballot, Arc<Block>)>,
        body: bool,
    ) {
        let vote = Vote {
            height: memory.tip.block.height().next(),
            promised,
            accepted,
        };
        let record = Record::Vote {
            vote: vote.clone(),
            body,
        };
        let vote = Some(vote);
        self.append(&record, Memory { vote, ..memory });
    }

    /// What was accepted is decided.
    pub fn decide(&mut self) {
        let memory = self.memory().clone();
        let accepted = memory.vote.and_then(|vote| vote.accepted);
        let (ballot, block) = accepted.expect("something was accepted");
        self.decided(block, ballot, false);
    }

    /// Learns a decided block without having voted.
    pub fn learn(&mut self, commands: Vec<SealedCommand>) {
        let block = child(self.memory().tip.block.header(), commands);
        self.decided(block, ballot(1), true);
    }

    fn decided(&mut self, block: Arc<Block>, ballot: model::Ballot, body: bool) {
        let certificate = certify(&block, ballot);
        let record = Record::Decided {
            block: block.clone(),
            certificate: certificate.clone(),
            body,
        };
        let tip = Decided {
            block,
            certificate: Some(certificate),
        };
        let boot = self.memory().boot;
        let vote = None;
        self.append(&record, Memory { boot, tip, vote });
    }
}
