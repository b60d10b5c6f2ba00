//! Who may connect, and what they may ask.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use model::{ChainId, NodeId};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use super::directory::{Directory, Standing};
use super::generated::joining_server::JoiningServer;
use super::generated::peer_server::{Peer, PeerServer};
use super::generated::{
    Ack, BlobChunk, BlobPresence, BlobQuery, BlobReceipt, BlobRequest, BlocksRequest, Frame,
    InventoryReport, InventoryRequest, PredecessorRequest, StoreTrial, StoreVerdict, Thumbnail,
    ThumbnailRequest,
};
use super::heritage;
use super::history::{self, History};
use super::inbox::{self, Inbound, Interruption};
use super::joining::{self, JoinCall, Reception};
use super::refusals::Refusals;
use super::storage::{Denied, Storage};
use super::wire;
use crate::identity::tls;
use crate::originals;
use crate::pictures::Pictures;
use crate::snapshots::Shelf;
use crate::stock::Stock;

/// How long a caller may take to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at a time; further connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 32;
/// Strangers at a time, who may ask to join and nothing else.
const STRANGERS_MAX: usize = 16;
/// How long a stranger may stay.
const VISIT_MAX: Duration = Duration::from_secs(60);
/// How long to wait before accepting again, after the system ran out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a peer may be silent before it is asked whether it lives, and then before it is given up.
const SILENCE: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What a peer may send on one stream before it was taken: several blocks without a pause for permission.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Streams a peer may have open on one connection.
const STREAMS_MAX: u32 = 256;
/// Fewer, larger HTTP/2 frames cost less.
const HTTP2_FRAME_BYTES_MAX: u32 = 256 << 10;

/// What the listening side needs.
pub(super) struct Server {
    pub(super) tls: Arc<ServerConfig>,
    pub(super) chain: ChainId,
    pub(super) store: blobs::Store,
    pub(super) stock: Stock,
    pub(super) pictures: Pictures,
    pub(super) shelf: Shelf,
    pub(super) ledger: Option<ledger::Reader>,
    pub(super) inbound: Arc<Inbound>,
    pub(super) directory: Arc<Directory>,
    pub(super) joining: mpsc::Sender<JoinCall>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) shutdown: CancellationToken,
    /// Where the ledger of the chain before is, if there is one.
    pub(super) predecessor: PathBuf,
}

impl Server {
    /// Serves until the node shuts down.
    pub(super) async fn run(self, listener: TcpListener, tasks: TaskTracker) {
        let (sender, connections) = mpsc::channel(1);
        let door = Door {
            tls: self.tls.into(),
            directory: self.directory.clone(),
            refusals: self.refusals.clone(),
            connections: sender,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        };
        let shutdown = self.shutdown.clone();
        tasks.spawn(
            shutdown
                .clone()
                .run_until_cancelled_owned(door.run(listener)),
        );
        let reception = Reception {
            chain: self.chain,
            calls: self.joining,
            refusals: self.refusals.clone(),
        };
        let reception =
            JoiningServer::new(reception).max_decoding_message_size(joining::QUESTION_BYTES_MAX);
        let (directory, refusals) = (self.directory.clone(), self.refusals.clone());
        let service = Service {
            chain: self.chain,
            storage: Storage::new(
                self.store,
                self.stock,
                self.pictures,
                self.shelf,
                self.chain,
            ),
            history: History {
                chain: self.chain,
                reader: self.ledger,
            },
            inbound: self.inbound,
            directory: self.directory,
            refusals: self.refusals,
            shutdown: self.shutdown,
            predecessor: self.predecessor,
        };
        let service = PeerServer::new(service).max_decoding_message_size(wire::FRAME_BYTES_MAX);
        // Before a byte of what a stranger wants is read.
        let service = InterceptedService::new(service, move |request: Request<()>| {
            let from = caller(&request)?;
            if directory.standing(from).is_none() && !directory.is_lonely() {
                refusals.add_stranger(&"it is not known here");
                return Err(Status::permission_denied("this node does not know you"));
            }
            Ok(request)
        });
        let served = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .max_frame_size(HTTP2_FRAME_BYTES_MAX)
            .http2_keepalive_interval(Some(SILENCE))
            .http2_keepalive_timeout(Some(ANSWER_TIMEOUT))
            .add_service(service)
            .add_service(reception)
            .serve_with_incoming_shutdown(
                ReceiverStream::new(connections),
                shutdown.cancelled_owned(),
            )
            .await;
        if let Err(error) = served {
            tracing::error!("serving peers ended: {error}");
        }
    }
}

