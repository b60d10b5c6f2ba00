//! How a file comes in.
//!
//! Its bytes go to disk first, here and on as many other nodes as may crash, and only then is it named in the ledger:
//! a file that is known is a file that can be had. Memory does not grow with the file.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::blobs::Staged;
use axum::body::Bytes;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request};
use axum::http::header::{CONTENT_DISPOSITION, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use catalogue::Outcome;
use model::file::Metadata;
use model::{BlobId, Digest, MediaStep, Payload};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{self, Call, MayWrite};
use super::files;
use super::holdings::Incoming;
use super::json::{Faults, Node};
use super::limits::{FILE_BYTES_MAX, JSON_BYTES_MAX, SIDECAR_BYTES_MAX};
use super::problem::{BytesInProblems, Code, Problem};
use super::schema::{AddFile, FileDocument, UploadForm};
use super::{Api, body, conditional, json, metadata, reply};
use crate::SubmitError;
use crate::pictures::{Around, Seen};

/// What the form around the file may take.
const FORM_BYTES: u64 = 1 << 20;
/// A status is renewed several times a second; one that is not says nothing.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);
const STATUS_PAUSE: Duration = Duration::from_millis(10);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    // Uploads have a limit of their own.
    OpenApiRouter::new()
        .routes(routes!(add))
        .layer(DefaultBodyLimit::disable())
}

/// Add a file
///
/// As a form with its bytes, or as JSON for bytes that were put before. A `sidecar` in the form is an XMP file that stands
/// beside it: its words go before those in the bytes, and what the uploader says goes before both. The same bytes again are the same file: what
/// is stored wins, a new name is appended to `names`, given tags are added. Success means that the bytes are on stable
/// storage of enough nodes to survive every tolerated loss, and the metadata on a quorum.
#[utoipa::path(
    post, path = "/api/v1/files", operation_id = "addFile", tag = "files",
    params(
        ("restore" = Option<bool>, Query, description = "Take the file out of the trash if it is there"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content(
        (UploadForm = "multipart/form-data"),
        (AddFile = "application/json"),
    )),
    responses(
        (status = 201, description = "A new file", body = FileDocument, headers(("Location" = String), ("ETag" = String))),
        (status = 200, description = "It was there already", body = FileDocument, headers(("Location" = String), ("ETag" = String))),
        BytesInProblems,
    ),
)]
async fn add(MayWrite(mut call): MayWrite, request: Request) -> Result<Response, Problem> {
    let restore = call.params.flag("restore")?;
    call.no_more_params()?;
    call.api.must_take_writes().await?;
    let sent = match body::media_type(request.headers()).as_deref() {
        Some("multipart/form-data") => from_form(&call, request).await?,
        Some("application/json") => from_json(&call, request).await?,
        other => {
            let allowed = ["multipart/form-data", "application/json"];
            return Err(body::unsupported(
                other.unwrap_or("of no stated type"),
                &allowed,
            ));
        }
    };
    let payload = adding(
        sent.id,
        sent.size,
        sent.name,
        sent.seen,
        sent.metadata,
        restore,
    );
    let outcome = call.apply(payload, sent.digest).await?;
    let (status, file) = match outcome {
        Outcome::FileAdded { file } => (StatusCode::CREATED, file),
        Outcome::FileKnown { file } => (StatusCode::OK, file),
        other => return Err(files::declined(other)),
    };
    let response = files::answer(status, &file);
    Ok(reply::with(
        response,
        LOCATION,
        &call.place(&format!("/api/v1/files/{}", file.id)),
    ))
}

/// The command that adds a file with all that was seen in it.
pub(super) fn adding(
    file: BlobId,
    size: u64,
    name: String,
    seen: Seen,
    metadata: Metadata,
    restore: bool,
) -> Payload {
    Payload::Media(MediaStep::Add {
        file,
        size,
        name,
        facts: seen.facts,
        described: seen.described,
        perceptual_hash: seen.perceptual_hash,
        needs: seen.needs,
        metadata,
        restore,
    })
}

/// A file whose bytes are safe.
struct Sent {
    id: BlobId,
    size: u64,
    name: String,
    seen: Seen,
    metadata: Metadata,
    /// Of the decoded request.
    digest: Digest,
}

