//! Which snapshots are believed (`docs/protocol.md`, section 16).
//!
//! A snapshot lies in a file that anybody may have written. What the voters say of it stands in the chain: enough of them
//! have to name the same digest, in blocks above its height, and nothing may have been purged in any of those. Only that
//! decides, whoever hands the file out; whether its bytes are those of the digest is for whoever reads it to check.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{ReadError, Reader};
use model::{Block, BlockHash, Digest, Entry, Height, Membership, NodeId, SnapshotStep};

/// What names a snapshot: nodes that came to the same state name it alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Of which height it is.
    pub height: Height,
    /// The version of the catalogue's tables in it.
    pub version: u32,
    /// Its digest.
    pub digest: Digest,
}

/// The first of these snapshots that is believed, that can be loaded, and that says it is of the block which was decided
/// at its height. `load` gives that block's hash with what it has loaded.
///
/// # Errors
/// If a block above one of them cannot be read.
pub fn begin_with<T>(
    reader: &Reader,
    claims: impl IntoIterator<Item = Claim>,
    mut load: impl FnMut(Claim) -> Option<(BlockHash, T)>,
) -> Result<Option<(Claim, T)>, ReadError> {
    for claim in claims {
        if !is_believed(reader, claim)? {
            continue;
        }
        let loaded = load(claim);
        let decided = reader.hash(claim.height);
        if let Some((_, content)) = loaded.filter(|(hash, _)| Some(*hash) == decided) {
            return Ok(Some((claim, content)));
        }
    }
    Ok(None)
}

/// Whether enough voters vouch for a snapshot in the blocks above it, and nothing was purged there.
///
/// # Errors
/// If one of those blocks cannot be read.
pub fn is_believed(reader: &Reader, claim: Claim) -> Result<bool, ReadError> {
    let mut vouching = BTreeSet::new();
    let (tip, _) = reader.tip();
    if claim.height >= tip {
        return Ok(false);
    }
    for decided in reader.blocks(claim.height.next()) {
        if !hear(&decided?.block, claim, &mut vouching) {
            return Ok(false);
        }
    }
    Ok(are_enough(reader.roster().voters(), &vouching))
}

/// The digest that is believed of a height, if this is what was said of it since the last purge, and by whom.
pub fn believed(voters: &Membership, vouched: &BTreeMap<NodeId, Digest>) -> Option<Digest> {
    let digests: BTreeSet<Digest> = vouched.values().copied().collect();
    digests.into_iter().find(|digest| {
        let same = vouched.iter().filter(|(_, said)| *said == digest);
        are_enough(voters, &same.map(|(node, _)| *node).collect())
    })
}

/// Takes note of who vouches in a block; false if something is purged there.
fn hear(block: &Block, claim: Claim, vouching: &mut BTreeSet<NodeId>) -> bool {
    for sealed in block.entries().iter().filter_map(Entry::sealed) {
        if sealed.is_purge() {
            return false;
        }
        let Some(SnapshotStep::Vouch {
            height,
            version,
            digest,
            node,
        }) = sealed.snapshot_step()
        else {
            continue;
        };
        if (height, version, digest) == (claim.height, claim.version, claim.digest) {
            vouching.insert(node);
        }
    }
    true
}

/// Whether at least one of these nodes is right, if no more are wrong than a cluster survives.
fn are_enough(voters: &Membership, nodes: &BTreeSet<NodeId>) -> bool {
    let vouching = nodes.iter().filter(|node| voters.contains(**node));
    vouching.count() > voters.faults()
}

#[cfg(test)]
mod tests {
    use model::{Boot, ChainId, Draft, Timestamp, Turn};
    use model::{
        Command, Erasure, LibraryId, Member, Payload, Position, Residue, SealedCommand, TokenId,
    };

    use super::*;

    const VERSION: u32 = 5;

    fn voters(count: u8) -> Membership {
        let member = |n: u8| Member {
            id: NodeId([n; 32]),
            name: format!("n{n}"),
        };
        Membership::new((1..=count).map(member).collect()).unwrap()
    }

    fn nodes(ids: &[u8]) -> BTreeSet<NodeId> {
        ids.iter().map(|n| NodeId([*n; 32])).collect()
    }

    #[test]
    fn one_more_than_may_be_wrong_are_believed() {
        for (count, needed) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4)] {
            let voters = voters(count);
            let ids: Vec<u8> = (1..=count).collect();
            let (few, enough) = (&ids[..needed - 1], &ids[..needed]);
            assert!(!are_enough(&voters, &nodes(few)), "{count}");
            assert!(are_enough(&voters, &nodes(enough)), "{count}");
            // Who is no voter does not count.
            let others: Vec<u8> = few.iter().copied().chain(100..120).collect();
            assert!(!are_enough(&voters, &nodes(&others)), "{count}");
        }
    }

    fn sealed(payload: Payload) -> SealedCommand {
        let command = Command {
            library: LibraryId::home(),
            actor: TokenId([1; 8]),
            key: None,
            valid_until: Timestamp(1),
            payload,
        };
        command.seal([7; 16])
    }

    fn block(payloads: Vec<Payload>) -> Block {
        let me = Turn {
            node: NodeId([1; 32]),
            boot: Boot(1),
        };
        Block::new(Draft {
            chain: ChainId([7; 16]),
            height: Height(9),
            parent: None,
            membership: voters(3).hash(),
            proposer: me,
            time: Timestamp(1),
            hint: None,
            commands: payloads.into_iter().map(sealed).collect(),
        })
    }

    #[test]
    fn what_is_said_of_another_snapshot_does_not_count_and_a_purge_ends_it() {
        let claim = Claim {
            height: Height(7),
            version: VERSION,
            digest: Digest([3; 32]),
        };
        let vouch = |height, version, digest, node| {
            Payload::Snapshot(SnapshotStep::Vouch {
                height: Height(height),
                version,
                digest: Digest([digest; 32]),
                node: NodeId([node; 32]),
            })
        };
        let mut vouching = BTreeSet::new();
        let said = block(vec![
            vouch(7, VERSION, 3, 1),
            vouch(7, VERSION, 3, 1),
            vouch(8, VERSION, 3, 2),
            vouch(7, VERSION + 1, 3, 2),
            vouch(7, VERSION, 4, 2),
            Payload::Snapshot(SnapshotStep::Mark),
        ]);
        assert!(hear(&said, claim, &mut vouching));
        assert_eq!(vouching, nodes(&[1]));
        let purge = Payload::Purge(vec![Erasure {
            position: Position {
                height: Height(1),
                index: 0,
            },
            actor: TokenId([1; 8]),
            residue: Residue::Leaf,
        }]);
        let purged = block(vec![vouch(7, VERSION, 3, 2), purge]);
        assert!(!hear(&purged, claim, &mut vouching));
    }
}
