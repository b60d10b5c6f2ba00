//! Uploads that may be interrupted, by tus 1.0 (<https://tus.io/protocols/resumable-upload>).
//!
//! How far an upload is stands in the ledger, and its bytes are blobs on as many nodes as must hold them, so it goes on
//! at any node, also when the one it began at is gone. When all bytes have arrived they are put together here, become a
//! file like any other, and the parts are forgotten. If this node dies in between, the next one that is asked does it.

mod intake;
mod protocol;

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{DefaultBodyLimit, Path, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use catalogue::{Outcome, Part, Upload};
use model::{BlobId, Digest, Payload, Timestamp, UploadId, UploadStep};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::intake::Intake;
use self::protocol::{Checksum, Description, MEDIA_TYPE, VERSION};
use super::call::{Call, MayWrite};
use super::limits::FILE_BYTES_MAX;
use super::problem::{Code, Problem, UploadProblems};
use super::schema::Octets;
use super::{Api, body, files, upload};
use crate::pictures::Around;

pub(crate) use self::intake::Intakes;

/// Bytes read at a time when parts are put together.
const CHUNK_BYTES: usize = 1 << 20;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(offer, create))
        .routes(routes!(head, patch, delete, post))
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::map_response(signed))
}

/// Every answer names the version of the protocol.
async fn signed(mut response: Response) -> Response {
    let version = HeaderValue::from_static(VERSION);
    response
        .headers_mut()
        .insert(protocol::TUS_RESUMABLE, version);
    response
}

