//! Scenarios in which the members change: joining, leaving, being pruned, coming back.

use std::time::Duration;

use consensus::{Message, Phase, StopReason};
use sim::{Errand, Kept, OpId, Plan, Seat, Violation, World};

const A: Seat = Seat(0);
const B: Seat = Seat(1);
const C: Seat = Seat(2);
const D: Seat = Seat(3);
const E: Seat = Seat(4);

type Tested = Result<(), Violation>;

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Silence of three seconds counts.
fn cluster(nodes: usize, spares: usize) -> Result<World<'static>, Violation> {
    let mut plan = Plan::calm(11, nodes);
    plan.spares = spares;
    plan.dead_after = Some(secs(3));
    let mut world = World::new(plan, None);
    let up = |world: &World<'_>| Seat::all(nodes).all(|seat| world.is_voting(seat));
    assert!(world.run_until(secs(2), up)?, "all vote");
    Ok(world)
}

fn written(world: &mut World<'_>, op: OpId) -> Tested {
    let answered = world.run_until(secs(10), |world| world.answer(op).is_some())?;
    assert!(answered, "{op:?} is answered");
    Ok(())
}

fn write(world: &mut World<'_>, seat: Seat) -> Tested {
    let op = world.write(seat);
    written(world, op)
}

/// Until so many vote.
fn voters(world: &mut World<'_>, count: usize) -> Tested {
    let reached = world.run_until(secs(30), |world| world.voters().len() == count)?;
    assert!(reached, "{:?} vote, not {count}", world.voters());
    Ok(())
}

fn settle(mut world: World<'_>) -> Tested {
    world.settle(sim::CALM).map(drop)
}

#[test]
fn a_lone_node_grows_to_three_and_survives_its_first() -> Tested {
    let mut world = cluster(1, 2)?;
    write(&mut world, A)?;
    for count in [2, 3] {
        world.run_errand(A, Errand::Join)?;
        voters(&mut world, count)?;
        write(&mut world, A)?;
    }
    world.kill_now(A);
    write(&mut world, B)?;
    write(&mut world, C)?;
    settle(world)
}

#[test]
fn five_with_two_dead_become_three_and_can_lose_one_more() -> Tested {
    let mut world = cluster(5, 0)?;
    write(&mut world, A)?;
    world.kill_now(D);
    world.kill_now(E);
    voters(&mut world, 3)?;
    world.kill_now(B);
    write(&mut world, A)?;
    write(&mut world, C)?;
    for seat in [B, D, E] {
        world.start_now(seat);
    }
    voters(&mut world, 5)?;
    settle(world)
}

#[test]
fn three_are_never_pruned() -> Tested {
    let mut world = cluster(3, 0)?;
    world.kill_now(C);
    world.run_for(secs(20))?;
    assert_eq!(world.voters(), [A, B, C]);
    write(&mut world, A)?;
    settle(world)
}

#[test]
fn one_broken_link_removes_nobody() -> Tested {
    let mut world = cluster(5, 0)?;
    world.cut_link(A, B);
    world.run_for(secs(30))?;
    assert_eq!(world.voters().len(), 5);
    write(&mut world, A)?;
    write(&mut world, B)?;
    world.mend_link(A, B);
    settle(world)
}

#[test]
fn a_cut_off_minority_prunes_nobody_and_comes_back() -> Tested {
    let mut world = cluster(5, 0)?;
    for cut_off in [A, B] {
        for seat in [C, D, E] {
            world.cut_link(cut_off, seat);
        }
    }
    voters(&mut world, 3)?;
    assert_eq!(world.voters(), [C, D, E]);
    write(&mut world, C)?;
    for cut_off in [A, B] {
        for seat in [C, D, E] {
            world.mend_link(cut_off, seat);
        }
    }
    voters(&mut world, 5)?;
    settle(world)
}

#[test]
fn the_holder_of_the_turn_can_be_removed() -> Tested {
    let mut world = cluster(3, 0)?;
    for _ in 0..3 {
        write(&mut world, A)?;
    }
    assert_eq!(world.turn_holder(), Some(A));
    for _ in 0..20 {
        world.run_errand(B, Errand::Remove)?;
        world.run_for(secs(1))?;
        if !world.voters().contains(&A) {
            break;
        }
    }
    assert!(world.voters().len() < 3, "{:?}", world.voters());
    let voters = world.voters();
    for seat in Seat::all(3).filter(|seat| !voters.contains(seat)) {
        let stopped = Phase::Stopped(StopReason::Removed);
        let knows = world.run_until(secs(5), |world| world.phase(seat) == Some(stopped))?;
        assert!(knows, "{seat} has learnt that it was removed");
    }
    write(&mut world, voters[0])?;
    settle(world)
}

