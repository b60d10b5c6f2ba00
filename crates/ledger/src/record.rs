//! What records say, without the blocks they carry.

use std::sync::Arc;

use model::codec::{Decode, DecodeError, Encode};
use model::{
    Ballot, Block, BlockHash, Boot, Certificate, Height, Nonce, Record, Vote, codec_struct,
};

use crate::format::Kind;

/// A vote with the name of its block instead of the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VoteMeta {
    pub(crate) height: Height,
    pub(crate) promised: Ballot,
    pub(crate) accepted: Option<(Ballot, BlockHash)>,
}

codec_struct!(VoteMeta {
    height,
    promised,
    accepted
});

impl VoteMeta {
    fn of(vote: &Vote) -> Self {
        let accepted = vote.accepted.as_ref();
        Self {
            height: vote.height,
            promised: vote.promised,
            accepted: accepted.map(|(ballot, block)| (*ballot, block.hash())),
        }
    }

    /// This memory and a later one of the same height together: what was promised or accepted is never taken back,
    /// and an accept is a promise too.
    pub(crate) fn join(self, later: Self) -> Self {
        if self.height != later.height {
            return later.normal();
        }
        let accepted = match (self.accepted, later.accepted) {
            (Some(old), Some(new)) => Some(if new.0 >= old.0 { new } else { old }),
            (old, new) => new.or(old),
        };
        Self {
            height: self.height,
            promised: self.promised.max(later.promised),
            accepted,
        }
        .normal()
    }

    /// Restores `promised` ≥ the accepted ballot.
    pub(crate) fn normal(self) -> Self {
        let accepted = self.accepted.map_or(Ballot::NONE, |(ballot, _)| ballot);
        Self {
            promised: self.promised.max(accepted),
            ..self
        }
    }
}

/// What a start says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartMeta {
    pub(crate) boot: Boot,
    pub(crate) nonce: Nonce,
    pub(crate) tip: (Height, BlockHash),
    pub(crate) vote: Option<VoteMeta>,
}

codec_struct!(StartMeta {
    boot,
    nonce,
    tip,
    vote
});

/// What a record's head says, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meta {
    /// The body is the genesis block.
    Genesis { height: Height, hash: BlockHash },
    /// The body is the accepted block, if there is one.
    Start(StartMeta),
    /// The body is the accepted block, unless an earlier record carries it.
    Vote(VoteMeta),
    /// The body is the decided block, unless an earlier record carries it.
    Decided(Certificate),
}

impl Meta {
    /// What `record` says.
    pub(crate) fn of(record: &Record) -> Self {
        match record {
            Record::Start {
                boot,
                nonce,
                tip,
                vote,
            } => Self::Start(StartMeta {
                boot: *boot,
                nonce: *nonce,
                tip: (tip.height, tip.hash),
                vote: vote.as_ref().map(VoteMeta::of),
            }),
            Record::Vote { vote, .. } => Self::Vote(VoteMeta::of(vote)),
            Record::Decided { certificate, .. } => Self::Decided(certificate.clone()),
        }
    }

    /// The kind of record it belongs to.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Genesis { .. } => Kind::Genesis,
            Self::Start(_) => Kind::Start,
            Self::Vote(_) => Kind::Vote,
            Self::Decided(_) => Kind::Decided,
        }
    }

    /// The name of the block the record is about: the one in its body, if it has one.
    pub(crate) fn block(&self) -> Option<BlockHash> {
        let accepted = |vote: &VoteMeta| vote.accepted.map(|(_, hash)| hash);
        match self {
            Self::Genesis { hash, .. } => Some(*hash),
            Self::Start(start) => start.vote.as_ref().and_then(accepted),
            Self::Vote(vote) => accepted(vote),
            Self::Decided(certificate) => Some(certificate.hash),
        }
    }

    /// The meta part of a head.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Genesis { height, hash } => (*height, *hash).to_bytes(),
            Self::Start(start) => start.to_bytes(),
            Self::Vote(vote) => vote.to_bytes(),
            Self::Decided(certificate) => certificate.to_bytes(),
        }
    }

    /// Reads the meta part of a head of this kind.
    pub(crate) fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(match kind {
            Kind::Genesis => {
                let (height, hash) = Decode::from_bytes(bytes)?;
                Self::Genesis { height, hash }
            }
            Kind::Start => Self::Start(Decode::from_bytes(bytes)?),
            Kind::Vote => Self::Vote(Decode::from_bytes(bytes)?),
            Kind::Decided => Self::Decided(Decode::from_bytes(bytes)?),
        })
    }
}

