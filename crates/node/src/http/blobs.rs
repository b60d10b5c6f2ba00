//! Raw bytes by their name, for programs that do their own bookkeeping.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use catalogue::Outcome;
use model::{BlobId, Digest, Payload};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{MaySee, MayWrite};
use super::content::{self, Original};
use super::disposition::Use;
use super::files;
use super::limits::FILE_BYTES_MAX;
use super::problem::{BytesInProblems, BytesOutProblems, Code, Problem};
use super::schema::Octets;
use super::upload::{content_tag, refuse_known};
use super::{Api, body, reply};

const PREFIX: &str = "sha256:";
const MEDIA_TYPE: &str = "application/octet-stream";

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(put, get))
}

/// Bytes that are kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Blob {
    /// Their SHA-256.
    sha256: String,
    /// How many.
    size: u64,
}

/// Put bytes
///
/// Idempotent. They are kept for 24 hours until a file names them, and are seen only by those who put them or may
/// read a file that names them.
#[utoipa::path(
    put, path = "/api/v1/blobs/{name}", operation_id = "putBlob", tag = "blobs",
    params(
        ("name" = String, Path, description = "`sha256:` and 64 lower-case hexadecimal digits"),
        ("library" = Option<String>, Query, description = "The library whose file is to name them, default the token's own"),
        ("If-None-Match" = Option<String>, Header, description = "`*` to be refused if this token can read the bytes already"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = Octets, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "Kept", body = Blob, headers(("Location" = String), ("ETag" = String))),
        (status = 200, description = "This token could read them before", body = Blob, headers(("Location" = String), ("ETag" = String))),
        BytesInProblems,
    ),
)]
async fn put(
    MayWrite(mut call): MayWrite,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let id = parse(&name).ok_or_else(|| {
        Problem::parameter("name", "sha256: and 64 lower-case hexadecimal digits")
    })?;
    let (parts, mut body) = request.into_parts();
    body::check_declared(&parts.headers, FILE_BYTES_MAX)?;
    call.api.must_take_writes().await?;
    let mut incoming = call.api.holdings.begin(FILE_BYTES_MAX);
    while let Some(chunk) = body::next_chunk(&mut body).await? {
        incoming.write(&chunk).await?;
    }
    let staged = incoming.finish().await?;
    let size = staged.size();
    if staged.id() != id {
        let detail = format!("the {size} bytes sent hash to {}", staged.id());
        return Err(Problem::new(Code::HashMismatch, detail));
    }
    if let Err(problem) = call.api.holdings.keep(staged).await {
        return Err(call.api.explain(problem).await);
    }
    let outcome = call
        .apply(Payload::PutBlob { blob: id, size }, Digest(id.0))
        .await?;
    let status = match outcome {
        Outcome::BlobPut { .. } => StatusCode::CREATED,
        Outcome::BlobKnown { .. } => {
            refuse_known(&parts.headers)?;
            StatusCode::OK
        }
        other => return Err(files::declined(other)),
    };
    let response = reply::json(
        status,
        &Blob {
            sha256: id.to_string(),
            size,
        },
    );
    let response = reply::with(response, ETAG, &content_tag(id));
    Ok(reply::with(
        response,
        LOCATION,
        &format!("/api/v1/blobs/{PREFIX}{id}"),
    ))
}

/// Read bytes
///
/// Always as an attachment. One range per request is served.
#[utoipa::path(
    get, path = "/api/v1/blobs/{name}", operation_id = "getBlob", tag = "blobs",
    params(
        ("name" = String, Path, description = "`sha256:` and 64 lower-case hexadecimal digits"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of bytes the client has"),
    ),
    responses(
        (status = 200, description = "The bytes", body = Octets, content_type = "application/octet-stream", headers(("ETag" = String))),
        (status = 206, description = "A part of them", body = Octets, content_type = "application/octet-stream", headers(("Content-Range" = String))),
        (status = 304, description = "The client has them"),
        BytesOutProblems,
    ),
)]
async fn get(
    MaySee(mut call): MaySee,
    Path(name): Path<String>,
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let id = parse(&name).ok_or_else(|| Problem::not_found("blob"))?;
    let token = call.token;
    if !call
        .read(move |reader| reader.may_read_blob(token, &id))
        .await?
    {
        return Err(Problem::not_found("blob"));
    }
    let name = id.to_string();
    let original = Original {
        id,
        media_type: HeaderValue::from_static(MEDIA_TYPE),
        name: &name,
        purpose: Use::Download,
    };
    content::send(&api, &method, &headers, original).await
}

fn parse(name: &str) -> Option<BlobId> {
    name.strip_prefix(PREFIX)?.parse().ok()
}
