//! P1 to P25: quorums, data, durability, starts, ballots and decisions.

use super::*;

/// P1: "Among n voters, f = ⌊(n-1)/2⌋ and a quorum is q = n - f: 1, 2, 2, 3, 3, 4, 4, 5, 5 for n = 1 … 9."
#[test]
fn p1_a_quorum_decides_and_one_less_does_not() {
    for (n, quorum) in (1..).zip([1, 2, 2, 3, 3, 4, 4, 5, 5]) {
        let mut cluster = Cluster::start(n);
        cluster.submit("n1", "a").unwrap();
        for voter in 2..=quorum {
            assert_eq!(cluster.engine("n1").tip(), Height(0), "{n} voters");
            let to = format!("n{voter}");
            cluster.deliver(&Filter::new(Some("n1"), Some(&to), Some("accept")));
            cluster.deliver(&Filter::new(Some(&to), Some("n1"), Some("accepted")));
        }
        assert_eq!(cluster.engine("n1").tip(), Height(1), "{n} voters");
    }
}

/// P2: "Whether a block is valid depends on nothing that may differ between nodes: no clock, no opinion."
#[test]
fn p2_a_block_from_a_far_future_is_accepted() {
    let mut cluster = Cluster::start(3);
    let draft = Draft {
        time: Timestamp(u64::MAX / 2),
        ..forge::draft(&genesis(&cluster), turn(1, 1), "a")
    };
    let block = Arc::new(Block::new(draft));
    cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &block));
    assert_eq!(accepted_hash(cluster.engine("n2")), Some(block.hash()));
}

/// P3: "A valid block is of this chain, one above the tip, names the tip's hash and the membership in force, was put
/// together by a voter, is later than its parent."
#[test]
fn p3_an_invalid_block_is_not_accepted() {
    let mut cluster = Cluster::start(3);
    let genesis = genesis(&cluster);
    let good = || forge::draft(&genesis, turn(2, 1), "a");
    let bad = [
        Draft {
            chain: ChainId([1; 16]),
            ..good()
        },
        Draft {
            parent: None,
            ..good()
        },
        Draft {
            parent: Some(BlockHash([1; 32])),
            ..good()
        },
        Draft {
            membership: MembershipHash([1; 32]),
            ..good()
        },
        Draft {
            proposer: turn(9, 1),
            ..good()
        },
        Draft {
            time: genesis.header().time,
            ..good()
        },
    ];
    for draft in bad {
        let block = Arc::new(Block::new(draft));
        cluster.inject("n2", "n3", forge::accept(ballot(2, 2, 1), &block));
        assert_eq!(accepted_hash(cluster.engine("n3")), None, "{block:?}");
    }
    let block = Arc::new(Block::new(good()));
    cluster.inject("n2", "n3", forge::accept(ballot(2, 2, 1), &block));
    assert_eq!(accepted_hash(cluster.engine("n3")), Some(block.hash()));
}

/// P4: "The parent's certificate travels with a block and is not hashed: different nodes may hold different valid ones
/// for the same block."
#[test]
fn p4_different_certificates_decide_the_same_block() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    for (to, voters) in [("n1", [node(2), node(3)]), ("n2", [node(1), node(3)])] {
        let certificate =
            forge::certificate(cluster.membership(), &voters, ballot(1, 1, 1), &block);
        let block = Arc::clone(&block);
        cluster.inject("n3", to, Message::Decide { block, certificate });
    }
    assert_eq!(cluster.engine("n1").head(), cluster.engine("n2").head());
    let proof = |node: &str| cluster.chain(node)[&Height(1)].certificate.clone();
    assert_ne!(proof("n1"), proof("n2"));
}

