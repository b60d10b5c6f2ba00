//! Operations over many files: chosen, begun, looked at, taken back.

use std::sync::Arc;

use axum::extract::{Path, Request};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use catalogue::bulk::TakenFile;
use catalogue::query::Query;
use catalogue::time::{format_timestamp, parse_offset};
use catalogue::{Outcome, OwnField, Presence, SearchError};
use model::file::Change;
use model::{BlobId, BulkStep, Deed, Digest, Height, OperationId, Payload};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, IDEMPOTENCY_KEY, MayRead, MayWrite};
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::metadata;
use super::operations::{BULK, Operation};
use super::problem::{Code, Fault, ItemProblems, JsonProblems, Problem, WriteProblems};
use super::reply::{self, Page};
use super::schema::FilePatch;
use super::search;
use super::{Api, albums, body, fields, files, json};
use crate::DecisionKind;
use crate::bulk::Runner;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(undo))
        .routes(routes!(taken))
}

/// Files of one operation that are named one by one.
const IDS_MAX: usize = 3000;
/// What an operation does to each file.
const OPS_MAX: usize = 100;
/// The farthest that capture times are moved, in seconds: about 300 years.
const SHIFT_S_MAX: f64 = 1e10;

/// Which files, and what is to be done to each.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct Bulk {
    /// Which files.
    select: Select,
    /// What is done to each of them, in order.
    ops: Vec<Op>,
    /// Only say which files these are.
    dry_run: Option<bool>,
}

/// One of both.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct Select {
    /// Ids, at most 3000.
    ids: Option<Vec<String>>,
    /// A query: all files that it finds when the call is made.
    query: Option<String>,
}

/// One thing to be done.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct Op {
    /// `addTags`, `removeTags`, `addToAlbum`, `removeFromAlbum`, `set`, `shiftTaken` or `setZone`.
    op: String,
    /// Of `addTags` and `removeTags`.
    tags: Option<Vec<String>>,
    /// Of `addToAlbum` and `removeFromAlbum`: its id.
    album: Option<String>,
    /// Of `set`: as in a merge patch of one file.
    values: Option<FilePatch>,
    /// Of `shiftTaken`: by how much capture times move, later if it is positive.
    seconds: Option<f64>,
    /// Of `setZone`: the zone that cameras' clocks were in, `+01:00`; null if nobody knows.
    offset: Option<String>,
}

/// What an operation would be about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Preview {
    /// Always true.
    dry_run: bool,
    /// How many files.
    selected: usize,
    /// How many of them would be different afterwards.
    would_change: u64,
    /// How many of them each of the `ops` would change in its turn.
    ops: Vec<OpPreview>,
    /// The first hundred of them, newest first.
    ids: Vec<String>,
    /// Ids of no file here.
    missing: Vec<String>,
    /// The height at which they were looked for.
    as_of: u64,
}

/// What one of the `ops` would do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OpPreview {
    /// How many files it would change, after the ops before it.
    would_change: u64,
}

/// A file of an operation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TakenFile)]
pub(super) struct TakenDocument {
    /// The file.
    id: String,
    /// `changed`, `unchanged` (it was so already), `skipped` (something of it was edited since and stays: of an undo) or
    /// `refused`.
    result: &'static str,
    /// Which values stay, or which rule would be broken.
    detail: String,
}

impl From<TakenFile> for TakenDocument {
    fn from(file: TakenFile) -> Self {
        Self {
            id: file.file.to_string(),
            result: file.taken.word(),
            detail: file.detail,
        }
    }
}

/// What was asked for.
struct Asked {
    select: Selection,
    /// What each of the `ops` does.
    changes: Vec<Vec<Change>>,
    dry_run: bool,
}

enum Selection {
    Ids(Vec<BlobId>),
    Query(String, Query),
}

/// Files that were chosen.
struct Chosen {
    frozen: Height,
    files: Vec<BlobId>,
    missing: Vec<String>,
}

