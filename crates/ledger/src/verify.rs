//! Checks everything there is to check, and goes on behind a fault.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{BlockHash, Decided, Header, Height, Roster, Signatures};

use crate::damage::{Spot, Verdict};
use crate::disk::Storage;
use crate::folder::Folder;
use crate::format::Kind;
use crate::index::{Entry, Foundation, Place};
use crate::reader::{Reader, read_block, read_certificate};
use crate::record::Meta;
use crate::recovery::{OpenError, STRAY};
use crate::scan::{Break, Found, Scanner, Step};
use crate::window::{LogFile, list};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The first height checked.
    pub from: Height,
    /// The last height checked.
    pub to: Height,
    /// The hash of the block at `to`, if it could be read.
    pub head: Option<BlockHash>,
    /// How many blocks were read and found good.
    pub blocks: u64,
    /// How many commands they hold.
    pub commands: u64,
    /// What is wrong, by height.
    pub faults: Vec<Fault>,
    /// What is not in order and does no harm: an end that was never finished, damage that a second copy makes good.
    pub notes: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn ok(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Something wrong at a height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The height, or the first one that may be concerned.
    pub height: Height,
    /// What is wrong, for people.
    pub what: String,
}

/// Checks a ledger that nobody writes to: every checksum, every link, every Merkle root, every certificate.
///
/// # Errors
/// An [`OpenError`] if there is no ledger, its genesis block is unreadable, or the disk fails.
pub fn verify(folder: &Path, signatures: &dyn Signatures) -> Result<VerifyReport, OpenError> {
    verify_storage(&Folder::new(folder), signatures)
}

/// The same, for any storage.
///
/// # Errors
/// As [`verify`].
pub fn verify_storage(
    storage: &dyn Storage,
    signatures: &dyn Signatures,
) -> Result<VerifyReport, OpenError> {
    let files = list(storage)?;
    if files.first().is_none_or(|file| file.number != 0) {
        return Err(OpenError::NoLedger);
    }
    let mut survey = Survey::new(storage, &files);
    survey.walk()?;
    survey.close();
    let Survey {
        blocks,
        faults,
        notes,
        ..
    } = survey;
    let foundation = read_foundation(storage, &files, blocks.get(&Height::GENESIS))?;
    let roster = foundation.roster.clone();
    let mut check = Check::new(storage, &foundation, signatures, (Height::GENESIS, roster));
    check.report.faults = faults;
    check.report.notes = notes;
    let mut next = Height::GENESIS;
    for (height, entry) in &blocks {
        check.gap(next, *height);
        check.entry(*height, *entry);
        next = height.next();
    }
    Ok(check.finish())
}

fn read_foundation(
    storage: &dyn Storage,
    files: &[LogFile],
    genesis: Option<&Entry>,
) -> Result<Foundation, OpenError> {
    let file = files
        .first()
        .map(|file| file.name.clone())
        .unwrap_or_default();
    let damaged = |what| OpenError::DamagedBlock {
        file: file.clone(),
        offset: 0,
        height: Height::GENESIS,
        what,
    };
    let entry = genesis.ok_or_else(|| damaged("no intact genesis record"))?;
    let block = read_block(storage, Height::GENESIS, entry.body, entry.hash)?;
    Foundation::of(Arc::new(block)).ok_or_else(|| damaged("it does not found a chain"))
}

/// Collects the records of a log, damaged or not.
struct Survey<'a> {
    scanner: Scanner<'a>,
    files: &'a [LogFile],
    blocks: BTreeMap<Height, Entry>,
    bodies: BTreeMap<BlockHash, (Height, Place)>,
    tip: Height,
    /// The highest height that a start behind lost records called decided.
    floor: Height,
    superseded: bool,
    faults: Vec<Fault>,
    notes: Vec<String>,
}

