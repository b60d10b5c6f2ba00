//! What people and programs see of a node: the HTTP contract under `/api/v1`.
//!
//! A request travels like this. `server` accepts the connection and bounds it; until there is anything to serve, `door` answers. The outermost layer here guards the
//! body and writes the headers every answer has: which node spoke, and which height the answer reflects. A handler
//! begins with a `call`: it knows the caller, has checked the scope, and has waited until this node has seen what the
//! client has seen. Reads go to the catalogue, the ledger or the bytes; changes become commands, are decided by the
//! replica, and are answered with what the catalogue made of them. Whatever goes wrong is a `problem` with a stable
//! code.
//!
//! Files come in through `upload`: streamed to disk while they are hashed, put on as many nodes as must hold them,
//! looked at by `media`, and only then named in a command. They go out through `content`: from this node if it has
//! them intact, else fetched from a peer first. `holdings` does both and never gives out a byte that was not checked.
//!
//! `watch` notes every request in numbers, in the log and in traces; `metrics` shows the numbers.
//!
//! Routes and their documentation are declared together, and the OpenAPI document is made from them.
//!
//! Deliberately not here: any decision about agreement, any SQL, and any knowledge of a file's format.

mod albums;
mod auth;
mod blobs;
mod body;
mod bulk;
mod call;
mod cluster;
mod conditional;
mod content;
mod cookie;
mod disposition;
mod docs;
mod door;
mod duplicates;
mod events;
mod export;
mod facets;
mod fields;
mod files;
mod holdings;
mod import;
mod invites;
mod json;
mod ledger;
mod libraries;
mod limits;
mod map;
mod members;
mod metadata;
mod metrics;
mod once;
mod operations;
mod originals;
mod params;
mod previews;
mod problem;
mod proof;
mod protection;
mod prune;
mod purge;
mod range;
mod rates;
mod records;
mod reply;
mod schema;
mod search;
mod server;
mod sessions;
mod shared;
mod shares;
mod snapshots;
mod suggest;
mod tags;
mod timeline;
mod tls;
mod tokens;
mod upload;
mod uploads;
mod users;
mod uses;
mod watch;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;

use self::auth::TokenCache;
use self::call::{MaySee, Reflected};
pub(crate) use self::door::Door;
use self::duplicates::Resembling;
pub(crate) use self::holdings::Holdings;
use self::once::Places;
use self::problem::Problem;
use self::rates::SignInRates;
use self::uploads::Intakes;
use self::uses::Uses;
use self::watch::Watched;
use crate::App;
use crate::passwords::Passwords;
use crate::scrubber::checks::Checks;

pub use self::problem::{Code, Fault};
pub use self::tls::{Certificate, TlsError};

const STARLING_NODE: HeaderName = HeaderName::from_static("starling-node");
const STARLING_HEIGHT: HeaderName = HeaderName::from_static("starling-height");

/// What all handlers share.
pub(crate) struct Api {
    /// The node.
    pub(crate) app: App,
    /// Tokens met lately.
    pub(crate) tokens: TokenCache,
    /// When they were used.
    pub(crate) uses: Uses,
    /// Makes and checks hashes of passwords.
    pub(crate) passwords: Passwords,
    /// How often somebody tried to sign in.
    pub(crate) rates: SignInRates,
    /// Files' bytes, here and on the peers.
    pub(crate) holdings: Holdings,
    /// Where listings of records stopped.
    pub(crate) places: Places,
    /// Uploads that bytes come in for.
    pub(crate) intakes: Intakes,
    /// Looks for damage on this node's disk.
    pub(crate) checks: Checks,
    /// Pictures that resemble each other, as they were last asked for.
    pub(crate) resembling: Resembling,
    /// Checks of the whole ledger go one by one.
    pub(crate) verifying: Semaphore,
    /// Digests of libraries go one by one.
    pub(crate) digesting: Semaphore,
    node: HeaderValue,
}

impl Api {
    fn new(app: App) -> Self {
        let node = named(&app.config.name);
        let holdings = Holdings::new(&app);
        Self {
            checks: Checks::new(&app, holdings.clone(), CancellationToken::new()),
            holdings,
            passwords: Passwords::new(app.config.access.password_cost),
            app,
            tokens: TokenCache::default(),
            uses: Uses::default(),
            rates: SignInRates::default(),
            places: Places::default(),
            intakes: Intakes::default(),
            resembling: Resembling::default(),
            verifying: Semaphore::new(1),
            digesting: Semaphore::new(1),
            node,
        }
    }

    /// Asks the catalogue.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut catalogue::Reader) -> Result<T, catalogue::ReadError> + Send + 'static,
    ) -> Result<T, Problem> {
        let answer = self.app.catalogue.read(ask).await;
        answer.map_err(|error| Problem::internal("asking the catalogue", &error))
    }

    /// Runs what may block on a thread where it may.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Problem::internal("working", &error))
    }
}

/// A node's name in a header.
fn named(name: &str) -> HeaderValue {
    HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("unnamed"))
}

/// The API as a service, without a listener.
fn router(api: Arc<Api>) -> Router {
    let (router, document) = routes().split_for_parts();
    router
        .merge(docs::pages(document))
        .fallback(nowhere)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), frame))
        .with_state(api)
}

/// Every route with its documentation.
fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(docs::frame())
        .merge(docs::routes())
        .merge(limits::routes())
        .merge(metrics::routes())
        .merge(cluster::routes())
        .merge(invites::routes())
        .merge(members::routes())
        .merge(originals::routes())
        .merge(ledger::routes())
        .merge(prune::routes())
        .merge(events::routes())
        .merge(records::routes())
        .merge(proof::routes())
        .merge(upload::routes())
        .merge(uploads::routes())
        .merge(search::routes())
        .merge(facets::routes())
        .merge(timeline::routes())
        .merge(map::routes())
        .merge(suggest::routes())
        .merge(files::routes())
        .merge(content::routes())
        .merge(previews::routes())
        .merge(duplicates::routes())
        .merge(blobs::routes())
        .merge(tokens::routes())
        .merge(users::routes())
        .merge(sessions::routes())
        .merge(libraries::routes())
        .merge(shares::routes())
        .merge(shared::routes())
        .merge(operations::routes())
        .merge(fields::routes())
        .merge(tags::routes())
        .merge(albums::routes())
        .merge(bulk::routes())
        .merge(export::routes())
        .merge(import::routes())
}

/// What every request and every answer has in common.
async fn frame(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let watched = Watched::begin(api.app.metrics.http(), &request);
    let reflected = Reflected::new(api.app.catalogue.height());
    let mut request = body::Guarded::guard(request, body::IDLE);
    request.extensions_mut().insert(reflected.clone());
    let mut response = next.run(request).instrument(watched.span()).await;
    let headers = response.headers_mut();
    headers.insert(STARLING_NODE, api.node.clone());
    headers.insert(STARLING_HEIGHT, HeaderValue::from(reflected.height().0));
    protection::protect(headers, &path);
    watched.answered(response.status());
    response
}

/// A path that does not exist. Strangers are not told so.
async fn nowhere(_: MaySee) -> Problem {
    Problem::not_found("path")
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal("answering", &text.unwrap_or("a handler panicked")).into_response()
}

#[cfg(test)]
mod tests;
