//! Shares: links that open a file, an album or what a query finds to whoever holds them. Here they are made, listed and
//! revoked; what they open is shown by `shared`.
//!
//! The link's secret is in the answer that makes it and nowhere else: the ledger has its hash.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use catalogue::query::{QUERY_BYTES_MAX, Query, Within};
use catalogue::time::format_timestamp;
use catalogue::{KnownShare, Need, Outcome};
use model::{Digest, Payload, Share, ShareId, ShareStep, Shared, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, MayRead, MayWrite};
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{ItemProblems, JsonProblems, Problem, ReadProblems, WriteProblems};
use super::reply::{self, Page};
use super::tokens::Drawn;
use super::{Api, albums, body, files, json, metadata, tokens, users};

/// What every link's secret starts with, so that a leaked one is recognised by scanners, and no log shows it.
const PREFIX: &str = "stl_share_";
/// A password that is asked for beside the link. The link alone cannot be guessed, so it may be short.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 4..=1024;
/// How long a share that expires may be open: ten years.
const LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

/// A share that was made, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Share)]
#[serde(rename_all = "camelCase")]
struct ShareDocument {
    /// Its name.
    #[schema(example = "0011223344556677")]
    id: String,
    /// What people call it.
    title: String,
    /// The file that it opens.
    file: Option<String>,
    /// The album that it opens.
    album: Option<String>,
    /// The query whose files it opens.
    query: Option<String>,
    /// Whether originals are given out.
    download: bool,
    /// Whether places are told.
    places: bool,
    /// Whether a password is asked for.
    has_password: bool,
    /// Until when it opens anything, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// The token that made it.
    created_by: String,
    /// With whose rights it is looked at: a user, or `token:` and a token that is no user's.
    sharer: String,
    /// `open`, `revoked`, `expired`, or `unbacked`: who made it may not share anything of the library any more.
    state: &'static str,
}

/// A share that was made, with its secret: it is not shown again.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedShare {
    #[serde(flatten)]
    share: ShareDocument,
    /// What is asked for in paths under `/api/v1/shared/`.
    secret: String,
    /// Where it is looked at.
    #[schema(example = "/api/v1/shared/stl_share_c2VjcmV0")]
    path: String,
}

/// A share to be made: of a file, of an album or of a query.
#[derive(ToSchema)]
#[schema(as = ShareBody, rename_all = "camelCase")]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct ShareBody {
    /// What people call it.
    title: String,
    /// A file's id.
    file: Option<String>,
    /// An album's id. What lies in it when the link is used is shown, and what lies in albums in it.
    album: Option<String>,
    /// A query. What it finds when the link is used is shown. Nothing in the trash is.
    query: Option<String>,
    /// What is asked for beside the link, 4 to 1024 bytes.
    password: Option<String>,
    /// In how many seconds it ends; never if it is absent.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in: Option<u64>,
    /// Whether originals are given out, and not only pictures made of them. They tell where they were taken, so it takes
    /// `places`. Default no.
    download: Option<bool>,
    /// Whether it is told where files were taken. Default no.
    places: Option<bool>,
}

/// List shares
///
/// Those of a library, also those that are over.
#[utoipa::path(
    get, path = "/api/v1/shares", operation_id = "listShares", tag = "access",
    params(("library" = Option<String>, Query, description = "The library, default the token's own")),
    responses((status = 200, description = "All of them, oldest first", body = Page<ShareDocument>), ReadProblems),
)]
async fn list(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    call.no_more_params()?;
    let library = call.library.clone();
    let shares = call.read(move |reader| reader.shares(&library)).await?;
    let now = call.api.now();
    let items = shares.into_iter().map(|known| document(known, now));
    let page = Page::whole(items.collect(), call.height());
    Ok(reply::json(StatusCode::OK, &page))
}

