//! Pruning over HTTP, as far as a node that is minutes old goes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Node, is, refused};

const PRUNE: &str = "/api/v1/ledger/prune";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_young_is_pruned_and_only_an_administrator_may_ask() {
    let node = Node::start().await;
    let body = json!({ "name": "w", "scope": "write" });
    let made: Value = node
        .post_json("/api/v1/tokens", &body)
        .await
        .json()
        .await
        .unwrap();
    let writer = node.stranger(Method::POST, PRUNE);
    let writer = writer.bearer_auth(made["token"].as_str().unwrap());
    let order = json!({ "before": 1_000_000, "dryRun": true });
    assert_eq!(refused(writer.json(&order)).await, is(403, "forbidden"));

    let plan: Value = node.post_json(PRUNE, &order).await.json().await.unwrap();
    let expected = json!({
        "through": null, "commands": 0, "bytes": 0, "kept": 0, "prunedThrough": null, "snapshot": null,
    });
    assert_eq!(plan, expected);
    let all = node
        .call(Method::POST, PRUNE)
        .json(&json!({ "before": 1_000_000 }));
    assert_eq!(refused(all).await, is(422, "refused"));
    let wrong = node
        .call(Method::POST, PRUNE)
        .json(&json!({ "before": "soon" }));
    assert_eq!(refused(wrong).await, is(400, "invalid_body"));
    let missing = node.call(Method::GET, "/api/v1/operations/prune-1-0");
    assert_eq!(refused(missing).await, is(404, "not_found"));
}
