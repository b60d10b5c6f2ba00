//! Pictures that clients supply of files: what a phone can show and no node can decode.
//!
//! The picture is a blob like any other, on as many nodes as must hold it, and the ledger says which file it shows. So every
//! node serves thumbnails of it, and it goes when the file is purged.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Request};
use axum::http::StatusCode;
use axum::response::Response;
use catalogue::Outcome;
use model::{Digest, MediaStep, Payload};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayWrite;
use super::limits::PREVIEW_BYTES_MAX;
use super::problem::{Code, PreviewProblems, Problem};
use super::schema::{FileDocument, Octets};
use super::{Api, body, files};
use crate::pictures::Around;

const MEDIA_TYPES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(put))
        .layer(DefaultBodyLimit::disable())
}

/// Put a picture of a file
///
/// A JPEG, PNG or WebP of at most `previewBytes` that shows what the file shows. Thumbnails are made of it from then on, on
/// every node; the file itself stays as it is. Another one takes its place.
#[utoipa::path(
    put, path = "/api/v1/files/{id}/preview", operation_id = "putPreview", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content(
        (Octets = "image/jpeg"),
        (Octets = "image/png"),
        (Octets = "image/webp"),
    )),
    responses(
        (status = 200, description = "The file with the picture", body = FileDocument, headers(("ETag" = String))),
        PreviewProblems,
    ),
)]
async fn put(
    MayWrite(mut call): MayWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let given = body::media_type(request.headers()).unwrap_or_default();
    if !MEDIA_TYPES.contains(&given.as_str()) {
        let given = if given.is_empty() {
            "of no stated type"
        } else {
            &given
        };
        return Err(body::unsupported(given, &MEDIA_TYPES));
    }
    body::check_declared(request.headers(), PREVIEW_BYTES_MAX)?;
    let file = files::find(&call, &id).await?.id;
    call.api.must_take_writes().await?;
    let mut incoming = call.api.holdings.begin(PREVIEW_BYTES_MAX);
    let mut bytes = request.into_body();
    while let Some(chunk) = body::next_chunk(&mut bytes).await? {
        incoming.write(&chunk).await?;
    }
    let staged = incoming.finish().await?;
    let (blob, size) = (staged.id(), staged.size());
    let holdings = &call.api.holdings;
    holdings.commit(staged).await?;
    let seen = holdings.examine(blob, Around::default()).await?;
    if seen.facts.undecodable || !MEDIA_TYPES.contains(&seen.facts.media_type.as_str()) {
        let detail = format!(
            "the bytes are no whole JPEG, PNG or WebP: {}",
            told(&seen.facts)
        );
        return Err(Problem::new(Code::InvalidPreview, detail));
    }
    if let Err(problem) = holdings.replicate(blob, size).await {
        return Err(call.api.explain(problem).await);
    }
    let payload = Payload::Media(MediaStep::Preview { file, blob, size });
    match call.apply(payload, Digest(blob.0)).await? {
        Outcome::FileEdited { file } => Ok(files::answer(StatusCode::OK, &file)),
        other => Err(files::declined(other)),
    }
}

/// What they are instead, or what is wrong with them.
fn told(facts: &model::file::Facts) -> &str {
    let note = facts.notes.first().filter(|_| facts.undecodable);
    note.map_or(facts.media_type.as_str(), String::as_str)
}
