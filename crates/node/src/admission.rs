//! Letting newcomers in: an invite is checked, the newcomer becomes a learner by a decided block.
//!
//! The check here is for a clear answer; what counts is what the roster makes of the command. The node that is asked
//! knows the invite's secret from the newcomer and its hash from the ledger. The rest, catching up and asking for a
//! seat, the newcomer does by itself.

use std::time::Duration;

use consensus::{Phase, Role};
use model::codec::Encode as _;
use model::{
    Addresses, Digest, Height, LibraryId, Member, NodeId, Payload, Roster, RosterChange, limits,
};
use replica::NODE_ITSELF;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::info;

use crate::config;
use crate::peer::{JoinCall, JoinRefusal, Proof, Start};
use crate::replica_thread::{ReplicaHandle, Request, SubmitError};

/// How long a decision may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a learner says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Answers newcomers until nobody can call any more. They are told which archive this node fills.
pub(crate) async fn answer(
    replica: ReplicaHandle,
    mut calls: mpsc::Receiver<JoinCall>,
    archive: Option<String>,
) {
    while let Some(call) = calls.recv().await {
        let (replica, archive) = (replica.clone(), archive.clone());
        // Deciding takes time, and the next caller need not wait for it.
        tokio::spawn(async move {
            match call {
                JoinCall::Begin { proof, reply } => {
                    let checked = check(&replica, &proof);
                    let start = checked.map(|()| Start {
                        genesis: replica.reader().genesis().to_bytes(),
                        archive,
                    });
                    // Whoever asked may have gone.
                    let _ = reply.send(start);
                }
                JoinCall::Join {
                    proof,
                    node,
                    name,
                    addresses,
                    reply,
                } => {
                    let member = Member { id: node, name };
                    let _ = reply.send(admit(&replica, &proof, member, addresses).await);
                }
            }
        });
    }
}

/// Whether the invite is one of ours and the secret is right.
fn check(replica: &ReplicaHandle, proof: &Proof) -> Result<(), JoinRefusal> {
    let roster = replica.roster();
    let known = roster.invite(proof.invite).ok_or(JoinRefusal::Unknown)?;
    let right = known.secret == Digest::of(&[proof.secret.as_bytes()]);
    if right && known.expires >= replica.wall() {
        Ok(())
    } else {
        Err(JoinRefusal::Unknown)
    }
}

async fn admit(
    replica: &ReplicaHandle,
    proof: &Proof,
    member: Member,
    addresses: Addresses,
) -> Result<Height, JoinRefusal> {
    check(replica, proof)?;
    check_newcomer(&member, &addresses)?;
    let roster = replica.roster();
    // Asked again: the first answer was lost.
    if belongs(&roster, &member) {
        return Ok(replica.tip());
    }
    fits(&roster, proof, &member)?;
    info!(node = %member.id, name = member.name, "a newcomer shows an invite");
    let request = Request {
        library: LibraryId::home(),
        actor: NODE_ITSELF,
        key: None,
        payload: Payload::Roster(RosterChange::Admit {
            invite: Some(proof.invite),
            member: member.clone(),
            addresses,
        }),
    };
    let decided = replica.submit(request, Instant::now() + PATIENCE).await;
    let height = decided.map_err(later)?.position.height;
    let roster = replica.roster();
    if belongs(&roster, &member) {
        return Ok(height);
    }
    // Another was quicker: with the invite, the name or the last place.
    fits(&roster, proof, &member)?;
    Err(JoinRefusal::Later(
        "the cluster did not take the newcomer; try again".to_owned(),
    ))
}

fn belongs(roster: &Roster, member: &Member) -> bool {
    roster.everybody().any(|other| other == member)
}

fn check_newcomer(member: &Member, addresses: &Addresses) -> Result<(), JoinRefusal> {
    let malformed = |what: String| Err(JoinRefusal::Malformed(what));
    if let Err(detail) = config::check_name(&member.name) {
        return malformed(format!("the name {:?} {detail}", member.name));
    }
    let longest = limits::ADDRESS_BYTES_MAX;
    if config::port(&addresses.peer).is_none() || addresses.peer.len() > longest {
        return malformed(format!("{:?} is not host:port", addresses.peer));
    }
    if !addresses.url.starts_with("http") || addresses.url.len() > longest {
        return malformed(format!("{:?} is no address people type", addresses.url));
    }
    Ok(())
}

fn fits(roster: &Roster, proof: &Proof, member: &Member) -> Result<(), JoinRefusal> {
    let invite = roster.invite(proof.invite).ok_or(JoinRefusal::Unknown)?;
    if invite.used {
        return Err(JoinRefusal::Used);
    }
    if is_taken(roster, member.id, &member.name) {
        return Err(JoinRefusal::NameTaken(member.name.clone()));
    }
    if roster.learners().len() >= limits::LEARNERS_MAX {
        return Err(JoinRefusal::Full);
    }
    Ok(())
}

fn is_taken(roster: &Roster, node: NodeId, name: &str) -> bool {
    let members = roster.everybody().map(|member| (member.id, &member.name));
    let former = roster.former().iter().map(|(id, left)| (*id, &left.name));
    members
        .chain(former)
        .any(|(id, other)| id != node && other == name)
}

fn later(error: SubmitError) -> JoinRefusal {
    JoinRefusal::Later(error.to_string())
}

/// Says in the log how far a learner is, and what this node has become.
pub(crate) async fn report_progress(replica: ReplicaHandle) {
    let mut last = None;
    loop {
        let status = replica.status();
        let status = &status.replica;
        let seat = (status.role, replica.roster().epoch());
        let known = status.peers.iter().map(|peer| peer.tip.0).max();
        let known = known.unwrap_or_default().max(status.tip.0);
        if matches!(status.phase, Phase::Stopped(_)) {
            return;
        }
        match status.role {
            Role::Voter if last != Some(seat) => info!(epoch = %seat.1, "voting"),
            Role::Voter => {}
            Role::Learner | Role::Outsider if last == Some(seat) && status.tip.0 == known => {}
            Role::Learner | Role::Outsider => info!("learning {} of {known} blocks", status.tip),
        }
        last = Some(seat);
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}