impl<'a> Survey<'a> {
    fn new(storage: &'a dyn Storage, files: &'a [LogFile]) -> Self {
        Self {
            scanner: Scanner::new(storage, files),
            files,
            blocks: BTreeMap::new(),
            bodies: BTreeMap::new(),
            tip: Height::GENESIS,
            floor: Height::GENESIS,
            superseded: false,
            faults: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn walk(&mut self) -> Result<(), OpenError> {
        loop {
            match self.scanner.step()? {
                Step::End => return Ok(()),
                Step::Record(found) => self.take(*found),
                Step::Break(broken) => {
                    let Some(spot) = self.judge(&broken)? else {
                        return Ok(());
                    };
                    self.scanner.resume(spot)?;
                }
            }
        }
    }

    /// Notes a break; where to go on, if there is anything behind it.
    fn judge(&mut self, broken: &Break) -> Result<Option<Spot>, OpenError> {
        let at = self.site(broken.suspect);
        let what = broken.what;
        let spot = match self.scanner.judge(broken)? {
            Verdict::Unfinished if !self.blocks.is_empty() => {
                self.notes.push(format!("{at}: an unfinished end ({what})"));
                return Ok(None);
            }
            Verdict::Superseded(start) => {
                let text = format!("{at}: never flushed, and superseded by a later start ({what})");
                self.notes.push(text);
                self.superseded = true;
                return Ok(Some(start));
            }
            Verdict::Stray(next) => {
                self.notes.push(format!("{at}: {STRAY} ({what})"));
                return Ok(Some(next));
            }
            Verdict::Unfinished => None,
            Verdict::Damaged(spot) => spot,
        };
        let height = match broken.kind {
            Some(Kind::Genesis) => Height::GENESIS,
            _ => self.tip.next(),
        };
        let what = format!("{at}: {what}");
        self.faults.push(Fault { height, what });
        Ok(spot)
    }

    fn close(&mut self) {
        if self.floor > self.tip {
            let (first, last) = (self.tip.next(), self.floor);
            let text = format!("the blocks {first} to {last} have to be fetched from other nodes");
            self.notes.push(text);
        }
    }

    fn site(&self, (file, offset): (usize, u64)) -> String {
        let name = self.files.get(file).map_or("", |file| file.name.as_str());
        format!("{name} at byte {offset}")
    }

    fn take(&mut self, found: Found) {
        if let Some(what) = found.repaired {
            let at = self.site((found.file, found.offset));
            self.notes.push(format!("{at}: {what}"));
        }
        if let Some(body) = &found.body {
            self.bodies
                .insert(body.hash, (body.header.height, body.place));
        }
        let (height, hash, certificate) = match found.meta {
            Meta::Genesis { height, hash } => (height, hash, None),
            Meta::Decided(certificate) => {
                (certificate.height, certificate.hash, Some(found.meta_place))
            }
            Meta::Start(start) => {
                if self.superseded {
                    self.floor = self.floor.max(start.tip.0);
                }
                return;
            }
            Meta::Vote(_) => return,
        };
        if self.floor > self.tip && height == self.floor.next() {
            // Of no use before the blocks below it are fetched; it comes again behind them.
            self.floor = height;
            return;
        }
        self.tip = self.tip.max(height);
        self.floor = self.floor.max(height);
        match self.bodies.get(&hash) {
            Some((_, body)) => {
                self.blocks.insert(
                    height,
                    Entry {
                        hash,
                        body: *body,
                        certificate,
                    },
                );
            }
            None => self.faults.push(Fault {
                height,
                what: "the decided block is nowhere in the log".to_owned(),
            }),
        }
        self.bodies.retain(|_, (at, _)| *at > height);
    }
}

/// Checks one height after the other.
struct Check<'a> {
    storage: &'a dyn Storage,
    foundation: &'a Foundation,
    signatures: &'a dyn Signatures,
    /// Who decides the next height; none if the block that says so is missing.
    roster: Option<Arc<Roster>>,
    below: Option<(Header, BlockHash)>,
    report: VerifyReport,
}

impl<'a> Check<'a> {
    fn new(
        storage: &'a dyn Storage,
        foundation: &'a Foundation,
        signatures: &'a dyn Signatures,
        (from, roster): (Height, Arc<Roster>),
    ) -> Self {
        let report = VerifyReport {
            from,
            to: from,
            head: None,
            blocks: 0,
            commands: 0,
            faults: Vec::new(),
            notes: Vec::new(),
        };
        Self {
            storage,
            foundation,
            signatures,
            roster: Some(roster),
            below: None,
            report,
        }
    }

    /// Heights from `first` on are missing below `above`. However many: a log that names absurd heights is no reason to
    /// say so for each.
    fn gap(&mut self, first: Height, above: Height) {
        match above.previous().filter(|last| *last >= first) {
            Some(last) if last > first => {
                self.missing(first, format!("the blocks {first} to {last} are missing"));
            }
            Some(_) => self.missing(first, "the block is missing".to_owned()),
            None => {}
        }
    }

