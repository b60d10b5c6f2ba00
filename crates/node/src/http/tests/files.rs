//! Files: their way in, what is known of them, and their way out.

use std::collections::BTreeSet;

use model::BlobId;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::document::documented_file;
use super::{Node, is, refused};

/// A picture of 2 × 2 pixels.
pub(super) fn picture() -> Vec<u8> {
    let mut gif = b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x02\0\x02\0\0".to_vec();
    gif.extend_from_slice(b"\x02\x03\x44\x02\x05\0;");
    gif
}

pub(super) fn form(bytes: &[u8], name: &str, metadata: Option<&Value>) -> Form {
    let file = Part::bytes(bytes.to_vec()).file_name(name.to_owned());
    let form = Form::new().part("file", file);
    match metadata {
        Some(metadata) => form.part("metadata", Part::text(metadata.to_string())),
        None => form,
    }
}

impl Node {
    pub(super) fn upload(&self, form: Form) -> RequestBuilder {
        self.call(Method::POST, "/api/v1/files").multipart(form)
    }

    /// Adds a file and gives its id.
    pub(super) async fn add(&self, bytes: &[u8], name: &str, metadata: Value) -> String {
        let added = self
            .upload(form(bytes, name, Some(&metadata)))
            .send()
            .await
            .unwrap();
        assert_eq!(added.status(), StatusCode::CREATED);
        let file: Value = added.json().await.unwrap();
        file["id"].as_str().unwrap().to_owned()
    }
}

fn etag(answer: &Response) -> String {
    answer.headers()["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_is_added_once() {
    let node = Node::start().await;
    let metadata = json!({"title": "A boat", "tags": ["places/uk"], "rating": 4});
    let added = node
        .upload(form(&picture(), "boat.gif", Some(&metadata)))
        .send()
        .await
        .unwrap();
    assert_eq!(added.status(), StatusCode::CREATED);
    assert_eq!(etag(&added), "\"v1\"");
    let location = added.headers()["location"].to_str().unwrap().to_owned();
    let file: Value = added.json().await.unwrap();
    assert_eq!(file["id"], BlobId::of(&[&picture()]).to_string().as_str());
    assert_eq!(
        (&file["mediaType"], &file["kind"]),
        (&json!("image/gif"), &json!("photo"))
    );
    assert_eq!(
        (&file["title"], &file["rating"]),
        (&json!("A boat"), &json!(4))
    );
    assert_eq!(
        (&file["width"], &file["size"]),
        (&json!(2), &json!(picture().len()))
    );
    assert_eq!(
        location,
        format!("/api/v1/files/{}", file["id"].as_str().unwrap())
    );
    let members: BTreeSet<String> = file.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        members,
        documented_file(),
        "the document describes what is sent"
    );

    let again = node
        .upload(form(&picture(), "ship.gif", None))
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    let again: Value = again.json().await.unwrap();
    assert_eq!(again["names"], json!(["boat.gif", "ship.gif"]));
    assert_eq!(again["title"], "A boat");
    assert_eq!(node.get_json(&location).await, again);
}

#[tokio::test]
async fn an_upload_that_makes_no_sense_is_refused() {
    let node = Node::start().await;
    let upload = |form| refused(node.upload(form));
    assert_eq!(upload(Form::new()).await, is(400, "invalid_multipart"));
    let nonsense = Form::new().part("colour", Part::text("red"));
    assert_eq!(upload(nonsense).await, is(400, "invalid_multipart"));
    let unknown = form(b"x", "x", Some(&json!({"colour": "red"})));
    assert_eq!(upload(unknown).await, is(400, "invalid_body"));
    let broken = form(b"x", "x", None).part("metadata", Part::text("{"));
    assert_eq!(upload(broken).await, is(400, "invalid_json"));
    let post = || node.call(Method::POST, "/api/v1/files");
    let text = post().header("content-type", "text/plain").body("x");
    assert_eq!(refused(text).await, is(415, "unsupported_media_type"));
    let cut = post()
        .header("content-type", "multipart/form-data; boundary=b")
        .body("--b\r\n");
    assert_eq!(refused(cut).await, is(400, "invalid_multipart"));
    let stranger = json!({"sha256": "ab".repeat(32), "name": "x"});
    assert_eq!(
        refused(post().json(&stranger)).await,
        is(422, "unknown_blob")
    );
    assert_eq!(node.get_json("/api/v1/files").await["total"], 0);
}

