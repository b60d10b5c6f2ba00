//! The invariants, by name. A check looks at the modelled disks and at what was sent, never at what an engine says
//! of itself.
//!
//! * `check_agreement`: one decided block per height, over all nodes and all time; no node meets a certificate for
//!   another.
//! * `check_one_value_per_ballot`: nobody proposes two blocks at one ballot.
//! * `check_chosen_is_stable`: what a quorum has durably accepted at one ballot is chosen for ever. Nobody proposes
//!   or accepts anything else at a higher ballot, and one more, hypothetical ballot on any quorum of disks would
//!   find it.
//! * `check_promises`: neither a durable promise nor a durable accept is ever lowered, and a running node stands by
//!   them, also after a restart.
//! * `check_durable_before_sent`: no promise, accepted or read answer leaves before the disk holds what it rests on.
//! * `check_log_order`: no vote is logged before the block below it is.
//! * `check_turn`: ballot 1 is used by the incarnation that has the turn, and by nobody else.
//! * `check_certificates`: a certificate names a quorum of distinct voters, and each has durably accepted its block at
//!   its ballot.
//! * `check_read`: a read is answered at no height below one that was decided when it began.

use std::collections::BTreeSet;

use consensus::Message;
use model::{Ballot, BlockHash, Certificate, Decided, Height, Membership, NodeId, Turn, Vote};

use crate::disk::{Disk, Voted};

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the check.
    pub check: &'static str,
    /// What it found.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            check,
            detail: detail.into(),
        }
    }
}

pub(crate) type Checked = Result<(), Violation>;

/// A ballot as people write it.
pub(crate) fn show_ballot(ballot: Ballot) -> String {
    if ballot.is_some() {
        format!("({},n{},{})", ballot.k, ballot.node.0[0], ballot.boot.0)
    } else {
        "none".to_owned()
    }
}

/// One decided block per height.
pub(crate) fn check_agreement(height: Height, first: u128, now: u128) -> Checked {
    if first == now {
        return Ok(());
    }
    let what = format!("two blocks are decided at height {height}");
    Err(Violation::new("check_agreement", what))
}

/// Nobody proposes two blocks at one ballot. `proposals` are all that were ever sent.
pub(crate) fn check_one_value_per_ballot(proposals: &BTreeSet<Voted>) -> Checked {
    let pairs = proposals.iter().zip(proposals.iter().skip(1));
    for ((height, ballot, _), (next_height, next_ballot, _)) in pairs {
        if (height, ballot) == (next_height, next_ballot) {
            let what = format!(
                "two blocks are proposed at height {height} and ballot {}",
                show_ballot(*ballot)
            );
            return Err(Violation::new("check_one_value_per_ballot", what));
        }
    }
    Ok(())
}

/// What was chosen stays chosen.
pub(crate) fn check_chosen_is_stable(
    quorum: usize,
    disks: &[&Disk],
    proposals: &BTreeSet<Voted>,
) -> Checked {
    let accepts: BTreeSet<Voted> = disks
        .iter()
        .flat_map(|disk| &disk.accepts)
        .copied()
        .collect();
    for chosen in &accepts {
        let holders = disks.iter().filter(|disk| disk.accepts.contains(chosen));
        if holders.count() >= quorum {
            check_nothing_else(*chosen, accepts.iter().chain(proposals))?;
            check_next_ballot(*chosen, quorum, disks)?;
        }
    }
    Ok(())
}

/// No higher ballot carries another block than the chosen one.
fn check_nothing_else<'a>(
    (height, ballot, hash): Voted,
    mut others: impl Iterator<Item = &'a Voted>,
) -> Checked {
    let other =
        others.find(|(at, higher, other)| *at == height && *higher >= ballot && *other != hash);
    let Some((_, higher, other)) = other else {
        return Ok(());
    };
    let what = format!(
        "{hash:?} is chosen at height {height} and ballot {}, and {other:?} is voted on at {}",
        show_ballot(ballot),
        show_ballot(*higher)
    );
    Err(Violation::new("check_chosen_is_stable", what))
}

