//! What the records of a log say when they are taken one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Ballot, BlockHash, Boot, ChainId, Height, Nonce, Timestamp, Vote};

use crate::disk::Storage;
use crate::format::{FileHeader, Origin};
use crate::index::{Beginning, Entry, Foundation, Index, Place, Rosters};
use crate::reader::{ReadError, read_block};
use crate::record::{Meta, StartMeta, VoteMeta};
use crate::scan::{Body, Found};
use crate::sealed::Sealed;

/// The last decided block.
#[derive(Debug, Clone, Copy)]
struct Tip {
    height: Height,
    hash: BlockHash,
    /// As far as it is known.
    time: Timestamp,
}

/// What the records say, up to the last one taken.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) foundation: Foundation,
    /// What need not be in the log any more.
    pub(crate) sealed: Sealed,
    /// Above the highest block in a segment.
    rosters: Rosters,
    /// The decided blocks in the log, the first of this height.
    first: Height,
    entries: Vec<Entry>,
    tip: Tip,
    /// Where the log was before it went on above blocks that it does not hold.
    before: Option<(Tip, Height, Vec<Entry>)>,
    pub(crate) boot: Boot,
    nonce: Option<Nonce>,
    vote: Option<VoteMeta>,
    /// The highest height known to be decided. Above the tip if blocks were lost that others have.
    pub(crate) floor: Height,
    /// Whether records are missing behind the tip, which the starts that follow make up for.
    pub(crate) lost: bool,
    /// Blocks that may still be decided by name alone.
    bodies: BTreeMap<BlockHash, Body>,
}

impl Replay {
    /// Of a log that holds the genesis block alone.
    pub(crate) fn new(foundation: Foundation, sealed: Sealed) -> Self {
        let genesis = &foundation.genesis;
        let tip = Tip {
            height: genesis.height(),
            hash: genesis.hash(),
            time: genesis.header().time,
        };
        let roster = sealed
            .last()
            .map_or(&foundation.roster, |last| &last.roster);
        Self {
            rosters: Rosters::above(sealed.top(), roster.clone()),
            foundation,
            sealed,
            first: tip.height.next(),
            entries: Vec::new(),
            tip,
            before: None,
            boot: Boot(0),
            nonce: None,
            vote: None,
            floor: tip.height,
            lost: false,
            bodies: BTreeMap::new(),
        }
    }

