//! The raw ledger for other programs: append bytes, read them back, list them in their one order.
//!
//! Appending is the shortest way through a node: no catalogue, no file and no query is touched, and the answer goes
//! out as soon as the record is decided.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalogue::Rights;
use catalogue::time::format_timestamp;
use model::block::Entry;
use model::{Command, Digest, Height, LibraryId, Payload, Position, Timestamp, limits};
use replica::Disposition;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{MayRead, MaySee, MayWrite};
use super::once::Taken;
use super::problem::{ItemProblems, Problem, ReadProblems, WriteProblems};
use super::reply::{self, Page};
use super::schema::Octets;
use super::{Api, body, call, conditional, ledger};

/// A page stops growing behind so many bytes of bodies.
const PAGE_BYTES: usize = 4 << 20;
/// Blocks looked at for one page: most of them may hold no record.
const PAGE_BLOCKS: u64 = 4096;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(append, list))
        .routes(routes!(read))
}

/// Where a record stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Appended {
    /// Height of its block.
    height: u64,
    /// Place of its command in the block, from 0.
    index: u32,
    /// SHA-256 of its bytes.
    sha256: String,
}

/// A record of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Record {
    /// Height of its block.
    height: u64,
    /// Place of its command in the block, from 0.
    index: u32,
    /// SHA-256 of its bytes.
    sha256: String,
    /// Time of its block, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    time: String,
    /// Length in bytes.
    size: usize,
    /// The bytes, in base64.
    #[schema(content_encoding = "base64")]
    body: String,
}

/// Append a record
///
/// Any bytes, at most 64 KiB. Equal bytes are separate records; a retry under the same `Idempotency-Key` is not. The
/// answer means that the record is on stable storage of a quorum. Records are permanent: they cannot be deleted.
#[utoipa::path(
    post, path = "/api/v1/records", operation_id = "appendRecord", tag = "records",
    params(
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = Octets, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "Decided", body = Appended, headers(("Location" = String))),
        WriteProblems,
    ),
)]
async fn append(MayWrite(mut call): MayWrite, request: Request) -> Result<Response, Problem> {
    call.no_more_params()?;
    let (parts, body) = request.into_parts();
    body::check_declared(&parts.headers, limits::RECORD_BYTES_MAX as u64)?;
    let bytes = body::read(body, limits::RECORD_BYTES_MAX).await?;
    let sha256 = Digest::of(&[&bytes]);
    let decision = call.decide(Payload::Record(bytes.into()), sha256).await?;
    let Position { height, index } = call::answer_of(&decision);
    let body = format!("{{\"height\":{height},\"index\":{index},\"sha256\":\"{sha256}\"}}");
    let response = reply::json_text(StatusCode::CREATED, body);
    Ok(reply::with(
        response,
        LOCATION,
        &format!("/api/v1/records/{height}/{index}"),
    ))
}

/// Read a record
///
/// The bytes as they were appended, to whoever may see the library that the record was appended to.
#[utoipa::path(
    get, path = "/api/v1/records/{height}/{index}", operation_id = "getRecord", tag = "records",
    params(
        ("height" = u64, Path, description = "Height of its block"),
        ("index" = u32, Path, description = "Place in the block, from 0"),
    ),
    responses(
        (status = 200, description = "The bytes", body = Octets, content_type = "application/octet-stream", headers(("ETag" = String))),
        (status = 304, description = "The client has it"),
        ItemProblems,
    ),
)]
async fn read(
    MaySee(mut call): MaySee,
    Path((height, index)): Path<(String, String)>,
    State(api): State<Arc<Api>>,
    headers: axum::http::HeaderMap,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let missing = || Problem::not_found("record");
    let height = height.parse().map(Height).map_err(|_| missing())?;
    let index: usize = index.parse().map_err(|_| missing())?;
    let decided = ledger::block(&api, height).await?.ok_or_else(missing)?;
    call.reflects(height);
    let entry = decided.block.entries().get(index);
    let bytes = entry.and_then(|entry| record_bytes(entry, &call.rights));
    let bytes = bytes.ok_or_else(missing)?;
    let etag = HeaderValue::try_from(format!("\"{}\"", Digest::of(&[&bytes])))
        .expect("hexadecimal digits are visible ASCII");
    if conditional::client_has(&headers, etag.to_str().unwrap_or_default()) {
        return Ok(reply::not_modified(etag));
    }
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(ETAG, etag);
    Ok(response)
}

