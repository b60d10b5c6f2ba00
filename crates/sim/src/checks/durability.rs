//! Checks on what the disks hold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use consensus::Message;
use ledger::{Ledger, Recovered};
use model::{Ballot, Encode, Height, Signatures};

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
        )
    }
}

/// Opens what a power cut would leave and looks for everything that `seat` has ever said.
pub(crate) fn check_votes_survive(
    seat: Seat,
    image: Platter,
    signatures: &dyn Signatures,
    votes: &Votes,
) -> Checked {
    const CHECK: &str = "check_votes_survive";
    let recovered = recover(seat, image, signatures)?;
    let tip = recovered.tip.block.height();
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
