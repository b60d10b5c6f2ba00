//! Scenarios about logs that do not begin where an incarnation began.

use std::time::Duration;

use consensus::Message;
use ledger::Bounds;
use sim::{Kept, Plan, SealingPlan, Seat, Violation, World};

const A: Seat = Seat(0);
const B: Seat = Seat(1);
const C: Seat = Seat(2);

type Tested = Result<(), Violation>;

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Three nodes that seal next to nothing by themselves.
fn cluster() -> Result<World<'static>, Violation> {
    let mut plan = Plan::calm(5, 3);
    plan.sealing = Some(SealingPlan {
        bounds: Bounds::default(),
        pause: secs(600)..secs(900),
        file_bytes: None,
    });
    let mut world = World::new(plan, None);
    assert!(world.run_until(secs(2), all_vote)?, "all vote");
    Ok(world)
}

fn all_vote(world: &World<'_>) -> bool {
    Seat::all(3).all(|seat| world.is_voting(seat))
}

fn write(world: &mut World<'_>) -> Tested {
    let op = world.write(A);
    let answered = world.run_until(secs(10), |world| world.answer(op).is_some())?;
    assert!(answered, "{op:?} is answered");
    world.run_for(Duration::from_millis(20))
}

/// The file with its start is gone; the boot of an incarnation stands in the header of every file that it begins.
#[test]
fn a_log_without_the_start_of_its_incarnation_knows_the_boot() -> Tested {
    let mut world = cluster()?;
    for _ in 0..3 {
        for seat in Seat::all(3) {
            write(&mut world)?;
            let purged = world.top();
            let mut done = false;
            for _ in 0..12 {
                done = done || world.renew_log(seat, purged)?;
                write(&mut world)?;
            }
            assert!(done, "{seat} has let go of what was before {purged}");
            world.cut_power_now(seat)?;
            world.start_now(seat);
            assert!(world.run_until(secs(5), all_vote)?, "{seat} votes again");
        }
    }
    world.settle(sim::CALM).map(drop)
}

/// C has accepted a block in one file and joined a higher ballot in the next; the first is lost. Nobody remembers how far
/// C was, so it is for the ledger to say that a vote is missing.
#[test]
fn a_vote_in_a_lost_file_of_the_log_is_missed() -> Tested {
    let mut plan = Plan::calm(5, 3);
    plan.sealing = Some(SealingPlan {
        bounds: Bounds {
            bytes: 1,
            time: secs(3_600),
            keep: 0,
        },
        pause: Duration::from_millis(1)..Duration::from_millis(3),
        file_bytes: None,
    });
    let mut world = World::new(plan, None);
    assert!(world.run_until(secs(2), all_vote)?, "all vote");
    for _ in 0..4 {
        write(&mut world)?;
    }
    // Everything decided is sealed.
    world.run_for(Duration::from_millis(400))?;
    for (from, to) in [(A, B), (A, C), (B, A), (B, C), (C, A), (C, B)] {
        world.hold(from, to, |message| {
            matches!(
                message,
                Message::Accepted { .. } | Message::Decide { .. } | Message::Promise { .. }
            )
        });
    }
    world.hold(A, B, |message| matches!(message, Message::Accept(_)));
    world.write(A);
    let accepted = |world: &World<'_>| world.vote(C).is_some_and(|vote| vote.accepted.is_some());
    assert!(world.run_until(secs(5), accepted)?, "C has accepted");
    let top = world.top();
    world.renew_log(C, top)?;
    world.write(B);
    let joined = |world: &World<'_>| world.vote(C).is_some_and(|vote| vote.promised.k > 1);
    assert!(world.run_until(secs(5), joined)?, "C has joined a takeover");
    world.run_for(Duration::from_millis(20))?;
    world.release(Kept::Lost);
    world.cut_power_now(C)?;
    world.lose_middle_of_log(C);
    for seat in [A, B] {
        world.kill_now(seat);
    }
    for seat in [A, B, C] {
        world.start_now(seat);
    }
    world.run_for(secs(5))?;
    assert!(world.is_voting(A) && world.is_voting(B));
    assert!(!world.is_voting(C), "C has forgotten a vote");
    Ok(())
}