/// List records
///
/// Those of a library, in their one order, from a height on; a request that was repeated is listed once. A page may hold fewer items than `limit`, even none, before the end:
/// follow `nextCursor` until it is null.
#[utoipa::path(
    get, path = "/api/v1/records", operation_id = "listRecords", tag = "records",
    params(
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("from" = Option<u64>, Query, description = "First height, default 0"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<Record>), ReadProblems),
)]
async fn list(
    MayRead(mut call): MayRead,
    State(api): State<Arc<Api>>,
) -> Result<Response, Problem> {
    let limit = call.params.limit()? as usize;
    let from = call.params.number("from")?.unwrap_or(0);
    let cursor = call.params.take("cursor");
    call.no_more_params()?;
    let start = cursor
        .as_deref()
        .map_or(Ok((from, 0)), reply::read_cursor)?;
    let (listing, library) = (Arc::clone(&api), call.library.clone());
    let page = api
        .blocking(move || collect(&listing, &library, start, limit))
        .await??;
    call.reflects(Height(page.as_of));
    Ok(reply::json(StatusCode::OK, &page))
}

fn collect(
    api: &Api,
    of: &LibraryId,
    (from, skipped): (u64, u32),
    limit: usize,
) -> Result<Page<Record>, Problem> {
    let reader = api.app.replica.reader();
    let (tip, _) = reader.tip();
    let mut page = Page {
        items: Vec::new(),
        next_cursor: None,
        as_of: tip.0,
    };
    if from > tip.0 {
        return Ok(page);
    }
    let mut walk = api.places.walk_to(reader, Height(from))?;
    let mut room = PAGE_BYTES;
    let last = tip.0.min(from.saturating_add(PAGE_BLOCKS));
    page.next_cursor = (last < tip.0).then(|| reply::write_cursor(last + 1, 0));
    for height in from..=last {
        let Some(Taken {
            block,
            dispositions,
        }) = walk.take(reader, Height(height))?
        else {
            break;
        };
        let first = if height == from { skipped } else { 0 };
        for (index, disposition) in (0..).zip(dispositions).skip(first as usize) {
            let Disposition::Fresh(Command {
                payload: Payload::Record(body),
                library,
                ..
            }) = disposition
            else {
                continue;
            };
            if library != of {
                continue;
            }
            if page.items.len() == limit || room == 0 {
                page.next_cursor = Some(reply::write_cursor(height, index));
                api.places.keep(walk);
                return Ok(page);
            }
            room = room.saturating_sub(body.len());
            let position = Position {
                height: Height(height),
                index,
            };
            page.items
                .push(Record::new(position, block.header().time, body));
        }
    }
    api.places.keep(walk);
    Ok(page)
}

impl Record {
    fn new(position: Position, time: Timestamp, body: &[u8]) -> Self {
        Self {
            height: position.height.0,
            index: position.index,
            sha256: Digest::of(&[body]).to_string(),
            time: format_timestamp(time),
            size: body.len(),
            body: STANDARD.encode(body),
        }
    }
}

/// The bytes of a command that is a record of a library that may be seen; nothing of any other, and of one that was erased.
pub(super) fn record_bytes(entry: &Entry, rights: &Rights) -> Option<Vec<u8>> {
    let command = entry.sealed()?.open().ok()?;
    match command.payload {
        Payload::Record(body) if rights.may_read(&command.library) => Some(body),
        _ => None,
    }
}
