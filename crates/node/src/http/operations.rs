//! What takes longer than a request: how far it is.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use catalogue::time::format_timestamp;
use catalogue::{Pruning, Purge};
use model::{Deed, Height, Member, NodeId, Position, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::bulk::{self, TakenDocument};
use super::call::{Call, MayRead};
use super::problem::{ItemProblems, Problem};
use super::reply;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(read))
}

/// What the id of a purge begins with, and that of a prune.
const PURGE: &str = "purge-";
const PRUNE: &str = "prune-";
/// What the name of an operation over many files begins with.
pub(super) const BULK: &str = "bulk-";

/// Something that goes on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    /// Its name, the same on every node.
    #[schema(example = "purge-4711-0")]
    pub(crate) id: String,
    /// What it does: `purge`, `prune`, `bulk` or `undo`.
    kind: &'static str,
    /// `running`, or `done`: of a purge or a prune, when every member of the cluster has done its part.
    state: &'static str,
    /// How far it is, for people.
    #[schema(example = "erased on 2 of 3, waiting for n3")]
    summary: String,
    /// When it was decided, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    started_at: String,
    /// Commands of the ledger that a purge destroys or a prune covers, or that have done something else so far.
    commands: usize,
    /// Of a purge or a prune, the members of the cluster now.
    nodes: Vec<Part>,
    /// Of an operation over many files, what became of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Files>,
    /// Ids that were asked for and are of no file; only in the answer to who asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<String>,
}

/// What became of the files of an operation so far.
#[derive(Debug, Serialize, ToSchema)]
struct Files {
    /// How many were chosen.
    selected: u64,
    /// How many were changed.
    changed: u64,
    /// How many were as asked already.
    unchanged: u64,
    /// How many keep something that was edited since: of an undo.
    skipped: u64,
    /// How many would have broken a rule.
    refused: u64,
    /// The first hundred of the last two kinds.
    odd: Vec<TakenDocument>,
}

/// A node's part in it.
#[derive(Debug, Serialize, ToSchema)]
struct Part {
    /// The node.
    id: String,
    /// What it is called.
    name: String,
    /// Whether it has said that nothing is left there.
    erased: bool,
}

/// How far an operation is
///
/// For a purge or a prune: which nodes have said in the ledger that they have erased it. One that is away does so before it serves. For
/// an operation over many files: how many of them were changed.
#[utoipa::path(
    get, path = "/api/v1/operations/{id}", operation_id = "getOperation", tag = "files",
    params(("id" = String, Path, description = "Its id, as the call told that began it")),
    responses((status = 200, description = "How far it is", body = Operation), ItemProblems),
)]
async fn read(
    MayRead(mut call): MayRead,
    Path(id): Path<String>,
    State(api): State<Arc<Api>>,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    if let Some(operation) = bulk::parse_name(&id) {
        let known = bulk::find(&call, operation).await?;
        let answer = bulk::document(&call, &known).await?;
        return Ok(reply::json(StatusCode::OK, &answer));
    }
    let missing = || Problem::not_found("operation");
    if let Some(position) = parse(PRUNE, &id) {
        let known = call.read(|reader| reader.prunes()).await?;
        let known = known.into_iter().find(|known| known.position == position);
        let answer = Operation::of_prune(&call, &known.ok_or_else(missing)?).await?;
        return Ok(reply::json(StatusCode::OK, &answer));
    }
    let position = parse(PURGE, &id).ok_or_else(missing)?;
    let purge = call.read(move |reader| reader.purge(position)).await?;
    let purge = purge.filter(|purge| call.rights.may_read(&purge.erasures.library));
    let purge = purge.ok_or_else(missing)?;
    Ok(reply::json(StatusCode::OK, &Operation::of(&api, &purge)))
}

fn parse(kind: &str, id: &str) -> Option<Position> {
    let (height, index) = id.strip_prefix(kind)?.split_once('-')?;
    let position = Position {
        height: Height(height.parse().ok()?),
        index: index.parse().ok()?,
    };
    (name(kind, position) == id).then_some(position)
}

fn name(kind: &str, position: Position) -> String {
    format!("{kind}{}-{}", position.height, position.index)
}

impl Operation {
    pub(crate) fn of(api: &Api, purge: &Purge) -> Self {
        let commands = purge.erasures.commands.len();
        let id = name(PURGE, purge.position);
        Self::of_nodes(api, (id, "purge"), purge.time, commands, &purge.erased)
    }

    /// Of a prune.
    pub(super) async fn of_prune(call: &Call, known: &Pruning) -> Result<Self, Problem> {
        let through = known.prune.through;
        let commands = call
            .read(move |reader| reader.naming_up_to(through))
            .await?;
        let id = name(PRUNE, known.position);
        let commands = usize::try_from(commands).unwrap_or(usize::MAX);
        let (api, time) = (&call.api, known.time);
        Ok(Self::of_nodes(
            api,
            (id, "prune"),
            time,
            commands,
            &known.done,
        ))
    }

    /// What every node does on its own.
    fn of_nodes(
        api: &Api,
        (id, kind): (String, &'static str),
        time: Timestamp,
        commands: usize,
        done: &[NodeId],
    ) -> Self {
        let roster = api.app.replica.roster();
        let part = |member: &Member| Part {
            id: member.id.to_string(),
            name: member.name.clone(),
            erased: done.contains(&member.id),
        };
        let nodes: Vec<Part> = roster.everybody().map(part).collect();
        let waiting = nodes.iter().filter(|node| !node.erased);
        let waiting: Vec<&str> = waiting.map(|node| node.name.as_str()).collect();
        let mut summary = format!(
            "{} on {} of {}",
            if kind == "prune" { "pruned" } else { "erased" },
            nodes.len() - waiting.len(),
            nodes.len()
        );
        let state = if waiting.is_empty() {
            "done"
        } else {
            summary += &format!(", waiting for {}", waiting.join(", "));
            "running"
        };
        Self {
            id,
            kind,
            state,
            summary,
            started_at: format_timestamp(time),
            commands,
            nodes,
            files: None,
            missing: Vec::new(),
        }
    }

    /// Of an operation over many files.
    pub(super) fn of_bulk(
        known: &catalogue::Operation,
        started_at: String,
        [changed, unchanged, skipped, refused]: [u64; 4],
        odd: Vec<TakenDocument>,
    ) -> Self {
        let taken = changed + unchanged + skipped + refused;
        let files = Files {
            selected: known.selected,
            changed,
            unchanged,
            skipped,
            refused,
            odd,
        };
        Self {
            id: format!("{BULK}{}", known.id),
            kind: match known.deed {
                Deed::Edit(_) => "bulk",
                Deed::Undo(_) => "undo",
            },
            state: if known.ended.is_some() {
                "done"
            } else {
                "running"
            },
            summary: format!("{taken} of {} files", known.selected),
            started_at,
            commands: usize::try_from(taken).unwrap_or(usize::MAX),
            nodes: Vec::new(),
            files: Some(files),
            missing: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_has_one_name() {
        let position = parse(PURGE, "purge-17-2");
        let again = position.map(|position| name(PURGE, position));
        assert_eq!(again.as_deref(), Some("purge-17-2"));
        for other in [
            "purge-17",
            "purge-017-2",
            "17-2",
            "purge-17--2",
            "purge-x-1",
            "prune-17-2",
        ] {
            assert_eq!(parse(PURGE, other), None);
        }
    }
}
