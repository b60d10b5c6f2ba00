//! Scenarios with a claim each: what a cluster does when this and that happens. The checks that run on every event
//! of a swarm run here too.

use std::time::Duration;

use consensus::{Message, Phase, StopReason};
use sim::{Kept, OpId, Pace, Plan, Seat, Violation, World};

const A: Seat = Seat(0);
const B: Seat = Seat(1);
const C: Seat = Seat(2);

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

type Tested = Result<(), Violation>;

/// A cluster in which all vote and nothing was written. A has the turn.
fn cluster(nodes: usize) -> Result<World<'static>, Violation> {
    let mut world = World::new(Plan::calm(7, nodes), None);
    let up = |world: &World<'_>| Seat::all(nodes).all(|seat| world.is_voting(seat));
    assert!(world.run_until(millis(2_000), up)?, "all vote");
    world.run_for(millis(600))?;
    assert_eq!(world.turn_holder(), Some(A));
    Ok(world)
}

fn written(world: &mut World<'_>, op: OpId) -> Result<u64, Violation> {
    let answered = world.run_until(millis(10_000), |world| world.answer(op).is_some())?;
    assert!(answered, "{op:?} is answered");
    Ok(world.answer(op).map_or(0, |height| height.0))
}

/// Writes through `seat`, `count` times, one after the other.
fn write_alone(world: &mut World<'_>, seat: Seat, count: usize) -> Tested {
    for _ in 0..count {
        let op = world.write(seat);
        written(world, op)?;
    }
    Ok(())
}

fn settle(mut world: World<'_>) -> Tested {
    world.settle(sim::CALM).map(drop)
}

#[test]
fn a_lone_node_decides_by_itself() -> Tested {
    let mut world = cluster(1)?;
    write_alone(&mut world, A, 5)?;
    assert_eq!(world.top().0, 5);
    settle(world)
}

#[test]
fn a_height_goes_on_when_the_turn_holder_dies() -> Tested {
    for nodes in [3, 4, 5, 7] {
        let mut world = cluster(nodes)?;
        write_alone(&mut world, B, 3)?;
        let holder = world.turn_holder().expect("somebody has the turn");
        world.kill_now(holder);
        let other = Seat((holder.0 + 1) % nodes);
        let began = world.now();
        let op = world.write(other);
        written(&mut world, op)?;
        let took = world.now().since(began);
        assert!(took < millis(100), "{nodes} nodes: {took:?}");
        settle(world)?;
    }
    Ok(())
}

#[test]
fn a_lone_writer_keeps_the_turn() -> Tested {
    let mut world = cluster(3)?;
    write_alone(&mut world, B, 5)?;
    let from = world.top();
    write_alone(&mut world, B, 30)?;
    assert_eq!(world.top().0, from.0 + 30, "one block for each write");
    assert_eq!(world.turn_holder(), Some(B));
    for height in from.0 + 1..=world.top().0 {
        let ballot = world
            .decided_at(model::Height(height))
            .expect("it is decided");
        assert_eq!(ballot.k, 1, "no prepare at {height}");
    }
    settle(world)
}

#[test]
fn even_load_shares_the_proposals() -> Tested {
    for nodes in [3, 5] {
        let mut world = cluster(nodes)?;
        let mut open: Vec<(Seat, OpId)> = Vec::new();
        let end = world.now().plus(millis(2_000));
        while world.now() < end {
            open.retain(|(_, op)| world.answer(*op).is_none());
            for seat in Seat::all(nodes) {
                let own = open.iter().filter(|(at, _)| *at == seat).count();
                let new: Vec<_> = (own..4).map(|_| (seat, world.write(seat))).collect();
                open.extend(new);
            }
            world.run_for(millis(1))?;
        }
        let mut shares = std::collections::BTreeMap::new();
        for height in 1..=world.top().0 {
            let block = world.block(model::Height(height)).expect("it is decided");
            *shares.entry(block.header().proposer.node).or_insert(0u64) += 1;
        }
        let even = world.top().0 / nodes as u64;
        assert_eq!(shares.len(), nodes);
        for share in shares.values() {
            assert!((even / 2..even * 3 / 2).contains(share), "{shares:?}");
        }
        settle(world)?;
    }
    Ok(())
}

