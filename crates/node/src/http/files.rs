//! What is known about a file, and how it is changed.
//!
//! A change names the version its author saw. Whether that was still the last one is decided where the change is
//! applied, on every node alike, never from what this node happens to know.

use std::sync::Arc;

use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use catalogue::file::Word as _;
use catalogue::{File, Outcome, Refusal};
use model::file::{Change, Source, State as FileState};
use model::{BlobId, Digest, Payload};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, MayRead, MayWrite};
use super::conditional::{self, Expected};
use super::json::Node;
use super::limits::JSON_BYTES_MAX;
use super::operations::Operation;
use super::problem::{Code, Fault, ItemProblems, Problem, VersionProblems};
use super::reply::{self, Page};
use super::schema::{FileDocument, FilePatch, HistoryDocument};
use super::{Api, body, fields, json, metadata, purge};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(read, edit, trash))
        .routes(routes!(restore))
        .routes(routes!(history))
}

/// Read a file
///
/// What is known about it. With `If-None-Match`, only if that has changed.
#[utoipa::path(
    get, path = "/api/v1/files/{id}", operation_id = "getFile", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id: the SHA-256 of its bytes"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("consistency" = Option<String>, Query, description = "`local` (the default) or `linearizable`"),
        ("Starling-Min-Height" = Option<u64>, Header, description = "Wait until this height is applied"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the client has"),
    ),
    responses(
        (status = 200, description = "The file", body = FileDocument, headers(("ETag" = String))),
        (status = 304, description = "The client has it"),
        ItemProblems,
    ),
)]
async fn read(
    MayRead(mut call): MayRead,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let file = find(&call, &id).await?;
    let etag = conditional::version_tag(file.version);
    if conditional::client_has(&headers, etag.to_str().unwrap_or_default()) {
        return Ok(reply::not_modified(etag));
    }
    Ok(answer(StatusCode::OK, &file))
}

/// Edit a file
///
/// A merge patch (RFC 7396) of `name title description tags rating favourite takenAt place state fields albums`: null clears, what
/// is absent stays. What a user says wins over what the file says, for ever. A program that knows less than its user says so
/// with `source`: then it changes nothing that a user has spoken of, and no tag that a user has taken away comes back.
#[utoipa::path(
    patch, path = "/api/v1/files/{id}", operation_id = "editFile", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("source" = Option<String>, Query, description = "Whose word it is: `user` (the default), `rule`, `model`, `exif` or `xmp`"),
        ("If-Match" = String, Header, description = "The ETag of the version to change, or `*`"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content(
        (FilePatch = "application/merge-patch+json"),
        (FilePatch = "application/json"),
    )),
    responses(
        (status = 200, description = "The file as it is now", body = FileDocument, headers(("ETag" = String))),
        VersionProblems,
    ),
)]
async fn edit(
    MayWrite(mut call): MayWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let source = call.params.take("source");
    call.no_more_params()?;
    let source = source.map_or(Some(Source::User), |word| Source::from_word(&word));
    let source =
        source.ok_or_else(|| Problem::parameter("source", "user, exif, xmp, rule or model"))?;
    let expected = Expected::required(request.headers())?;
    let media_types = ["application/merge-patch+json", "application/json"];
    let bytes = body::json(request, &media_types, JSON_BYTES_MAX).await?;
    let mut patch = json::parse(&bytes)?;
    if metadata::needs_current(&patch) {
        let current = find(&call, &id).await?;
        let current = serde_json::to_value(&current)
            .map_err(|error| Problem::internal("reading a file", &error))?;
        metadata::merge_objects(&mut patch, &current);
    }
    let own = match patch.get("fields") {
        Some(_) => fields::all(&call).await?,
        None => Vec::new(),
    };
    let changes = metadata::patch(&Node::root(&patch), &own)?;
    let payload = edit_of(file_id(&id)?, expected.version(), changes, source);
    change(&call, payload, Digest::of(&[&bytes])).await
}

/// Plain changes by a person stand in the ledger as ever.
fn edit_of(file: BlobId, expected: Option<u64>, changes: Vec<Change>, source: Source) -> Payload {
    let plain = |change: &Change| !matches!(change, Change::Field { .. } | Change::Albums(_));
    if source == Source::User && changes.iter().all(plain) {
        return Payload::EditFile {
            file,
            expected,
            changes,
        };
    }
    Payload::Edit {
        file,
        expected,
        changes,
        source,
        operation: None,
    }
}

