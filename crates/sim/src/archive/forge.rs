//! What somebody without the members' keys can put into an archive.

use std::sync::Arc;

use ledger::SegmentName;
use ledger::segment::{self, Below};
use model::{
    Block, Boot, Certificate, Decided, Domain, Draft, NodeId, Signatures, Statement, Timestamp,
    Turn,
};

/// Who belongs to no cluster and has keys of its own.
pub(crate) struct Forger {
    pub(crate) id: NodeId,
    pub(crate) signatures: Arc<dyn Signatures>,
}

/// How many blocks a forged segment has.
const LENGTH: u64 = 40;
/// Of every segment: its first and its last bytes.
const HEADER: usize = 64;
const TRAILER: usize = 32;

/// A segment of empty blocks above a real one, in which everything is right but the signatures.
pub(crate) fn forged(mut below: Below, forger: &Forger) -> Option<(SegmentName, Vec<u8>)> {
    let base = below.clone();
    let mut blocks = Vec::new();
    for _ in 0..LENGTH {
        let voters = below.roster.voters();
        let proposer = Turn {
            node: voters.voters().first()?.id,
            boot: Boot(1),
        };
        let block = Block::new(Draft {
            chain: below.chain,
            height: below.height.next(),
            parent: Some(below.hash),
            membership: voters.hash(),
            proposer,
            time: Timestamp(below.time.0 + 1),
            hint: Some(proposer),
            commands: Vec::new(),
        });
        let ballot = model::Ballot {
            k: 1,
            node: proposer.node,
            boot: proposer.boot,
        };
        let statement = Statement {
            domain: Domain::Accepted,
            chain: below.chain,
            membership: voters.hash(),
            height: block.height(),
            ballot,
            hash: block.hash(),
        };
        let signature = forger.signatures.sign(&statement);
        let signed = voters.voters().iter().map(|voter| (voter.id, signature));
        let place = (block.height(), ballot, block.hash());
        let certificate = Certificate::collect(voters, place, signed);
        below.height = block.height();
        below.hash = block.hash();
        below.time = block.header().time;
        blocks.push(Decided {
            block: Arc::new(block),
            certificate: Some(certificate),
        });
    }
    segment::build(base, &blocks).ok()?
}

/// A real segment whose summary names the forger in a voter's place, with every checksum made right; nothing if it
/// cannot be done without being seen at once.
pub(crate) fn misled(bytes: &[u8], voters: &[NodeId], forger: &Forger) -> Option<Vec<u8>> {
    let last = segment::blocks(bytes).ok()?.last()?.ok()?;
    // The certificate names who won: that is compared with the block's.
    let winner = last.certificate?.ballot.node;
    let victim = voters.iter().find(|voter| **voter != winner)?;
    let end = bytes.len();
    let trailer_at = end.checked_sub(TRAILER)?;
    let length = bytes.get(trailer_at + 8..trailer_at + 12)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let mut bytes = bytes.to_vec();
    let summary = bytes.get_mut(trailer_at.checked_sub(length)?..trailer_at)?;
    while let Some(at) = summary.windows(32).position(|window| window == victim.0) {
        summary.get_mut(at..at + 32)?.copy_from_slice(&forger.id.0);
    }
    let sum = crc(&[summary]);
    bytes
        .get_mut(trailer_at + 12..trailer_at + 16)?
        .copy_from_slice(&sum.to_be_bytes());
    let sum = crc(&[bytes.get(..HEADER)?, bytes.get(trailer_at..end - 4)?]);
    bytes
        .get_mut(end - 4..)?
        .copy_from_slice(&sum.to_be_bytes());
    Some(bytes)
}

/// CRC-32 as in zlib, a bit at a time.
fn crc(parts: &[&[u8]]) -> u32 {
    let mut sum = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc(&[b"12345", b"6789"]), 0xcbf4_3926);
    }
}
