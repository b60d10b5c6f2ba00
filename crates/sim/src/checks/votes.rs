//! Checks on what members say to each other.
//!
//! A promise at ballot b that reports an accept at ballot a says: between a and b this identity has accepted nothing
//! and never will. Everything an identity ever says at one height must be compatible with that, across its restarts.

use std::collections::{BTreeMap, BTreeSet};

use consensus::{Accept, Message};
use model::{Ballot, BlockHash, Height, Membership, NodeId};

use super::rules::quorum;
use super::{Checked, ensure};
use crate::seat::Seat;

/// P52: what binds at a height comes from its voters. `membership` is that of the message's height.
fn check_only_voters_vote(
    seat: Seat,
    me: NodeId,
    message: &Message,
    membership: &Membership,
) -> Checked {
    let votes = match message {
        Message::Prepare { .. } | Message::Promise { .. } | Message::Accepted { .. } => true,
        Message::Accept(accept) => accept.ballot.node == me,
        _ => false,
    };
    ensure(
        !votes || membership.contains(me),
        "check_only_voters_vote",
        || format!("{seat} says {message:?} and has no vote at that height"),
    )
}

/// What one identity has said about one height.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// What each promise reported as accepted before.
    promises: BTreeMap<Ballot, Option<(Ballot, BlockHash)>>,
    accepted: BTreeMap<Ballot, BlockHash>,
}

impl Book {
    /// The highest ballot this identity is bound by.
    pub(crate) fn floor(&self) -> Ballot {
        let promised = self.promises.last_key_value().map(|(ballot, _)| *ballot);
        let accepted = self.accepted.last_key_value().map(|(ballot, _)| *ballot);
        promised.max(accepted).unwrap_or(Ballot::NONE)
    }

    /// The highest ballot accepted, and the block.
    pub(crate) fn top_accept(&self) -> Option<(Ballot, BlockHash)> {
        self.accepted
            .last_key_value()
            .map(|(ballot, hash)| (*ballot, *hash))
    }
}

/// Everything that was said.
#[derive(Debug, Default)]
pub(crate) struct Votes {
    books: BTreeMap<(Seat, Height), Book>,
    proposals: BTreeMap<(Height, Ballot), BlockHash>,
    accepted_by: BTreeMap<(Height, Ballot), BTreeSet<Seat>>,
    chosen: BTreeMap<Height, (Ballot, BlockHash)>,
    durable_tips: BTreeMap<Seat, Height>,
}

impl Votes {
    /// Takes a message that has just left `seat`.
    pub(crate) fn said(
        &mut self,
        seat: Seat,
        message: &Message,
        (me, membership): (NodeId, &Membership),
    ) -> Checked {
        check_only_voters_vote(seat, me, message, membership)?;
        match message {
            Message::Promise {
                height,
                ballot,
                accepted,
            } => {
                let accepted = accepted
                    .as_ref()
                    .map(|(ballot, block)| (*ballot, block.hash()));
                self.check_promises_never_lowered(seat, *height, *ballot, accepted)?;
                let book = self.books.entry((seat, *height)).or_default();
                book.promises.insert(*ballot, accepted);
            }
            Message::Accepted {
                height,
                ballot,
                hash,
                ..
            } => {
                self.check_accepts_keep_promises(seat, *height, *ballot, *hash)?;
                let book = self.books.entry((seat, *height)).or_default();
                book.accepted.insert(*ballot, *hash);
                let voters = self.accepted_by.entry((*height, *ballot)).or_default();
                voters.insert(seat);
                if voters.len() >= quorum(membership.len()) {
                    self.check_one_choice(*height, *ballot, *hash)?;
                }
            }
            Message::Accept(accept) => self.check_one_value_per_ballot(accept)?,
            Message::Beacon(beacon) => {
                let told = self.durable_tips.entry(seat).or_default();
                *told = beacon.durable_tip.max(*told);
            }
            _ => {}
        }
        Ok(())
    }

    /// The last height that `seat` voted on, and what it said there.
    pub(crate) fn last_book(&self, seat: Seat) -> Option<(Height, &Book)> {
        let all = (seat, Height(0))..=(seat, Height(u64::MAX));
        let ((_, height), book) = self.books.range(all).next_back()?;
        Some((*height, book))
    }

    /// The highest tip that `seat` has called durable.
    pub(crate) fn durable_tip(&self, seat: Seat) -> Height {
        self.durable_tips.get(&seat).copied().unwrap_or_default()
    }

    /// The block that a quorum said to have accepted at one ballot, at this height.
    pub(crate) fn chosen(&self, height: Height) -> Option<BlockHash> {
        self.chosen.get(&height).map(|(_, hash)| *hash)
    }

    /// What was proposed, at every ballot.
    pub(crate) fn proposals(&self) -> &BTreeMap<(Height, Ballot), BlockHash> {
        &self.proposals
    }

    /// Whether `seat` has said that it accepted at a ballot.
    pub(crate) fn has_accepted(&self, seat: Seat, height: Height, ballot: Ballot) -> bool {
        let book = self.books.get(&(seat, height));
        book.is_some_and(|book| book.accepted.contains_key(&ballot))
    }