/// Read what is offered
///
/// Version and extensions of tus that this node speaks, and how large an upload may be.
#[utoipa::path(
    options, path = "/api/v1/uploads", operation_id = "getUploadOptions", tag = "uploads",
    responses(
        (status = 204, description = "In the headers", headers(
            ("Tus-Version" = String), ("Tus-Extension" = String), ("Tus-Max-Size" = u64), ("Tus-Checksum-Algorithm" = String),
        )),
        UploadProblems,
    ),
)]
async fn offer(MayWrite(mut call): MayWrite) -> Result<Response, Problem> {
    call.no_more_params()?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (protocol::TUS_VERSION, VERSION),
        (protocol::TUS_EXTENSION, protocol::EXTENSIONS),
        (protocol::TUS_CHECKSUM_ALGORITHM, protocol::ALGORITHMS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(protocol::TUS_MAX_SIZE, FILE_BYTES_MAX.into());
    Ok(response)
}

/// Begin an upload
///
/// By tus 1.0. The answer's `Location` takes the bytes, at any node. A body of `application/offset+octet-stream` is
/// their beginning. `Upload-Metadata` may hold `filename`, `metadata` (the JSON of `POST /files`) and `restore`.
#[utoipa::path(
    post, path = "/api/v1/uploads", operation_id = "beginUpload", tag = "uploads",
    params(
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Length" = u64, Header, description = "How many bytes there will be"),
        ("Upload-Metadata" = Option<String>, Header, description = "Keys, and behind a space values in Base64, parted by commas"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1` or `sha256` and the checksum of the body in Base64"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = Octets, content_type = "application/offset+octet-stream"),
    responses(
        (status = 201, description = "It takes bytes", headers(
            ("Location" = String), ("Upload-Offset" = u64), ("Upload-Expires" = String), ("Starling-File" = String),
        )),
        UploadProblems,
    ),
)]
async fn create(MayWrite(mut call): MayWrite, request: Request) -> Result<Response, Problem> {
    call.no_more_params()?;
    let headers = request.headers().clone();
    protocol::check_version(&headers)?;
    let size = protocol::required(&headers, &protocol::UPLOAD_LENGTH)?;
    if size > FILE_BYTES_MAX {
        return Err(body::too_large(FILE_BYTES_MAX));
    }
    let described = protocol::described(&headers)?;
    Description::read(&described)?;
    let with_bytes = carries_bytes(&headers)?;
    if with_bytes {
        must_fit(&headers, size)?;
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| Problem::internal("drawing a name", &error))?;
    let content = Digest::of(&[&size.to_be_bytes(), described.as_bytes()]);
    let step = UploadStep::Begin {
        upload: UploadId(id),
        size,
        described,
    };
    let upload = match call.apply(Payload::Upload(step), content).await? {
        Outcome::UploadBegun { upload } => upload,
        other => return Err(files::declined(other)),
    };
    let call = Arc::new(call);
    let standing = if with_bytes || size == 0 {
        receive(Arc::clone(&call), upload, 0, request).await?
    } else {
        find(&call, upload).await?
    };
    let mut response = answer(StatusCode::CREATED, &standing);
    let location = call.place(&format!("/api/v1/uploads/{upload}"));
    let location = HeaderValue::try_from(location).expect("made of ids");
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// Ask how far an upload is
///
/// `Upload-Offset` bytes have arrived and are safe. `Starling-File` names the file once it is whole.
#[utoipa::path(
    head, path = "/api/v1/uploads/{id}", operation_id = "getUpload", tag = "uploads",
    params(
        ("id" = String, Path, description = "The upload"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
    ),
    responses(
        (status = 200, description = "In the headers", headers(
            ("Upload-Offset" = u64), ("Upload-Length" = u64), ("Upload-Metadata" = String), ("Upload-Expires" = String),
            ("Starling-File" = String),
        )),
        UploadProblems,
    ),
)]
async fn head(
    MayWrite(call): MayWrite,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    look(call, &id, &headers).await
}

async fn look(mut call: Call, id: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    call.no_more_params()?;
    protocol::check_version(headers)?;
    let id = parse(id)?;
    let call = Arc::new(call);
    // Whoever asks has lost the connection that is still open here, if one is: what it brought counts.
    let turn = call.api.intakes.take_over(id).await;
    // The last bytes may have come in at another node a moment ago.
    call.catch_up().await?;
    let mut standing = find(&call, id).await?;
    drop(turn);
    if standing.is_whole() && standing.file.is_none() {
        // Whoever took the last byte died before it made a file of them.
        standing = settle(Arc::clone(&call), id).await?;
    }
    let mut response = answer(StatusCode::OK, &standing);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(protocol::UPLOAD_LENGTH, standing.size.into());
    if let Ok(described) = HeaderValue::try_from(&standing.described)
        && !described.is_empty()
    {
        headers.insert(protocol::UPLOAD_METADATA, described);
    }
    Ok(response)
}

/// Send bytes
///
/// The next ones, from `Upload-Offset` on. What has come when a connection breaks is kept, unless it was to be checked
/// against a checksum. The last bytes make a file; `Starling-File` is its id.
#[utoipa::path(
    patch, path = "/api/v1/uploads/{id}", operation_id = "continueUpload", tag = "uploads",
    params(
        ("id" = String, Path, description = "The upload"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Offset" = u64, Header, description = "How many bytes come before; as many as have arrived"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1` or `sha256` and the checksum of the body in Base64"),
    ),
    request_body(content = Octets, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "They are safe", headers(
            ("Upload-Offset" = u64), ("Upload-Expires" = String), ("Starling-File" = String),
        )),
        UploadProblems,
    ),
)]
async fn patch(
    MayWrite(call): MayWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    go_on(call, &id, request).await
}

async fn go_on(mut call: Call, id: &str, request: Request) -> Result<Response, Problem> {
    call.no_more_params()?;
    protocol::check_version(request.headers())?;
    let offset = protocol::required(request.headers(), &protocol::UPLOAD_OFFSET)?;
    if !carries_bytes(request.headers())? {
        return Err(body::unsupported("of no stated type", &[MEDIA_TYPE]));
    }
    let standing = receive(Arc::new(call), parse(id)?, offset, request).await?;
    Ok(answer(StatusCode::NO_CONTENT, &standing))
}

/// Give an upload up
///
/// What has arrived is forgotten. A file that became of it stays.
#[utoipa::path(
    delete, path = "/api/v1/uploads/{id}", operation_id = "endUpload", tag = "uploads",
    params(
        ("id" = String, Path, description = "The upload"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
    ),
    responses((status = 204, description = "There is no such upload any more"), UploadProblems),
)]
async fn delete(
    MayWrite(call): MayWrite,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    end(call, &id, &headers).await
}

