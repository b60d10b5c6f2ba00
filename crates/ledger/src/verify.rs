//! Checks everything there is to check, and goes on behind a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use model::{Block, BlockHash, Decided, Header, Height, Position, Predecessor, Roster, Signatures};

use crate::damage::{Spot, Verdict};
use crate::disk::Storage;
use crate::folder::Folder;
use crate::format::{Kind, Origin};
use crate::index::{Entry, Foundation, Place};
use crate::reader::{Reader, read_block, read_entry};
use crate::record::Meta;
use crate::recovery::{OpenError, STRAY, Spare, spares};
use crate::scan::{Break, Found, Scanner, Step};
use crate::sealed::{Sealed, Segment, describe, names};
use crate::segment::links::Links;
use crate::segment::{self, Below, Contents, SegmentError, SegmentName};
use crate::window::{self, LogFile, list};

mod pruned;
mod scrub;

pub use scrub::{Damage, Pace, Site, Stopped};

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

    /// The chain before is missing.
    fn lacking(named: &Predecessor) -> Self {
        Self {
            from: named.height,
            to: named.height,
            head: None,
            blocks: 0,
            commands: 0,
            faults: vec![Fault {
                height: named.height,
                what: "the chain before is missing".to_owned(),
            }],
            notes: Vec::new(),
        }
    }

    /// Takes in what was found of the chain before.
    fn stand_on(&mut self, mut below: Self, named: &Predecessor) {
        if below.ok() && (below.to, below.head) != (named.height, Some(named.hash)) {
            below.faults.push(Fault {
                height: named.height,
                what: "the chain before does not end with the block that this one goes on from"
                    .to_owned(),
            });
        }
        self.from = below.from;
        self.blocks += below.blocks;
        self.commands += below.commands;
        below.faults.append(&mut self.faults);
        below.notes.append(&mut self.notes);
        (self.faults, self.notes) = (below.faults, below.notes);
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
    let names = names(storage)?;
    let named = names.iter().map(SegmentName::to).max();
    let named = named.unwrap_or(Height::GENESIS);
    let (files, base) = window::begin(storage, files, named)?;
    let base = base.and_then(|base| base.origin);
    let mut survey = Survey::new(storage, &files, named, base);
    survey.walk()?;
    survey.close();
    let Survey {
        blocks,
        first,
        faults,
        notes,
        ..
    } = survey;
    let genesis = first.and_then(|first| Some((first, blocks.get(&first)?)));
    let foundation = read_foundation(storage, &files, genesis)?;
    let sealed = Sealed::read(storage, &foundation)?;
    let start = (foundation.genesis.height(), Some(foundation.roster.clone()));
    let mut check = Check::new(storage, &foundation, signatures, start);
    check.report.faults = faults;
    check.report.notes = notes;
    check.chain(&blocks, &sealed);
    check.explained();
    for name in names {
        let used = sealed.all().iter().any(|segment| segment.name == name);
        let damaged = sealed.damaged.iter().any(|damaged| damaged.name == name);
        if !used && !damaged {
            check.spare(name, &sealed);
        }
    }
    let mut report = check.finish();
    if let Some(named) = foundation.genesis.predecessor() {
        let below = match storage.predecessor() {
            Some(before) => verify_storage(&*before, signatures)?,
            None => VerifyReport::lacking(&named),
        };
        report.stand_on(below, &named);
    }
    Ok(report)
}

fn read_foundation(
    storage: &dyn Storage,
    files: &[LogFile],
    genesis: Option<(Height, &Entry)>,
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
    let (height, entry) = genesis.ok_or_else(|| damaged("no intact genesis record"))?;
    let block = read_block(storage, height, entry.body, entry.hash)?;
    Foundation::of(Arc::new(block), entry.body).ok_or_else(|| damaged("it does not found a chain"))
}

