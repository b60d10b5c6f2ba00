//! Taking a node out of the cluster.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use model::{Member, NodeId, Payload, Reason, Roster, RosterChange, SeatChange};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::call::MayAdmin;
use super::problem::{Code, ItemProblems, Problem, WriteProblems};
use super::reply;

/// How long one attempt waits: another change may have come between, and then it is to be named anew.
const ATTEMPT: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(remove))
}

/// A node that was removed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Removal {
    /// Its identity.
    id: String,
    /// What it was called.
    name: String,
    /// The block that removed it.
    height: u64,
    /// How many losses of voters the cluster survives now, if all that are left are there.
    faults: usize,
    /// How many it survived before.
    faults_before: usize,
}

/// Remove a node
///
/// A voter or a learner, by its name or its id. It keeps its disk, says that it was removed, and serves nothing more;
/// neither its name nor, without a new invite, its identity comes back. A node that was removed already is one that is
/// removed: the call may be repeated. 409 `last_voter`: a cluster has at least one voter. 409 `rest_not_heard`: fewer
/// than a quorum of the voters that would be left are heard, so that nothing could be decided any more.
#[utoipa::path(
    delete, path = "/api/v1/cluster/members/{node}", operation_id = "removeMember", tag = "node",
    params(
        ("node" = String, Path, description = "Name or id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Taken and not needed: removing twice is removing"),
    ),
    responses(
        (status = 200, description = "It is removed", body = Removal),
        (status = 409, description = "`last_voter`, `rest_not_heard`"),
        WriteProblems, ItemProblems,
    ),
)]
async fn remove(
    MayAdmin(mut call): MayAdmin,
    Path(node): Path<String>,
    State(api): State<Arc<Api>>,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let before = api.app.replica.roster();
    let node = find(&before, &node).ok_or_else(|| Problem::not_found("node"))?;
    let deadline = Instant::now() + call.patience();
    let mut sent = false;
    let after = loop {
        let roster = api.app.replica.roster();
        if roster.former().contains_key(&node) {
            break roster;
        }
        let change = match change(&api, &roster, node) {
            // What was sent before may still be decided: it is too late for a clear no.
            Err(problem) if sent => {
                return Err(Problem::new(Code::OutcomeUnknown, problem.detail()));
            }
            other => other?,
        };
        let until = deadline.min(Instant::now() + ATTEMPT);
        match call.decide_unkeyed(until, Payload::Roster(change)).await {
            Err(problem) if problem.code() != Code::OutcomeUnknown => return Err(problem),
            Err(problem) if until >= deadline => return Err(problem),
            Ok(_) | Err(_) => sent = true,
        }
    };
    call.reflects(api.app.replica.tip());
    let left = after.former().get(&node);
    let left = left.expect("the loop ends when it has left");
    let removal = Removal {
        id: node.to_string(),
        name: left.name.clone(),
        height: left.height.0,
        faults: after.voters().faults(),
        faults_before: before.voters().faults(),
    };
    Ok(reply::json(StatusCode::OK, &removal))
}

fn find(roster: &Roster, text: &str) -> Option<NodeId> {
    let members = roster.everybody().map(|Member { id, name }| (*id, name));
    let former = roster.former().iter().map(|(id, left)| (*id, &left.name));
    members
        .chain(former)
        .find(|(id, name)| *name == text || id.to_string() == text)
        .map(|(id, _)| id)
}

fn change(api: &Api, roster: &Roster, node: NodeId) -> Result<RosterChange, Problem> {
    if !roster.voters().contains(node) {
        return Ok(RosterChange::Dismiss { node });
    }
    let change = SeatChange::Remove {
        node,
        reason: Reason::Asked,
    };
    let Some(rest) = roster.voters().with(&change) else {
        let detail = "a cluster has at least one voter, and this is the last";
        return Err(Problem::new(Code::LastVoter, detail));
    };
    let status = api.app.replica.status();
    let status = &status.replica;
    let heard = |id: NodeId| {
        let mut peers = status.peers.iter();
        id == status.me.node || peers.any(|peer| peer.node == id && peer.alive)
    };
    let there = rest
        .voters()
        .iter()
        .filter(|member| heard(member.id))
        .count();
    if there < rest.quorum() {
        let detail = format!(
            "of the {} voters that would be left only {there} are heard, and it takes {} to decide anything",
            rest.len(),
            rest.quorum()
        );
        return Err(Problem::new(Code::RestNotHeard, detail));
    }
    Ok(RosterChange::Seat {
        epoch: roster.epoch(),
        change,
    })
}