    fn check_promises_never_lowered(
        &self,
        seat: Seat,
        height: Height,
        ballot: Ballot,
        reported: Option<(Ballot, BlockHash)>,
    ) -> Checked {
        const CHECK: &str = "check_promises_never_lowered";
        let Some(book) = self.books.get(&(seat, height)) else {
            return Ok(());
        };
        if let Some(before) = book.promises.get(&ballot) {
            return ensure(*before == reported, CHECK, || {
                format!(
                    "{seat} promises {ballot:?} at {height} and reports {reported:?}, before {before:?}"
                )
            });
        }
        ensure(ballot > book.floor(), CHECK, || {
            format!(
                "{seat} promises {ballot:?} at {height} after {:?}",
                book.floor()
            )
        })?;
        let latest = book.top_accept();
        ensure(
            latest.map(|(at, _)| at) <= reported.map(|(at, _)| at),
            CHECK,
            || {
                format!(
                    "{seat} promises {ballot:?} at {height}, reports {reported:?} and has accepted {latest:?}"
                )
            },
        )?;
        let contradiction = reported
            .and_then(|(at, hash)| book.accepted.get(&at).filter(|accepted| **accepted != hash));
        ensure(contradiction.is_none(), CHECK, || {
            format!(
                "{seat} reports {reported:?} at {height} and has accepted {contradiction:?} at that ballot"
            )
        })
    }

    fn check_accepts_keep_promises(
        &self,
        seat: Seat,
        height: Height,
        ballot: Ballot,
        hash: BlockHash,
    ) -> Checked {
        const CHECK: &str = "check_promises_never_lowered";
        let proposed = self.proposals.get(&(height, ballot));
        ensure(
            proposed.is_none_or(|proposed| *proposed == hash),
            CHECK,
            || format!("{seat} accepts {hash:?} at {height} {ballot:?}, proposed was {proposed:?}"),
        )?;
        let Some(book) = self.books.get(&(seat, height)) else {
            return Ok(());
        };
        let before = book.accepted.get(&ballot);
        ensure(before.is_none_or(|before| *before == hash), CHECK, || {
            format!("{seat} accepts {hash:?} at {height} {ballot:?}, before {before:?}")
        })?;
        let higher = book
            .promises
            .range(ballot..)
            .filter(|(promised, _)| **promised > ballot);
        for (promised, reported) in higher {
            ensure(reported.is_some_and(|(at, _)| at >= ballot), CHECK, || {
                format!(
                    "{seat} accepts {ballot:?} at {height} and has promised {promised:?} with {reported:?}"
                )
            })?;
        }
        Ok(())
    }

    fn check_one_value_per_ballot(&mut self, accept: &Accept) -> Checked {
        let key = (accept.block.height(), accept.ballot);
        let hash = accept.block.hash();
        let first = *self.proposals.entry(key).or_insert(hash);
        ensure(first == hash, "check_one_value_per_ballot", || {
            format!("{key:?} carries {first:?} and {hash:?}")
        })
    }

    fn check_one_choice(&mut self, height: Height, ballot: Ballot, hash: BlockHash) -> Checked {
        let first = *self.chosen.entry(height).or_insert((ballot, hash));
        ensure(first.1 == hash, "check_agreement", || {
            format!(
                "at {height} a quorum accepted {first:?} and another {:?}",
                (ballot, hash)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Boot, Member, Signature};

    const HEIGHT: Height = Height(1);

    fn ballot(k: u64) -> Ballot {
        Ballot {
            k,
            node: NodeId([1; 32]),
            boot: Boot(1),
        }
    }

    fn promise(k: u64) -> Message {
        Message::Promise {
            height: HEIGHT,
            ballot: ballot(k),
            accepted: None,
        }
    }

    fn accepted(k: u64, value: u8) -> Message {
        Message::Accepted {
            height: HEIGHT,
            ballot: ballot(k),
            hash: BlockHash([value; 32]),
            signature: Signature([0; 64]),
        }
    }

    fn hear(said: &[(usize, Message)]) -> Checked {
        let voters = (1..=3).map(|n| Member {
            id: NodeId([n; 32]),
            name: format!("n{n}"),
        });
        let membership = Membership::new(voters.collect()).unwrap();
        let mut votes = Votes::default();
        said.iter().try_for_each(|(seat, message)| {
            let me = membership.voters()[*seat].id;
            votes.said(Seat(*seat), message, (me, &membership))
        })
    }

    #[test]
    fn honest_voters_pass() {
        hear(&[
            (0, accepted(1, 7)),
            (1, promise(2)),
            (1, promise(2)),
            (1, accepted(2, 7)),
            (0, accepted(1, 7)),
            (0, accepted(2, 7)),
        ])
        .unwrap();
    }

    #[test]
    fn an_accept_below_a_promise_is_caught_in_either_order() {
        assert!(hear(&[(0, promise(3)), (0, accepted(2, 7))]).is_err());
        assert!(hear(&[(0, accepted(2, 7)), (0, promise(3))]).is_err());
        assert!(hear(&[(0, promise(3)), (0, promise(2))]).is_err());
    }

    #[test]
    fn two_values_are_caught() {
        assert!(hear(&[(0, accepted(2, 7)), (0, accepted(2, 8))]).is_err());
        let fork = [
            (0, accepted(1, 7)),
            (1, accepted(1, 7)),
            (1, accepted(2, 8)),
            (2, accepted(2, 8)),
        ];
        assert!(hear(&fork).is_err());
    }
}
