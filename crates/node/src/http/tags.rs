//! Tags, renamed wherever they are.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use catalogue::Outcome;
use model::{Digest, Payload};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayWrite;
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::metadata;
use super::problem::{JsonProblems, Problem};
use super::{Api, body, files, json, reply};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(rename))
}

/// What a tag is called, and what it is to be called.
#[derive(Serialize, ToSchema)]
struct TagRename {
    /// Until now, in whatever case.
    #[schema(example = "places/uk")]
    from: String,
    /// From now on.
    #[schema(example = "places/britain")]
    to: String,
}

/// Rename a tag
///
/// On every file that has it, in one block, with every tag below it: `places/uk/london` becomes `places/britain/london`.
/// Where a file has a tag of the new name already, the two become one. The file's history has it as any other edit.
#[utoipa::path(
    post, path = "/api/v1/tags/rename", operation_id = "renameTag", tag = "files",
    params(
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = TagRename, content_type = "application/json"),
    responses((status = 200, description = "It is called so from now on", body = TagRename), JsonProblems),
)]
async fn rename(MayWrite(mut call): MayWrite, request: Request) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let asked = parse(&json::parse(&bytes)?)?;
    let payload = Payload::RenameTag {
        from: asked.from.clone(),
        to: asked.to.clone(),
    };
    match call.apply(payload, Digest::of(&[&bytes])).await? {
        Outcome::TagRenamed => Ok(reply::json(StatusCode::OK, &asked)),
        other => Err(files::declined(other)),
    }
}

fn parse(body: &Value) -> Result<TagRename, Faults> {
    let members = Node::root(body).members(&["from", "to"])?;
    let mut faults = Faults::default();
    let mut tag = |name| {
        let tag = members.required(name).and_then(|node| metadata::tag(&node));
        faults.keep(tag)
    };
    let both = tag("from").zip(tag("to"));
    let (from, to) = faults
        .into_result(both)?
        .expect("without a fault there are both");
    Ok(TagRename { from, to })
}
