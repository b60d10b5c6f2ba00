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
