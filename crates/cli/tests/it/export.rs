//! A library goes out into a folder and comes into another cluster as it was.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::Api;
use crate::harness::{Cluster, fill, json_lines, run, stderr, succeed};

/// Files that cameras and programs of others wrote.
const SAMPLES: [&str; 8] = [
    "exif.jpg",
    "xmp.jpg",
    "iptc.jpg",
    "all.jpg",
    "orientation5.tiff",
    "still.gif",
    "turned.mov",
    "xmp.png",
];
const HOSTILE: &str = "../../evil\u{202e}gpj.exe";

/// A cluster's one library, as its first node has it.
struct Library {
    api: Api,
    ids: Vec<String>,
}

impl Library {
    /// Some samples, and two small files whose names differ in case.
    async fn filled(cluster: &Cluster) -> Self {
        let api = cluster.api(0);
        let mut ids = Vec::new();
        for name in SAMPLES {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../media/tests/fixtures");
            let bytes = std::fs::read(folder.join(name)).expect("a sample");
            ids.push(add(&api, name, &bytes).await);
        }
        for (name, bytes) in [
            ("Note.txt", "one"),
            ("note.TXT", "two"),
            ("note.txt", "three"),
        ] {
            ids.push(add(&api, name, bytes.as_bytes()).await);
        }
        Self { api, ids }
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.api.request(method, path).header("if-match", "*");
        let answer = self.api.send(request.json(&body)).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.json());
        answer.json()
    }

    async fn patch(&self, file: usize, query: &str, body: Value) {
        let path = format!("/files/{}{query}", self.ids[file]);
        self.send(Method::PATCH, &path, body).await;
    }

    /// Something of every kind is said, by everybody.
    async fn edit_everything(&self) {
        self.own_fields().await;
        self.patch(
            0,
            "",
            json!({"title": "A <title> & \"more\"", "description": "two\nlines", "rating": 4,
                   "favourite": true, "tags": ["Places/UK/London", "beach", "a|b"]}),
        )
        .await;
        self.patch(
            1,
            "",
            json!({"takenAt": {"local": "1999-12-31T23:59:59.5", "offset": "-03:30"},
                   "place": {"lat": -33.900_000_000_000_006, "lon": 18.4, "altitude": -3.25, "name": "Cape Town"}}),
        )
        .await;
        let nothing = json!({"takenAt": null, "place": null, "title": null, "tags": []});
        self.patch(2, "", nothing).await;
        let robot = json!({"tags": ["robot", "x"], "title": "by a model", "rating": 2});
        self.patch(3, "?source=model", robot).await;
        self.patch(3, "", json!({"tags": ["x"]})).await;
        for name in [HOSTILE, "CON", "."] {
            self.patch(4, "", json!({"name": name})).await;
        }
        self.patch(4, "", json!({"name": HOSTILE})).await;
        self.patch(5, "", json!({"state": "archived"})).await;
        self.patch(6, "", json!({"state": "trashed"})).await;
        self.patch(
            7,
            "?source=rule",
            json!({"title": "by a rule", "description": "r"}),
        )
        .await;
        self.albums().await;
        let renamed = json!({"from": "places", "to": "Lands"});
        self.send(Method::POST, "/tags/rename", renamed).await;
    }

    async fn own_fields(&self) {
        for (name, kind, list) in [
            ("note", "text", false),
            ("code", "keyword", true),
            ("count", "integer", false),
            ("price", "number", true),
            ("paid", "boolean", false),
            ("due", "date", false),
            ("met", "datetime", true),
            ("spot", "geo", false),
            ("old", "text", false),
        ] {
            let mut body = json!({"type": kind, "list": list, "description": name, "unit": "u"});
            if name == "code" {
                body["allowed"] = json!(["A", "B", "C"]);
            }
            self.send(Method::PUT, &format!("/fields/{name}"), body)
                .await;
        }
        let values = json!({
            "note": "x <y> & z", "code": ["A", "C"], "count": -5, "price": [0.1, 1e300, 2.5],
            "paid": true, "due": "2020-02-29", "met": ["2019-07-04T18:03:00.123456Z"],
            "spot": {"lat": 51.504_106_666_666_665, "lon": -0.1}, "old": "kept",
        });
        self.patch(0, "", json!({ "fields": values })).await;
        self.patch(7, "", json!({"fields": {"note": "z"}})).await;
        self.patch(7, "", json!({"fields": {"note": null}})).await;
        // What was allowed once stays where it is.
        let narrower = json!({"type": "keyword", "list": true, "allowed": ["B"]});
        self.send(Method::PUT, "/fields/code", narrower).await;
        let retire = self.api.request(Method::DELETE, "/fields/old");
        self.api.send(retire).await.expect(204, "");
    }

    async fn albums(&self) {
        let make = async |body: Value| {
            let made = self.send(Method::POST, "/albums", body).await;
            made["id"].as_str().expect("an id").to_owned()
        };
        let outer = make(json!({"name": "Outer"})).await;
        let inner = json!({"name": "Inner", "parent": outer, "description": "in"});
        let inner = make(inner).await;
        let rule = format!("tag:beach OR album:{inner}");
        make(json!({"name": "Rule", "parent": inner, "query": rule})).await;
        let [a, b, c, d, e] = [3, 1, 2, 9, 6].map(|at: usize| self.ids[at].as_str());
        let order = json!({ "ids": [a, b, c] });
        let path = format!("/albums/{inner}/files");
        self.send(Method::PUT, &path, order).await;
        let more =
            json!({"select": {"ids": [d, e]}, "ops": [{"op": "addToAlbum", "album": inner}]});
        self.send(Method::POST, "/bulk", more).await;
        let cover = json!({"name": "Inner", "parent": outer, "description": "in", "cover": c});
        self.send(Method::PUT, &format!("/albums/{inner}"), cover)
            .await;
    }
}

