//! The table "What bad input gets" of the product's contract, a test for each row.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Answer, Api};
use crate::harness::{Cluster, run, stderr, until};

/// Resident memory of a node's process while hostile pictures are looked at, in bytes.
const MEMORY_MAX: u64 = 700 << 20;

async fn add(api: &Api, name: &str, bytes: &[u8]) -> Value {
    api.upload(name, bytes, &json!({}))
        .await
        .expect(201, "")
        .json()
}

async fn patch(api: &Api, id: &str, change: &Value) -> Answer {
    let request = api
        .request(Method::PATCH, &format!("/files/{id}"))
        .header("if-match", "*")
        .json(change);
    api.send(request).await
}

fn pointers(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    let pointer = |error: &Value| error["pointer"].as_str().unwrap_or_default().to_owned();
    errors.iter().map(pointer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_learn_nothing() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let file = add(&api, "private.txt", b"private").await;
    let existing = format!("/files/{}", file["id"].as_str().expect("an id"));
    let missing = format!("/files/{}", "00".repeat(32));
    for stranger in [api.with_token(""), api.with_token("stl_0011223344556677_x")] {
        let answers = [
            stranger.get(&existing).await,
            stranger.get(&missing).await,
            stranger.get("/no/such/path").await,
            stranger.get("/files?limit=nonsense").await,
            stranger.post("/records", &json!({})).await,
        ];
        let first = answers[0].clone().expect(401, "unauthenticated").json();
        for answer in answers {
            assert_eq!(answer.expect(401, "unauthenticated").json(), first);
        }
    }
    let reader = api.with_token(&api.create_token("read").await);
    reader.get(&existing).await.expect(200, "");
    reader
        .append_raw("x", None)
        .await
        .expect("an answer")
        .expect(403, "forbidden");
    patch(&reader, &"00".repeat(32), &json!({"rating": 99}))
        .await
        .expect(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_names_its_place() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let id = add(&api, "a.txt", b"a").await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let broken = api
        .request(Method::PATCH, &format!("/files/{id}"))
        .header("if-match", "*")
        .header("content-type", "application/json")
        .body("{\"rating\": ");
    api.send(broken).await.expect(400, "invalid_json");
    for (change, pointer) in [
        (json!({"colour": "blue"}), "/colour"),
        (json!({"rating": "five"}), "/rating"),
        (json!({"rating": 6}), "/rating"),
        (json!({"tags": ["fine", 7]}), "/tags/1"),
        (json!({"place": {"lat": 91, "lon": 0}}), "/place/lat"),
    ] {
        let answer = patch(&api, &id, &change).await.expect(400, "invalid_body");
        assert_eq!(pointers(&answer), [pointer], "{change}");
    }
    api.get("/files?colour=blue")
        .await
        .expect(400, "invalid_parameter");
    api.get("/files?q=rating:six")
        .await
        .expect(400, "invalid_query");
}

/// A body over the limit is refused before it is read to its end: here it is announced and never sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_unread() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let limit = api.get("/limits").await.json()["recordBytes"]
        .as_u64()
        .expect("a limit");
    let exact = "x".repeat(usize::try_from(limit).expect("small"));
    api.append(&exact, None)
        .await
        .expect("the limit itself is fine");
    for (path, announced) in [
        ("/records", limit + 1),
        ("/records", 1 << 40),
        ("/files", 1 << 50),
    ] {
        let status = announce(&cluster, path, announced);
        assert!(
            status.starts_with("HTTP/1.1 413"),
            "{path} {announced}: {status}"
        );
    }
}

/// Announces a body, sends none of it, and gives the first line of the answer.
fn announce(cluster: &Cluster, path: &str, length: u64) -> String {
    let address = cluster.node(0).url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    let token = cluster.token();
    let head = format!(
        "POST /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = [0; 64];
    let count = stream.read(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_cannot_be_decoded_is_kept() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10];
    bytes.extend(b"JFIF\0 and then nothing that a camera ever wrote");
    let file = add(&api, "broken.jpg", &bytes).await;
    assert_eq!(
        (&file["mediaType"], &file["undecodable"]),
        (&json!("image/jpeg"), &json!(true))
    );
    let id = file["id"].as_str().expect("an id");
    let content = api.get(&format!("/files/{id}/content")).await;
    assert_eq!(content.expect(200, "").bytes, bytes);
    api.get(&format!("/files/{id}/thumbnail?size=256"))
        .await
        .expect(404, "no_thumbnail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_costs_neither_memory_nor_the_node() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    for (name, bytes) in [
        ("huge.png", png_of(60_000, 60_000)),
        ("absurd.png", png_of(u32::MAX, u32::MAX)),
        ("exif.jpg", jpeg_with_hostile_exif()),
    ] {
        let file = add(&api, name, &bytes).await;
        let marked = file["undecodable"] == true || file["notes"][0].is_string();
        assert!(marked, "{name}: {file}");
        assert_eq!(file["takenAt"], Value::Null, "never \"today\"");
    }
    let memory = cluster.peak_memory(0);
    assert!(memory < MEMORY_MAX, "{memory} bytes resident at the peak");
    api.append("still here", None)
        .await
        .expect("the node lives");
}

/// A PNG that claims to be large and has next to nothing in it.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    // zlib: stored blocks, the last one empty.
    for chunk in [
        &header[..],
        b"IDAT\x78\x01\x01\x00\x00\xff\xff\x00\x00\x00\x01",
        b"IEND",
    ] {
        let length = u32::try_from(chunk.len() - 4).expect("small");
        png.extend(length.to_be_bytes());
        png.extend(chunk);
        png.extend(crc32(chunk).to_be_bytes());
    }
    png
}

/// As PNG has it (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0xedb8_8320
        } else {
            crc >> 1
        }
    };
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    });
    !crc
}