/// Change many files
///
/// Chooses files by their ids or by a query, as they are now, and does the same to each. Files that come later, or meet the
/// query later, are not among them. It goes on in the background, in small steps, so that other writes do not wait; any node
/// goes on if the one that was asked dies. Each file's history names the operation.
#[utoipa::path(
    post, path = "/api/v1/bulk", operation_id = "changeFiles", tag = "files",
    params(
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = Bulk, content_type = "application/json"),
    responses(
        (status = 200, description = "What it would be about, of a dry run", body = Preview),
        (status = 202, description = "It has begun", body = Operation, headers(("Location" = String))),
        (status = 400, description = "`invalid_body`, `invalid_query`"),
        JsonProblems,
    ),
)]
async fn begin(
    MayWrite(mut call): MayWrite,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let asked = parse(&json::parse(&bytes)?, &fields::all(&call).await?)?;
    let chosen = choose(&call, &asked.select).await?;
    if asked.dry_run {
        let preview = preview(&call, chosen, asked.changes).await?;
        return Ok(reply::json(StatusCode::OK, &preview));
    }
    let query = match asked.select {
        Selection::Ids(_) => None,
        Selection::Query(text, _) => Some(text),
    };
    let content = Digest::of(&[&bytes]);
    let step = BulkStep::Begin {
        operation: name(&call, &headers, content)?,
        deed: Deed::Edit(asked.changes.concat()),
        query,
        frozen: chosen.frozen,
        selected: chosen.files.len() as u64,
    };
    start(&call, step, chosen, content).await
}

/// Take an operation back
///
/// Gives every file of it the values that it had before. What was edited since stays, and is listed. It is an operation of
/// its own, and can be taken back as well.
#[utoipa::path(
    post, path = "/api/v1/operations/{id}/undo", operation_id = "undoOperation", tag = "files",
    params(
        ("id" = String, Path, description = "The operation that is taken back"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses(
        (status = 202, description = "It has begun", body = Operation, headers(("Location" = String))),
        WriteProblems, ItemProblems,
    ),
)]
async fn undo(
    MayWrite(mut call): MayWrite,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let of = parse_name(&id).ok_or_else(|| Problem::not_found("operation"))?;
    let known = find(&call, of).await?;
    if known.ended.is_none() {
        let detail = "the operation is not over yet; wait for it";
        return Err(Problem::new(Code::Refused, detail));
    }
    let content = Digest::of(&[of.as_bytes()]);
    let operation = name(&call, &headers, content)?;
    let files = call.read(move |reader| reader.changed_by(of)).await?;
    let chosen = Chosen {
        frozen: call.height(),
        files,
        missing: Vec::new(),
    };
    let step = BulkStep::Begin {
        operation,
        deed: Deed::Undo(of),
        query: None,
        frozen: chosen.frozen,
        selected: chosen.files.len() as u64,
    };
    start(&call, step, chosen, Digest::of(&[])).await
}

/// What became of each file
///
/// In the order of their ids, as far as the operation is.
#[utoipa::path(
    get, path = "/api/v1/operations/{id}/files", operation_id = "listOperationFiles", tag = "files",
    params(
        ("id" = String, Path, description = "The operation"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("odd" = Option<bool>, Query, description = "Only those that were skipped or refused"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<TakenDocument>), ItemProblems),
)]
async fn taken(MayRead(mut call): MayRead, Path(id): Path<String>) -> Result<Response, Problem> {
    let limit = call.params.limit()?;
    let odd = call.params.flag("odd")?;
    let cursor = call.params.take("cursor");
    call.no_more_params()?;
    let of = parse_name(&id).ok_or_else(|| Problem::not_found("operation"))?;
    find(&call, of).await?;
    let no_cursor = |_| Problem::new(Code::InvalidCursor, "the cursor is not one of this list");
    let after = cursor
        .map(|text| text.parse::<BlobId>())
        .transpose()
        .map_err(no_cursor)?;
    let found = call.read(move |reader| reader.operation_files(of, after, odd, limit));
    let items = found.await?;
    let full = items.len() == limit as usize;
    let page = Page {
        next_cursor: items
            .last()
            .filter(|_| full)
            .map(|last| last.file.to_string()),
        items: items.into_iter().map(TakenDocument::from).collect(),
        as_of: call.height().0,
    };
    Ok(reply::json(StatusCode::OK, &page))
}

