//! Uploads that are interrupted: by the network, by nodes that die, by clients that come back elsewhere.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use sha2::{Digest as _, Sha256};

use crate::api::{Answer, Api};
use crate::harness::{Cluster, Setup, json_lines, run, stderr, succeed, until};
use crate::proxy::Link;

const MIB: usize = 1 << 20;

/// Bytes that no two parts of have the same.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = std::iter::repeat_with(|| next().to_le_bytes());
    words.flatten().take(length).collect()
}

fn name_of(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tus(api: &Api, method: Method, path: &str) -> RequestBuilder {
    api.request(method, path).header("tus-resumable", "1.0.0")
}

async fn begin(api: &Api, length: usize) -> String {
    let request = tus(api, Method::POST, "/uploads")
        .header("upload-length", length)
        .header("upload-metadata", "filename ZmlsbS5tcDQ=,owner bWU=");
    let begun = api.send(request).await.expect(201, "");
    let location = begun.header("location");
    location.strip_prefix("/api/v1").expect("a path").to_owned()
}

fn patch(api: &Api, item: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
    tus(api, Method::PATCH, item)
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream")
        .body(bytes.to_vec())
}

async fn standing(api: &Api, item: &str) -> Answer {
    let answer = api.send(tus(api, Method::HEAD, item)).await;
    answer.expect(200, "")
}

#[tokio::test]
async fn an_upload_goes_on_at_another_node_when_its_own_is_killed() {
    let mut cluster = Cluster::start(3).await;
    let bytes = noise(20 * MIB, 7);
    let (first, second) = (cluster.api(0), cluster.api(1));
    let item = begin(&first, bytes.len()).await;
    let sent = patch(&first, &item, 0, &bytes[..9 * MIB]);
    let sent = first.send(sent).await.expect(204, "");
    assert_eq!(sent.header("upload-offset"), (9 * MIB).to_string());
    cluster.kill(0);

    let seen = until("another node knows how far it is", async || {
        let seen = second.send(tus(&second, Method::HEAD, &item)).await;
        seen.success()
            .filter(|seen| seen.header("upload-offset") != "0")
    })
    .await;
    assert_eq!(seen.header("upload-offset"), (9 * MIB).to_string());
    assert_eq!(seen.header("upload-length"), bytes.len().to_string());
    assert_eq!(
        seen.header("upload-metadata"),
        "filename ZmlsbS5tcDQ=,owner bWU="
    );
    let sent = patch(&second, &item, 9 * MIB, &bytes[9 * MIB..]);
    let done = second.send(sent).await.expect(204, "");
    assert_eq!(done.header("starling-file"), name_of(&bytes));

    let third = cluster.api(2);
    let path = format!("/files/{}", name_of(&bytes));
    let file = until("the third node has it", async || {
        third.get(&path).await.success()
    })
    .await;
    assert_eq!(file.json()["name"], "film.mp4");
    let content = third.get(&format!("{path}/content")).await.expect(200, "");
    assert!(content.bytes == bytes, "the bytes are the ones sent");
    let seen = standing(&third, &item).await;
    assert_eq!(seen.header("starling-file"), name_of(&bytes));
}

#[tokio::test]
async fn what_tus_asks_of_a_server_is_so() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let offered = api.send(api.request(Method::OPTIONS, "/uploads")).await;
    let offered = offered.expect(204, "");
    assert_eq!(offered.header("tus-version"), "1.0.0");
    assert!(offered.header("tus-extension").contains("checksum"));

    let old = api
        .request(Method::POST, "/uploads")
        .header("upload-length", 1);
    api.send(old).await.expect(412, "tus_version");
    let unsaid = tus(&api, Method::POST, "/uploads");
    api.send(unsaid).await.expect(400, "invalid_header");
    let huge = tus(&api, Method::POST, "/uploads").header("upload-length", u64::MAX);
    api.send(huge).await.expect(413, "too_large");

    let item = begin(&api, 6).await;
    api.send(patch(&api, &item, 3, b"def"))
        .await
        .expect(409, "offset_mismatch");
    api.send(patch(&api, &item, 0, b"abcdefg"))
        .await
        .expect(413, "too_large");
    let unnamed = tus(&api, Method::PATCH, &item)
        .header("upload-offset", 0)
        .body("abc");
    api.send(unnamed)
        .await
        .expect(415, "unsupported_media_type");
    let wrong = patch(&api, &item, 0, b"abc").header("upload-checksum", "sha1 AAAA");
    api.send(wrong).await.expect(460, "checksum_mismatch");
    assert_eq!(standing(&api, &item).await.header("upload-offset"), "0");
    let right = "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
    let right = patch(&api, &item, 0, b"abc").header("upload-checksum", right);
    assert_eq!(
        api.send(right)
            .await
            .expect(204, "")
            .header("upload-offset"),
        "3"
    );
    let overridden = patch(&api, &item, 3, b"def").build().expect("a request");
    let headers = overridden.headers().clone();
    let posted = api
        .request(Method::POST, &item)
        .headers(headers)
        .header("x-http-method-override", "PATCH")
        .body("def");
    let done = api.send(posted).await.expect(204, "");
    assert_eq!(done.header("starling-file"), name_of(b"abcdef"));

    let whole = tus(&api, Method::POST, "/uploads")
        .header("upload-length", 3)
        .header("content-type", "application/offset+octet-stream")
        .body("xyz");
    let whole = api.send(whole).await.expect(201, "");
    assert_eq!(whole.header("starling-file"), name_of(b"xyz"));
    let empty = tus(&api, Method::POST, "/uploads").header("upload-length", 0);
    let empty = api.send(empty).await.expect(201, "");
    assert_eq!(empty.header("starling-file"), name_of(b""));

    let item = begin(&api, 6).await;
    let stranger = api.with_token(&api.create_token("write").await);
    let hidden = stranger.send(tus(&stranger, Method::HEAD, &item)).await;
    assert_eq!(hidden.status, 404, "an upload is its token's alone");
    api.send(tus(&api, Method::DELETE, &item))
        .await
        .expect(204, "");
    let gone = api.send(patch(&api, &item, 0, b"abc")).await;
    gone.expect(404, "not_found");
}

