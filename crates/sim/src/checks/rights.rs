//! Checks on what a node may say at all: after what it has heard, and above what it has decided.
//!
//! What a node has *heard* is what the network has delivered to its present incarnation. Checks that count what others
//! have merely said would let a node act on votes that never arrived.

use std::collections::{BTreeMap, BTreeSet};

use consensus::{Accept, Message};
use model::{Ballot, BlockHash, Boot, Height, Membership, NodeId, Nonce, Turn};

use super::rules::quorum;
use super::{Checked, ensure};
use crate::disk::Platter;
use crate::seat::{Cast, Seat};

/// What a promise reported as accepted.
type Reported = Option<(Ballot, BlockHash)>;

/// What one incarnation has heard.
#[derive(Debug)]
struct Heard {
    nonce: Nonce,
    /// Unknown while the disk is read, and of no account if it has lost something.
    boot: Option<Boot>,
    /// Who has told it what it was.
    answered: BTreeSet<Seat>,
    /// Enough of them have.
    passed: bool,
    /// What was promised to it, and by whom.
    promises: BTreeMap<(Height, Ballot), BTreeMap<Seat, Reported>>,
    /// The last ballot it has proposed at: what is heard later could not be heeded.
    proposed: Option<(Height, Ballot)>,
}

/// A message that is about to leave, and the circumstances.
pub(crate) struct Saying<'a> {
    pub(crate) seat: Seat,
    pub(crate) id: NodeId,
    pub(crate) message: &'a Message,
    /// Who votes at the message's height.
    pub(crate) membership: &'a Membership,
    /// The highest height that this incarnation has reported as decided, or found on its disk.
    pub(crate) tip: Height,
    /// Who has the turn of the message's height, if that is known.
    pub(crate) turn: Option<Option<Turn>>,
}

/// What all running incarnations have heard.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    heard: BTreeMap<Seat, Heard>,
    /// Which start has spoken under each boot.
    boots: BTreeMap<(Seat, Boot), Nonce>,
}

impl Rights {
    /// A new incarnation knows nothing.
    pub(crate) fn begin(&mut self, seat: Seat, nonce: Nonce) {
        let heard = Heard {
            nonce,
            boot: None,
            answered: BTreeSet::new(),
            passed: false,
            promises: BTreeMap::new(),
            proposed: None,
        };
        self.heard.insert(seat, heard);
    }

    /// The start has read its disk, which has lost nothing, and knows its boot.
    pub(crate) fn opened(&mut self, seat: Seat, boot: Boot) {
        if let Some(heard) = self.heard.get_mut(&seat) {
            heard.boot = Some(boot);
        }
    }

    /// A message arrives at a running process.
    pub(crate) fn hears(&mut self, seat: Seat, from: Seat, message: &Message) {
        let Some(heard) = self.heard.get_mut(&seat) else {
            return;
        };
        match message {
            Message::YouWere { nonce, .. } if *nonce == heard.nonce => {
                heard.answered.insert(from);
            }
            Message::Promise {
                height,
                ballot,
                accepted,
            } => {
                let accepted = accepted
                    .as_ref()
                    .map(|(ballot, block)| (*ballot, block.hash()));
                let promises = heard.promises.entry((*height, *ballot)).or_default();
                promises.insert(from, accepted);
            }
            _ => {}
        }
    }

    /// What was promised below the height just decided counts no more. At that height it still does: a proposal that
    /// rests on it may leave in the same step.
    pub(crate) fn decided(&mut self, seat: Seat, height: Height) {
        if let Some(heard) = self.heard.get_mut(&seat)
            && !heard.promises.is_empty()
        {
            heard.promises.retain(|(of, _), _| *of >= height);
        }
    }

    /// How many promises of others for a ballot have reached its owner.
    pub(crate) fn promises(&self, seat: Seat, height: Height, ballot: Ballot) -> usize {
        self.delivered(seat, height, ballot)
            .map_or(0, BTreeMap::len)
    }

    fn delivered(
        &self,
        seat: Seat,
        height: Height,
        ballot: Ballot,
    ) -> Option<&BTreeMap<Seat, Reported>> {
        self.heard.get(&seat)?.promises.get(&(height, ballot))
    }

