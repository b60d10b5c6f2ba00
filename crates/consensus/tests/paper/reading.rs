//! P26 to P47: other heights, reads, the check after a start, certificates and failed flushes.

use super::*;

/// P26: "A message for a height at or below the tip is answered with the decided block and its certificate. One for a
/// height above tip + 1 makes the node fetch what it lacks first."
#[test]
fn p26_messages_for_other_heights_bring_nodes_together() {
    let mut cluster = Cluster::start(3);
    cluster.cut("n1", "n3").unwrap();
    cluster.cut("n2", "n3").unwrap();
    for text in ["a", "b"] {
        cluster.submit("n1", text).unwrap();
        cluster.deliver(&Filter::all());
    }
    cluster.heal();
    cluster.inject("n3", "n1", prepare(ballot(2, 3, 1)));
    assert_eq!(count(&cluster, "n1", "decide"), 2);
    assert_eq!(count(&cluster, "n1", "promise"), 0);
    let ahead = Message::Prepare {
        height: Height(3),
        ballot: ballot(2, 1, 1),
    };
    cluster.inject("n1", "n3", ahead);
    assert_eq!(
        cluster.under_way(&Filter::kind("fetch")),
        [&Message::Fetch { from: Height(1) }]
    );
    let engine = cluster.engine("n1");
    let beacon = beacon(1, engine.tip(), engine.head());
    cluster.inject("n1", "n3", beacon.clone());
    cluster.inject("n1", "n3", beacon);
    let fetches = cluster.under_way(&Filter::kind("fetch"));
    assert_eq!(
        fetches.len(),
        1,
        "a beacon with no block before it ends no batch"
    );
}

/// P38: "From the replies Q, at least q of them, take r, the (|Q| - f)-th largest. Wait until r is decided and applied
/// here."
#[test]
fn p38_a_read_waits_for_the_height_that_may_be_decided() {
    let mut cluster = Cluster::start(3);
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::new(None, Some("n2"), Some("accept")));
    cluster.lose(&Filter::all());
    cluster.take_output();
    cluster.read("n3").unwrap();
    cluster.deliver(&Filter::new(None, Some("n2"), Some("ask-top")));
    cluster.deliver(&Filter::kind("top"));
    assert!(
        !cluster.take_output().contains("answers"),
        "accepted by two of three, perhaps decided"
    );
    cluster.run(100);
    assert!(
        cluster
            .take_output()
            .contains("n3 answers read 1 at height 1")
    );
}

/// P38: of four voters and three replies it is the second largest: what one alone has accepted is not decided.
#[test]
fn p38_what_too_few_have_accepted_is_not_waited_for() {
    let mut cluster = Cluster::start(4);
    cluster.submit("n1", "a").unwrap();
    cluster.lose(&Filter::all());
    cluster.take_output();
    cluster.read("n3").unwrap();
    cluster.deliver(&Filter::new(None, Some("n1"), Some("ask-top")));
    cluster.deliver(&Filter::new(None, Some("n2"), Some("ask-top")));
    cluster.deliver(&Filter::kind("top"));
    assert!(
        cluster
            .take_output()
            .contains("n3 answers read 1 at height 0")
    );
}

/// P38: "top of a node is the highest height at which it has durably accepted or knows a decision."
#[test]
fn p38_a_top_waits_for_the_accept_it_reports() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    cluster.hold("n2").unwrap();
    cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &block));
    let membership = cluster.membership().hash();
    cluster.inject(
        "n3",
        "n2",
        Message::AskTop {
            round: 1,
            membership,
        },
    );
    assert_eq!(count(&cluster, "n2", "top"), 0);
    cluster.flush("n2").unwrap();
    let top = Message::Top {
        round: 1,
        top: Height(1),
    };
    assert_eq!(cluster.under_way(&Filter::kind("top")), [&top]);
}

/// P38: a decision is known to be one, whatever this disk has written of it: its top waits for no flush.
#[test]
fn p38_a_top_does_not_wait_for_a_decided_mark() {
    let mut cluster = Cluster::start(3);
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::all());
    cluster.hold("n2").unwrap();
    let membership = cluster.membership().hash();
    cluster.inject(
        "n3",
        "n2",
        Message::AskTop {
            round: 1,
            membership,
        },
    );
    let top = Message::Top {
        round: 1,
        top: Height(1),
    };
    assert_eq!(cluster.under_way(&Filter::kind("top")), [&top]);
}

/// n3, started again in a cluster where nobody answers it, hears from n1 that it was `seen`.
fn told(seen: Option<Seen>) -> Phase {
    let mut cluster = Cluster::start(3);
    for node in ["n1", "n2", "n3"] {
        cluster.crash(node).unwrap();
    }
    cluster.restart("n3").unwrap();
    cluster.wait(10);
    let nonce = Nonce([2; 16]);
    cluster.inject("n1", "n3", Message::YouWere { nonce, seen });
    cluster.wait(200);
    cluster.engine("n3").phase()
}

