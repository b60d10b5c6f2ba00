//! Moving files' bytes between the nodes' disks and an object store.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use catalogue::Outcome;
use futures::future::join_all;
use model::originals::STORE_URL_BYTES_MAX;
use model::{Digest, OriginalsStep, Payload};
use objects::OpenError;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayAdmin;
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{Code, Fault, JsonProblems, Problem};
use super::{Api, body, files, json, reply};
use crate::originals;

/// What the nodes' own disks are called.
pub(super) const DISKS: &str = "disks";

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(move_to))
}

/// Where files' bytes are to live.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct MoveBlobs {
    /// `disks`, or the URL of a store: `file:///folder`, `az://container/prefix`, `s3://bucket/prefix`,
    /// `gs://bucket/prefix`. Without credentials: each node has its own, in its environment.
    #[schema(example = "az://photos/originals")]
    to: String,
}

/// Where files' bytes live from now on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BlobsMoved {
    /// `disks`, or the URL of the store.
    home: String,
}

/// Move files' bytes
///
/// To an object store, or back to the nodes' disks. Every member tries first whether it can write, read and delete there:
/// 409 `store_unproven` names one that cannot, and nothing is changed. Then new bytes go to the new place, and all others
/// are brought there while everything is served: `originals` in `/cluster` says how far that is. 422 `refused` while another
/// store is still being left.
#[utoipa::path(
    put, path = "/api/v1/cluster/blobs", operation_id = "moveBlobs", tag = "node",
    params(("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries")),
    request_body(content = MoveBlobs, content_type = "application/json"),
    responses(
        (status = 200, description = "Decided", body = BlobsMoved),
        (status = 409, description = "`store_unproven`"),
        JsonProblems,
    ),
)]
async fn move_to(
    MayAdmin(mut call): MayAdmin,
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let home = parse(&json::parse(&bytes)?)?;
    let to = (home != DISKS).then(|| home.clone());
    if let Some(url) = &to {
        // What a node lacks is told by that node.
        if let Err(error) = objects::Store::open(url)
            && !matches!(error, OpenError::Settings { .. })
        {
            let fault = Fault::new("/to", error.to_string());
            return Err(Problem::at(Code::InvalidBody, vec![fault]));
        }
        prove(&api, url).await?;
    }
    let step = Payload::Originals(OriginalsStep::Move { to });
    match call.apply(step, Digest::of(&[&bytes])).await? {
        Outcome::Recorded => Ok(reply::json(StatusCode::OK, &BlobsMoved { home })),
        other => Err(files::declined(other)),
    }
}

fn parse(body: &serde_json::Value) -> Result<String, Faults> {
    let members = Node::root(body).members(&["to"])?;
    let mut faults = Faults::default();
    let expected =
        format!("{DISKS:?}, or the URL of a store of at most {STORE_URL_BYTES_MAX} bytes");
    let is_short = |text: &str| {
        (1..=STORE_URL_BYTES_MAX)
            .contains(&text.len())
            .then(|| text.to_owned())
    };
    let to = members
        .required("to")
        .and_then(|node| node.parsed(&expected, is_short));
    let to = faults.keep(to);
    faults
        .into_result(to)
        .map(|to| to.expect("without a fault it is there"))
}

/// Has every member try the store, this node among them.
async fn prove(api: &Api, url: &str) -> Result<(), Problem> {
    let roster = api.app.replica.roster();
    let (me, chain) = (
        api.app.config.me().id,
        api.app.replica.status().replica.chain,
    );
    let trials = roster.everybody().map(|member| async move {
        let tried = match member.id == me {
            true => originals::try_out(url, chain).await,
            false => api.app.peers.try_store(member.id, url).await,
        };
        tried.map_err(|why| format!("{} cannot use {url}: {why}", member.name))
    });
    let failed: Vec<_> = join_all(trials)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Problem::new(Code::StoreUnproven, failed.join("; ")))
}