#[test]
fn acknowledged_writes_survive_a_power_cut_of_all() -> Tested {
    for nodes in [1, 2, 3, 5] {
        let mut world = cluster(nodes)?;
        for round in 0..5 {
            let ops: Vec<OpId> = Seat::all(nodes).map(|seat| world.write(seat)).collect();
            written(&mut world, ops[round % nodes])?;
            for seat in Seat::all(nodes) {
                world.cut_power_now(seat)?;
            }
            Seat::all(nodes).for_each(|seat| world.start_now(seat));
            for op in ops {
                written(&mut world, op)?;
            }
        }
        settle(world)?;
    }
    Ok(())
}

#[test]
fn a_minority_decides_nothing_and_catches_up() -> Tested {
    let mut world = cluster(3)?;
    world.cut_link(A, B);
    world.cut_link(A, C);
    world.run_for(millis(1_500))?;
    let lost = world.write(A);
    let read = world.read(A);
    let kept = world.write(B);
    written(&mut world, kept)?;
    world.run_for(millis(2_000))?;
    assert_eq!(world.answer(lost), None);
    assert_eq!(world.answer(read), None);
    world.mend_link(A, B);
    world.mend_link(A, C);
    written(&mut world, lost)?;
    let kept = world.answer(kept);
    written(&mut world, read)?;
    assert!(
        world.answer(read) >= kept,
        "the read sees what was written before it was answered"
    );
    settle(world)
}

#[test]
fn a_node_without_a_direct_link_learns_from_the_others() -> Tested {
    let mut world = cluster(3)?;
    world.cut_link(A, B);
    for seat in [A, B, A, B] {
        write_alone(&mut world, seat, 1)?;
    }
    world.run_for(millis(2_000))?;
    assert_eq!(world.tip_of(A), world.tip_of(B));
    settle(world)
}

#[test]
fn one_slow_disk_slows_nobody_else() -> Tested {
    let took = |pace: Pace| -> Result<Duration, Violation> {
        let mut world = cluster(5)?;
        world.slow_disk(C, pace);
        // The first blocks meet the slow disk with the turn in its hands.
        write_alone(&mut world, A, 20)?;
        let began = world.now();
        write_alone(&mut world, A, 100)?;
        let took = world.now().since(began);
        settle(world)?;
        Ok(took)
    };
    let (usual, slow) = (took(Pace::Usual)?, took(Pace::Slow)?);
    assert!(
        slow < usual.mul_f64(1.2),
        "{slow:?} with a slow disk, {usual:?} without"
    );
    Ok(())
}

#[test]
fn a_rolled_back_disk_ends_its_identity() -> Tested {
    let mut world = cluster(3)?;
    let image = world.copy_disk(C);
    write_alone(&mut world, A, 5)?;
    world.run_for(millis(500))?;
    world.kill_now(C);
    world.roll_back_disk(C, image);
    world.start_now(C);
    world.run_for(millis(1_000))?;
    assert_eq!(world.stop_reason(C), Some(StopReason::RolledBack));
    assert_eq!(world.phase(C), Some(Phase::Stopped(StopReason::RolledBack)));
    write_alone(&mut world, A, 5)
}

/// Only A has seen what C's disk has lost, and is away when C starts again.
#[test]
fn a_ledger_once_found_too_old_stays_so_when_nobody_is_left_who_knows() -> Tested {
    let mut world = cluster(3)?;
    let image = world.copy_disk(C);
    world.cut_link(B, C);
    write_alone(&mut world, A, 5)?;
    world.run_for(millis(500))?;
    world.kill_now(C);
    world.roll_back_disk(C, image);
    world.start_now(C);
    world.run_for(millis(1_000))?;
    assert_eq!(world.stop_reason(C), Some(StopReason::RolledBack));
    world.kill_now(A);
    world.mend_link(B, C);
    for _ in 0..3 {
        world.kill_now(C);
        world.start_now(C);
        world.run_for(millis(2_000))?;
        assert!(!world.is_voting(C));
        assert_eq!(world.stop_reason(C), Some(StopReason::RolledBack));
    }
    Ok(())
}