/// One more ballot, above all others, would find the chosen block on every quorum of disks.
fn check_next_ballot((height, ballot, hash): Voted, quorum: usize, disks: &[&Disk]) -> Checked {
    for quorum_mask in 0_u32..1 << disks.len() {
        if quorum_mask.count_ones() as usize != quorum {
            continue;
        }
        let members = disks
            .iter()
            .enumerate()
            .filter(|(seat, _)| quorum_mask & 1 << seat != 0);
        let found = members.filter_map(|(_, disk)| disk.value_at(height)).max();
        if found.is_none_or(|(_, found)| found != hash) {
            let what = format!(
                "{hash:?} is chosen at height {height} and ballot {}, and a later ballot on the disks \
                 {quorum_mask:#b} would not find it",
                show_ballot(ballot)
            );
            return Err(Violation::new("check_chosen_is_stable", what));
        }
    }
    Ok(())
}

/// A running node stands by what its disk has promised.
pub(crate) fn check_promises(memory: &Vote, disk: &Disk) -> Checked {
    let durable = disk.joined(memory.height);
    if memory.promised >= durable {
        return Ok(());
    }
    let what = format!(
        "a node at ballot {} has durably promised {} at height {}",
        show_ballot(memory.promised),
        show_ballot(durable),
        memory.height
    );
    Err(Violation::new("check_promises", what))
}

/// What a message rests on is on the disk of its sender, who is at `tip` and runs as `me`.
pub(crate) fn check_durable_before_sent(
    message: &Message,
    disk: &Disk,
    me: Turn,
    tip: Height,
) -> Checked {
    let accepted = |height: Height, ballot: Ballot, hash: BlockHash| {
        disk.accepts.contains(&(height, ballot, hash))
    };
    let broken = match message {
        _ if disk.boot != me.boot => {
            Some("a message leaves before its start is durable".to_owned())
        }
        Message::Promise { height, ballot, .. } if disk.joined(*height) < *ballot => Some(format!(
            "the promise of {} leaves before it is durable",
            show_ballot(*ballot)
        )),
        Message::Promise {
            height,
            accepted: Some((at, block)),
            ..
        } if !accepted(*height, *at, block.hash()) => Some(format!(
            "a promise reports the accept at {} before it is durable",
            show_ballot(*at)
        )),
        Message::Accepted {
            height,
            ballot,
            hash,
            ..
        } if !accepted(*height, *ballot, *hash) => Some(format!(
            "the accepted of {} leaves before it is durable",
            show_ballot(*ballot)
        )),
        Message::Top { top, .. } if *top > tip && !disk.accepts.iter().any(|(h, ..)| h == top) => {
            Some(format!(
                "a read is told of height {top} before that is durable"
            ))
        }
        _ => None,
    };
    broken.map_or(Ok(()), |what| {
        Err(Violation::new("check_durable_before_sent", what))
    })
}

/// Ballot 1 belongs to the incarnation that the block below names. `below` is what the node has decided there, if it
/// has.
pub(crate) fn check_turn(ballot: Ballot, below: Option<&Decided>) -> Checked {
    if ballot.k != 1 {
        return Ok(());
    }
    let turn = below.and_then(|decided| decided.block.header().hint);
    if turn.map(Ballot::of_turn) == Some(ballot) {
        return Ok(());
    }
    let what = format!("{} is used without the turn", show_ballot(ballot));
    Err(Violation::new("check_turn", what))
}

/// A proposal is signed by the running incarnation.
pub(crate) fn check_own_ballot(ballot: Ballot, me: Turn) -> Checked {
    if (ballot.node, ballot.boot) == (me.node, me.boot) {
        return Ok(());
    }
    let what = format!(
        "{} is used by another incarnation, {:?}",
        show_ballot(ballot),
        me.boot
    );
    Err(Violation::new("check_turn", what))
}

/// A certificate names a quorum, and each of its voters has durably accepted.
pub(crate) fn check_certificates<'a>(
    certificate: &Certificate,
    membership: &Membership,
    quorum: usize,
    accepts_of: impl Fn(NodeId) -> &'a BTreeSet<Voted>,
) -> Checked {
    let fail = |what: String| Err(Violation::new("check_certificates", what));
    let voters: Vec<NodeId> = membership
        .voters()
        .iter()
        .enumerate()
        .filter(|(place, _)| certificate.voters & 1 << place != 0)
        .map(|(_, member)| member.id)
        .collect();
    let at = show_ballot(certificate.ballot);
    if voters.len() < quorum {
        return fail(format!(
            "{} voters decide at {at}, not {quorum}",
            voters.len()
        ));
    }
    let voted = (certificate.height, certificate.ballot, certificate.hash);
    let without = voters
        .into_iter()
        .find(|voter| !accepts_of(*voter).contains(&voted));
    match without {
        None => Ok(()),
        Some(voter) => fail(format!(
            "n{} is counted for {at} and its disk holds no such accept",
            voter.0[0]
        )),
    }
}

