//! Pruning: old commands about files lose their bytes, where a snapshot holds all that came of them.
//!
//! A prune names a height and a snapshot at that height or above. It is in force only if the chain itself says enough for
//! that snapshot, so whoever reads the chain comes to the same. Of each command a leaf stays and what its request is known
//! by, as of one that was purged; but a catalogue must not pass over it: it begins with a snapshot instead.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::Block;
use crate::codec_struct;
use crate::id::{Digest, Height, NodeId};
use crate::limits::KEYED_WINDOW;
use crate::membership::Membership;
use crate::snapshot::SnapshotStep;
use crate::time::Timestamp;

/// One snapshot, as nodes vouch for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotRef {
    /// Of which height it is the state.
    pub height: Height,
    /// The version of the tables in it.
    pub version: u32,
    /// By which it is named.
    pub digest: Digest,
}

codec_struct!(SnapshotRef {
    height,
    version,
    digest
});

/// What is to be pruned, and what takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prune {
    /// The last height whose commands go.
    pub through: Height,
    /// What holds all that they did.
    pub snapshot: SnapshotRef,
}

codec_struct!(Prune { through, snapshot });

impl Prune {
    /// Whether it is in force in the block at this height and time, which these voters decide. `vouchers` have heard all
    /// blocks between the snapshot's and this one, and `last` is the time of the last block that is to be pruned.
    pub fn is_in_force(
        &self,
        (at, time): (Height, Timestamp),
        last: Timestamp,
        vouchers: &Vouchers,
        voters: &Membership,
    ) -> bool {
        self.is_about(at)
            && Self::is_old_enough(last, time)
            && vouchers.are_enough(&self.snapshot, voters)
    }

    /// Whether the heights that it names may stand in the block at this one.
    pub fn is_about(&self, at: Height) -> bool {
        Height::GENESIS < self.through
            && self.through <= self.snapshot.height
            && self.snapshot.height < at
    }

    /// Whether a block of this time may be pruned by one of that time: what clients may still repeat is left.
    pub fn is_old_enough(pruned: Timestamp, by: Timestamp) -> bool {
        pruned.plus(KEYED_WINDOW) < by
    }
}

/// Who vouches for which snapshots, of the blocks heard so far.
#[derive(Debug, Clone, Default)]
pub struct Vouchers {
    said: BTreeMap<SnapshotRef, BTreeSet<NodeId>>,
    purged: Height,
}

impl Vouchers {
    /// Takes in the next block.
    pub fn hear(&mut self, block: &Block) {
        for sealed in block.entries().iter().filter_map(|entry| entry.sealed()) {
            if sealed.is_purge() {
                self.purged = block.height();
                self.said
                    .retain(|snapshot, _| snapshot.height >= self.purged);
            }
            if let Some(SnapshotStep::Vouch {
                height,
                version,
                digest,
                node,
            }) = sealed.snapshot_step()
                && self.purged <= height
                && height < block.height()
            {
                let snapshot = SnapshotRef {
                    height,
                    version,
                    digest,
                };
                self.said.entry(snapshot).or_default().insert(node);
            }
        }
    }

    /// Whether at least one of those who vouch for a snapshot is right, if no more of these voters are wrong than a
    /// cluster survives; and nothing was purged since.
    pub fn are_enough(&self, snapshot: &SnapshotRef, voters: &Membership) -> bool {
        let said = self.said.get(snapshot).into_iter().flatten();
        said.filter(|node| voters.contains(**node)).count() > voters.faults()
    }