/// P6: "k = 1 belongs to the holder of the turn alone."
#[test]
fn p6_nobody_else_uses_ballot_1() {
    let mut cluster = Cluster::start(3);
    let draft = forge::draft(&genesis(&cluster), turn(2, 1), "b");
    let block = Arc::new(Block::new(draft));
    cluster.inject("n2", "n3", forge::accept(ballot(1, 2, 1), &block));
    assert_eq!(accepted_ballot(cluster.engine("n3")), None);
    cluster.inject("n2", "n3", prepare(ballot(1, 2, 1)));
    assert_eq!(cluster.engine("n3").vote().promised, Ballot::NONE);
}

/// P6: "k ≥ 2 never without a Prepare."
#[test]
fn p6_a_takeover_proposes_only_behind_a_quorum_of_promises() {
    let (mut cluster, own) = n2_takes_over();
    assert_eq!(accepts(&cluster, "n2"), []);
    cluster.inject("n3", "n2", promise(own, None));
    assert!(accepts(&cluster, "n2").iter().all(|(at, _)| *at == own));
    assert_ne!(accepts(&cluster, "n2"), []);
}

/// P7: "boot counts a node's starts and is durable before the first message of a start."
#[test]
fn p7_nothing_leaves_before_the_boot_is_durable() {
    let mut cluster = Cluster::start(3);
    cluster.crash("n3").unwrap();
    cluster.hold("n3").unwrap();
    cluster.restart("n3").unwrap();
    let block = first_block(&cluster, "a");
    let everything = [
        prepare(ballot(2, 1, 1)),
        forge::accept(ballot(1, 1, 1), &block),
        Message::Fetch { from: Height(1) },
        Message::Ping { sent: 1 },
        Message::WhatWasI {
            boot: Boot(2),
            nonce: Nonce([9; 16]),
        },
    ];
    let from_n3 = Filter::new(Some("n3"), None, None);
    for message in everything {
        cluster.inject("n1", "n3", message);
        assert!(cluster.under_way(&from_n3).is_empty());
    }
    cluster.wait(1000);
    assert!(cluster.under_way(&from_n3).is_empty());
    assert_eq!(cluster.engine("n3").phase(), Phase::Opening);
    cluster.flush("n3").unwrap();
    assert!(!cluster.under_way(&from_n3).is_empty());
}

/// P7: "So no two incarnations share a ballot."
#[test]
fn p7_every_start_has_a_boot_of_its_own() {
    let mut cluster = Cluster::start(3);
    for boot in 1..=3 {
        assert_eq!(cluster.engine("n3").identity(), turn(3, boot));
        cluster.crash("n3").unwrap();
        cluster.restart("n3").unwrap();
    }
}

/// P8: "An accept raises the promise; a promise leaves the accept alone; nothing ever lowers a promise."
#[test]
fn p8_promised_and_accepted_are_two_variables() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    let vote = |cluster: &Cluster| {
        let engine = cluster.engine("n3");
        (engine.vote().promised, accepted_ballot(engine))
    };
    let (first, second) = (ballot(1, 1, 1), ballot(2, 2, 1));
    cluster.inject("n1", "n3", forge::accept(first, &block));
    assert_eq!(vote(&cluster), (first, Some(first)));
    cluster.inject("n2", "n3", prepare(second));
    assert_eq!(vote(&cluster), (second, Some(first)));
    cluster.inject("n1", "n3", prepare(ballot(2, 1, 1)));
    assert_eq!(vote(&cluster), (second, Some(first)));
}

/// P9 and T7: "Memory changes at once, in order of arrival. A message reports memory, and leaves when the log is
/// durable through the record it rests on."
#[test]
fn p9_a_promise_reports_an_accept_in_flight_and_waits_for_it() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    cluster.hold("n2").unwrap();
    cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &block));
    cluster.inject("n3", "n2", prepare(ballot(2, 3, 1)));
    assert_eq!(count(&cluster, "n2", "promise"), 0);
    assert_eq!(count(&cluster, "n2", "accepted"), 0);
    cluster.flush("n2").unwrap();
    let promises = Filter::new(Some("n2"), None, Some("promise"));
    let report = promise(ballot(2, 3, 1), Some((ballot(1, 1, 1), block)));
    assert_eq!(cluster.under_way(&promises), [&report]);
}

