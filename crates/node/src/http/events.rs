//! What happens, as it happens: every decided block once it is applied, and every damage found on this node's disk.
//!
//! A stream of server-sent events whose id is the height, so that a browser's `EventSource`, or anybody with
//! `Last-Event-ID`, goes on where it stopped, on any node. Blocks are read when the connection has room for them, so a
//! slow reader costs no memory. Damage is kept for a slow reader only so far: behind that, at a stop of the node, and
//! after an hour, so that a token revoked meanwhile does not read on for ever, the stream ends with an `end` event that
//! says why.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use catalogue::Rights;
use catalogue::time::format_timestamp;
use futures::stream;
use model::{Height, TokenId};
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};
use tokio::sync::watch;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::call::MaySee;
use super::ledger::block;
use super::problem::{Problem, ReadProblems};
use super::schema::Octets;
use super::server::Leaving;
use crate::findings::{Finding, Place};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A stream ends after so long, and its reader comes back.
const LENGTH: Duration = Duration::from_secs(3600);
/// So often a quiet stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(events))
}

/// A block that was decided, as an event.
#[derive(Debug, Serialize)]
struct Decided {
    height: u64,
    hash: String,
    time: String,
    commands: u32,
}

/// Damage on a node's disk.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Damage {
    /// Counts on this node.
    id: u64,
    /// When it was found, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    time: String,
    /// The node's name.
    node: String,
    /// segment, log, heights, blob, catalogue or vote.
    kind: &'static str,
    /// Where, for people. Blobs are named to administrators alone, here and below.
    place: String,
    /// The first height concerned, if it is about heights.
    height: Option<u64>,
    /// The blob, if it is about one.
    blob: Option<String>,
    /// What is wrong.
    what: String,
    /// Whether the damaged bytes are kept in the node's quarantine.
    aside: bool,
    /// open, repaired or refused.
    fate: &'static str,
    /// From where it was repaired, or why not.
    detail: Option<String>,
}

impl Damage {
    /// A finding as somebody with these rights may see it: which blobs there are is the administrators' to know.
    pub(crate) fn seen(finding: &Finding, rights: &Rights) -> Self {
        let shown = Self::of(finding);
        if rights.holder().administers() || shown.blob.is_none() {
            return shown;
        }
        Self {
            place: shown.kind.to_owned(),
            what: "it differs from its name".to_owned(),
            blob: None,
            detail: None,
            ..shown
        }
    }

    fn of(finding: &Finding) -> Self {
        Self {
            id: finding.id,
            time: format_timestamp(finding.time),
            node: finding.node.clone(),
            kind: finding.place.kind(),
            place: finding.place.to_string(),
            height: finding.place.height().map(|height| height.0),
            blob: match &finding.place {
                Place::Blob(id) | Place::Object(id) => Some(id.to_string()),
                _ => None,
            },
            what: finding.what.clone(),
            aside: finding.aside.is_some(),
            fate: finding.fate.name(),
            detail: finding.fate.detail().map(str::to_owned),
        }
    }
}

