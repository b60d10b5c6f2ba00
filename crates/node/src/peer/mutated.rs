//! What a peer may put into the body of a call: bodies mutated as fuzzers do it, read by the code of a call, without
//! its sockets. A body is a sequence of frames of gRPC: a byte, four bytes of length, a protobuf.

use std::sync::{Arc, Mutex};

use ::blobs::Store;
use bytes::Bytes;
use consensus::Message;
use futures::TryStreamExt as _;
use fuzzing::mutate::Mutator;
use http_body_util::Full;
use model::{BlobId, ChainId, Encode as _, NodeId};
use prost::Message as Protobuf;
use tempfile::TempDir;
use tonic::Streaming;
use tonic::codec::Codec as _;
use tonic_prost::ProstCodec;

use super::generated::{BlobChunk, BlobQuery, BlobRequest, Frame};
use super::inbox::{self, Interruption};
use super::storage::{Denied, Storage};
use super::wire::{self, Head};
use crate::pictures::Pictures;
use crate::stock::Stock;

const CHAIN: ChainId = ChainId([7; 16]);
const PEER: NodeId = NodeId([1; 32]);

/// Protobufs as the body of a call.
fn body<T: Protobuf>(frames: &[T]) -> Vec<u8> {
    let mut body = Vec::new();
    for frame in frames {
        let bytes = frame.encode_to_vec();
        let length = u32::try_from(bytes.len()).unwrap();
        body.push(0);
        body.extend(length.to_be_bytes());
        body.extend(bytes);
    }
    body
}

/// The body of a call as a handler gets it.
fn call<T: Protobuf + Default + 'static>(body: &[u8]) -> Streaming<T> {
    let decoder = ProstCodec::<T, T>::default().decoder();
    let body = Full::new(Bytes::copy_from_slice(body));
    Streaming::new_request(decoder, body, None, Some(wire::FRAME_BYTES_MAX))
}

/// So many mutations of `inputs`, each with the input it was.
fn mutations(inputs: &[Vec<u8>], count: usize) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    let mut mutator = Mutator::new(count as u64);
    inputs.iter().cycle().take(count).map(move |input| {
        let other = inputs.get(mutator.below(inputs.len())).unwrap();
        let mut mutated = input.clone();
        mutator.mutate(&mut mutated, other);
        (input.as_slice(), mutated)
    })
}

/// The inputs as they are, in the same form.
fn unchanged(inputs: &[Vec<u8>]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    inputs.iter().map(|input| (input.as_slice(), input.clone()))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn frame(messages: Vec<Vec<u8>>) -> Frame {
    Frame {
        chain_id: wire::chain_bytes(CHAIN),
        messages: messages.into_iter().map(Bytes::from).collect(),
    }
}

/// What is handed on of a body, and how the stream ended.
async fn deliver(body: &[u8]) -> (Vec<Message>, Result<(), Interruption>) {
    let inbound = Arc::new(Mutex::new(Vec::new()));
    let sink = inbound.clone();
    let take = move |_: NodeId, message: Message| sink.lock().unwrap().push(message);
    let ended = inbox::receive(call(body), CHAIN, PEER, &take, &|_| ()).await;
    let taken = std::mem::take(&mut *inbound.lock().unwrap());
    (taken, ended)
}

#[tokio::test]
async fn any_body_of_messages_is_handed_on_or_refused() {
    let seeds = fuzzing::codec::message_seeds();
    let messages: Vec<Vec<u8>> = seeds.into_iter().map(|seed| seed.bytes).collect();
    let frames: Vec<Frame> = messages
        .iter()
        .map(|one| frame(vec![one.clone()]))
        .collect();
    let mut bodies: Vec<Vec<u8>> = frames
        .iter()
        .map(|one| body(std::slice::from_ref(one)))
        .collect();
    bodies.push(body(&frames));
    bodies.push(body(&[frame(messages.clone())]));
    for body in &bodies {
        let (taken, ended) = deliver(body).await;
        assert!(ended.is_ok() && !taken.is_empty());
    }
    let (mut whole, mut refused) = (0, 0);
    for (_, body) in mutations(&bodies, 4_000) {
        let (taken, ended) = deliver(&body).await;
        for message in taken {
            let handed_on = message.to_bytes();
            assert!(contains(&body, &handed_on), "{message:?} was never sent");
            assert!(contains(&body, CHAIN.as_bytes()), "of which chain?");
        }
        match ended {
            Ok(()) => whole += 1,
            Err(Interruption::Refused(_)) => refused += 1,
            Err(Interruption::Broken(status)) => panic!("no connection broke: {status}"),
        }
    }
    assert!(whole > 100 && refused > 100, "{whole} and {refused}");
}

struct Shelf {
    _folder: TempDir,
    store: Store,
    storage: Storage,
}

impl Shelf {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let pictures = Pictures::new(store.clone(), Vec::new(), folder.path().join("decoding"));
        let shelf = crate::snapshots::Shelf::of(folder.path());
        Self {
            _folder: folder,
            storage: Storage::new(store.clone(), Stock::default(), pictures, shelf, CHAIN),
            store,
        }
    }
}