/// P10: "Promise, accepted ballot and body are one record."
#[test]
fn p10_an_accept_is_one_record() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    let before = cluster.log("n2").len();
    cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &block));
    let vote = Vote {
        height: Height(1),
        promised: ballot(1, 1, 1),
        accepted: Some((ballot(1, 1, 1), block)),
    };
    let record = Record::Vote { vote, body: true };
    assert_eq!(cluster.log("n2")[before..], [&record]);
}

/// P10: "On replay promised = max(promised, accepted's ballot)."
#[test]
fn p10_an_accept_holds_its_promise_after_a_restart() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    cluster.crash("n2").unwrap();
    let vote = Vote {
        height: Height(1),
        promised: Ballot::NONE,
        accepted: Some((ballot(3, 1, 1), block)),
    };
    cluster.put_record("n2", Record::Vote { vote, body: true });
    cluster.restart("n2").unwrap();
    assert_eq!(cluster.engine("n2").vote().promised, ballot(3, 1, 1));
}

/// P11: "Before any record at height h, block h-1 and the mark that it is decided are in the log."
#[test]
fn p11_the_decided_mark_comes_before_the_vote_above_it() {
    let mut cluster = Cluster::start(3);
    for text in ["a", "b", "c"] {
        cluster.submit("n1", text).unwrap();
        cluster.deliver(&Filter::all());
    }
    for node in ["n1", "n2", "n3"] {
        let mut decided = Height(0);
        for record in cluster.log(node) {
            match record {
                Record::Decided { block, .. } => decided = block.height(),
                Record::Vote { vote, .. } => assert_eq!(vote.height, decided.next(), "{node}"),
                Record::Start { .. } => {}
            }
        }
        assert_eq!(decided, Height(3));
    }
}

/// P11: "As a second line of defence a restart never drops a vote above tip + 1; it fetches the blocks it lacks first."
#[test]
fn p11_a_vote_above_the_next_height_is_kept_until_the_chain_is_there() {
    let mut cluster = Cluster::start(3);
    cluster.crash("n3").unwrap();
    let vote = Vote {
        height: Height(2),
        promised: ballot(5, 1, 1),
        accepted: None,
    };
    cluster.put_record(
        "n3",
        Record::Vote {
            vote: vote.clone(),
            body: false,
        },
    );
    cluster.restart("n3").unwrap();
    cluster.wait(200);
    assert_eq!(cluster.engine("n3").phase(), Phase::Voting);
    cluster.inject("n2", "n3", prepare(ballot(2, 2, 1)));
    assert_eq!(
        count(&cluster, "n3", "promise"),
        0,
        "it votes at no lower height"
    );

    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::all());
    assert_eq!(cluster.engine("n3").tip(), Height(1));
    assert_eq!(cluster.engine("n3").vote(), vote);
    cluster.crash("n3").unwrap();
    cluster.restart("n3").unwrap();
    let start = cluster
        .log("n3")
        .into_iter()
        .rev()
        .find_map(|record| match record {
            Record::Start { vote, .. } => vote.clone(),
            _ => None,
        });
    assert_eq!(start, Some(vote), "and every start repeats it");
}

/// P12: "Append to a new file: boot + 1, the nonce drawn for this start, the mark of the tip, and the vote."
#[test]
fn p12_a_start_repeats_what_the_disk_knew() {
    let mut cluster = Cluster::start(3);
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::all());
    let prepare = Message::Prepare {
        height: Height(2),
        ballot: ballot(2, 1, 1),
    };
    cluster.inject("n1", "n3", prepare);
    let (tip, vote) = (cluster.engine("n3").head(), cluster.engine("n3").vote());
    cluster.crash("n3").unwrap();
    cluster.restart("n3").unwrap();
    let log = cluster.log("n3");
    let Some(Record::Start {
        boot,
        tip: mark,
        vote: repeated,
        ..
    }) = log.last()
    else {
        panic!("a start's first record is its start");
    };
    assert_eq!(
        (*boot, mark.hash, repeated.as_ref()),
        (Boot(2), tip, Some(&vote))
    );
}

