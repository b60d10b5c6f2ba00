use super::*;
use crate::ballot::Turn;
use crate::block::Draft;
use crate::command::{Command, Payload};
use crate::id::{BlockHash, Boot, ChainId, LibraryId, MembershipHash};

const INVITE: TokenId = TokenId([7; 8]);

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn member(n: u8) -> Member {
    Member {
        id: node(n),
        name: format!("n{n}"),
    }
}

fn voters(count: u8) -> Roster {
    Roster::founded(Membership::new((1..=count).map(member).collect()).expect("distinct"))
}

fn addresses() -> Addresses {
    Addresses {
        peer: "nas:7800".into(),
        url: "https://nas:7700".into(),
    }
}

/// A block at `height`, whose time in seconds is its height.
fn block(height: u64, changes: Vec<RosterChange>) -> Block {
    block_until(height, Timestamp(u64::MAX), changes)
}

fn block_until(height: u64, valid_until: Timestamp, changes: Vec<RosterChange>) -> Block {
    let seal = |change| {
        let command = Command {
            library: LibraryId::home(),
            actor: TokenId([0; 8]),
            key: None,
            valid_until,
            payload: Payload::Roster(change),
        };
        command.seal([1; 16])
    };
    Block::new(Draft {
        chain: ChainId([1; 16]),
        height: Height(height),
        parent: Some(BlockHash([0; 32])),
        membership: MembershipHash([0; 32]),
        proposer: Turn {
            node: node(1),
            boot: Boot(1),
        },
        time: Timestamp(height * 1_000_000),
        hint: None,
        commands: changes.into_iter().map(seal).collect(),
    })
}

impl Roster {
    fn then(&self, height: u64, changes: Vec<RosterChange>) -> Self {
        let after = self.after(&block(height, changes));
        after.unwrap_or_else(|| self.clone())
    }

    fn names(&self) -> Vec<&str> {
        let voters = self.voters.voters().iter();
        voters.map(|member| member.name.as_str()).collect()
    }
}

fn invite(votes: bool) -> RosterChange {
    RosterChange::Invite {
        invite: INVITE,
        secret: Digest([9; 32]),
        expires: Timestamp(100_000_000),
        votes,
    }
}

fn admit(n: u8) -> RosterChange {
    RosterChange::Admit {
        invite: Some(INVITE),
        member: member(n),
        addresses: addresses(),
    }
}

fn seat(epoch: u64, change: SeatChange) -> RosterChange {
    RosterChange::Seat {
        epoch: Height(epoch),
        change,
    }
}

fn remove(n: u8, reason: Reason) -> SeatChange {
    SeatChange::Remove {
        node: node(n),
        reason,
    }
}

fn hearing(witness: u8, about: u8, at: u64, silent: bool) -> RosterChange {
    RosterChange::Hearing {
        witness: node(witness),
        about: node(about),
        at: Height(at),
        silent,
    }
}

#[test]
fn an_invite_admits_one_learner_who_then_becomes_a_voter() {
    let admitted = voters(3).then(1, vec![invite(true), admit(4), admit(5)]);
    assert_eq!(admitted.learners().len(), 1, "an invite is good once");
    assert_eq!(admitted.names(), ["n1", "n2", "n3"]);
    let seated = admitted.then(2, vec![seat(0, SeatChange::Add(member(4)))]);
    assert_eq!(seated.names(), ["n1", "n2", "n3", "n4"]);
    assert_eq!((seated.epoch(), seated.learners().len()), (Height(2), 0));
    assert_eq!(seated.addresses(node(4)), Some(&addresses()));
}

#[test]
fn nobody_votes_who_was_not_admitted_to_vote() {
    let add = || seat(0, SeatChange::Add(member(4)));
    assert_eq!(voters(3).after(&block(1, vec![add()])), None, "a stranger");
    let reader = voters(3).then(1, vec![invite(false), admit(4)]);
    assert_eq!(reader.learners().len(), 1);
    assert_eq!(
        reader.then(2, vec![add()]),
        reader,
        "admitted to follow only"
    );
}

#[test]
fn a_change_of_voters_counts_once_and_in_its_epoch_alone() {
    let roster = voters(5);
    let gone = roster.then(3, vec![seat(0, remove(5, Reason::Asked))]);
    assert_eq!(gone.names(), ["n1", "n2", "n3", "n4"]);
    let late = gone.then(4, vec![seat(0, remove(4, Reason::Asked))]);
    assert_eq!(late, gone, "meant for the epoch before");
    let two = [remove(5, Reason::Asked), remove(4, Reason::Asked)];
    let both = vec![seat(0, two[0].clone()), seat(0, two[1].clone())];
    assert_eq!(roster.then(3, both), gone, "one change a block");
    let named = vec![seat(0, two[0].clone()), seat(3, two[1].clone())];
    assert_eq!(
        roster.then(3, named),
        gone,
        "nor by naming the block itself"
    );
}

