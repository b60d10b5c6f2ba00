//! What is said in a library, out and in again: what lines may be, and who may send them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Node, is, refused};

impl Node {
    async fn line(&self, id: &str) -> Value {
        let asked = json!({ "ids": [id] });
        let found = self.post_json("/api/v1/export/files", &asked).await;
        let found: Value = found.json().await.unwrap();
        found["items"][0].clone()
    }

    async fn import(&self, id: &str, line: &Value) -> reqwest::Response {
        let call = self.call(Method::PUT, &format!("/api/v1/import/files/{id}"));
        call.json(line).send().await.unwrap()
    }
}

#[tokio::test]
async fn a_line_that_goes_in_as_it_came_out_changes_nothing() {
    let node = Node::start().await;
    let id = node
        .add(b"a", "a.txt", json!({"tags": ["x/y"], "rating": 2}))
        .await;
    let line = node.line(&id).await;
    let answer = node.import(&id, &line).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.json::<Value>().await.unwrap(), line);
    let history = node.get_json(&format!("/api/v1/files/{id}/history")).await;
    assert_eq!(history["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_wrong_value_of_a_line_is_named() {
    let node = Node::start().await;
    let id = node.add(b"a", "a.txt", json!({})).await;
    let line = node.line(&id).await;
    for (pointer, value, named) in [
        ("/id", json!("00".repeat(32)), "/id"),
        ("/name", json!(""), "/name"),
        ("/rating", json!(6), "/rating"),
        (
            "/tags",
            json!([{"tag": "a//b", "source": "user"}]),
            "/tags/0",
        ),
        (
            "/tags",
            json!([{"tag": "a", "source": "nobody"}]),
            "/tags/0/source",
        ),
        (
            "/place",
            json!({"lat": 1.5, "lon": "2", "source": "exif"}),
            "/place/lat",
        ),
        (
            "/place",
            json!({"lat": "NaN", "lon": "2", "source": "exif"}),
            "/place/lat",
        ),
        (
            "/takenAt",
            json!({"local": "0000-00-00T00:00:00", "source": "exif"}),
            "/takenAt/local",
        ),
        ("/said/title", json!("king"), "/said/title"),
        ("/state", json!("gone"), "/state"),
        (
            "/fields",
            json!({"price": {"values": ["1.5"], "source": "user"}}),
            "/fields/price",
        ),
        (
            "/albums",
            json!([{"album": "x", "position": 1}]),
            "/albums/0/album",
        ),
        (
            "/albums",
            json!([{"album": "00".repeat(8), "position": 0}]),
            "/albums/0/position",
        ),
    ] {
        let mut wrong = line.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let answer = node.import(&id, &wrong).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{pointer}");
        let problem: Value = answer.json().await.unwrap();
        let found = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert!(found.starts_with(named), "{pointer}: {problem}");
    }
    let mut more = line.clone();
    more["colour"] = json!("red");
    let refused = node.import(&id, &more).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(node.line(&id).await, line);
}

#[tokio::test]
async fn lines_are_read_and_written_by_those_who_may() {
    let node = Node::start().await;
    let id = node.add(b"a", "a.txt", json!({})).await;
    let line = node.line(&id).await;
    let body = json!({"name": "reader", "scope": "read"});
    let made = node.post_json("/api/v1/tokens", &body).await;
    let made: Value = made.json().await.unwrap();
    let reader = made["token"].as_str().unwrap();
    let path = format!("/api/v1/import/files/{id}");
    let import = node.stranger(Method::PUT, &path).bearer_auth(reader);
    assert_eq!(refused(import.json(&line)).await, is(403, "forbidden"));
    let digest = node
        .stranger(Method::GET, "/api/v1/digest")
        .bearer_auth(reader);
    assert_eq!(digest.send().await.unwrap().status(), StatusCode::OK);
    for path in [
        "/api/v1/digest",
        "/api/v1/export/definitions",
        "/api/v1/export/files",
    ] {
        let stranger = node.stranger(Method::GET, path);
        assert_eq!(
            refused(stranger).await,
            is(401, "unauthenticated"),
            "{path}"
        );
    }
    let elsewhere = node.call(Method::GET, "/api/v1/digest?library=elsewhere");
    assert_eq!(refused(elsewhere).await, is(404, "not_found"));
    let nobody = "11".repeat(32);
    let mut other = line.clone();
    other["id"] = json!(nobody);
    let missing = node.call(Method::PUT, &format!("/api/v1/import/files/{nobody}"));
    assert_eq!(refused(missing.json(&other)).await, is(404, "not_found"));
}

#[tokio::test]
async fn an_album_and_a_field_come_in_under_the_names_that_they_had() {
    let node = Node::start().await;
    let album = "00112233445566ff";
    let call = node.call(Method::PUT, &format!("/api/v1/import/albums/{album}"));
    let made = call
        .json(&json!({"name": "A", "parent": null, "query": null}))
        .send();
    let made: Value = made.await.unwrap().json().await.unwrap();
    assert_eq!((&made["id"], &made["name"]), (&json!(album), &json!("A")));
    let field = json!({
        "kind": "field", "name": "price", "type": "number", "list": false, "description": "",
        "allowed": ["0.1", "1e300"], "unit": "EUR", "retired": true,
    });
    let call = node.call(Method::PUT, "/api/v1/import/fields/price");
    let made: Value = call
        .json(&field)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&made["retired"], &made["unit"]),
        (&json!(true), &json!("EUR"))
    );
    let lines = node.get_json("/api/v1/export/definitions").await;
    assert_eq!(lines["items"][0], field);
    assert_eq!(lines["items"][1]["id"], album);
}