/// P13: "Before the start-up check is passed, the node neither votes, nor uses a turn, nor answers how high it is. It
/// learns decisions, and answers others' start-up questions."
#[test]
fn p13_a_node_that_waits_for_its_check_takes_no_part() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    let mut lone = Cluster::unstarted(3);
    lone.restart("n1").unwrap();
    lone.wait(1000);
    assert_eq!(lone.engine("n1").phase(), Phase::Checking);
    lone.submit("n1", "a").unwrap();
    lone.inject("n2", "n1", prepare(ballot(2, 2, 1)));
    lone.inject("n2", "n1", forge::accept(ballot(2, 2, 1), &block));
    let membership = lone.membership().hash();
    lone.inject(
        "n2",
        "n1",
        Message::AskTop {
            round: 1,
            membership,
        },
    );
    for kind in ["accept", "promise", "accepted", "top", "nack"] {
        assert_eq!(count(&lone, "n1", kind), 0, "{kind}");
    }
    let question = Message::WhatWasI {
        boot: Boot(1),
        nonce: Nonce([9; 16]),
    };
    lone.inject("n2", "n1", question);
    let answers = lone.under_way(&Filter::kind("quiet"));
    assert!(
        answers
            .iter()
            .any(|m| matches!(m, Message::YouWere { seen: None, .. }))
    );
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::all());
    let decided = cluster.chain("n1")[&Height(1)].clone();
    // It has voted for nothing, so it is the others who have decided.
    let others = [node(2), node(3)];
    let certificate =
        forge::certificate(lone.membership(), &others, ballot(1, 1, 1), &decided.block);
    lone.inject(
        "n2",
        "n1",
        Message::Decide {
            block: decided.block,
            certificate,
        },
    );
    assert_eq!(lone.engine("n1").tip(), Height(1));
}

/// P14: "Genesis names the first voter at its boot 1."
#[test]
fn p14_the_first_turn_is_the_first_voters() {
    let cluster = Cluster::start(3);
    assert_eq!(cluster.engine("n2").turn(), Some(turn(1, 1)));
}

/// P14: "A hint of a block that is only accepted counts for nothing."
#[test]
fn p14_the_turn_comes_from_a_decided_block_only() {
    let mut cluster = Cluster::start(3);
    cluster.submit("n2", "b").unwrap();
    cluster.deliver(&Filter::kind("push"));
    cluster.deliver(&Filter::new(None, Some("n2"), Some("accept")));
    cluster.submit("n2", "c").unwrap();
    let vote = cluster.engine("n2").vote().accepted.expect("n1's block");
    assert_eq!(vote.1.header().hint, Some(turn(2, 1)), "the block names n2");
    assert_eq!(accepts(&cluster, "n2"), []);
    cluster.deliver(&Filter::new(Some("n1"), Some("n2"), Some("accepted")));
    assert_eq!(cluster.engine("n2").tip(), Height(1));
    let next: Vec<Height> = accepts(&cluster, "n2")
        .iter()
        .map(|(_, b)| b.height())
        .collect();
    assert_eq!(next, [Height(2), Height(2)], "decided, it does");
}

/// P15: "propose(v) requires: the turn of h is (me, my boot)." T4: n1 sends a with its turn, restarts, and must not
/// send b at the same ballot.
#[test]
fn p15_the_turn_counts_only_for_the_boot_it_names() {
    let mut cluster = Cluster::start(3);
    cluster.hold("n1").unwrap();
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::new(None, Some("n2"), Some("accept")));
    cluster.lose(&Filter::all());
    cluster.crash("n1").unwrap();
    cluster.restart("n1").unwrap();
    cluster.wait(200);
    cluster.submit("n1", "b").unwrap();
    cluster.wait(50);
    assert_eq!(cluster.engine("n1").phase(), Phase::Voting);
    assert_eq!(accepts(&cluster, "n1"), []);
    assert_ne!(
        count(&cluster, "n1", "prepare"),
        0,
        "it asks like everybody else"
    );
}

