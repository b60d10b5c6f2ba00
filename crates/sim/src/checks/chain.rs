//! Checks on what is reported as decided.
//!
//! The first report of a height fixes its block for ever; every later one, by any node in any incarnation, is held
//! against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    Ballot, BlobId, Block, BlockHash, ChainId, Digest, Entry, Height, LeafHash, Membership,
    Payload, Position, Roster, Signatures, Turn,
};
use replica::{AppliedBlock, CoreState, Disposition};

use super::roll::Roll;
use super::rules::{self, Requests};
use super::{Checked, ensure};
use crate::seat::Seat;
use crate::shelf::{Edited, Shelf};
use crate::workload::OpId;

/// Core states are kept at multiples of this height, to compare restarted nodes with.
const SNAPSHOT_EVERY: u64 = 256;

/// One decided height.
struct Decision {
    block: Arc<Block>,
    /// At which its first reporter has proven it; genesis was never voted on.
    ballot: Option<Ballot>,
    dispositions: Vec<Disposition>,
}

/// The one chain.
pub(crate) struct Chain {
    roll: Roll,
    signatures: Arc<dyn Signatures>,
    /// Genesis first.
    decisions: Vec<Decision>,
    core: CoreState,
    snapshots: BTreeMap<Height, CoreState>,
    /// How far each node has reported.
    tips: BTreeMap<Seat, Height>,
    /// Where each operation was applied.
    applied: BTreeMap<OpId, Position>,
    rules: Requests,
    shelf: Shelf,
    /// The version of each file from each height on at which it was edited.
    versions: BTreeMap<BlobId, BTreeMap<Height, u64>>,
    /// The request at each position that was applied.
    requests: BTreeMap<Position, Digest>,
    /// Where each command was applied.
    leaves: BTreeMap<LeafHash, Position>,
    dropped: BTreeSet<LeafHash>,
}

impl Chain {
    pub(crate) fn new(
        genesis: Arc<Block>,
        membership: Membership,
        signatures: Arc<dyn Signatures>,
    ) -> Self {
        let mut core = CoreState::default();
        let dispositions = core.apply(&genesis);
        Self {
            roll: Roll::new(membership),
            signatures,
            decisions: vec![Decision {
                block: genesis,
                ballot: None,
                dispositions,
            }],
            snapshots: BTreeMap::from([(Height::GENESIS, core.clone())]),
            core,
            tips: BTreeMap::new(),
            applied: BTreeMap::new(),
            rules: Requests::default(),
            shelf: Shelf::default(),
            versions: BTreeMap::new(),
            requests: BTreeMap::new(),
            leaves: BTreeMap::new(),
            dropped: BTreeSet::new(),
        }
    }

    /// The highest height that any node has reported.
    pub(crate) fn top(&self) -> Height {
        Height(self.decisions.len() as u64 - 1)
    }

    /// The block decided at a height.
    pub(crate) fn block(&self, height: Height) -> Option<&Arc<Block>> {
        self.decision(height).map(|decision| &decision.block)
    }

    /// The ballot at which a height was decided.
    pub(crate) fn ballot(&self, height: Height) -> Option<Ballot> {
        self.decision(height)?.ballot
    }

    /// Who has the turn of a height, if the height before it is known.
    pub(crate) fn turn(&self, height: Height) -> Option<Option<Turn>> {
        let block = self.block(height.previous()?)?;
        Some(block.header().hint)
    }

    /// Who decides a height, as far as the blocks below it are known.
    pub(crate) fn voters(&self, height: Height) -> &Arc<Membership> {
        self.roll.deciding(height)
    }

    /// Who belongs to the cluster above a block.
    pub(crate) fn roster(&self, height: Height) -> &Arc<Roster> {
        self.roll.above(height)
    }

    /// How far a node has reported.
    pub(crate) fn tip(&self, seat: Seat) -> Height {
        self.tips.get(&seat).copied().unwrap_or_default()
    }

    /// What a node hands to others as decided is, byte for byte, whatever its disk has done to it.
    pub(crate) fn check_served_blocks_are_decided(&self, seat: Seat, served: &Block) -> Checked {
        let known = self.block(served.height());
        let right = known.is_some_and(|known| **known == *served);
        ensure(right, "check_served_blocks_are_decided", || {
            format!("{seat} serves {served:?}, decided is {known:?}")
        })
    }

    fn decision(&self, height: Height) -> Option<&Decision> {
        self.decisions.get(usize::try_from(height.0).ok()?)
    }

    fn chain_id(&self) -> ChainId {
        let genesis = self.decisions.first().expect("genesis is always there");
        genesis.block.header().chain
    }