#[test]
fn pruning_needs_the_word_of_a_quorum_and_leaves_three() {
    let prune = |epoch, n| seat(epoch, remove(n, Reason::Silent));
    let said = voters(5).then(4, vec![hearing(1, 5, 3, true), hearing(2, 5, 3, true)]);
    assert!(!said.may_prune(node(5)));
    assert_eq!(said.then(5, vec![prune(0, 5)]), said, "two of five say so");
    let said = said.then(5, vec![hearing(3, 5, 4, true)]);
    let four = said.then(6, vec![prune(0, 5)]);
    assert_eq!(four.names(), ["n1", "n2", "n3", "n4"]);
    let silent = [1, 2, 3].map(|n| hearing(n, 4, 6, true)).to_vec();
    let three = four.then(7, silent).then(8, vec![prune(6, 4)]);
    assert_eq!(three.names(), ["n1", "n2", "n3"]);
    let silent = [1, 2].map(|n| hearing(n, 3, 8, true)).to_vec();
    let said = three.then(9, silent);
    assert_eq!(said.then(10, vec![prune(8, 3)]), said, "three stay");
}

#[test]
fn a_statement_is_withdrawn_and_an_older_one_does_not_bring_it_back() {
    let silent = [1, 2, 3].map(|n| hearing(n, 4, 3, true)).to_vec();
    let roster = voters(4).then(4, silent);
    assert!(roster.may_prune(node(4)));
    let heard = roster.then(5, vec![hearing(2, 4, 4, false)]);
    assert!(!heard.may_prune(node(4)));
    assert_eq!(heard.then(6, vec![hearing(2, 4, 3, true)]), heard, "late");
    let itself = heard.then(6, vec![hearing(4, 4, 5, true)]);
    assert_eq!(itself, heard, "nobody speaks of itself");
}

#[test]
fn statements_of_an_earlier_epoch_are_not_taken_up() {
    let removed = voters(5).then(3, vec![seat(0, remove(5, Reason::Asked))]);
    let said = removed.then(4, vec![hearing(1, 4, 2, true)]);
    assert_eq!(said, removed);
}

#[test]
fn who_was_pruned_comes_back_by_itself_and_who_was_removed_does_not() {
    let back = |n| RosterChange::Admit {
        invite: None,
        member: member(n),
        addresses: addresses(),
    };
    let silent = [1, 2, 3].map(|n| hearing(n, 4, 3, true)).to_vec();
    let pruned = voters(4).then(4, silent);
    let pruned = pruned.then(5, vec![seat(0, remove(4, Reason::Silent))]);
    assert_eq!(pruned.former()[&node(4)].height, Height(5));
    let returned = pruned.then(6, vec![back(4)]);
    assert!(
        returned
            .learner(node(4))
            .is_some_and(|learner| learner.votes)
    );
    assert!(returned.former().is_empty());

    let removed = voters(4).then(5, vec![seat(0, remove(4, Reason::Asked))]);
    assert_eq!(removed.then(6, vec![back(4)]), removed);
    let invited = removed.then(6, vec![invite(true)]);
    assert_eq!(
        invited.then(7, vec![admit(4)]).learners(),
        [],
        "nor by an invite"
    );
    assert_eq!(removed.then(6, vec![back(9)]), removed, "a stranger");
}

#[test]
fn a_name_is_never_given_to_another() {
    let removed = voters(4).then(5, vec![seat(0, remove(4, Reason::Asked)), invite(true)]);
    let twin = |name: &str| RosterChange::Admit {
        invite: Some(INVITE),
        member: Member {
            id: node(9),
            name: name.into(),
        },
        addresses: addresses(),
    };
    assert_eq!(
        removed.then(6, vec![twin("n4")]),
        removed,
        "of one that left"
    );
    assert_eq!(removed.then(6, vec![twin("n1")]), removed, "of a voter");
    assert_eq!(removed.then(6, vec![twin("n9")]).learners().len(), 1);
}

#[test]
fn a_voter_is_replaced_in_its_place() {
    let admitted = voters(3).then(1, vec![invite(true), admit(4)]);
    let change = SeatChange::Replace {
        old: node(2),
        new: member(4),
    };
    let replaced = admitted.then(2, vec![seat(0, change.clone())]);
    assert_eq!(replaced.names(), ["n1", "n4", "n3"]);
    assert_eq!(replaced.former()[&node(2)].reason, Reason::Asked);
    let lone = SeatChange::Replace {
        old: node(1),
        new: member(4),
    };
    let alone = voters(1).then(1, vec![invite(true), admit(4)]);
    assert_eq!(alone.then(2, vec![seat(0, lone)]), alone, "a lone voter");
}

#[test]
fn the_last_voter_stays() {
    let alone = voters(1);
    assert_eq!(
        alone.then(1, vec![seat(0, remove(1, Reason::Asked))]),
        alone
    );
}

#[test]
fn invites_and_commands_end_with_their_time() {
    let invited = voters(3).then(1, vec![invite(true)]);
    assert_eq!(invited.then(101, vec![admit(4)]).learners().len(), 0);
    let expired = block_until(5, Timestamp(4_999_999), vec![invite(true)]);
    assert_eq!(voters(3).after(&expired), None);
}

#[test]
fn changes_are_found_in_an_encoded_block() {
    let block = block(5, vec![invite(true), admit(4)]);
    let found = changes_in(&block.to_bytes()).expect("a block");
    let roster = voters(3);
    assert_eq!(found.len(), 2);
    assert_eq!(
        roster.after_changes(block.header(), found),
        roster.after(&block)
    );
}

#[test]
fn a_roster_is_read_back_as_it_was_written() {
    let roster = voters(5)
        .then(1, vec![invite(true), admit(6), hearing(1, 2, 1, true)])
        .then(2, vec![seat(0, remove(5, Reason::Asked))]);
    let bytes = roster.to_bytes();
    assert_eq!(Roster::from_bytes(&bytes), Ok(roster));
}
