//! The writing side, owned by the replica.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use model::{BlockHash, Boot, Decided, Encode, Height, LogSeq, Nonce, Record, Signatures};

use crate::disk::{Disk, ENDED, Storage, Write};
use crate::format::FileHeader;
use crate::index::{Entry, Place, Shared};
use crate::predecessor;
use crate::reader::{ReadError, Reader};
use crate::record::{Meta, block_of, wants_body};
use crate::recovery::{OpenError, Recovered, Recovery, recover};
use crate::writer::Writer;

/// Whether somebody waits for a record to be flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// A message waits for it.
    Now,
    /// It may go with the next flush.
    Lazy,
}

/// The log of one node: the chain of decided blocks and its own votes.
///
/// Appending never blocks: records are handed to the disk, whose completions the owner passes on to
/// [`Ledger::durable`]. Until then blocks are read from memory.
pub struct Ledger<D> {
    disk: D,
    writer: Writer,
    shared: Arc<Shared>,
    boot: Boot,
    /// Number of this incarnation's first record in the whole log.
    base: u64,
    /// Records of earlier incarnations below this number were known to be flushed by those who wrote them.
    flushed: u64,
    last: LogSeq,
    durable: LogSeq,
    /// Where the blocks are that may be decided next.
    bodies: BTreeMap<BlockHash, Place>,
    /// Decided blocks held in memory, by the record that says so.
    unwritten: VecDeque<(LogSeq, Height)>,
}

impl<D: Disk> Ledger<D> {
    /// Reads the log, checks every checksum, every link between headers and the certificate of the last block, and cuts
    /// off an end that was never finished. The cut, and everything read, is flushed before this returns.
    ///
    /// # Errors
    /// An [`OpenError`]: the node must not vote then.
    pub fn open(mut disk: D, signatures: &dyn Signatures) -> Result<(Self, Recovered), OpenError> {
        let storage = disk.storage();
        let Recovery {
            replay,
            position,
            flushed,
            report,
            ends,
        } = recover(&*storage)?;
        let ended = is_ended(&*storage)?;
        let (boot, nonce) = replay.incarnation();
        let vote = replay.read_vote(&*storage)?;
        let floor = replay.floor;
        let predecessor = predecessor::open(&*storage, &replay.foundation.genesis)?;
        let (foundation, index, bodies) = replay.into_parts();
        let (height, _) = index.tip();
        let base = position.number;
        let file = FileHeader {
            number: 0,
            chain: foundation.chain,
            nonce: Nonce([0; 16]),
            origin: None,
        };
        let shared = Arc::new(Shared::new(foundation, storage, index, predecessor));
        let tip = Reader::new(shared.clone())
            .block(height)?
            .expect("the tip is decided");
        let roster = shared.index().rosters().last().clone();
        if let Some(certificate) = &tip.certificate {
            certificate
                .verify(shared.foundation.chain, &shared.voters(height)?, signatures)
                .map_err(|source| OpenError::Certificate { height, source })?;
        }
        let mut writer = Writer::new(position, file).with_files_of(disk.file_bytes());
        writer.reach(shared.index().tip(), floor);
        for (file, length) in ends {
            disk.cut(&file, length)
                .map_err(|source| OpenError::Io { file, source })?;
        }
        let recovered = Recovered {
            chain: shared.foundation.chain,
            genesis: shared.foundation.genesis.clone(),
            roster,
            boot,
            nonce,
            tip,
            vote,
            floor,
            ended,
            report,
        };
        let ledger = Self {
            disk,
            writer,
            shared,
            boot,
            base,
            flushed,
            last: LogSeq(0),
            durable: LogSeq(0),
            bodies,
            unwritten: VecDeque::new(),
        };
        Ok((ledger, recovered))
    }