/// The block a record is about.
pub(crate) fn block_of(record: &Record) -> Option<&Arc<Block>> {
    match record {
        Record::Start { vote, .. } => vote.as_ref().and_then(accepted),
        Record::Vote { vote, .. } => accepted(vote),
        Record::Decided { block, .. } => Some(block),
    }
}

fn accepted(vote: &Vote) -> Option<&Arc<Block>> {
    vote.accepted.as_ref().map(|(_, block)| block)
}

/// Whether the record asks for its block to be written. A start always does: it may be all that is left of a vote.
pub(crate) fn wants_body(record: &Record) -> bool {
    match record {
        Record::Start { .. } => true,
        Record::Vote { body, .. } | Record::Decided { body, .. } => *body,
    }
}

#[cfg(test)]
mod tests {
    use model::{NodeId, Signature};
    use proptest::prelude::*;

    use super::*;
    use crate::format::{DOUBLED_ROOM, HEAD};

    fn ballot() -> impl Strategy<Value = Ballot> {
        any::<(u64, [u8; 32], u64)>().prop_map(|(k, node, boot)| Ballot {
            k,
            node: NodeId(node),
            boot: Boot(boot),
        })
    }

    fn hash() -> impl Strategy<Value = BlockHash> {
        any::<[u8; 32]>().prop_map(BlockHash)
    }

    fn vote() -> impl Strategy<Value = VoteMeta> {
        (any::<u64>(), ballot(), prop::option::of((ballot(), hash()))).prop_map(
            |(height, promised, accepted)| VoteMeta {
                height: Height(height),
                promised,
                accepted,
            },
        )
    }

    fn start() -> impl Strategy<Value = Meta> {
        let tip = (any::<u64>(), hash());
        (
            any::<u64>(),
            any::<[u8; 16]>(),
            tip,
            prop::option::of(vote()),
        )
            .prop_map(|(boot, nonce, (height, hash), vote)| {
                let (boot, nonce) = (Boot(boot), Nonce(nonce));
                Meta::Start(StartMeta {
                    boot,
                    nonce,
                    tip: (Height(height), hash),
                    vote,
                })
            })
    }

    fn certificate() -> impl Strategy<Value = Certificate> {
        let signature = prop::collection::vec(any::<u8>(), 64);
        let signature = signature.prop_map(|bytes| Signature(bytes.try_into().unwrap()));
        let signatures = prop::collection::vec(signature, 0..15);
        (any::<u64>(), ballot(), hash(), any::<u16>(), signatures).prop_map(
            |(height, ballot, hash, voters, signatures)| {
                let height = Height(height);
                Certificate {
                    height,
                    ballot,
                    hash,
                    voters,
                    signatures,
                }
            },
        )
    }

    fn meta() -> impl Strategy<Value = Meta> {
        let genesis = (any::<u64>(), hash()).prop_map(|(height, hash)| Meta::Genesis {
            height: Height(height),
            hash,
        });
        let decided = certificate().prop_map(Meta::Decided);
        prop_oneof![genesis, start(), vote().prop_map(Meta::Vote), decided]
    }

    proptest! {
        #[test]
        fn metas_are_read_back_and_fit_their_room(meta in meta()) {
            let bytes = meta.to_bytes();
            prop_assert!(!meta.kind().doubled() || (HEAD + bytes.len()) as u64 <= DOUBLED_ROOM);
            prop_assert_eq!(Meta::parse(meta.kind(), &bytes), Ok(meta));
        }

        #[test]
        fn joining_never_lowers_anything(earlier in vote(), later in vote()) {
            let later = VoteMeta { height: earlier.height, ..later };
            let joined = earlier.clone().join(later.clone());
            for vote in [&earlier, &later] {
                prop_assert!(joined.promised >= vote.promised);
                let accepted = vote.accepted.map(|(ballot, _)| ballot);
                prop_assert!(joined.accepted.map(|(ballot, _)| ballot) >= accepted);
                prop_assert!(Some(joined.promised) >= accepted);
            }
        }
    }
}