/// Trash a file
///
/// It can be restored. With `If-Match`, only if it is still the version named. With `purge=true`, which needs an
/// administrator's token, it is forgotten for good instead: nobody finds it from then on, every node destroys its bytes and
/// everything the ledger says of it, and the operation in the answer tells how far they are. A file may be purged that is
/// not in the trash.
#[utoipa::path(
    delete, path = "/api/v1/files/{id}", operation_id = "trashFile", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("purge" = Option<bool>, Query, description = "Forget it for good"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version to trash"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses(
        (status = 200, description = "The file, now in the trash", body = FileDocument, headers(("ETag" = String))),
        (status = 202, description = "It is purged; the nodes erase it", body = Operation, headers(("Location" = String))),
        VersionProblems,
    ),
)]
async fn trash(
    MayWrite(mut call): MayWrite,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match call.params.take("purge").as_deref() {
        None | Some("false") => move_to(call, &id, &headers, FileState::Trashed).await,
        Some("true") => purge::file(call, &id, &headers).await,
        Some(_) => Err(Problem::parameter("purge", "true or false")),
    }
}

/// Restore a file
///
/// Takes it out of the trash or the archive.
#[utoipa::path(
    post, path = "/api/v1/files/{id}/restore", operation_id = "restoreFile", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version to restore"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses(
        (status = 200, description = "The file, live again", body = FileDocument, headers(("ETag" = String))),
        VersionProblems,
    ),
)]
async fn restore(
    MayWrite(call): MayWrite,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    move_to(call, &id, &headers, FileState::Live).await
}

async fn move_to(
    mut call: Call,
    id: &str,
    headers: &HeaderMap,
    state: FileState,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let expected = Expected::given(headers)?.unwrap_or(Expected::Any);
    let payload = Payload::SetState {
        file: file_id(id)?,
        expected: expected.version(),
        state,
    };
    change(&call, payload, Digest::of(&[])).await
}

/// A file's history
///
/// Every change: height, time, who, what, and whose word each value is.
#[utoipa::path(
    get, path = "/api/v1/files/{id}/history", operation_id = "getHistory", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "All changes, first to last", body = Page<HistoryDocument>), ItemProblems),
)]
async fn history(MayRead(mut call): MayRead, Path(id): Path<String>) -> Result<Response, Problem> {
    call.no_more_params()?;
    let file = find(&call, &id).await?.id;
    let library = call.library.clone();
    let entries = call
        .read(move |reader| reader.history(&library, &file))
        .await?;
    Ok(reply::json(
        StatusCode::OK,
        &Page::whole(entries, call.height()),
    ))
}

async fn change(call: &Call, payload: Payload, content: Digest) -> Result<Response, Problem> {
    match call.apply(payload, content).await? {
        Outcome::FileEdited { file } => Ok(answer(StatusCode::OK, &file)),
        other => Err(declined(other)),
    }
}

/// The file called `id` in the call's library.
pub(super) async fn find(call: &Call, id: &str) -> Result<File, Problem> {
    let id = file_id(id)?;
    let library = call.library.clone();
    let file = call.read(move |reader| reader.file(&library, &id)).await?;
    file.ok_or_else(|| Problem::not_found("file"))
}

/// No file has an id of another form.
pub(super) fn file_id(text: &str) -> Result<BlobId, Problem> {
    text.parse().map_err(|_| Problem::not_found("file"))
}

/// A file with its entity tag.
pub(super) fn answer(status: StatusCode, file: &File) -> Response {
    reply::tagged(
        reply::json(status, file),
        conditional::version_tag(file.version),
    )
}

/// The problem that an outcome is which is not the one hoped for.
pub(super) fn declined(outcome: Outcome) -> Problem {
    match outcome {
        Outcome::Stale { current } => {
            let detail = format!("the file is at version {current} meanwhile");
            Problem::new(Code::StaleVersion, detail)
        }
        Outcome::Refused { code, detail } => match code {
            Refusal::FileNotFound => Problem::not_found("file"),
            Refusal::LibraryNotFound => Problem::not_found("library"),
            Refusal::NotAllowed => Problem::new(Code::Forbidden, detail),
            Refusal::MemberNotFound => Problem::not_found("member"),
            Refusal::TokenNotFound => Problem::not_found("token"),
            Refusal::UserNotFound => Problem::not_found("user"),
            Refusal::UploadNotFound => Problem::not_found("upload"),
            Refusal::AlbumNotFound => Problem::not_found("album"),
            Refusal::FieldNotFound => Problem::not_found("field"),
            Refusal::OperationNotFound => Problem::not_found("operation"),
            Refusal::InvalidMetadata => {
                Problem::at(Code::InvalidBody, vec![Fault::new("", detail)])
            }
            Refusal::TokenExists
            | Refusal::LastAdmin
            | Refusal::MisplacedGenesis
            | Refusal::FieldExists
            | Refusal::InvalidAlbum
            | Refusal::InvalidStore
            | Refusal::LibraryExists
            | Refusal::LastOwner
            | Refusal::UserExists
            | Refusal::TooManyUploads => Problem::new(Code::Refused, detail),
            Refusal::StalePurge | Refusal::InvalidPurge => Problem::new(Code::Refused, detail),
        },
        other => Problem::internal(
            "matching a command with its outcome",
            &format_args!("{other:?}"),
        ),
    }
}