async fn end(mut call: Call, id: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    call.no_more_params()?;
    protocol::check_version(headers)?;
    let upload = parse(id)?;
    let _turn = call.api.intakes.take_over(upload).await;
    let step = UploadStep::End { upload, file: None };
    match call.apply_unkeyed(Payload::Upload(step)).await? {
        Outcome::UploadEnded => Ok(StatusCode::NO_CONTENT.into_response()),
        other => Err(files::declined(other)),
    }
}

/// Do any of this by POST
///
/// For networks that let only GET and POST through: `X-HTTP-Method-Override` says what is meant.
#[utoipa::path(
    post, path = "/api/v1/uploads/{id}", operation_id = "overrideUpload", tag = "uploads",
    params(
        ("id" = String, Path, description = "The upload"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("X-HTTP-Method-Override" = String, Header, description = "`HEAD`, `PATCH` or `DELETE`"),
    ),
    request_body(content = Octets, content_type = "application/offset+octet-stream"),
    responses(
        (status = 200, description = "As for HEAD"),
        (status = 204, description = "As for PATCH or DELETE"),
        UploadProblems,
    ),
)]
async fn post(
    MayWrite(call): MayWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
    let meant = request.headers().get(OVERRIDE).map(HeaderValue::as_bytes);
    match meant.and_then(|name| Method::from_bytes(name).ok()) {
        Some(Method::HEAD) => look(call, &id, request.headers()).await,
        Some(Method::PATCH) => go_on(call, &id, request).await,
        Some(Method::DELETE) => end(call, &id, request.headers()).await,
        _ => Err(Problem::header(&OVERRIDE, "HEAD, PATCH or DELETE")),
    }
}

fn parse(id: &str) -> Result<UploadId, Problem> {
    id.parse().map_err(|_| Problem::not_found("upload"))
}

/// An upload as the catalogue has it.
struct Standing {
    upload: Upload,
}

impl std::ops::Deref for Standing {
    type Target = Upload;
    fn deref(&self) -> &Upload {
        &self.upload
    }
}

impl Standing {
    fn is_whole(&self) -> bool {
        self.arrived == self.size
    }
}

async fn find(call: &Call, id: UploadId) -> Result<Standing, Problem> {
    let token = call.token;
    let found = call.read(move |reader| reader.upload(id, token)).await?;
    let upload = found.filter(|upload| upload.library == call.library);
    let upload = upload.ok_or_else(|| Problem::not_found("upload"))?;
    Ok(Standing { upload })
}

/// Takes the bytes of a request.
async fn receive(
    call: Arc<Call>,
    id: UploadId,
    offset: u64,
    request: Request,
) -> Result<Standing, Problem> {
    let checksum = Checksum::asked(request.headers())?;
    let standing = find(&call, id).await?;
    if offset != standing.arrived || standing.file.is_some() && standing.size > 0 {
        return Err(elsewhere(standing.arrived));
    }
    must_fit(request.headers(), standing.size - offset)?;
    call.api.must_take_writes().await?;
    let turn = call.api.intakes.take_over(id).await;
    // Whoever had the turn before may have added to it.
    let standing = find(&call, id).await?;
    if offset != standing.arrived {
        return Err(elsewhere(standing.arrived));
    }
    let intake = Intake {
        call: Arc::clone(&call),
        upload: id,
        offset,
        size: standing.size,
        turn,
    };
    let arrived = intake.run(request.into_body(), checksum).await?;
    if arrived == standing.size {
        return settle(call, id).await;
    }
    find(&call, id).await
}

/// Makes a file of an upload that is whole, unless that was done. It is done also if nobody waits for it any more.
async fn settle(call: Arc<Call>, id: UploadId) -> Result<Standing, Problem> {
    let settling = tokio::spawn(async move {
        let _turn = call.api.intakes.take_over(id).await;
        let standing = find(&call, id).await?;
        if standing.file.is_none() && standing.is_whole() {
            make_file(&call, id, &standing).await?;
        }
        find(&call, id).await
    });
    let settled = settling.await;
    settled.map_err(|error| Problem::internal("making a file of an upload", &error))?
}