/// P15: "ballot 1 not used yet at h in this incarnation".
#[test]
fn p15_ballot_1_is_used_once_per_height() {
    let mut cluster = Cluster::start(3);
    cluster.submit("n1", "a").unwrap();
    let sent = accepts(&cluster, "n1");
    cluster.lose(&Filter::all());
    cluster.submit("n1", "b").unwrap();
    cluster.wait(30);
    assert!(!accepts(&cluster, "n1").is_empty(), "it repeats itself");
    assert!(
        accepts(&cluster, "n1")
            .iter()
            .all(|accept| sent.contains(accept))
    );
}

/// P15: "promised ≤ (1, me, boot)".
#[test]
fn p15_a_turn_is_not_used_above_a_promise() {
    let mut cluster = Cluster::start(3);
    cluster.inject("n2", "n1", prepare(ballot(2, 2, 1)));
    cluster.submit("n1", "a").unwrap();
    assert_eq!(accepts(&cluster, "n1"), []);
}

/// P16: "Refuse it unless it is signed by b's owner."
#[test]
fn p16_an_accept_needs_its_owners_signature() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    let Message::Accept(mut accept) = forge::accept(ballot(1, 1, 1), &block) else {
        unreachable!("an accept")
    };
    cluster.inject("n2", "n3", Message::Accept(accept.clone()));
    assert_eq!(
        accepted_ballot(cluster.engine("n3")),
        None,
        "passed on by another"
    );
    accept.signature = forge::sign(Domain::Propose, node(2), accept.ballot, &block);
    cluster.inject("n2", "n3", Message::Accept(accept.clone()));
    assert_eq!(
        accepted_ballot(cluster.engine("n3")),
        None,
        "signed by another"
    );
    accept.signature = forge::sign(Domain::Accepted, node(1), accept.ballot, &block);
    cluster.inject("n1", "n3", Message::Accept(accept));
    assert_eq!(
        accepted_ballot(cluster.engine("n3")),
        None,
        "signed in another domain"
    );
}

/// P16: "if b.k = 1, b is exactly (1, hint of h-1) and v's proposer is that node."
#[test]
fn p16_ballot_1_carries_the_holders_own_block() {
    let mut cluster = Cluster::start(3);
    let foreign = forge::draft(&genesis(&cluster), turn(2, 1), "b");
    let foreign = Arc::new(Block::new(foreign));
    cluster.inject("n1", "n3", forge::accept(ballot(1, 1, 1), &foreign));
    assert_eq!(
        accepted_ballot(cluster.engine("n3")),
        None,
        "another's block"
    );
    let block = first_block(&cluster, "a");
    cluster.inject("n1", "n3", forge::accept(ballot(1, 1, 2), &block));
    assert_eq!(accepted_ballot(cluster.engine("n3")), None, "another boot");
}

/// P17: "the same hash repeats the Accepted, once the log is durable through that accept".
#[test]
fn p17_a_repeated_accept_is_answered_behind_the_flush() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    cluster.hold("n2").unwrap();
    for _ in 0..3 {
        cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &block));
    }
    assert_eq!(count(&cluster, "n2", "accepted"), 0);
    cluster.flush("n2").unwrap();
    let to_owner = Filter::new(Some("n2"), Some("n1"), Some("accepted"));
    assert_eq!(cluster.under_way(&to_owner).len(), 3);
}

/// P17: "another hash is refused, and both signed statements are kept as evidence against b's owner."
#[test]
fn p17_a_second_block_at_one_ballot_is_evidence() {
    let mut cluster = Cluster::start(3);
    let (a, b) = (first_block(&cluster, "a"), first_block(&cluster, "b"));
    cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &a));
    cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &b));
    assert_eq!(accepted_hash(cluster.engine("n2")), Some(a.hash()));
    assert!(cluster.take_output().contains("n2 has evidence against n1"));
}

