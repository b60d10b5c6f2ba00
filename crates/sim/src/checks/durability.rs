//! Checks on what the disks hold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use consensus::{Accept, Message};
use ledger::{Ledger, Recovered};
use model::{Ballot, Certificate, Encode, Height, Signatures};

use super::votes::Votes;
use super::{Checked, Violation, ensure};
use crate::disk::{Platter, SimDisk};
use crate::seat::Seat;

/// Which votes of the present incarnations are known to be durable already.
#[derive(Debug, Default)]
pub(crate) struct Durability {
    proven: BTreeSet<(Seat, Height, Kind, Ballot)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Promise,
    Accept,
    OwnPromise,
}

impl Durability {
    /// An incarnation of `seat` has ended: what it had proven proves nothing for the next.
    pub(crate) fn forget(&mut self, seat: Seat) {
        self.proven.retain(|(of, ..)| *of != seat);
    }

    /// A vote leaves only when one durable write of this incarnation holds all it says.
    pub(crate) fn check_persist_before_send(
        &mut self,
        seat: Seat,
        message: &Message,
        platter: &Platter,
    ) -> Checked {
        let (height, kind, ballot, facts) = match message {
            Message::Promise {
                height,
                ballot,
                accepted,
            } => {
                let mut facts = vec![ballot.to_bytes()];
                if let Some((at, block)) = accepted {
                    facts.push(at.to_bytes());
                    facts.push(block.hash().to_bytes());
                }
                (*height, Kind::Promise, *ballot, facts)
            }
            Message::Accepted {
                height,
                ballot,
                hash,
                ..
            } => (
                *height,
                Kind::Accept,
                *ballot,
                vec![ballot.to_bytes(), hash.to_bytes()],
            ),
            _ => return Ok(()),
        };
        if !self.proven.insert((seat, height, kind, ballot)) {
            return Ok(());
        }
        let needles: Vec<&[u8]> = facts.iter().map(Vec::as_slice).collect();
        ensure(
            platter.proves(&needles),
            "check_persist_before_send",
            || format!("{seat} says {message:?}, and no durable record of this start does"),
        )?;
        ensure(
            platter.proves_twice(&needles),
            "check_votes_are_written_twice",
            || format!("{seat} says {message:?}, and one damaged sector could lose it"),
        )
    }

    /// An own promise completes a quorum only when it is durable: `others` is how many other voters have promised.
    pub(crate) fn check_own_promise_counts_when_durable(
        &mut self,
        seat: Seat,
        accept: &Accept,
        (others, quorum): (usize, usize),
        platter: &Platter,
    ) -> Checked {
        let (height, ballot) = (accept.block.height(), accept.ballot);
        let key = (seat, height, Kind::OwnPromise, ballot);
        if ballot.k == 1 || others >= quorum || !self.proven.insert(key) {
            return Ok(());
        }
        let durable = platter.proves(&[&ballot.to_bytes()]);
        ensure(durable, "check_own_promise_counts_when_durable", || {
            format!("{seat} proposes at {height} {ballot:?} before its own promise is durable")
        })
    }

    /// An own accept completes a quorum only when it is durable: then it was said to others before, or is now. `place` is
    /// the node's in the ring of that height.
    pub(crate) fn check_own_accept_counts_when_durable(
        &self,
        seat: Seat,
        (certificate, place): (&Certificate, Option<usize>),
        votes: &Votes,
        platter: &Platter,
    ) -> Checked {
        let (height, ballot, hash) = (certificate.height, certificate.ballot, certificate.hash);
        let voted = place.is_some_and(|place| certificate.voters & 1 << place != 0);
        if !voted || votes.has_accepted(seat, height, ballot) {
            return Ok(());
        }
        let durable = platter.proves(&[&ballot.to_bytes(), &hash.to_bytes()]);
        ensure(durable, "check_own_accept_counts_when_durable", || {
            format!("{seat} decides {height} at {ballot:?} before its own accept is durable")
        })
    }
}

/// What a disk must still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Every block that its node has called durable, and every vote.
    Blocks,
    /// Every vote, and how far the chain was known to go: the blocks can be fetched before there is another vote.
    Votes,
}

/// Opens what a power cut would leave and looks for everything that `seat` has ever said.
pub(crate) fn check_votes_survive(
    seat: Seat,
    (image, kept): (Platter, Kept),
    signatures: &dyn Signatures,
    votes: &Votes,
) -> Checked {
    const CHECK: &str = "check_votes_survive";
    let recovered = recover(seat, image, signatures)?;
    let tip = match kept {
        Kept::Blocks => recovered.tip.block.height(),
        Kept::Votes => recovered.floor,
    };
    let told = votes.durable_tip(seat);
    ensure(tip >= told, CHECK, || {
        format!("{seat} called {told} durable, a power cut leaves {tip}")
    })?;
    let Some((height, book)) = votes.last_book(seat) else {
        return Ok(());
    };
    if tip >= height {
        return Ok(());
    }
    let vote = recovered.vote.filter(|vote| vote.height == height);
    let promised = vote.as_ref().map_or(Ballot::NONE, |vote| vote.promised);
    ensure(promised >= book.floor(), CHECK, || {
        format!(
            "{seat} is bound by {:?} at {height}, a power cut leaves {promised:?} (tip {tip})",
            book.floor()
        )
    })?;
    let accepted = vote
        .and_then(|vote| vote.accepted)
        .map(|(ballot, block)| (ballot, block.hash()));
    let said = book.top_accept();
    let kept = match (said, accepted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some((said, value)), Some((at, kept))) => at > said || (at == said && kept == value),
    };
    ensure(kept, CHECK, || {
        format!("{seat} has accepted {said:?} at {height}, a power cut leaves {accepted:?}")
    })
}

/// Whether a start on this disk would ask nobody: it knows of no voter but itself.
pub(crate) fn asks_nobody(seat: Seat, image: Platter, signatures: &dyn Signatures) -> bool {
    recover(seat, image, signatures).is_ok_and(|found| found.roster.voters().len() == 1)
}

fn recover(
    seat: Seat,
    image: Platter,
    signatures: &dyn Signatures,
) -> Result<Recovered, Violation> {
    let disk = SimDisk::new(Arc::new(Mutex::new(image)));
    match Ledger::open(disk, signatures) {
        Ok((_, recovered)) => Ok(recovered),
        Err(error) => Err(Violation {
            check: "check_votes_survive",
            detail: format!("{seat}: what a power cut leaves cannot be opened: {error}"),
        }),
    }
}
