//! The cases with three voters, each to its short bound, in one process.
//!
//! A case that is said to be exhausted must stay so: a search that suddenly ends at its bound has met more than before,
//! and says less.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed assumption ends a test"
)]

use explore::{Case, Report};

fn search(name: &str) -> Report {
    let case = Case::named(name).unwrap();
    let report = explore::check(&case, case.short);
    if let Some(broken) = &report.broken {
        panic!(
            "{}: {} (confirmed: {})\n{}",
            broken.violation.check,
            broken.violation.detail,
            broken.confirmed,
            broken.lines.join("\n")
        );
    }
    report
}

#[test]
fn three_proposers_with_the_turn_and_two_takeovers_agree_whatever_happens() {
    let report = search("three-proposers");
    assert!(report.exhausted, "{report:?}");
    // The turn and both takeovers decide somewhere, each with its own block.
    assert_eq!(
        report.met.ballots.iter().copied().collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(report.met.blocks, 3);
}

#[test]
fn three_voters_agree_although_refusals_arrive() {
    let report = search("refusals");
    assert!(report.met.ballots.contains(&1));
}

#[test]
fn a_holder_whose_turn_was_refused_proposes_nothing_else_at_ballot_one() {
    assert!(search("refused-turn").exhausted);
}

#[test]
fn three_voters_agree_although_one_crashes_and_loses_what_was_not_flushed() {
    let report = search("crash");
    assert!(report.exhausted, "{report:?}");
    assert!(report.met.comebacks > 0);
    assert_eq!(
        report.met.ballots.iter().copied().collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn three_voters_agree_although_two_crash() {
    let report = search("two-crashes");
    assert!(report.met.comebacks > 0);
}

#[test]
fn the_second_height_is_safe_while_some_do_not_know_the_first_and_one_crashes() {
    let report = search("second-height");
    assert!(report.met.comebacks > 0);
    assert!(report.met.blocks > 1);
}

#[test]
fn two_heights_in_a_row_are_agreed_on() {
    let report = search("two-heights");
    assert!(report.met.ballots.contains(&2));
}

#[test]
fn a_read_sees_every_write_that_was_decided_when_it_began() {
    let report = search("read");
    assert!(report.exhausted, "{report:?}");
    assert!(report.met.reads > 0);
}

#[test]
fn a_read_sees_a_write_that_others_had_to_finish() {
    let report = search("read-takeover");
    assert!(report.met.reads > 0);
}

#[test]
fn a_search_is_the_same_every_time() {
    let case = Case::named("crash").unwrap();
    let [one, other] = [(); 2].map(|()| explore::check(&case, 20_000));
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

#[test]
fn a_voter_that_leaves_counts_up_to_its_block_and_not_above() {
    let report = search("a-voter-leaves");
    assert!(report.exhausted, "{report:?}");
    // The removal alone, with the other command, or behind it: and a second height decided by two.
    assert_eq!(report.met.blocks, 3);
    search("a-voter-leaves-crash");
}

#[test]
fn the_holder_of_the_turn_may_leave() {
    assert!(search("the-turn-leaves").met.ballots.contains(&2));
}