async fn add(api: &Api, name: &str, bytes: &[u8]) -> String {
    let added = api.upload(name, bytes, &json!({})).await.expect(201, "");
    added.json()["id"].as_str().expect("an id").to_owned()
}

async fn digest(api: &Api) -> String {
    let answer = api.get("/digest").await.expect(200, "").json();
    answer["digest"].as_str().expect("a digest").to_owned()
}

/// Runs a command on a folder and gives what it said of files, and its summary.
fn go(cluster: &Cluster, arguments: &[&str], folder: &Path) -> (Option<i32>, Vec<Value>, Value) {
    let output = said(cluster, arguments, folder);
    let mut lines = json_lines(&String::from_utf8(output.stdout.clone()).expect("UTF-8"));
    let last = lines.pop();
    let last = last.unwrap_or_else(|| panic!("no summary: {}", stderr(&output)));
    (output.status.code(), lines, last["summary"].clone())
}

fn said(cluster: &Cluster, arguments: &[&str], folder: &Path) -> Output {
    let mut command = cluster.client(arguments);
    command.arg("--json").arg(folder);
    run(command)
}

/// The records of a manifest, as they stand there.
fn records(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("manifest.ndjson")).expect("a manifest");
    let lines = json_lines(&text).into_iter().skip(1);
    lines.collect()
}

fn path_of(folder: &Path, id: &str) -> PathBuf {
    let records = records(folder);
    let mut found = records.iter().filter(|line| line["record"]["id"] == *id);
    let line = found.next().expect("a line");
    folder.join(line["path"].as_str().expect("a path"))
}

fn sha256(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    model::BlobId(digest).to_string()
}

