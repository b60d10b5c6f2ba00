//! Every node answers every question the same, whatever it went through.

use serde_json::json;

use crate::harness::{Cluster, succeed};

/// Everything that can be asked about what is found.
const QUESTIONS: [&str; 12] = [
    "/files?limit=5",
    "/files?q=tag:odd+sort:name&limit=5",
    "/files?q=name:file*+-tag:places/b&sort=-size",
    "/files?q=uploaded:1h+has:gps&sort=rating",
    "/facets?by=tag,place,year,month,type,rating,favourite,state",
    "/facets?by=tag&q=in:all+rating%3E%3D2",
    "/timeline",
    "/timeline/2019-07?q=has:gps",
    "/timeline/undated",
    "/map?zoom=3",
    "/map?zoom=18&bbox=-10,40,10,60&q=tag:odd",
    "/suggest?prefix=p",
];

/// What a node says to all of them.
async fn answers(cluster: &Cluster, node: usize) -> Vec<String> {
    let api = cluster.api(node);
    let mut answers = Vec::new();
    for question in QUESTIONS {
        let answer = api.get(question).await.expect(200, "");
        answers.push(format!("{question}: {}", answer.json()));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_count_the_same_also_after_a_restart() {
    let mut cluster = Cluster::start(3).await;
    for number in 0..24_u32 {
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        let mut metadata = json!({
            "tags": [parity, format!("places/{}", ["a", "b", "c"][number as usize % 3])],
            "rating": number % 6,
        });
        if number % 4 > 0 {
            metadata["takenAt"] = json!({"local": format!("2019-07-{:02}T10:00:00", number + 1)});
        }
        if number % 3 > 0 {
            let lat = 45.0 + f64::from(number) / 10.0;
            metadata["place"] = json!({"lat": lat, "lon": 2.5, "name": "Paris"});
        }
        let api = cluster.api(number as usize % 3);
        let name = format!("file {number}.txt");
        let added = api.upload(&name, name.as_bytes(), &metadata).await;
        let file = added.expect(201, "").json();
        if number % 8 == 0 {
            let path = format!("/files/{}", file["id"].as_str().expect("an id"));
            let trashed = api.request(reqwest::Method::DELETE, &path);
            api.send(trashed).await.expect(200, "");
        }
    }
    let (height, _) = cluster.until_heads_equal().await;
    for node in 0..3 {
        cluster.api(node).until_applied(height).await;
    }
    let first = answers(&cluster, 0).await;
    assert!(first[0].contains("\"total\":21"), "{}", first[0]);
    cluster.restart(1).await;
    cluster.kill(2);
    std::fs::remove_file(cluster.node(2).folder().join("catalogue.sqlite")).expect("removed");
    cluster.spawn(2);
    cluster.until_ready(2).await;
    // A start writes blocks of its own, which change no file.
    let forget = |answers: Vec<String>| -> Vec<serde_json::Value> {
        let parsed = answers.into_iter().map(|answer| {
            let (_, answer) = answer.split_once(": ").expect("a question");
            let mut answer: serde_json::Value = serde_json::from_str(answer).expect("JSON");
            answer["asOf"] = serde_json::Value::Null;
            answer
        });
        parsed.collect()
    };
    let (height, _) = cluster.until_heads_equal().await;
    let first = forget(first);
    for node in 0..3 {
        cluster.api(node).until_applied(height).await;
        assert_eq!(forget(answers(&cluster, node).await), first, "node {node}");
    }
    let counted = succeed(cluster.client(["search", "--count", "tag:odd"]));
    assert_eq!(counted.trim(), "12");
    let facets = succeed(cluster.client(["search", "--facets", "tag", "rating:5"]));
    assert!(facets.contains("        4  tag:odd"), "{facets}");
}
