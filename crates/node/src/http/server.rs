//! Connections: accepted, perhaps encrypted, bounded in number, in time and in what a head may hold, and brought to a
//! good end when the node stops.
//!
//! A stop has two parts. For a moment everything goes on, but every answer closes its connection and `/readyz` says
//! that the node leaves, so that busy clients turn to other nodes between two requests and not within one. Then
//! nothing is accepted any more, what the system has accepted already is answered, idle connections are closed, and
//! requests under way may finish.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use futures::FutureExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::door::Door;
use super::metrics::Remote;

/// Connections at one time; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 4096;
/// A client has so long to send the head of a request, so that slow ones cannot use up the connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// A client has so long for the handshake of TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The head of a request, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// Requests under way when the node stops may take so long.
const GRACE: Duration = Duration::from_secs(10);
/// The first part of a stop: time for busy clients to turn elsewhere.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// A connection that has not carried a request when the last part of a stop begins has so long to send one.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// Between two looks whether every client has left in that time.
const LAST_CALLS_POLL: Duration = Duration::from_millis(10);
/// When the system gives no connection (out of file descriptors, say), the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves what is behind `door` until `stop` is cancelled, then lets requests under way finish for a while.
pub(super) async fn run(
    door: Door,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    stop: CancellationToken,
) {
    let house = House {
        door,
        tls: tls.map(TlsAcceptor::from),
        leaving: Leaving(stop.clone()),
        closed: CancellationToken::new(),
    };
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let seat_client = |seat, (stream, from)| {
        let house = house.clone();
        connections.spawn(async move {
            house.serve_stream(stream, Remote(from)).await;
            drop(seat);
        });
    };
    let last_calls = async {
        stop.cancelled().await;
        let all_left = async {
            while !connections.is_empty() {
                tokio::time::sleep(LAST_CALLS_POLL).await;
            }
        };
        let _ = tokio::time::timeout(LAST_CALLS, all_left).await;
        house.closed.cancel();
    };
    let accepting = async {
        while let Some(seat) = next_seat(&seats, &house.closed).await {
            let Some(client) = accept(&listener, &house.closed).await else {
                break;
            };
            seat_client(seat, client);
        }
    };
    tokio::join!(accepting, last_calls);
    // The system has accepted these, so their clients believe that they have reached the node.
    while let Ok(seat) = Arc::clone(&seats).try_acquire_owned()
        && let Some(Ok(client)) = listener.accept().now_or_never()
    {
        seat_client(seat, client);
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            open = connections.len(),
            "connections were cut off at the stop"
        );
    }
}

async fn next_seat(
    seats: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<tokio::sync::OwnedSemaphorePermit> {
    let seat = Arc::clone(seats).acquire_owned();
    stop.run_until_cancelled(seat).await?.ok()
}

async fn accept(
    listener: &TcpListener,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        match stop.run_until_cancelled(listener.accept()).await? {
            Ok(client) => return Some(client),
            Err(error) => {
                tracing::warn!(%error, "accepting an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Told to every request: whether the node is on its way out. An answer without an end, a stream of events say, ends
/// when it is.
#[derive(Debug, Clone)]
pub(super) struct Leaving(CancellationToken);

impl Leaving {
    /// Returns when it is.
    pub(super) async fn begun(&self) {
        self.0.cancelled().await;
    }

    /// Whether it is.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// What every connection is served with.
#[derive(Clone)]
struct House {
    door: Door,
    tls: Option<TlsAcceptor>,
    leaving: Leaving,
    /// No connection is kept for a further request.
    closed: CancellationToken,
}

impl House {
    async fn serve_stream(self, stream: TcpStream, from: Remote) {
        // Answers are written at once and whole; waiting for more only adds delay.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY");
        }
        let Some(tls) = &self.tls else {
            return self.serve_connection(stream, from).await;
        };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve_connection(stream, from).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn serve_connection<S>(self, stream: S, from: Remote)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            door,
            leaving,
            closed,
            ..
        } = self;
        let last = leaving.clone();
        let used = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&used);
        let service = tower::service_fn(move |request| door.behind().oneshot(request))
            .map_request(move |request: hyper::Request<_>| {
                noted.store(true, Ordering::Relaxed);
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(from);
                request.extensions_mut().insert(leaving.clone());
                request
            })
            .map_response(move |mut response| {
                if last.is_under_way() {
                    let headers = hyper::Response::headers_mut(&mut response);
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            })
            .map_err(|never: Infallible| never);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::pin!(connection);
        let ended = tokio::select! {
            // First what has arrived: a request that is here already is no idle connection.
            biased;
            ended = connection.as_mut() => ended,
            () = closed.cancelled() => async {
                if !used.load(Ordering::Relaxed) {
                    // It would be closed at once, though its client may have sent a request already.
                    let first = tokio::time::timeout(FIRST_REQUEST, connection.as_mut());
                    if let Ok(ended) = first.await {
                        return ended;
                    }
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }.await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended early");
        }
    }
}