/// A JPEG whose EXIF says 0000-00-00, claims four thousand million entries and points to itself.
fn jpeg_with_hostile_exif() -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0".to_vec();
    tiff.extend([2, 0]);
    tiff.extend([0x32, 0x01, 2, 0, 20, 0, 0, 0, 38, 0, 0, 0]);
    tiff.extend([0x69, 0x87, 4, 0, 0xff, 0xff, 0xff, 0xff, 8, 0, 0, 0]);
    tiff.extend([8, 0, 0, 0]);
    tiff.extend(b"0000:00:00 00:00:00\0");
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe1];
    let length = u16::try_from(tiff.len() + 8).expect("small");
    jpeg.extend(length.to_be_bytes());
    jpeg.extend(b"Exif\0\0");
    jpeg.extend(tiff);
    jpeg.extend([0xff, 0xd9]);
    jpeg
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_mean_nothing_are_refused() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let file = add(&api, "a.txt", b"a").await;
    let id = file["id"].as_str().expect("an id");
    for change in [
        json!({"takenAt": {"local": "0000-00-00T00:00:00"}}),
        json!({"takenAt": {"local": "2021-02-30T10:00:00"}}),
        json!({"takenAt": "yesterday"}),
        json!({"place": {"lat": "NaN", "lon": 0}}),
        json!({"place": {"lat": 1e300, "lon": 0}}),
        json!({"tags": ["x".repeat(100 << 10)]}),
        json!({"tags": [""]}),
        json!({"tags": ["a//b"]}),
        json!({"name": ""}),
    ] {
        patch(&api, id, &change).await.expect(400, "invalid_body");
    }
    let nan = api
        .request(Method::PATCH, &format!("/files/{id}"))
        .header("if-match", "*")
        .header("content-type", "application/json")
        .body("{\"place\": {\"lat\": NaN, \"lon\": 0}}");
    api.send(nan).await.expect(400, "invalid_json");
    let unchanged = api
        .get(&format!("/files/{id}"))
        .await
        .expect(200, "")
        .json();
    assert_eq!(unchanged["version"], file["version"]);

    let no_precondition = api.request(Method::PATCH, &format!("/files/{id}"));
    let answer = api.send(no_precondition.json(&json!({"rating": 1}))).await;
    answer.expect(428, "precondition_required");
    let stale = api
        .request(Method::PATCH, &format!("/files/{id}"))
        .header("if-match", "\"v99\"");
    let answer = api.send(stale.json(&json!({"rating": 1}))).await;
    answer.expect(412, "stale_version");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_text_and_never_a_path() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let names = [
        "../../../etc/passwd",
        "/etc/passwd",
        "gpj.\u{202e}exe",
        "..",
        "CON",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let bytes = format!("file {number}");
        let file = add(&api, name, bytes.as_bytes()).await;
        assert_eq!(file["name"], name);
        let id = file["id"].as_str().expect("an id");
        let content = api.get(&format!("/files/{id}/content?download=1")).await;
        let content = content.expect(200, "");
        assert_eq!(content.bytes, bytes.as_bytes());
        let disposition = content.header("content-disposition");
        assert!(disposition.starts_with("attachment"), "{disposition}");
        assert_eq!(content.header("x-content-type-options"), "nosniff");
    }
    let renamed = add(&api, "plain.txt", b"renamed").await;
    let id = renamed["id"].as_str().expect("an id");
    let name = "a\u{1b}[2Jb\u{7}";
    patch(&api, id, &json!({ "name": name }))
        .await
        .expect(200, "");
    let output = run(cluster.client(["search", "--limit", "100"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(shown.contains("../../../etc/passwd"), "{shown}");
    assert!(
        shown.contains("a\\u{1b}[2Jb\\u{7}") && shown.contains("gpj.\\u{202e}exe"),
        "{shown}"
    );
    assert!(
        !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_on_the_peers_port_are_refused() {
    let cluster = Cluster::start(3).await;
    let address = cluster.node(0).peer_address().to_owned();
    for number in 0..50_u8 {
        let mut stranger = TcpStream::connect(&address).expect("connected");
        stranger
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("set");
        let garbage = vec![number.wrapping_mul(37); 4096];
        // The node may hang up at any byte.
        let _ = stranger.write_all(&garbage);
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
        assert!(
            answer.len() < 1024,
            "a stranger is told {} bytes",
            answer.len()
        );
    }
    let api = cluster.api(0);
    until("the cluster takes writes", async || {
        api.append("on", None).await.ok()
    })
    .await;
    let log = std::fs::read_to_string(cluster.node(0).log()).expect("a log");
    assert!(!log.contains("panicked"), "{log}");
    let warnings = log.lines().filter(|line| line.contains("WARN")).count();
    assert!(warnings < 25, "{warnings} warnings about 50 strangers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_is_a_stranger() {
    let mut one = Cluster::start(3).await;
    let other = Cluster::create(1);
    let key = |cluster: &Cluster| cluster.node(0).folder().join("identity");
    one.kill(0);
    for file in std::fs::read_dir(key(&other)).expect("an identity") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), key(&one).join(file.file_name())).expect("copied");
    }
    one.spawn(0);
    let code = one.ended(0).await;
    assert_eq!(code, Some(7), "a ledger of another chain is refused");
    one.api(1)
        .append("the others go on", None)
        .await
        .expect("appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_writes_are_refused_in_time_and_reads_are_not() {
    let mut cluster = Cluster::start(3).await;
    let file = add(&cluster.api(0), "a.txt", b"a").await;
    cluster.until_heads_equal().await;
    cluster.kill(1);
    cluster.kill(2);
    let alone = cluster.api(0).waiting(1);
    let refused = until("the node knows that it is alone", async || {
        let answer = alone.append_raw("x", None).await.expect("an answer");
        (answer.code() == "no_quorum").then_some(answer)
    })
    .await;
    assert_eq!(refused.status, 503);
    assert!(!refused.header("retry-after").is_empty());
    let id = file["id"].as_str().expect("an id");
    alone.get(&format!("/files/{id}")).await.expect(200, "");
    alone
        .get(&format!("/files/{id}/content"))
        .await
        .expect(200, "");
    // What a node shows of itself, and asks before it takes an upload, is a moment older than what it knows.
    until("the node shows that it is alone", async || {
        let cluster_view = alone.get("/cluster").await.expect(200, "").json();
        (cluster_view["hasQuorum"] == false).then_some(())
    })
    .await;
    alone
        .upload("b.txt", b"b", &json!({}))
        .await
        .expect(503, "no_quorum");
    assert!(alone.is_ready().await, "ready means that reads are served");
}
