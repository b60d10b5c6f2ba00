//! What the document claims of the two schedules, and that the document is what the program prints.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use experiments::competition::Contender;
use experiments::document::part;
use experiments::naive::Votes;
use experiments::network::{Place, Trouble};
use experiments::processes;
use experiments::schedules::{Schedule, at_once, half_heard};
use experiments::splits::{self, Up};
use experiments::tables::{certificate_row, competition_row, deadlock_row, make};
use sim::{Kept, Plan, Seat, World};

const LIMIT: Duration = Duration::from_secs(5);

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/experiments.md");
    std::fs::read_to_string(path).unwrap()
}

/// Every write ends up in one chain.
fn starling_survives(schedule: &Schedule) {
    let outcome = schedule.starling().unwrap();
    assert!(outcome.record.heights() >= 2, "every write is decided");
    assert_eq!(outcome.record.forks(), 0);
}

#[test]
fn three_writers_at_once_deadlock_final_votes() {
    let outcome = at_once().naive(Votes::Final);
    assert_eq!(outcome.record.heights(), 0);
    let last = outcome.trace.lines().last().unwrap();
    assert!(
        last.contains("I accept"),
        "nothing happens after the votes: {last}"
    );
}

#[test]
fn three_writers_at_once_do_not_deadlock_starling() {
    starling_survives(&at_once());
}

#[test]
fn a_node_half_heard_forks_revocable_votes() {
    let outcome = half_heard().naive(Votes::Revocable);
    assert_eq!(outcome.record.forks(), 1);
}

#[test]
fn final_votes_leave_the_others_of_a_node_half_heard_stuck() {
    let outcome = half_heard().naive(Votes::Final);
    assert_eq!(outcome.record.heights(), 1);
    let others = outcome
        .trace
        .lines()
        .iter()
        .filter(|line| line.contains("decides"));
    assert_eq!(
        others.count(),
        1,
        "n2 and n3 cannot know what n1 has decided"
    );
}

#[test]
fn a_node_half_heard_does_not_fork_starling() {
    starling_survives(&half_heard());
}

#[test]
fn the_simulator_with_all_its_checks_survives_three_writers_at_once() {
    let mut world = World::new(Plan::calm(1, 3), None);
    let seats = [Seat(0), Seat(1), Seat(2)];
    let ready = |world: &World<'_>| seats.iter().all(|seat| world.is_voting(*seat));
    assert!(world.run_until(LIMIT, ready).unwrap());
    let ops = seats.map(|seat| world.write(seat));
    let answered = |world: &World<'_>| ops.iter().all(|op| world.answer(*op).is_some());
    assert!(world.run_until(LIMIT, answered).unwrap());
    world.settle(LIMIT).unwrap();
}

/// n1's accept reaches n2 alone, n1 decides and tells its client, and nobody hears n1 any more; then n3 writes.
#[test]
fn the_simulator_with_all_its_checks_survives_a_node_half_heard() {
    let mut world = World::new(Plan::calm(1, 3), None);
    let seats = [Seat(0), Seat(1), Seat(2)];
    let ready = |world: &World<'_>| seats.iter().all(|seat| world.is_voting(*seat));
    assert!(world.run_until(LIMIT, ready).unwrap());
    let is_accept = |message: &consensus::Message| matches!(message, consensus::Message::Accept(_));
    world.hold(Seat(0), Seat(2), |_| true);
    world.hold(Seat(0), Seat(1), |message| {
        !matches!(message, consensus::Message::Accept(_))
    });
    let first = world.write(Seat(0));
    let told = |world: &World<'_>| world.answer(first).is_some();
    assert!(world.run_until(LIMIT, told).unwrap());
    world.hold(Seat(0), Seat(1), is_accept);
    let second = world.write(Seat(2));
    let told = |world: &World<'_>| world.answer(second).is_some();
    assert!(world.run_until(LIMIT, told).unwrap());
    assert!(world.answer(first).unwrap() < world.answer(second).unwrap());
    world.release(Kept::Lost);
    world.settle(LIMIT).unwrap();
}

#[test]
fn two_writers_with_all_voters_up_never_split_an_odd_cluster() {
    for nodes in [3, 5, 7] {
        assert_eq!(splits::deadlocks(nodes, 2, Up::All, 200), 0);
    }
}

#[test]
fn troubles_fork_revocable_votes_and_not_starling() {
    let (_, isolation) = splits::troubles().pop().unwrap();
    let naive = splits::naive_forks(3, isolation.clone(), Duration::from_secs(5));
    assert!(naive.forked > 0, "{naive:?}");
    let ours = splits::starling_forks(3, isolation, Duration::from_secs(1)).unwrap();
    assert!(ours.heights > 100 && ours.forked == 0, "{ours:?}");
    let calm = splits::starling_forks(3, Trouble::NONE, Duration::from_millis(100)).unwrap();
    assert_eq!(calm.forked, 0);
}

#[test]
fn the_traces_in_the_document_are_what_the_program_prints() {
    let page = page();
    for name in [
        "at-once-naive",
        "half-heard-naive",
        "at-once-starling",
        "half-heard-starling",
    ] {
        assert_eq!(
            part(&page, name).unwrap(),
            make(name, 1).unwrap().text.trim(),
            "{name}"
        );
    }
}

#[test]
fn what_real_processes_measured_is_shown_as_it_was_measured() {
    let page = page();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/experiments");
    for name in processes::PARTS {
        let made = processes::make(name, &folder).unwrap();
        assert_eq!(part(&page, name).unwrap(), made.text.trim(), "{name}");
        for chart in made.charts {
            let path = folder.join(format!("{}.svg", chart.name));
            assert_eq!(std::fs::read_to_string(path).unwrap(), chart.svg);
        }
    }
}

#[test]
fn the_tables_in_the_document_are_what_the_program_prints_for_three_nodes() {
    let page = page();
    let contains = |name: &str, row: &str| {
        let text = part(&page, name).unwrap();
        assert!(
            text.lines().any(|line| line == row),
            "{name} lacks {row}, see `make experiments`"
        );
    };
    contains("deadlocks", &deadlock_row(3));
    contains("certificates", &certificate_row(3).unwrap());
    for (name, place) in [("lan", Place::Lan), ("wan", Place::Wan)] {
        for contender in Contender::ALL {
            if (contender, place) != (Contender::Starling, Place::Wan) {
                let figures = contender.run(place, 3, 1).unwrap();
                contains(name, &competition_row(contender, 3, &figures));
            }
        }
    }
}
