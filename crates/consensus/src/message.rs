//! What members say to each other.
//!
//! A message needs no signature of its own: the link it comes over is authenticated by the sender's key, so the
//! sender is known. What must convince third parties (accepts and what certificates are made of) is signed inside.

use std::sync::Arc;

use model::{
    Ballot, Block, BlockHash, Boot, Certificate, Height, MembershipHash, Nonce, SealedCommand,
    Signature, Timestamp, codec_enum, codec_struct,
};

/// One message from one member to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Phase 1: will you join this ballot?
    Prepare {
        /// The height fought over.
        height: Height,
        /// The sender's ballot, k ≥ 2.
        ballot: Ballot,
    },
    /// Phase 1: yes, and this is what I have accepted before.
    Promise {
        /// The height.
        height: Height,
        /// The ballot joined.
        ballot: Ballot,
        /// The highest ballot accepted so far and its block.
        accepted: Option<(Ballot, Arc<Block>)>,
    },
    /// No: a higher ballot was joined.
    Nack {
        /// The height.
        height: Height,
        /// The ballot refused.
        ballot: Ballot,
        /// The ballot joined.
        promised: Ballot,
    },
    /// Phase 2: accept this block.
    Accept(Accept),
    /// Phase 2: durably accepted.
    Accepted {
        /// The height.
        height: Height,
        /// The ballot.
        ballot: Ballot,
        /// The block.
        hash: BlockHash,
        /// The sender's, in the domain "accepted".
        signature: Signature,
    },
    /// This block is decided, and here is the proof.
    Decide {
        /// The block.
        block: Arc<Block>,
        /// The proof.
        certificate: Certificate,
    },
    /// Send me decided blocks from this height on, as many as fit a few messages.
    Fetch {
        /// The first height wanted.
        from: Height,
    },
    /// Send me the body of the block you accepted at this height.
    FetchAccepted {
        /// The height.
        height: Height,
        /// The block.
        hash: BlockHash,
    },
    /// The answer to [`Message::FetchAccepted`]. Its hash says that it is the right one.
    Body {
        /// The block.
        block: Arc<Block>,
    },
    /// Commands for whoever has the turn. They stay pending at their origin until seen in a decided block.
    Push {
        /// The commands.
        commands: Vec<SealedCommand>,
    },
    /// Proof of life; lets heads be compared.
    Beacon(Beacon),
    /// Asks for an echo, to measure the round trip.
    Ping {
        /// The sender's instant, given back as it is.
        sent: u64,
    },
    /// The echo.
    Pong {
        /// From the ping.
        sent: u64,
    },
    /// A node has started and asks what was last seen of it.
    WhatWasI {
        /// Its new boot.
        boot: Boot,
        /// Its new nonce.
        nonce: Nonce,
    },
    /// What was seen of the asker before this start; nothing if never heard of.
    YouWere {
        /// The nonce of the question.
        nonce: Nonce,
        /// The last incarnation seen, and how far it was.
        seen: Option<Seen>,
    },
    /// A read asks how high the receiver has accepted or decided.
    AskTop {
        /// The sender's round.
        round: u64,
        /// The sender's epoch at its tip + 1.
        membership: MembershipHash,
    },
    /// The answer.
    Top {
        /// The round asked about.
        round: u64,
        /// The highest height accepted or decided, durably.
        top: Height,
    },
    /// A read at a learner waits for this height, which somebody has accepted: have it decided.
    Finish {
        /// The height.
        height: Height,
    },
}

/// Phase 2 request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// The ballot; the height is the block's.
    pub ballot: Ballot,
    /// The value.
    pub block: Arc<Block>,
    /// The ballot owner's, in the domain "propose".
    pub signature: Signature,
    /// Proof that the parent is decided; none above genesis.
    pub parent: Option<Certificate>,
    /// Advice, not hashed: bit i is set if the voter at place i of the ring had commands in this block.
    pub workers: u16,
}

/// Sent four times a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// The sender's start counter.
    pub boot: Boot,
    /// The sender's nonce.
    pub nonce: Nonce,
    /// Its last decided height.
    pub tip: Height,
    /// The same, as far as it is flushed.
    pub durable_tip: Height,
    /// Hash of the block at `tip`.
    pub head: BlockHash,
    /// The epoch in force above the tip.
    pub membership: MembershipHash,
    /// The sender's wall clock.
    pub clock: Timestamp,
    /// Whether commands are pending at the sender.
    pub has_work: bool,
    /// Whether the sender wants no turn: it shuts down, or its disk is slow or full.
    pub yielding: bool,
}

/// What a peer remembers of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its start counter.
    pub boot: Boot,
    /// Its nonce.
    pub nonce: Nonce,
    /// The highest durable tip it reported.
    pub durable_tip: Height,
    /// The highest vote it cast (durable when it was reported): height and ballot.
    pub vote: (Height, Ballot),
}

codec_struct!(Accept {
    ballot,
    block,
    signature,
    parent,
    workers
});
codec_struct!(Beacon {
    boot,
    nonce,
    tip,
    durable_tip,
    head,
    membership,
    clock,
    has_work,
    yielding,
});
codec_struct!(Seen {
    boot,
    nonce,
    durable_tip,
    vote
});

codec_enum!(Message, "message" {
    1 => Prepare { height, ballot },
    2 => Promise { height, ballot, accepted },
    3 => Nack { height, ballot, promised },
    4 => Accept(accept),
    5 => Accepted { height, ballot, hash, signature },
    6 => Decide { block, certificate },
    7 => Fetch { from },
    8 => FetchAccepted { height, hash },
    9 => Push { commands },
    10 => Beacon(beacon),
    11 => Ping { sent },
    12 => Pong { sent },
    13 => WhatWasI { boot, nonce },
    14 => YouWere { nonce, seen },
    15 => AskTop { round, membership },
    16 => Top { round, top },
    17 => Body { block },
    18 => Finish { height },
});