async fn make_file(call: &Call, id: UploadId, standing: &Standing) -> Result<(), Problem> {
    let description = Description::read(&standing.described)?;
    let parts = call.read(move |reader| reader.upload_parts(id)).await?;
    let (file, size) = put_together(call, &parts).await?;
    let holdings = &call.api.holdings;
    let name = description.name.unwrap_or_else(|| file.to_string());
    let around = Around {
        name: name.clone(),
        sidecar: None,
    };
    let (copied, seen) = tokio::join!(
        holdings.replicate(file, size),
        holdings.examine(file, around)
    );
    if let Err(problem) = copied {
        return Err(call.api.explain(problem).await);
    }
    let (metadata, restore) = (description.metadata, description.restore);
    let payload = upload::adding(file, size, name, seen?, metadata, restore);
    match call.apply_unkeyed(payload).await? {
        Outcome::FileAdded { .. } | Outcome::FileKnown { .. } => {}
        other => return Err(files::declined(other)),
    }
    let step = UploadStep::End {
        upload: id,
        file: Some(file),
    };
    match call.apply_unkeyed(Payload::Upload(step)).await? {
        Outcome::UploadEnded => Ok(()),
        other => Err(files::declined(other)),
    }
}

/// Makes one blob of the parts, those that are not here fetched from other nodes.
async fn put_together(call: &Call, parts: &[Part]) -> Result<(BlobId, u64), Problem> {
    let holdings = &call.api.holdings;
    if let [only] = parts {
        holdings.open(only.blob).await?;
        return Ok((only.blob, only.size));
    }
    let mut whole = holdings.begin(FILE_BYTES_MAX);
    for part in parts {
        let mut file = holdings.open(part.blob).await?.file;
        loop {
            let read = move || {
                let mut bytes = vec![0; CHUNK_BYTES];
                let length = file.read(&mut bytes)?;
                bytes.truncate(length);
                Ok::<_, std::io::Error>((file, bytes))
            };
            let read = call.api.blocking(read).await?;
            let (rest, bytes) =
                read.map_err(|error| Problem::internal("reading a part", &error))?;
            file = rest;
            if bytes.is_empty() {
                break;
            }
            whole.write(&bytes).await?;
        }
    }
    let staged = whole.finish().await?;
    let (id, size) = (staged.id(), staged.size());
    holdings.commit(staged).await?;
    Ok((id, size))
}

/// Whether a request has bytes for the upload; a body of another kind is refused.
fn carries_bytes(headers: &HeaderMap) -> Result<bool, Problem> {
    match body::media_type(headers).as_deref() {
        None => Ok(false),
        Some(MEDIA_TYPE) => Ok(true),
        Some(_)
            if headers
                .get(CONTENT_LENGTH)
                .is_some_and(|length| length == "0") =>
        {
            Ok(false)
        }
        Some(other) => Err(body::unsupported(other, &[MEDIA_TYPE])),
    }
}

/// Refuses a body that says it is longer than what is missing, before any of it is read.
fn must_fit(headers: &HeaderMap, room: u64) -> Result<(), Problem> {
    let declared = protocol::count(headers, &CONTENT_LENGTH)?;
    match declared {
        Some(length) if length > room => Err(too_much()),
        _ => Ok(()),
    }
}

fn too_much() -> Problem {
    Problem::new(
        Code::TooLarge,
        "there are more bytes than the upload's length says",
    )
}

/// The bytes are not the next ones.
fn elsewhere(arrived: u64) -> Problem {
    let detail = format!("{arrived} bytes have arrived: go on from there");
    let problem = Problem::new(Code::OffsetMismatch, detail);
    problem.with_header(protocol::UPLOAD_OFFSET, arrived.into())
}

fn answer(status: StatusCode, standing: &Standing) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(protocol::UPLOAD_OFFSET, standing.arrived.into());
    if let Some(file) = standing.file {
        let file = HeaderValue::try_from(file.to_string()).expect("hexadecimal digits");
        headers.insert(protocol::STARLING_FILE, file);
    } else {
        headers.insert(protocol::UPLOAD_EXPIRES, http_date(standing.expires));
    }
    response
}

/// As RFC 9110 writes times.
fn http_date(time: Timestamp) -> HeaderValue {
    let since = Duration::from_micros(time.0);
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since);
    HeaderValue::try_from(text).expect("printable ASCII")
}