/// Share something
///
/// The answer alone holds the secret. Who has the link sees what is shared with the rights of whoever made it, as long as
/// they may edit the library.
#[utoipa::path(
    post, path = "/api/v1/shares", operation_id = "createShare", tag = "access",
    params(
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = ShareBody, content_type = "application/json"),
    responses(
        (status = 201, description = "It is open", body = CreatedShare, headers(("Location" = String))),
        (status = 404, description = "`not_found`: there is no such file, album or library"),
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
    let wanted = parse(&json::parse(&bytes)?)?;
    must_exist(&call, &wanted.of).await?;
    let drawn = Drawn::new(&headers, &call.presented.caller, content)?;
    let share = ShareId(drawn.id.0);
    let secret = format!("{PREFIX}{}", drawn.secret);
    let definition = Share {
        of: wanted.of,
        title: wanted.title,
        secret: Digest::of(&[secret.as_bytes()]),
        password: hashed(&call, wanted.password).await?,
        expires: wanted.life.map(|life| call.api.now().plus(life)),
        download: wanted.download,
        places: wanted.places,
    };
    let step = ShareStep::Create { share, definition };
    match call.apply(Payload::Share(step), content).await? {
        Outcome::ShareMade { share: made } if made == share => {}
        other => return Err(files::declined(other)),
    }
    let known = find(&call, share).await?;
    let created = CreatedShare {
        share: document(known, call.api.now()),
        path: format!("/api/v1/shared/{secret}"),
        secret,
    };
    let mut response = reply::json(StatusCode::CREATED, &created);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    let place = call.place(&format!("/api/v1/shares/{share}"));
    Ok(reply::with(response, LOCATION, &place))
}

/// Revoke a share
///
/// From the next height on its link opens nothing, on any node.
#[utoipa::path(
    delete, path = "/api/v1/shares/{id}", operation_id = "revokeShare", tag = "access",
    params(
        ("id" = String, Path, description = "The share"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses((status = 204, description = "Revoked"), WriteProblems, ItemProblems),
)]
async fn revoke(MayWrite(mut call): MayWrite, Path(id): Path<String>) -> Result<Response, Problem> {
    call.no_more_params()?;
    let share: ShareId = id.parse().map_err(|_| Problem::not_found("share"))?;
    find(&call, share).await?;
    let step = ShareStep::Revoke { share };
    match call.apply(Payload::Share(step), Digest::of(&[])).await? {
        Outcome::ShareRevoked => Ok(StatusCode::NO_CONTENT.into_response()),
        other => Err(files::declined(other)),
    }
}