/// P40: "Nothing is an answer … A higher boot, an equal boot with another nonce, or a durable tip or vote beyond what
/// the own disk knows stops the node for good."
#[test]
fn p40_a_disk_older_than_what_was_seen_stops_the_node() {
    let before = Seen {
        boot: Boot(1),
        nonce: Nonce([1; 16]),
        durable_tip: Height(0),
        vote: (Height(0), Ballot::NONE),
    };
    let stopped = Phase::Stopped(StopReason::RolledBack);
    assert_eq!(told(None), Phase::Voting);
    assert_eq!(told(Some(before.clone())), Phase::Voting);
    assert_eq!(
        told(Some(Seen {
            boot: Boot(3),
            ..before.clone()
        })),
        stopped
    );
    assert_eq!(
        told(Some(Seen {
            boot: Boot(2),
            ..before.clone()
        })),
        stopped
    );
    let tip = Seen {
        durable_tip: Height(1),
        ..before.clone()
    };
    assert_eq!(told(Some(tip)), stopped);
    let vote = Seen {
        vote: (Height(1), ballot(2, 1, 1)),
        ..before
    };
    assert_eq!(told(Some(vote)), stopped);
}

/// P40: "q-1 other voters must have answered before it votes."
#[test]
fn p40_fewer_answers_than_a_quorum_do_not_do() {
    let mut cluster = Cluster::start(5);
    for node in ["n1", "n2", "n3"] {
        cluster.crash(node).unwrap();
    }
    cluster.crash("n4").unwrap();
    cluster.restart("n4").unwrap();
    cluster.wait(1000);
    assert_eq!(
        cluster.engine("n4").phase(),
        Phase::Checking,
        "n5 alone answers"
    );
    cluster.restart("n3").unwrap();
    cluster.wait(1000);
    assert_eq!(cluster.engine("n4").phase(), Phase::Voting);
}

/// P40: what was seen is remembered of the highest boot, not of the one heard last: a message that comes late, of a
/// start that has ended, makes no peer mistake a node's progress since for that of an earlier start.
#[test]
fn p40_a_late_beacon_of_an_ended_boot_stops_nobody() {
    let mut cluster = Cluster::start(3);
    cluster.crash("n2").unwrap();
    cluster.wait(300);
    cluster.deliver(&Filter::all());
    cluster.crash("n3").unwrap();
    cluster.restart("n3").unwrap();
    cluster.cut("n1", "n3").unwrap();
    cluster.wait(300);
    cluster.inject("n3", "n1", beacon(2, Height(7), BlockHash([0; 32])));
    cluster.inject("n3", "n1", beacon(1, Height(0), BlockHash([0; 32])));
    cluster.heal();
    cluster.wait(1000);
    assert_eq!(cluster.engine("n3").phase(), Phase::Voting);
}

/// P42: "Two domains, because an owner's Accept leaves before its flush and must never stand in a certificate."
#[test]
fn p42_a_proposal_is_no_vote() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    cluster.inject("n1", "n3", forge::accept(ballot(1, 1, 1), &block));
    let Message::Accepted {
        height,
        ballot: at,
        hash,
        ..
    } = forge::accepted(node(1), ballot(1, 1, 1), &block)
    else {
        unreachable!("an accepted")
    };
    let signature = forge::sign(Domain::Propose, node(1), at, &block);
    let message = Message::Accepted {
        height,
        ballot: at,
        hash,
        signature,
    };
    cluster.inject("n1", "n3", message);
    assert_eq!(cluster.engine("n3").tip(), Height(0));
    cluster.inject("n1", "n3", forge::accepted(node(1), at, &block));
    assert_eq!(cluster.engine("n3").tip(), Height(1));
}

/// P46: "Blocks fetched from a peer are taken in order, each checked by parent hash and validity."
#[test]
fn p46_fetched_blocks_are_taken_in_order() {
    let mut cluster = Cluster::start(3);
    cluster.cut("n1", "n3").unwrap();
    cluster.cut("n2", "n3").unwrap();
    for text in ["a", "b"] {
        cluster.submit("n1", text).unwrap();
        cluster.deliver(&Filter::all());
    }
    let decisions = [Height(1), Height(2)].map(|height| {
        let decided = cluster.chain("n1")[&height].clone();
        let certificate = decided.certificate.expect("decided by votes");
        Message::Decide {
            block: decided.block,
            certificate,
        }
    });
    let [first, second] = decisions;
    cluster.inject("n1", "n3", second.clone());
    assert_eq!(cluster.engine("n3").tip(), Height(0));
    cluster.inject("n1", "n3", first);
    cluster.inject("n1", "n3", second);
    assert_eq!(cluster.engine("n3").tip(), Height(2));
}

/// P47: "A failed flush ends writing … the node stops voting and says so, until it is started again."
#[test]
fn p47_a_failed_flush_ends_the_voting() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    cluster.fail_flush("n2").unwrap();
    cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &block));
    assert_eq!(count(&cluster, "n2", "accepted"), 0);
    let records = cluster.log("n2").len();
    cluster.inject("n3", "n2", prepare(ballot(2, 3, 1)));
    assert_eq!(count(&cluster, "n2", "promise"), 0);
    assert_eq!(cluster.log("n2").len(), records);
    cluster.crash("n2").unwrap();
    cluster.restart("n2").unwrap();
    cluster.wait(200);
    assert_eq!(cluster.engine("n2").phase(), Phase::Voting);
}
