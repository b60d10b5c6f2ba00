//! A peer of the first version of the wire, kept as it was: what it said then is understood today.
//!
//! `tests/fixtures/peer-v1/` holds one message of every kind as that version wrote it. They are never made anew; a later
//! version gets a folder of its own beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use consensus::Message;
use futures::stream;
use model::{Decode as _, Encode as _};
use prost::Message as Protobuf;

use super::super::generated::{Admission, BlobRequest, Frame, Invited, Wish};
use super::{Node, cluster, frame};

fn recorded() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peer-v1");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            (name, fs::read(file.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn what_was_said_then_is_said_the_same_way_today() {
    let mut kinds = BTreeSet::new();
    for (name, bytes) in recorded() {
        let message = Message::from_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(message.to_bytes(), bytes, "{name}");
        kinds.insert(bytes[0]);
    }
    assert_eq!(kinds, (1..=18).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_then_is_taken_and_what_is_newer_is_passed_over() {
    let [mut node, old, _]: [Node; 3] = cluster().await;
    let newer = Bytes::from_static(b"\xc8a kind of message that is not made yet");
    let mut said: Vec<Bytes> = recorded()
        .into_iter()
        .map(|(_, bytes)| bytes.into())
        .collect();
    let frames = vec![
        frame(said.clone()),
        frame([newer.clone()]),
        frame([said[0].clone(), newer, said[1].clone()]),
    ];
    let mut client = node.intruder(&old.identity).await;
    client.deliver(stream::iter(frames)).await.unwrap();
    said.extend_from_within(..2);
    for bytes in said {
        let (from, message) = node.receive().await;
        assert_eq!((from, Bytes::from(message.to_bytes())), (old.id(), bytes));
    }
    let status = node.peers.status();
    let refused = status
        .iter()
        .find(|peer| peer.id == old.id())
        .unwrap()
        .refused;
    assert_eq!(refused, 2, "it is counted, and the link lives on");
}

/// Bytes as hexadecimal digits; a digit pair behind `*` is repeated so many times.
fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, times) = word.split_once('*').unwrap_or((word, "1"));
        let one: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        bytes.extend(one.repeat(times.parse().unwrap()));
    }
    bytes
}

#[track_caller]
fn same<T: Protobuf + Default + PartialEq + std::fmt::Debug>(value: &T, bytes: &str) {
    assert_eq!(value.encode_to_vec(), hex(bytes));
    assert_eq!(&T::decode(&*hex(bytes)).unwrap(), value);
}

#[test]
fn calls_have_the_bytes_that_they_had_then() {
    let chain_id = Bytes::from_static(&[7; 16]);
    same(
        &Frame {
            chain_id: chain_id.clone(),
            messages: vec![Bytes::from_static(b"\xaa")],
        },
        "0a10 07*16 1201aa",
    );
    let invited = Invited {
        chain_id: chain_id.clone(),
        invite_id: Bytes::from_static(&[2; 8]),
        secret: "s".to_owned(),
    };
    same(&invited, "0a10 07*16 1208 02*8 1a0173");
    let wish = Wish {
        invited: Some(invited),
        name: "n4".to_owned(),
        peer_address: "h:1".to_owned(),
        url: "u".to_owned(),
    };
    same(
        &wish,
        "0a1f 0a10 07*16 1208 02*8 1a0173 12026e34 1a03683a31 220175",
    );
    same(&Admission { height: 300 }, "08ac02");
    let request = BlobRequest {
        chain_id,
        blob_id: Bytes::from_static(&[9; 32]),
        offset_bytes: 5,
        length_bytes: Some(0),
    };
    same(&request, "0a10 07*16 1220 09*32 1805 2000");
    // What a newer peer adds to a call is passed over.
    let newer = hex("08ac02 7a03010203");
    assert_eq!(Admission::decode(&*newer).unwrap().height, 300);
}
