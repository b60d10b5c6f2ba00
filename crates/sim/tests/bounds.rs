//! Scenarios that meet bounds which storms meet seldom.

use std::time::Duration;

use model::limits::RECORD_BYTES_MAX;
use sim::{Plan, Seat, Violation, World};

type Tested = Result<(), Violation>;

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// More is pushed to the holder of the turn, all at once, than it keeps for others. What it drops stays with those who
/// pushed it, and everything is decided.
#[test]
fn more_may_be_pushed_than_a_node_keeps() -> Tested {
    let mut plan = Plan::calm(3, 3);
    let longest = RECORD_BYTES_MAX as u64;
    plan.workload.body = longest - 1..longest + 1;
    let mut world = World::new(plan, None);
    let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
    assert!(world.run_until(secs(2), up)?);
    let holder = world.turn_holder();
    let other = Seat::all(3)
        .find(|seat| Some(*seat) != holder)
        .unwrap_or(Seat(0));
    let all: Vec<_> = (0..270).map(|_| world.write(other)).collect();
    let answered = |world: &World<'_>| all.iter().all(|op| world.answer(*op).is_some());
    assert!(world.run_until(secs(60), answered)?);
    let met = world.stats().met;
    assert_eq!(met.get("no room for pushed commands"), Some(&1), "{met:?}");
    world.settle(sim::CALM).map(drop)
}