/// P18: "Else if b ≥ promised: promised := b, accepted := (b, v), append, and send Accepted(b, hash) to all when
/// durable. Else answer Nack(promised)."
#[test]
fn p18_an_accept_counts_for_others_when_it_is_durable() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    cluster.hold("n2").unwrap();
    cluster.inject("n1", "n2", forge::accept(ballot(1, 1, 1), &block));
    assert_eq!(count(&cluster, "n2", "accepted"), 0);
    cluster.flush("n2").unwrap();
    assert_eq!(count(&cluster, "n2", "accepted"), 2);
    cluster.inject("n3", "n2", prepare(ballot(4, 3, 1)));
    cluster.inject("n1", "n2", forge::accept(ballot(2, 1, 1), &block));
    let nacks = Filter::new(Some("n2"), Some("n1"), Some("nack"));
    let nack = Message::Nack {
        height: Height(1),
        ballot: ballot(2, 1, 1),
        promised: ballot(4, 3, 1),
    };
    assert_eq!(cluster.under_way(&nacks), [&nack]);
}

/// P19 and T5: "A node that has promised a higher ballot never accepts at its own lower one, whatever promises still
/// arrive for it."
#[test]
fn p19_own_accepts_obey_the_promise() {
    let (mut cluster, own) = n2_takes_over();
    cluster.inject("n3", "n2", prepare(ballot(3, 3, 1)));
    cluster.inject("n3", "n2", promise(own, None));
    assert_eq!(accepts(&cluster, "n2"), []);
    assert_eq!(accepted_ballot(cluster.engine("n2")), None);
    assert_eq!(cluster.engine("n2").vote().promised, ballot(3, 3, 1));
}

/// P19: "An own accept … counts when durable."
#[test]
fn p19_an_own_accept_counts_when_it_is_durable() {
    let mut cluster = Cluster::start(3);
    cluster.hold("n1").unwrap();
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::new(None, Some("n2"), Some("accept")));
    cluster.deliver(&Filter::new(Some("n2"), Some("n1"), Some("accepted")));
    assert_eq!(
        cluster.engine("n1").tip(),
        Height(0),
        "one durable accept of three"
    );
    cluster.flush("n1").unwrap();
    assert_eq!(cluster.engine("n1").tip(), Height(1));
}

/// P20: "b := (max(2, promised.k + 1, largest k seen + 1), me, boot)."
#[test]
fn p20_a_takeover_goes_above_everything_seen() {
    let (mut cluster, own) = n2_takes_over();
    for from in ["n1", "n3"] {
        let nack = Message::Nack {
            height: Height(1),
            ballot: own,
            promised: ballot(7, 3, 1),
        };
        cluster.inject(from, "n2", nack);
    }
    cluster.wait(100);
    assert_eq!(cluster.engine("n2").vote().promised, ballot(8, 2, 1));
}

/// P20: "The own promise … counts when durable."
#[test]
fn p20_an_own_promise_counts_when_it_is_durable() {
    let mut cluster = Cluster::start(3);
    cluster.crash("n1").unwrap();
    cluster.hold("n2").unwrap();
    cluster.submit("n2", "b").unwrap();
    cluster.wait(5);
    let own = cluster.engine("n2").vote().promised;
    cluster.inject("n3", "n2", promise(own, None));
    assert_eq!(accepts(&cluster, "n2"), [], "one durable promise of three");
    cluster.flush("n2").unwrap();
    assert_ne!(accepts(&cluster, "n2"), []);
}