    /// A node reports the next block. `asked` are the commands that nodes were ever given.
    pub(crate) fn decided(
        &mut self,
        seat: Seat,
        applied: &AppliedBlock,
        asked: &BTreeMap<LeafHash, OpId>,
    ) -> Checked {
        let height = applied.block.height();
        self.check_heights_without_gaps(seat, height)?;
        self.check_certificates(seat, applied)?;
        if height == self.top().next() {
            self.check_chain_unbroken(&applied.block)?;
            let ballot = applied
                .certificate
                .as_ref()
                .map(|certificate| certificate.ballot);
            self.extend(&applied.block, ballot, asked)?;
        }
        self.check_agreement(seat, &applied.block)?;
        self.check_core_state_equal(seat, height, &applied.dispositions)
    }

    /// A node has started with this tip.
    pub(crate) fn opened(
        &mut self,
        seat: Seat,
        (height, hash): (Height, BlockHash),
        (core, roster): (&CoreState, &Roster),
    ) -> Checked {
        self.tips.insert(seat, height);
        let known = self.block(height).map(|block| block.hash());
        ensure(known == Some(hash), "check_agreement", || {
            format!("{seat} starts at {height} with {hash:?}, decided was {known:?}")
        })?;
        self.check_rosters_equal(seat, height, roster)?;
        let expected = self.core_at(height);
        ensure(*core == expected, "check_core_state_equal", || {
            format!("{seat} starts at {height} with another core state than the chain gives")
        })
    }

    /// Every node counts the same voters above the same block.
    pub(crate) fn check_rosters_equal(
        &self,
        seat: Seat,
        height: Height,
        roster: &Roster,
    ) -> Checked {
        let expected = self.roster(height);
        ensure(*roster == **expected, "check_rosters_equal", || {
            format!("{seat} has {roster:?} above {height}, the chain says {expected:?}")
        })
    }

    /// The core state after the block at `height`.
    pub(crate) fn core_at(&self, height: Height) -> CoreState {
        if height == self.top() {
            return self.core.clone();
        }
        let (from, snapshot) = self
            .snapshots
            .range(..=height)
            .next_back()
            .expect("there is a snapshot of genesis");
        let mut core = snapshot.clone();
        for above in from.0 + 1..=height.0 {
            if let Some(block) = self.block(Height(above)) {
                core.apply(block);
            }
        }
        core
    }

    /// The files after the block at `height`.
    pub(crate) fn shelf_at(&self, height: Height) -> Shelf {
        let mut shelf = Shelf::default();
        for at in (0..=height.0).map(Height) {
            if let Some(decision) = self.decision(at) {
                shelf.apply(at, &decision.dispositions);
            }
        }
        shelf
    }

    /// A node says that these commands will never be applied. One of them may still be decided, too late to count.
    pub(crate) fn dropped(&mut self, seat: Seat, leaves: &[LeafHash]) -> Checked {
        for leaf in leaves {
            let position = self.leaves.get(leaf);
            ensure(
                position.is_none(),
                "check_dropped_are_never_applied",
                || format!("{seat} drops {leaf:?}, which is applied at {position:?}"),
            )?;
            self.dropped.insert(*leaf);
        }
        Ok(())
    }

    /// A client was told that its request stands at `position`.
    pub(crate) fn check_acknowledged_survive(
        &self,
        seat: Seat,
        request: Digest,
        position: Position,
    ) -> Checked {
        let stands = self.requests.get(&position);
        ensure(
            stands == Some(&request),
            "check_acknowledged_survive",
            || {
                format!(
                    "{seat} answers that {request:?} stands at {position:?}, where {stands:?} does"
                )
            },
        )
    }

    /// What a client is told of an edit is what the versions at its position say.
    pub(crate) fn check_conditional_edits(
        &self,
        seat: Seat,
        position: Position,
        told: Option<Edited>,
    ) -> Checked {
        let expected = self.shelf.edited(position);
        ensure(told == expected, "check_conditional_edits", || {
            format!("{seat} tells {told:?} of the edit at {position:?}, which is {expected:?}")
        })
    }

    /// What a client reads is a state of the one chain, at the height it is told.
    pub(crate) fn check_reads_see_the_chain(
        &self,
        seat: Seat,
        height: Height,
        file: BlobId,
        version: u64,
    ) -> Checked {
        let versions = self.versions.get(&file);
        let last = versions.and_then(|versions| versions.range(..=height).next_back());
        let expected = last.map_or(0, |(_, version)| *version);
        let right = version == expected && height <= self.top();
        ensure(right, "check_reads_see_the_chain", || {
            format!("{seat} shows version {version} of {file:?} at {height}, it was {expected}")
        })
    }

    fn extend(
        &mut self,
        block: &Arc<Block>,
        ballot: Option<Ballot>,
        asked: &BTreeMap<LeafHash, OpId>,
    ) -> Checked {
        let dispositions = self.core.apply(block);
        self.roll.check_members_change_by_the_rules(block)?;
        self.rules.check_commands_count_once(block, &dispositions)?;
        let height = block.height();
        if height.0.is_multiple_of(SNAPSHOT_EVERY) {
            self.snapshots.insert(height, self.core.clone());
        }
        for ((index, entry), disposition) in (0..).zip(block.entries()).zip(&dispositions) {
            let position = Position { height, index };
            self.check_applied_once(position, entry, disposition, asked)?;
        }
        for file in self.shelf.apply(height, &dispositions) {
            let versions = self.versions.entry(file).or_default();
            versions.insert(height, self.shelf.version(file));
        }
        self.decisions.push(Decision {
            block: Arc::clone(block),
            ballot,
            dispositions,
        });
        Ok(())
    }

