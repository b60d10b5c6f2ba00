//! Links for people without an account: what they open, and what they do not.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::files::picture;
use super::{Node, is, problem, refused};

impl Node {
    async fn share(&self, body: &Value) -> Value {
        let made = self.post_json("/api/v1/shares", body).await;
        let status = made.status();
        let body: Value = made.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }

    /// What somebody without a token gets behind a link.
    async fn guest(&self, share: &Value, rest: &str) -> Response {
        let path = format!("{}{rest}", share["path"].as_str().unwrap());
        self.stranger(Method::GET, &path).send().await.unwrap()
    }

    async fn shown(&self, share: &Value, rest: &str) -> Value {
        let answer = self.guest(share, rest).await;
        assert_eq!(answer.status(), StatusCode::OK, "{rest}");
        answer.json().await.unwrap()
    }
}

/// What everybody is told whose link opens nothing.
async fn nothing(answer: Response) -> Value {
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["detail"], "there is no such share");
    body
}

#[tokio::test]
async fn an_album_is_looked_at_through_a_link_until_it_is_revoked() {
    let node = Node::start().await;
    let place = json!({"place": {"lat": 50.0, "lon": 1.0, "name": "Lyme"}});
    let file = node.add(&picture(), "a.gif", place).await;
    let other = node.add(b"other", "other.txt", json!({})).await;
    let album = node
        .post_json("/api/v1/albums", &json!({"name": "A"}))
        .await;
    let album: Value = album.json().await.unwrap();
    let share = node
        .share(&json!({"title": "For granny", "album": album["id"]}))
        .await;
    assert_eq!(node.shown(&share, "").await["files"], 0);
    let order = format!("/api/v1/albums/{}/files", album["id"].as_str().unwrap());
    let put = node.call(Method::PUT, &order).json(&json!({"ids": [file]}));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::OK);

    let opened = node.shown(&share, "").await;
    assert_eq!(
        opened,
        json!({"title": "For granny", "kind": "album", "files": 1, "download": false, "expiresAt": null})
    );
    let list = node.shown(&share, "/files").await;
    let shown = list["items"][0].as_object().unwrap();
    assert_eq!(
        (&shown["id"], &shown["place"]),
        (&json!(file), &Value::Null)
    );
    let names: Vec<&String> = shown.keys().collect();
    for hidden in [
        "tags",
        "description",
        "albums",
        "fields",
        "addedBy",
        "library",
    ] {
        assert!(!names.contains(&&hidden.to_owned()), "{hidden}");
    }
    let thumbnail = node
        .guest(&share, &format!("/files/{file}/thumbnail"))
        .await;
    assert_eq!(thumbnail.status(), StatusCode::OK);
    let original = node.guest(&share, &format!("/files/{file}/content")).await;
    assert_eq!(problem(original).await, is(403, "forbidden"));
    for rest in ["content", "thumbnail"] {
        let hidden = node.guest(&share, &format!("/files/{other}/{rest}")).await;
        assert_eq!(problem(hidden).await, is(404, "not_found"), "{rest}");
    }

    let listed = node.get_json("/api/v1/shares").await;
    let secret = share["secret"].as_str().unwrap();
    assert!(!listed.to_string().contains(secret));
    assert_eq!(listed["items"][0]["state"], "open");
    let path = format!("/api/v1/shares/{}", share["id"].as_str().unwrap());
    let revoked = node.call(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    let unknown = json!({"path": "/api/v1/shared/stl_share_x"});
    let unknown = nothing(node.guest(&unknown, "").await).await;
    for rest in ["", "/files", &format!("/files/{file}/thumbnail")] {
        assert_eq!(nothing(node.guest(&share, rest).await).await, unknown);
    }
    assert_eq!(
        node.get_json("/api/v1/shares").await["items"][0]["state"],
        "revoked"
    );
}

