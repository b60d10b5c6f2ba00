//! Invites: who holds one is let into the cluster, once.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use catalogue::time::format_timestamp;
use model::{Digest, Payload, RosterChange, TokenId, limits, roster};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayAdmin;
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{Code, ItemProblems, JsonProblems, Problem, ReadProblems, WriteProblems};
use super::reply::{self, Page};
use super::tokens::Drawn;
use super::{Api, body, json};
use crate::invitation::{Invitation, hosts};

/// How long an invite is good if nobody says.
const LIFE_DEFAULT: Duration = Duration::from_secs(24 * 3600);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(withdraw))
}

/// An invite to be made.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct NewInvite {
    /// Whether the node becomes a voter by itself when it has caught up; default true.
    votes: Option<bool>,
    /// For how many seconds it is good, at most 30 days; default 24 hours.
    expires_in: Option<u64>,
}

/// An invite that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invite)]
struct Shown {
    /// Its public half.
    id: String,
    /// Whether the node becomes a voter by itself.
    votes: bool,
    /// Until when it is good.
    #[schema(format = "date-time")]
    expires: String,
    /// Whether a node was admitted with it.
    used: bool,
    /// The whole invite, for `starling cluster join`; only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    invite: Option<String>,
}

impl Shown {
    fn of(id: model::TokenId, invite: &roster::Invite, text: Option<String>) -> Self {
        Self {
            id: id.to_string(),
            votes: invite.votes,
            expires: format_timestamp(invite.expires),
            used: invite.used,
            invite: text,
        }
    }
}

/// List invites
///
/// Those that have not expired, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/cluster/invites", operation_id = "listInvites", tag = "node",
    responses((status = 200, description = "All of them", body = Page<Shown>), ReadProblems),
)]
async fn list(
    MayAdmin(mut call): MayAdmin,
    State(api): State<Arc<Api>>,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let now = api.app.replica.wall();
    let height = api.app.replica.tip();
    let roster = api.app.replica.roster();
    let good = roster
        .invites()
        .iter()
        .filter(|(_, invite)| invite.expires >= now);
    let items = good
        .map(|(id, invite)| Shown::of(*id, invite, None))
        .collect();
    call.reflects(height);
    Ok(reply::json(StatusCode::OK, &Page::whole(items, height)))
}

/// Invite a node
///
/// The answer alone holds the secret. Under an `Idempotency-Key`, the same request by the same token makes the same
/// invite, on any node.
#[utoipa::path(
    post, path = "/api/v1/cluster/invites", operation_id = "createInvite", tag = "node",
    params(("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries")),
    request_body(content = Option<NewInvite>, content_type = "application/json"),
    responses((status = 201, description = "Good from now on, once", body = Shown), JsonProblems),
)]
async fn create(
    MayAdmin(mut call): MayAdmin,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let content = Digest::of(&[&bytes]);
    let (votes, life) = if bytes.is_empty() {
        (true, LIFE_DEFAULT)
    } else {
        parse(&json::parse(&bytes)?)?
    };
    let drawn = Drawn::new(&headers, &call.presented.caller, content)?;
    let payload = Payload::Roster(RosterChange::Invite {
        invite: drawn.id,
        secret: Digest::of(&[drawn.secret.as_bytes()]),
        expires: api.app.replica.wall().plus(life),
        votes,
    });
    call.decide(payload, content).await?;
    // It is up to date before a decision is told.
    let roster = api.app.replica.roster();
    let Some(invite) = roster.invite(drawn.id) else {
        let detail = format!(
            "there are {} invites, as many as there may be",
            limits::INVITES_MAX
        );
        return Err(Problem::new(Code::Refused, detail));
    };
    let text = api.invitation(&drawn, &roster).to_text();
    let shown = Shown::of(drawn.id, invite, Some(text));
    let mut response = reply::json(StatusCode::CREATED, &shown);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Withdraw an invite
///
/// Nobody is let in with it from the next height on. 409 `refused`: it was used; remove the node instead.
#[utoipa::path(
    delete, path = "/api/v1/cluster/invites/{id}", operation_id = "withdrawInvite", tag = "node",
    params(
        ("id" = String, Path, description = "The invite's public half"),
        ("Idempotency-Key" = Option<String>, Header, description = "Taken and not needed: withdrawing twice is withdrawing"),
    ),
    responses((status = 204, description = "Withdrawn"), WriteProblems, ItemProblems),
)]
async fn withdraw(
    MayAdmin(mut call): MayAdmin,
    Path(id): Path<String>,
    State(api): State<Arc<Api>>,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let missing = || Problem::not_found("invite");
    let id: TokenId = id.parse().map_err(|_| missing())?;
    let known = api.app.replica.roster().invite(id).map(|known| known.used);
    if known.ok_or_else(missing)? {
        return Err(used());
    }
    let payload = Payload::Roster(RosterChange::Withdraw { invite: id });
    let deadline = Instant::now() + call.patience();
    call.decide_unkeyed(deadline, payload).await?;
    call.reflects(api.app.replica.tip());
    match api.app.replica.roster().invite(id) {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        // Somebody was quicker.
        Some(_) => Err(used()),
    }
}

fn used() -> Problem {
    let detail = "a node was admitted with this invite: remove the node instead";
    Problem::new(Code::Refused, detail)
}

impl Api {
    fn invitation(&self, drawn: &Drawn, roster: &model::Roster) -> Invitation {
        let reader = self.app.replica.reader();
        Invitation {
            chain: reader.chain(),
            genesis: reader.genesis().hash(),
            ca_pem: self.app.ca_pem.to_string(),
            members: hosts(roster, &self.app.config.members),
            invite: drawn.id,
            secret: drawn.secret.clone(),
        }
    }
}

fn parse(body: &Value) -> Result<(bool, Duration), Faults> {
    let members = Node::root(body).members(&["votes", "expiresIn"])?;
    let mut faults = Faults::default();
    let longest = limits::INVITE_LIFE_MAX.as_secs() - 60;
    let votes = faults.keep(members.optional("votes", Node::boolean));
    let seconds = members.optional("expiresIn", |node| node.integer(1..=longest));
    let seconds = faults.keep(seconds);
    let life = seconds.flatten().map_or(LIFE_DEFAULT, Duration::from_secs);
    faults.into_result((votes.flatten().unwrap_or(true), life))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_invite_votes_and_lasts_a_day_unless_somebody_says_otherwise() {
        assert_eq!(parse(&json!({})), Ok((true, LIFE_DEFAULT)));
        let asked = json!({"votes": false, "expiresIn": 60});
        assert_eq!(parse(&asked), Ok((false, Duration::from_secs(60))));
        for wrong in [
            json!({"expiresIn": 0}),
            json!({"expiresIn": "1h"}),
            json!({"vote": 1}),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
