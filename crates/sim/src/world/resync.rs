//! Nodes that begin anew without their ledger, as `starling cluster resync` lets them (P78).
//!
//! A machine that is down asks the others from time to time, not all at once and not all of them, while they go on. When it
//! may begin, its ledger is replaced, and what it had said is held against what it remembers then.

use std::sync::{Arc, Mutex};

use consensus::resync::Hearing;
use ledger::{Anew, GenesisFile, MendError};
use model::{Boot, Nonce};
use replica::Replica;

use super::World;
use crate::checks::durability::{Kept, check_votes_survive};
use crate::checks::{Violation, ensure};
use crate::disk::{Platter, SimDisk, lock};
use crate::rng::Chance;
use crate::seat::Seat;

/// Start counters that are left out.
const BOOTS_LEFT_OUT: u64 = 1 << 20;

/// A machine that asks.
#[derive(Debug)]
pub struct Asking {
    seat: Seat,
    hearing: Option<Hearing>,
}

impl Asking {
    /// What is on its disk is believed no more.
    pub fn of(seat: Seat) -> Self {
        Self {
            seat,
            hearing: None,
        }
    }
}

impl World<'_> {
    /// One look of a machine that is down at how far the others are; true if its ledger was replaced.
    ///
    /// # Errors
    /// If it would be free of something that it has said.
    pub fn begin_anew(&mut self, asking: &mut Asking) -> Result<bool, Violation> {
        let seat = asking.seat;
        let old = ledger::Disk::storage(&SimDisk::new(self.platter(seat)));
        let genesis = ledger::read_genesis(&*old).expect("it is never lost here");
        let boot = Boot(ledger::highest_boot(&*old).0 + BOOTS_LEFT_OUT);
        let file = GenesisFile::new(&genesis);
        let platter = Arc::new(Mutex::new(Platter::holding([(file.name, file.bytes)])));
        let storage = ledger::Disk::storage(&SimDisk::new(Arc::clone(&platter)));
        let signatures = Arc::clone(&self.machine(seat).signatures);
        let anew = Anew::open(&*storage, &*signatures).expect("a new ledger");
        let chance = self.sealer.fork();
        let nonce = Nonce(self.sealer.bytes());
        let mut others = self.others(seat, chance);
        let highest = others.top();
        match anew.take(&mut others, highest) {
            Err(error) if error.is_passing() => return Ok(false),
            taken => taken.map_err(|error| unfit(seat, &error))?,
        }
        let (top, roster) = anew.top().map_err(|error| unfit(seat, &error))?;
        let known = asking.hearing.take().filter(|it| !it.is_over(&roster));
        let mut hearing = known.unwrap_or_else(|| Hearing::new(self.cast.id(seat), &roster));
        if let Some(floor) = hearing.floor(top, &roster) {
            let begun = anew.begin(boot, floor, nonce);
            begun.map_err(|error| unfit(seat, &error))?;
            self.line(|| format!("{seat} begins anew at {top} and votes above {floor}"));
            self.stats.meet("begun anew without its votes");
            let image = lock(&platter).durable_image();
            *lock(&self.platter(seat)) = lock(&platter).durable_image();
            let kept = (image, Kept::Votes);
            return check_votes_survive(seat, kept, &*signatures, &self.votes).map(|()| true);
        }
        self.ask_how_far(&mut hearing, seat);
        asking.hearing = Some(hearing);
        Ok(false)
    }

    /// Some of those who can be reached say how far they are now.
    fn ask_how_far(&mut self, hearing: &mut Hearing, seat: Seat) {
        let nodes: Vec<_> = hearing.whom().collect();
        for node in nodes {
            let other = self.cast.seat(node);
            let heard = self.sealer.chance(Chance::percent(50));
            let machine = self.machine(other);
            let open = machine.answers() && self.network.is_open(seat, other);
            let reader = machine.replica().map(Replica::reader);
            if let Some(reader) = reader.filter(|_| heard && open) {
                hearing.said(node, reader.tip().0);
            }
        }
    }
}

fn unfit(seat: Seat, error: &MendError) -> Violation {
    let fails = || format!("{seat} cannot begin anew with what was decided: {error}");
    let violation = ensure(false, "check_the_chain_is_taken", fails);
    violation.expect_err("that is what it says")
}
