//! How a connection to one peer is made.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// TCP, TLS and HTTP/2 together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a peer may be silent before it is asked whether it lives, and then before it is given up.
const SILENCE: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// What a peer may send us on one stream before we have taken it.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for all streams of a connection: many readers may be slow before a quick one has to wait.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// Neither is looked at: what counts is the key that answers.
const URI: &str = "http://peer";
const NAME: &str = "peer";

/// Makes connections to one peer, and to nobody else who may answer at its address.
#[derive(Clone)]
pub(super) struct Dialer {
    address: Arc<str>,
    tls: TlsConnector,
}

impl Dialer {
    pub(super) fn new(address: &str, tls: Arc<ClientConfig>) -> Self {
        Self {
            address: address.into(),
            tls: tls.into(),
        }
    }

    /// A connection that stays open while nothing is said, and breaks soon after the peer has gone.
    pub(super) async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        let dialer = self.clone();
        let connector = tower::service_fn(move |_| dialer.clone().dial());
        endpoint()
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
    }

    /// A connection that is made when first used, and again whenever it broke.
    pub(super) fn lazy(&self) -> Channel {
        let dialer = self.clone();
        let connector = tower::service_fn(move |_| dialer.clone().dial());
        endpoint().connect_with_connector_lazy(connector)
    }

    async fn dial(self) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(&*self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).expect("a plain word is a server name");
        let stream = self.tls.connect(name, stream).await?;
        Ok(TokioIo::new(stream))
    }
}

fn endpoint() -> Endpoint {
    Endpoint::from_static(URI)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(SILENCE)
        .keep_alive_timeout(ANSWER_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}
