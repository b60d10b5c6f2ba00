//! What a node does beside its replica: it seals what is decided, lets go of the log, and fills the archive; and what
//! becomes of segments and archive.

use std::sync::Arc;

use ledger::segment::Below;
use ledger::{Bounds, Reader, SegmentName};
use model::Height;
use replica::Replica;

use super::{Event, Season, World};
use crate::archive::{Decay, Forger, Plot, forged, misled};
use crate::checks::durability::{Kept, check_votes_survive};
use crate::checks::sealed::{
    check_boots_survive, check_one_lost_segment_is_no_loss, check_sealed_is_flushed,
    check_segments_hold_the_chain,
};
use crate::checks::{Checked, Violation, ensure};
use crate::disk::{Mishap, Platter, lock};
use crate::machine::Life;
use crate::plan::Fault;
use crate::rng::Chance;
use crate::seat::Seat;

impl World<'_> {
    /// Sets when a node's sealer looks next.
    pub(super) fn arm_sealer(&mut self, seat: Seat) {
        let Some(plan) = &self.plan.sealing else {
            return;
        };
        let pause = self.sealer.duration(plan.pause.clone());
        let life = self.machine(seat).life;
        self.schedule(pause, Event::Seal(seat, life));
    }

    /// The sealer looks: it does one of its deeds, and may be stopped in the middle of it.
    pub(super) fn sealer_looks(&mut self, seat: Seat, life: Life) -> Checked {
        let machine = self.machine(seat);
        let reader = machine.replica().map(Replica::reader);
        let (Some(plan), Some(reader)) = (self.plan.sealing.clone(), reader) else {
            return Ok(());
        };
        if machine.life != life {
            return Ok(());
        }
        self.arm_sealer(seat);
        let platter = self.platter(seat);
        let stopped = self.season == Season::Storm && self.sealer.chance(Chance::percent(4));
        let mishap = stopped.then(|| Mishap::draw(&mut self.sealer));
        lock(&platter).set_mishap(mishap);
        match self.sealer.below(4) {
            0 => self.retire(seat, &reader)?,
            1 => self.upload(seat, &reader),
            _ => self.seal_blocks(seat, &reader, &plan.bounds)?,
        }
        let stopped = lock(&platter).met_mishap();
        lock(&platter).set_mishap(None);
        if stopped {
            return self.sealer_stops(seat);
        }
        if self.machine(seat).disk.is_doubtful() {
            return self.mender_looks(seat, &reader);
        }
        Ok(())
    }

    /// Something went wrong in the middle: the disk said no, or the process died, or the machine.
    fn sealer_stops(&mut self, seat: Seat) -> Checked {
        self.stats.meet("sealer stopped halfway");
        let power = self.plan.faults.contains(&Fault::PowerCut);
        let kills = self.plan.faults.contains(&Fault::Kill);
        match self.sealer.below(3) {
            0 if power => self.cut_power(seat)?,
            1 if kills => self.kill(seat),
            _ => return Ok(()),
        }
        let down = self
            .sealer
            .duration(std::time::Duration::from_millis(5)..std::time::Duration::from_millis(500));
        self.schedule(down, Event::Start(seat));
        Ok(())
    }

    fn seal_blocks(&mut self, seat: Seat, reader: &Reader, bounds: &Bounds) -> Checked {
        let name = match ledger::seal(reader, bounds) {
            Ok(None) => return Ok(()),
            Ok(Some(name)) => name,
            Err(error) => {
                self.line(|| format!("{seat} cannot seal: {error}"));
                return self.check_sealer_has_an_excuse(seat, &error);
            }
        };
        self.line(|| format!("{seat} seals {} to {}", name.from(), name.to()));
        self.trace.mix(&[seat.0 as u64, name.to().0]);
        self.stats.meet("segment sealed");
        let machine = self.machine(seat);
        if !machine.disk.is_doubtful() {
            let platter = lock(&machine.platter);
            let bytes = platter.segment(name).unwrap_or_default();
            check_sealed_is_flushed(seat, (name, bytes), &platter)?;
        }
        self.check_segment(seat, name, self.chain.tip(seat))
    }

    fn check_sealer_has_an_excuse(&self, seat: Seat, error: &ledger::SealError) -> Checked {
        let machine = self.machine(seat);
        let platter = lock(&machine.platter);
        let excused = platter.met_mishap() || !platter.has_room() || machine.disk.is_doubtful();
        ensure(excused, "check_sealing_goes_on", || {
            let cause = std::error::Error::source(error);
            format!("{seat} cannot seal on a sound disk: {error}: {cause:?}")
        })
    }

    pub(super) fn check_segment(&self, seat: Seat, name: SegmentName, tip: Height) -> Checked {
        let platter = self.platter(seat);
        let platter = lock(&platter);
        let bytes = platter.segment(name).unwrap_or_default();
        let signatures = &*self.machine(seat).signatures;
        check_segments_hold_the_chain(seat, (name, bytes), tip, &self.chain, signatures)
    }

    fn retire(&mut self, seat: Seat, reader: &Reader) -> Checked {
        let before = lock(&self.platter(seat)).log_files();
        if let Err(error) = ledger::retire(reader) {
            self.line(|| format!("{seat} cannot let go of its log: {error}"));
            self.check_sealer_has_an_excuse(seat, &error)?;
        }
        let gone = before - lock(&self.platter(seat)).log_files();
        if gone == 0 {
            return Ok(());
        }
        self.line(|| format!("{seat} lets go of {gone} files of its log"));
        self.trace.mix(&[seat.0 as u64, gone as u64]);
        self.stats.meet("log files let go");
        self.check_retired(seat)
    }

    /// What was let go of is not missed: neither now, nor if some of it comes back, nor if one segment rots.
    fn check_retired(&mut self, seat: Seat) -> Checked {
        let machine = self.machine(seat);
        if machine.disk.is_doubtful() || machine.broken {
            return Ok(());
        }
        self.check_image(seat)?;
        self.check_boot(seat)?;
        let platter = self.platter(seat);
        let image = lock(&platter).durable_image_with_returned(&mut self.sealer);
        let names: Vec<SegmentName> = image.segments().map(|(name, _)| name).collect();
        let signatures = Arc::clone(&self.machine(seat).signatures);
        let newest = names.iter().max_by_key(|name| name.to()).copied();
        let any = self.sealer.pick(&names).copied();
        check_votes_survive(seat, (image, Kept::Blocks), &*signatures, &self.votes)?;
        for (lost, all) in [(newest, true), (any, false)] {
            let mut image: Platter = lock(&platter).durable_image();
            if let Some(lost) = lost {
                image.lose_segment(lost);
            }
            check_one_lost_segment_is_no_loss(seat, image, (&self.votes, &*signatures), all)?;
        }
        Ok(())
    }

    fn check_boot(&self, seat: Seat) -> Checked {
        let machine = self.machine(seat);
        let started = lock(&machine.platter).has_started();
        let Some(replica) = machine.replica().filter(|_| started) else {
            return Ok(());
        };
        let boot = replica.status(machine.clock.read(self.now).instant).me.boot;
        let image = lock(&machine.platter).durable_image();
        check_boots_survive(seat, image, &*machine.signatures, boot)
    }

    /// What a node does with its log after a purge up to this height, as far as that can be done now: it begins a file
    /// and lets go of those before. Whether that is done.
    ///
    /// # Errors
    /// The first violation.
    pub fn renew_log(&mut self, seat: Seat, purged: Height) -> Result<bool, Violation> {
        let Some(reader) = self.machine(seat).replica().map(Replica::reader) else {
            return Ok(false);
        };
        match ledger::erase(&reader, purged) {
            Ok(erased) => {
                self.check_retired(seat)?;
                Ok(erased == ledger::Erased::Done)
            }
            Err(error) => {
                self.check_sealer_has_an_excuse(seat, &error)?;
                Ok(false)
            }
        }
    }

    fn upload(&mut self, seat: Seat, reader: &Reader) {
        let platter = self.platter(seat);
        let platter = lock(&platter);
        for name in reader.segments() {
            let bytes = platter.segment(name);
            if bytes.is_some_and(|bytes| self.archive.put(seat, name, bytes)) {
                self.stats.meet("segment put into the archive");
                return;
            }
        }
    }

    /// Somebody harms the archive.
    pub(super) fn rot_archive(&mut self) {
        let decay = *self.sealer.pick(&Decay::ALL).unwrap_or(&Decay::Bit);
        self.suffer(decay);
    }

    /// Strangers put made-up chains into the archive, and lies about the members above real blocks.
    pub fn deceive_archive(&mut self) {
        self.suffer(Decay::Lie);
        self.suffer(Decay::Forgery);
    }

    /// Strangers put made-up chains into the archive, and leave what is real alone.
    pub fn forge_archive(&mut self) {
        self.suffer(Decay::Forgery);
    }

    fn suffer(&mut self, decay: Decay) {
        let (forger, plot) = self.forger();
        let done = match decay {
            Decay::Forgery => {
                // Where a real segment ends, and longer than any: else nobody would look at it.
                let object = self.archive.any(&mut self.sealer);
                let from = object.map_or(Height::GENESIS, |(name, _)| name.to());
                let planted = self
                    .below(from)
                    .and_then(|below| forged(below, &forger, plot));
                planted.map(|(name, bytes)| self.archive.plant(name, bytes))
            }
            Decay::Lie => {
                let object = self.archive.any(&mut self.sealer);
                let lie = object.and_then(|(name, bytes)| {
                    let voters = self.chain.roster(name.to()).voters().voters();
                    let voters: Vec<model::NodeId> = voters.iter().map(|voter| voter.id).collect();
                    Some((name, misled(bytes, &voters, &forger)?))
                });
                lie.map(|(name, bytes)| self.archive.plant(name, bytes))
            }
            _ => self.archive.decay(decay, &mut self.sealer).then_some(()),
        };
        self.line(|| format!("the archive suffers {decay:?}: {}", done.is_some()));
        if done.is_some() {
            self.stats.meet(match decay {
                Decay::Forgery => "archive: forged chain",
                Decay::Lie => "archive: lie about the members",
                Decay::Swap => "archive: objects swapped",
                Decay::Loss => "archive: object lost",
                Decay::Bit | Decay::Cut => "archive: object damaged",
            });
        }
    }

    /// Somebody with keys of its own: a machine that does not belong, or who cannot even sign for itself. What it signs
    /// as others proves nothing.
    fn forger(&mut self) -> (Forger, Plot) {
        let nobody = Forger {
            id: model::NodeId(self.sealer.bytes()),
            signatures: Arc::clone(&self.stranger),
        };
        let outsider = self.strangers().pop().map(|seat| Forger {
            id: self.cast.id(seat),
            signatures: Arc::clone(&self.machine(seat).signatures),
        });
        match outsider {
            Some(outsider) => (outsider, Plot::Usurp),
            None => (nobody, Plot::Impersonate),
        }
    }

    pub(super) fn below(&self, height: Height) -> Option<Below> {
        let block = self.chain.block(height)?;
        Some(Below {
            chain: block.header().chain,
            height,
            hash: block.hash(),
            time: block.header().time,
            roster: Arc::clone(self.chain.roster(height)),
        })
    }

    /// A machine whose folder holds the genesis block alone takes from the archive what it can prove, perhaps not to the
    /// end.
    pub(super) fn fill_from_archive(&mut self, seat: Seat) -> Checked {
        if self.plan.sealing.is_none() {
            return Ok(());
        }
        let genesis = self.chain.block(Height::GENESIS).cloned();
        let genesis = genesis.expect("genesis is always there");
        let signatures = Arc::clone(&self.machine(seat).signatures);
        let brought = self
            .archive
            .bring_back(&genesis, &*signatures, &mut self.sealer);
        let mut taken = brought.segments;
        if self.sealer.chance(Chance::percent(30)) {
            taken.truncate(self.sealer.index(taken.len() + 1));
        }
        let count = taken.len();
        self.line(|| {
            let refused = brought.refused;
            format!("{seat} takes {count} segments from the archive and refuses {refused}")
        });
        if brought.refused > 0 {
            self.stats.meet("archive: object refused");
        }
        if count > 0 {
            self.stats.meet("start from the archive");
        }
        let platter = self.platter(seat);
        for (name, bytes) in taken {
            lock(&platter).install(name, bytes);
            self.check_segment(seat, name, self.chain.top())?;
        }
        Ok(())
    }
}
