//! Scenarios about segments, the archive, and disks that are lost.

use std::time::Duration;

use ledger::Bounds;
use sim::{Errand, Plan, SealingPlan, Seat, Violation, World};

const A: Seat = Seat(0);
const B: Seat = Seat(1);
const C: Seat = Seat(2);
const D: Seat = Seat(3);

type Tested = Result<(), Violation>;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Three nodes that seal every few blocks, and look often.
fn cluster(seed: u64, spares: usize) -> Result<World<'static>, Violation> {
    let mut plan = Plan::calm(seed, 3);
    plan.spares = spares;
    plan.sealing = Some(SealingPlan {
        bounds: Bounds {
            bytes: 2_000,
            time: Duration::from_secs(3_600),
            keep: 1,
        },
        pause: millis(5)..millis(50),
        file_bytes: None,
    });
    let mut world = World::new(plan, None);
    let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
    assert!(world.run_until(millis(2_000), up)?, "all vote");
    Ok(world)
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

#[test]
fn starts_go_over_segments_and_logs_without_a_beginning() -> Tested {
    let mut world = cluster(5, 0)?;
    for _ in 0..4 {
        write(&mut world, A, 12)?;
        world.run_for(millis(500))?;
        for seat in [A, B, C] {
            world.cut_power_now(seat)?;
            world.start_now(seat);
        }
    }
    assert!(met(&world, "segment sealed") > 10);
    assert!(met(&world, "log files let go") > 2);
    world.settle(sim::CALM).map(drop)
}

#[test]
fn a_joiner_takes_from_a_lying_archive_what_it_can_prove() -> Tested {
    let (mut taken, mut refused) = (0, 0);
    for (seed, lies) in (0..).zip([0, 0, 0, 2, 2, 6, 6, 40]) {
        let mut world = cluster(seed, 1)?;
        write(&mut world, A, 40)?;
        world.run_for(millis(2_000))?;
        for _ in 0..lies {
            world.harm_archive();
        }
        world.run_errand(A, Errand::Join)?;
        let joined = |world: &World<'_>| world.voters().contains(&D) && world.is_voting(D);
        assert!(world.run_until(millis(20_000), joined)?);
        refused += met(&world, "archive: object refused");
        taken += met(&world, "start from the archive");
        world.settle(sim::CALM)?;
    }
    assert!(taken > 2 && refused > 0, "{taken} taken, {refused} refused");
    Ok(())
}

#[test]
fn a_joiner_believes_neither_made_up_blocks_nor_a_lie_about_the_members() -> Tested {
    for seed in 0..6 {
        let mut world = cluster(seed, 1)?;
        write(&mut world, A, 40)?;
        world.run_for(millis(2_000))?;
        for _ in 0..8 {
            world.deceive_archive();
        }
        world.run_errand(A, Errand::Join)?;
        let joined = |world: &World<'_>| world.voters().contains(&D) && world.is_voting(D);
        assert!(world.run_until(millis(20_000), joined)?);
        assert!(met(&world, "archive: object refused") > 0);
        world.settle(sim::CALM)?;
    }
    Ok(())
}

/// Nothing real is touched, and above real segments lie longer ones: of blocks by which a machine that does not belong
/// becomes the only voter, with good certificates of its own from then on.
#[test]
fn a_joiner_follows_no_made_up_chain() -> Tested {
    for (seed, spares) in (0..).zip([1, 1, 2, 2]) {
        let mut world = cluster(seed, spares)?;
        write(&mut world, A, 40)?;
        world.run_for(millis(2_000))?;
        for _ in 0..30 {
            world.forge_archive();
        }
        assert!(met(&world, "archive: forged chain") > 5);
        for _ in 0..spares {
            let voters = world.voters().len();
            world.run_errand(A, Errand::Join)?;
            let joined = |world: &World<'_>| {
                let seats = world.voters();
                seats.len() > voters && seats.iter().all(|seat| world.is_voting(*seat))
            };
            assert!(world.run_until(millis(20_000), joined)?);
        }
        assert!(met(&world, "archive: object refused") > 0);
        world.settle(sim::CALM)?;
    }
    Ok(())
}

#[test]
fn a_voter_that_lost_its_disk_comes_back_as_another() -> Tested {
    let mut world = cluster(5, 1)?;
    write(&mut world, B, 20)?;
    world.lose_disk(C)?;
    let back = |world: &World<'_>| world.voters() == [A, B, D];
    assert!(
        world.run_until(millis(20_000), back)?,
        "{:?}",
        world.voters()
    );
    assert!(!world.is_voting(C));
    write(&mut world, D, 3)?;
    world.settle(sim::CALM).map(drop)
}
