//! Prunes are written down, and who has done them; what is pruned stays known.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use common::*;
use model::{Digest, Height, NodeId, Payload, Prune, Residue, SnapshotRef};

#[test]
fn a_prune_is_known_with_the_nodes_that_have_done_it() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![new("a").add("a"), new("b").add("b")]);
    let history = fixture.reader().history(&home(), &id("a")).unwrap();
    let prune = Prune {
        through: Height(1),
        snapshot: SnapshotRef {
            height: Height(1),
            version: 7,
            digest: Digest([8; 32]),
        },
    };
    let position = at(2, 0);
    fixture.apply_one(Payload::Prune(prune));
    for node in [2, 1, 2] {
        let (purge, node) = (position, NodeId([node; 32]));
        fixture.apply(vec![Payload::Erased { purge, node }]);
    }
    let known = fixture.reader().prunes().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].position, known[0].prune), (position, prune));
    assert_eq!(known[0].done, [NodeId([1; 32]), NodeId([2; 32])]);
    assert_eq!(
        fixture.reader().history(&home(), &id("a")).unwrap(),
        history
    );
}

#[test]
fn what_stays_of_requests_is_told_by_height() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![new("a").add("a"), new("b").add("b")]);
    fixture.apply_commands(vec![keyed("k", edit("a", None, Vec::new()))]);
    let all = fixture.reader().residues(Height(0), Height(9)).unwrap();
    let kinds: Vec<bool> = all.values().map(|r| *r == Residue::Leaf).collect();
    assert_eq!(kinds, [true, true, false]);
    let last = *all.keys().last().unwrap();
    let one = fixture.reader().residues(last.height, last.height).unwrap();
    assert_eq!(one.into_iter().collect::<Vec<_>>(), [(last, all[&last])]);
    assert!(matches!(all[&last], Residue::Key(_)));
}
