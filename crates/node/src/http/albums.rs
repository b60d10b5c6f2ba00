//! Albums: made, looked at, filled, put in order.
//!
//! Which files are in an album is said of each file, in a command of its own, so putting an album in order is as many
//! commands as it has files.

use std::sync::Arc;

use axum::extract::{Path, Request};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use catalogue::albums::RANK_STEP;
use catalogue::query::{QUERY_BYTES_MAX, Query};
use catalogue::rules::DESCRIPTION_BYTES_MAX;
use catalogue::{KnownAlbum, Outcome, Refusal};
use futures::future::join_all;
use model::file::{Change, Source};
use model::{Album, AlbumId, AlbumStep, BlobId, Digest, Payload};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, MayRead, MayWrite};
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{Code, ItemProblems, JsonProblems, Problem, ReadProblems, WriteProblems};
use super::reply::{self, Page};
use super::schema::FileDocument;
use super::tokens::Drawn;
use super::{Api, body, files, json, metadata};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, delete))
        .routes(routes!(list_files, order))
}

/// Files that are put in order in one call.
const FILES_MAX: usize = 1000;

/// An album.
#[derive(Serialize, ToSchema)]
#[schema(as = Album)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlbumDocument {
    /// Its name in the ledger.
    #[schema(example = "0011223344556677")]
    id: String,
    /// What people call it.
    name: String,
    /// The album that it lies in.
    parent: Option<String>,
    /// A text.
    description: String,
    /// The rule by which its files are found; null if they are put into it.
    query: Option<String>,
    /// How many files were put into it that are not in the trash.
    files: u64,
    /// The file that stands for it.
    cover: Option<String>,
}

/// What an album is to be.
#[derive(ToSchema)]
#[schema(as = AlbumBody)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
pub(super) struct AlbumBody {
    /// What people call it.
    name: String,
    /// The album that it lies in.
    parent: Option<String>,
    /// A text.
    description: Option<String>,
    /// A rule by which its files are found. An album has one from the beginning or never.
    query: Option<String>,
    /// A file of the album that is to stand for it; only when it is said anew.
    cover: Option<String>,
}

/// Files in their order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct AlbumFiles {
    /// Their ids, at most 1000.
    ids: Vec<String>,
}

/// What has come of it.
#[derive(Serialize, ToSchema)]
struct AlbumOrder {
    /// How many files are in the album now, in the order given.
    files: usize,
    /// Ids of no file here.
    missing: Vec<String>,
}

impl From<KnownAlbum> for AlbumDocument {
    fn from(known: KnownAlbum) -> Self {
        let album = known.album;
        Self {
            id: known.id.to_string(),
            name: album.name,
            parent: album.parent.map(|parent| parent.to_string()),
            description: album.description,
            query: album.query,
            files: known.files,
            cover: known.cover.map(|cover| cover.to_string()),
        }
    }
}

/// List albums
///
/// All of them; which lies in which is in `parent`.
#[utoipa::path(
    get, path = "/api/v1/albums", operation_id = "listAlbums", tag = "albums",
    params(("library" = Option<String>, Query, description = "The library, default the token's own")),
    responses((status = 200, description = "All albums", body = Page<AlbumDocument>), ReadProblems),
)]
async fn list(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    call.no_more_params()?;
    let library = call.library.clone();
    let albums = call.read(move |reader| reader.albums(&library)).await?;
    let albums = albums.into_iter().map(AlbumDocument::from).collect();
    let page = Page::whole(albums, call.height());
    Ok(reply::json(StatusCode::OK, &page))
}

/// Make an album
///
/// With a `query` its files are those that the query finds whenever it is looked at; without, those that are put into it.
#[utoipa::path(
    post, path = "/api/v1/albums", operation_id = "createAlbum", tag = "albums",
    params(
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = AlbumBody, content_type = "application/json"),
    responses(
        (status = 201, description = "The new album", body = AlbumDocument, headers(("Location" = String))),
        JsonProblems,
    ),
)]
async fn create(
    MayWrite(mut call): MayWrite,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let content = Digest::of(&[&bytes]);
    let (definition, _) = parse(&json::parse(&bytes)?, false)?;
    let album = AlbumId(Drawn::new(&headers, &call.presented.caller, content)?.id.0);
    put(&call, album, definition, content).await?;
    let known = find(&call, album).await?;
    let place = call.place(&format!("/api/v1/albums/{album}"));
    let response = reply::json(StatusCode::CREATED, &AlbumDocument::from(known));
    Ok(reply::with(response, LOCATION, &place))
}

/// Read an album
#[utoipa::path(
    get, path = "/api/v1/albums/{id}", operation_id = "getAlbum", tag = "albums",
    params(
        ("id" = String, Path, description = "The album"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "The album", body = AlbumDocument), ItemProblems),
)]
async fn read(MayRead(mut call): MayRead, Path(id): Path<String>) -> Result<Response, Problem> {
    call.no_more_params()?;
    answer(&call, album_id(&id)?).await
}

