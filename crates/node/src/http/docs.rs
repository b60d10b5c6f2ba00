//! Pages that need no token: whether the node lives, what the API is, and where to start.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use axum::routing;
use axum::{Extension, Router};
use serde::Serialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder};
use utoipa::openapi::{SecurityRequirement, tag::TagBuilder};
use utoipa::{PartialSchema as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use super::problem::{Code, Document, Fault, Problem};
use super::server::Leaving;
use super::{Api, reply};

/// What every call has in common, told once.
const DESCRIPTION: &str = "\
Every node answers every call; there is no node to prefer.

* **Tokens**: `Authorization: Bearer stl_…`, never in a query string. Scopes: admin ⊃ write ⊃ read.
* **Sessions**: `POST /api/v1/sign-in` sets a cookie (`__Host-starling`, without TLS `starling`) that is good on every route \
and node. A change by cookie needs the header `Starling-Csrf` with the `csrf` of `/api/v1/me`. Where both are sent the bearer \
token counts.
* **Errors** are `application/problem+json` (RFC 9457) with a stable `code`; the schema `Code` lists them all.
* **Heights**: every answer carries `Starling-Node` and `Starling-Height`. Send the height back as \
`Starling-Min-Height` to never read an older state, on whichever node; reads may also ask `?consistency=linearizable`.
* **Time**: `Prefer: wait=<s>` says how long a call may take: default 10, at most 60.
* **Retries**: under an `Idempotency-Key` the same request again, on any node, gets the first answer. \
503 means certainly not decided; 504 `outcome_unknown` may still be decided: retry with the key.
* **Lists** are `{items, nextCursor, asOf}`; cursors work on every node.
* Place names by GeoNames (geonames.org), CC BY 4.0.
";

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
}

/// The document before any route is in it.
pub(super) fn frame() -> OpenApi {
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    let info = InfoBuilder::new()
        .title("Starling")
        .version("1")
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .build();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let cookie = ApiKey::Cookie(ApiKeyValue::new("__Host-starling"));
    let components = ComponentsBuilder::new()
        .security_scheme("token", SecurityScheme::Http(bearer))
        .security_scheme("session", SecurityScheme::ApiKey(cookie))
        .schema(Document::name(), Document::schema())
        .schema(Code::name(), Code::schema())
        .schema(Fault::name(), Fault::schema())
        .build();
    let tag = |(name, description)| {
        TagBuilder::new()
            .name(name)
            .description(Some(description))
            .build()
    };
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some(["token", "session"].map(|scheme| {
            SecurityRequirement::new(scheme, Vec::<String>::new())
        })))
        .tags(Some(TAGS.map(tag)))
        .build()
}

const TAGS: [(&str, &str); 10] = [
    ("files", "Files, their bytes and what is known about them"),
    ("fields", "Fields that people define"),
    ("albums", "Files side by side"),
    ("export", "What is said of files, to be taken elsewhere"),
    ("blobs", "Raw bytes by their SHA-256"),
    ("records", "The raw ledger, for other programs"),
    ("ledger", "The chain: head, blocks, verification"),
    (
        "access",
        "Who may do what: users, sessions, tokens, libraries, shares",
    ),
    ("shares", "What links open, without a token"),
    ("node", "The node and its cluster"),
];

/// The pages around the API.
pub(super) fn pages(document: OpenApi) -> Router<Arc<Api>> {
    Router::new()
        .route("/", routing::get(async || Redirect::temporary("/docs/")))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
}

/// That it is so.
#[derive(Serialize, ToSchema)]
struct Sign {
    /// `ok` or `ready`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the node lives
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "node", security(()),
    responses((status = 200, description = "It does", body = Sign)),
)]
pub(super) async fn health() -> Response {
    reply::json(StatusCode::OK, &Sign { status: "ok" })
}

/// Whether the node serves reads
///
/// Says nothing about the quorum; `/api/v1/cluster` does. A node that has been asked to stop is not ready, and nor is one that
/// is starting: it says how far it is.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReadiness", tag = "node", security(()),
    responses(
        (status = 200, description = "It does", body = Sign),
        (status = 503, description = "It is starting or about to stop, or the cluster has removed it", body = Document, content_type = "application/problem+json"),
    ),
)]
async fn ready(
    State(api): State<Arc<Api>>,
    leaving: Option<Extension<Leaving>>,
) -> Result<Response, Problem> {
    if leaving.is_some_and(|Extension(leaving)| leaving.is_under_way()) {
        return Err(Problem::new(Code::Stopped, "the node is about to stop"));
    }
    // Whoever comes here has come past the door: ledger and catalogue are open.
    api.refuse_if_out()?;
    Ok(reply::json(StatusCode::OK, &Sign { status: "ready" }))
}
