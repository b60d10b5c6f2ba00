//! What a link opens, to whoever holds it: no token, little metadata, and nothing else of the library.
//!
//! A link that was never made, is revoked, has expired, or whose maker may not share any more, is the same to whoever
//! asks: there is no such share. A password opens it for an hour: what proves that is made of the link's secret and of the
//! hash in the ledger, so every node can tell it and none keeps it.
//! What is in it is asked for anew each time, so it is what the maker would share now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, FromRequestParts, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use catalogue::time::format_timestamp;
use catalogue::{File, KnownShare, Limit, Reader, SearchError};
use cookie::{Cookie, SameSite, time};
use model::file::Kind;
use model::{Digest, Shared, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Reflected, wait};
use super::content;
use super::disposition::Use;
use super::files::file_id;
use super::json::{Faults, Node};
use super::metrics::Remote;
use super::params::Params;
use super::problem::{Code, Problem, SharedProblems, UnlockProblems};
use super::reply::{self, Page};
use super::schema::Octets;
use super::sessions::limited;
use super::{Api, auth, body, json, search, users};

/// What proves that the password was known.
const PASS: HeaderName = HeaderName::from_static("starling-share-pass");
const PASS_COOKIE: &str = "starling-share";
/// How long it does.
const PASS_LIFE: Duration = Duration::from_secs(3600);
/// A password in JSON, of which every character may be escaped.
const UNLOCK_BYTES_MAX: usize = 16 << 10;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(look))
        .routes(routes!(unlock))
        .routes(routes!(list))
        .routes(routes!(thumbnail))
        .routes(routes!(original))
}

/// What a link opens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SharedThing)]
#[serde(rename_all = "camelCase")]
struct Opened {
    /// What people call it.
    title: String,
    /// `file`, `album` or `query`.
    kind: &'static str,
    /// How many files there are to see now.
    files: u64,
    /// Whether originals are given out.
    download: bool,
    /// Until when it is open, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// What is shown of a file to whoever holds a link.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SharedFile {
    /// Its id.
    id: String,
    /// What it is called.
    name: String,
    /// Its title.
    title: Option<String>,
    /// The media type of its bytes.
    media_type: String,
    /// `photo`, `video` or `other`.
    kind: &'static str,
    /// How many bytes its original has.
    size: u64,
    /// Where the camera's clock stood.
    taken_at: Option<String>,
    /// Where it was taken, if the share tells.
    place: Option<SharedPlace>,
    /// In pixels, upright.
    width: Option<u32>,
    /// In pixels, upright.
    height: Option<u32>,
    /// Of a film.
    duration_ms: Option<u64>,
    /// A few bytes that look like it from afar, in Base64.
    thumbhash: Option<String>,
}

/// A place.
#[derive(Debug, Serialize, ToSchema)]
struct SharedPlace {
    /// Degrees north.
    lat: f64,
    /// Degrees east.
    lon: f64,
    /// What it is called.
    name: Option<String>,
}

impl SharedFile {
    fn of(file: File, places: bool) -> Self {
        let place = file.place.filter(|_| places);
        Self {
            id: file.id.to_string(),
            name: file.name,
            title: file.title,
            media_type: file.media_type,
            kind: match file.kind {
                Kind::Photo => "photo",
                Kind::Video => "video",
                Kind::Other => "other",
            },
            size: file.size,
            taken_at: file.taken_at.map(|taken| taken.local),
            place: place.map(|place| SharedPlace {
                lat: place.lat,
                lon: place.lon,
                name: place.name,
            }),
            width: file.width,
            height: file.height,
            duration_ms: file.duration_ms,
            thumbhash: file.thumbhash,
        }
    }
}

/// A password.
#[derive(ToSchema)]
#[schema(as = ShareUnlock)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct Unlock {
    /// As it was set.
    password: String,
}

