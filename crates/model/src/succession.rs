//! A chain that goes on where another one ended.
//!
//! When most voters of a chain are lost for good, nobody can decide its next block. An operator may then declare what
//! survives to be the beginning of another chain: the **successor**. It has an id of its own, so no signature and no
//! message of the one counts in the other; its first block stands right above the last one that is kept and names it as
//! its parent, so heights go on, and everything below is fixed by hashes.
//!
//! No quorum decided that first block. It is believed because the operator says so, like a genesis block, and says
//! itself what it is: a [`Payload::Succession`](crate::Payload::Succession) with what was kept, and what may be lost.

use crate::certificate::Certificate;
use crate::codec_struct;
use crate::id::{BlockHash, ChainId, Height};
use crate::membership::Member;
use crate::time::Timestamp;

/// What a successor goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// The chain before.
    pub chain: ChainId,
    /// Its last block that is kept.
    pub height: Height,
    /// That block.
    pub hash: BlockHash,
    /// The proof that it was decided; none if it is the first of its chain.
    pub certificate: Option<Certificate>,
    /// Who belonged to the chain before, now or earlier, and does not belong to this one.
    pub left: Vec<Member>,
    /// How many commands of a block that was accepted above, and perhaps decided, were carried over. They stand at the
    /// end of the successor's first block.
    pub carried: u32,
    /// What may be lost, for people.
    pub note: String,
    /// When the operator said so, by the clock of the machine. The block's own time may be earlier, so that commands
    /// carried over have not expired.
    pub recovered_at: Timestamp,
}

codec_struct!(Predecessor {
    chain,
    height,
    hash,
    certificate,
    left,
    carried,
    note,
    recovered_at
});

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::membership::Membership;
    use crate::{Block, Command, Decode as _, Encode as _, LibraryId, NodeId, Payload, TokenId};

    fn member(n: u8) -> Member {
        Member {
            id: NodeId([n; 32]),
            name: format!("n{n}"),
        }
    }

    fn predecessor() -> Predecessor {
        Predecessor {
            chain: ChainId([1; 16]),
            height: Height(41),
            hash: BlockHash([4; 32]),
            certificate: None,
            left: vec![member(1), member(2)],
            carried: 0,
            note: "nothing".to_owned(),
            recovered_at: Timestamp(9),
        }
    }

    fn block(chain: u8, place: (Height, BlockHash), predecessor: Predecessor) -> Block {
        let voters = Membership::new(vec![member(1)]).unwrap();
        let command = Command {
            library: LibraryId::home(),
            actor: TokenId([0; 8]),
            key: None,
            valid_until: Timestamp(9),
            payload: Payload::Succession {
                voters: voters.voters().to_vec(),
                predecessor: Arc::new(predecessor),
            },
        };
        let commands = vec![command.seal([7; 16])];
        Block::succeeding(ChainId([chain; 16]), &voters, place, Timestamp(9), commands)
    }

    #[test]
    fn a_successor_begins_right_above_the_block_that_it_names() {
        let right = (Height(42), BlockHash([4; 32]));
        let founds = |block: &Block| block.founded_membership().is_some();
        let first = block(2, right, predecessor());
        assert!(founds(&first));
        assert_eq!(first.predecessor(), Some(predecessor()));
        assert_eq!(Block::from_bytes(&first.to_bytes()), Ok(first));
        assert!(!founds(&block(1, right, predecessor())), "the same chain");
        for wrong in [
            (Height(43), BlockHash([4; 32])),
            (Height(41), BlockHash([4; 32])),
            (Height(0), BlockHash([4; 32])),
            (Height(42), BlockHash([5; 32])),
        ] {
            let block = block(2, wrong, predecessor());
            assert!(!founds(&block), "{wrong:?}");
            assert_eq!(block.predecessor(), None);
        }
    }

    #[test]
    fn who_is_left_behind_is_not_taken_back_and_keeps_its_name() {
        let first = block(2, (Height(42), BlockHash([4; 32])), predecessor());
        let roster = crate::Roster::founded_by(&first).unwrap();
        assert_eq!(roster.voters().len(), 1);
        assert_eq!(roster.name_of(NodeId([2; 32])), Some("n2"));
        assert!(roster.former().contains_key(&NodeId([2; 32])));
        assert!(!roster.former().contains_key(&NodeId([1; 32])), "it votes");
    }
}