#[tokio::test]
async fn originals_and_places_are_given_out_only_together_and_only_if_asked_for() {
    let node = Node::start().await;
    let place = json!({"place": {"lat": 50.0, "lon": 1.0, "name": "Lyme"}, "tags": ["t"]});
    let file = node.add(&picture(), "a.gif", place).await;
    let half = json!({"title": "x", "file": file, "download": true});
    let half = node.call(Method::POST, "/api/v1/shares").json(&half);
    assert_eq!(refused(half).await, is(400, "invalid_body"));
    let whole = json!({"title": "x", "query": "tag:t", "download": true, "places": true});
    let share = node.share(&whole).await;
    let list = node.shown(&share, "/files?limit=1").await;
    assert_eq!(list["items"][0]["place"]["name"], "Lyme");
    let original = node.guest(&share, &format!("/files/{file}/content")).await;
    assert_eq!(original.bytes().await.unwrap(), picture());
    let missing = json!({"title": "x", "file": "0".repeat(64)});
    let missing = node.call(Method::POST, "/api/v1/shares").json(&missing);
    assert_eq!(refused(missing).await, is(404, "not_found"));

    // Whatever is in the trash is shown to nobody.
    let one = node.share(&json!({"title": "x", "file": file})).await;
    assert_eq!(node.shown(&one, "").await["files"], 1);
    let path = format!("/api/v1/files/{file}");
    let trashed = node.call(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(trashed.status(), StatusCode::OK);
    assert_eq!(node.shown(&one, "/files").await["items"], json!([]));
    assert_eq!(node.shown(&share, "").await["files"], 0);
    let gone = node.guest(&one, &format!("/files/{file}/thumbnail")).await;
    assert_eq!(problem(gone).await, is(404, "not_found"));
}

#[tokio::test]
async fn a_link_opens_nothing_once_its_time_is_over_or_its_maker_is_out() {
    let node = Node::start().await;
    let file = node.add(&picture(), "a.gif", json!({})).await;
    let short = json!({"title": "x", "file": file, "expiresIn": 1});
    let short = node.share(&short).await;
    let mut over = node.guest(&short, "").await;
    for _ in 0..3000 {
        if over.status() != StatusCode::OK {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        over = node.guest(&short, "").await;
    }
    nothing(over).await;

    let token = json!({"name": "sharer", "scope": "write"});
    let token = node.post_json("/api/v1/tokens", &token).await;
    let token: Value = token.json().await.unwrap();
    let body = json!({"title": "x", "file": file});
    let made = node.stranger(Method::POST, "/api/v1/shares").json(&body);
    let made = made.bearer_auth(token["token"].as_str().unwrap());
    let share: Value = made.send().await.unwrap().json().await.unwrap();
    assert_eq!(node.shown(&share, "").await["files"], 1);
    let path = format!("/api/v1/tokens/{}", token["id"].as_str().unwrap());
    let revoked = node.call(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    nothing(node.guest(&share, "/files").await).await;
    let listed = node.get_json("/api/v1/shares").await;
    let states: Vec<&Value> = (0..2).map(|at| &listed["items"][at]["state"]).collect();
    assert_eq!(states, ["expired", "unbacked"]);
}

#[tokio::test]
async fn a_link_with_a_password_opens_to_whoever_knows_it() {
    let node = Node::start().await;
    let file = node.add(&picture(), "a.gif", json!({})).await;
    let body = json!({"title": "x", "file": file, "password": "open sesame"});
    let share = node.share(&body).await;
    assert_eq!(share["hasPassword"], true);
    for rest in ["", "/files", &format!("/files/{file}/thumbnail")] {
        let locked = node.guest(&share, rest).await;
        assert_eq!(problem(locked).await, is(403, "share_locked"), "{rest}");
    }
    let path = share["path"].as_str().unwrap();
    let unlock = |password: &str| {
        let call = node.stranger(Method::POST, &format!("{path}/unlock"));
        call.json(&json!({"password": password}))
    };
    assert_eq!(
        refused(unlock("open barley")).await,
        is(403, "share_locked")
    );
    let open = unlock("open sesame").send().await.unwrap();
    assert_eq!(open.status(), StatusCode::OK);
    let cookie = open.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let pass: Value = open.json().await.unwrap();
    let pass = pass["pass"].as_str().unwrap();
    let (until, proof) = pass.split_once('.').unwrap();
    let later = format!("{}.{proof}", until.parse::<u64>().unwrap() + 1);
    let pair = cookie.split(';').next().unwrap();
    for (name, value, status) in [
        ("starling-share-pass", pass, StatusCode::OK),
        ("cookie", pair, StatusCode::OK),
        ("starling-share-pass", later.as_str(), StatusCode::FORBIDDEN),
        ("starling-share-pass", "x", StatusCode::FORBIDDEN),
    ] {
        let call = node.stranger(Method::GET, path).header(name, value);
        assert_eq!(
            call.send().await.unwrap().status(),
            status,
            "{name}: {value}"
        );
    }
    let other = node.share(&body).await;
    let call = node.stranger(Method::GET, other["path"].as_str().unwrap());
    let foreign = call.header("starling-share-pass", pass);
    assert_eq!(refused(foreign).await, is(403, "share_locked"));
}