/// The removed one of two is the only one that may know that it was.
#[test]
fn one_of_two_goes_on_alone() -> Tested {
    let mut world = cluster(2, 0)?;
    write(&mut world, A)?;
    world.run_errand(A, Errand::Remove)?;
    voters(&mut world, 1)?;
    let last = world.voters()[0];
    write(&mut world, last)?;
    settle(world)
}

#[test]
fn a_learner_follows_and_its_reads_and_writes_are_answered() -> Tested {
    let mut world = cluster(3, 1)?;
    world.run_errand(A, Errand::Follow)?;
    let follows = |world: &World<'_>| world.tip_of(D).is_some_and(|tip| tip == world.top());
    assert!(world.run_until(secs(10), follows)?);
    assert_eq!(world.voters(), [A, B, C]);
    write(&mut world, A)?;
    write(&mut world, D)?;
    let read = world.read(D);
    written(&mut world, read)?;
    let holder = world.turn_holder().unwrap_or(A);
    world.kill_now(holder);
    write(&mut world, D)?;
    let read = world.read(D);
    written(&mut world, read)?;
    settle(world)
}

#[test]
fn a_lost_machine_is_replaced_in_one_step() -> Tested {
    let mut world = cluster(3, 1)?;
    write(&mut world, A)?;
    world.run_errand(A, Errand::Join)?;
    voters(&mut world, 4)?;
    world.kill_now(C);
    write(&mut world, A)?;
    world.run_errand(A, Errand::Remove)?;
    world.run_for(secs(5))?;
    settle(world)
}

/// Three voters state silence, one after the other, and each takes it back: that is never a quorum.
#[test]
fn words_that_were_taken_back_do_not_add_up() -> Tested {
    let mut world = cluster(5, 0)?;
    for seat in [B, C, D, E] {
        world.cut_link(A, seat);
        world.run_for(secs(8))?;
        world.mend_link(A, seat);
        world.run_for(secs(8))?;
    }
    assert_eq!(world.voters().len(), 5);
    settle(world)
}

/// A learns of a change only by finishing it together with B, which is no voter any more: what B has told it before
/// says nothing of what C and D decide.
#[test]
fn a_read_asks_again_when_the_voters_have_changed() -> Tested {
    let mut world = cluster(3, 1)?;
    for _ in 0..3 {
        write(&mut world, C)?;
    }
    for voter in [A, B, C] {
        world.hold(D, voter, |message| matches!(message, Message::Push { .. }));
    }
    world.run_errand(C, Errand::Join)?;
    let follows = |world: &World<'_>| world.tip_of(D).is_some_and(|tip| tip == world.top());
    world.run_for(secs(1))?;
    assert!(world.run_until(secs(10), follows)?);
    write(&mut world, C)?;
    world.run_for(secs(1))?;
    for (one, other) in [(A, C), (A, D), (B, D)] {
        world.cut_link(one, other);
    }
    world.hold(C, B, |message| {
        matches!(message, Message::Accepted { .. } | Message::Decide { .. })
    });
    world.hold(B, A, |message| {
        matches!(message, Message::Accept(_) | Message::Prepare { .. })
    });
    world.replace(C, B, D)?;
    let replaced = |world: &World<'_>| world.voters() == [A, D, C] || world.voters() == [A, C, D];
    assert!(world.run_until(secs(1), replaced)?, "{:?}", world.voters());
    write(&mut world, C)?;
    let read = world.read(A);
    world.run_for(secs(3))?;
    assert_eq!(
        world.answer(read),
        None,
        "nobody of today's voters was asked"
    );
    for (one, other) in [(A, C), (A, D), (B, D)] {
        world.mend_link(one, other);
    }
    world.release(Kept::Sent);
    written(&mut world, read)?;
    settle(world)
}

#[test]
fn who_only_follows_or_was_never_admitted_gets_no_vote() -> Tested {
    let mut world = cluster(3, 2)?;
    world.run_errand(A, Errand::Usurp)?;
    world.run_errand(A, Errand::Follow)?;
    world.run_for(secs(2))?;
    world.run_errand(A, Errand::Usurp)?;
    world.run_for(secs(2))?;
    write(&mut world, A)?;
    assert_eq!(world.voters(), [A, B, C]);
    settle(world)
}

#[test]
fn an_invite_admits_one_machine() -> Tested {
    let mut world = cluster(3, 3)?;
    world.run_errand(A, Errand::Join)?;
    voters(&mut world, 4)?;
    for _ in 0..3 {
        world.run_errand(A, Errand::Reuse)?;
        world.run_for(secs(1))?;
    }
    write(&mut world, A)?;
    assert_eq!(world.voters().len(), 4);
    settle(world)
}
