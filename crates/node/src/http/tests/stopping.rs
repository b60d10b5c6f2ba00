//! How a node takes its leave from its clients.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use tokio::time::timeout;

use super::Node;
use crate::init::HttpSecurity;

/// Far beyond what anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_says_so_before_it_closes_its_door() {
    let node = Node::start_with(HttpSecurity::Plain).await;
    let ready = || async { node.stranger(Method::GET, "/readyz").send().await.unwrap() };
    let before = ready().await;
    assert_eq!(before.status(), StatusCode::OK);
    assert!(!is_last(&before));
    node.stop.cancel();
    let told = async {
        loop {
            let answer = ready().await;
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                return answer;
            }
        }
    };
    let told = timeout(PATIENCE, told).await.unwrap();
    assert!(is_last(&told));
    let problem: serde_json::Value = told.json().await.unwrap();
    assert_eq!(problem["code"], "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_answered_though_the_node_stops() {
    let node = Node::start_with(HttpSecurity::Plain).await;
    // It waits for a height that does not come, and has to be told so.
    let waiting = node
        .call(Method::GET, "/api/v1/files")
        .header("starling-min-height", "1000000")
        .header("prefer", "wait=2");
    let waiting = tokio::spawn(waiting.send());
    let under_way = async {
        while !metrics(&node)
            .await
            .contains("starling_http_requests_in_flight 2")
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, under_way).await.unwrap();
    node.stop().await;
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "behind");
}

/// Whether the connection ends with this answer.
fn is_last(answer: &Response) -> bool {
    let connection = answer.headers().get("connection");
    connection.is_some_and(|value| value == "close")
}

async fn metrics(node: &Node) -> String {
    let answer = node.stranger(Method::GET, "/metrics").send().await;
    answer.unwrap().text().await.unwrap()
}