#[tokio::test]
async fn an_edit_names_the_version_it_is_of() {
    let node = Node::start().await;
    let path = format!(
        "/api/v1/files/{}",
        node.add(b"text", "a.txt", json!({})).await
    );
    let edit = |version: &str| {
        let request = node.call(Method::PATCH, &path).header("if-match", version);
        request.header("content-type", "application/merge-patch+json")
    };
    let blind = node.call(Method::PATCH, &path).json(&json!({"rating": 5}));
    assert_eq!(refused(blind).await, is(428, "precondition_required"));
    let edited = edit("\"v1\"")
        .json(&json!({"rating": 5, "tags": ["x"]}))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (edited.status(), etag(&edited)),
        (StatusCode::OK, "\"v2\"".to_owned())
    );
    assert_eq!(
        refused(edit("\"v1\"").json(&json!({"rating": 1}))).await,
        is(412, "stale_version")
    );
    let any = edit("*")
        .json(&json!({"place": {"lat": 51.5, "lon": -0.1}}))
        .send()
        .await
        .unwrap();
    assert_eq!(etag(&any), "\"v3\"");
    let named = edit("\"v3\"")
        .json(&json!({"place": {"name": "home"}}))
        .send()
        .await
        .unwrap();
    let named: Value = named.json().await.unwrap();
    assert_eq!(
        (&named["place"]["lat"], &named["place"]["name"]),
        (&json!(51.5), &json!("home"))
    );
    let known = node
        .call(Method::GET, &path)
        .header("if-none-match", "\"v4\"");
    assert_eq!(
        known.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );
    let history = node.get_json(&format!("{path}/history")).await;
    assert_eq!(history["items"].as_array().unwrap().len(), 4);
    assert_eq!(history["items"][1]["changes"][0]["source"], "user");
}

