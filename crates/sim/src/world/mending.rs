//! Damaged logs, and nodes that mend their ledgers from the others, as `ledger::mend` and `ledger::repair` do.
//!
//! Whom a node asks may lie, and mending may be stopped halfway; then it is done again. Whatever comes of it, a node
//! whose ledger was mended has lost no vote that it may be held to, and what it took is what was decided.

use std::sync::Arc;
use std::time::Duration;

use ledger::{MendError, Mended, Reader, Supply};
use model::{Certificate, Decided, Height, Nonce};
use replica::Replica;

use super::{Event, World};
use crate::archive::{Forger, Plot, forged};
use crate::checks::durability::{Kept, check_votes_survive};
use crate::checks::{Checked, Violation, ensure};
use crate::disk::{Mishap, Wound, lock};
use crate::plan::Fault;
use crate::rng::{Chance, Rng};
use crate::seat::Seat;

/// A start that found nobody to ask is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How many blocks come at once, at most.
const ANSWER_MAX: usize = 20;

/// What came of an attempt to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mending {
    Done,
    /// It was stopped, or nobody had what is missing.
    Later,
    /// It must not be done.
    Refused,
}

impl<'a> World<'a> {
    /// A log is damaged in front of what is whole.
    pub(super) fn damage_log(&mut self, seat: Seat) {
        let wound = *self.sealer.pick(&Wound::ALL).unwrap_or(&Wound::Bit);
        let done = lock(&self.platter(seat)).wound(wound, &mut self.sealer);
        self.machine_mut(seat).disk.damaged |= done.is_some();
        if done.is_some() {
            self.stats.meet("log damaged");
        }
        self.line(|| format!("{seat} has a damaged log: {done:?}"));
    }

    /// Damages a machine's log in front of what is whole.
    pub fn damage_log_of(&mut self, seat: Seat) {
        self.damage_log(seat);
    }

    /// Damages one of a machine's segments.
    pub fn damage_segment_of(&mut self, seat: Seat) {
        self.rot_segment(seat);
    }

    /// Whether a machine's ledger was refused, so that its identity has ended.
    pub fn is_broken(&self, seat: Seat) -> bool {
        self.machine(seat).broken
    }

    /// A ledger that does not open is mended from the other nodes.
    pub(super) fn mend(
        &mut self,
        seat: Seat,
        unreadable: Option<Height>,
    ) -> Result<Mending, Violation> {
        let nonce = Nonce(self.sealer.bytes());
        let signatures = Arc::clone(&self.machine(seat).signatures);
        self.draw_mishap(seat);
        let chance = self.sealer.fork();
        let storage = ledger::Disk::storage(&crate::disk::SimDisk::new(self.platter(seat)));
        let mut others = self.others(seat, chance);
        let mended = ledger::mend(&*storage, &*signatures, &mut others, unreadable, nonce);
        let refused = others.refused;
        self.note_lies(refused);
        let stopped = lock(&self.platter(seat)).met_mishap();
        lock(&self.platter(seat)).set_mishap(None);
        match mended {
            _ if stopped => {
                self.line(|| format!("{seat} is stopped while it mends its ledger"));
                self.stats.meet("mending stopped halfway");
                if self.plan.faults.contains(&Fault::PowerCut) {
                    self.cut_power(seat)?;
                }
                self.schedule(AGAIN, Event::Start(seat));
                Ok(Mending::Later)
            }
            Ok(mended) => {
                self.line(|| format!("{seat} mends its ledger: {mended:?}"));
                self.check_mended(seat, &mended)?;
                Ok(Mending::Done)
            }
            Err(error) if error.is_passing() || matches!(error, MendError::Io { .. }) => {
                self.line(|| format!("{seat} cannot mend its ledger yet: {error}"));
                self.schedule(AGAIN, Event::Start(seat));
                Ok(Mending::Later)
            }
            Err(error) => {
                self.line(|| format!("{seat} does not mend its ledger: {error}"));
                self.stats.meet("mending refused");
                self.check_nobody_went_astray(seat, &error)?;
                Ok(Mending::Refused)
            }
        }
    }

