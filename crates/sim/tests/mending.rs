//! Scenarios about logs that are damaged in front of what is whole, and mended from the others.

use std::time::Duration;

use ledger::Bounds;
use sim::{Plan, SealingPlan, Seat, Violation, World};

const A: Seat = Seat(0);
const B: Seat = Seat(1);
const C: Seat = Seat(2);

type Tested = Result<(), Violation>;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn cluster(seed: u64, seals: bool) -> Result<World<'static>, Violation> {
    let mut plan = Plan::calm(seed, 3);
    plan.sealing = seals.then(|| SealingPlan {
        bounds: Bounds {
            bytes: 2_000,
            time: Duration::from_secs(3_600),
            keep: 1,
        },
        pause: millis(5)..millis(50),
        file_bytes: None,
    });
    let mut world = World::new(plan, None);
    up(&mut world)?;
    Ok(world)
}

fn up(world: &mut World<'_>) -> Tested {
    let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
    assert!(world.run_until(millis(5_000), up)?, "all vote");
    Ok(())
}

fn write(world: &mut World<'_>, seat: Seat, count: usize) -> Tested {
    for _ in 0..count {
        let op = world.write(seat);
        let answered = world.run_until(millis(10_000), |world| world.answer(op).is_some())?;
        assert!(answered, "{op:?} is answered");
    }
    Ok(())
}

fn met(world: &World<'_>, what: &str) -> u64 {
    world.stats().met.get(what).copied().unwrap_or_default()
}

/// Over and over C's log is damaged. It comes back each time, and votes, or its ledger says why not.
fn lives_through(seeds: std::ops::Range<u64>, seals: bool) -> Result<(u64, u64, u64), Violation> {
    let (mut begun, mut refused, mut lies) = (0, 0, 0);
    for seed in seeds {
        let mut world = cluster(seed, seals)?;
        for writer in [A, B, C, A] {
            write(&mut world, writer, 8)?;
            world.cut_power_now(C)?;
            world.start_now(C);
            world.run_for(millis(300))?;
            world.damage_log_of(C);
            write(&mut world, B, 2)?;
            world.kill_now(C);
            world.start_now(C);
            let done = |world: &World<'_>| world.is_voting(C) || world.is_broken(C);
            assert!(world.run_until(millis(8_000), done)?, "seed {seed}");
            if world.is_broken(C) {
                break;
            }
        }
        begun += met(&world, "log begun anew");
        refused += met(&world, "mending refused");
        lies += met(&world, "mending: lie refused");
        world.settle(sim::CALM)?;
    }
    Ok((begun, refused, lies))
}

#[test]
fn a_damaged_log_is_mended_and_its_node_votes_again() -> Tested {
    let (begun, refused, lies) = lives_through(0..40, false)?;
    assert!(
        begun > 30 && lies > 0,
        "{begun} begun, {refused} refused, {lies} lies"
    );
    Ok(())
}

#[test]
fn a_damaged_log_beside_segments_is_mended_too() -> Tested {
    let (begun, refused, _) = lives_through(20..30, true)?;
    assert!(begun > 4, "{begun} begun, {refused} refused");
    Ok(())
}

#[test]
fn blocks_that_cannot_be_read_are_repaired_in_use() -> Tested {
    let mut repaired = 0;
    for seed in 40..48 {
        let mut world = cluster(seed, true)?;
        write(&mut world, A, 30)?;
        world.run_for(millis(500))?;
        for _ in 0..3 {
            world.damage_segment_of(B);
            world.run_for(millis(500))?;
        }
        repaired += met(&world, "ledger repaired in use");
        write(&mut world, B, 3)?;
        world.settle(sim::CALM)?;
    }
    assert!(repaired > 2, "{repaired}");
    Ok(())
}
