//! Scenarios in which whom a node was told of are gone, or it knows of nobody.

use std::time::Duration;

use consensus::StopReason;
use sim::{Plan, Seat, Violation, World};

const A: Seat = Seat(0);
const B: Seat = Seat(1);
const C: Seat = Seat(2);
const D: Seat = Seat(3);

type Tested = Result<(), Violation>;

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A node by itself, and machines that may join it.
fn alone(spares: usize) -> Result<World<'static>, Violation> {
    let mut plan = Plan::calm(17, 1);
    plan.spares = spares;
    let mut world = World::new(plan, None);
    assert!(world.run_until(secs(2), |world| world.is_voting(A))?);
    Ok(world)
}

fn write(world: &mut World<'_>, seat: Seat) -> Tested {
    let op = world.write(seat);
    let answered = world.run_until(secs(10), |world| world.answer(op).is_some())?;
    assert!(answered, "{op:?} is answered");
    Ok(())
}

/// Until so many vote.
fn voters(world: &mut World<'_>, count: usize) -> Tested {
    let all = |world: &World<'_>| {
        let voters = world.voters();
        voters.len() == count && voters.iter().all(|seat| world.is_voting(*seat))
    };
    let reached = world.run_until(secs(30), all)?;
    assert!(reached, "{:?} vote, not {count}", world.voters());
    Ok(())
}

/// D was invited when A was all there was. It was admitted, and before it has heard a word A's machine is lost, and A
/// removed. Nobody that D was told of is there any more; those who vote now call it.
#[test]
fn a_newcomer_whose_contacts_have_left_is_found_by_who_votes_now() -> Tested {
    let mut world = alone(4)?;
    for seat in [B, C, D] {
        world.join(A, seat)?;
    }
    world.cut_link(A, D);
    for seat in [B, C] {
        world.cut_link(seat, D);
    }
    voters(&mut world, 3)?;
    world.lose_disk(A)?;
    let removed = |world: &World<'_>| !world.voters().contains(&A);
    assert!(world.run_until(secs(20), removed)?);
    assert_eq!(world.tip_of(D).map(|tip| tip.0), Some(0), "D knows nothing");
    for seat in [B, C] {
        world.mend_link(seat, D);
    }
    let seated = |world: &World<'_>| world.voters().contains(&D) && world.is_voting(D);
    assert!(world.run_until(secs(20), seated)?, "{:?}", world.voters());
    write(&mut world, D)?;
    world.settle(sim::CALM).map(drop)
}

/// A's disk is put back to the time when A was the only voter: its start asks nobody. The others call it, and show it a
/// block with its own vote for it, of which the disk knows nothing.
#[test]
fn a_disk_from_when_its_node_was_alone_is_found_out() -> Tested {
    let mut world = alone(2)?;
    write(&mut world, A)?;
    let old = world.copy_disk(A);
    for (seat, count) in [(B, 2), (C, 3)] {
        world.join(A, seat)?;
        voters(&mut world, count)?;
    }
    write(&mut world, B)?;
    world.kill_now(A);
    write(&mut world, B)?;
    world.roll_back_disk(A, old);
    world.start_now(A);
    let found = |world: &World<'_>| world.stop_reason(A).is_some();
    assert!(world.run_until(secs(5), found)?, "{:?}", world.phase(A));
    assert_eq!(world.stop_reason(A), Some(StopReason::RolledBack));
    write(&mut world, C)?;
    // And it stays so, whoever can be asked.
    world.kill_now(A);
    for seat in [B, C] {
        world.cut_link(A, seat);
    }
    world.start_now(A);
    world.run_for(secs(2))?;
    assert!(!world.is_voting(A));
    Ok(())
}

/// The same with a disk from before a vote that was not decided yet: nothing is missing, and nobody is stopped.
#[test]
fn a_disk_that_has_lost_nothing_is_not_accused() -> Tested {
    let mut world = alone(2)?;
    for (seat, count) in [(B, 2), (C, 3)] {
        world.join(A, seat)?;
        voters(&mut world, count)?;
    }
    for _ in 0..3 {
        write(&mut world, A)?;
        for seat in [A, B, C] {
            world.cut_power_now(seat)?;
            world.start_now(seat);
        }
        voters(&mut world, 3)?;
    }
    world.settle(sim::CALM).map(drop)
}