/// Follow what happens
///
/// Server-sent events. `block`, whose id is the height, for every decided block: its height, hash, time and number of
/// commands. `damage`, without an id, for what is found wrong on this node's disk and what becomes of it. `end` before
/// the stream ends, with the reason. With `Last-Event-ID` it goes on behind that height; otherwise it begins at `from`,
/// or with the next block.
#[utoipa::path(
    get, path = "/api/v1/ledger/events", operation_id = "followLedger", tag = "ledger",
    params(
        ("from" = Option<u64>, Query, description = "First height, default the next block"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The last height that was seen"),
    ),
    responses(
        (status = 200, description = "Events, until one side ends", body = Octets, content_type = "text/event-stream"),
        ReadProblems,
    ),
)]
async fn events(
    MaySee(mut call): MaySee,
    State(api): State<Arc<Api>>,
    leaving: Option<Extension<Leaving>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let from = call.params.number("from")?;
    call.no_more_params()?;
    let seen = last_seen(&headers)?;
    let heights = api.app.catalogue.heights();
    let next = seen.map(|seen| seen.saturating_add(1)).or(from);
    let next = next.unwrap_or_else(|| heights.borrow().0 + 1);
    let follower = Follower {
        next,
        heights,
        damage: api.app.findings.subscribe(),
        leaving: leaving.map(|Extension(leaving)| leaving),
        until: Instant::now() + LENGTH,
        token: call.token,
        rights: Arc::clone(&call.rights),
        api,
        ended: false,
    };
    let events = stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

/// The height in `Last-Event-ID`.
fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(&LAST_EVENT_ID) else {
        return Ok(None);
    };
    let height = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Problem::header(&LAST_EVENT_ID, "the height of the last block seen");
    height.map(Some).ok_or_else(wrong)
}

/// One reader's place.
struct Follower {
    api: Arc<Api>,
    /// By whose right it reads.
    token: TokenId,
    rights: Arc<Rights>,
    /// The next height to tell.
    next: u64,
    heights: watch::Receiver<Height>,
    damage: broadcast::Receiver<Finding>,
    leaving: Option<Leaving>,
    until: Instant,
    ended: bool,
}

impl Follower {
    /// The next event; nothing behind the last.
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        loop {
            match self.damage.try_recv() {
                Ok(finding) => return Some(damage(&finding, &self.rights)),
                Err(TryRecvError::Lagged(_)) => return Some(self.end("slow")),
                Err(TryRecvError::Empty | TryRecvError::Closed) => {}
            }
            if self.is_leaving() {
                return Some(self.end("the node stops"));
            }
            if !self.api.accepts(self.token).await.unwrap_or(false) {
                return Some(self.end("the token or session is not accepted any more"));
            }
            if self.next <= self.heights.borrow_and_update().0 {
                return Some(self.block().await);
            }
            let woken = tokio::select! {
                changed = self.heights.changed() => changed.map_err(|_| "the node stops"),
                finding = self.damage.recv() => match finding {
                    Ok(finding) => return Some(damage(&finding, &self.rights)),
                    Err(RecvError::Lagged(_)) => Err("slow"),
                    Err(RecvError::Closed) => Err("the node stops"),
                },
                () = begun(self.leaving.as_ref()) => Err("the node stops"),
                () = tokio::time::sleep_until(self.until) => Err("come again"),
            };
            if let Err(reason) = woken {
                return Some(self.end(reason));
            }
        }
    }

    fn is_leaving(&self) -> bool {
        self.leaving.as_ref().is_some_and(Leaving::is_under_way)
    }

    async fn block(&mut self) -> Event {
        match block(&self.api, Height(self.next)).await {
            Ok(Some(decided)) => {
                let header = decided.block.header();
                let told = Decided {
                    height: header.height.0,
                    hash: decided.block.hash().to_string(),
                    time: format_timestamp(header.time),
                    commands: header.commands,
                };
                let id = self.next.to_string();
                self.next += 1;
                json("block", &told).id(id)
            }
            // Another node has it: the client may ask there.
            Ok(None) | Err(_) => self.end("this node cannot read the block"),
        }
    }

    fn end(&mut self, reason: &str) -> Event {
        self.ended = true;
        json("end", &serde_json::json!({ "reason": reason }))
    }
}

async fn begun(leaving: Option<&Leaving>) {
    match leaving {
        Some(leaving) => leaving.begun().await,
        None => std::future::pending().await,
    }
}

fn damage(finding: &Finding, rights: &Rights) -> Event {
    json("damage", &Damage::seen(finding, rights))
}

fn json(name: &str, data: &impl Serialize) -> Event {
    let text = serde_json::to_string(data).expect("events are made of text and numbers");
    Event::default().event(name).data(text)
}