async fn from_form(call: &Call, request: Request) -> Result<Sent, Problem> {
    body::check_declared(
        request.headers(),
        FILE_BYTES_MAX + SIDECAR_BYTES_MAX as u64 + FORM_BYTES,
    )?;
    let form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| malformed(&rejection.body_text()))?;
    let Form {
        file,
        metadata,
        sidecar,
    } = Form::read(call, form).await?;
    let (given, staged) = file.ok_or_else(|| malformed("there is no part named file"))?;
    let metadata = metadata.unwrap_or_default();
    let (id, size) = (staged.id(), staged.size());
    let name = given.unwrap_or_else(|| id.to_string());
    if name.len() > catalogue::rules::NAME_BYTES_MAX {
        let limit = catalogue::rules::NAME_BYTES_MAX;
        return Err(malformed(&format!(
            "the file's name has more than {limit} bytes"
        )));
    }
    let holdings = &call.api.holdings;
    holdings.commit(staged).await?;
    let around = Around {
        name: name.clone(),
        sidecar: sidecar.clone(),
    };
    let (copied, seen) = tokio::join!(holdings.replicate(id, size), holdings.examine(id, around));
    if let Err(problem) = copied {
        return Err(call.api.explain(problem).await);
    }
    let digest = digest(&name, id, &metadata.raw, sidecar.as_deref());
    Ok(Sent {
        id,
        size,
        name,
        seen: seen?,
        metadata: metadata.parsed,
        digest,
    })
}

/// The parts of a form that have arrived.
#[derive(Default)]
struct Form {
    file: Option<(Option<String>, Staged)>,
    metadata: Option<GivenMetadata>,
    /// An XMP file beside it, as it is: what is wrong with it is noted, never a reason to refuse the file.
    sidecar: Option<Bytes>,
}

#[derive(Default)]
struct GivenMetadata {
    raw: Bytes,
    parsed: Metadata,
}

impl Form {
    async fn read(call: &Call, mut form: Multipart) -> Result<Self, Problem> {
        let mut read = Self::default();
        while let Some(field) = form.next_field().await.map_err(broken)? {
            match field.name() {
                Some("file") if read.file.is_none() => {
                    let name = extended_name(field.headers())
                        .or_else(|| field.file_name().map(str::to_owned))
                        .filter(|name| !name.is_empty());
                    let incoming = call.api.holdings.begin(FILE_BYTES_MAX);
                    read.file = Some((name, receive(field, incoming).await?));
                }
                Some("metadata") if read.metadata.is_none() => {
                    read.metadata = Some(read_metadata(field).await?);
                }
                Some("sidecar") if read.sidecar.is_none() => {
                    read.sidecar = Some(collect(field, SIDECAR_BYTES_MAX).await?);
                }
                Some(name @ ("file" | "metadata" | "sidecar")) => {
                    return Err(malformed(&format!("there are two parts named {name}")));
                }
                other => {
                    let name = other.unwrap_or_default();
                    return Err(malformed(&format!("{name:?} is no part of an upload")));
                }
            }
        }
        Ok(read)
    }
}

/// The name in the notation of RFC 8187, which holds every character, if the client gives one.
fn extended_name(headers: &HeaderMap) -> Option<String> {
    let disposition = headers.get(CONTENT_DISPOSITION)?.to_str().ok()?;
    let (_, value) = disposition.split_once("filename*=")?;
    let value = value.split(';').next()?.trim();
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(encoded);
    decoded.decode_utf8().ok().map(Cow::into_owned)
}

async fn receive(mut field: Field<'_>, mut incoming: Incoming) -> Result<Staged, Problem> {
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        incoming.write(&chunk).await?;
    }
    incoming.finish().await
}

async fn collect(mut field: Field<'_>, limit: usize) -> Result<Bytes, Problem> {
    let mut raw = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        raw.extend_from_slice(&chunk);
        if raw.len() > limit {
            return Err(body::too_large(limit as u64));
        }
    }
    Ok(raw.into())
}

async fn read_metadata(field: Field<'_>) -> Result<GivenMetadata, Problem> {
    let raw = collect(field, JSON_BYTES_MAX).await?;
    let value = json::parse(&raw)?;
    let parsed = metadata::upload(&Node::at(&value, "/metadata"))?;
    Ok(GivenMetadata { raw, parsed })
}

async fn from_json(call: &Call, request: Request) -> Result<Sent, Problem> {
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let (id, name, metadata) = parse(&json::parse(&bytes)?)?;
    let token = call.token;
    if !call
        .read(move |reader| reader.may_read_blob(token, &id))
        .await?
    {
        let detail = "these bytes were not put by this token, and it may not read them";
        return Err(Problem::new(Code::UnknownBlob, detail));
    }
    let holdings = &call.api.holdings;
    let size = holdings.open(id).await?.size;
    let around = Around {
        name: name.clone(),
        sidecar: None,
    };
    let (copied, seen) = tokio::join!(holdings.replicate(id, size), holdings.examine(id, around));
    if let Err(problem) = copied {
        return Err(call.api.explain(problem).await);
    }
    Ok(Sent {
        id,
        size,
        name,
        seen: seen?,
        metadata,
        digest: Digest::of(&[&bytes]),
    })
}

