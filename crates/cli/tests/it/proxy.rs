//! Wires between nodes that can be cut.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One direction in which a node calls another. Bytes of a connection flow both ways over it.
pub(crate) struct Link {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Where the caller believes its peer to be.
    pub(crate) address: String,
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Bytes arrive late, all of them.
    Slow(Duration),
    /// Connections stand and nothing passes.
    Silent,
    /// Connections break and none are made.
    Cut,
}

impl Link {
    /// A link to `target`, open.
    pub(crate) async fn open(from: usize, to: usize, target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let state = Arc::new(watch::Sender::new(State::Open));
        tokio::spawn(accept(listener, target.to_owned(), state.subscribe()));
        Self {
            from,
            to,
            address,
            state,
        }
    }

    /// Breaks every connection and lets none be made.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Lets connections stand and nothing pass, as a firewall does that forgets.
    pub(crate) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Lets everything arrive so much later.
    pub(crate) fn delay(&self, by: Duration) {
        self.state.send_replace(State::Slow(by));
    }

    /// Undoes all of these.
    pub(crate) fn heal(&self) {
        self.state.send_replace(State::Open);
    }
}

/// Ends when the link is dropped.
async fn accept(listener: TcpListener, target: String, mut state: watch::Receiver<State>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            closed = closed(&mut state) => return closed,
        };
        let Ok((caller, _)) = accepted else { continue };
        if *state.borrow() == State::Cut {
            continue;
        }
        let (target, state) = (target.clone(), state.clone());
        tokio::spawn(async move {
            if let Ok(called) = TcpStream::connect(target).await {
                join(caller, called, state).await;
            }
        });
    }
}

async fn closed(state: &mut watch::Receiver<State>) {
    while state.changed().await.is_ok() {}
}

async fn join(caller: TcpStream, called: TcpStream, state: watch::Receiver<State>) {
    let (from_caller, to_caller) = caller.into_split();
    let (from_called, to_called) = called.into_split();
    tokio::select! {
        () = pump(from_caller, to_called, state.clone()) => {}
        () = pump(from_called, to_caller, state) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = state.wait_for(|state| *state == State::Cut) => return,
        };
        let Ok(count @ 1..) = read else { return };
        let passable = state.wait_for(|state| *state != State::Silent).await;
        let Ok(state) = passable.map(|state| *state) else {
            return;
        };
        match state {
            State::Cut | State::Silent => return,
            State::Slow(by) => tokio::time::sleep(by).await,
            State::Open => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
