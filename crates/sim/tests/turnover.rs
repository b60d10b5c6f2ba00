//! Scenarios in which members come and go, and in which nobody is left who founded the cluster.

use std::time::Duration;

use consensus::Message;
use model::{Height, Reason, RosterChange, SeatChange};
use sim::{Errand, Kept, Plan, Seat, Violation, World};

const A: Seat = Seat(0);
const B: Seat = Seat(1);
const C: Seat = Seat(2);
const D: Seat = Seat(3);

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

fn write(world: &mut World<'_>, seat: Seat) -> Tested {
    let op = world.write(seat);
    let answered = world.run_until(secs(10), |world| world.answer(op).is_some())?;
    assert!(answered, "{op:?} is answered");
    Ok(())
}

fn voters(world: &mut World<'_>, count: usize) -> Tested {
    let reached = world.run_until(secs(30), |world| world.voters().len() == count)?;
    assert!(reached, "{:?} vote, not {count}", world.voters());
    Ok(())
}

/// Admits a machine, and removes a voter when it votes. The machine.
fn exchange(world: &mut World<'_>, old: Seat, via: Seat) -> Result<Seat, Violation> {
    let before = world.voters();
    world.run_errand(via, Errand::Join)?;
    voters(world, before.len() + 1)?;
    let now = world.voters();
    let new = now.into_iter().find(|seat| !before.contains(seat));
    let new = new.expect("one more votes");
    let removal = RosterChange::Seat {
        epoch: world.roster().epoch(),
        change: SeatChange::Remove {
            node: world.identity(old),
            reason: Reason::Asked,
        },
    };
    world.request(new, removal)?;
    voters(world, before.len())?;
    assert!(!world.voters().contains(&old), "{old} has left");
    Ok(new)
}

/// One voter's word about another, as it might arrive at any time: commands can be late.
fn word(world: &World<'_>, (by, about): (Seat, Seat), at: Height, silent: bool) -> RosterChange {
    RosterChange::Hearing {
        witness: world.identity(by),
        about: world.identity(about),
        at,
        silent,
    }
}

/// Whether a voter's word that it hears nothing of another stands.
fn calls_silent(world: &World<'_>, by: Seat, about: Seat) -> bool {
    let silent_to = world.roster().silent_to(world.identity(about));
    silent_to.contains(&world.identity(by))
}

/// What a machine is given when it joins names those who vote then; its genesis block names nobody who is still there.
#[test]
fn who_joins_asks_those_it_was_told_of_when_the_founders_are_gone() -> Tested {
    let mut world = cluster(2, 3)?;
    write(&mut world, A)?;
    let first = exchange(&mut world, A, B)?;
    let second = exchange(&mut world, B, first)?;
    world.kill_now(A);
    world.kill_now(B);
    write(&mut world, second)?;
    world.run_errand(second, Errand::Join)?;
    voters(&mut world, 3)?;
    world.settle(sim::CALM).map(drop)
}

/// A quorum of words would be enough to remove D, whom all can hear. Each was taken back before it came.
#[test]
fn a_word_that_comes_behind_a_newer_one_counts_for_nothing() -> Tested {
    let mut world = cluster(5, 0)?;
    for _ in 0..5 {
        write(&mut world, A)?;
    }
    for by in [A, B, C] {
        let heard = word(&world, (by, D), Height(4), false);
        world.request(by, heard)?;
        write(&mut world, by)?;
        let silent = word(&world, (by, D), Height(3), true);
        world.request(by, silent)?;
        write(&mut world, by)?;
        assert!(!calls_silent(&world, by, D));
    }
    world.run_for(secs(1))?;
    assert_eq!(world.voters().len(), 5);
    world.settle(sim::CALM).map(drop)
}

/// Whoever wanted C removed did not know of the node that has joined since.
#[test]
fn a_change_that_was_meant_for_earlier_voters_does_nothing() -> Tested {
    let mut world = cluster(3, 1)?;
    write(&mut world, A)?;
    let removal = RosterChange::Seat {
        epoch: world.roster().epoch(),
        change: SeatChange::Remove {
            node: world.identity(C),
            reason: Reason::Asked,
        },
    };
    world.run_errand(A, Errand::Join)?;
    voters(&mut world, 4)?;
    // A node that learns of the change lets go of what was meant for the voters before.
    world.run_for(secs(1))?;
    world.request(A, removal)?;
    write(&mut world, A)?;
    write(&mut world, B)?;
    assert_eq!(world.voters().len(), 4);
    world.settle(sim::CALM).map(drop)
}

/// Of two voters B is removed, and alone knows it: A gets the block that says so from nobody else.
#[test]
fn who_was_removed_hands_out_the_block_that_says_so() -> Tested {
    let mut world = cluster(2, 0)?;
    write(&mut world, A)?;
    world.run_for(secs(1))?;
    let removal = RosterChange::Seat {
        epoch: world.roster().epoch(),
        change: SeatChange::Remove {
            node: world.identity(B),
            reason: Reason::Asked,
        },
    };
    world.hold(B, A, |message| {
        matches!(message, Message::Accepted { .. } | Message::Decide { .. })
    });
    world.request(A, removal)?;
    voters(&mut world, 1)?;
    assert!(world.tip_of(A) < world.tip_of(B), "only B knows");
    world.release(Kept::Lost);
    write(&mut world, A)?;
    world.settle(sim::CALM).map(drop)
}

/// D may be the one that was meant, and may be another that has its place since.
#[test]
fn a_word_from_before_the_voters_changed_counts_for_nothing() -> Tested {
    let mut world = cluster(4, 1)?;
    write(&mut world, A)?;
    let before = world.top();
    world.run_errand(A, Errand::Join)?;
    voters(&mut world, 5)?;
    let silent = word(&world, (A, D), before, true);
    world.request(A, silent)?;
    write(&mut world, A)?;
    assert!(!calls_silent(&world, A, D));
    world.settle(sim::CALM).map(drop)
}

/// What was said stands until it is taken back, and the voter that is heard again takes its place for granted.
#[test]
fn a_word_is_taken_back_by_who_hears_again() -> Tested {
    let mut world = cluster(5, 0)?;
    write(&mut world, A)?;
    world.cut_link(A, D);
    let said = |world: &World<'_>| calls_silent(world, A, D);
    assert!(world.run_until(secs(30), said)?, "A says so");
    world.mend_link(A, D);
    let taken_back = |world: &World<'_>| !calls_silent(world, A, D);
    assert!(world.run_until(secs(30), taken_back)?, "A takes it back");
    world.settle(sim::CALM).map(drop)
}
