//! Scenarios about nodes that begin anew under their identity, without what they have voted for.

use std::time::Duration;

use consensus::Message;
use sim::{Asking, Kept, Plan, Seat, Violation, World};

type Tested = Result<(), Violation>;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn cluster(seed: u64, count: usize) -> Result<World<'static>, Violation> {
    let mut world = World::new(Plan::calm(seed, count), None);
    let up = |world: &World<'_>| Seat::all(count).all(|seat| world.is_voting(seat));
    assert!(world.run_until(millis(5_000), up)?, "all vote");
    Ok(world)
}

/// Writes at two nodes, and lets a moment pass that differs from seed to seed.
fn write(world: &mut World<'_>, writers: [Seat; 2], moment: u64) -> Tested {
    for writer in writers {
        world.write(writer);
    }
    world.run_for(Duration::from_micros(moment))
}

/// A voter that is down begins anew while others write, and votes in the end.
fn comes_back(
    world: &mut World<'_>,
    victim: Seat,
    writers: [Seat; 2],
    mut asking: Asking,
) -> Tested {
    let mut looks = 0;
    while !world.begin_anew(&mut asking)? {
        looks += 1;
        assert!(looks < 2_000, "it may never begin");
        write(world, writers, 3_000)?;
    }
    votes_again(world, victim, writers)
}

/// A voter whose ledger was replaced starts, while others write.
fn votes_again(world: &mut World<'_>, victim: Seat, writers: [Seat; 2]) -> Tested {
    world.start_now(victim);
    let mut looks = 0;
    while !world.is_voting(victim) {
        looks += 1;
        assert!(looks < 2_000, "it never votes");
        write(world, writers, 5_000)?;
    }
    Ok(())
}

/// Over and over a voter loses power in the middle of its work, and comes back without its ledger.
fn forgets(seed: u64, count: usize) -> Tested {
    let mut world = cluster(seed, count)?;
    let seats: Vec<Seat> = Seat::all(count).collect();
    for (round, victim) in seats.iter().copied().enumerate() {
        let mut others = seats.iter().copied().filter(|seat| *seat != victim);
        let writers = [others.next().expect("a seat"), others.next().expect("two")];
        let moment = 137 * (seed + 1) * (round as u64 + 1) % 9_000;
        for writer in [writers, [victim, writers[0]]] {
            write(&mut world, writer, moment)?;
        }
        world.cut_power_now(victim)?;
        comes_back(&mut world, victim, writers, Asking::of(victim))?;
    }
    world.settle(sim::CALM).map(|_| ())
}

#[test]
fn p78_a_voter_of_three_forgets_its_votes_at_any_moment_and_no_harm_is_done() -> Tested {
    (0..60).try_for_each(|seed| forgets(seed, 3))
}

#[test]
fn p78_a_voter_of_more_forgets_its_votes_at_any_moment_and_no_harm_is_done() -> Tested {
    (0..15).try_for_each(|seed| forgets(seed, 4).and_then(|()| forgets(seed, 5)))
}

/// What would tell A and B that a block is decided.
fn tells(message: &Message) -> bool {
    matches!(
        message,
        Message::Accepted { .. } | Message::Decide { .. } | Message::Beacon(_)
    )
}

fn proposes(message: &Message) -> bool {
    matches!(message, Message::Accept(_)) || tells(message)
}

#[test]
fn p78_a_vote_above_a_block_that_nobody_else_knows_to_be_decided_is_not_forgotten() -> Tested {
    const A: Seat = Seat(0);
    const B: Seat = Seat(1);
    const C: Seat = Seat(2);
    let mut met = 0;
    for seed in 0..12 {
        let mut world = cluster(seed, 3)?;
        let op = world.write(C);
        assert!(world.run_until(millis(5_000), |world| world.answer(op).is_some())?);
        world.run_for(millis(100))?;
        let below = world.top();
        for (from, to) in [(A, B), (B, A), (C, A), (C, B)] {
            world.hold(from, to, tells);
        }
        world.write(C);
        let above = |world: &World<'_>, seat| {
            let vote = world.vote(seat);
            vote.is_some_and(|vote| vote.height > below && vote.accepted.is_some())
        };
        let accepted = |world: &World<'_>| above(world, A) && above(world, B);
        world.run_until(millis(50), accepted)?;
        // C alone sees that this one is decided, and votes above it.
        world.hold(C, A, proposes);
        world.hold(C, B, proposes);
        world.write(C);
        let ahead = |world: &World<'_>| {
            let vote = world.vote(C);
            world.tip_of(C) == Some(below.next())
                && vote.is_some_and(|vote| vote.height > below.next() && vote.accepted.is_some())
        };
        let ahead = world.run_until(millis(50), ahead)?;
        world.run_for(millis(3))?;
        let alone = ahead && world.tip_of(A) == Some(below) && world.tip_of(B) == Some(below);
        met += u32::from(alone);
        world.cut_power_now(C)?;
        let mut asking = Asking::of(C);
        for _ in 0..12 {
            assert!(
                !world.begin_anew(&mut asking)?,
                "nothing is above what they know"
            );
        }
        world.release(Kept::Lost);
        // What they have accepted they finish, and nothing else is asked of them.
        let mut looks = 0;
        while !world.begin_anew(&mut asking)? {
            looks += 1;
            assert!(looks < 5_000, "seed {seed}: it may never begin");
            world.run_for(millis(1))?;
        }
        votes_again(&mut world, C, [A, B])?;
        world.settle(sim::CALM)?;
    }
    assert!(met > 6, "{met}");
    Ok(())
}