    /// All that concerns a message which is about to leave. `proposals` are the values proposed so far.
    pub(crate) fn says(
        &mut self,
        saying: &Saying<'_>,
        proposals: &BTreeMap<(Height, Ballot), BlockHash>,
        platter: &Platter,
    ) -> Checked {
        check_boot_durable_before_first_message(saying, platter)?;
        self.check_boot_is_of_one_start(saying.seat)?;
        let Some(height) = bound_height(saying) else {
            return Ok(());
        };
        self.check_start_up_check_comes_first(saying)?;
        check_votes_above_own_tip_only(saying, height)?;
        match saying.message {
            Message::Accept(accept) if height > saying.tip && self.is_first(saying, accept) => {
                self.check_right_to_propose(saying, accept)?;
                self.check_highest_accept_is_taken(saying, accept, proposals)
            }
            _ => Ok(()),
        }
    }

    /// P7: no two starts that have said anything share a boot.
    fn check_boot_is_of_one_start(&mut self, seat: Seat) -> Checked {
        let heard = self.heard.get(&seat);
        let Some((boot, nonce)) = heard.and_then(|heard| Some((heard.boot?, heard.nonce))) else {
            return Ok(());
        };
        let first = *self.boots.entry((seat, boot)).or_insert(nonce);
        ensure(first == nonce, "check_boot_is_of_one_start", || {
            format!("{seat} speaks as {boot:?} again")
        })
    }

    /// Whether this ballot has not proposed before.
    fn is_first(&mut self, saying: &Saying<'_>, accept: &Accept) -> bool {
        let proposal = Some((accept.block.height(), accept.ballot));
        let heard = self.heard.get_mut(&saying.seat);
        heard.is_some_and(|heard| std::mem::replace(&mut heard.proposed, proposal) != proposal)
    }

    /// P13, P53: a node takes part once a quorum of the voters, itself among them if it votes, has told it what it was.
    pub(crate) fn check_start_up_check_is_answered(
        &mut self,
        seat: Seat,
        (id, voters): (NodeId, &Membership),
        cast: &Cast,
    ) -> Checked {
        let Some(heard) = self.heard.get_mut(&seat) else {
            return Ok(());
        };
        let answered = heard.answered.iter();
        let counted = answered.filter(|other| voters.contains(cast.id(**other)));
        let count = counted.count() + usize::from(voters.contains(id));
        heard.passed = count >= quorum(voters.len());
        ensure(heard.passed, "check_start_up_check_comes_first", || {
            format!("{seat} takes part after {count} of {voters:?} know its past")
        })
    }

    fn check_start_up_check_comes_first(&self, saying: &Saying<'_>) -> Checked {
        let heard = self.heard.get(&saying.seat);
        let passed = heard.is_some_and(|heard| heard.passed);
        ensure(passed, "check_start_up_check_comes_first", || {
            format!(
                "{} says {:?} before its start-up check",
                saying.seat, saying.message
            )
        })
    }

    /// P15, P22: ballot 1 is the turn's; every other ballot needs a quorum's promises, the owner's own among them.
    fn check_right_to_propose(&self, saying: &Saying<'_>, accept: &Accept) -> Checked {
        const CHECK: &str = "check_right_to_propose";
        let (height, ballot) = (accept.block.height(), accept.ballot);
        if ballot.k == 1 {
            let holder = saying.turn.flatten();
            return ensure(holder.map(Ballot::of_turn) == Some(ballot), CHECK, || {
                format!("{ballot:?} proposes at {height} without a prepare; the turn is {holder:?}")
            });
        }
        let promises = self.promises(saying.seat, height, ballot);
        let enough = promises + 1 >= quorum(saying.membership.len());
        ensure(enough, CHECK, || {
            format!("{ballot:?} proposes at {height} after {promises} promises of others")
        })
    }