/// P21: "If b > promised, promised := b, append, and when durable answer Promise. If b = promised and nothing is
/// accepted at b, repeat the promise, once durable. Else answer Nack(promised)."
#[test]
fn p21_a_prepare_is_answered_once_durable() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    cluster.hold("n2").unwrap();
    cluster.inject("n3", "n2", prepare(ballot(3, 3, 1)));
    cluster.inject("n3", "n2", prepare(ballot(3, 3, 1)));
    assert_eq!(count(&cluster, "n2", "promise"), 0);
    cluster.flush("n2").unwrap();
    assert_eq!(count(&cluster, "n2", "promise"), 2);
    cluster.inject("n1", "n2", prepare(ballot(2, 1, 1)));
    assert_eq!(count(&cluster, "n2", "nack"), 1, "a lower one");
    cluster.inject("n3", "n2", forge::accept(ballot(3, 3, 1), &block));
    cluster.inject("n3", "n2", prepare(ballot(3, 3, 1)));
    assert_eq!(count(&cluster, "n2", "nack"), 2, "accepted at it already");
}

/// P22 and T10: "the accepted value of the highest ballot among the promises".
#[test]
fn p22_the_highest_accepted_ballot_is_taken_over() {
    let mut cluster = Cluster::start(5);
    cluster.crash("n1").unwrap();
    cluster.submit("n2", "b").unwrap();
    cluster.wait(5);
    cluster.lose(&Filter::all());
    let own = cluster.engine("n2").vote().promised;
    let (v, w) = (first_block(&cluster, "v"), first_block(&cluster, "w"));
    cluster.inject(
        "n4",
        "n2",
        promise(own, Some((ballot(1, 4, 1), Arc::clone(&w)))),
    );
    cluster.inject("n3", "n2", promise(own, Some((ballot(1, 3, 1), v))));
    let proposed: Vec<BlockHash> = accepts(&cluster, "n2")
        .iter()
        .map(|(_, b)| b.hash())
        .collect();
    assert_eq!(proposed, vec![w.hash(); 4]);
}

/// P22: "else free: what is pending here, or an empty block."
#[test]
fn p22_a_free_ballot_carries_what_is_pending() {
    let (mut cluster, own) = n2_takes_over();
    cluster.inject("n3", "n2", promise(own, None));
    let (_, block) = accepts(&cluster, "n2").pop().expect("proposed");
    assert_eq!(
        block.entries(),
        [model::Entry::Sealed(forge::command("b", 1))]
    );
}

/// P23: "One value per ballot, for ever."
#[test]
fn p23_a_late_promise_changes_no_proposal() {
    let mut cluster = Cluster::start(5);
    cluster.crash("n1").unwrap();
    cluster.submit("n2", "b").unwrap();
    cluster.wait(5);
    cluster.lose(&Filter::all());
    let own = cluster.engine("n2").vote().promised;
    cluster.inject("n3", "n2", promise(own, None));
    cluster.inject("n4", "n2", promise(own, None));
    let first = accepts(&cluster, "n2");
    let late = first_block(&cluster, "late");
    cluster.inject("n5", "n2", promise(own, Some((ballot(1, 1, 1), late))));
    cluster.submit("n2", "c").unwrap();
    cluster.wait(30);
    let all = accepts(&cluster, "n2");
    assert!(all.len() > first.len(), "repeated meanwhile");
    assert!(all.iter().all(|accept| first.contains(accept)));
}

/// P24: "Accepts of different ballots are never added up." And a voter counts once.
#[test]
fn p24_accepts_are_counted_per_ballot_and_voter() {
    let mut cluster = Cluster::start(5);
    let block = first_block(&cluster, "a");
    cluster.inject("n1", "n5", forge::accept(ballot(1, 1, 1), &block));
    let say = |cluster: &mut Cluster, voter: u8, at: Ballot| {
        let message = forge::accepted(node(voter), at, &block);
        cluster.inject(&format!("n{voter}"), "n5", message);
    };
    say(&mut cluster, 1, ballot(1, 1, 1));
    say(&mut cluster, 1, ballot(1, 1, 1));
    say(&mut cluster, 2, ballot(2, 2, 1));
    say(&mut cluster, 3, ballot(2, 2, 1));
    assert_eq!(
        cluster.engine("n5").tip(),
        Height(0),
        "two at one ballot, two at another"
    );
    say(&mut cluster, 4, ballot(2, 2, 1));
    assert_eq!(cluster.engine("n5").tip(), Height(1));
}