#[tokio::test]
async fn an_edit_that_makes_no_sense_is_refused() {
    let node = Node::start().await;
    let path = format!(
        "/api/v1/files/{}",
        node.add(b"text", "a.txt", json!({})).await
    );
    let edit = || {
        let request = node.call(Method::PATCH, &path).header("if-match", "*");
        request.header("content-type", "application/merge-patch+json")
    };
    for (body, code) in [
        (json!({"rating": 6}), "invalid_body"),
        (json!({"colour": "red"}), "invalid_body"),
        (json!({"tags": ["x".repeat(100_000)]}), "invalid_body"),
        (
            json!({"takenAt": {"local": "0000-00-00T00:00:00"}}),
            "invalid_body",
        ),
        (json!([]), "invalid_body"),
    ] {
        assert_eq!(refused(edit().json(&body)).await, is(400, code), "{body}");
    }
    let nan = edit().body(r#"{"place": {"lat": NaN, "lon": 0}}"#);
    assert_eq!(refused(nan).await, is(400, "invalid_json"));
    let nobody = node.call(Method::PATCH, &format!("/api/v1/files/{}", "ab".repeat(32)));
    let nobody = nobody.header("if-match", "*").json(&json!({"rating": 1}));
    assert_eq!(refused(nobody).await, is(404, "not_found"));
}

#[tokio::test]
async fn a_retried_edit_gets_its_first_answer() {
    let node = Node::start().await;
    let path = format!(
        "/api/v1/files/{}",
        node.add(b"text", "a.txt", json!({})).await
    );
    let edit = |rating: u8| {
        let request = node.call(Method::PATCH, &path).header("if-match", "\"v1\"");
        request
            .header("idempotency-key", "e")
            .json(&json!({"rating": rating}))
    };
    let first: Value = edit(5).send().await.unwrap().json().await.unwrap();
    let other = node
        .call(Method::PATCH, &path)
        .header("if-match", "*")
        .json(&json!({"rating": 1}));
    assert_eq!(other.send().await.unwrap().status(), StatusCode::OK);
    let again = edit(5).send().await.unwrap();
    assert_eq!(etag(&again), "\"v2\"");
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    assert_eq!(refused(edit(4)).await, is(422, "idempotency_key_reused"));
}

#[tokio::test]
async fn files_are_found_trashed_and_restored() {
    let node = Node::start().await;
    let boat = node
        .add(&picture(), "boat.gif", json!({"tags": ["sea/boats"]}))
        .await;
    let text = node.add(b"text", "a.txt", json!({})).await;
    let found = node.get_json("/api/v1/files?q=tag:sea").await;
    assert_eq!(
        (&found["total"], &found["items"][0]["id"]),
        (&json!(1), &json!(boat))
    );
    assert_eq!(found["query"], "tag:sea");
    let wrong = node.call(Method::GET, "/api/v1/files?q=colour:red");
    assert_eq!(refused(wrong).await, is(400, "invalid_query"));
    let twice = node.call(Method::GET, "/api/v1/files?q=sort:name&sort=-size");
    assert_eq!(refused(twice).await, is(400, "invalid_parameter"));
    let first = node.get_json("/api/v1/files?limit=1&sort=-size").await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = node
        .get_json(&format!("/api/v1/files?limit=1&sort=-size&cursor={cursor}"))
        .await;
    assert_eq!(second["items"][0]["id"], text.as_str());
    assert_eq!(second["nextCursor"], Value::Null);
    let cursor = node.call(Method::GET, "/api/v1/files?cursor=zzz");
    assert_eq!(refused(cursor).await, is(400, "invalid_cursor"));
    let tags = node.get_json("/api/v1/tags").await;
    assert_eq!(tags["items"][0]["tag"], "sea/boats");

    let path = format!("/api/v1/files/{boat}");
    let trashed = node.call(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(trashed.status(), StatusCode::OK);
    assert_eq!(trashed.json::<Value>().await.unwrap()["state"], "trashed");
    let asked = json!([
        {"sha256": text, "size": 4},
        {"sha256": boat, "size": 1},
        {"sha256": "ab".repeat(32), "size": 1},
    ]);
    let check = || node.post_json("/api/v1/files/check", &asked);
    let checked: Value = check().await.json().await.unwrap();
    assert_eq!(checked, json!(["present", "trashed", "missing"]));
    let again = node
        .upload(form(&picture(), "boat.gif", None))
        .send()
        .await
        .unwrap();
    assert_eq!(again.json::<Value>().await.unwrap()["state"], "trashed");
    let restored = node
        .call(Method::POST, &format!("{path}/restore"))
        .send()
        .await
        .unwrap();
    assert_eq!(restored.json::<Value>().await.unwrap()["state"], "live");
}

#[tokio::test]
async fn bytes_go_out_whole_in_part_and_harmless() {
    let node = Node::start().await;
    let page = b"<script>alert(1)</script>";
    let id = node.add(page, "../s\u{e9}.html", json!({})).await;
    let path = format!("/api/v1/files/{id}/content");
    let whole = node.get(&path).await;
    assert_eq!(whole.headers()["x-content-type-options"], "nosniff");
    assert_eq!(
        whole.headers()["content-security-policy"],
        "sandbox; default-src 'none'"
    );
    let disposition = whole.headers()["content-disposition"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(disposition.starts_with("attachment"), "{disposition}");
    assert!(
        disposition.contains("filename*=UTF-8''.._s%C3%A9.html"),
        "{disposition}"
    );
    assert_eq!(etag(&whole), format!("\"{id}\""));
    assert_eq!(whole.bytes().await.unwrap(), page.as_slice());

    let range = |range: &str| node.call(Method::GET, &path).header("range", range);
    let part = range("bytes=1-6").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 1-6/25");
    assert_eq!(part.bytes().await.unwrap(), "script");
    let end = range("bytes=-7").send().await.unwrap();
    assert_eq!(end.bytes().await.unwrap(), "script>");
    let behind = range("bytes=25-").send().await.unwrap();
    assert_eq!(behind.headers()["content-range"], "bytes */25");
    assert_eq!(
        super::problem(behind).await,
        is(416, "range_not_satisfiable")
    );
    let known = node
        .call(Method::GET, &path)
        .header("if-none-match", format!("\"{id}\""));
    assert_eq!(
        known.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );
    let head = node.call(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "25");
    let picture = refused(node.call(Method::GET, &format!("/api/v1/files/{id}/thumbnail"))).await;
    assert_eq!(picture, is(404, "no_thumbnail"));
}

#[tokio::test]
async fn a_picture_has_a_thumbnail() {
    let node = Node::start().await;
    let id = node.add(&picture(), "boat.gif", json!({})).await;
    let content = node.get(&format!("/api/v1/files/{id}/content")).await;
    let shown = content.headers()["content-disposition"].to_str().unwrap();
    assert!(shown.starts_with("inline"), "{shown}");
    for size in [256, 512] {
        let thumbnail = node
            .get(&format!("/api/v1/files/{id}/thumbnail?size={size}"))
            .await;
        assert_eq!(thumbnail.headers()["content-type"], "image/jpeg");
        let tag = etag(&thumbnail);
        assert!(thumbnail.bytes().await.unwrap().starts_with(&[0xff, 0xd8]));
        let path = format!("/api/v1/files/{id}/thumbnail?size={size}");
        let known = node.call(Method::GET, &path).header("if-none-match", tag);
        assert_eq!(
            known.send().await.unwrap().status(),
            StatusCode::NOT_MODIFIED
        );
    }
    let odd = node.call(
        Method::GET,
        &format!("/api/v1/files/{id}/thumbnail?size=300"),
    );
    assert_eq!(refused(odd).await, is(400, "invalid_parameter"));
}

#[tokio::test]
async fn damaged_bytes_are_never_served() {
    let node = Node::start().await;
    let id = node.add(b"the only copy", "a.txt", json!({})).await;
    let path = format!("/api/v1/files/{id}/content");
    assert_eq!(node.get(&path).await.status(), StatusCode::OK);
    std::fs::write(node.blob_path(&id), b"the 0nly copy").unwrap();
    assert_eq!(
        refused(node.call(Method::GET, &path)).await,
        is(503, "bytes_unavailable")
    );
    assert!(!node.blob_path(&id).exists(), "it was moved aside");
    let again = node
        .upload(form(b"the only copy", "a.txt", None))
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(
        node.get(&path).await.bytes().await.unwrap(),
        "the only copy"
    );
}

#[tokio::test]
async fn blobs_are_put_and_become_files() {
    let node = Node::start().await;
    let id = BlobId::of(&[b"raw"]).to_string();
    let path = format!("/api/v1/blobs/sha256:{id}");
    let put = |body: &'static str| node.call(Method::PUT, &path).body(body);
    assert_eq!(refused(put("other")).await, is(422, "hash_mismatch"));
    assert_eq!(
        refused(node.call(Method::GET, &path)).await,
        is(404, "not_found")
    );
    assert_eq!(
        put("raw").send().await.unwrap().status(),
        StatusCode::CREATED
    );
    assert_eq!(put("raw").send().await.unwrap().status(), StatusCode::OK);
    let first = put("raw").header("if-none-match", "*");
    assert_eq!(refused(first).await, is(412, "already_exists"));
    assert_eq!(node.get(&path).await.bytes().await.unwrap(), "raw");
    let body = json!({"name": "other", "scope": "write"});
    let other: Value = node
        .post_json("/api/v1/tokens", &body)
        .await
        .json()
        .await
        .unwrap();
    let other = other["token"].as_str().unwrap();
    let foreign = node.stranger(Method::GET, &path).bearer_auth(other);
    assert_eq!(refused(foreign).await, is(404, "not_found"));

    let body = json!({"sha256": id, "name": "raw.bin", "metadata": {"rating": 2}});
    let added = node.post_json("/api/v1/files", &body).await;
    assert_eq!(added.status(), StatusCode::CREATED);
    let file: Value = added.json().await.unwrap();
    assert_eq!((&file["size"], &file["rating"]), (&json!(3), &json!(2)));
    let seen = node
        .stranger(Method::GET, &path)
        .bearer_auth(other)
        .send()
        .await
        .unwrap();
    assert_eq!(
        seen.status(),
        StatusCode::OK,
        "who may read the file may read its bytes"
    );
}

#[tokio::test]
async fn a_large_file_passes_through() {
    let node = Node::start().await;
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let id = node.add(&bytes, "large.bin", json!({})).await;
    let content = node.get(&format!("/api/v1/files/{id}/content")).await;
    assert!(content.bytes().await.unwrap() == bytes.as_slice());
    let path = format!("/api/v1/files/{id}/content");
    let part = node
        .call(Method::GET, &path)
        .header("range", "bytes=4999990-")
        .send()
        .await
        .unwrap();
    assert_eq!(part.bytes().await.unwrap(), &bytes[4_999_990..]);
}
