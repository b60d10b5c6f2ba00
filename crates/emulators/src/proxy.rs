//! A link that can be cut, that can break in the middle of an upload, and that can make a store forgetful.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes bytes on, as long as it is allowed to.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many more bytes may go to the server; none counts for ever.
    allowed: Arc<watch::Sender<Option<usize>>>,
    listening: JoinHandle<()>,
}

/// The header in which a writer says that nothing must be overwritten.
const CONDITION: &[u8] = b"if-none-match";

impl Proxy {
    /// To a server.
    pub async fn start(server: SocketAddr) -> Self {
        Self::start_with(server, false).await
    }

    /// A server behind it never learns of the condition under which a write was asked for.
    pub async fn forgetful(server: SocketAddr) -> Self {
        Self::start_with(server, true).await
    }

    async fn start_with(server: SocketAddr, forgetful: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (allowed, _) = watch::channel(None);
        let allowed = Arc::new(allowed);
        let shared = allowed.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, shared.clone(), forgetful));
            }
        });
        Self {
            address,
            allowed,
            listening,
        }
    }

    /// Nothing more goes to the server.
    pub fn cut(&self) {
        self.allow_bytes(0);
    }

    /// So many bytes more go to the server.
    pub fn allow_bytes(&self, bytes: usize) {
        self.allowed.send_replace(Some(bytes));
    }

    /// As before.
    pub fn heal(&self) {
        self.allowed.send_replace(None);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    allowed: Arc<watch::Sender<Option<usize>>>,
    forgetful: bool,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            if forgetful {
                forget(&mut buffer[..count]);
            }
            let mut passes = count;
            allowed.send_modify(|left| {
                if let Some(left) = left {
                    passes = count.min(*left);
                    *left -= passes;
                }
            });
            if to_server.write_all(&buffer[..passes]).await.is_err() || passes < count {
                break;
            }
        }
    };
    let down = tokio::io::copy(&mut from_server, &mut to_client);
    // Whichever ends first ends both.
    tokio::select! {
        () = up => {}
        _ = down => {}
    }
}

/// Gives the header another name of the same length.
fn forget(bytes: &mut [u8]) {
    let at = bytes
        .windows(CONDITION.len())
        .position(|window| window.eq_ignore_ascii_case(CONDITION));
    if let Some(at) = at {
        bytes[at] = b'x';
    }
}
