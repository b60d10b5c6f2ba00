//! Scenarios in which a node has another history than its cluster.

use std::time::Duration;

use sim::{DiskImage, Plan, Seat, Violation, World};

const A: Seat = Seat(0);
const B: Seat = Seat(1);
const C: Seat = Seat(2);

type Tested = Result<(), Violation>;

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Three nodes; the same three whenever it is called.
fn cluster() -> Result<World<'static>, Violation> {
    let mut world = World::new(Plan::calm(23, 3), None);
    let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
    assert!(world.run_until(secs(2), up)?, "all vote");
    Ok(world)
}

fn write(world: &mut World<'_>, seat: Seat, count: usize) -> Tested {
    for _ in 0..count {
        let op = world.write(seat);
        let answered = world.run_until(secs(10), |world| world.answer(op).is_some())?;
        assert!(answered, "{op:?} is answered");
    }
    Ok(())
}

/// C's disk, damaged, from a cluster of the same three that decided other things.
fn elsewhere() -> Result<DiskImage, Violation> {
    let mut world = cluster()?;
    // Before anything else, so that every block differs.
    write(&mut world, C, 12)?;
    world.run_for(secs(1))?;
    for _ in 0..3 {
        world.damage_log_of(C);
    }
    Ok(world.copy_disk(C))
}

/// P59: a node whose marks disagree with a certified block mends nothing.
#[test]
fn a_log_of_another_history_is_not_mended() -> Tested {
    let mut world = cluster()?;
    write(&mut world, A, 20)?;
    world.kill_now(C);
    world.lead_astray(C, elsewhere()?);
    world.start_now(C);
    assert!(world.run_until(secs(10), |world| world.is_broken(C))?);
    assert!(!world.is_voting(C));
    write(&mut world, B, 3)
}
