//! What the records of a log say when they are taken one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Ballot, Block, BlockHash, Boot, Header, Height, Nonce, Vote};

use crate::disk::Storage;
use crate::index::{Entry, Foundation, Index, Place, Rosters};
use crate::reader::{ReadError, read_block};
use crate::record::{Meta, StartMeta, VoteMeta};
use crate::scan::{Body, Found};

/// What the records say, up to the last one taken.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) foundation: Foundation,
    rosters: Rosters,
    entries: Vec<Entry>,
    tip: (Header, BlockHash),
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
    /// Of a log that holds the genesis block alone; nothing if it is not a well-formed one.
    pub(crate) fn new(genesis: Arc<Block>, body: Place) -> Option<Self> {
        let tip = (genesis.header().clone(), genesis.hash());
        let entry = Entry {
            hash: genesis.hash(),
            body,
            certificate: None,
        };
        let foundation = Foundation::of(genesis)?;
        Some(Self {
            rosters: Rosters::founded(foundation.roster.clone()),
            foundation,
            entries: vec![entry],
            tip,
            boot: Boot(0),
            nonce: None,
            vote: None,
            floor: Height::GENESIS,
            lost: false,
            bodies: BTreeMap::new(),
        })
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
        let tip = self.tip.0.height;
        let known = usize::try_from(height.0)
            .ok()
            .and_then(|at| self.entries.get(at));
        let fits = known.map_or(self.lost, |entry| entry.hash == hash);
        if !fits || height < tip {
            return Err("the start names another tip");
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
        if let Some((_, hash)) = vote.accepted
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
        let (tip, tip_hash) = &self.tip;
        // Above a gap: the block is decided, and is of no use before those below it are fetched.
        if self.lost && height == self.floor.next() {
            self.reach(height);
            return Ok(());
        }
        let body = self
            .bodies
            .get(&hash)
            .ok_or("the decided block is nowhere in the log")?;
        let header = &body.header;
        if header.height != height || height != tip.height.next() {
            return Err("heights are missing or repeated");
        }
        if header.parent != Some(*tip_hash) || header.chain != tip.chain {
            return Err("the block does not name the block below as its parent");
        }
        if header.membership != self.rosters.last().voters().hash() {
            return Err("the block is of another membership");
        }
        if header.time <= tip.time {
            return Err("the block is not later than its parent");
        }
        self.entries.push(Entry {
            hash,
            body: body.place,
            certificate: Some(certificate),
        });
        let changes = body.changes.iter().cloned();
        if let Some(roster) = self.rosters.last().after_changes(header, changes) {
            self.rosters.change(height, roster);
        }
        self.tip = (header.clone(), hash);
        self.reach(height);
        Ok(())
    }

    /// A height is known to be decided.
    fn reach(&mut self, height: Height) {
        let floor = self.floor.max(height);
        self.floor = floor;
        self.lost = floor > self.tip.0.height;
        self.bodies.retain(|_, body| body.header.height > floor);
        self.vote.take_if(|vote| vote.height <= floor);
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
        (
            self.foundation,
            Index::new(self.entries, self.rosters),
            bodies,
        )
    }

    /// Start counter and nonce of the last incarnation.
    pub(crate) fn incarnation(&self) -> (Boot, Option<Nonce>) {
        (self.boot, self.nonce)
    }
}