fn parse(body: &Value) -> Result<(BlobId, String, Metadata), Faults> {
    let members = Node::root(body).members(&["sha256", "name", "metadata"])?;
    let mut faults = Faults::default();
    let id = members
        .required("sha256")
        .and_then(|node| node.parsed("64 lower-case hexadecimal digits", |text| text.parse().ok()));
    let id = faults.keep(id);
    let name = faults.keep(
        members
            .required("name")
            .and_then(|node| metadata::name(&node)),
    );
    let metadata = faults
        .keep(members.optional("metadata", metadata::upload))
        .flatten();
    let whole = id
        .zip(name)
        .map(|(id, name)| (id, name, metadata.unwrap_or_default()));
    faults
        .into_result(whole)
        .map(|whole| whole.expect("without a fault id and name are there"))
}

/// Of what a form says, whatever its boundary and the order of its parts.
fn digest(name: &str, id: BlobId, metadata: &[u8], sidecar: Option<&[u8]>) -> Digest {
    let (name, metadata) = (Digest::of(&[name.as_bytes()]), Digest::of(&[metadata]));
    let sidecar = sidecar.map(|bytes| Digest::of(&[bytes]));
    Digest::of(&[
        b"starling/upload/v1",
        name.as_bytes(),
        id.as_bytes(),
        metadata.as_bytes(),
        sidecar.as_ref().map_or(&[], |digest| digest.as_bytes()),
    ])
}

fn malformed(what: &str) -> Problem {
    Problem::new(Code::InvalidMultipart, what)
}

fn broken(error: MultipartError) -> Problem {
    let problem = body::interrupted(&error);
    if problem.code() == Code::RequestTimeout {
        problem
    } else {
        malformed(&error.body_text())
    }
}

impl Api {
    /// Refuses bytes that could not be named in the ledger anyway. What speaks for a refusal must not be older than
    /// the request: a node that has just come back is not turned away from.
    pub(crate) async fn must_take_writes(&self) -> Result<(), Problem> {
        let asked = Instant::now();
        loop {
            let status = self.app.replica.status();
            let seen = &status.replica;
            let Some(error) = SubmitError::in_the_way(seen.phase, seen.disk, seen.has_quorum)
            else {
                return Ok(());
            };
            if status.taken >= asked || asked.elapsed() >= STATUS_PATIENCE {
                return Err(call::refusal(error));
            }
            tokio::time::sleep(STATUS_PAUSE).await;
        }
    }

    /// Too few copies while the quorum is away is no quorum.
    pub(crate) async fn explain(&self, problem: Problem) -> Problem {
        if problem.code() != Code::TooFewCopies {
            return problem;
        }
        self.must_take_writes().await.err().unwrap_or(problem)
    }
}

/// The entity tag of bytes.
pub(crate) fn content_tag(id: BlobId) -> String {
    format!("\"{id}\"")
}

/// Whether a client that wants to be the first is not.
pub(crate) fn refuse_known(headers: &HeaderMap) -> Result<(), Problem> {
    if conditional::must_be_new(headers) {
        return Err(Problem::new(
            Code::AlreadyExists,
            "this token could read these bytes before",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use serde_json::json;

    #[test]
    fn the_json_form_names_bytes_and_file() {
        let sha256 = "ab".repeat(32);
        let (id, name, metadata) =
            parse(&json!({"sha256": sha256, "name": "x.jpg", "metadata": {"rating": 3}})).unwrap();
        assert_eq!(
            (id.to_string(), name.as_str(), metadata.rating),
            (sha256, "x.jpg", Some(3))
        );
    }

    #[test]
    fn everything_wrong_with_it_is_told() {
        let body = json!({"sha256": "AB", "metadata": {"rating": 9}});
        let problem = Problem::from(parse(&body).unwrap_err()).to_string();
        for place in ["/sha256", "/name", "/metadata/rating"] {
            assert!(problem.contains(place), "{problem}");
        }
    }

    #[test]
    fn an_extended_name_is_read_if_it_is_one() {
        let name = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            extended_name(&HeaderMap::from_iter([(CONTENT_DISPOSITION, value)]))
        };
        let given =
            "form-data; name=\"file\"; filename=\"x\"; filename*=UTF-8''a%5C%22%0Ab; size=3";
        assert_eq!(name(given).as_deref(), Some("a\\\"\nb"));
        assert_eq!(name("form-data; filename=\"x\""), None);
        assert_eq!(name("form-data; filename*=utf-8''%FF"), None);
        assert_eq!(name("form-data; filename*=latin1''x"), None);
    }

    #[test]
    fn an_upload_is_its_name_bytes_and_metadata() {
        let id = BlobId([1; 32]);
        let first = digest("a", id, b"{}", None);
        assert_eq!(first, digest("a", id, b"{}", None));
        assert_ne!(first, digest("b", id, b"{}", None));
        assert_ne!(first, digest("a", BlobId([2; 32]), b"{}", None));
        assert_ne!(first, digest("a", id, b"", None));
        let beside = digest("a", id, b"{}", Some(b"<x/>"));
        assert!(beside != first && beside != digest("a", id, b"{}", Some(b"")));
    }
}