/// What the ledger keeps of a password. A retry is answered with the share that the first attempt made.
async fn hashed(call: &Call, password: Option<String>) -> Result<Option<String>, Problem> {
    let Some(password) = password else {
        return Ok(None);
    };
    let [salt @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = tokens::random()?;
    let hash = call.api.passwords.hash(password, salt).await;
    hash.map(Some).map_err(users::unhashed)
}

/// A share of the call's library.
async fn find(call: &Call, share: ShareId) -> Result<KnownShare, Problem> {
    let library = call.library.clone();
    let shares = call.read(move |reader| reader.shares(&library)).await?;
    let found = shares.into_iter().find(|known| known.id == share);
    found.ok_or_else(|| Problem::not_found("share"))
}

/// Nobody is told later that a link opens nothing because of a slip.
async fn must_exist(call: &Call, of: &Shared) -> Result<(), Problem> {
    call.require(Need::Edit)?;
    match of {
        Shared::File(file) => files::find(call, &file.to_string()).await.map(drop),
        Shared::Album(album) => albums::find(call, *album).await.map(drop),
        Shared::Query(_) => Ok(()),
    }
}

fn document(known: KnownShare, now: Timestamp) -> ShareDocument {
    let state = match known.share.expires {
        _ if known.revoked.is_some() => "revoked",
        Some(end) if end <= now => "expired",
        _ if !known.backed => "unbacked",
        _ => "open",
    };
    let share = known.share;
    let (file, album, query) = match share.of {
        Shared::File(file) => (Some(file.to_string()), None, None),
        Shared::Album(album) => (None, Some(album.to_string()), None),
        Shared::Query(text) => (None, None, Some(text)),
    };
    ShareDocument {
        id: known.id.to_string(),
        title: share.title,
        file,
        album,
        query,
        download: share.download,
        places: share.places,
        has_password: share.password.is_some(),
        expires_at: share.expires.map(format_timestamp),
        created_at: format_timestamp(known.created),
        created_by: known.created_by.to_string(),
        sharer: known.sharer.to_string(),
        state,
    }
}

/// What is to be shared, and how.
#[derive(Debug)]
struct Wanted {
    of: Shared,
    title: String,
    password: Option<String>,
    life: Option<Duration>,
    download: bool,
    places: bool,
}

fn parse(body: &Value) -> Result<Wanted, Faults> {
    let root = Node::root(body);
    let known = [
        "title",
        "file",
        "album",
        "query",
        "password",
        "expiresIn",
        "download",
        "places",
    ];
    let members = root.members(&known)?;
    let mut faults = Faults::default();
    let title = members.required("title");
    let title = faults.keep(title.and_then(|node| metadata::name(&node)));
    let id = "an id as it is listed";
    let file = members.optional("file", |node| node.parsed(id, |text| text.parse().ok()));
    let album = members.optional("album", |node| node.parsed(id, |text| text.parse().ok()));
    let file = faults.keep(file).flatten().map(Shared::File);
    let album = faults.keep(album).flatten().map(Shared::Album);
    let query = faults.keep(members.optional("query", query)).flatten();
    let mut flag = |name| {
        let flag = members.optional(name, |node| node.boolean());
        faults.keep(flag).flatten().unwrap_or_default()
    };
    let (download, places) = (flag("download"), flag("places"));
    let password = faults
        .keep(members.optional("password", password_of))
        .flatten();
    let life = members.optional("expiresIn", |node| node.integer(1..=LIFE_MAX.as_secs()));
    let life = faults.keep(life).flatten().map(Duration::from_secs);
    let title = faults.into_result(title)?;
    let mut named = [file, album, query].into_iter().flatten();
    let (Some(of), None) = (named.next(), named.next()) else {
        return Err(root.fault("a share is of a file, of an album or of a query"));
    };
    if download && !places {
        let detail = "originals tell where they were taken: with download, places must be true";
        return Err(Node::at(body, "/download").fault(detail));
    }
    Ok(Wanted {
        of,
        title: title.expect("without a fault there is a title"),
        password,
        life,
        download,
        places,
    })
}

fn password_of(node: &Node<'_>) -> Result<String, Faults> {
    node.text(PASSWORD_BYTES).map(str::to_owned)
}

/// A query that can be shared: of this library alone, and of nothing in the trash.
fn query(node: &Node<'_>) -> Result<Shared, Faults> {
    let text = node.text(0..=QUERY_BYTES_MAX)?;
    let query: Query = text
        .parse()
        .map_err(|error: catalogue::QueryError| node.fault(error.to_string()))?;
    if query.library.is_some() {
        return Err(node.fault("a share is of one library; name it as ?library="));
    }
    if matches!(query.within, Within::Trash | Within::All) {
        return Err(node.fault("a share shows nothing that is in the trash"));
    }
    Ok(Shared::Query(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_share_is_of_one_thing_and_says_what_it_tells() {
        let file = "ab".repeat(32);
        let good = json!({"title": "x", "file": file, "expiresIn": 60});
        let wanted = parse(&good).unwrap();
        assert!(!wanted.download && !wanted.places);
        assert_eq!(wanted.life, Some(Duration::from_secs(60)));
        for wrong in [
            json!({"title": "x"}),
            json!({"title": "x", "file": file, "query": ""}),
            json!({"file": file}),
            json!({"title": "x", "file": "ab"}),
            json!({"title": "x", "query": "in:trash"}),
            json!({"title": "x", "query": "in:all"}),
            json!({"title": "x", "query": "library:home"}),
            json!({"title": "x", "query": "colour:red"}),
            json!({"title": "x", "file": file, "download": true}),
            json!({"title": "x", "file": file, "expiresIn": 0}),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