    /// Hands the next record to the disk and returns at once.
    ///
    /// # Panics
    /// If the order of the log is broken: `seq` counts from 1 without gaps; the first record, and no other, is a start
    /// with a higher boot; decided blocks come in order; a vote comes when the block below it is decided in the log.
    pub fn append(&mut self, seq: LogSeq, record: &Record, flush: Flush) {
        assert_eq!(seq, self.last.next(), "records are numbered without gaps");
        self.check_order(seq, record);
        self.last = seq;
        let block = block_of(record);
        let known = block.is_some_and(|block| self.bodies.contains_key(&block.hash()));
        let body = block.filter(|_| wants_body(record) || !known);
        let body = body.map(|block| block.to_bytes()).unwrap_or_default();
        if let Record::Start { boot, nonce, .. } = record {
            self.boot = *boot;
            self.shared.index_mut().begin(*boot);
            self.writer.begin(*nonce, *boot);
        }
        if self.shared.erasing.take_new_file() {
            self.writer.end_file();
        }
        // A start does not vouch for what was read: that may be only in the page cache.
        let flushed = if self.durable == LogSeq(0) {
            self.flushed
        } else {
            self.base + self.durable.0
        };
        let written = self.writer.write(&Meta::of(record), &body, flushed);
        if let (Some(block), Some(place)) = (block, written.body) {
            self.bodies.insert(block.hash(), place);
        }
        if let Record::Decided {
            block, certificate, ..
        } = record
        {
            let decided = Decided {
                block: block.clone(),
                certificate: Some(certificate.clone()),
            };
            self.decide(seq, decided, written.meta);
        }
        self.disk.submit(Write {
            seq,
            file: written.file,
            create: written.create,
            offset: written.offset,
            bytes: written.bytes,
            lazy: flush == Flush::Lazy,
        });
    }

    fn check_order(&self, seq: LogSeq, record: &Record) {
        let (tip, tip_hash) = self.tip();
        let starts = matches!(record, Record::Start { .. });
        assert_eq!(
            seq == LogSeq(1),
            starts,
            "the first record of an incarnation is its start"
        );
        match record {
            Record::Start {
                boot, tip: mark, ..
            } => {
                assert!(*boot > self.boot, "every start has a higher boot");
                assert_eq!(
                    (mark.height, mark.hash),
                    (tip, tip_hash),
                    "a start names the tip"
                );
            }
            Record::Vote { vote, .. } => {
                assert_eq!(
                    vote.height,
                    tip.next(),
                    "a vote comes above the last decided block"
                );
            }
            Record::Decided {
                block, certificate, ..
            } => {
                assert_eq!(block.height(), tip.next(), "blocks are decided in order");
                assert_eq!(
                    block.header().parent,
                    Some(tip_hash),
                    "a block extends the tip"
                );
                assert_eq!(
                    certificate.hash,
                    block.hash(),
                    "the certificate is the block's"
                );
            }
        }
    }

    fn decide(&mut self, seq: LogSeq, decided: Decided, certificate: Place) {
        let (hash, height) = (decided.block.hash(), decided.block.height());
        let body = *self
            .bodies
            .get(&hash)
            .expect("the body was written if it was not known");
        let entry = Entry::new(decided.block.header(), hash, body, Some(certificate));
        self.shared.index_mut().push(entry, decided);
        self.writer.reach((height, hash), height);
        self.bodies.clear();
        self.unwritten.push_back((seq, height));
    }

    /// The log is flushed through this record.
    pub fn durable(&mut self, seq: LogSeq) {
        self.durable = self.durable.max(seq);
        let mut index = self.shared.index_mut();
        while let Some((_, height)) = self.unwritten.pop_front_if(|(at, _)| *at <= seq) {
            index.forget(height);
        }
    }

    /// The last decided block.
    pub fn tip(&self) -> (Height, BlockHash) {
        self.shared.index().tip()
    }

    /// The block of a height; nothing if it is not decided here.
    ///
    /// # Errors
    /// As [`Reader::block`].
    pub fn read(&self, height: Height) -> Result<Option<Decided>, ReadError> {
        self.reader().block(height)
    }

    /// Notes, for good, that this log was found to be older than what its node has said, so that no later start votes.
    ///
    /// # Errors
    /// If the note could not be made and flushed.
    pub fn end(&self) -> io::Result<()> {
        self.shared.storage.end()
    }

    /// A reader for other threads.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }
}

fn is_ended(storage: &dyn Storage) -> Result<bool, OpenError> {
    let files = storage.files().map_err(|source| OpenError::Io {
        file: ENDED.to_owned(),
        source,
    })?;
    Ok(files.iter().any(|file| file == ENDED))
}

impl<D> std::fmt::Debug for Ledger<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (height, hash) = self.shared.index().tip();
        write!(
            f,
            "ledger at {height} {hash:?}, record {} of boot {}",
            self.last, self.boot
        )
    }
}
