//! What operators see: numbers, logs, and the dashboard and alerts made from them.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::harness::{Cluster, Setup, until};

/// A trace that a client says its request is part of.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_dashboard_and_alerts_is_shown_and_every_metric_shown_is_documented() {
    let store = tempfile::tempdir().expect("a temporary folder");
    let url = format!("file://{}", store.path().display());
    let setup = Setup {
        environment: vec![("STARLING_ARCHIVE_URL", url)],
        ..Setup::default()
    };
    let cluster = Cluster::start_with(3, setup).await;
    let added = cluster
        .api(1)
        .upload("a.txt", b"some text", &json!({}))
        .await;
    added.expect(201, "");
    let text = metrics_of(&cluster.api(0)).await;
    let shown = names_shown(&text);
    for file in [
        "deploy/grafana/starling.json",
        "deploy/prometheus/alerts.yml",
    ] {
        let missing: Vec<String> = names_in(&repository_file(file))
            .into_iter()
            .filter(|name| !shown.contains(base_name(name, &shown)))
            .collect();
        assert!(missing.is_empty(), "{file} names {missing:?}, not shown");
    }
    let documented = names_in(&repository_file("docs/operations.md"));
    let undocumented: Vec<&String> = shown.difference(&documented).collect();
    assert!(
        undocumented.is_empty(),
        "docs/operations.md lacks {undocumented:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_tell_what_happened_and_who_is_missing() {
    let mut cluster = Cluster::start(3).await;
    let bytes = b"the only file so far";
    let added = cluster.api(0).upload("a.txt", bytes, &json!({})).await;
    added.expect(201, "");
    let (height, _) = cluster.until_heads_equal().await;
    let text = metrics_of(&cluster.api(0)).await;
    let value = |series: &str| sample(&text, series);
    assert_eq!(value("starling_has_quorum"), Some(1.0));
    assert_eq!(value("starling_voting"), Some(1.0));
    assert!(value("starling_head_height") >= Some(height as f64));
    assert_eq!(
        value("starling_upload_bytes_total"),
        Some(bytes.len() as f64)
    );
    assert_eq!(
        value("starling_blob_copies_total{result=\"stored\"}"),
        Some(1.0)
    );
    assert_eq!(value("starling_peer_up{peer=\"n3\"}"), Some(1.0));
    assert!(value("starling_fsync_seconds_count") > Some(0.0));
    assert!(value("starling_decide_seconds_count") > Some(0.0));
    assert!(value("process_resident_memory_bytes") > Some(1e6));
    assert!(value("process_cpu_seconds_total") > Some(0.0));
    let posts =
        "starling_http_requests_total{method=\"POST\",route=\"/api/v1/files\",status=\"2xx\"}";
    assert_eq!(value(posts), Some(1.0));

    cluster.kill(2);
    let api = cluster.api(0);
    until("the dead node is missed", async || {
        let text = metrics_of(&api).await;
        (sample(&text, "starling_peer_up{peer=\"n3\"}") == Some(0.0)).then_some(())
    })
    .await;
    let text = metrics_of(&api).await;
    assert_eq!(sample(&text, "starling_has_quorum"), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_logs_follow_the_schema_and_hold_no_secret() {
    let setup = Setup {
        environment: vec![
            ("STARLING_LOG", "trace".to_owned()),
            ("STARLING_LOG_FORMAT", "json".to_owned()),
        ],
        ..Setup::default()
    };
    let mut cluster = Cluster::start_with(2, setup).await;
    let admin = cluster.api(0);
    let token = admin.create_token("write").await;
    let writer = admin.with_token(&token);
    let metadata = json!({ "title": "a-title-nobody-logs" });
    let body = b"bytes-nobody-logs";
    writer
        .upload("a-name-nobody-logs.txt", body, &metadata)
        .await
        .expect(201, "");
    let pasted = format!("/files/{token}");
    writer.get(&pasted).await.expect(404, "not_found");
    let traced = writer.request(Method::GET, "/files?q=a-search-nobody-logs&limit=1");
    let traced = traced.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    writer.send(traced).await.expect(200, "");
    let wrong = writer.with_token("stl_00112233445566ff_wrong-secret");
    wrong.get("/files").await.expect(401, "unauthenticated");
    cluster.stop(0).await;

    let log = std::fs::read_to_string(cluster.node(0).log()).expect("a log");
    for secret in [
        secret_of(cluster.token()),
        secret_of(&token),
        "wrong-secret",
        "nobody-logs",
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} stands in {line:?}");
    }
    check_lines(&log);
}

fn check_lines(log: &str) {
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for name in ["@timestamp", "log.level", "message", "ecs.version"] {
            assert!(line[name].is_string(), "{name} in {line}");
        }
        assert_eq!(line["service.name"], "starling");
        assert_eq!(line["service.node.name"], "n1");
    }
    let said = |message: &str| lines.iter().any(|line| line["message"] == message);
    for message in ["starting", "serving", "stopping", "stopped"] {
        assert!(said(message), "{message}");
    }
    let answered = lines
        .iter()
        .find(|line| line["trace.id"] == TRACE && line["message"] == "request answered");
    let answered = answered.expect("the traced request's line");
    assert_eq!(answered["http.request.method"], "GET");
    assert_eq!(answered["http.response.status_code"], 200);
    assert_eq!(answered["url.path"], "/api/v1/files");
    assert_eq!(answered["log.level"], "debug");
    assert!(answered["event.duration"].as_u64() > Some(0));
}

/// The half of a token that only its owner knows.
fn secret_of(token: &str) -> &str {
    let (_, rest) = token.split_once('_').expect("a prefix");
    rest.split_once('_').expect("an id").1
}

async fn metrics_of(api: &Api) -> String {
    let answer = api.page("/metrics").await.expect(200, "");
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    String::from_utf8(answer.bytes).expect("UTF-8")
}

/// The value of one series.
fn sample(text: &str, series: &str) -> Option<f64> {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    values.next()?.parse().ok()
}

fn names_shown(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// Everything in a text that looks like one of our metrics, or like one of a process.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let names = words.filter(|word| word.starts_with("starling_") || word.starts_with("process_"));
    names.map(str::to_owned).collect()
}

/// A histogram's series have endings that its family does not have.
fn base_name<'a>(name: &'a str, shown: &BTreeSet<String>) -> &'a str {
    let endings = ["_bucket", "_sum", "_count"].into_iter();
    let mut bases = endings.filter_map(|ending| name.strip_suffix(ending));
    bases.find(|base| shown.contains(*base)).unwrap_or(name)
}

fn repository_file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