/// A blob in chunks, as an upload.
fn upload(chunks: &[&'static [u8]]) -> (BlobId, Vec<u8>) {
    let id = BlobId::of(chunks);
    let size = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let head = wire::head_chunk(CHAIN, Head { id, size });
    let data = chunks
        .iter()
        .map(|&chunk| wire::data_chunk(Bytes::from_static(chunk)));
    let frames: Vec<BlobChunk> = [head].into_iter().chain(data).collect();
    (id, body(&frames))
}

#[tokio::test]
async fn any_body_of_a_blob_is_the_blob_or_is_not_kept() {
    let (ids, bodies): (Vec<BlobId>, Vec<Vec<u8>>) = [
        upload(&[]),
        upload(&[b"small"]),
        upload(&[b"in two", b" chunks"]),
    ]
    .into_iter()
    .unzip();
    let mut kept = 0;
    for (original, body) in unchanged(&bodies).chain(mutations(&bodies, 600)) {
        let shelf = Shelf::new();
        let answer = shelf.storage.put(call::<BlobChunk>(&body)).await;
        let at = bodies.iter().position(|body| body == original).unwrap();
        let present: Vec<bool> = ids.iter().map(|id| shelf.store.has(*id).unwrap()).collect();
        let count = present.iter().filter(|present| **present).count();
        match answer {
            Ok(receipt) => {
                assert!(receipt.durable);
                assert_eq!(count, 1, "a mutation of {at} is one of the blobs");
                kept += 1;
            }
            Err(Denied::Refused(_) | Denied::Failed(_)) => assert_eq!(count, 0, "of {at}"),
        }
    }
    assert!(kept >= bodies.len(), "{kept}");
}

#[tokio::test]
async fn any_request_for_a_blob_gets_its_bytes_or_a_refusal() {
    const BLOB: &[u8] = b"the bytes of a blob";
    let shelf = Shelf::new();
    let (id, body) = upload(&[BLOB]);
    assert!(shelf.storage.put(call::<BlobChunk>(&body)).await.is_ok());
    let parts = [
        (0, None),
        (4, None),
        (4, Some(5)),
        (BLOB.len() as u64, Some(1)),
        (u64::MAX, None),
    ];
    let requests: Vec<Vec<u8>> = parts
        .into_iter()
        .map(|(offset, length)| wire::request(CHAIN, id, offset, length).encode_to_vec())
        .collect();
    let mut answered = 0;
    for (_, bytes) in unchanged(&requests).chain(mutations(&requests, 2_000)) {
        let Ok(request) = BlobRequest::decode(bytes.as_slice()) else {
            continue;
        };
        let (offset, length) = (request.offset_bytes, request.length_bytes);
        match shelf.storage.get(request).await {
            Ok(chunks) => {
                let chunks: Vec<BlobChunk> = chunks.try_collect().await.unwrap();
                let data: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.data.clone()).collect();
                let skipped = BLOB.iter().skip(usize::try_from(offset).unwrap());
                let length = length.map_or(usize::MAX, |length| usize::try_from(length).unwrap());
                assert!(skipped.take(length).eq(&data), "{offset}, {length}");
                answered += 1;
            }
            Err(Denied::Refused(_)) => {}
            Err(Denied::Failed(status)) => {
                assert_eq!(status.code(), tonic::Code::NotFound, "{offset}: {status}");
            }
        }
    }
    assert!(answered > requests.len(), "{answered}");
}

#[tokio::test]
async fn any_question_for_blobs_gets_an_answer_each_or_a_refusal() {
    let shelf = Shelf::new();
    let (id, body) = upload(&[b"here"]);
    assert!(shelf.storage.put(call::<BlobChunk>(&body)).await.is_ok());
    let other = BlobId([9; 32]);
    let queries = [
        wire::query(CHAIN, &[]),
        wire::query(CHAIN, &[id, other, id]),
    ];
    let queries: Vec<Vec<u8>> = queries.iter().map(Protobuf::encode_to_vec).collect();
    let mut answered = 0;
    for (_, bytes) in mutations(&queries, 2_000) {
        let Ok(query) = BlobQuery::decode(bytes.as_slice()) else {
            continue;
        };
        let asked: Vec<bool> = query
            .blob_ids
            .iter()
            .map(|asked| asked.iter().eq(id.as_bytes()))
            .collect();
        match shelf.storage.has(query).await {
            Ok(answer) => {
                assert_eq!(answer.present, asked);
                answered += 1;
            }
            Err(Denied::Refused(_)) => {}
            Err(Denied::Failed(status)) => panic!("the disk is well: {status}"),
        }
    }
    assert!(answered > 20, "{answered}");
}
