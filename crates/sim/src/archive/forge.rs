//! What somebody without the members' keys can put into an archive.

use std::sync::Arc;

use ledger::SegmentName;
use ledger::segment::{self, Below};
use model::{
    Addresses, Block, Boot, Certificate, Command, Decided, Digest, Domain, Draft, LibraryId,
    Member, NodeId, Payload, Reason, Roster, RosterChange, SealedCommand, SeatChange, Signatures,
    Statement, Timestamp, TokenId, Turn,
};

/// Who belongs to no cluster and has keys of its own.
pub(crate) struct Forger {
    pub(crate) id: NodeId,
    pub(crate) signatures: Arc<dyn Signatures>,
}

/// What made-up blocks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plot {
    /// Nothing: the voters are said to have decided them.
    Impersonate,
    /// That the forger is admitted, becomes a voter, and that all others leave. It signs for itself, so the certificates
    /// from then on are good.
    Usurp,
}

/// How many blocks a forged segment has.
const LENGTH: u64 = 40;
/// Of every segment: its first and its last bytes.
const HEADER: usize = 64;
const TRAILER: usize = 32;

/// A segment of made-up blocks above a real one, in which everything is right but signatures of real voters.
pub(crate) fn forged(
    mut below: Below,
    forger: &Forger,
    plot: Plot,
) -> Option<(SegmentName, Vec<u8>)> {
    let base = below.clone();
    let mut blocks = Vec::new();
    for _ in 0..LENGTH {
        let roster = Arc::clone(&below.roster);
        let voters = roster.voters();
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
            commands: forger.schemes(&below, plot),
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
        if let Some(roster) = below.roster.after(&block) {
            below.roster = Arc::new(roster);
        }
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

impl Forger {
    /// What the next block must say for the plot to go on.
    fn schemes(&self, below: &Below, plot: Plot) -> Vec<SealedCommand> {
        let changes = match plot {
            Plot::Impersonate => Vec::new(),
            Plot::Usurp => self.next_step(&below.roster, below.time),
        };
        let sealed = changes.into_iter().map(|change| {
            let command = Command {
                library: LibraryId::home(),
                actor: TokenId([0xad; 8]),
                key: None,
                valid_until: Timestamp(u64::MAX),
                payload: Payload::Roster(change),
            };
            command.seal([0xee; 16])
        });
        sealed.collect()
    }

    fn next_step(&self, roster: &Roster, now: Timestamp) -> Vec<RosterChange> {
        let me = Member {
            id: self.id,
            name: "usurper".to_owned(),
        };
        let voters = roster.voters();
        let seat = |change| RosterChange::Seat {
            epoch: roster.epoch(),
            change,
        };
        if !voters.contains(self.id) {
            let invite = TokenId([0xee; 8]);
            if roster.learner(self.id).is_some() {
                return vec![seat(SeatChange::Add(me))];
            }
            let invited = RosterChange::Invite {
                invite,
                secret: Digest([0xee; 32]),
                expires: Timestamp(now.0 + 1_000_000),
                votes: true,
            };
            let admitted = RosterChange::Admit {
                invite: Some(invite),
                member: me,
                addresses: Addresses {
                    peer: "usurper:7800".to_owned(),
                    url: "https://usurper:7700".to_owned(),
                },
            };
            return vec![invited, admitted];
        }
        let rival = voters.voters().iter().find(|voter| voter.id != self.id);
        let leaves = rival.map(|rival| {
            seat(SeatChange::Remove {
                node: rival.id,
                reason: Reason::Asked,
            })
        });
        leaves.into_iter().collect()
    }
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
    use model::Membership;

    use super::*;
    use crate::genesis::draw_genesis;
    use crate::keys::{self, Scheme};
    use crate::rng::Rng;

    #[test]
    fn only_signatures_of_real_voters_are_wrong_in_a_made_up_chain() {
        let keys = keys::draw(Scheme::StandIn, 4, &mut Rng::new(1));
        let members = keys.iter().take(3).map(|(id, _)| Member {
            id: *id,
            name: format!("{id:?}"),
        });
        let voters = Membership::new(members.collect()).unwrap();
        let genesis = draw_genesis(&voters, &mut Rng::new(2));
        let below = Below::genesis(&genesis).unwrap();
        let (id, signatures) = &keys[3];
        let forger = Forger {
            id: *id,
            signatures: Arc::clone(signatures),
        };
        for (plot, proven) in [(Plot::Impersonate, false), (Plot::Usurp, true)] {
            let (name, bytes) = forged(below.clone(), &forger, plot).unwrap();
            assert!(segment::check(&bytes, name, &below, &**signatures).is_err());
            let last = segment::blocks(&bytes).unwrap().last().unwrap().unwrap();
            let alone = Member {
                id: *id,
                name: "usurper".to_owned(),
            };
            let alone = Membership::new(vec![alone]).unwrap();
            let proof = last.certificate.unwrap();
            let found = proof.verify(below.chain, &alone, &**signatures).is_ok();
            assert_eq!(found, proven, "{plot:?}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc(&[b"12345", b"6789"]), 0xcbf4_3926);
    }
}
