//! What is said in a library, to be taken elsewhere: line by line, and as one hash.
//!
//! A line is what `catalogue::carried` makes: the same on every node at the same height, and the same again in the library
//! that it is carried into. The bytes themselves are had as ever.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use catalogue::ReadError;
use model::BlobId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayRead;
use super::limits::JSON_BYTES_MAX;
use super::problem::{Code, ItemProblems, JsonProblems, Problem, ReadProblems};
use super::reply::{self, Page};
use super::{Api, albums, body, json};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(digest))
        .routes(routes!(definitions))
        .routes(routes!(list, chosen))
}

/// All that is said in a library, as one hash.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LibraryDigest {
    /// The library.
    #[schema(example = "home")]
    library: String,
    /// SHA-256 of its lines, each with its line feed: definitions, then files.
    digest: String,
    /// Files, in whatever state.
    files: u64,
    /// Fields, retired ones too.
    fields: u64,
    /// Albums.
    albums: u64,
    /// The height that it is of.
    as_of: u64,
}

/// Which files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct ExportIds {
    /// Their ids, at most 1000.
    ids: Vec<String>,
}

/// What is said of a file, with whose word it is. Numbers with a fraction are text, so that a line that is read and written
/// again is the same.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents the lines of catalogue::carried")]
pub(super) struct ExportedFile {
    /// `file`.
    kind: String,
    /// SHA-256 of its bytes.
    id: String,
    /// Length in bytes.
    size: u64,
    /// What it is called.
    name: String,
    /// Everything it was ever called, first to last.
    names: Vec<String>,
    /// A heading.
    #[schema(required)]
    title: Option<String>,
    /// A text.
    #[schema(required)]
    description: Option<String>,
    /// `{tag, source}`, in their order.
    #[schema(value_type = Vec<Object>)]
    tags: Vec<Value>,
    /// Tags that a person has taken away, in lower case.
    refused_tags: Vec<String>,
    /// 0 to 5.
    #[schema(required)]
    rating: Option<u8>,
    /// Marked.
    favourite: bool,
    /// `{local, offset, source}`.
    #[schema(required, value_type = Option<Object>)]
    taken_at: Option<Value>,
    /// `{lat, lon, altitude, name, source}`.
    #[schema(required, value_type = Option<Object>)]
    place: Option<Value>,
    /// `live`, `archived` or `trashed`.
    state: String,
    /// Whose word `name title description rating favourite takenAt place state` are; null where nobody has said anything.
    #[schema(value_type = Object)]
    said: Value,
    /// Name to `{values, source}`, retired fields too.
    #[schema(value_type = Object)]
    fields: Value,
    /// `{album, position}`, by id.
    #[schema(value_type = Vec<Object>)]
    albums: Vec<Value>,
    /// Names of the people to be seen, as the file or its sidecar told them.
    people: Vec<String>,
    /// Where it was taken, in words, as the file or its sidecar told it.
    #[schema(required)]
    location: Option<String>,
}

/// The metadata digest
///
/// SHA-256 over everything that people and programs say in a library: fields, albums and files, with whose word each value is.
/// The same on every node at the same height, and the same in a library that an export was imported into. It is computed
/// anew from every file's record, one at a time.
#[utoipa::path(
    get, path = "/api/v1/digest", operation_id = "getDigest", tag = "export",
    params(("library" = Option<String>, Query, description = "The library, default the token's own")),
    responses((status = 200, description = "The digest", body = LibraryDigest), ItemProblems),
)]
async fn digest(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    call.no_more_params()?;
    let _turn = call.api.digesting.acquire().await;
    let library = call.library.clone();
    let asked = library.clone();
    let found = call
        .read(move |reader| {
            reader.at_one_height(|reader| {
                if !reader.has_library(&asked)? {
                    return Ok::<_, ReadError>(None);
                }
                let height = reader.height()?;
                Ok(Some((height, reader.metadata_digest(&asked)?)))
            })
        })
        .await?;
    let (height, found) = found.ok_or_else(|| Problem::not_found("library"))?;
    let height = height.unwrap_or_default().max(call.height());
    let answer = LibraryDigest {
        library: library.to_string(),
        digest: found.digest.to_string(),
        files: found.files,
        fields: found.fields,
        albums: found.albums,
        as_of: height.0,
    };
    Ok(reply::json(StatusCode::OK, &answer))
}

/// Export fields and albums
///
/// What they are, one item each: fields by name, retired ones too, then albums by id.
#[utoipa::path(
    get, path = "/api/v1/export/definitions", operation_id = "exportDefinitions", tag = "export",
    params(("library" = Option<String>, Query, description = "The library, default the token's own")),
    responses((status = 200, description = "All of them", body = Page<Object>), ReadProblems),
)]
async fn definitions(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    call.no_more_params()?;
    let library = call.library.clone();
    let items = call
        .read(move |reader| reader.carried_definitions(&library))
        .await?;
    let page = Page::whole(items, call.height());
    Ok(reply::json(StatusCode::OK, &page))
}

/// Export what is said of files
///
/// All files of a library, in whatever state, by id.
#[utoipa::path(
    get, path = "/api/v1/export/files", operation_id = "exportFiles", tag = "export",
    params(
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<ExportedFile>), ReadProblems),
)]
async fn list(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    let limit = call.params.limit()?;
    let after = call.params.take("cursor");
    call.no_more_params()?;
    let after: Option<BlobId> = after
        .map(|cursor| cursor.parse())
        .transpose()
        .map_err(|_| Problem::new(Code::InvalidCursor, "the cursor is not one of this list"))?;
    let library = call.library.clone();
    let found = call
        .read(move |reader| reader.carried_page(&library, after, limit))
        .await?;
    let last = found.last().filter(|_| found.len() == limit as usize);
    let page = Page {
        next_cursor: last.map(|(id, _)| id.to_string()),
        items: found.into_iter().map(|(_, line)| line).collect(),
        as_of: call.height().0,
    };
    Ok(reply::json(StatusCode::OK, &page))
}

/// Export what is said of some files
///
/// By their ids, in the order of these; what is not there is left out.
#[utoipa::path(
    post, path = "/api/v1/export/files", operation_id = "exportChosenFiles", tag = "export",
    params(("library" = Option<String>, Query, description = "The library, default the token's own")),
    request_body(content = ExportIds, content_type = "application/json"),
    responses((status = 200, description = "Those that are there", body = Page<ExportedFile>), JsonProblems),
)]
async fn chosen(MayRead(mut call): MayRead, request: Request) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let ids = albums::parse_ids(&json::parse(&bytes)?)?;
    let library = call.library.clone();
    let found = call
        .read(move |reader| reader.carried_files(&library, &ids))
        .await?;
    let lines = found.into_iter().map(|(_, line)| line).collect();
    let page = Page::whole(lines, call.height());
    Ok(reply::json(StatusCode::OK, &page))
}