    fn check_heights_without_gaps(&mut self, seat: Seat, height: Height) -> Checked {
        let tip = self.tips.entry(seat).or_default();
        let next = tip.next();
        *tip = height;
        ensure(height == next, "check_chain_unbroken", || {
            format!("{seat} reports {height}, its next height is {next}")
        })
    }

    fn check_chain_unbroken(&self, block: &Block) -> Checked {
        let top = self.decisions.last().expect("genesis is always there");
        let parent = top.block.header();
        let voters = self.voters(block.height());
        rules::check_block_keeps_the_rules(block, (parent, top.block.hash()), voters)?;
        let extends = block.check_extends(parent, top.block.hash(), voters);
        ensure(extends.is_ok(), "check_chain_unbroken", || {
            format!("{block:?}: {extends:?}")
        })?;
        let complete = block.check_complete();
        ensure(complete.is_ok(), "check_chain_unbroken", || {
            format!("{block:?}: {complete:?}")
        })
    }

    fn check_agreement(&self, seat: Seat, block: &Block) -> Checked {
        let height = block.height();
        let known = self.block(height).map(|block| block.hash());
        ensure(known == Some(block.hash()), "check_agreement", || {
            format!("{seat} decides {block:?}, another node decided {known:?}")
        })
    }

    fn check_certificates(&self, seat: Seat, applied: &AppliedBlock) -> Checked {
        const CHECK: &str = "check_certificates";
        let block = &applied.block;
        let Some(certificate) = &applied.certificate else {
            return ensure(false, CHECK, || {
                format!("{seat} decides {block:?} without proof")
            });
        };
        let fits = certificate.hash == block.hash() && certificate.height == block.height();
        ensure(fits, CHECK, || {
            format!("{seat} decides {block:?} by the proof of another")
        })?;
        let signers = certificate.voters.count_ones() as usize;
        let voters = self.voters(block.height());
        ensure(signers >= rules::quorum(voters.len()), CHECK, || {
            format!("{seat} decides {block:?} by {signers} voters")
        })?;
        let verified = certificate.verify(self.chain_id(), voters, self.signatures.as_ref());
        ensure(verified.is_ok(), CHECK, || {
            format!("{seat} decides {block:?}: {verified:?}")
        })
    }

    fn check_core_state_equal(
        &self,
        seat: Seat,
        height: Height,
        dispositions: &[Disposition],
    ) -> Checked {
        let expected = self
            .decision(height)
            .map(|decision| decision.dispositions.as_slice());
        ensure(
            expected == Some(dispositions),
            "check_core_state_equal",
            || format!("{seat} makes {dispositions:?} of {height}, others {expected:?}"),
        )
    }

    /// One request, one application, whatever was retried, repeated and pushed about.
    fn check_applied_once(
        &mut self,
        position: Position,
        entry: &Entry,
        disposition: &Disposition,
        asked: &BTreeMap<LeafHash, OpId>,
    ) -> Checked {
        const CHECK: &str = "check_applied_once";
        let leaf = entry.leaf();
        match disposition {
            Disposition::Fresh(command) => {
                ensure(
                    !self.dropped.contains(&leaf),
                    "check_dropped_are_never_applied",
                    || format!("{leaf:?} was dropped and is applied at {position:?}"),
                )?;
                if let Payload::Roster(_) | Payload::Snapshot(_) | Payload::Purge(_) =
                    command.payload
                {
                    // What is said of members and snapshots may be said twice: the roster tells, and who vouches.
                    self.leaves.insert(leaf, position);
                    self.requests.insert(position, command.request_id(leaf));
                    return Ok(());
                }
                let op = asked.get(&leaf).copied();
                ensure(op.is_some(), "check_only_asked_is_decided", || {
                    format!("{leaf:?} at {position:?} was never given to a node")
                })?;
                let first = *self
                    .applied
                    .entry(op.unwrap_or(OpId(0)))
                    .or_insert(position);
                ensure(first == position, CHECK, || {
                    format!("{op:?} is applied at {first:?} and at {position:?}")
                })?;
                self.leaves.insert(leaf, position);
                self.requests.insert(position, command.request_id(leaf));
                Ok(())
            }
            Disposition::Duplicate(first) | Disposition::KeyReused(first) => {
                ensure(self.requests.contains_key(first), CHECK, || {
                    format!("{position:?} repeats {first:?}, where nothing was applied")
                })
            }
            Disposition::Expired => Ok(()),
            Disposition::Erased | Disposition::Pruned | Disposition::Malformed => {
                ensure(false, CHECK, || format!("{position:?} is {disposition:?}"))
            }
        }
    }
}
