use std::fs;

use ::blobs::{Store, Verdict};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use model::{BlobId, ChainId};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tonic::Code;

use super::client::Dialer;
use super::generated::peer_client::PeerClient;
use super::generated::{BlobChunk, Frame};
use super::*;
use crate::identity::{Ca, NodeKey, create_ca};

mod frozen;

const CHAIN: ChainId = ChainId([7; 16]);
const OTHER_CHAIN: ChainId = ChainId([8; 16]);
/// Longer than anything here takes, unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    identity: Identity,
    config: Vec<Acquaintance>,
    folder: TempDir,
    store: Store,
    stock: Stock,
    peers: Peers,
    inbox: UnboundedReceiver<(NodeId, Message)>,
}

impl Node {
    fn start(listener: TcpListener, identity: Identity, config: Vec<Acquaintance>) -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let stock = Stock::default();
        let (sender, inbox) = unbounded_channel();
        let address = listener.local_addr().unwrap().to_string();
        let peers = Peers::start_on(
            listener,
            Config {
                identity: identity.clone(),
                listen: ([127, 0, 0, 1], 0).into(),
                address,
                peers: config.clone(),
                joining: mpsc::channel(1).0,
                blobs: store.clone(),
                predecessor: folder.path().join("predecessor"),
                stock: stock.clone(),
                pictures: Pictures::new(store.clone(), Vec::new(), folder.path().join("decoding")),
                shelf: crate::snapshots::Shelf::of(folder.path()),
                ledger: None,
            },
            Arc::new(move |from, message| {
                // The test may have ended.
                let _ = sender.send((from, message));
            }),
        );
        Self {
            identity,
            config,
            folder,
            store,
            stock,
            peers: peers.unwrap(),
            inbox,
        }
    }

    fn id(&self) -> NodeId {
        self.identity.node()
    }

    async fn receive(&mut self) -> (NodeId, Message) {
        let received = tokio::time::timeout(PATIENCE, self.inbox.recv()).await;
        received.expect("a message in time").expect("a message")
    }

    /// Says something again and again until it arrives.
    async fn reach(&self, other: &mut Node, sent: u64) {
        let to = other.id();
        let repeat = async {
            loop {
                self.peers.send(to, &Message::Ping { sent });
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let arrive = async {
            let expected = Some((self.id(), Message::Ping { sent }));
            while other.inbox.recv().await != expected {}
        };
        let arrived = async {
            tokio::select! { () = repeat => {}, () = arrive => {} }
        };
        tokio::time::timeout(PATIENCE, arrived)
            .await
            .expect("a message in time");
    }

    /// A client that may say what it likes, with the certificate of `identity`.
    async fn intruder(&self, identity: &Identity) -> PeerClient<tonic::transport::Channel> {
        intruder::connect(identity, self.id(), &self.peers.address().to_string()).await
    }

    fn put(&self, bytes: &[u8]) -> BlobId {
        let mut writer = self.store.writer().unwrap();
        writer.write(bytes).unwrap();
        writer.finish().unwrap().commit().unwrap()
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn ca() -> Ca {
    create_ca(CHAIN).unwrap()
}

fn identity(ca: &Ca, name: &str) -> Identity {
    ca.issue_identity(NodeKey::generate().unwrap(), name)
        .unwrap()
}

fn member(id: NodeId, name: &str, address: &str) -> Acquaintance {
    Acquaintance {
        id,
        name: name.to_owned(),
        address: Some(address.to_owned()),
        pinned: false,
        standing: Standing::Member,
    }
}

async fn cluster<const N: usize>() -> [Node; N] {
    let ca = ca();
    let mut listeners = Vec::new();
    let mut config = Vec::new();
    for number in 0..N {
        let name = format!("n{number}");
        let identity = identity(&ca, &name);
        let (listener, address) = listen().await;
        let id = identity.node();
        config.push(member(id, &name, &address));
        listeners.push((listener, identity));
    }
    let nodes: Vec<Node> = listeners
        .into_iter()
        .map(|(listener, identity)| Node::start(listener, identity, config.clone()))
        .collect();
    nodes.try_into().ok().unwrap()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect(what);
}

fn ping(sent: u64) -> Bytes {
    Message::Ping { sent }.to_bytes().into()
}

fn frame(messages: impl Into<Vec<Bytes>>) -> Frame {
    Frame {
        chain_id: wire::chain_bytes(CHAIN),
        messages: messages.into(),
    }
}

/// Bytes that do not repeat.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(size);
    bytes
}

async fn collect(blob: RemoteBlob) -> Result<Vec<u8>, GetBlobError> {
    let chunks: Vec<Bytes> = blob.into_chunks().try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_exchange_messages() {
    let mut nodes: [Node; 3] = cluster().await;
    for from in &nodes {
        for to in &nodes {
            let sent = u64::from(from.id().0[0]);
            from.peers.send(to.id(), &Message::Ping { sent });
        }
    }
    let ids = nodes.each_ref().map(Node::id);
    for node in &mut nodes {
        let mut senders = Vec::new();
        for _ in 0..2 {
            let (from, message) = node.receive().await;
            let sent = u64::from(from.0[0]);
            assert_eq!(message, Message::Ping { sent });
            senders.push(from);
        }
        senders.push(node.id());
        senders.sort_unstable();
        let mut expected = ids;
        expected.sort_unstable();
        assert_eq!(senders, expected);
    }
    for node in &nodes {
        assert_eq!(node.peers.connected().len(), 2);
        assert!(node.peers.status().iter().all(|peer| peer.refused == 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_whole_and_in_order() {
    use model::Height;
    let [a, mut b] = cluster().await;
    for from in 0..3000 {
        a.peers.send(b.id(), &Message::Fetch { from: Height(from) });
    }
    for from in 0..3000 {
        let expected = Message::Fetch { from: Height(from) };
        assert_eq!(b.receive().await, (a.id(), expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused() {
    let [mut a, _b] = cluster().await;
    let stranger = identity(&ca(), "n0");
    let mut client = a.intruder(&stranger).await;
    let frames = stream::iter([frame([ping(1)])]);
    assert!(client.deliver(frames).await.is_err());
    // The stranger's client may dial again by itself before it gives up.
    until("the refusal is counted", || a.peers.strangers_refused() > 0).await;
    assert!(a.inbox.try_recv().is_err(), "nothing got through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_taken_for_the_peer_at_its_address() {
    let [a, b] = cluster().await;
    let expected = identity(&ca(), "n9").node();
    let dialer = Dialer::new(
        &b.peers.address().to_string(),
        a.identity.client_config(expected).unwrap(),
    );
    assert!(dialer.connect().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_chain_is_refused() {
    let [mut a, b] = cluster().await;
    let other = create_ca(OTHER_CHAIN).unwrap();
    let other = other
        .issue_identity(b.identity.key().clone(), "n1")
        .unwrap();
    let (listener, _) = listen().await;
    let other = Node::start(listener, other, b.config.clone());
    other.peers.send(a.id(), &Message::Ping { sent: 1 });
    until("the refusal is counted", || {
        a.peers.status().iter().any(|peer| peer.refused > 0)
    })
    .await;
    assert!(a.inbox.try_recv().is_err(), "nothing got through");

    let id = other.put(b"foreign");
    let path = other.store.path(id);
    let put = other.peers.put_blob(a.id(), id, 7, &path).await;
    assert!(matches!(put, Err(PutBlobError::Refused { .. })));
    assert!(!a.store.has(id).unwrap());
    let get = other.peers.get_blob(a.id(), id, Part::Whole).await;
    assert!(matches!(get, Err(GetBlobError::Call { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_its_stream_and_harms_nobody_else() {
    let [mut a, b, c] = cluster().await;
    let garbage = Bytes::from_static(b"\x01garbage");
    let oversized = Bytes::from(vec![0; wire::MESSAGE_BYTES_MAX + 1]);
    let enormous = Bytes::from(vec![0; wire::FRAME_BYTES_MAX + 1]);
    for (number, bad) in [garbage, oversized, enormous].into_iter().enumerate() {
        let sent = number as u64;
        let frames = [frame([ping(sent)]), frame([bad]), frame([ping(99)])];
        let mut client = a.intruder(&b.identity).await;
        let status = client.deliver(stream::iter(frames)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(a.receive().await, (b.id(), Message::Ping { sent }));
        let status = a.peers.status();
        let refused = |id| status.iter().find(|peer| peer.id == id).unwrap().refused;
        assert_eq!((refused(b.id()), refused(c.id())), (sent + 1, 0));
    }
    c.reach(&mut a, 5).await;
    b.reach(&mut a, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_holds_up_nobody() {
    let ca = ca();
    let (deaf, talker, listener) = (
        identity(&ca, "n0"),
        identity(&ca, "n1"),
        identity(&ca, "n2"),
    );
    let (deaf_socket, deaf_address) = listen().await;
    let (talker_socket, talker_address) = listen().await;
    let (listener_socket, listener_address) = listen().await;
    let config: Vec<Acquaintance> = [
        (&deaf, deaf_address),
        (&talker, talker_address),
        (&listener, listener_address),
    ]
    .into_iter()
    .map(|(identity, address)| member(identity.node(), &address, &address))
    .collect();
    let tls = deaf.server_config().unwrap();
    let held = tokio::spawn(async move {
        let (stream, _) = deaf_socket.accept().await.unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(tls);
        let stream = acceptor.accept(stream).await.unwrap();
        std::future::pending::<()>().await;
        drop(stream);
    });
    let talker = Node::start(talker_socket, talker, config.clone());
    let mut listener = Node::start(listener_socket, listener, config);
    until("the deaf peer is connected", || {
        talker.peers.connected().contains(&deaf.node())
    })
    .await;
    let dropped = || {
        let status = talker.peers.status();
        let peer = status.iter().find(|peer| peer.id == deaf.node());
        peer.unwrap().dropped
    };
    for sent in 0.. {
        for _ in 0..1000 {
            talker.peers.send(deaf.node(), &Message::Ping { sent });
        }
        talker.peers.send(listener.id(), &Message::Ping { sent });
        let (_, message) = listener.receive().await;
        assert_eq!(message, Message::Ping { sent });
        if dropped() > 0 {
            break;
        }
    }
    held.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_comes_back_after_the_peer_restarts() {
    let [a, mut b] = cluster().await;
    a.reach(&mut b, 1).await;
    let address = b.peers.address();
    b.peers.shutdown().await;
    until("the loss is noticed", || a.peers.connected().is_empty()).await;
    let listener = TcpListener::bind(address).await.unwrap();
    let mut b = Node::start(listener, b.identity, b.config);
    a.reach(&mut b, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_follow_who_belongs_to_the_cluster() {
    let [mut a, mut b] = cluster().await;
    a.reach(&mut b, 1).await;
    a.peers.follow(Vec::new());
    b.peers.follow(Vec::new());
    assert!(a.peers.status().is_empty());
    a.peers.follow(a.config.clone());
    until("a stranger is refused", || b.peers.strangers_refused() > 0).await;
    b.peers.follow(b.config.clone());
    b.reach(&mut a, 3).await;
    a.reach(&mut b, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_left_is_answered_and_given_no_bytes() {
    let [a, mut b] = cluster().await;
    let other = b.id();
    let known = |standing| {
        let mut who = a.config.iter().find(|who| who.id == other).cloned();
        let who = who.as_mut().unwrap();
        who.standing = standing;
        who.address = None;
        vec![who.clone()]
    };
    a.peers.follow(known(Standing::Former));
    let id = a.put(b"ours");
    until("the node that has left calls", || {
        b.peers.connected().len() == 1
    })
    .await;
    let get = b.peers.get_blob(a.id(), id, Part::Whole).await;
    assert!(matches!(get, Err(GetBlobError::Call { .. })));
    // It says where it is, and nobody else does.
    a.reach(&mut b, 1).await;
    a.peers.follow(known(Standing::Member));
    until("a member is given bytes", || a.peers.connected().len() == 1).await;
    assert!(b.peers.get_blob(a.id(), id, Part::Whole).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lonely_node_hears_strangers_and_gives_them_nothing() {
    let ca = ca();
    let [(listener, address), (other, other_address)] = [listen().await, listen().await];
    let [me, stranger] = ["a", "b"].map(|name| identity(&ca, name));
    let knows_both = vec![
        member(me.node(), "a", &address),
        member(stranger.node(), "b", &other_address),
    ];
    let mut a = Node::start(listener, me, Vec::new());
    let mut b = Node::start(other, stranger, knows_both);
    let id = a.put(b"ours");
    until("a stranger is refused", || a.peers.strangers_refused() > 0).await;
    a.peers.hear_strangers(true);
    b.reach(&mut a, 1).await;
    // It called, so it is called back.
    a.reach(&mut b, 2).await;
    let get = b.peers.get_blob(a.id(), id, Part::Whole).await;
    assert!(matches!(get, Err(GetBlobError::Call { .. })));
    let mut client = a.intruder(&b.identity).await;
    let request = super::generated::BlocksRequest::default();
    let blocks = client.get_blocks(request).await;
    assert_eq!(blocks.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_peer_says_what_it_lacks_once_it_has_looked() {
    let [a, b] = cluster().await;
    let early = a.peers.inventory(b.id()).await;
    assert!(
        matches!(early, Err(InventoryError::Call(status)) if status.code() == Code::Unavailable)
    );
    let placement = ::blobs::Placement::new([a.id(), b.id()], 0);
    b.stock.begin_survey(&placement);
    for n in 0..1200_u32 {
        let blob = BlobId::of(&[&n.to_be_bytes()]);
        b.stock.misses(catalogue::Named { blob, size: 7 });
    }
    let voters = model::MembershipHash([5; 32]);
    let names = crate::stock::Names::new(voters, placement, model::Height(9));
    b.stock.end_survey(names);
    let said = a.peers.inventory(b.id()).await.unwrap();
    assert_eq!(Some(&said), b.stock.inventory().as_ref());
    assert_eq!((said.missing.blobs, said.missing.bytes), (1200, 8400));
    assert!(said.listed.len() == 1000 && !said.lists_all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_travel_both_ways() {
    let [a, b] = cluster().await;
    for size in [0, 1, 256 << 10, (256 << 10) + 1, 50_000_000] {
        let bytes = noise(size);
        let id = a.put(&bytes);
        assert_eq!(a.peers.has_blobs(b.id(), &[id]).await.unwrap(), [false]);
        let get = a.peers.get_blob(b.id(), id, Part::Whole).await;
        assert!(matches!(get, Err(GetBlobError::Absent(_))));

        let path = a.store.path(id);
        let put = a.peers.put_blob(b.id(), id, size as u64, &path).await;
        put.unwrap();
        assert_eq!(b.store.verify(id).unwrap(), Verdict::Sound);
        assert_eq!(a.peers.has_blobs(b.id(), &[id]).await.unwrap(), [true]);

        fs::remove_file(a.store.path(id)).unwrap();
        let blob = a.peers.get_blob(b.id(), id, Part::Whole).await.unwrap();
        assert_eq!(blob.size(), size as u64);
        assert!(collect(blob).await.unwrap() == bytes);
        a.peers.fetch_blob(b.id(), id).await.unwrap();
        assert_eq!(a.store.verify(id).unwrap(), Verdict::Sound);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_blob_is_given() {
    let [a, b] = cluster().await;
    let bytes = noise(600_000);
    let id = b.put(&bytes);
    for (offset, length, expected) in [
        (0, 10, &bytes[..10]),
        (1000, 500_000, &bytes[1000..501_000]),
        (599_999, 10, &bytes[599_999..]),
        (600_000, 10, &[]),
        (u64::from(u32::MAX), 10, &[]),
    ] {
        let part = Part::Range { offset, length };
        let blob = a.peers.get_blob(b.id(), id, part).await.unwrap();
        assert_eq!(blob.size(), 600_000);
        assert!(collect(blob).await.unwrap() == expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_blob_is_not_given_and_moved_aside() {
    let [a, b] = cluster().await;
    let mut bytes = noise(600_000);
    let id = b.put(&bytes);
    bytes[0] ^= 1;
    fs::write(b.store.path(id), &bytes).unwrap();
    let fetched = a.peers.fetch_blob(b.id(), id).await;
    assert!(matches!(
        fetched,
        Err(FetchBlobError::Get(GetBlobError::Damaged(_)))
    ));
    assert!(!a.store.has(id).unwrap());
    assert!(!b.store.has(id).unwrap());
    let aside = b.folder.path().join("quarantine").join(id.to_string());
    assert_eq!(fs::read(aside).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let [a, b] = cluster().await;
    let (path, id) = (a.folder.path().join("file"), BlobId::of(&[b"promised"]));
    for (content, size) in [(&b"deliverd"[..], 8), (b"promised", 9), (b"promised", 7)] {
        fs::write(&path, content).unwrap();
        let put = a.peers.put_blob(b.id(), id, size, &path).await;
        assert!(matches!(put, Err(PutBlobError::Refused { .. })), "{put:?}");
    }
    fs::write(&path, noise(20_000_000)).unwrap();
    let put = a.peers.put_blob(b.id(), id, 8, &path).await;
    assert!(matches!(put, Err(PutBlobError::Refused { .. })), "{put:?}");
    assert!(!b.store.has(id).unwrap());
    assert_eq!(b.peers.status()[0].refused, 4);

    let put = a.peers.put_blob(b.id(), id, 8, &path.join("absent")).await;
    assert!(matches!(put, Err(PutBlobError::Read { .. })));
    let put = a.peers.put_blob(NodeId([0; 32]), id, 8, &path).await;
    assert!(matches!(put, Err(PutBlobError::UnknownPeer(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_break_the_rules_are_refused() {
    let [a, b] = cluster().await;
    let mut client = a.intruder(&b.identity).await;
    let data = |size| BlobChunk {
        head: None,
        data: vec![0; size].into(),
    };
    let (id, size) = (BlobId([1; 32]), 1 << 20);
    let head = wire::head_chunk(CHAIN, wire::Head { id, size });
    for chunks in [
        vec![],
        vec![data(10)],
        vec![head, data(wire::CHUNK_BYTES_MAX + 1)],
    ] {
        let status = client.put_blob(stream::iter(chunks)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let many = vec![id; wire::QUERY_MAX + 1];
    let status = client.has_blobs(wire::query(CHAIN, &many)).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(a.peers.status()[0].refused, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_stops_the_sender() {
    let [a, b] = cluster().await;
    let bytes = noise(20_000_000);
    let id = b.put(&bytes);
    let blob = a.peers.get_blob(b.id(), id, Part::Whole).await.unwrap();
    let mut slow = Box::pin(blob.into_chunks());
    let first = slow.next().await.unwrap().unwrap();
    a.peers.fetch_blob(b.id(), id).await.unwrap();
    let rest: Vec<Bytes> = slow.try_collect().await.unwrap();
    assert!([&first[..], &rest.concat()].concat() == bytes);
}
