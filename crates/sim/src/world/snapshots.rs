//! What a node does about snapshots: it makes them at marked heights, vouches for them, takes others' from an archive,
//! deletes those that a purge has ended, and begins with one that is believed.
//!
//! Which one is believed is decided by `replica::begin_with`, as on a node. A few of the voters may be wrong, as many as
//! a cluster survives: they vouch for a state that never was, and their files lie in the archive beside the real ones.

use std::time::Duration;

use model::{
    Command, Erasure, Height, LibraryId, Payload, Position, Residue, SnapshotStep, TokenId,
};
use replica::{AppliedBlock, Claim, CoreState, Input, Known, NODE_ITSELF, Replica, Start};

use super::{Event, Season, World};
use crate::checks::snapshots::{check_snapshot_states_equal, check_snapshots_are_vouched_for};
use crate::checks::{Checked, ensure};
use crate::machine::Life;
use crate::plan::Fault;
use crate::rng::Chance;
use crate::seat::Seat;
use crate::shelf::Shelf;
use crate::snapshots::{Content, VERSION};

/// What a start begins with.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    pub(super) claim: Option<Claim>,
    pub(super) core: CoreState,
    pub(super) shelf: Shelf,
}

impl Beginning {
    /// The newest that is believed and whole, of those of a machine.
    pub(super) fn find(drawer: &crate::snapshots::Drawer, reader: &ledger::Reader) -> Self {
        let found = replica::begin_with(reader, drawer.claims(), |claim| drawer.load(claim));
        // Blocks that cannot be read here are mended elsewhere.
        let found = found.ok().flatten();
        found.map_or_else(Self::default, |(claim, (core, shelf))| Self {
            claim: Some(claim),
            core,
            shelf,
        })
    }

    pub(super) fn start(&self) -> Start {
        Start {
            wanted: self
                .claim
                .map_or(Height::GENESIS, |claim| claim.height.next()),
            known: self.claim.map(|claim| Known {
                height: claim.height,
                core: self.core.clone(),
            }),
        }
    }
}

