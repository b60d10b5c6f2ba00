//! Rules about nodes that nobody has named, and about a node's own word that it does not remember.

use super::*;

/// n3, alone or not, is shown the block of height 1 by n9, of which nobody has ever heard. The block is proved.
fn shown_by_a_stranger(alone: bool) -> Cluster {
    let mut cluster = Cluster::start(3);
    if alone {
        cluster.crash("n1").unwrap();
        cluster.crash("n2").unwrap();
        cluster.wait(2_000);
    }
    let block = first_block(&cluster, "decided elsewhere");
    let voters = [node(1), node(2)];
    let certificate = forge::certificate(cluster.membership(), &voters, ballot(1, 1, 1), &block);
    cluster.inject("n9", "n3", Message::Decide { block, certificate });
    cluster
}

/// P66: "A node that hears no quorum of the voters it knows … listens to nodes it does not know".
#[test]
fn p66_a_lonely_node_hears_a_stranger() {
    assert_eq!(shown_by_a_stranger(true).engine("n3").tip(), Height(1));
}

/// P66: nobody else does.
#[test]
fn p66_a_node_in_company_does_not() {
    let cluster = shown_by_a_stranger(false);
    assert_eq!(cluster.engine("n3").tip(), Height(0));
    assert_eq!(cluster.engine("n3").counters().refused, 1);
}

/// P66: "to their beacons and decided blocks, which prove themselves, and to nothing else … hands them nothing."
#[test]
fn p66_a_stranger_is_told_nothing() {
    let mut cluster = shown_by_a_stranger(true);
    let refused = cluster.engine("n3").counters().refused;
    for message in [
        Message::Fetch { from: Height(1) },
        prepare(ballot(5, 9, 1)),
        Message::Ping { sent: 7 },
        Message::WhatWasI {
            boot: Boot(1),
            nonce: Nonce([9; 16]),
        },
    ] {
        cluster.inject("n9", "n3", message);
    }
    assert_eq!(cluster.engine("n3").counters().refused, refused + 4);
}

/// P66: "What a stranger says of how far the chain goes only makes the node ask", and strangers are no peers.
#[test]
fn p66_a_stranger_is_shown_to_nobody() {
    let cluster = shown_by_a_stranger(true);
    let peers = cluster.engine("n3").peer_status(Default::default());
    assert_eq!(peers.len(), 2);
}

/// P67: "A certificate … with a vote of that node at a ballot that it has not promised, shows that its disk has lost
/// this vote: the node stops for good … and does not take the block."
#[test]
fn p67_an_own_vote_that_is_not_remembered_stops_the_node() {
    let judged = |voters: [NodeId; 2]| {
        let mut cluster = Cluster::start(3);
        let block = first_block(&cluster, "accepted by n3 in another life");
        let at = ballot(2, 1, 1);
        let certificate = forge::certificate(cluster.membership(), &voters, at, &block);
        cluster.inject("n1", "n3", Message::Decide { block, certificate });
        let engine = cluster.engine("n3");
        (engine.phase(), engine.tip())
    };
    let stopped = Phase::Stopped(StopReason::RolledBack);
    assert_eq!(judged([node(1), node(3)]), (stopped, Height(0)));
    assert_eq!(judged([node(1), node(2)]), (Phase::Voting, Height(1)));
}

/// P67: "so nobody else is stopped": a vote that was given, and is read again at a start, is remembered.
#[test]
fn p67_a_vote_that_is_remembered_stops_nobody() {
    let mut cluster = Cluster::start(3);
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::new(Some("n1"), Some("n3"), None));
    cluster.crash("n3").unwrap();
    cluster.restart("n3").unwrap();
    cluster.wait(1_000);
    cluster.deliver(&Filter::all());
    cluster.wait(1_000);
    assert_eq!(cluster.engine("n3").phase(), Phase::Voting);
    assert_eq!(cluster.engine("n3").tip(), Height(1));
}