    /// The log begins with the file of this header.
    pub(crate) fn begin(&mut self, origin: &Origin) -> Result<(), &'static str> {
        let (height, hash) = origin.tip;
        self.jump(height, hash)?;
        self.reach(origin.floor);
        Ok(())
    }

    /// The log goes on above a block that it does not hold.
    fn jump(&mut self, height: Height, hash: BlockHash) -> Result<(), &'static str> {
        if height > self.sealed.top() {
            return Err("who belongs to the cluster is in a segment that is missing or damaged");
        }
        let last = self.sealed.last().filter(|s| s.name.to() == height);
        let time = last.map_or(Timestamp(0), |segment| segment.last);
        let entries = std::mem::take(&mut self.entries);
        self.before.get_or_insert((self.tip, self.first, entries));
        self.tip = Tip { height, hash, time };
        self.first = height.next();
        Ok(())
    }

    /// Goes back to where the log was before it went on above blocks that it does not hold: the incarnation that begins
    /// now did not find them, since they were sealed later. False if it cannot have been there.
    fn go_back(&mut self, height: Height) -> bool {
        let Some(before) = self.before.take_if(|(tip, ..)| tip.height <= height) else {
            return false;
        };
        (self.tip, self.first, self.entries) = before;
        self.rosters.cut(height);
        true
    }

    /// The first file begins with a record of an incarnation whose start is not in the log any more.
    pub(crate) fn resume(&mut self, header: &FileHeader) {
        if let Some(origin) = header.origin {
            self.boot = origin.boot;
            self.nonce = Some(header.nonce);
        }
    }

    /// Takes the next record.
    pub(crate) fn take(&mut self, found: Found) -> Result<(), &'static str> {
        if let Some(body) = found.body {
            self.bodies.insert(body.hash, body);
        }
        match found.meta {
            Meta::Genesis { .. } => Err("a second genesis block"),
            Meta::Start(start) => self.start(start),
            Meta::Vote(vote) => self.vote(vote),
            Meta::Decided(certificate) => {
                let named = (certificate.height, certificate.hash);
                self.decided(named, found.meta_place)
            }
        }
    }

    fn start(&mut self, start: StartMeta) -> Result<(), &'static str> {
        if start.boot <= self.boot {
            return Err("the start counter went back");
        }
        let (height, hash) = start.tip;
        if height < self.tip.height && !self.go_back(height) {
            return Err("the start names another tip");
        }
        if height == self.tip.height && hash != self.tip.hash {
            return Err("the start names another tip");
        }
        if height > self.tip.height {
            let sealed = self.sealed.may_hold(height, hash);
            if !sealed && !self.lost {
                return Err("the start names a tip that is neither in the log nor in a segment");
            }
            if sealed && !(self.lost && height > self.sealed.top()) {
                self.jump(height, hash)?;
            }
        }
        self.boot = start.boot;
        self.nonce = Some(start.nonce);
        self.reach(height);
        start.vote.map_or(Ok(()), |vote| self.vote(vote))
    }

    fn vote(&mut self, vote: VoteMeta) -> Result<(), &'static str> {
        if vote.height <= self.floor {
            return Err("a vote at a decided height");
        }
        // The body may have been in a file that is gone. Then the height is in a segment, and the vote counts no more.
        let sealed = vote.height <= self.sealed.top();
        if let Some((_, hash)) = vote.accepted
            && !sealed
            && !self.bodies.contains_key(&hash)
        {
            return Err("the accepted block is nowhere in the log");
        }
        self.vote = Some(match self.vote.take() {
            Some(earlier) => earlier.join(vote),
            None => vote.normal(),
        });
        Ok(())
    }

    fn decided(
        &mut self,
        (height, hash): (Height, BlockHash),
        certificate: Place,
    ) -> Result<(), &'static str> {
        // Above a gap: the block is decided, and is of no use before those below it are fetched.
        let gap = self.tip.height.next() < height && height <= self.floor.next();
        if self.lost && gap {
            self.reach(height);
            return Ok(());
        }
        let top = self.sealed.top();
        if height == top && self.sealed.last().is_some_and(|s| s.name.head() != hash) {
            return Err("the segments hold another block of this height");
        }
        let Some(body) = self.bodies.get(&hash) else {
            return self.decided_elsewhere(height, hash);
        };
        let header = &body.header;
        if header.height != height || height != self.tip.height.next() {
            return Err("heights are missing or repeated");
        }
        if header.parent != Some(self.tip.hash) || header.chain != self.chain() {
            return Err("the block does not name the block below as its parent");
        }
        if height > top && header.membership != self.rosters.last().voters().hash() {
            return Err("the block is of another membership");
        }
        if header.time <= self.tip.time {
            return Err("the block is not later than its parent");
        }
        let entry = Entry::new(header, hash, body.place, Some(certificate));
        self.entries.push(entry);
        if height > top {
            let changes = body.changes.iter().cloned();
            if let Some(roster) = self.rosters.last().after_changes(header, changes) {
                self.rosters.change(height, roster);
            }
        }
        let time = header.time;
        self.tip = Tip { height, hash, time };
        self.reach(height);
        Ok(())
    }

    /// The block was in a file that is gone, and is in a segment: that can only be the first of the log.
    fn decided_elsewhere(&mut self, height: Height, hash: BlockHash) -> Result<(), &'static str> {
        let first = self.entries.is_empty() && height == self.tip.height.next();
        if !first || !self.sealed.may_hold(height, hash) {
            return Err("the decided block is nowhere in the log");
        }
        self.jump(height, hash)?;
        self.reach(height);
        Ok(())
    }

    fn chain(&self) -> ChainId {
        self.foundation.chain
    }

    /// A height is known to be decided.
    fn reach(&mut self, height: Height) {
        let floor = self.floor.max(height);
        self.floor = floor;
        self.lost = floor > self.tip.height;
        self.bodies.retain(|_, body| body.header.height > floor);
        self.vote.take_if(|vote| vote.height <= floor);
    }

    /// The last record was taken. Segments may reach above the log.
    pub(crate) fn finish(&mut self) {
        let last = self.sealed.last().map(|last| last.name);
        if let Some(name) = last.filter(|name| name.to() > self.tip.height) {
            let jumped = self.jump(name.to(), name.head());
            jumped.expect("it is the highest that can be used");
            self.reach(name.to());
        }
    }

    /// The memory of the undecided height, with its block. Where blocks are missing below, a vote that says nothing
    /// stands for "no votes below this height".
    pub(crate) fn read_vote(&self, storage: &dyn Storage) -> Result<Option<Vote>, ReadError> {
        let Some(vote) = &self.vote else {
            return Ok(self.lost.then(|| Vote {
                height: self.floor.next(),
                promised: Ballot::NONE,
                accepted: None,
            }));
        };
        let accepted = match vote.accepted {
            None => None,
            Some((ballot, hash)) => {
                let body = self
                    .bodies
                    .get(&hash)
                    .expect("checked when the vote was read");
                let block = read_block(storage, vote.height, body.place, hash)?;
                Some((ballot, Arc::new(block)))
            }
        };
        Ok(Some(Vote {
            height: vote.height,
            promised: vote.promised,
            accepted,
        }))
    }

    /// Takes the replay apart: foundation, index, blocks not yet decided.
    pub(crate) fn into_parts(self) -> (Foundation, Index, BTreeMap<BlockHash, Place>) {
        let bodies = self
            .bodies
            .into_iter()
            .map(|(hash, body)| (hash, body.place))
            .collect();
        let beginning = Beginning {
            genesis: self.foundation.entry,
            sealed: self.sealed,
            logged: (self.first, self.entries),
            tip: (self.tip.height, self.tip.hash),
            rosters: self.rosters,
        };
        (self.foundation, Index::new(beginning), bodies)
    }

    /// Start counter and nonce of the last incarnation.
    pub(crate) fn incarnation(&self) -> (Boot, Option<Nonce>) {
        (self.boot, self.nonce)
    }
}