/// Hand trace (a) of the protocol: a promise for a ballot that its owner has left meanwhile counts for nothing.
#[test]
fn a_late_promise_for_a_ballot_left_is_not_counted() -> Tested {
    let mut world = cluster(3)?;
    let height = world.top().next();
    world.kill_now(A);
    world.hold(C, B, |message| {
        matches!(message, Message::Promise { .. } | Message::Accept(_))
    });
    world.write(B);
    let asked = |world: &World<'_>| world.vote(C).is_some_and(|vote| vote.promised.k >= 2);
    assert!(
        world.run_until(millis(1_000), asked)?,
        "B takes over and C joins"
    );
    let own = world.vote(B).expect("B runs").promised;
    world.write(C);
    let left = |world: &World<'_>| {
        world
            .vote(B)
            .is_some_and(|vote| vote.promised.node != own.node)
    };
    assert!(
        world.run_until(millis(1_000), left)?,
        "C takes over and B joins"
    );
    assert_eq!(world.top().next(), height, "nothing is decided meanwhile");
    world.release(Kept::Sent);
    assert!(world.run_until(millis(1_000), |world| world.top() >= height)?);
    let ballot = world.decided_at(height).expect("it is decided");
    assert!(ballot > own, "{ballot:?} decides, not {own:?}");
    settle(world)
}

/// Hand trace (b): a promise above a block that was learnt lazily survives a power cut.
#[test]
fn a_promise_above_a_lazily_learnt_block_survives() -> Tested {
    let mut world = cluster(3)?;
    world.cut_link(C, A);
    world.cut_link(C, B);
    write_alone(&mut world, A, 1)?;
    world.mend_link(C, A);
    world.mend_link(C, B);
    let learnt = |world: &World<'_>| world.tip_of(C) == Some(world.top());
    assert!(
        world.run_until(millis(2_000), learnt)?,
        "C learns the block"
    );
    world.hold(B, C, |message| matches!(message, Message::Accept(_)));
    world.kill_now(A);
    world.write(B);
    let promised = |world: &World<'_>| world.held() > 0;
    assert!(
        world.run_until(millis(1_000), promised)?,
        "C has promised and B proposes"
    );
    let before = world.vote(C).expect("C runs").promised;
    assert!(before.k >= 2);
    world.release(Kept::Lost);
    world.cut_power_now(C)?;
    world.start_now(C);
    world.run_for(millis(1))?;
    let after = world.vote(C).expect("C runs").promised;
    assert!(after >= before, "{after:?} after {before:?}");
    settle(world)
}

/// Hand trace (c): a promise given while an own accept is being flushed reports it, and waits for it.
#[test]
fn a_promise_waits_for_the_accept_before_it() -> Tested {
    let mut world = cluster(3)?;
    let height = world.top().next();
    world.cut_link(B, C);
    for other in [B, C] {
        world.hold(A, other, |message| {
            matches!(message, Message::Accept(_) | Message::Prepare { .. })
        });
    }
    world.slow_disk(A, Pace::Slow);
    world.write(A);
    let proposed = |world: &World<'_>| world.vote(A).is_some_and(|vote| vote.accepted.is_some());
    assert!(
        world.run_until(millis(10), proposed)?,
        "A accepts its own block"
    );
    let own = world
        .vote(A)
        .and_then(|vote| vote.accepted)
        .expect("A has accepted");
    world.write(B);
    let joined = |world: &World<'_>| world.vote(A).is_some_and(|vote| vote.promised.k >= 2);
    assert!(
        world.run_until(millis(100), joined)?,
        "B takes over and A joins"
    );
    world.run_for(millis(20))?;
    assert!(
        world.top() < height,
        "B cannot go on before A's disk returns"
    );
    assert!(world.run_until(millis(60_000), |world| world.top() >= height)?);
    world.release(Kept::Lost);
    let block = world.block(height).expect("it is decided");
    assert_eq!(block.hash(), own.1.hash(), "what A had accepted is decided");
    settle(world)
}