/// A read sees what was decided when it began.
pub(crate) fn check_read(answered: Height, decided_before: Height) -> Checked {
    if answered >= decided_before {
        return Ok(());
    }
    let what = format!(
        "a read that began when height {decided_before} was decided is answered at {answered}"
    );
    Err(Violation::new("check_read", what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Boot;

    use crate::cases::Case;
    use crate::node::Node;
    use crate::stage::Stage;

    fn ballot(k: u64, node: u8) -> Ballot {
        Ballot {
            k,
            node: NodeId([node; 32]),
            boot: Boot(1),
        }
    }

    fn voted(k: u64, node: u8, block: u8) -> Voted {
        (Height(1), ballot(k, node), BlockHash([block; 32]))
    }

    fn disks(accepts: &[&[Voted]]) -> Vec<Disk> {
        let stage = Stage::new(Case::named("crash").unwrap());
        let empty = Node::first(&stage, 0).node.disk;
        let disk = |held: &&[Voted]| {
            let mut disk = empty.clone();
            disk.accepts = held.iter().copied().collect();
            disk
        };
        accepts.iter().map(disk).collect()
    }

    fn stable(accepts: &[&[Voted]], proposals: &[Voted]) -> Result<(), &'static str> {
        let disks = disks(accepts);
        let disks: Vec<&Disk> = disks.iter().collect();
        let proposals = proposals.iter().copied().collect();
        check_chosen_is_stable(2, &disks, &proposals).map_err(|broken| broken.check)
    }

    const STABLE: Result<(), &str> = Err("check_chosen_is_stable");

    #[test]
    fn what_no_quorum_accepted_at_one_ballot_is_not_chosen() {
        let (low, high) = (voted(1, 1, 7), voted(2, 2, 8));
        assert_eq!(stable(&[&[low], &[high], &[]], &[low, high]), Ok(()));
    }

    #[test]
    fn another_block_above_a_chosen_one_is_found_before_it_is_accepted() {
        let (low, high) = (voted(1, 1, 7), voted(2, 2, 8));
        assert_eq!(stable(&[&[low], &[low], &[]], &[low, high]), STABLE);
        assert_eq!(stable(&[&[low], &[low, high], &[]], &[low]), STABLE);
    }

    #[test]
    fn a_chosen_block_that_is_on_no_disk_any_more_is_missed() {
        let low = voted(1, 1, 7);
        assert_eq!(stable(&[&[low], &[low], &[]], &[low]), STABLE);
    }

    #[test]
    fn two_blocks_at_one_ballot_are_found() {
        let twice = BTreeSet::from([voted(2, 1, 7), voted(2, 1, 8)]);
        assert!(check_one_value_per_ballot(&twice).is_err());
        let once = BTreeSet::from([voted(2, 1, 7), voted(2, 2, 8), voted(3, 1, 8)]);
        assert_eq!(check_one_value_per_ballot(&once), Ok(()));
    }

    #[test]
    fn ballot_one_needs_the_turn_of_the_very_incarnation() {
        let stage = Stage::new(Case::named("crash").unwrap());
        let below = Some(&stage.genesis);
        let later = Ballot {
            boot: Boot(2),
            ..ballot(1, 1)
        };
        assert_eq!(check_turn(ballot(1, 1), below), Ok(()));
        assert!(check_turn(later, below).is_err());
        assert!(check_turn(ballot(1, 2), below).is_err());
        assert!(check_turn(ballot(1, 1), None).is_err());
        assert_eq!(check_turn(ballot(2, 2), None), Ok(()));
    }

    #[test]
    fn a_read_below_what_was_decided_is_found() {
        assert!(check_read(Height(1), Height(2)).is_err());
        assert_eq!(check_read(Height(2), Height(2)), Ok(()));
    }
}