/// The password was right.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShareUnlocked)]
struct Unlocked {
    /// What goes into `Starling-Share-Pass` of every further call.
    pass: String,
}

/// A call by somebody who holds a link.
struct Guest {
    api: Arc<Api>,
    params: Params,
    deadline: Instant,
    /// What proves that the password was known.
    pass: Option<Pass>,
    reflected: Reflected,
}

impl FromRequestParts<Arc<Api>> for Guest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        api.refuse_if_out()?;
        let reflected = parts.extensions.get::<Reflected>().cloned();
        Ok(Self {
            params: Params::of(&parts.uri)?,
            pass: Pass::shown(&parts.headers),
            deadline: Instant::now() + wait(&parts.headers),
            reflected: reflected.unwrap_or_default(),
            api: Arc::clone(api),
        })
    }
}

impl Guest {
    /// Asks about what a link opens, at the height at which it was open.
    async fn ask<T: Send + 'static>(
        &self,
        secret: &str,
        ask: impl FnOnce(&Reader, &KnownShare) -> Result<T, SearchError> + Send + 'static,
    ) -> Result<(KnownShare, T), Problem> {
        let (known, answer) = self.knock(secret, ask).await?;
        let now = self.api.now();
        let opens = |hash: &String| {
            let pass = self.pass.as_ref();
            pass.is_some_and(|pass| pass.opens(secret, hash, now))
        };
        if !known.share.password.as_ref().is_none_or(opens) {
            let detail = "this link asks for a password: POST it to …/unlock";
            return Err(Problem::new(Code::ShareLocked, detail));
        }
        Ok((known, answer))
    }

    /// The same, whether or not the password was known.
    async fn knock<T: Send + 'static>(
        &self,
        secret: &str,
        ask: impl FnOnce(&Reader, &KnownShare) -> Result<T, SearchError> + Send + 'static,
    ) -> Result<(KnownShare, T), Problem> {
        let catalogue = &self.api.app.catalogue;
        self.reflected.raise(catalogue.height());
        let built = catalogue.indexed(self.deadline).await;
        built.map_err(|_| Problem::new(Code::Behind, "this node is still building its index"))?;
        let (secret, now) = (Digest::of(&[secret.as_bytes()]), self.api.now());
        let found = catalogue.read(move |reader| reader.with_share(&secret, now, ask));
        match found.await {
            Ok(found) => found.ok_or_else(no_share),
            // The album is gone.
            Err(SearchError::Album(_) | SearchError::OwnField { .. }) => Err(no_share()),
            Err(error) => Err(search::unfound(&error)),
        }
    }

    /// A file that a link opens.
    async fn file(&self, secret: &str, id: &str) -> Result<(KnownShare, File), Problem> {
        let id = file_id(id)?;
        let asked = self.ask(secret, move |reader, share| reader.shared_file(share, &id));
        let (share, file) = asked.await?;
        let file = file.ok_or_else(|| Problem::not_found("file"))?;
        Ok((share, file))
    }
}

/// That somebody knew a share's password: until when, and a hash that only they and the nodes can make.
#[derive(Debug)]
struct Pass {
    until: Timestamp,
    proof: Digest,
}

impl Pass {
    fn made(secret: &str, hash: &str, until: Timestamp) -> Self {
        let (secret, hash) = (
            Digest::of(&[secret.as_bytes()]),
            Digest::of(&[hash.as_bytes()]),
        );
        let parts = [
            b"starling/share-pass/v1",
            &secret.0[..],
            &hash.0[..],
            &until.0.to_be_bytes(),
        ];
        let proof = Digest::of(&parts);
        Self { until, proof }
    }

    /// The header or, where a browser asks, the cookie.
    fn shown(headers: &HeaderMap) -> Option<Self> {
        let header = headers.get(&PASS).and_then(|pass| pass.to_str().ok());
        if let Some(text) = header {
            return Self::read(text);
        }
        let texts = headers.get_all(COOKIE).iter();
        let texts = texts.filter_map(|text| text.to_str().ok());
        let mut cookies = texts.flat_map(Cookie::split_parse).filter_map(Result::ok);
        let ours = cookies.find(|cookie| cookie.name() == PASS_COOKIE)?;
        Self::read(ours.value())
    }