/// Say anew what an album is
#[utoipa::path(
    put, path = "/api/v1/albums/{id}", operation_id = "putAlbum", tag = "albums",
    params(
        ("id" = String, Path, description = "The album"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = AlbumBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The album as it is now", body = AlbumDocument),
        JsonProblems, ItemProblems,
    ),
)]
async fn change(
    MayWrite(mut call): MayWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let (definition, cover) = parse(&json::parse(&bytes)?, true)?;
    let album = find(&call, album_id(&id)?).await?.id;
    put(&call, album, definition, Digest::of(&[&bytes])).await?;
    if let Some(file) = cover {
        let made = edit(&call, file, Change::Cover { album, at: None }).await?;
        if let Outcome::Refused { .. } = made {
            return Err(files::declined(made));
        }
    }
    answer(&call, album).await
}

/// Delete an album
///
/// Its files stay, and are in it no more. Albums that lie in it lie then where it lay.
#[utoipa::path(
    delete, path = "/api/v1/albums/{id}", operation_id = "deleteAlbum", tag = "albums",
    params(
        ("id" = String, Path, description = "The album"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses((status = 204, description = "Deleted"), WriteProblems, ItemProblems),
)]
async fn delete(MayWrite(mut call): MayWrite, Path(id): Path<String>) -> Result<Response, Problem> {
    call.no_more_params()?;
    let album = album_id(&id)?;
    let payload = Payload::Album(AlbumStep::Delete { album });
    match call.apply(payload, Digest::of(&[])).await? {
        Outcome::AlbumDeleted => Ok(StatusCode::NO_CONTENT.into_response()),
        other => Err(files::declined(other)),
    }
}

/// List an album's files
///
/// Those that were put into it, in its order. Those of an album with a rule are found with `GET /files?q=album:…`.
#[utoipa::path(
    get, path = "/api/v1/albums/{id}/files", operation_id = "listAlbumFiles", tag = "albums",
    params(
        ("id" = String, Path, description = "The album"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<FileDocument>), ItemProblems),
)]
async fn list_files(
    MayRead(mut call): MayRead,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let limit = call.params.limit()?;
    let cursor = call.params.take("cursor");
    call.no_more_params()?;
    let after = cursor.as_deref().map(read_cursor).transpose()?;
    let album = find(&call, album_id(&id)?).await?.id;
    let library = call.library.clone();
    let found = call.read(move |reader| reader.album_files(&library, album, after, limit));
    let found = found.await?;
    let last = found.last().filter(|_| found.len() == limit as usize);
    let page = Page {
        next_cursor: last.map(|(rank, file)| format!("{rank:x}-{}", file.id)),
        items: found.into_iter().map(|(_, file)| file).collect(),
        as_of: call.height().0,
    };
    Ok(reply::json(StatusCode::OK, &page))
}

/// Put files into an album, in this order
///
/// The album then holds these files and no others. To add some, use `POST /bulk` with `addToAlbum`: they come last.
#[utoipa::path(
    put, path = "/api/v1/albums/{id}/files", operation_id = "putAlbumFiles", tag = "albums",
    params(
        ("id" = String, Path, description = "The album"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    request_body(content = AlbumFiles, content_type = "application/json"),
    responses(
        (status = 200, description = "They are in it", body = AlbumOrder),
        JsonProblems, ItemProblems,
    ),
)]
async fn order(
    MayWrite(mut call): MayWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let ids = parse_ids(&json::parse(&bytes)?)?;
    let known = find(&call, album_id(&id)?).await?;
    if known.album.query.is_some() {
        let detail = "what is in this album is found by its rule";
        return Err(Problem::new(Code::Refused, detail));
    }
    let album = known.id;
    let placing = (1..).zip(&ids).map(|(place, file)| {
        let rank = Some(place * RANK_STEP);
        edit(&call, *file, Change::AddToAlbum { album, rank })
    });
    let mut missing = Vec::new();
    for (file, placed) in ids.iter().zip(join_all(placing).await) {
        match placed? {
            Outcome::FileEdited { .. } => {}
            Outcome::Refused {
                code: Refusal::FileNotFound,
                ..
            } => missing.push(file.to_string()),
            other => return Err(files::declined(other)),
        }
    }
    let others = others(&call, album, &ids).await?;
    let leaving = others
        .into_iter()
        .map(|file| edit(&call, file, Change::RemoveFromAlbum(album)));
    for left in join_all(leaving).await {
        left?;
    }
    let done = AlbumOrder {
        files: ids.len() - missing.len(),
        missing,
    };
    Ok(reply::json(StatusCode::OK, &done))
}