/// Collects the records of a log, damaged or not.
struct Survey<'a> {
    scanner: Scanner<'a>,
    files: &'a [LogFile],
    blocks: BTreeMap<Height, Entry>,
    /// Where the chain begins.
    first: Option<Height>,
    bodies: BTreeMap<BlockHash, (Header, Place)>,
    /// The highest height in the name of a segment.
    named: Height,
    /// How the second file begins, if the log does so there.
    base: Option<Origin>,
    tip: Height,
    /// The highest height that a start behind lost records called decided.
    floor: Height,
    superseded: bool,
    faults: Vec<Fault>,
    /// Copies that are damaged beside one that is not. They are among the notes, too.
    copies: Vec<(Fault, Vec<Spare>)>,
    /// An end that was never finished. It is among the notes, too.
    unfinished: Option<Fault>,
    notes: Vec<String>,
}

impl<'a> Survey<'a> {
    fn new(
        storage: &'a dyn Storage,
        files: &'a [LogFile],
        named: Height,
        base: Option<Origin>,
    ) -> Self {
        Self {
            scanner: Scanner::new(storage, files),
            files,
            blocks: BTreeMap::new(),
            first: None,
            bodies: BTreeMap::new(),
            named,
            base,
            tip: Height::GENESIS,
            floor: Height::GENESIS,
            superseded: false,
            faults: Vec::new(),
            copies: Vec::new(),
            unfinished: None,
            notes: Vec::new(),
        }
    }