#[tokio::test]
async fn what_came_before_a_connection_broke_is_kept() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let bytes = noise(3 * MIB, 3);
    let item = begin(&api, bytes.len()).await;
    let half = bytes::Bytes::copy_from_slice(&bytes[..MIB]);
    // It promises more than it brings, and hangs.
    let body = futures::stream::once(async { Ok::<_, std::io::Error>(half) });
    let body = futures::StreamExt::chain(body, futures::stream::pending());
    let request = patch(&api, &item, 0, b"").body(reqwest::Body::wrap_stream(body));
    let hanging = tokio::spawn(request.send());

    until("the node has read them", async || {
        let numbers = String::from_utf8(api.page("/metrics").await.bytes).expect("text");
        let read = numbers
            .lines()
            .find_map(|line| line.strip_prefix("starling_upload_bytes_total "))?
            .parse::<f64>()
            .ok()?;
        (read >= MIB as f64).then_some(())
    })
    .await;
    // Whoever asks how far it is takes the upload over from the connection that hangs.
    let arrived = standing(&api, &item).await;
    assert_eq!(arrived.header("upload-offset"), MIB.to_string());
    let done = api.send(patch(&api, &item, MIB, &bytes[MIB..])).await;
    let done = done.expect(204, "");
    assert_eq!(done.header("starling-file"), name_of(&bytes));
    hanging.abort();
}

#[tokio::test]
async fn a_client_that_is_not_ours_uploads_through_all_nodes_in_turn() {
    let Some(library) = installed("tuspy") else {
        return;
    };
    let cluster = Cluster::start(3).await;
    let path = cluster.scratch().join("noise");
    let bytes = noise(20 * MIB, 11);
    std::fs::write(&path, &bytes).expect("room for a file");
    let mut command = Command::new("python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tus_client.py");
    command.arg(script).arg(&path).arg(cluster.token());
    command.env("PYTHONPATH", library).env("NO_PROXY", "*");
    command.args((0..3).map(|node| format!("http://{}", cluster.node(node).http_address())));
    let told = succeed(command);
    assert_eq!(told.trim(), name_of(&bytes));
    let api = cluster.api(2);
    let file = until("every node has it", async || {
        api.get(&format!("/files/{}", name_of(&bytes)))
            .await
            .success()
    });
    assert_eq!(file.await.json()["name"], "from tuspy.bin");
}

/// Where something from a registry is, or nothing and a loud word.
fn installed(what: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../emulators");
    let folder = std::env::var_os("STARLING_EMULATORS").map_or(folder, PathBuf::from);
    let path = folder.join(what);
    if path.exists() {
        return Some(path);
    }
    let advice = format!(
        "{} is not installed: run tests/emulators.sh",
        path.display()
    );
    assert!(
        std::env::var_os("STARLING_NEED_EMULATORS").is_none(),
        "{advice}"
    );
    eprintln!("SKIPPED: {advice}");
    None
}

/// A file of `mebibytes` and its name.
fn film(path: &Path, mebibytes: usize) -> String {
    let mut file = BufWriter::new(File::create(path).expect("a new file"));
    let mut hash = Sha256::new();
    for piece in 0..mebibytes {
        let bytes = noise(MIB, piece as u64 * 2 + 1);
        hash.update(&bytes);
        file.write_all(&bytes).expect("room for the film");
    }
    file.flush().expect("room for the film");
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_gets_through_a_connection_that_breaks_every_three_seconds() {
    let mut cluster = Cluster::create(1);
    let http = cluster.node(0).http_address().to_owned();
    let link = Link::open(0, 0, &http).await;
    // So that the program that uploads finds no way around it.
    let url = format!("http://{}", link.address);
    cluster.set(0, "STARLING_HTTP_URL", &url);
    let cluster = cluster.started(Setup::default()).await;
    let path = cluster.scratch().join("film.mp4");
    let id = film(&path, 1024);

    let command = {
        let mut command = crate::harness::starling(["upload", "--json"]);
        command
            .arg(&path)
            .env("STARLING_URL", &url)
            .env("STARLING_TOKEN", cluster.token());
        command
    };
    let uploading = tokio::task::spawn_blocking(move || run(command));
    let mut breaks = 0;
    while !uploading.is_finished() {
        tokio::time::sleep(Duration::from_secs(3)).await;
        link.cut();
        breaks += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        link.heal();
    }
    let output = uploading.await.expect("it does not panic");
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(lines[0]["sha256"], id, "{breaks} breaks");
    assert_eq!(lines[0]["state"], "uploaded");
    let file = cluster
        .api(0)
        .get(&format!("/files/{id}"))
        .await
        .expect(200, "");
    assert_eq!(file.json()["size"], 1024 * MIB);
}