/// Hand trace (d): the only voter that a dead proposer has reached finishes its block, without work of its own.
#[test]
fn a_block_is_finished_by_whoever_accepted_it() -> Tested {
    let mut world = cluster(3)?;
    let height = world.top().next();
    world.hold(A, C, |message| matches!(message, Message::Accept(_)));
    for (from, to) in [(B, A), (B, C), (A, C), (A, B)] {
        world.hold(from, to, |message| {
            matches!(message, Message::Accepted { .. })
        });
    }
    world.write(A);
    let accepted = |world: &World<'_>| world.vote(B).is_some_and(|vote| vote.accepted.is_some());
    assert!(world.run_until(millis(50), accepted)?, "B accepts");
    let block = world
        .vote(B)
        .and_then(|vote| vote.accepted)
        .expect("B has accepted")
        .1;
    world.kill_now(A);
    world.release(Kept::Lost);
    assert!(
        world.run_until(millis(1_000), |world| world.top() >= height)?,
        "B finishes it"
    );
    assert_eq!(
        world.block(height).map(|block| block.hash()),
        Some(block.hash())
    );
    settle(world)
}

/// Disks that stall, all of them, in the moment the turn's holder dies: whoever has started a takeover finishes it as
/// soon as they go on. Nobody starts another one meanwhile, since its own vote waits for the disk too.
#[test]
fn stalled_disks_make_no_duel() -> Tested {
    for seed in 1..20 {
        let mut world = World::new(Plan::calm(seed, 3), None);
        let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
        assert!(world.run_until(millis(2_000), up)?, "all vote");
        write_alone(&mut world, A, 20)?;
        let height = world.top().next();
        for other in [B, C] {
            world.slow_disk(other, Pace::Slow);
        }
        world.kill_now(A);
        let ops = [world.write(B), world.write(C)];
        world.run_for(millis(100))?;
        for other in [B, C] {
            world.slow_disk(other, Pace::Usual);
        }
        for op in ops {
            written(&mut world, op)?;
        }
        let ballot = world.decided_at(height).expect("it is decided");
        assert!(ballot.k <= 3, "seed {seed}: decided by ballot {}", ballot.k);
        settle(world)?;
    }
    Ok(())
}

/// What the first regressions showed: waits after a failed ballot that count round trips alone are shorter than a slow
/// disk's flush, so that two survivors end each other's ballots for ever.
#[test]
fn survivors_with_slow_disks_do_not_duel_for_ever() -> Tested {
    for (seed, flush) in [(1, 10), (2, 40), (3, 100), (4, 400)] {
        let mut plan = Plan::calm(seed, 3);
        plan.disk.flush = millis(flush)..millis(flush * 3);
        let mut world = World::new(plan, None);
        let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
        assert!(world.run_until(millis(30_000), up)?, "all vote");
        write_alone(&mut world, A, 2)?;
        // Slow disks give the turn away, perhaps to nobody.
        let holder = world.turn_holder().unwrap_or(A);
        world.kill_now(holder);
        let height = world.top();
        let survivors: Vec<Seat> = Seat::all(3).filter(|seat| *seat != holder).collect();
        for round in 1..=3 {
            let ops: Vec<OpId> = survivors.iter().map(|seat| world.write(*seat)).collect();
            for op in ops {
                written(&mut world, op)?;
            }
            assert!(
                world.top().0 > height.0,
                "round {round}, flushes of {flush} ms"
            );
        }
        settle(world)?;
    }
    Ok(())
}

