//! Who may do what, and what nobody may.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Node, is, problem, refused};
use crate::init::HttpSecurity;

#[tokio::test]
async fn strangers_see_public_pages_and_learn_nothing_else() {
    let node = Node::start().await;
    for public in [
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs/",
        "/api/v1/limits",
    ] {
        let answer = node.stranger(Method::GET, public).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{public}");
        assert_eq!(answer.headers()["starling-node"], "n1", "{public}");
        assert!(answer.headers().contains_key("starling-height"), "{public}");
    }
    let start = node.stranger(Method::GET, "/").send().await.unwrap();
    assert_eq!(start.headers()["location"], "/docs/");
    for (method, path) in [
        (Method::GET, "/api/v1/files?limit=many"),
        (Method::GET, "/api/v1/nowhere"),
        (Method::GET, "/api/v1/ledger/head"),
        (Method::POST, "/api/v1/records"),
        (Method::GET, "/api/v1/tokens"),
        (Method::PATCH, "/api/v1/files/x"),
    ] {
        let answer = node.stranger(method.clone(), path).send().await.unwrap();
        assert!(
            answer.headers().contains_key("www-authenticate"),
            "{method} {path}"
        );
        assert_eq!(
            problem(answer).await,
            is(401, "unauthenticated"),
            "{method} {path}"
        );
        let wrong = "stl_0011223344556677_wrong";
        let wrong = node.stranger(method, path).bearer_auth(wrong);
        assert_eq!(refused(wrong).await, is(401, "unauthenticated"), "{path}");
    }
    assert_eq!(
        refused(node.call(Method::GET, "/api/v1/nowhere")).await,
        is(404, "not_found")
    );
    let method = node.call(Method::DELETE, "/api/v1/records");
    assert_eq!(refused(method).await, is(405, "method_not_allowed"));
}

#[tokio::test]
async fn a_token_may_what_its_scope_says_until_it_is_revoked() {
    let node = Node::start().await;
    let body = json!({"name": "reader", "scope": "read"});
    let create = || {
        node.call(Method::POST, "/api/v1/tokens")
            .header("idempotency-key", "k")
    };
    let created = create().json(&body).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let created: serde_json::Value = created.json().await.unwrap();
    let (token, id) = (
        created["token"].as_str().unwrap(),
        created["id"].as_str().unwrap(),
    );
    let again: serde_json::Value = create()
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        again, created,
        "a retry gets the first answer, secret and all"
    );
    let other = create().json(&json!({"name": "other", "scope": "read"}));
    assert_eq!(refused(other).await, is(422, "idempotency_key_reused"));

    let reader = |method, path: &str| node.stranger(method, path).bearer_auth(token);
    let head = reader(Method::GET, "/api/v1/ledger/head")
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let verify = reader(Method::POST, "/api/v1/ledger/verify")
        .send()
        .await
        .unwrap();
    assert_eq!(verify.status(), StatusCode::OK, "a check changes nothing");
    assert_eq!(
        refused(reader(Method::POST, "/api/v1/records")).await,
        is(403, "forbidden")
    );
    assert_eq!(
        refused(reader(Method::GET, "/api/v1/tokens")).await,
        is(403, "forbidden")
    );

    let list = node.get_json("/api/v1/tokens").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains("secret"));
    let path = format!("/api/v1/tokens/{id}");
    let revoked = node.call(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    let late = reader(Method::GET, "/api/v1/ledger/head");
    assert_eq!(refused(late).await, is(401, "unauthenticated"));
    let admin = list["items"][0]["id"].as_str().unwrap();
    let last = node.call(Method::DELETE, &format!("/api/v1/tokens/{admin}"));
    assert_eq!(refused(last).await, is(422, "refused"));
}

#[tokio::test]
async fn heights_and_patience_are_kept() {
    let node = Node::start().await;
    let far = node
        .call(Method::GET, "/api/v1/files")
        .header("starling-min-height", "1000000")
        .header("prefer", "wait=0");
    assert_eq!(refused(far).await, is(503, "behind"));
    let wrong = node
        .call(Method::GET, "/api/v1/files")
        .header("starling-min-height", "far");
    assert_eq!(refused(wrong).await, is(400, "invalid_header"));
    let written = node
        .call(Method::POST, "/api/v1/records")
        .body("x")
        .send()
        .await
        .unwrap();
    let height = written.headers()["starling-height"]
        .to_str()
        .unwrap()
        .to_owned();
    let read = node
        .call(Method::GET, "/api/v1/files?consistency=linearizable")
        .header("starling-min-height", &height)
        .send()
        .await
        .unwrap();
    assert_eq!(read.status(), StatusCode::OK);
    let seen: u64 = read.headers()["starling-height"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(seen >= height.parse().unwrap());
    let unknown = node.call(Method::GET, "/api/v1/files?library=secret");
    assert_eq!(refused(unknown).await, is(404, "not_found"));
    let misspelt = node.call(Method::GET, "/api/v1/files?querry=x");
    assert_eq!(refused(misspelt).await, is(400, "invalid_parameter"));
}

#[tokio::test]
async fn the_cluster_is_one_node_with_one_history() {
    let node = Node::start().await;
    let mut cluster = node.get_json("/api/v1/cluster").await;
    while cluster["nodes"][0]["state"] == "starting" {
        // What is shown may be a moment old.
        cluster = node.get_json("/api/v1/cluster").await;
    }
    assert_eq!(cluster["quorum"], 1);
    assert_eq!(cluster["survives"], json!({"ledger": 0, "bytes": 0}));
    assert_eq!(cluster["agreement"]["identical"], true);
    assert_eq!(cluster["nodes"][0]["name"], "n1");
    assert_eq!(cluster["nodes"][0]["state"], "up");
    assert_eq!(cluster["nodes"][0]["url"], node.url);
}

#[tokio::test]
async fn https_shows_a_certificate_of_the_clusters_authority() {
    let node = Node::start_with(HttpSecurity::ClusterTls).await;
    assert!(node.url.starts_with("https://"), "{}", node.url);
    let head = node.get("/api/v1/ledger/head").await;
    assert_eq!(head.status(), StatusCode::OK);
    let plain = node.url.replace("https://", "http://");
    let plain = reqwest::get(format!("{plain}/healthz")).await;
    assert!(plain.is_err(), "no plain text on a port for TLS");
}