/// Has an operation begun, and its files taken. Those that only this call knows are taken before it is answered, so that a
/// client that hears nothing, and asks another node again, has them taken there.
async fn start(
    call: &Call,
    step: BulkStep,
    chosen: Chosen,
    content: Digest,
) -> Result<Response, Problem> {
    let BulkStep::Begin {
        operation,
        ref deed,
        ref query,
        ..
    } = step
    else {
        unreachable!("an operation begins with its beginning");
    };
    let only_here = query.is_none() && matches!(deed, Deed::Edit(_));
    let (outcome, decision) = call.apply_and_tell(Payload::Bulk(step), content).await?;
    match outcome {
        Outcome::OperationBegun { operation: begun } if begun == operation => {}
        other => return Err(files::declined(other)),
    }
    let fresh = matches!(decision.kind, DecisionKind::Fresh);
    if fresh || only_here {
        let app = &call.api.app;
        let runner = Runner {
            replica: app.replica.clone(),
            catalogue: app.catalogue.clone(),
            operation,
            library: call.library.clone(),
            actor: call.token,
        };
        // It goes on although the client may go away.
        let running = tokio::spawn(runner.run(chosen.files));
        if only_here {
            _ = tokio::time::timeout(call.patience(), running).await;
        }
    }
    call.reflects(call.api.app.catalogue.height());
    let known = find(call, operation).await?;
    let mut answer = document(call, &known).await?;
    answer.missing = chosen.missing;
    let place = call.place(&format!("/api/v1/operations/{}", answer.id));
    let response = reply::json(StatusCode::ACCEPTED, &answer);
    Ok(reply::with(response, LOCATION, &place))
}

/// An operation of the call's library.
pub(super) async fn find(call: &Call, id: OperationId) -> Result<catalogue::Operation, Problem> {
    let found = call.read(move |reader| reader.operation(id)).await?;
    let found = found.filter(|found| found.library == call.library);
    found.ok_or_else(|| Problem::not_found("operation"))
}

/// How far an operation is.
pub(super) async fn document(
    call: &Call,
    known: &catalogue::Operation,
) -> Result<Operation, Problem> {
    const ODD_SHOWN: u32 = 100;
    let id = known.id;
    let (counts, odd) = call
        .read(move |reader| {
            let (counts, _) = reader.operation_counts(id)?;
            Ok((counts, reader.operation_files(id, None, true, ODD_SHOWN)?))
        })
        .await?;
    let odd = odd.into_iter().map(TakenDocument::from).collect();
    let started = format_timestamp(known.time);
    Ok(Operation::of_bulk(known, started, counts, odd))
}

/// The operation of this name.
pub(super) fn parse_name(text: &str) -> Option<OperationId> {
    text.strip_prefix(BULK)?.parse().ok()
}

/// The same request has the same one, on any node; without a key each has its own.
fn name(call: &Call, headers: &HeaderMap, content: Digest) -> Result<OperationId, Problem> {
    let mut drawn = [0; 16];
    match headers.get(IDEMPOTENCY_KEY) {
        Some(key) => {
            let parts: [&[u8]; 4] = [
                b"starling/operation/v1",
                call.token.as_bytes(),
                content.as_bytes(),
                key.as_bytes(),
            ];
            let digest = Digest::of(&parts).0;
            let (first, _) = digest.split_first_chunk().expect("a digest is longer");
            drawn = *first;
        }
        None => getrandom::fill(&mut drawn)
            .map_err(|error| Problem::internal("drawing an operation's name", &error))?,
    }
    Ok(OperationId(drawn))
}

async fn preview(
    call: &Call,
    chosen: Chosen,
    changes: Vec<Vec<Change>>,
) -> Result<Preview, Problem> {
    let library = call.library.clone();
    let Chosen {
        frozen,
        files,
        missing,
    } = chosen;
    let (files, would) = call
        .read(move |reader| {
            let would = reader.would_change(&library, &files, &changes)?;
            Ok((files, would))
        })
        .await?;
    let op = |would_change| OpPreview { would_change };
    Ok(Preview {
        dry_run: true,
        selected: files.len(),
        would_change: would.any,
        ops: would.groups.into_iter().map(op).collect(),
        ids: files.iter().take(100).map(BlobId::to_string).collect(),
        missing,
        as_of: frozen.0,
    })
}

async fn choose(call: &Call, select: &Selection) -> Result<Chosen, Problem> {
    let library = call.library.clone();
    match select {
        Selection::Ids(ids) => {
            let asked = ids.clone();
            let found = call
                .read(move |reader| reader.check(&library, &asked))
                .await?;
            let mut chosen = Chosen {
                frozen: call.height(),
                files: Vec::new(),
                missing: Vec::new(),
            };
            for (id, presence) in ids.iter().zip(found) {
                match presence {
                    Presence::Missing => chosen.missing.push(id.to_string()),
                    Presence::Present | Presence::Trashed => chosen.files.push(*id),
                }
            }
            Ok(chosen)
        }
        Selection::Query(_, query) => {
            if query
                .library
                .as_ref()
                .is_some_and(|named| *named != library)
            {
                return Err(Problem::not_found("library"));
            }
            let query = query.clone();
            let selecting = call
                .api
                .app
                .catalogue
                .read(move |reader| reader.select(&library, &query));
            let (frozen, files) = selecting.await.map_err(|error| match error {
                SearchError::OwnField { .. }
                | SearchError::Album(_)
                | SearchError::NoSuchFile(_) => {
                    let fault = Fault::new("/select/query", error.to_string());
                    Problem::at(Code::InvalidQuery, vec![fault])
                }
                other => search::unfound(&other),
            })?;
            call.reflects(frozen);
            Ok(Chosen {
                frozen,
                files,
                missing: Vec::new(),
            })
        }
    }
}