    fn read(text: &str) -> Option<Self> {
        let (until, proof) = text.split_once('.')?;
        Some(Self {
            until: Timestamp(until.parse().ok()?),
            proof: proof.parse().ok()?,
        })
    }

    fn opens(&self, secret: &str, hash: &str, now: Timestamp) -> bool {
        let right = Self::made(secret, hash, self.until);
        now < self.until && auth::same(&right.proof, &self.proof)
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.until.0, self.proof)
    }
}

fn no_share() -> Problem {
    Problem::not_found("share")
}

/// Look at what a link opens
///
/// Without a token. The same answer for a link that was never made, was revoked or has expired.
#[utoipa::path(
    get, path = "/api/v1/shared/{secret}", operation_id = "getShared", tag = "shares", security(()),
    params(("secret" = String, Path, description = "The link's secret")),
    responses((status = 200, description = "What it opens", body = Opened), SharedProblems),
)]
async fn look(mut guest: Guest, Path(secret): Path<String>) -> Result<Response, Problem> {
    std::mem::take(&mut guest.params).finish()?;
    let page = catalogue::Page::default();
    let asked = guest.ask(&secret, move |reader, share| {
        reader.shared_files(share, &page)
    });
    let (known, found) = asked.await?;
    let opened = Opened {
        kind: match known.share.of {
            Shared::File(_) => "file",
            Shared::Album(_) => "album",
            Shared::Query(_) => "query",
        },
        title: known.share.title,
        files: found.total,
        download: known.share.download,
        expires_at: known.share.expires.map(format_timestamp),
    };
    Ok(reply::json(StatusCode::OK, &opened))
}

/// Open a link that asks for a password
///
/// Good for an hour, as a cookie or as the header `Starling-Share-Pass` with the answer's `pass`, on every node. Attempts are
/// counted.
#[utoipa::path(
    post, path = "/api/v1/shared/{secret}/unlock", operation_id = "unlockShared", tag = "shares", security(()),
    params(("secret" = String, Path, description = "The link's secret")),
    request_body(content = Unlock, content_type = "application/json"),
    responses(
        (status = 200, description = "It is open for an hour", body = Unlocked, headers(("Set-Cookie" = String))),
        UnlockProblems,
    ),
)]
async fn unlock(
    mut guest: Guest,
    remote: Option<Extension<Remote>>,
    Path(secret): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    std::mem::take(&mut guest.params).finish()?;
    let bytes = body::json(request, &["application/json"], UNLOCK_BYTES_MAX).await?;
    let password = parse(&json::parse(&bytes)?)?;
    let (known, ()) = guest.knock(&secret, |_, _| Ok(())).await?;
    let (api, address) = (
        &guest.api,
        remote.map(|Extension(Remote(address))| address.ip()),
    );
    let name = format!("share:{}", known.id);
    let attempt = api.rates.attempt(std::time::Instant::now(), &name, address);
    let attempt = attempt.map_err(limited)?;
    let hash = known.share.password;
    let fits = api.passwords.fits(password, hash.clone()).await;
    let fits = fits.map_err(users::unhashed)?;
    let Some(hash) = hash.filter(|_| fits) else {
        let detail = "the password is wrong";
        return Err(Problem::new(Code::ShareLocked, detail));
    };
    api.rates.succeeded(&attempt);
    let pass = Pass::made(&secret, &hash, api.now().plus(PASS_LIFE)).to_string();
    let cookie = Cookie::build((PASS_COOKIE, pass.as_str()))
        .path(format!("/api/v1/shared/{secret}"))
        .http_only(true)
        .secure(api.is_secure())
        .same_site(SameSite::Strict)
        .max_age(time::Duration::seconds(PASS_LIFE.as_secs().cast_signed()));
    let cookie = HeaderValue::try_from(cookie.to_string());
    let cookie = cookie.map_err(|_| no_share())?;
    let mut response = reply::json(StatusCode::OK, &Unlocked { pass });
    response.headers_mut().insert(SET_COOKIE, cookie);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

fn parse(body: &Value) -> Result<String, Faults> {
    let members = Node::root(body).members(&["password"])?;
    users::any_password(&members.required("password")?)
}

/// List what a link opens
///
/// Newest first, with what is told to strangers.
#[utoipa::path(
    get, path = "/api/v1/shared/{secret}/files", operation_id = "listSharedFiles", tag = "shares", security(()),
    params(
        ("secret" = String, Path, description = "The link's secret"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<SharedFile>), SharedProblems),
)]
async fn list(mut guest: Guest, Path(secret): Path<String>) -> Result<Response, Problem> {
    let limit = Limit::new(guest.params.limit()?).unwrap_or_default();
    let cursor = guest.params.take("cursor");
    std::mem::take(&mut guest.params).finish()?;
    let page = catalogue::Page {
        limit,
        cursor,
        sort: None,
    };
    let asked = guest.ask(&secret, move |reader, share| {
        reader.shared_files(share, &page)
    });
    let (known, found) = asked.await?;
    guest.reflected.raise(found.height);
    let places = known.share.places;
    let items = found.items.into_iter();
    let page = Page {
        items: items.map(|file| SharedFile::of(file, places)).collect(),
        next_cursor: found.next_cursor,
        as_of: guest.reflected.height().0,
    };
    Ok(reply::json(StatusCode::OK, &page))
}