    /// Reads a block where the log says it is.
    fn entry(&mut self, height: Height, entry: Entry) {
        let read = || {
            let block = read_block(self.storage, height, entry.body, entry.hash)?;
            let place = entry.certificate;
            let certificate = place.map(|place| read_certificate(self.storage, height, place));
            Ok(Decided {
                block: Arc::new(block),
                certificate: certificate.transpose()?,
            })
        };
        match read() {
            Ok(decided) => self.block(height, &decided),
            Err::<_, crate::ReadError>(error) => self.missing(height, error.to_string()),
        }
    }

    fn missing(&mut self, height: Height, what: String) {
        self.report.to = height;
        self.report.head = None;
        self.below = None;
        self.report.faults.push(Fault { height, what });
    }

    fn block(&mut self, height: Height, decided: &Decided) {
        let block = &decided.block;
        let mut wrong = Vec::new();
        wrong.extend(self.link(block.header()).err().map(str::to_owned));
        wrong.extend(self.voters(block.header()).err().map(str::to_owned));
        wrong.extend(self.certificate(height, decided).err());
        let next = self.roster.as_ref().and_then(|roster| roster.after(block));
        self.roster = next.map(Arc::new).or(self.roster.take());
        self.report.to = height;
        self.report.head = Some(block.hash());
        if wrong.is_empty() {
            self.report.blocks += 1;
            self.report.commands += u64::from(block.header().commands);
        }
        self.report
            .faults
            .extend(wrong.into_iter().map(|what| Fault { height, what }));
        self.below = Some((block.header().clone(), block.hash()));
    }

    fn link(&self, header: &Header) -> Result<(), &'static str> {
        if header.chain != self.foundation.chain {
            return Err("the block is of another chain");
        }
        match &self.below {
            Some((_, below)) if header.parent != Some(*below) => {
                Err("the block does not name the block below as its parent")
            }
            Some((below, _)) if header.time <= below.time => {
                Err("the block is not later than its parent")
            }
            _ => Ok(()),
        }
    }

    /// Whether the block names the voters that the blocks below make. Said once: where a block is missing that changed
    /// them, what follows cannot be held against them.
    fn voters(&mut self, header: &Header) -> Result<(), &'static str> {
        let known = self.roster.as_ref();
        if known.is_none_or(|roster| roster.voters().hash() == header.membership) {
            return Ok(());
        }
        if self.below.is_some() {
            return Err("the block is of another membership");
        }
        self.roster = None;
        Err(
            "the voters changed in a block that is missing: certificates from here on are not checked",
        )
    }

    fn certificate(&self, height: Height, decided: &Decided) -> Result<(), String> {
        let Some(certificate) = &decided.certificate else {
            let genesis = decided.block.hash() == self.foundation.genesis.hash();
            return if genesis {
                Ok(())
            } else {
                Err("there is no certificate".to_owned())
            };
        };
        if (certificate.height, certificate.hash) != (height, decided.block.hash()) {
            return Err("the certificate is of another block".to_owned());
        }
        let Some(roster) = &self.roster else {
            return Ok(());
        };
        let verified = certificate.verify(self.foundation.chain, roster.voters(), self.signatures);
        verified.map_err(|error| format!("the certificate is not valid: {error}"))
    }

    fn finish(mut self) -> VerifyReport {
        self.report.faults.sort_by_key(|fault| fault.height);
        self.report
    }
}

impl Reader {
    /// Checks the blocks `from` to `to` of a ledger in use, both included and `to` at most the tip: checksums, links,
    /// Merkle roots and certificates. Blocks that are not yet on the disk are taken from memory.
    pub fn verify(&self, from: Height, to: Height, signatures: &dyn Signatures) -> VerifyReport {
        let foundation = self.foundation();
        let roster = self.roster_deciding(from);
        let mut check = Check::new(&**self.storage(), foundation, signatures, (from, roster));
        if let Some(Ok(Some(below))) = from.previous().map(|below| self.block(below)) {
            check.below = Some((below.block.header().clone(), below.block.hash()));
        }
        for decided in self.heights(from, to.min(self.tip().0)) {
            match decided {
                (height, Ok(Some(decided))) => check.block(height, &decided),
                (height, Ok(None)) => check.missing(height, "the block is missing".to_owned()),
                (height, Err(error)) => check.missing(height, error.to_string()),
            }
        }
        check.finish()
    }

    fn heights(
        &self,
        from: Height,
        to: Height,
    ) -> impl Iterator<Item = (Height, Result<Option<Decided>, crate::ReadError>)> {
        (from.0..=to.0)
            .map(Height)
            .map(|height| (height, self.block(height)))
    }
}