/// Rounds of reads are numbered from the boot: what was said to an earlier incarnation is older than the read.
#[test]
fn an_answer_to_an_earlier_incarnations_read_counts_for_nothing() -> Tested {
    let mut world = cluster(3)?;
    write_alone(&mut world, B, 2)?;
    world.hold(B, A, |message| matches!(message, Message::Top { .. }));
    world.hold(C, A, |message| matches!(message, Message::Top { .. }));
    world.read(A);
    assert!(world.run_until(millis(100), |world| world.held() == 2)?);
    world.kill_now(A);
    world.start_now(A);
    assert!(world.run_until(millis(1_000), |world| world.is_voting(A))?);
    world.cut_link(A, B);
    world.cut_link(A, C);
    write_alone(&mut world, B, 1)?;
    let read = world.read(A);
    world.mend_link(A, B);
    world.mend_link(A, C);
    world.release(Kept::Sent);
    world.cut_link(A, B);
    world.cut_link(A, C);
    world.run_for(millis(50))?;
    assert_eq!(world.answer(read), None, "nobody has answered this read");
    settle(world)
}

#[test]
fn a_node_that_was_suspected_gets_the_turn_again() -> Tested {
    let mut world = cluster(3)?;
    write_alone(&mut world, A, 3)?;
    let holder = world.turn_holder().expect("somebody has the turn");
    world.kill_now(holder);
    let other = Seat((holder.0 + 1) % 3);
    write_alone(&mut world, other, 3)?;
    world.start_now(holder);
    let back =
        |world: &World<'_>| world.is_voting(holder) && world.tip_of(holder) == world.tip_of(other);
    assert!(world.run_until(millis(3_000), back)?);
    world.run_for(millis(1_000))?;
    write_alone(&mut world, holder, 20)?;
    assert_eq!(world.turn_holder(), Some(holder));
    let ballot = world.decided_at(world.top()).expect("it is decided");
    assert_eq!(ballot.k, 1, "no prepare at {}", world.top());
    settle(world)
}

/// Rule P11, the second line of defence: a block that was read from the page cache and never reached the disk is lost
/// with the power, the promise above it is not.
#[test]
fn a_promise_above_blocks_lost_with_the_page_cache_survives() -> Tested {
    let mut met = 0;
    for seed in 0..60 {
        let mut world = World::new(Plan::calm(seed, 3), None);
        let up = |world: &World<'_>| Seat::all(3).all(|seat| world.is_voting(seat));
        assert!(world.run_until(millis(2_000), up)?, "all vote");
        write_alone(&mut world, A, 2)?;
        // The mark that the last block is decided waits for company: it fails together with the next vote.
        world.run_for(millis(3))?;
        world.fail_next_flush(C, millis(50));
        write_alone(&mut world, A, 2)?;
        world.run_for(millis(60))?;
        let back = |world: &World<'_>| up(world) && world.tip_of(C) == Some(world.top());
        assert!(world.run_until(millis(5_000), back)?, "C is back");
        world.hold(B, C, |message| matches!(message, Message::Accept(_)));
        world.kill_now(A);
        world.write(B);
        let promised = |world: &World<'_>| world.held() > 0;
        assert!(world.run_until(millis(5_000), promised)?, "C has promised");
        let (before, tip) = (world.vote(C).expect("C runs"), world.tip_of(C));
        world.release(Kept::Lost);
        world.cut_power_now(C)?;
        // Who has seen how far C was says that the disk is too old: let nobody remember.
        world.kill_now(B);
        world.start_now(B);
        world.start_now(C);
        world.run_for(millis(1))?;
        if world.tip_of(C) < tip && world.stop_reason(C).is_none() {
            met += 1;
            let again =
                |world: &World<'_>| world.tip_of(C) >= tip || world.stop_reason(C).is_some();
            assert!(
                world.run_until(millis(5_000), again)?,
                "C fetches what it lost"
            );
            let after = world.vote(C).expect("C runs");
            assert!(
                after.height > before.height || after.promised >= before.promised,
                "{after:?} after {before:?}"
            );
        }
    }
    assert!(met > 0, "C has lost blocks in some runs");
    Ok(())
}
