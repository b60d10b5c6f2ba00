//! Scenarios about what a failed flush leaves behind: pages that are clean and were never written.

use std::time::Duration;

use sim::{Plan, Seat, Violation, World};

const A: Seat = Seat(0);
const C: Seat = Seat(2);

type Tested = Result<(), Violation>;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn write(world: &mut World<'_>, count: usize) -> Tested {
    for _ in 0..count {
        let op = world.write(A);
        let answered = world.run_until(millis(10_000), |world| world.answer(op).is_some())?;
        assert!(answered, "{op:?} is answered");
    }
    Ok(())
}

/// C takes part and is where the others are.
fn back(world: &World<'_>) -> bool {
    world.is_voting(C) && world.tip_of(C) == Some(world.top())
}

/// What C had read from its page cache, and told others that it had, is gone with the power. Its start record says how
/// far the chain goes, so nobody takes the disk for an old copy, and C fetches the blocks; and the same once more, above a
/// gap that is there already.
#[test]
fn blocks_lost_behind_failed_flushes_end_no_identity() -> Tested {
    let mut met = 0;
    for seed in 0..30 {
        let mut world = World::new(Plan::calm(seed, 3), None);
        let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
        assert!(world.run_until(millis(2_000), up)?, "all vote");
        write(&mut world, 2)?;
        for _ in 0..2 {
            // The mark that the last block is decided waits for company: it fails together with the next vote.
            world.run_for(millis(3))?;
            world.fail_next_flush(C, millis(50));
            write(&mut world, 2)?;
            world.run_for(millis(60))?;
            assert!(world.run_until(millis(5_000), back)?, "C is back");
            // Long enough for the others to hear how far C was.
            world.run_for(millis(600))?;
            let tip = world.tip_of(C);
            world.cut_power_now(C)?;
            world.start_now(C);
            world.run_for(millis(1))?;
            met += usize::from(world.tip_of(C) < tip);
            assert!(world.run_until(millis(5_000), back)?, "C is back again");
        }
    }
    assert!(met > 4, "C has lost blocks {met} times");
    Ok(())
}
