//! Numbers are for operators: who may read them, and that they count what was answered.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Node;
use crate::init::HttpSecurity;

#[tokio::test(flavor = "multi_thread")]
async fn on_the_own_machine_numbers_need_no_token_and_through_a_proxy_they_do() {
    let node = Node::start_with(HttpSecurity::Plain).await;
    let ask = || node.stranger(Method::GET, "/metrics");
    let answer = ask().send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");

    let proxied = || ask().header("x-forwarded-for", "203.0.113.5");
    let answer = proxied().send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let reader = json!({ "name": "prometheus", "scope": "read" });
    let made = node.post_json("/api/v1/tokens", &reader).await;
    let made: serde_json::Value = made.json().await.unwrap();
    let token = made["token"].as_str().unwrap();
    let answer = proxied().bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_never_by_path() {
    let node = Node::start().await;
    let id = "ab".repeat(32);
    assert_eq!(node.get(&format!("/api/v1/files/{id}")).await.status(), 404);
    assert_eq!(node.get("/somewhere/else").await.status(), 404);
    let stranger = node.stranger(Method::GET, "/api/v1/files").send().await;
    assert_eq!(stranger.unwrap().status(), 401);
    let text = node.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"starling_http_requests_total{method="GET",route="/api/v1/files/{id}",status="4xx"} 1"#,
        r#"starling_http_requests_total{method="GET",route="none",status="4xx"} 1"#,
        r#"starling_http_requests_total{method="GET",route="/api/v1/files",status="4xx"} 1"#,
        r#"starling_http_request_seconds_count{method="GET",route="/api/v1/files/{id}"} 1"#,
        "starling_http_requests_in_flight 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains(&id) && !text.contains("somewhere"));
}
