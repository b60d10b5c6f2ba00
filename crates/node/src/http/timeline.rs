//! What a gallery is drawn from: how many files there are when, and what it shows of some of them.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayRead;
use super::facets::At;
use super::problem::{Problem, SearchProblems};
use super::{Api, reply, search};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(timeline))
        .routes(routes!(bucket))
}

/// Files taken within some time.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the catalogue's Bucket")]
struct BucketDocument {
    /// A month, a day, an hour, or `undated`.
    #[schema(example = "2019-07")]
    bucket: String,
    /// How many.
    count: u64,
}

/// When the files were taken.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "documents what is made of the catalogue's Timeline"
)]
struct TimelineDocument {
    /// How many files match.
    total: u64,
    /// The query in its canonical form.
    query: String,
    /// The height at which they were counted.
    as_of: u64,
    /// Newest first; what has no capture time last.
    buckets: Vec<BucketDocument>,
}

/// Some files of a bucket, property by property: all lists are of one length and order.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "documents what is made of the catalogue's Columns"
)]
struct ColumnsDocument {
    /// How many files the bucket has, on all pages.
    total: u64,
    /// Send it as `cursor` for the next page, to any node; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
    /// The height at which they were read.
    as_of: u64,
    /// Their ids.
    id: Vec<String>,
    /// `photo`, `video` or `other`.
    kind: Vec<String>,
    /// Width divided by height; null if unknown.
    ratio: Vec<Option<f64>>,
    /// ThumbHashes in base64.
    thumbhash: Vec<Option<String>>,
    /// Capture times on the camera's clock.
    taken: Vec<Option<String>>,
    /// Lengths of videos.
    duration_ms: Vec<Option<u64>>,
    /// Marked or not.
    favourite: Vec<bool>,
    /// `live`, `archived` or `trashed`.
    state: Vec<String>,
}

/// Count files by time
///
/// Buckets for a gallery's scroll bar. A bucket is a month; a month of more than 1000 matching files is parted into days,
/// such a day into hours.
#[utoipa::path(
    get, path = "/api/v1/timeline", operation_id = "getTimeline", tag = "files",
    params(
        ("q" = Option<String>, Query, description = "The query; all live files if it is absent"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "The buckets", body = TimelineDocument), SearchProblems),
)]
async fn timeline(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    let query = search::query(&mut call)?;
    call.no_more_params()?;
    let answer = call
        .find(move |reader, library| reader.timeline(library, &query))
        .await?;
    call.reflects(answer.answered.height);
    let as_of = call.height().0;
    Ok(reply::json(StatusCode::OK, &At { answer, as_of }))
}

/// List a bucket
///
/// What a gallery shows of the files of one bucket, newest first, in columns instead of rows.
#[utoipa::path(
    get, path = "/api/v1/timeline/{bucket}", operation_id = "getTimelineBucket", tag = "files",
    params(
        ("bucket" = String, Path, description = "A bucket of the timeline, or any month, day or hour", example = "2019-07"),
        ("q" = Option<String>, Query, description = "The query; all live files if it is absent"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "Some of its files", body = ColumnsDocument), SearchProblems),
)]
async fn bucket(
    MayRead(mut call): MayRead,
    Path(bucket): Path<String>,
) -> Result<Response, Problem> {
    let query = search::query(&mut call)?;
    let page = catalogue::Page {
        limit: search::limit(&mut call)?,
        cursor: call.params.take("cursor"),
        sort: None,
    };
    call.no_more_params()?;
    let answer = call
        .find(move |reader, library| reader.timeline_bucket(library, &query, &bucket, &page))
        .await?;
    call.reflects(answer.height);
    let as_of = call.height().0;
    Ok(reply::json(StatusCode::OK, &At { answer, as_of }))
}
