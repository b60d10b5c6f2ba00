//! How turns fare where links are long and some voters are gone: what the waits of the protocol are for.
//!
//! A wait that is too short costs no agreement, only messages: survivors end each other's ballots, and a height takes
//! ten round trips instead of one. So it is measured, and tests hold the figures to a bound.

use std::time::Duration;

use model::Height;

use crate::checks::Violation;
use crate::plan::{Order, Plan};
use crate::seat::Seat;
use crate::workload::OpId;
use crate::world::World;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What the voters that are left have seen of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Nothing: these have been started since.
    Before,
    /// A while of ordinary work.
    Later,
}

/// A cluster across long links, of which some voters are gone.
#[derive(Debug, Clone, Copy)]
pub struct Survivors {
    /// From which the links' lengths are drawn.
    pub seed: u64,
    /// How many voters there are.
    pub nodes: usize,
    /// How many of them are gone.
    pub gone: usize,
    /// Since when.
    pub since: Gone,
    /// How long the rest writes.
    pub length: Duration,
}

/// How it went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turns {
    /// Heights that were decided.
    pub heights: u64,
    /// Heights that were not decided with the turn.
    pub taken_over: u64,
    /// The sum of the numbers of the ballots that decided: 1 each, if every turn was used.
    pub ballots: u64,
    /// Simulated time.
    pub time: Duration,
}

impl Turns {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.heights += other.heights;
        self.taken_over += other.taken_over;
        self.ballots += other.ballots;
        self.time += other.time;
    }
}

impl Survivors {
    /// Everybody who is left always writes; gives what became of the turns.
    ///
    /// # Errors
    /// The first violation; among them that the survivors do not vote.
    pub fn measure(self) -> Result<Turns, Violation> {
        let mut world = World::new(self.plan(), None);
        self.write_for(&mut world, millis(4_000))?;
        for seat in Seat::all(self.nodes) {
            if self.since == Gone::Before || seat.0 < self.gone {
                world.kill_now(seat);
            }
        }
        if self.since == Gone::Before {
            Seat::all(self.nodes)
                .skip(self.gone)
                .for_each(|seat| world.start_now(seat));
        }
        self.write_for(&mut world, millis(2_000))?;
        let from = (world.top(), world.now());
        self.write_for(&mut world, self.length)?;
        let mut turns = Turns {
            time: world.now().since(from.1),
            ..Turns::default()
        };
        let decided = (from.0.0 + 1..=world.top().0).filter_map(|h| world.decided_at(Height(h)));
        for ballot in decided {
            turns.heights += 1;
            turns.taken_over += u64::from(ballot.k > 1);
            turns.ballots += ballot.k;
        }
        Ok(turns)
    }

    fn plan(self) -> Plan {
        let mut plan = Plan::calm(self.seed, self.nodes);
        plan.network.delay = millis(10)..millis(120);
        plan.network.jitter = millis(20);
        plan.network.order = Order::Any;
        plan
    }

    /// One write after the other on every node that will be left.
    fn write_for(self, world: &mut World<'_>, length: Duration) -> Result<(), Violation> {
        let end = world.now().plus(length);
        let mut open: Vec<(Seat, OpId)> = Vec::new();
        while world.now() < end {
            open.retain(|(_, op)| world.answer(*op).is_none());
            for seat in Seat::all(self.nodes).skip(self.gone) {
                if world.is_voting(seat) && open.iter().all(|(at, _)| *at != seat) {
                    open.push((seat, world.write(seat)));
                }
            }
            world.run_for(millis(1))?;
        }
        Ok(())
    }
}
