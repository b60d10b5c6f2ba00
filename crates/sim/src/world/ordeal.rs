//! The end of some runs: a disk loses what was flushed, and that must be found.
//!
//! Losing a flushed vote without a trace is outside the fault model: no protocol survives it. What is promised is that
//! it is noticed, by the ledger when it is opened or by the check after a start, before the node takes part again. So
//! this happens to one node of a healthy cluster at rest, whose others have all seen what it had.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Event, World};
use crate::checks::durability::{Kept, asks_nobody, check_votes_survive};
use crate::checks::{Checked, ensure};
use crate::disk::{Harm, lock};
use crate::rng::Chance;
use crate::run::CALM;
use crate::seat::Seat;

/// Everybody has said how far it is within this time.
const BEACONS: Duration = Duration::from_secs(2);
/// By then a node has passed its start-up check or failed it.
const START: Duration = Duration::from_secs(20);

impl World<'_> {
    /// Harms a disk, if the plan says so and the cluster is whole.
    pub(crate) fn ordeal(&mut self) -> Checked {
        let voters = self.voters();
        let doubtful = self.doubtful();
        let whole = !voters.iter().any(|voter| doubtful.contains(voter));
        if !whole || voters.len() < 2 || !self.rng.chance(self.plan.ordeal) {
            return Ok(());
        }
        let Some(victim) = self.rng.pick(&voters).copied() else {
            return Ok(());
        };
        let harm = *self.rng.pick(&Harm::ALL).unwrap_or(&Harm::RollBack);
        self.line(|| format!("ordeal: {harm:?} of {victim}"));
        let old = lock(&self.machine(victim).platter).durable_image();
        self.write_through_others(victim, CALM)?;
        self.run_for(BEACONS)?;
        self.cut_power(victim)?;
        let platter = self.platter(victim);
        if harm == Harm::RollBack {
            *lock(&platter) = old;
        } else {
            lock(&platter).suffer(harm, &mut self.rng);
        }
        self.machine_mut(victim).disk.forgetful = true;
        if harm == Harm::Wipe && self.sealer.chance(Chance::HALF) {
            // Somebody means well, and makes a ledger of the archive for the old identity.
            self.fill_from_archive(victim)?;
        }
        let image = lock(&platter).durable_image();
        let signatures = &*self.machine(victim).signatures;
        let kept = check_votes_survive(victim, (image, Kept::Votes), signatures, &self.votes);
        let kept = kept.is_ok();
        let image = lock(&platter).durable_image();
        // The disk is from before the others were voters: a start asks nobody, and votes until one of them is heard.
        let alone = !kept && asks_nobody(victim, image, &*self.machine(victim).signatures);
        self.machine_mut(victim).disk.mended = false;
        self.schedule(Duration::ZERO, Event::Start(victim));
        self.run_until(START, |world| {
            world.has_settled(victim) && !(alone && world.is_voting(victim))
        })?;
        let mended = self.machine(victim).disk.mended;
        self.check_damage_is_detected(victim, harm, kept || mended)?;
        self.stats.meet(match (kept, self.machine(victim).broken) {
            (true, _) => "harmless damage",
            (false, true) => "loss found by the ledger",
            (false, false) if mended => "loss mended",
            (false, false) if alone => "rolled back to when it was alone",
            (false, false) => "loss found by the start-up check",
        });
        self.absent = BTreeSet::from([victim]);
        if voters.len() > 2 {
            self.kill(victim);
            self.write_through_others(victim, CALM)?;
        }
        Ok(())
    }

    /// A few writes, so that everybody has more than it had.
    fn write_through_others(&mut self, victim: Seat, limit: Duration) -> Checked {
        for _ in 0..3 {
            for seat in self.voters() {
                if seat != victim {
                    self.write(seat);
                }
            }
            self.converge(limit)?;
        }
        Ok(())
    }

    fn has_settled(&self, seat: Seat) -> bool {
        self.machine(seat).broken || self.is_voting(seat) || self.stop_reason(seat).is_some()
    }

    /// A node that has lost what it said does not take part again.
    fn check_damage_is_detected(&self, victim: Seat, harm: Harm, kept: bool) -> Checked {
        ensure(
            kept || !self.is_voting(victim),
            "check_damage_is_detected",
            || format!("{victim} votes again after {harm:?}, and has lost what it had said"),
        )
    }

    /// Who stays away while the others come to rest: fewer than would take the quorum.
    pub(super) fn draw_absent(&mut self) -> BTreeSet<Seat> {
        let (voters, doubtful) = (self.voters(), self.doubtful());
        let sound: Vec<Seat> = voters
            .iter()
            .filter(|seat| !doubtful.contains(seat))
            .copied()
            .collect();
        let minority = (voters.len() - 1) / 2;
        let spare = minority.saturating_sub(voters.len() - sound.len());
        if !self.rng.chance(self.plan.bereft) {
            return BTreeSet::new();
        }
        let mut absent = BTreeSet::new();
        for _ in 0..spare {
            if self.rng.chance(Chance::percent(70)) {
                absent.extend(self.rng.pick(&sound));
            }
        }
        absent
    }
}