    /// What is unreadable in a ledger in use is mended, one place after the other.
    pub(super) fn mender_looks(&mut self, seat: Seat, reader: &Reader) -> Checked {
        let (tip, _) = reader.tip();
        let mut heights = ledger::gaps(reader);
        heights.extend(ledger::without_file(reader));
        heights.extend(reader.take_complaints());
        let damaged = reader.damaged_segments().into_iter();
        heights.extend(damaged.map(|damaged| damaged.name.to()));
        heights.retain(|height| *height <= tip);
        let signatures = Arc::clone(&self.machine(seat).signatures);
        for height in heights {
            let chance = self.sealer.fork();
            let mut others = self.others(seat, chance);
            let mended = ledger::repair(reader, &*signatures, &mut others, height);
            let refused = others.refused;
            self.note_lies(refused);
            match mended {
                Ok(mended) => {
                    self.line(|| format!("{seat} repairs its ledger at {height}: {mended:?}"));
                    self.stats.meet("ledger repaired in use");
                    self.check_taken(seat, &mended)?;
                }
                Err(error) => {
                    self.line(|| format!("{seat} cannot repair {height}: {error}"));
                    return self.check_nobody_went_astray(seat, &error);
                }
            }
        }
        Ok(())
    }

    fn draw_mishap(&mut self, seat: Seat) {
        let stopped =
            self.season == super::Season::Storm && self.sealer.chance(Chance::percent(20));
        let mishap = stopped.then(|| Mishap::draw(&mut self.sealer));
        lock(&self.platter(seat)).set_mishap(mishap);
    }

    fn note_lies(&mut self, refused: u64) {
        if refused > 0 {
            self.stats.meet("mending: lie refused");
        }
    }

    /// Whom a node can ask: who runs, can be reached, and knows it.
    pub(super) fn others(&self, seat: Seat, chance: Rng) -> Others<'_, 'a> {
        let id = self.cast.id(seat);
        let knows = |other: &Seat| {
            let machine = self.machine(*other);
            let known = machine.replica().is_some_and(|replica| {
                let roster = replica.roster();
                roster.name_of(id).is_some() || roster.former().contains_key(&id)
            });
            *other != seat && known && machine.answers() && self.network.is_open(seat, *other)
        };
        let readers = self.cast.seats().filter(knows);
        let readers =
            readers.filter_map(|other| self.machine(other).replica().map(Replica::reader));
        Others {
            readers: readers.collect(),
            chance,
            refused: 0,
            world: self,
        }
    }

    /// A block that never was, on top of a real one, signed by a stranger.
    fn lie(&self, height: Height) -> Option<Decided> {
        let forger = Forger {
            id: model::NodeId([0xee; 32]),
            signatures: Arc::clone(&self.stranger),
        };
        let (_, bytes) = forged(self.below(height.previous()?)?, &forger, Plot::Impersonate)?;
        ledger::segment::blocks(&bytes).ok()?.next()?.ok()
    }

    /// What was taken is what was decided, with proofs.
    fn check_taken(&self, seat: Seat, mended: &Mended) -> Checked {
        for name in &mended.segments {
            self.check_segment(seat, *name, self.chain.top())?;
        }
        Ok(())
    }