/// P24: "and the body is here (else it is fetched from one of them)".
#[test]
fn p24_a_body_that_is_missing_is_fetched() {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    for voter in [1, 2] {
        let message = forge::accepted(node(voter), ballot(1, 1, 1), &block);
        cluster.inject(&format!("n{voter}"), "n3", message);
    }
    cluster.wait(2);
    assert_eq!(count(&cluster, "n3", "fetch-accepted"), 2);
    let other = first_block(&cluster, "b");
    cluster.inject("n1", "n3", Message::Body { block: other });
    assert_eq!(cluster.engine("n3").tip(), Height(0), "not the one");
    cluster.inject("n1", "n3", Message::Body { block });
    assert_eq!(cluster.engine("n3").tip(), Height(1));
}

/// What n3 of three makes of a certificate for the first block, changed by `change`.
fn judged(change: impl FnOnce(&mut Certificate, &Block)) -> Height {
    let mut cluster = Cluster::start(3);
    let block = first_block(&cluster, "a");
    let voters = [node(1), node(2)];
    let mut certificate =
        forge::certificate(cluster.membership(), &voters, ballot(1, 1, 1), &block);
    change(&mut certificate, &block);
    cluster.inject("n1", "n3", Message::Decide { block, certificate });
    cluster.engine("n3").tip()
}

/// P25 and P43: "A certificate is q accepted signatures of distinct voters of that height, for one ballot and hash."
#[test]
fn p25_a_decision_needs_a_whole_certificate() {
    assert_eq!(judged(|_, _| {}), Height(1));
    let one_voter = |c: &mut Certificate, _: &Block| {
        c.voters = 1;
        c.signatures.truncate(1);
    };
    assert_eq!(judged(one_voter), Height(0));
    let twice_the_same = |c: &mut Certificate, _: &Block| c.signatures[1] = c.signatures[0];
    assert_eq!(judged(twice_the_same), Height(0));
    let another_ballot = |c: &mut Certificate, _: &Block| c.ballot = ballot(2, 1, 1);
    assert_eq!(judged(another_ballot), Height(0));
    let another_voter = |c: &mut Certificate, _: &Block| c.voters = 0b101;
    assert_eq!(judged(another_voter), Height(0));
    let a_stranger = |c: &mut Certificate, _: &Block| c.voters = 0b1001;
    assert_eq!(judged(a_stranger), Height(0));
    let another_height = |c: &mut Certificate, _: &Block| c.height = Height(2);
    assert_eq!(judged(another_height), Height(0));
}

/// P25: "A certificate that contradicts a block decided here stops the node."
#[test]
fn p25_a_proven_fork_stops_the_node() {
    let mut cluster = Cluster::start(3);
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::all());
    let block = first_block(&cluster, "another");
    let voters = [node(1), node(2)];
    let certificate = forge::certificate(cluster.membership(), &voters, ballot(2, 2, 1), &block);
    cluster.inject("n1", "n3", Message::Decide { block, certificate });
    assert_eq!(
        cluster.engine("n3").phase(),
        Phase::Stopped(StopReason::Forked { since: Height(1) })
    );
}

/// P60: "whose tip is not what a certified block is on top of, stops": it would never learn that block.
#[test]
fn p60_a_certified_block_on_another_tip_stops_the_node() {
    let mut cluster = Cluster::start(3);
    cluster.submit("n1", "a").unwrap();
    cluster.deliver(&Filter::all());
    let other = first_block(&cluster, "another");
    let above = forge::draft(&other, turn(1, 1), "above it");
    let above = Arc::new(Block::new(above));
    let voters = [node(1), node(2)];
    let certificate = forge::certificate(cluster.membership(), &voters, ballot(2, 2, 1), &above);
    cluster.inject(
        "n1",
        "n3",
        Message::Decide {
            block: above,
            certificate,
        },
    );
    assert_eq!(
        cluster.engine("n3").phase(),
        Phase::Stopped(StopReason::Forked { since: Height(1) })
    );
}