    fn walk(&mut self) -> Result<(), OpenError> {
        loop {
            match self.scanner.step()? {
                Step::End => return Ok(()),
                Step::Record(found) => {
                    self.take(*found);
                    if let Some(base) = self.base.take() {
                        self.scanner.begin(&base);
                        (self.tip, self.floor) = (base.tip.0, base.floor);
                    }
                }
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
                let what = format!("{at}: an unfinished end ({what})");
                self.notes.push(what.clone());
                let height = self.tip.next();
                self.unfinished = Some(Fault { height, what });
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
            let what = format!("{at}: {what}");
            self.notes.push(what.clone());
            let height = self.tip.next();
            let spares = spares(self.files, &found);
            self.copies.push((Fault { height, what }, spares));
        }
        if let Some(body) = &found.body {
            self.bodies
                .insert(body.hash, (body.header.clone(), body.place));
        }
        let (height, hash, certificate) = match found.meta {
            Meta::Genesis { height, hash } => {
                self.first.get_or_insert(height);
                (height, hash, None)
            }
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
            Some((header, body)) => {
                let entry = Entry::new(header, hash, *body, certificate);
                self.blocks.insert(height, entry);
            }
            // In a file that is gone, since a segment has it; if not, it is missed later.
            None if height <= self.named => {}
            None => self.faults.push(Fault {
                height,
                what: "the decided block is nowhere in the log".to_owned(),
            }),
        }
        self.bodies.retain(|_, (header, _)| header.height > height);
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
    /// Erased commands that no purge was found for yet.
    erased: BTreeSet<Position>,
    /// Pruned commands, and what explains them.
    pruned: pruned::Pruned,
    report: VerifyReport,
}

impl<'a> Check<'a> {
    fn new(
        storage: &'a dyn Storage,
        foundation: &'a Foundation,
        signatures: &'a dyn Signatures,
        (from, roster): (Height, Option<Arc<Roster>>),
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
            roster,
            below: None,
            erased: BTreeSet::new(),
            pruned: pruned::Pruned::default(),
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

    /// All heights, from segments where there are any, else from the log.
    fn chain(&mut self, blocks: &BTreeMap<Height, Entry>, sealed: &Sealed) {
        for damaged in &sealed.damaged {
            self.fault_in(damaged.name, damaged.name.from(), &damaged.what);
        }
        let first = self.foundation.genesis.height();
        let mut next = first;
        for segment in sealed.all() {
            let below = segment.name.from().previous();
            next = self.logged(blocks, next, below.unwrap_or(first));
            self.gap(next, segment.name.from());
            let known = next <= segment.name.from();
            self.segment(segment.name, known);
            next = segment.name.to().next();
        }
        let last = self.logged(blocks, next, Height(u64::MAX));
        debug_assert!(last >= next, "heights ascend");
        for (height, entry) in blocks.range(..next) {
            if let Some(segment) = sealed.find(*height) {
                self.copy(segment, *height, entry);
            }
        }
    }

    /// The heights from `first` to `last` that the log has; the first behind them.
    fn logged(&mut self, blocks: &BTreeMap<Height, Entry>, first: Height, last: Height) -> Height {
        let mut next = first;
        let within = blocks.range(first..).take_while(|(at, _)| **at <= last);
        for (height, entry) in within {
            self.gap(next, *height);
            self.entry(*height, *entry);
            next = height.next();
        }
        next
    }

    /// Reads all of a segment; `known` says that its first block comes next.
    fn segment(&mut self, name: SegmentName, known: bool) {
        let bytes = match read_all(self.storage, name) {
            Ok(bytes) => bytes,
            Err(error) => return self.lacking(name, &error),
        };
        let mut contents = match Contents::open(&bytes) {
            Ok(contents) => contents,
            Err(error) => return self.lacking(name, &error),
        };
        let top = self.below.as_ref().map(|(header, _)| header.height);
        let mut links = self.below().filter(|_| known).map(Links::above);
        for (height, decided) in (name.from().0..).map(Height).zip(&mut contents) {
            match decided {
                Ok(decided) => {
                    links = links.and_then(|mut links| links.push(&decided).ok().map(|()| links));
                    if known || top.is_none_or(|top| height > top) {
                        self.block(height, &decided);
                    }
                }
                Err(error) => {
                    links = None;
                    self.missing(height, in_segment(name, &error.to_string()));
                }
            }
        }
        let said = links.map(|links| links.summary().as_ref() == Some(&contents.frame.summary));
        if said == Some(false) {
            self.fault_in(name, name.to(), "its summary is not what its blocks say");
        }
    }

    /// None of the blocks of a segment can be read.
    fn lacking(&mut self, name: SegmentName, error: &SegmentError) {
        self.missing(name.to(), in_segment(name, &describe(error)));
    }

    /// A segment whose blocks others have too.
    fn spare(&mut self, name: SegmentName, sealed: &Sealed) {
        let other = sealed.find(name.to());
        let other = other.and_then(|other| other.entry(self.storage, name.to()).ok());
        if other.is_some_and(|other| other.hash != name.head()) {
            self.fault_in(name, name.to(), "it holds other blocks than the chain");
        }
        let whole = read_all(self.storage, name).and_then(|bytes| {
            let mut contents = Contents::open(&bytes)?;
            contents.frame.is(name, self.foundation.chain)?;
            contents.try_for_each(|decided| decided.map(|_| ()))
        });
        if let Err(error) = whole {
            self.fault_in(name, name.from(), &describe(&error));
        }
    }

    /// A block in the log that is in a segment too.
    fn copy(&mut self, segment: &Segment, height: Height, entry: &Entry) {
        let other = segment.entry(self.storage, height);
        let what = match (read_entry(self.storage, height, entry), other) {
            (Err(error), _) => error.to_string(),
            (Ok(_), Ok(other)) if other.hash != entry.hash => {
                in_segment(segment.name, "the log has another block of this height")
            }
            // That the segment cannot be read was said before.
            (Ok(_), _) => return,
        };
        self.report.faults.push(Fault { height, what });
    }

    fn fault_in(&mut self, name: SegmentName, height: Height, what: &str) {
        let what = in_segment(name, what);
        self.report.faults.push(Fault { height, what });
    }

    /// What is known of the chain so far, if nothing is missing.
    fn below(&self) -> Option<Below> {
        let (header, hash) = self.below.as_ref()?;
        Some(Below {
            chain: self.foundation.chain,
            height: header.height,
            hash: *hash,
            time: header.time,
            roster: self.roster.clone()?,
        })
    }

    /// Reads a block where the log says it is.
    fn entry(&mut self, height: Height, entry: Entry) {
        match read_entry(self.storage, height, &entry) {
            Ok(decided) => self.block(height, &decided),
            Err(error) => self.missing(height, error.to_string()),
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
        self.pruned.hear(block, self.roster.as_deref());
        let next = self.roster.as_ref().and_then(|roster| roster.after(block));
        self.roster = next.map(Arc::new).or(self.roster.take());
        self.account(block);
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

    /// Notes which commands are missing, and which of them a purge explains.
    fn account(&mut self, block: &Block) {
        let height = block.height();
        for (index, entry) in (0..).zip(block.entries()) {
            let Some(sealed) = entry.sealed() else {
                if !matches!(entry, model::Entry::Pruned { .. }) {
                    self.erased.insert(Position { height, index });
                }
                continue;
            };
            for purged in sealed.purges().into_iter().flatten() {
                self.erased.remove(&purged.position);
            }
        }
    }

    /// At the end of the chain: a command is missing only if a purge or a prune came behind it.
    fn explained(&mut self) {
        for Position { height, index } in std::mem::take(&mut self.erased) {
            let what = format!("command {index} is missing, and no purge names it");
            self.report.faults.push(Fault { height, what });
        }
        let (faults, note) = std::mem::take(&mut self.pruned).explained();
        self.report.faults.extend(faults);
        self.report.notes.extend(note);
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
        let first = self.genesis().height();
        let (Some(before), Some(last)) = (self.predecessor(), first.previous()) else {
            return self.verify_own(from, to, signatures);
        };
        if from >= first {
            return self.verify_own(from, to, signatures);
        }
        let below = before.verify(from, to.min(last), signatures);
        if to < first {
            return below;
        }
        let mut report = self.verify_own(first, to, signatures);
        // What it was opened with is the block that this one goes on from.
        report.from = below.from;
        report.blocks += below.blocks;
        report.commands += below.commands;
        report.faults.splice(0..0, below.faults);
        report
    }

    fn verify_own(&self, from: Height, to: Height, signatures: &dyn Signatures) -> VerifyReport {
        let foundation = self.foundation();
        let storage = &**self.storage();
        let roster = self.roster_deciding(from);
        let known = roster.as_ref().ok().cloned();
        let mut check = Check::new(storage, foundation, signatures, (from, known));
        if let Err(error) = roster {
            let what = format!("who decided it is not known: {}", describe(&error));
            check.report.faults.push(Fault { height: from, what });
        }
        let below = from
            .previous()
            .filter(|_| from > foundation.genesis.height());
        if let Some(Ok(Some(below))) = below.map(|below| self.block(below)) {
            check.below = Some((below.block.header().clone(), below.block.hash()));
        }
        let within = |name: &SegmentName| name.from() <= to && name.to() >= from;
        for name in self.segments().into_iter().filter(within) {
            if let Err(error) = Segment::frame(storage, foundation, name) {
                check.fault_in(name, name.from().max(from), &describe(&error));
            }
        }
        for damaged in self.damaged_segments() {
            if within(&damaged.name) {
                check.fault_in(damaged.name, damaged.name.from().max(from), &damaged.what);
            }
        }
        for decided in self.heights(from, to.min(self.tip().0)) {
            match decided {
                (height, Ok(Some(decided))) => check.block(height, &decided),
                (height, Ok(None)) => check.missing(height, "the block is missing".to_owned()),
                (height, Err(error)) => check.missing(height, error.to_string()),
            }
        }
        if to >= self.tip().0 {
            check.explained();
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

fn read_all(storage: &dyn crate::Storage, name: SegmentName) -> Result<Vec<u8>, SegmentError> {
    let path = segment::path_of(name);
    let length = usize::try_from(storage.len(&path)?).unwrap_or(usize::MAX);
    Ok(storage.read(&path, 0, length)?)
}

fn in_segment(name: SegmentName, what: &str) -> String {
    format!("{}: {what}", segment::path_of(name))
}
