//! What a log that cannot be opened still says for certain.
//!
//! Records are in the order in which memory changed, and no vote at a height is in the log before the mark that the
//! height below is decided. So what is damaged in front of an intact mark can only have been votes that count no more,
//! and blocks that other nodes have; in front of an intact start, which repeats the vote, nothing that counts at all.
//! A vote record is the whole memory of its height, so one whose height is known to be the undecided one says as much as
//! a start. What is behind the last of these, up to the end of the log, must be intact. `docs/ledger-format.md`,
//! section 13, has the argument and its one exception: an incarnation that began with blocks missing may hold a vote
//! above marks that it writes later. Its file says so in its header.
//!
//! Nothing is written here, and whatever contradicts itself is left to people.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Ballot, BlockHash, Boot, ChainId, Height, Vote};

use crate::damage::Verdict;
use crate::disk::Storage;
use crate::format::{FileHeader, Origin, SECTOR};
use crate::index::{Entry, Foundation, Place};
use crate::reader::{ReadError, read_block};
use crate::record::{Meta, StartMeta, VoteMeta};
use crate::recovery::{OpenError, found};
use crate::scan::{Body, Break, Found, Scanner, Step};
use crate::sealed::Sealed;
use crate::window::{LogFile, ScanError, Window, begin, list};
use crate::writer::Position;

/// Why a damaged log does not say which votes it held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unprovable {
    #[error("{0}")]
    Why(&'static str),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<ScanError> for Unprovable {
    fn from(error: ScanError) -> Self {
        Self::Open(error.into())
    }
}

/// What is certain.
#[derive(Debug)]
pub(crate) struct Salvage {
    pub(crate) foundation: Foundation,
    /// The last height whose block is marked as decided, with all below it.
    pub(crate) tip: (Height, BlockHash),
    /// The highest height known to be decided.
    pub(crate) floor: Height,
    /// The memory of the height above the floor.
    pub(crate) vote: Option<Vote>,
    /// The highest start counter.
    pub(crate) boot: Boot,
    /// Behind everything.
    pub(crate) position: Position,
    /// The log's files but the first.
    pub(crate) files: Vec<String>,
    /// What is decided as far as the log still says so.
    pub(crate) marks: BTreeMap<Height, BlockHash>,
    /// The blocks that the log still has.
    pub(crate) entries: BTreeMap<Height, Entry>,
    /// Places that could not be read: file, offset.
    pub(crate) damage: Vec<(String, u64)>,
}

/// Reads a damaged log.
pub(crate) fn salvage(storage: &dyn Storage) -> Result<Salvage, Unprovable> {
    let all = list(storage)?;
    let (foundation, _) = found(storage, &all)?;
    let sealed = Sealed::read(storage, &foundation)?;
    let (files, base) = begin(storage, all.clone(), sealed.named)?;
    let mut scanner = Scanner::new(storage, &files);
    scanner.step()?;
    let mut state = State::founded(&foundation);
    if let Some(origin) = base.and_then(|base| base.origin) {
        scanner.begin(&origin);
        state = State::begun(&origin);
    }
    let mut walk = Walk {
        storage,
        files: &files,
        chain: foundation.chain,
        base: foundation.genesis.height(),
        scanner,
        state,
        boot: Boot(0),
        marks: BTreeMap::from([(foundation.genesis.height(), foundation.genesis.hash())]),
        entries: BTreeMap::new(),
        bodies: BTreeMap::new(),
        damage: Vec::new(),
    };
    walk.run()?;
    let (tip, vote) = walk.certain()?;
    let (number, link) = walk.scanner.expected();
    let newest = all.last().map_or(0, |file| file.number);
    Ok(Salvage {
        tip,
        floor: walk.state.floor,
        vote,
        boot: walk.boot.max(boot_in_headers(storage, &all)?),
        position: Position {
            number,
            link,
            // A number is left out: that is how a log says that it begins anew.
            next_file: newest + 2,
        },
        files: all.iter().skip(1).map(|file| file.name.clone()).collect(),
        marks: walk.marks,
        entries: walk.entries,
        damage: walk.damage,
        foundation,
    })
}

