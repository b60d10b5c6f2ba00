//! How nodes, ballots, blocks and messages are written in a script's output.

use std::error::Error;

use consensus::{Engine, Message, Phase};
use model::{Ballot, Block, NodeId, Payload};

/// `n3`.
pub(crate) fn name(node: NodeId) -> String {
    format!("n{}", node.0[0])
}

pub(crate) fn id(name: &str) -> Result<NodeId, Box<dyn Error>> {
    let number: u8 = name
        .strip_prefix('n')
        .ok_or("a node is called n1, n2, …")?
        .parse()?;
    Ok(NodeId([number; 32]))
}

/// `(2,n3,1)`: attempt, owner, boot.
pub(crate) fn ballot(ballot: Ballot) -> String {
    match ballot {
        Ballot::NONE => "none".to_owned(),
        Ballot { k, node, boot } => format!("({k},{},{boot})", name(node)),
    }
}

/// `1:[a b]→n2`: height, commands, turn of the next height.
pub(crate) fn block(block: &Block) -> String {
    let bodies: Vec<String> = block
        .entries()
        .iter()
        .filter_map(|entry| match entry.sealed()?.open().ok()?.payload {
            Payload::Record(body) => Some(String::from_utf8_lossy(&body).into_owned()),
            _ => None,
        })
        .collect();
    let turn = block
        .header()
        .hint
        .map_or("none".to_owned(), |turn| name(turn.node));
    format!("{}:[{}]→{turn}", block.height(), bodies.join(" "))
}

/// Kind and text; an empty text is not shown.
pub(crate) fn message(message: &Message) -> (&'static str, String) {
    match message {
        Message::Prepare { height, ballot: b } => ("prepare", format!("{height} {}", ballot(*b))),
        Message::Promise {
            height,
            ballot: b,
            accepted,
        } => {
            let last = accepted.as_ref().map_or("nothing".to_owned(), |(at, v)| {
                format!("{} {}", ballot(*at), block(v))
            });
            (
                "promise",
                format!("{height} {}, accepted {last}", ballot(*b)),
            )
        }
        Message::Nack {
            height,
            ballot: b,
            promised,
        } => (
            "nack",
            format!("{height} {}, promised {}", ballot(*b), ballot(*promised)),
        ),
        Message::Accept(accept) => (
            "accept",
            format!("{} {}", ballot(accept.ballot), block(&accept.block)),
        ),
        Message::Accepted {
            height, ballot: b, ..
        } => ("accepted", format!("{height} {}", ballot(*b))),
        Message::Decide { block: b, .. } => ("decide", block(b)),
        Message::Fetch { from } => ("fetch", format!("from {from}")),
        Message::FetchAccepted { height, .. } => ("fetch-accepted", format!("{height}")),
        Message::Body { block: b } => ("body", block(b)),
        Message::Push { commands } => ("push", format!("{} commands", commands.len())),
        Message::AskTop { round, .. } => ("ask-top", format!("round {}", read_round(*round))),
        Message::Top { round, top } => ("top", format!("round {}: {top}", read_round(*round))),
        Message::Finish { height } => ("finish", height.to_string()),
        Message::Beacon(_)
        | Message::Ping { .. }
        | Message::Pong { .. }
        | Message::WhatWasI { .. }
        | Message::YouWere { .. } => ("quiet", String::new()),
    }
}

/// Rounds are numbered anew in each incarnation, from a number of its own.
fn read_round(round: u64) -> String {
    let (boot, round) = (round >> 32, round & 0xffff_ffff);
    format!("{boot}.{round}")
}

/// `n1: tip 2, turn n2 boot 1, promised none, accepted nothing`.
pub(crate) fn engine(id: NodeId, engine: &Engine) -> String {
    let vote = engine.vote();
    let accepted = vote
        .accepted
        .as_ref()
        .map_or("nothing".to_owned(), |(at, v)| {
            format!("{} {}", ballot(*at), block(v))
        });
    let turn = engine.turn().map_or("nobody".to_owned(), |turn| {
        format!("{} boot {}", name(turn.node), turn.boot)
    });
    let phase = match engine.phase() {
        Phase::Voting => String::new(),
        phase => format!(", {phase:?}"),
    };
    format!(
        "{}: tip {}, turn {turn}, promised {}, accepted {accepted}{phase}",
        name(id),
        engine.tip(),
        ballot(vote.promised),
    )
}