/// Everything in the folder hashes to what the folder says, and nothing else is in it.
fn check_sums(folder: &Path, files: usize) {
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).expect("sums");
    let mut named = BTreeSet::new();
    for line in sums.lines() {
        let (sum, path) = line.split_once("  ").expect("as sha256sum writes it");
        let bytes = std::fs::read(folder.join(path)).expect(path);
        assert_eq!(sha256(&bytes), sum, "{path}");
        assert!(named.insert(path.to_lowercase()), "{path} twice");
    }
    assert_eq!(named.len(), 2 * files);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_imported_with_an_equal_digest() {
    let one = Cluster::start(2).await;
    let library = Library::filled(&one).await;
    library.edit_everything().await;
    let (height, _) = one.until_heads_equal().await;
    one.api(1).until_applied(height).await;
    let exported = digest(&library.api).await;
    assert_eq!(
        digest(&one.api(1)).await,
        exported,
        "the same on every node"
    );

    let folder = one.scratch().join("out");
    let (code, lines, summary) = go(&one, &["export"], &folder);
    assert_eq!((code, lines.len()), (Some(0), 11));
    assert_eq!(summary["fetched"], 11);
    assert_eq!(summary["metadataDigest"], *exported);
    check_sums(&folder, 11);
    let mut text = String::new();
    for line in records(&folder) {
        text += &format!("{}\n", line["record"]);
    }
    assert_eq!(sha256(text.as_bytes()), exported, "anybody can compute it");
    let hostile = path_of(&folder, &library.ids[4]);
    let hostile = hostile.file_name().and_then(|name| name.to_str());
    assert!(
        hostile.is_some_and(|name| name.starts_with("%2F..%2Fevil%E2%80%AEgpj-")),
        "{hostile:?}"
    );
    check_sidecars(&folder, &library);

    let other = Cluster::start(1).await;
    let (code, _, planned) = go(&other, &["import", "--dry-run"], &folder);
    assert_eq!((code, &planned["planned"]), (Some(0), &11.into()));
    let fields = other.api(0).get("/fields").await.json();
    assert_eq!(fields["items"], json!([]), "a dry run changes nothing");
    let (code, _, summary) = go(&other, &["import"], &folder);
    assert_eq!(
        (code, &summary["uploaded"]),
        (Some(0), &11.into()),
        "{summary}"
    );
    assert_eq!(
        (&summary["equal"], &summary["differing"]),
        (&true.into(), &0.into())
    );
    assert_eq!(summary["libraryDigest"], *exported);
    assert_eq!(digest(&other.api(0)).await, exported);

    let version = async || {
        let path = format!("/files/{}", library.ids[0]);
        other.api(0).get(&path).await.json()["version"].clone()
    };
    let before = version().await;
    let (code, _, summary) = go(&other, &["import"], &folder);
    assert_eq!((code, &summary["present"]), (Some(0), &11.into()));
    assert_eq!(version().await, before, "the same again changes nothing");
    let again = other.scratch().join("again");
    go(&other, &["export"], &again);
    assert_eq!(records(&again), records(&folder));
}

