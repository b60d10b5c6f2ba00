//! Scenarios about where files of the log end, and when they may go.

use std::time::Duration;

use ledger::Bounds;
use sim::{Pace, Plan, SealingPlan, Seat, Violation, World};

const A: Seat = Seat(0);
const C: Seat = Seat(2);

type Tested = Result<(), Violation>;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Three nodes whose files hold two votes each, and that seal every few blocks.
fn cluster(seed: u64) -> Result<World<'static>, Violation> {
    let mut plan = Plan::calm(seed, 3);
    plan.sealing = Some(SealingPlan {
        bounds: Bounds {
            bytes: 700,
            time: Duration::from_secs(3_600),
            keep: 0,
        },
        pause: millis(1)..millis(10),
        file_bytes: Some(20_000),
    });
    let mut world = World::new(plan, None);
    let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
    assert!(world.run_until(millis(5_000), up)?, "all vote");
    Ok(world)
}

/// C learns what the others decide while its disk takes seconds for a flush. Nothing of that is reason enough to let go
/// of a file: the one behind it may not be there.
#[test]
fn no_file_goes_for_what_is_not_flushed() -> Tested {
    let mut gone = 0;
    for seed in 0..6 {
        let mut world = cluster(seed)?;
        world.slow_disk(C, Pace::Slow);
        for _ in 0..40 {
            let op = world.write(A);
            let answered = world.run_until(millis(10_000), |world| world.answer(op).is_some())?;
            assert!(answered, "{op:?} is answered");
        }
        world.run_for(millis(300))?;
        world.cut_power_now(C)?;
        world.slow_disk(C, Pace::Usual);
        world.start_now(C);
        gone += world
            .stats()
            .met
            .get("log files let go")
            .copied()
            .unwrap_or_default();
        world.settle(sim::CALM)?;
    }
    assert!(gone > 10, "{gone}");
    Ok(())
}