impl World<'_> {
    /// Sets when a node's maker looks next.
    pub(super) fn arm_maker(&mut self, seat: Seat) {
        let Some(pause) = self.plan.snapshots.clone() else {
            return;
        };
        let pause = self.maker.duration(pause);
        let life = self.machine(seat).life;
        self.schedule(pause, Event::Snapshot(seat, life));
    }

    /// The maker looks, and does one of its deeds.
    pub(super) fn maker_looks(&mut self, seat: Seat, life: Life) -> Checked {
        let machine = self.machine(seat);
        if machine.life != life || machine.process.is_none() {
            return Ok(());
        }
        self.arm_maker(seat);
        let storm = self.season == Season::Storm;
        match self.maker.below(12) {
            0 if storm => self.say(seat, Payload::Snapshot(SnapshotStep::Mark)),
            1 if storm && self.maker.chance(Chance::percent(20)) => self.purge(seat),
            2 if storm && self.lies(seat) => self.lie_about_a_state(seat),
            3 | 4 => {
                self.take_from_archive(seat);
                Ok(())
            }
            5 | 6 => {
                self.delete_ended(seat);
                Ok(())
            }
            7..=9 => self.make(seat),
            _ => self.vouch(seat),
        }
    }

    /// Notes what a decided block means for snapshots.
    pub(super) fn note_snapshots(&mut self, seat: Seat, applied: &AppliedBlock) {
        if self.plan.snapshots.is_none() {
            return;
        }
        let height = applied.block.height();
        let sealed = || applied.block.entries().iter().filter_map(|e| e.sealed());
        let purged = sealed().any(model::SealedCommand::is_purge);
        let marked = sealed().any(|s| s.snapshot_step() == Some(SnapshotStep::Mark));
        let Some(process) = &mut self.machine_mut(seat).process else {
            return;
        };
        if purged {
            process.making.captured = None;
            process.making.made = None;
            process.making.purged = Some(height);
        }
        if marked {
            process.making.captured = Some((height, process.shelf.clone()));
        }
    }

    /// A node has a command of its own decided.
    fn say(&mut self, seat: Seat, payload: Payload) -> Checked {
        let Some(replica) = self.machine(seat).replica() else {
            return Ok(());
        };
        let valid_until = replica.core().valid_until(false);
        self.line(|| format!("{seat} says {payload:?}"));
        let command = Command {
            library: LibraryId::home(),
            actor: NODE_ITSELF,
            key: None,
            valid_until,
            payload,
        };
        let sealed = command.seal(self.maker.bytes());
        self.feed(seat, Input::Submit(sealed))
    }

    /// Something that stands in the chain is purged. That it is not erased here says no less about snapshots.
    fn purge(&mut self, seat: Seat) -> Checked {
        let tip = self.tip(seat).unwrap_or_default();
        if tip == Height::GENESIS {
            return Ok(());
        }
        let height = Height(1 + self.maker.below(tip.0));
        let purge = Payload::Purge(vec![Erasure {
            position: Position { height, index: 0 },
            actor: TokenId([1; 8]),
            residue: Residue::Leaf,
        }]);
        self.stats.meet("snapshots ended by a purge");
        self.say(seat, purge)
    }

    /// Whether this voter is one of those that are wrong: never more than a cluster survives, and nobody where the
    /// voters change, since their number may fall.
    fn lies(&self, seat: Seat) -> bool {
        let fixed = !self.plan.faults.contains(&Fault::Members);
        fixed && seat.0 < (self.plan.nodes - 1) / 2
    }

    /// What those who lie say of a marked height, all the same, and with a file that is what they say.
    fn lie_about_a_state(&mut self, seat: Seat) -> Checked {
        let tip = self.tip(seat).unwrap_or_default();
        let marked = (1..tip.0).rev().map(Height).take(40).find(|height| {
            let block = self.chain.block(*height);
            block.is_some_and(|block| {
                let mut sealed = block.entries().iter().filter_map(|e| e.sealed());
                sealed.any(|s| s.snapshot_step() == Some(SnapshotStep::Mark))
            })
        });
        let block = marked.and_then(|height| self.chain.block(height));
        let Some(block) = block.cloned() else {
            return Ok(());
        };
        let never = Content::new(block.hash(), &CoreState::default(), Shelf::default());
        let claim = never.claim(block.height());
        for machine in &mut self.machines {
            machine.drawer.put(claim, never.clone());
        }
        self.stats.meet("snapshot lied about");
        self.say(seat, vouching(claim, self.machine(seat).id))
    }

    /// What any other node has made, whole or not, right or not: as an archive hands it out.
    fn take_from_archive(&mut self, seat: Seat) {
        let others: Vec<Seat> = self.cast.seats().filter(|other| *other != seat).collect();
        let Some(other) = self.maker.pick(&others).copied() else {
            return;
        };
        let claims = self.machine(other).drawer.claims();
        let found = self.maker.pick(&claims).copied();
        let drawer = &self.machine(other).drawer;
        let found = found.and_then(|claim| Some((claim, drawer.get(claim)?.clone())));
        if let Some((claim, content)) = found {
            self.machine_mut(seat).drawer.put(claim, content);
        }
    }

    fn delete_ended(&mut self, seat: Seat) {
        let machine = self.machine_mut(seat);
        let making = machine.process.as_mut().map(|process| &mut process.making);
        if let Some(height) = making.and_then(|making| making.purged.take()) {
            machine.drawer.destroy_below(height);
        }
    }

    /// Writes down what was held on to at a marked height; and may be stopped at it.
    fn make(&mut self, seat: Seat) -> Checked {
        let Some(process) = &mut self.machine_mut(seat).process else {
            return Ok(());
        };
        let Some((height, shelf)) = process.making.captured.take() else {
            return Ok(());
        };
        let reader = process.replica.reader();
        let known = Beginning::find(&self.machine(seat).drawer, &reader);
        let known = known.start().known.filter(|known| known.height < height);
        let block = self.chain.block(height).map(|block| block.hash());
        let core = replica::core_at(&reader, known, height);
        let (Ok(core), Some(hash)) = (core, block) else {
            self.stats.meet("no snapshot: a block cannot be read");
            return Ok(());
        };
        check_snapshot_states_equal(seat, height, (&core, &shelf), &self.chain)?;
        let content = Content::new(hash, &core, shelf);
        let claim = content.claim(height);
        self.line(|| format!("{seat} makes the snapshot {claim:?}"));
        self.stats.meet("snapshot made");
        if self.season == Season::Storm && self.maker.chance(Chance::percent(15)) {
            self.machine_mut(seat).drawer.put(claim, content.torn());
            return self.stop_maker(seat);
        }
        let machine = self.machine_mut(seat);
        machine.drawer.put(claim, content);
        if let Some(process) = &mut machine.process {
            process.making.made = Some(claim);
        }
        Ok(())
    }

    /// The process dies while it writes a snapshot.
    fn stop_maker(&mut self, seat: Seat) -> Checked {
        self.stats.meet("snapshot left unfinished");
        if !self.plan.faults.contains(&Fault::Kill) {
            return Ok(());
        }
        self.kill(seat);
        let down = self
            .maker
            .duration(Duration::from_millis(5)..Duration::from_millis(500));
        self.schedule(down, Event::Start(seat));
        Ok(())
    }

    fn vouch(&mut self, seat: Seat) -> Checked {
        let machine = self.machine_mut(seat);
        let node = machine.id;
        let making = machine.process.as_mut().map(|process| &mut process.making);
        match making.and_then(|making| making.made.take()) {
            Some(claim) => self.say(seat, vouching(claim, node)),
            None => Ok(()),
        }
    }

    /// A start began with a snapshot: the chain says that it may.
    pub(super) fn check_beginning(&mut self, seat: Seat, begun: &Beginning) -> Checked {
        let Some(claim) = begun.claim else {
            return Ok(());
        };
        self.line(|| format!("{seat} begins with the snapshot {claim:?}"));
        self.stats.meet("began with a snapshot");
        let tip = self.machine(seat).replica().map(Replica::reader);
        let tip = tip.map_or(Height::GENESIS, |reader| reader.tip().0);
        ensure(
            claim.version == VERSION,
            "check_snapshots_are_vouched_for",
            || format!("{seat} begins with tables of version {}", claim.version),
        )?;
        check_snapshots_are_vouched_for(seat, claim, tip, &self.chain)?;
        let state = (&begun.core, &begun.shelf);
        check_snapshot_states_equal(seat, claim.height, state, &self.chain)
    }
}

fn vouching(claim: Claim, node: model::NodeId) -> Payload {
    Payload::Snapshot(SnapshotStep::Vouch {
        height: claim.height,
        version: claim.version,
        digest: claim.digest,
        node,
    })
}