    /// P22: the value of the highest accept reported; or of a higher one, which then only the owner can have accepted.
    fn check_highest_accept_is_taken(
        &self,
        saying: &Saying<'_>,
        accept: &Accept,
        proposals: &BTreeMap<(Height, Ballot), BlockHash>,
    ) -> Checked {
        let (height, ballot) = (accept.block.height(), accept.ballot);
        let hash = accept.block.hash();
        let promises = self.delivered(saying.seat, height, ballot);
        let reported = promises.and_then(|all| all.values().flatten().max());
        let Some((at, value)) = reported else {
            return Ok(());
        };
        let between = proposals.range((height, *at)..(height, ballot)).skip(1);
        let taken = *value == hash || between.into_iter().any(|(_, other)| *other == hash);
        ensure(taken, "check_highest_accept_is_taken", || {
            format!("{ballot:?} proposes {hash:?} at {height}, reported was {value:?} of {at:?}")
        })
    }
}

/// The height that a message binds its sender at, if it is a vote, a ballot of its own, or says how high it is.
fn bound_height(saying: &Saying<'_>) -> Option<Height> {
    match saying.message {
        Message::Prepare { height, .. }
        | Message::Promise { height, .. }
        | Message::Accepted { height, .. } => Some(*height),
        Message::Accept(accept) => {
            let own = accept.ballot.node == saying.id;
            own.then(|| accept.block.height())
        }
        Message::Top { top, .. } => Some(*top),
        _ => None,
    }
}

/// P12: nothing is said before the record of the start is durable.
fn check_boot_durable_before_first_message(saying: &Saying<'_>, platter: &Platter) -> Checked {
    ensure(
        platter.has_started(),
        "check_boot_durable_before_first_message",
        || format!("{} says {:?} first", saying.seat, saying.message),
    )
}

/// P11, P14: nobody acts at a height before the one below is decided here.
fn check_votes_above_own_tip_only(saying: &Saying<'_>, height: Height) -> Checked {
    ensure(
        height <= saying.tip.next(),
        "check_votes_above_own_tip_only",
        || {
            format!(
                "{} says {:?} and has decided {}",
                saying.seat, saying.message, saying.tip
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Member;

    const A: Seat = Seat(0);

    fn membership() -> Membership {
        let voters = (1..=3).map(|n| Member {
            id: NodeId([n; 32]),
            name: format!("n{n}"),
        });
        Membership::new(voters.collect()).unwrap()
    }

    fn started() -> Platter {
        let mut platter = Platter::default();
        platter.start_for_test();
        platter
    }

    fn say(rights: &mut Rights, message: &Message, platter: &Platter) -> Checked {
        let saying = Saying {
            seat: A,
            id: NodeId([1; 32]),
            message,
            membership: &membership(),
            tip: Height(4),
            turn: None,
        };
        rights.says(&saying, &BTreeMap::new(), platter)
    }

    fn prepare(height: u64) -> Message {
        Message::Prepare {
            height: Height(height),
            ballot: Ballot {
                k: 2,
                node: NodeId([1; 32]),
                boot: Boot(1),
            },
        }
    }

    #[test]
    fn a_node_speaks_after_its_start_is_durable_and_answered() {
        let mut rights = Rights::default();
        let nonce = Nonce([7; 16]);
        rights.begin(A, nonce);
        let ping = Message::Ping { sent: 1 };
        let check = |checked: Checked| checked.unwrap_err().check;
        assert_eq!(
            check(say(&mut rights, &ping, &Platter::default())),
            "check_boot_durable_before_first_message"
        );
        say(&mut rights, &ping, &started()).unwrap();
        let late = "check_start_up_check_comes_first";
        assert_eq!(check(say(&mut rights, &prepare(5), &started())), late);
        let cast = Cast::new((1..=3).map(|n| NodeId([n; 32])).collect());
        let pass = |rights: &mut Rights| {
            let voters = membership();
            let me = (NodeId([1; 32]), &voters);
            rights.check_start_up_check_is_answered(A, me, &cast)
        };
        let answer = |nonce| Message::YouWere { nonce, seen: None };
        rights.hears(A, Seat(1), &answer(Nonce([8; 16])));
        assert_eq!(check(pass(&mut rights)), late);
        rights.hears(A, Seat(1), &answer(nonce));
        pass(&mut rights).unwrap();
        say(&mut rights, &prepare(5), &started()).unwrap();
        assert_eq!(
            check(say(&mut rights, &prepare(6), &started())),
            "check_votes_above_own_tip_only"
        );
    }
}