    /// P59: a ledger that was mended holds all that its node may be held to. Where more was lost than part of the log in
    /// front of what is whole, that is for the check after the start to find.
    fn check_mended(&mut self, seat: Seat, mended: &Mended) -> Checked {
        self.check_taken(seat, mended)?;
        ensure(
            !self.machine(seat).disk.astray,
            "check_mending_hides_nothing",
            || format!("{seat} mends a ledger that is another cluster's: {mended:?}"),
        )?;
        if mended.begun.is_none() {
            self.stats.meet("segments mended");
            return Ok(());
        }
        let machine = self.machine(seat);
        let image = lock(&machine.platter).durable_image();
        let kept = if machine.disk.spoiled {
            Kept::Votes
        } else {
            Kept::Blocks
        };
        let survives = check_votes_survive(seat, (image, kept), &*machine.signatures, &self.votes);
        let forgetful = machine.disk.forgetful;
        let disk = &mut self.machine_mut(seat).disk;
        disk.mended = survives.is_ok();
        disk.damaged = false;
        self.stats.meet(match (&survives, forgetful) {
            (Ok(()), _) => "log begun anew",
            (Err(_), true) => "log begun anew without what was lost at its end",
            (Err(_), false) => "log begun anew too soon",
        });
        match survives {
            Err(lost) if !forgetful => Err(Violation {
                check: "check_mending_loses_no_vote",
                detail: lost.detail,
            }),
            _ => Ok(()),
        }
    }

    /// No ledger in here says anything else than what was decided, unless a scenario made it so: none may be found to.
    fn check_nobody_went_astray(&self, seat: Seat, error: &MendError) -> Checked {
        let accused = matches!(error, MendError::Contradicts { .. });
        let astray = self.machine(seat).disk.astray;
        ensure(!accused || astray, "check_nobody_is_accused", || {
            format!("{seat} is told that its ledger went astray: {error}")
        })
    }
}

/// Makes a lie of what was decided: another block, or a proof that proves nothing. `other` is a certificate of another
/// block.
fn distort(world: &World<'_>, decided: &mut Decided, other: Option<Certificate>, chance: &mut Rng) {
    let forged = world.lie(decided.block.height());
    match (chance.below(5), forged) {
        (0, Some(forged)) => *decided = forged,
        // The certificate of the block that was decided there.
        (1, Some(forged)) => decided.block = forged.block,
        (2, _) => decided.certificate.iter_mut().for_each(keep_one_vote),
        (3, _) => decided.certificate.iter_mut().for_each(spoil_a_vote),
        _ => decided.certificate = other,
    }
}

/// One voter's word, which is a quorum only where it is alone.
fn keep_one_vote(certificate: &mut Certificate) {
    certificate.voters = 1 << certificate.voters.trailing_zeros();
    certificate.signatures.truncate(1);
}

/// A signature that its voter never gave.
fn spoil_a_vote(certificate: &mut Certificate) {
    if let Some(byte) = certificate
        .signatures
        .last_mut()
        .and_then(|s| s.0.first_mut())
    {
        *byte ^= 1;
    }
}

/// Other nodes, of which now and then one does not tell the truth.
pub(super) struct Others<'a, 'w> {
    readers: Vec<Reader>,
    chance: Rng,
    refused: u64,
    world: &'a World<'w>,
}

impl Others<'_, '_> {
    /// The highest height that any of them has.
    pub(super) fn top(&self) -> Height {
        let tips = self.readers.iter().map(|reader| reader.tip().0);
        tips.max().unwrap_or_default()
    }
}

impl Supply for Others<'_, '_> {
    fn blocks(&mut self, from: Height, to: Height) -> Vec<Decided> {
        let chance = &mut self.chance;
        let able = |reader: &&Reader| matches!(reader.block(from), Ok(Some(_)));
        let able: Vec<&Reader> = self.readers.iter().filter(able).collect();
        let Some(reader) = chance.pick(&able).copied() else {
            return Vec::new();
        };
        let span = usize::try_from(to.0 - from.0 + 1).unwrap_or(usize::MAX);
        let count = span.min(1 + chance.index(ANSWER_MAX));
        let told = reader.blocks(from).take(count).map_while(Result::ok);
        let mut told: Vec<Decided> = told.collect();
        if chance.chance(Chance::percent(25)) {
            let at = chance.index(told.len());
            let first = told.first().and_then(|first| first.certificate.clone());
            if let Some(place) = told.get_mut(at) {
                let other = first.filter(|_| at > 0);
                distort(self.world, place, other, chance);
            }
        }
        told
    }

    fn refuse(&mut self, _: Height, _: &str) {
        self.refused += 1;
    }
}
