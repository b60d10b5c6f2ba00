//! Where files' bytes live: one store at a time, entered and left.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod common;

use catalogue::{OriginalsStore, Outcome, Refusal};
use common::*;
use model::{Height, NodeId, OriginalsStep, Payload, Position};

fn move_to(to: Option<&str>) -> Payload {
    let to = to.map(str::to_owned);
    Payload::Originals(OriginalsStep::Move { to })
}

fn left(since: Height) -> Payload {
    Payload::Originals(OriginalsStep::Left { since })
}

fn store(fixture: &Fixture) -> Option<OriginalsStore> {
    fixture.reader().originals().unwrap()
}

fn is_refused(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Refused {
            code: Refusal::InvalidStore,
            ..
        }
    )
}

#[test]
fn a_store_is_entered_and_left_before_any_is_moved_to_again() {
    let mut fixture = Fixture::new();
    assert_eq!(store(&fixture), None);
    fixture.apply_one(move_to(None));
    assert_eq!(
        store(&fixture),
        None,
        "bytes are on the disks from the beginning"
    );
    fixture.apply_one(move_to(Some("az://a")));
    let home = store(&fixture).unwrap();
    assert_eq!(
        (home.url.as_str(), home.is_home, home.era),
        ("az://a", true, home.since)
    );
    assert!(is_refused(fixture.apply_one(move_to(Some("az://b")))));
    fixture.apply_one(move_to(Some("az://a")));
    assert_eq!(store(&fixture).unwrap(), home, "again is the same");
    fixture.apply_one(left(home.since));
    assert_eq!(store(&fixture).unwrap(), home, "bytes belong there");

    fixture.apply_one(move_to(None));
    let leaving = store(&fixture).unwrap();
    assert!(!leaving.is_home && leaving.era == home.era && leaving.since > home.since);
    for other in ["az://a", "az://b"] {
        assert!(
            is_refused(fixture.apply_one(move_to(Some(other)))),
            "{other}"
        );
    }
    fixture.apply_one(left(home.since));
    assert_eq!(store(&fixture).unwrap(), leaving, "another move was meant");
    fixture.apply_one(left(leaving.since));
    assert_eq!(store(&fixture), None);
    fixture.apply_one(move_to(Some("az://a")));
    assert!(
        store(&fixture).unwrap().era > home.era,
        "its objects get other keys"
    );
}

#[test]
fn a_url_beyond_the_limit_is_refused() {
    let mut fixture = Fixture::new();
    let url = format!("az://{}", "a".repeat(model::originals::STORE_URL_BYTES_MAX));
    assert!(is_refused(fixture.apply_one(move_to(Some(&url)))));
    assert_eq!(store(&fixture), None);
}

#[test]
fn a_purge_is_unfinished_until_every_node_has_erased_it() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![new("a").add("a"), new("b").add("b")]);
    let reader = fixture.reader();
    let nodes = [NodeId([1; 32]), NodeId([2; 32])];
    assert_eq!(reader.unfinished_purge(&nodes).unwrap(), None);
    assert_eq!(reader.last_purge().unwrap(), None);
    let first = reader.named_first(&id("b")).unwrap().unwrap();
    let commands = reader.commands_naming(&home(), &id("a")).unwrap();
    fixture.apply_one(Payload::Purge(commands));
    let purge = fixture.reader().last_purge().unwrap().unwrap();
    assert!(first < purge);
    assert_eq!(fixture.reader().named_first(&id("a")).unwrap(), None);
    for node in nodes {
        assert_eq!(
            fixture.reader().unfinished_purge(&nodes).unwrap(),
            Some(purge)
        );
        let purge = Position {
            height: purge,
            index: 0,
        };
        fixture.apply_one(Payload::Erased { purge, node });
    }
    assert_eq!(fixture.reader().unfinished_purge(&nodes).unwrap(), None);
    fixture.apply_one(new("a").add("a"));
    assert!(fixture.reader().named_first(&id("a")).unwrap().unwrap() > purge);
}