fn parse(body: &Value, own: &[OwnField]) -> Result<Asked, Problem> {
    let members = Node::root(body).members(&["select", "ops", "dryRun"])?;
    let mut faults = Faults::default();
    let select = members.required("select").and_then(|node| selection(&node));
    let select = faults.keep(select);
    let mut changes = Vec::new();
    let ops = members
        .required("ops")
        .and_then(|node| node.elements(1..=OPS_MAX));
    for op in faults.keep(ops).unwrap_or_default() {
        changes.extend(faults.keep(parse_op(&op, own)));
    }
    let dry_run = faults
        .keep(members.optional("dryRun", Node::boolean))
        .flatten();
    let select = faults
        .into_result(select)?
        .expect("without a fault there is a selection");
    Ok(Asked {
        select,
        changes,
        dry_run: dry_run == Some(true),
    })
}

fn selection(node: &Node<'_>) -> Result<Selection, Faults> {
    let members = node.members(&["ids", "query"])?;
    match (members.get("ids"), members.get("query")) {
        (Some(ids), None) => {
            let mut faults = Faults::default();
            let mut files = Vec::new();
            for element in ids.elements(1..=IDS_MAX)? {
                let form = "64 lower-case hexadecimal digits";
                let id = faults.keep(element.parsed(form, |text| text.parse().ok()));
                files.extend(id.filter(|id| !files.contains(id)));
            }
            faults.into_result(Selection::Ids(files))
        }
        (None, Some(query)) => {
            let text = query.text(0..=catalogue::query::QUERY_BYTES_MAX)?;
            let parsed = text
                .parse::<Query>()
                .map_err(|error| query.fault(error.to_string()))?;
            Ok(Selection::Query(text.to_owned(), parsed))
        }
        _ => Err(node.fault("either ids or a query")),
    }
}

fn parse_op(node: &Node<'_>, own: &[OwnField]) -> Result<Vec<Change>, Faults> {
    let all = ["op", "tags", "values", "seconds", "offset", "album"];
    let members = node.members(&all)?;
    let op = members.required("op")?;
    let (word, only) = match op.text(0..=32)? {
        word @ ("addTags" | "removeTags") => (word, "tags"),
        word @ ("addToAlbum" | "removeFromAlbum") => (word, "album"),
        "set" => ("set", "values"),
        "shiftTaken" => ("shiftTaken", "seconds"),
        "setZone" => ("setZone", "offset"),
        _ => return Err(op.fault(
            "must be addTags, removeTags, addToAlbum, removeFromAlbum, set, shiftTaken or setZone",
        )),
    };
    node.members(&["op", only])?;
    let value = members.required(only)?;
    match word {
        "addTags" => Ok(metadata::tags(&value)?
            .into_iter()
            .map(Change::AddTag)
            .collect()),
        "removeTags" => Ok(metadata::tags(&value)?
            .into_iter()
            .map(Change::RemoveTag)
            .collect()),
        "addToAlbum" => {
            let (album, rank) = (albums::one(&value)?, None);
            Ok(vec![Change::AddToAlbum { album, rank }])
        }
        "removeFromAlbum" => Ok(vec![Change::RemoveFromAlbum(albums::one(&value)?)]),
        "set" => metadata::patch(&value, own),
        "shiftTaken" => {
            let seconds = value.number(-SHIFT_S_MAX..=SHIFT_S_MAX)?;
            #[expect(clippy::cast_possible_truncation, reason = "far within the range")]
            let micros = (seconds * 1e6).round() as i64;
            Ok(vec![Change::ShiftTaken(micros)])
        }
        _ => {
            let form = "an offset such as +01:00, within 14 hours";
            let offset =
                value.nullable(|node| node.parsed(form, |text| parse_offset(text).ok()))?;
            Ok(vec![Change::Zone(offset)])
        }
    }
}