    /// Whether a purge was heard in a block above this height.
    pub fn is_purged_above(&self, height: Height) -> bool {
        self.purged > height
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Draft;
    use crate::command::{Command, Payload};
    use crate::id::{Boot, ChainId, LibraryId, TokenId};
    use crate::{Erasure, Member, Position, Residue, Turn};

    const DAY: u64 = 24 * 3600 * 1_000_000;
    const SNAPSHOT: SnapshotRef = SnapshotRef {
        height: Height(10),
        version: 3,
        digest: Digest([1; 32]),
    };
    const PRUNE: Prune = Prune {
        through: Height(9),
        snapshot: SNAPSHOT,
    };

    fn voters() -> Membership {
        let member = |n: u8| Member {
            id: NodeId([n; 32]),
            name: format!("n{n}"),
        };
        Membership::new((1..=3).map(member).collect()).unwrap()
    }

    fn vouch(snapshot: SnapshotRef, node: u8) -> Payload {
        Payload::Snapshot(SnapshotStep::Vouch {
            height: snapshot.height,
            version: snapshot.version,
            digest: snapshot.digest,
            node: NodeId([node; 32]),
        })
    }

    fn purge() -> Payload {
        let position = Position {
            height: Height(1),
            index: 0,
        };
        Payload::Purge(vec![Erasure {
            position,
            actor: TokenId([0; 8]),
            residue: Residue::Nothing,
        }])
    }

    fn block(height: u64, payloads: Vec<Payload>) -> Block {
        let command = |payload| Command {
            library: LibraryId::home(),
            actor: TokenId([0; 8]),
            key: None,
            valid_until: Timestamp(u64::MAX),
            payload,
        };
        let sealed = |payload| command(payload).seal([0; 16]);
        Block::new(Draft {
            chain: ChainId([0; 16]),
            height: Height(height),
            parent: None,
            membership: voters().hash(),
            proposer: Turn {
                node: NodeId([1; 32]),
                boot: Boot(1),
            },
            time: Timestamp(height),
            hint: None,
            commands: payloads.into_iter().map(sealed).collect(),
        })
    }

    fn heard(blocks: Vec<(u64, Vec<Payload>)>) -> Vouchers {
        let mut vouchers = Vouchers::default();
        for (height, payloads) in blocks {
            vouchers.hear(&block(height, payloads));
        }
        vouchers
    }

    fn is_in_force(prune: Prune, vouchers: &Vouchers) -> bool {
        let by = (Height(20), Timestamp(DAY + 6));
        prune.is_in_force(by, Timestamp(5), vouchers, &voters())
    }

    #[test]
    fn one_more_than_may_be_wrong_have_to_vouch_for_the_same() {
        let other = SnapshotRef {
            digest: Digest([2; 32]),
            ..SNAPSHOT
        };
        let one = (11, vec![vouch(SNAPSHOT, 1)]);
        assert!(!is_in_force(PRUNE, &heard(vec![one.clone()])));
        for second in [
            vouch(SNAPSHOT, 1),
            vouch(SNAPSHOT, 9),
            vouch(other, 2),
            vouch(
                SnapshotRef {
                    version: 4,
                    ..SNAPSHOT
                },
                2,
            ),
        ] {
            assert!(!is_in_force(
                PRUNE,
                &heard(vec![one.clone(), (12, vec![second])])
            ));
        }
        assert!(is_in_force(
            PRUNE,
            &heard(vec![one, (12, vec![vouch(SNAPSHOT, 2)])])
        ));
    }

    #[test]
    fn a_purge_above_the_snapshot_takes_every_word_for_it_back() {
        let words = || vec![vouch(SNAPSHOT, 1), vouch(SNAPSHOT, 2)];
        assert!(is_in_force(
            PRUNE,
            &heard(vec![(10, vec![purge()]), (11, words())])
        ));
        assert!(!is_in_force(
            PRUNE,
            &heard(vec![(11, words()), (12, vec![purge()])])
        ));
        assert!(!is_in_force(
            PRUNE,
            &heard(vec![(11, vec![purge()]), (12, words())])
        ));
    }

    #[test]
    fn what_is_young_or_not_in_the_snapshot_is_not_pruned() {
        let vouchers = heard(vec![(11, vec![vouch(SNAPSHOT, 1), vouch(SNAPSHOT, 2)])]);
        let at = |height, time, last| {
            PRUNE.is_in_force(
                (Height(height), Timestamp(time)),
                Timestamp(last),
                &vouchers,
                &voters(),
            )
        };
        assert!(at(12, DAY + 6, 5));
        assert!(!at(12, DAY + 5, 5));
        assert!(!at(10, DAY + 6, 5));
        for through in [0, 11] {
            let through = Height(through);
            assert!(!is_in_force(Prune { through, ..PRUNE }, &vouchers));
        }
    }
}