/// Read a picture of a file that a link opens
#[utoipa::path(
    get, path = "/api/v1/shared/{secret}/files/{id}/thumbnail", operation_id = "getSharedThumbnail", tag = "shares",
    security(()),
    params(
        ("secret" = String, Path, description = "The link's secret"),
        ("id" = String, Path, description = "The file's id"),
        ("size" = Option<u32>, Query, description = "256 (the default), 512 or 1440"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of a thumbnail the client has"),
    ),
    responses(
        (status = 200, description = "The picture", body = Octets, content_type = "image/jpeg", headers(("ETag" = String))),
        (status = 304, description = "The client has it"),
        SharedProblems,
    ),
)]
async fn thumbnail(
    mut guest: Guest,
    Path((secret, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let px = content::size(&mut guest.params)?;
    std::mem::take(&mut guest.params).finish()?;
    let (_, file) = guest.file(&secret, &id).await?;
    content::picture(&guest.api, &file, px, &headers).await
}

/// Read the bytes of a file that a link opens
///
/// Only if the share gives originals out. One range per request is served.
#[utoipa::path(
    get, path = "/api/v1/shared/{secret}/files/{id}/content", operation_id = "getSharedContent", tag = "shares",
    security(()),
    params(
        ("secret" = String, Path, description = "The link's secret"),
        ("id" = String, Path, description = "The file's id"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of bytes the client has"),
    ),
    responses(
        (status = 200, description = "The bytes", body = Octets, content_type = "application/octet-stream", headers(("ETag" = String))),
        (status = 206, description = "A part of them", body = Octets, content_type = "application/octet-stream", headers(("Content-Range" = String))),
        (status = 304, description = "The client has them"),
        SharedProblems,
    ),
)]
async fn original(
    mut guest: Guest,
    State(api): State<Arc<Api>>,
    Path((secret, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    std::mem::take(&mut guest.params).finish()?;
    let (known, file) = guest.file(&secret, &id).await?;
    if !known.share.download {
        let detail = "this link shows pictures and gives no originals out";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    content::whole(&api, (&method, &headers), &file, Use::Download).await
}