/// What our own reader, and exiftool where there is one, make of sidecars.
fn check_sidecars(folder: &Path, library: &Library) {
    let path = |file: usize| {
        let mut path = path_of(folder, &library.ids[file]).into_os_string();
        path.push(".xmp");
        PathBuf::from(path)
    };
    let read = |file| media::sidecar(&std::fs::read(path(file)).expect("a sidecar")).described;
    let told = read(0);
    let title = told.title.expect("a title").value;
    assert_eq!(title, "A <title> & \"more\"");
    assert_eq!(told.description.expect("a text").value, "two\nlines");
    assert_eq!(told.rating.expect("stars").value, 4);
    let mut tags: Vec<String> = told.tags.into_iter().map(|tag| tag.value).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["Lands/UK/London", "a|b", "beach"]);
    let told = read(1);
    let taken = told.taken_at.expect("a time").value;
    assert_eq!(taken.offset_min, Some(-210));
    let place = told.place.expect("a place").value;
    assert!((place.latitude() + 33.9).abs() < 1e-9 && place.altitude == Some(-3.25));

    let shown = Command::new("exiftool")
        .args(["-j", "-n", "-XMP:all"])
        .arg(path(0))
        .output();
    let Ok(shown) = shown else {
        eprintln!("skipped: exiftool is not installed");
        return;
    };
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown[0]["Title"], "A <title> & \"more\"");
    assert_eq!(shown[0]["Rating"], 4);
    assert_eq!(shown[0]["TagsList"][0], "Lands/UK/London");
    assert_eq!(shown[0]["Count"], -5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_where_it_broke_off() {
    let cluster = Cluster::start(1).await;
    let library = Library::filled(&cluster).await;
    let folder = cluster.scratch().join("out");
    let mut command = cluster.client(["export", "--parallel", "1", "--json"]);
    command.arg(&folder).stdout(Stdio::piped());
    let mut exporting = command.spawn().expect("a process");
    let stdout = exporting.stdout.take().expect("piped");
    let mut first = String::new();
    BufReader::new(stdout)
        .read_line(&mut first)
        .expect("a line");
    exporting.kill().expect("killed");
    exporting.wait().expect("ended");

    let (code, _, summary) = go(&cluster, &["export"], &folder);
    let count = |what: &str| summary[what].as_u64().expect("a count");
    assert_eq!((code, count("files")), (Some(0), 11));
    assert!(count("present") >= 1, "what had come is not fetched again");
    assert_eq!(count("present") + count("fetched"), 11);
    check_sums(&folder, 11);

    // A file that has come half, and one whose half is not its own.
    for (file, left) in [(0, None), (1, Some("something else"))] {
        let path = path_of(&folder, &library.ids[file]);
        let bytes = std::fs::read(&path).expect("exported");
        let half = left.map_or(&bytes[..bytes.len() / 2], str::as_bytes);
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        std::fs::write(partial, half).expect("written");
        std::fs::remove_file(path).expect("removed");
    }
    let (code, _, summary) = go(&cluster, &["export"], &folder);
    assert_eq!((code, &summary["fetched"]), (Some(0), &2.into()));
    check_sums(&folder, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_that_an_export_did_not_write() {
    let cluster = Cluster::start(1).await;
    let library = Library::filled(&cluster).await;
    let folder = cluster.scratch().join("out");
    go(&cluster, &["export"], &folder);
    let original = path_of(&folder, &library.ids[0]);
    let mut sidecar = path_of(&folder, &library.ids[1]).into_os_string();
    sidecar.push(".xmp");
    for path in [original.as_path(), Path::new(&sidecar)] {
        std::fs::write(path, "mine").expect("written");
    }
    let (code, lines, summary) = go(&cluster, &["export"], &folder);
    assert_eq!((code, &summary["failed"]), (Some(4), &2.into()));
    let failed = lines.iter().filter(|line| line["state"] == "failed");
    assert!(failed.into_iter().all(|line| line["path"].is_string()));
    for path in [original.as_path(), Path::new(&sidecar)] {
        assert_eq!(std::fs::read(path).expect("there"), b"mine");
    }
    let foreign = cluster.scratch().join("foreign");
    std::fs::create_dir(&foreign).expect("a folder");
    std::fs::write(foreign.join("manifest.ndjson"), "{}\n").expect("written");
    let refused = said(&cluster, &["export"], &foreign);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_an_export_until_there_is_room() {
    let cluster = Cluster::start(1).await;
    Library::filled(&cluster).await;
    let mut disk = Cluster::create(1);
    if !disk.put_on_small_disk(0, 8) {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let folder = disk.node(0).folder().join("out");
    std::fs::create_dir(&folder).expect("a folder");
    let ballast = fill(&disk.node(0).folder());
    let stopped = said(&cluster, &["export"], &folder);
    assert_eq!(stopped.status.code(), Some(5), "{}", stderr(&stopped));
    assert!(stderr(&stopped).contains("is full"), "{}", stderr(&stopped));
    std::fs::remove_file(ballast).expect("room is made");
    let (code, _, summary) = go(&cluster, &["export"], &folder);
    assert_eq!((code, &summary["failed"]), (Some(0), &0.into()));
    check_sums(&folder, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_in_an_export_is_named_and_does_not_come_in() {
    let one = Cluster::start(1).await;
    let library = Library::filled(&one).await;
    let folder = one.scratch().join("out");
    go(&one, &["export"], &folder);
    let manifest = folder.join("manifest.ndjson");
    let whole = std::fs::read_to_string(&manifest).expect("a manifest");

    let other = Cluster::start(1).await;
    let changed = whole.replacen("\"name\":\"Note.txt\"", "\"name\":\"Forged.txt\"", 1);
    assert_ne!(changed, whole);
    std::fs::write(&manifest, changed).expect("written");
    let refused = said(&other, &["import"], &folder);
    assert_eq!(refused.status.code(), Some(1));
    let complaint = stderr(&refused);
    assert!(
        complaint.contains("of the manifest was changed") && complaint.contains("undated/Note-"),
        "{complaint}"
    );
    let found = other.api(0).get("/files?q=in:all").await.json();
    assert_eq!(found["total"], 0, "nothing was sent");

    std::fs::write(&manifest, whole).expect("written");
    let original = path_of(&folder, &library.ids[0]);
    let mut bytes = std::fs::read(&original).expect("exported");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&original, bytes).expect("written");
    std::fs::remove_file(path_of(&folder, &library.ids[1])).expect("removed");
    let (code, lines, summary) = go(&other, &["import"], &folder);
    assert_eq!(
        (code, &summary["uploaded"]),
        (Some(4), &9.into()),
        "{summary}"
    );
    assert_eq!(summary["equal"], false);
    let failed: Vec<&str> = lines
        .iter()
        .filter(|line| line["state"] == "failed")
        .filter_map(|line| line["id"].as_str())
        .collect();
    let mut expected = [library.ids[0].as_str(), library.ids[1].as_str()];
    expected.sort_unstable();
    assert_eq!(BTreeSet::from_iter(failed), BTreeSet::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_have_said_stays_and_is_told() {
    let one = Cluster::start(1).await;
    let library = Library::filled(&one).await;
    library
        .patch(0, "", json!({"title": "theirs", "rating": 5}))
        .await;
    let folder = one.scratch().join("some");
    let query = ["export", "--query", "title:theirs OR name:note*"];
    let (code, _, summary) = go(&one, &query, &folder);
    assert_eq!((code, &summary["files"]), (Some(0), &4.into()));

    let other = Cluster::start(1).await;
    let here = Library::filled(&other).await;
    here.patch(0, "", json!({"title": "ours"})).await;
    let (code, lines, summary) = go(&other, &["import"], &folder);
    assert_eq!((code, &summary["present"]), (Some(0), &4.into()));
    assert_eq!(
        (&summary["equal"], &summary["differing"]),
        (&false.into(), &1.into())
    );
    let difference = lines.iter().find(|line| line["differs"].is_array());
    let difference = difference.expect("a difference");
    assert_eq!(difference["differs"], json!(["title"]));
    assert_eq!(difference["exported"]["title"], "theirs");
    assert_eq!(difference["here"]["title"], "ours");
    let file = other.api(0).get(&format!("/files/{}", here.ids[0])).await;
    assert_eq!(file.json()["rating"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_are_downloaded_under_names_of_their_own() {
    let cluster = Cluster::start(1).await;
    let library = Library::filled(&cluster).await;
    let folder = cluster.scratch().join("down");
    let download = || {
        let mut command = cluster.client(["download", "--json", "--query", "name:note*"]);
        command.arg(&folder);
        json_lines(&succeed(command))
    };
    let lines = download();
    assert_eq!(lines.len(), 3);
    let mut names = BTreeSet::new();
    for line in &lines {
        let path = Path::new(line["path"].as_str().expect("a path"));
        let bytes = std::fs::read(path).expect("downloaded");
        assert_eq!(line["id"], *sha256(&bytes));
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(names.insert(name.to_lowercase()), "{name} in another case");
    }
    assert!(names.contains("note.txt"), "{names:?}");
    let again = download();
    assert!(again.iter().all(|line| line["state"] == "present"));
    let mut one = cluster.client(["download"]);
    one.arg(&folder).arg(&library.ids[0]);
    let path = succeed(one);
    assert!(path.trim_end().ends_with("exif.jpg"), "{path}");
}