/// Lets in whoever proves to hold a key, strangers for a while and few at a time.
struct Door {
    tls: TlsAcceptor,
    directory: Arc<Directory>,
    refusals: Arc<Refusals>,
    connections: mpsc::Sender<io::Result<Connection>>,
    handshakes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Door {
    async fn run(self, listener: TcpListener) {
        let door = Arc::new(self);
        loop {
            let permit = door.handshakes.clone().acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let door = door.clone();
                    tokio::spawn(async move {
                        door.let_in(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!("accepting a peer's connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn let_in(&self, stream: TcpStream) {
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.shake_hands(stream)).await {
            Ok(Ok(connection)) => {
                // Fails only when the node shuts down.
                let _ = self.connections.send(Ok(connection)).await;
            }
            Ok(Err(error)) => self.refusals.add_stranger(&error),
            Err(_) => self
                .refusals
                .add_stranger(&"it took too long to shake hands"),
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let stream = self.tls.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let node = certificates
            .and_then(|certificates| certificates.first())
            .and_then(tls::node_of)
            .ok_or_else(|| io::Error::other("it showed no certificate"))?;
        let visit = match self.directory.standing(node) {
            Some(_) => None,
            None => Some(self.visit()?),
        };
        Ok(Connection {
            node,
            stream,
            visit,
        })
    }

    fn visit(&self) -> io::Result<Visit> {
        let seat = self.strangers.clone().try_acquire_owned();
        Ok(Visit {
            _seat: seat.map_err(|_| io::Error::other("too many strangers are here"))?,
            ends: Box::pin(tokio::time::sleep(VISIT_MAX)),
        })
    }
}

/// A stranger is here.
struct Visit {
    _seat: OwnedSemaphorePermit,
    ends: Pin<Box<Sleep>>,
}

/// A connection whose other end has proved who it is.
struct Connection {
    node: NodeId,
    stream: TlsStream<TcpStream>,
    visit: Option<Visit>,
}

/// Who is at the other end; found in the extensions of every request.
#[derive(Clone, Copy)]
struct Caller(NodeId);

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        Caller(self.node)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(visit) = &mut self.visit
            && visit.ends.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Answers the peers' calls.
struct Service {
    chain: ChainId,
    storage: Storage,
    history: History,
    inbound: Arc<Inbound>,
    directory: Arc<Directory>,
    refusals: Arc<Refusals>,
    shutdown: CancellationToken,
    predecessor: PathBuf,
}

impl Service {
    /// Who calls, if it belongs to the cluster: nobody else is given bytes.
    fn member<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let from = caller(request)?;
        if self.directory.standing(from) == Some(Standing::Member) {
            return Ok(from);
        }
        self.refusals.add(from, &"it is no member");
        Err(Status::permission_denied("only members are given bytes"))
    }

    fn deny(&self, from: NodeId, denied: Denied) -> Status {
        match denied {
            Denied::Refused(refusal) => {
                self.refusals.add(from, &refusal);
                Status::from(&refusal)
            }
            Denied::Failed(status) => status,
        }
    }

    /// Answers with `work`'s result, unless the node shuts down before.
    async fn until_shutdown<T>(
        &self,
        from: NodeId,
        work: impl Future<Output = Result<T, Denied>>,
    ) -> Result<Response<T>, Status> {
        match self.shutdown.run_until_cancelled(work).await {
            None => Err(Status::unavailable("this node shuts down")),
            Some(Ok(answer)) => Ok(Response::new(answer)),
            Some(Err(denied)) => Err(self.deny(from, denied)),
        }
    }
}

pub(super) fn caller<T>(request: &Request<T>) -> Result<NodeId, Status> {
    let caller = request.extensions().get::<Caller>();
    caller
        .map(|caller| caller.0)
        .ok_or_else(|| Status::unauthenticated("this connection has no certificate"))
}

#[tonic::async_trait]
impl Peer for Service {
    async fn deliver(&self, request: Request<Streaming<Frame>>) -> Result<Response<Ack>, Status> {
        let from = caller(&request)?;
        let stated = |key| request.metadata().get(key)?.to_str().ok();
        let (address, version) = (stated(wire::ADDRESS), stated(wire::VERSION));
        let _calling = self.directory.called(from, address, version);
        let passed_over = |refusal: &wire::Refusal| self.refusals.add(from, refusal);
        let frames = request.into_inner();
        let receive = inbox::receive(frames, self.chain, from, &*self.inbound, &passed_over);
        let work = async {
            match receive.await {
                Ok(()) => Ok(Ack {}),
                Err(Interruption::Refused(refusal)) => Err(Denied::Refused(refusal)),
                Err(Interruption::Broken(status)) => Err(Denied::Failed(status)),
            }
        };
        self.until_shutdown(from, work).await
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<BlobChunk>>,
    ) -> Result<Response<BlobReceipt>, Status> {
        let from = self.member(&request)?;
        let work = self.storage.put(request.into_inner());
        self.until_shutdown(from, work).await
    }

    type GetBlobStream = super::storage::Chunks;

    async fn get_blob(
        &self,
        request: Request<BlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        let from = self.member(&request)?;
        let work = self.storage.get(request.into_inner());
        self.until_shutdown(from, work).await
    }

    async fn has_blobs(
        &self,
        request: Request<BlobQuery>,
    ) -> Result<Response<BlobPresence>, Status> {
        let from = self.member(&request)?;
        let work = self.storage.has(request.into_inner());
        self.until_shutdown(from, work).await
    }

    async fn get_thumbnail(
        &self,
        request: Request<ThumbnailRequest>,
    ) -> Result<Response<Thumbnail>, Status> {
        let from = self.member(&request)?;
        let work = self.storage.thumbnail(request.get_ref());
        self.until_shutdown(from, work).await
    }

    type GetPredecessorStream = heritage::Pieces;

    async fn get_predecessor(
        &self,
        request: Request<PredecessorRequest>,
    ) -> Result<Response<Self::GetPredecessorStream>, Status> {
        let from = self.member(&request)?;
        let work = async {
            wire::check_chain(self.chain, &request.into_inner().chain_id)?;
            Ok(heritage::give(self.predecessor.clone()).await?)
        };
        self.until_shutdown(from, work).await
    }

    async fn take_inventory(
        &self,
        request: Request<InventoryRequest>,
    ) -> Result<Response<InventoryReport>, Status> {
        let from = self.member(&request)?;
        let report = self.storage.inventory(request.get_ref());
        report
            .map(Response::new)
            .map_err(|denied| self.deny(from, denied))
    }

    async fn try_store(
        &self,
        request: Request<StoreTrial>,
    ) -> Result<Response<StoreVerdict>, Status> {
        let from = self.member(&request)?;
        let work = async {
            let url = wire::tried(self.chain, request.get_ref())?;
            let tried = originals::try_out(url, self.chain).await;
            let refusal = tried.err().unwrap_or_default();
            Ok(StoreVerdict { refusal })
        };
        self.until_shutdown(from, work).await
    }

    type GetBlocksStream = history::Blocks;

    async fn get_blocks(
        &self,
        request: Request<BlocksRequest>,
    ) -> Result<Response<Self::GetBlocksStream>, Status> {
        let from = caller(&request)?;
        if matches!(
            self.directory.standing(from),
            None | Some(Standing::Stranger)
        ) {
            self.refusals.add_stranger(&"it asks for blocks");
            return Err(Status::permission_denied("this node does not know you"));
        }
        let work = async { self.history.give(request.get_ref()) };
        self.until_shutdown(from, work).await
    }
}
