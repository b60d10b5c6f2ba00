//! How a file's bytes go out: the original, or a picture of it.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use model::BlobId;
use model::file::Kind;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayRead;
use super::disposition::{Use, disposition};
use super::params::Params;
use super::problem::{BytesOutProblems, Code, Problem};
use super::range::{Selection, Span};
use super::schema::Octets;
use super::upload::content_tag;
use super::{Api, conditional, files, reply};
use crate::pictures::SIZES;

/// Read from disk at once.
const READ_BYTES: usize = 256 << 10;
/// An original, opened in a browser, must not be able to do anything.
const POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(original))
        .routes(routes!(thumbnail))
}

/// Read a file's bytes
///
/// They are the ones that were uploaded: what this node holds is checked against the id, and fetched from another node
/// if it is missing or damaged. One range per request is served. Only raster pictures, sound and film are shown in
/// place; everything else is an attachment.
#[utoipa::path(
    get, path = "/api/v1/files/{id}/content", operation_id = "getContent", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("download" = Option<bool>, Query, description = "Save rather than show"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
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
async fn original(
    MayRead(mut call): MayRead,
    Path(id): Path<String>,
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let purpose = if call.params.flag("download")? {
        Use::Download
    } else {
        Use::View
    };
    call.no_more_params()?;
    let file = files::find(&call, &id).await?;
    whole(&api, (&method, &headers), &file, purpose).await
}

/// Sends a file's bytes under its name.
pub(super) async fn whole(
    api: &Api,
    (method, headers): (&Method, &HeaderMap),
    file: &catalogue::File,
    purpose: Use,
) -> Result<Response, Problem> {
    let media_type = HeaderValue::try_from(&file.media_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let original = Original {
        id: file.id,
        media_type,
        name: &file.name,
        purpose,
    };
    send(api, method, headers, original).await
}

/// Read a file's thumbnail
///
/// A JPEG with `size` pixels on its longest side, never enlarged, the right way up, in sRGB: of the picture that a client
/// has put, if one has, else of the file. A node without the decoder asks the others. 404 `no_thumbnail` names the decoder that
/// is missing.
#[utoipa::path(
    get, path = "/api/v1/files/{id}/thumbnail", operation_id = "getThumbnail", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("size" = Option<u32>, Query, description = "256 (the default), 512 or 1440"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of a thumbnail the client has"),
    ),
    responses(
        (status = 200, description = "The picture", body = Octets, content_type = "image/jpeg", headers(("ETag" = String))),
        (status = 304, description = "The client has it"),
        BytesOutProblems,
    ),
)]
async fn thumbnail(
    MayRead(mut call): MayRead,
    Path(id): Path<String>,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let px = size(&mut call.params);
    call.no_more_params()?;
    let px = px?;
    let file = files::find(&call, &id).await?;
    picture(&api, &file, px, &headers).await
}

/// The size that is asked for, in pixels.
pub(super) fn size(params: &mut Params) -> Result<u32, Problem> {
    let size = params.number("size")?.unwrap_or(256);
    let px = SIZES.into_iter().find(|known| u64::from(*known) == size);
    px.ok_or_else(|| Problem::parameter("size", "256, 512 or 1440"))
}

/// Sends a picture of a file.
pub(super) async fn picture(
    api: &Api,
    file: &catalogue::File,
    px: u32,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let of = file.preview.as_deref().and_then(|id| id.parse().ok());
    let of: BlobId = of.unwrap_or(file.id);
    let etag = format!("\"{of}-{px}\"");
    let tag = HeaderValue::try_from(&etag).expect("hexadecimal digits are visible ASCII");
    if conditional::client_has(headers, &etag) {
        return Ok(reply::not_modified(tag));
    }
    let hopeless = file.kind == Kind::Other || file.undecodable && file.needs.is_none();
    let picture = match of == file.id && hopeless {
        true => None,
        false => api.holdings.thumbnail(of, px).await?,
    };
    let picture = picture.ok_or_else(|| no_thumbnail(file))?;
    let mut response = Response::new(Body::from(picture));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(ETAG, tag);
    // What a picture of these bytes looks like never changes; whether one may see it does.
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=3600"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

/// Why there is no picture, and what would help.
fn no_thumbnail(file: &catalogue::File) -> Problem {
    let detail = match &file.needs {
        Some(needs) => format!(
            "no node that can be reached has {needs}, which {} needs; a picture can be put to /files/{}/preview",
            file.media_type, file.id
        ),
        None => "the file is no picture that can be decoded".to_owned(),
    };
    Problem::new(Code::NoThumbnail, detail)
}

/// Bytes to be handed out.
pub(super) struct Original<'a> {
    /// Which.
    pub(super) id: BlobId,
    /// As what.
    pub(super) media_type: HeaderValue,
    /// Under which name.
    pub(super) name: &'a str,
    /// For what.
    pub(super) purpose: Use,
}

/// Sends bytes, or the part of them that was asked for.
pub(super) async fn send(
    api: &Api,
    method: &Method,
    headers: &HeaderMap,
    original: Original<'_>,
) -> Result<Response, Problem> {
    let etag = content_tag(original.id);
    let tag = HeaderValue::try_from(&etag).expect("hexadecimal digits are visible ASCII");
    if conditional::client_has(headers, &etag) {
        return Ok(reply::not_modified(tag));
    }
    let sound = api.holdings.open(original.id).await?;
    let size = sound.size;
    let (status, span) = match Selection::of(method, headers, &etag, size) {
        Selection::Whole => (
            StatusCode::OK,
            Span {
                start: 0,
                length: size,
            },
        ),
        Selection::Part(span) => (StatusCode::PARTIAL_CONTENT, span),
        Selection::Unsatisfiable => return Err(unsatisfiable(size)),
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        stream(sound.file, span)?
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let out = response.headers_mut();
    if status == StatusCode::PARTIAL_CONTENT {
        out.insert(CONTENT_RANGE, span.content_range(size));
    }
    let shown = original.media_type.to_str().unwrap_or_default();
    let shown = disposition(original.purpose, shown, original.name);
    out.insert(CONTENT_DISPOSITION, shown);
    out.insert(CONTENT_TYPE, original.media_type);
    out.insert(CONTENT_LENGTH, HeaderValue::from(span.length));
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(ETAG, tag);
    out.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    out.insert(CONTENT_SECURITY_POLICY, POLICY);
    out.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

fn stream(mut file: File, span: Span) -> Result<Body, Problem> {
    file.seek(SeekFrom::Start(span.start))
        .map_err(|error| Problem::internal("reading a blob", &error))?;
    let part = tokio::fs::File::from_std(file).take(span.length);
    Ok(Body::from_stream(ReaderStream::with_capacity(
        part, READ_BYTES,
    )))
}

fn unsatisfiable(size: u64) -> Problem {
    let detail = format!("the range begins behind the end: there are {size} bytes");
    let range = HeaderValue::try_from(format!("bytes */{size}")).expect("digits are visible ASCII");
    Problem::new(Code::RangeNotSatisfiable, detail).with_header(CONTENT_RANGE, range)
}
