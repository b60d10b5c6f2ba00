//! The door that people knock at: open from the first moment of a start, before there is anything to serve.
//!
//! Until the node serves, `/healthz` says that it lives and everything else is answered 503 `starting`, with how far the
//! start is. Then the same door, the same connections even, lead to the API.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Router, routing};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::problem::{Code, Problem};
use super::{Api, STARLING_HEIGHT, STARLING_NODE, body, docs, named, protection, server, uses};
use crate::App;
use crate::progress::Progress;

/// What answers people. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Door {
    before: Router,
    serving: Arc<OnceLock<Router>>,
}

/// What is answered with before the node serves.
struct Starting {
    progress: Progress,
    node: HeaderValue,
}

impl Door {
    /// Of the node of this name.
    pub(crate) fn new(name: &str, progress: Progress) -> Self {
        let node = named(name);
        let starting = Arc::new(Starting { progress, node });
        let before = Router::new()
            .route("/healthz", routing::get(docs::health))
            .fallback(not_yet)
            .layer(middleware::from_fn_with_state(Arc::clone(&starting), frame))
            .with_state(starting);
        Self {
            before,
            serving: Arc::default(),
        }
    }

    /// From here on the API answers. What comes back does what the API does unasked, until `stop` is cancelled.
    pub(crate) fn serve(
        &self,
        app: App,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let api = Arc::new(Api::new(app));
        self.lead_to(super::router(Arc::clone(&api)));
        uses::tell(api, stop)
    }

    fn lead_to(&self, router: Router) {
        // A node serves once.
        let _ = self.serving.set(router);
    }

    /// What answers now.
    pub(super) fn behind(&self) -> Router {
        self.serving.get().unwrap_or(&self.before).clone()
    }

    /// Lets people in until `stop` is cancelled, then lets requests under way finish.
    pub(crate) async fn open(
        self,
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        stop: CancellationToken,
    ) {
        server::run(self, listener, tls, stop).await;
    }
}

async fn not_yet(State(starting): State<Arc<Starting>>) -> Problem {
    let shown = starting.progress.shown();
    Problem::new(Code::Starting, shown.text()).with_progress(shown)
}

async fn frame(State(starting): State<Arc<Starting>>, request: Request, next: Next) -> Response {
    let mut response = next.run(body::Guarded::guard(request, body::IDLE)).await;
    let headers = response.headers_mut();
    headers.insert(STARLING_NODE, starting.node.clone());
    headers.insert(STARLING_HEIGHT, HeaderValue::from(0));
    protection::protect(headers, "/");
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Stage;
    use axum::http::StatusCode;
    use model::Height;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn the_door_is_open_before_there_is_anything_behind_it() {
        // The first test to come installs it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let progress = Progress::default();
        progress.set(Stage::Replaying {
            height: Height(3),
            of: Height(9),
        });
        let door = Door::new("n1", progress);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let open = tokio::spawn(door.clone().open(listener, None, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| client.get(format!("{url}{path}")).send().await.unwrap();

        assert_eq!(get("/healthz").await.status(), StatusCode::OK);
        for path in ["/readyz", "/", "/api/v1/cluster", "/nowhere"] {
            let answer = get(path).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.headers()["starling-node"], "n1");
            assert_eq!(answer.headers()["retry-after"], "1");
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(problem["code"], "starting");
            assert_eq!(
                problem["progress"],
                json!({"stage": "replaying", "height": 3, "of": 9})
            );
        }
        // A body that nobody reads does not tear the connection down before the answer is there.
        let put = client.put(format!("{url}/api/v1/files"));
        let refused = put.body(vec![7; 4 << 20]).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);

        door.lead_to(Router::new().fallback(async || "served"));
        assert_eq!(get("/readyz").await.text().await.unwrap(), "served");
        stop.cancel();
        open.await.unwrap();
    }
}
