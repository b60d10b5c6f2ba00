//! Checks on segments, and on logs whose beginning is gone.

use std::sync::{Arc, Mutex};

use ledger::{Ledger, SegmentName, segment};
use model::{Boot, Encode as _, Height, Signatures};

use super::chain::Chain;
use super::durability::{Kept, check_votes_survive};
use super::rules::quorum;
use super::votes::Votes;
use super::{Checked, ensure};
use crate::disk::{Platter, SimDisk};
use crate::seat::Seat;

/// A segment that a node has sealed, or believed, holds the decided blocks of its heights, none of them above `tip`, each
/// with a proof.
pub(crate) fn check_segments_hold_the_chain(
    seat: Seat,
    (name, bytes): (SegmentName, &[u8]),
    tip: Height,
    chain: &Chain,
    signatures: &dyn Signatures,
) -> Checked {
    const CHECK: &str = "check_segments_hold_the_chain";
    ensure(name.to() <= tip, CHECK, || {
        format!("{seat} has {name}, decided is {tip}")
    })?;
    let mut next = name.from();
    let contents = segment::blocks(bytes);
    for decided in contents.into_iter().flatten() {
        let wrong = |what: &str| format!("{seat} has {name}, of which {next} is {what}");
        let Ok(decided) = decided else {
            return ensure(false, CHECK, || wrong("damaged"));
        };
        let known = chain.block(next);
        let same = known.is_some_and(|known| **known == *decided.block);
        ensure(same, CHECK, || wrong("another block than was decided"))?;
        let voters = chain.voters(next);
        let chain_id = decided.block.header().chain;
        let proved = decided.certificate.is_some_and(|certificate| {
            let signers = certificate.voters.count_ones() as usize;
            signers >= quorum(voters.len())
                && certificate.verify(chain_id, voters, signatures).is_ok()
        });
        ensure(proved, CHECK, || wrong("without proof"))?;
        next = next.next();
    }
    ensure(next == name.to().next(), CHECK, || {
        format!("{seat} has {name}, which ends below {next}")
    })
}

/// The log holds, for certain, the mark of the last block that a segment was made of: what a file of the log says is
/// missed by nobody only if what is in the segment does not rest on a later one that a power cut may take.
pub(crate) fn check_sealed_is_flushed(
    seat: Seat,
    (name, bytes): (SegmentName, &[u8]),
    platter: &Platter,
) -> Checked {
    let contents = segment::blocks(bytes).ok();
    let last = contents.and_then(|contents| contents.last()?.ok());
    let mark = last.and_then(|last| last.certificate).map(|c| c.to_bytes());
    let flushed = mark.is_some_and(|mark| platter.log_holds(&mark));
    ensure(flushed, "check_sealed_is_flushed", || {
        format!(
            "{seat} has sealed {name}, and a power cut takes the mark of its last block from the log"
        )
    })
}

/// What a power cut leaves still names the boot that runs, or it would be used again.
pub(crate) fn check_boots_survive(
    seat: Seat,
    image: Platter,
    signatures: &dyn Signatures,
    boot: Boot,
) -> Checked {
    const CHECK: &str = "check_boots_survive";
    let disk = SimDisk::new(Arc::new(Mutex::new(image)));
    match Ledger::open(disk, signatures) {
        Ok((_, found)) => ensure(found.boot >= boot, CHECK, || {
            format!(
                "{seat} runs as {boot:?}, a power cut leaves {:?}",
                found.boot
            )
        }),
        Err(error) => ensure(false, CHECK, || {
            format!("{seat} cannot open its log: {error}")
        }),
    }
}

/// `image` lacks one segment: the ledger opens, no vote is lost, and if it is the newest, no block either.
pub(crate) fn check_one_lost_segment_is_no_loss(
    seat: Seat,
    image: Platter,
    (votes, signatures): (&Votes, &dyn Signatures),
    newest: bool,
) -> Checked {
    const CHECK: &str = "check_one_lost_segment_is_no_loss";
    let again = image.durable_image();
    check_votes_survive(seat, (image, Kept::Blocks), signatures, votes).map_err(|violation| {
        super::Violation {
            check: CHECK,
            detail: violation.detail,
        }
    })?;
    if !newest {
        return Ok(());
    }
    let disk = SimDisk::new(Arc::new(Mutex::new(again)));
    let Ok((ledger, _)) = Ledger::open(disk, signatures) else {
        return ensure(false, CHECK, || format!("{seat} cannot open its log"));
    };
    for height in (0..=ledger.tip().0.0).map(Height) {
        let read = ledger.read(height);
        ensure(matches!(read, Ok(Some(_))), CHECK, || {
            format!("{seat} has lost {height} with its newest segment: {read:?}")
        })?;
    }
    Ok(())
}