/// The highest start counter that the headers name.
pub(crate) fn boot_in_headers(storage: &dyn Storage, files: &[LogFile]) -> Result<Boot, ScanError> {
    let mut highest = Boot(0);
    for file in files {
        let mut window = Window::new(storage, file);
        for copy in [0, SECTOR] {
            let header = window.header(copy)?.ok();
            let header = header.filter(|header| header.number == file.number);
            let boot = header.and_then(|header| header.origin).map(|o| o.boot);
            highest = highest.max(boot.unwrap_or(Boot(0)));
        }
    }
    Ok(highest)
}

/// What is known at a place in the log.
#[derive(Debug, Clone)]
struct State {
    /// Whether every vote before it that may count is known.
    whole: bool,
    tip: Option<(Height, BlockHash)>,
    floor: Height,
    vote: Option<VoteMeta>,
    /// If it is not whole: votes that are not known were about heights up to the one above this one, if that is known.
    unknown_above: Option<Height>,
}

impl State {
    fn founded(foundation: &Foundation) -> Self {
        Self {
            whole: true,
            tip: Some((foundation.genesis.height(), foundation.genesis.hash())),
            floor: foundation.genesis.height(),
            vote: None,
            unknown_above: None,
        }
    }

    /// Where a file begins, and what is before it is gone.
    fn begun(origin: &Origin) -> Self {
        Self {
            whole: false,
            tip: Some(origin.tip),
            floor: origin.floor,
            vote: None,
            unknown_above: Some(origin.floor),
        }
    }

    /// Behind damage, in the file with this header.
    fn behind(header: &FileHeader, base: Height) -> Self {
        Self {
            whole: false,
            tip: None,
            floor: header.origin.map_or(base, |o| o.floor),
            vote: None,
            unknown_above: header.origin.map(|origin| origin.floor),
        }
    }

    fn reach(&mut self, height: Height) {
        self.floor = self.floor.max(height);
        self.vote.take_if(|vote| vote.height <= self.floor);
        let moot = self.unknown_above.is_some_and(|above| above < height);
        self.whole |= moot;
    }
}