/// The files of an album that are not among these.
async fn others(call: &Call, album: AlbumId, ids: &[BlobId]) -> Result<Vec<BlobId>, Problem> {
    let mut others = Vec::new();
    let mut after = None;
    loop {
        let library = call.library.clone();
        let page = call.read(move |reader| reader.album_files(&library, album, after, 1000));
        let page = page.await?;
        let Some((rank, last)) = page.last() else {
            return Ok(others);
        };
        after = Some((*rank, last.id));
        let files = page.into_iter().map(|(_, file)| file.id);
        others.extend(files.filter(|id| !ids.contains(id)));
    }
}

/// One change of one file; the same thing when done twice.
async fn edit(call: &Call, file: BlobId, change: Change) -> Result<Outcome, Problem> {
    let payload = Payload::Edit {
        file,
        expected: None,
        changes: vec![change],
        source: Source::User,
        operation: None,
    };
    call.apply_unkeyed(payload).await
}

/// The album as it is now.
pub(super) async fn answer(call: &Call, album: AlbumId) -> Result<Response, Problem> {
    let known = find(call, album).await?;
    Ok(reply::json(StatusCode::OK, &AlbumDocument::from(known)))
}

/// Has it decided what an album is.
pub(super) async fn put(
    call: &Call,
    album: AlbumId,
    definition: Album,
    content: Digest,
) -> Result<(), Problem> {
    let step = AlbumStep::Put { album, definition };
    match call.apply(Payload::Album(step), content).await? {
        Outcome::AlbumPut { .. } => Ok(()),
        other => Err(files::declined(other)),
    }
}

pub(super) async fn find(call: &Call, id: AlbumId) -> Result<KnownAlbum, Problem> {
    let library = call.library.clone();
    let found = call.read(move |reader| reader.album(&library, id)).await?;
    found.ok_or_else(|| Problem::not_found("album"))
}

/// No album has an id of another form.
pub(super) fn album_id(text: &str) -> Result<AlbumId, Problem> {
    text.parse().map_err(|_| Problem::not_found("album"))
}

fn read_cursor(text: &str) -> Result<(u64, BlobId), Problem> {
    let read = || {
        let (rank, file) = text.split_once('-')?;
        Some((u64::from_str_radix(rank, 16).ok()?, file.parse().ok()?))
    };
    read().ok_or_else(|| Problem::new(Code::InvalidCursor, "the cursor is not one of this list"))
}

/// What an album is to be, and the file that is to stand for it.
pub(super) fn parse(body: &Value, with_cover: bool) -> Result<(Album, Option<BlobId>), Faults> {
    let known: &[&str] = match with_cover {
        true => &["name", "parent", "description", "query", "cover"],
        false => &["name", "parent", "description", "query"],
    };
    let members = Node::root(body).members(known)?;
    let mut faults = Faults::default();
    let name = members
        .required("name")
        .and_then(|node| metadata::name(&node));
    let name = faults.keep(name);
    let parent = faults.keep(members.optional("parent", one)).flatten();
    let text = |node: &Node<'_>| node.text(0..=DESCRIPTION_BYTES_MAX).map(str::to_owned);
    let description = faults.keep(members.optional("description", text)).flatten();
    let query = |node: &Node<'_>| {
        let text = node.text(0..=QUERY_BYTES_MAX)?;
        let parsed = text.parse::<Query>();
        parsed.map_err(|error| node.fault(error.to_string()))?;
        Ok(text.to_owned())
    };
    let query = faults.keep(members.optional("query", query)).flatten();
    let cover = members.optional("cover", file_id);
    let cover = faults.keep(cover).flatten();
    let name = faults
        .into_result(name)?
        .expect("without a fault there is a name");
    let album = Album {
        name,
        parent,
        description: description.unwrap_or_default(),
        query,
    };
    Ok((album, cover))
}

fn file_id(node: &Node<'_>) -> Result<BlobId, Faults> {
    node.parsed("64 lower-case hexadecimal digits", |text| text.parse().ok())
}

/// The ids of at most 1000 files, each once.
pub(super) fn parse_ids(body: &Value) -> Result<Vec<BlobId>, Faults> {
    let members = Node::root(body).members(&["ids"])?;
    let mut faults = Faults::default();
    let mut ids = Vec::new();
    for element in members.required("ids")?.elements(0..=FILES_MAX)? {
        let id = faults.keep(file_id(&element));
        ids.extend(id.filter(|id| !ids.contains(id)));
    }
    faults.into_result(ids)
}

/// Ids of albums, each once.
pub(super) fn ids(node: &Node<'_>) -> Result<Vec<AlbumId>, Faults> {
    let mut faults = Faults::default();
    let mut ids = Vec::new();
    for element in node.elements(0..=catalogue::albums::FILE_ALBUMS_MAX)? {
        let id = faults.keep(one(&element));
        ids.extend(id.filter(|id| !ids.contains(id)));
    }
    faults.into_result(ids)
}

/// The id of an album.
pub(super) fn one(node: &Node<'_>) -> Result<AlbumId, Faults> {
    let form = "an album's id, 16 lower-case hexadecimal digits";
    node.parsed(form, |text| text.parse().ok())
}
