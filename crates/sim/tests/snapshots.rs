//! Scenarios about nodes that make snapshots and begin with them, while a minority says what is not true.

use std::time::Duration;

use sim::{Fault, Plan, Seat, Violation, World};

type Tested = Result<(), Violation>;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Everybody writes, and one node after the other is started anew: how often what was met.
fn live(seed: u64, nodes: usize) -> Result<World<'static>, Violation> {
    let mut plan = Plan::calm(seed, nodes);
    plan.snapshots = Some(millis(5)..millis(30));
    plan.faults.insert(Fault::Kill);
    plan.fault_pause = Duration::from_secs(3_600)..Duration::from_secs(3_601);
    let mut world = World::new(plan, None);
    let up = |world: &World<'_>| Seat::all(nodes).all(|seat| world.is_voting(seat));
    assert!(world.run_until(millis(3_000), up)?, "all vote");
    for round in 0..24 {
        for seat in Seat::all(nodes) {
            world.write(seat);
        }
        world.run_for(millis(150))?;
        let seat = Seat(round % nodes);
        world.kill_now(seat);
        world.start_now(seat);
        assert!(world.run_until(millis(5_000), up)?, "seed {seed}: all vote");
    }
    world.settle(sim::CALM)?;
    Ok(world)
}

fn met(world: &World<'_>, what: &str) -> u64 {
    world.stats().met.get(what).copied().unwrap_or_default()
}

#[test]
fn starts_begin_with_what_enough_voters_vouch_for() -> Tested {
    let (mut begun, mut lies, mut torn, mut purges) = (0, 0, 0, 0);
    for seed in 0..6 {
        for nodes in [3, 5] {
            let world = live(seed, nodes)?;
            begun += met(&world, "began with a snapshot");
            lies += met(&world, "snapshot lied about");
            torn += met(&world, "snapshot left unfinished");
            purges += met(&world, "snapshots ended by a purge");
        }
    }
    let counts = [begun, lies, torn, purges];
    assert!(counts.iter().all(|count| *count > 5), "{counts:?}");
    Ok(())
}