struct Walk<'a> {
    storage: &'a dyn Storage,
    files: &'a [LogFile],
    chain: ChainId,
    /// The height of the chain's first block.
    base: Height,
    scanner: Scanner<'a>,
    state: State,
    boot: Boot,
    marks: BTreeMap<Height, BlockHash>,
    entries: BTreeMap<Height, Entry>,
    /// Of blocks above the floor.
    bodies: BTreeMap<BlockHash, Body>,
    damage: Vec<(String, u64)>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Unprovable> {
        loop {
            match self.scanner.step()? {
                Step::End => return Ok(()),
                Step::Record(record) => self.take(*record).map_err(Unprovable::Why)?,
                Step::Break(broken) => {
                    if !self.go_on(&broken)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Goes on behind a break; false if there is nothing behind it.
    fn go_on(&mut self, broken: &Break) -> Result<bool, Unprovable> {
        let next = match self.scanner.judge(broken)? {
            Verdict::Unfinished => return Ok(false),
            Verdict::Stray(next) => {
                self.scanner.resume(next)?;
                return Ok(true);
            }
            Verdict::Damaged(_) if broken.intact.is_some() => {
                return Err(Unprovable::Why(
                    "a record that is intact is not the one that belongs there: somebody changed the log",
                ));
            }
            Verdict::Damaged(None) => return Err(Unprovable::Why("nothing intact is behind it")),
            Verdict::Superseded(next) | Verdict::Damaged(Some(next)) => next,
        };
        let (file, offset) = broken.suspect;
        let name = self.files.get(file).map(|file| file.name.clone());
        self.damage.push((name.unwrap_or_default(), offset));
        // Blocks that are not decided yet are kept: a mark behind the damage may name them.
        self.state = State::behind(&next.header, self.base);
        self.scanner.resume(next)?;
        Ok(true)
    }

    fn take(&mut self, found: Found) -> Result<(), &'static str> {
        if let Some(body) = found.body {
            self.bodies.insert(body.hash, body);
        }
        match found.meta {
            Meta::Genesis { .. } => Err("a second genesis block"),
            Meta::Start(start) => self.start(start),
            Meta::Vote(vote) => self.vote(vote),
            Meta::Decided(certificate) => {
                self.decided(certificate.height, certificate.hash, found.meta_place)
            }
        }
    }

    fn start(&mut self, start: StartMeta) -> Result<(), &'static str> {
        if start.boot <= self.boot {
            return Err("the start counter goes back");
        }
        self.boot = start.boot;
        let (height, hash) = start.tip;
        let below_tip = self.state.tip.is_some_and(|(tip, _)| height < tip);
        if below_tip {
            return Err("a start names a tip below one that was marked before");
        }
        self.mark(height, hash)?;
        let vote = start.vote.map(VoteMeta::normal);
        let above = vote.as_ref().and_then(|vote| vote.height.previous());
        self.state = State {
            whole: true,
            tip: Some(start.tip),
            floor: height.max(above.unwrap_or_default()),
            vote,
            unknown_above: None,
        };
        self.let_go();
        Ok(())
    }

    fn vote(&mut self, vote: VoteMeta) -> Result<(), &'static str> {
        if vote.height <= self.state.floor {
            return Err("a vote is about a decided height");
        }
        if !self.state.whole {
            let below = vote.height.previous();
            let known = below.and_then(|below| Some((below, *self.marks.get(&below)?)));
            let all = known.is_some_and(|(height, _)| height >= self.state.floor);
            if all {
                self.state.whole = true;
                self.state.tip = known;
                self.state.floor = known.map_or(self.state.floor, |(height, _)| height);
            }
        }
        self.state.vote = Some(match self.state.vote.take() {
            Some(earlier) => earlier.join(vote),
            None => vote.normal(),
        });
        Ok(())
    }

    fn decided(
        &mut self,
        height: Height,
        hash: BlockHash,
        certificate: Place,
    ) -> Result<(), &'static str> {
        let floor = self.state.floor;
        let gap = self
            .state
            .tip
            .is_some_and(|(tip, _)| tip < floor && tip.next() < height && height <= floor.next());
        if gap {
            // Above blocks that were lost: it is decided, and of no use before those have come.
            self.state.reach(height);
            return Ok(());
        }
        if let Some((tip, below)) = self.state.tip {
            let body = self.bodies.get(&hash);
            if height != tip.next() {
                return Err("heights are missing or repeated where nothing is damaged");
            }
            if body.is_some_and(|body| body.header.parent != Some(below)) {
                return Err("a decided block does not name the block below as its parent");
            }
        }
        self.mark(height, hash)?;
        if let Some(body) = self.bodies.get(&hash) {
            if body.header.height != height || body.header.chain != self.chain {
                return Err("a decided block is of another height or chain");
            }
            let entry = Entry::new(&body.header, hash, body.place, Some(certificate));
            self.entries.insert(height, entry);
        }
        self.state.tip = Some((height, hash));
        self.state.reach(height);
        self.let_go();
        Ok(())
    }

    fn mark(&mut self, height: Height, hash: BlockHash) -> Result<(), &'static str> {
        let before = self.marks.insert(height, hash);
        match before {
            Some(before) if before != hash => Err("two blocks are decided at one height"),
            _ => Ok(()),
        }
    }

    fn let_go(&mut self) {
        let floor = self.state.floor;
        self.bodies.retain(|_, body| body.header.height > floor);
    }

    /// What the end of the log says, if it is all.
    fn certain(&self) -> Result<((Height, BlockHash), Option<Vote>), Unprovable> {
        let tip = self.state.tip.filter(|_| self.state.whole);
        let tip = tip.ok_or(Unprovable::Why(
            "no intact start, and no mark of a decided block above the votes that may be lost, is behind the damage",
        ))?;
        let Some(vote) = &self.state.vote else {
            let next = self.state.floor.next();
            let none = || Vote {
                height: next,
                promised: Ballot::NONE,
                accepted: None,
            };
            return Ok((tip, (tip.0 < self.state.floor).then(none)));
        };
        let accepted = match vote.accepted {
            None => None,
            Some((ballot, hash)) => {
                let body = self.bodies.get(&hash).ok_or(Unprovable::Why(
                    "the block that was accepted last is damaged",
                ))?;
                let block = read_block(self.storage, vote.height, body.place, hash)?;
                Some((ballot, Arc::new(block)))
            }
        };
        let vote = Vote {
            height: vote.height,
            promised: vote.promised,
            accepted,
        };
        Ok((tip, Some(vote)))
    }
}
