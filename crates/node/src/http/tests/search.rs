//! Searching by text and by tree, and what is counted over what is found.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Node, is, refused};

/// Three files of two days, with and without a place.
async fn library() -> Node {
    let node = Node::start().await;
    let files = [
        (
            "a.txt",
            json!({"tags": ["places/UK", "beach"], "rating": 4, "favourite": true,
            "takenAt": {"local": "2019-07-04T18:03:00"}, "place": {"lat": 51.5, "lon": -0.1}}),
        ),
        (
            "b.txt",
            json!({"tags": ["places/UK/London"], "title": "Été à Paris",
            "takenAt": {"local": "2019-07-05T09:00:00"}, "place": {"lat": 51.6, "lon": -0.2}}),
        ),
        ("c.txt", json!({"tags": ["work"]})),
    ];
    for (name, metadata) in files {
        node.add(name.as_bytes(), name, metadata).await;
    }
    node
}

fn names(found: &Value) -> Vec<&str> {
    let items = found["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_tree_finds_what_its_text_finds() {
    let node = library().await;
    for text in [
        "tag:places/uk",
        "ete -beach",
        "taken:2019-07 rating>=3",
        "uploaded:1h size<100",
    ] {
        let path = format!(
            "/api/v1/files?q={}&limit=1",
            text.replace(' ', "+").replace(">=", "%3E%3D")
        );
        let by_text = node.get_json(&path).await;
        let mut tree = by_text["tree"].clone();
        tree["limit"] = json!(1);
        let by_tree: Value = node
            .post_json("/api/v1/search", &tree)
            .await
            .json()
            .await
            .unwrap();
        assert_eq!(by_tree, by_text, "{text}");
        assert_eq!(names(&by_tree).len(), 1, "{text}");
    }
    let next = json!({"filter": {"has": "gps"}, "sort": "name", "limit": 1});
    let first: Value = node
        .post_json("/api/v1/search", &next)
        .await
        .json()
        .await
        .unwrap();
    let mut second = next.clone();
    second["cursor"] = first["nextCursor"].clone();
    let second: Value = node
        .post_json("/api/v1/search", &second)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (names(&first), names(&second)),
        (vec!["a.txt"], vec!["b.txt"])
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_tree_is_named_by_its_place() {
    let node = Node::start().await;
    let cases = [
        (
            json!({"filter": {"and": [{"tag": "a"}, {"colour": "red"}]}}),
            "/filter/and/1/colour",
        ),
        (
            json!({"filter": {"rating": {"is": ">=", "value": 6}}}),
            "/filter/rating",
        ),
        (
            json!({"filter": {"near": {"lat": 1, "lon": 2}}}),
            "/filter/near/radiusM",
        ),
        (json!({"filter": {"width": {"at": 3}}}), "/filter/width/at"),
        (
            json!({"filter": {"within": [[0, 0], [1]]}}),
            "/filter/within/1",
        ),
        (json!({"filter": {"or": []}}), "/filter/or"),
        (json!({"filter": {"sort": "name"}}), "/filter/sort"),
        (json!({"filter": {}}), "/filter"),
        (json!({"in": "bin"}), "/in"),
        (json!({"sort": "date"}), "/sort"),
        (json!({"q": "beach"}), "/q"),
        (json!({"limit": 0}), "/limit"),
        (json!({"cursor": 7}), "/cursor"),
        (json!([]), ""),
    ];
    for (tree, pointer) in cases {
        let answer = node.post_json("/api/v1/search", &tree).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{tree}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "invalid_body", "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn properties_are_counted_over_what_is_found() {
    let node = library().await;
    let answer = node
        .get_json("/api/v1/facets?q=has:taken&by=tag,year,rating,favourite,type&limit=2")
        .await;
    assert_eq!(answer["total"], 2);
    assert_eq!(answer["query"], "has:taken");
    let facets = &answer["facets"];
    assert_eq!(facets["tag"]["distinct"], 4);
    let first = json!({"value": "places", "count": 2, "term": "tag:places"});
    assert_eq!(facets["tag"]["values"][0], first);
    assert_eq!(facets["tag"]["values"][1]["value"], "places/UK");
    let year = json!([{"value": "2019", "count": 2, "term": "taken:2019"}]);
    assert_eq!(facets["year"]["values"], year);
    assert_eq!(facets["rating"]["values"][0]["term"], "rating:4");
    assert_eq!(facets["favourite"]["values"][0]["count"], 1);
    for wrong in [
        "by=colour",
        "",
        "by=tag&limit=0",
        "by=tag&q=a:b",
        "by=tag&colour=red",
    ] {
        let call = node.call(Method::GET, &format!("/api/v1/facets?{wrong}"));
        let (status, code) = refused(call).await;
        assert_eq!(status, 400, "{wrong}: {code}");
    }
}

#[tokio::test]
async fn a_gallery_is_drawn_from_buckets_and_columns() {
    let node = library().await;
    let timeline = node.get_json("/api/v1/timeline").await;
    let buckets = json!([{"bucket": "2019-07", "count": 2}, {"bucket": "undated", "count": 1}]);
    assert_eq!(timeline["buckets"], buckets);
    assert_eq!(timeline["total"], 3);
    let columns = node.get_json("/api/v1/timeline/2019-07?limit=1").await;
    assert_eq!(columns["total"], 2);
    assert_eq!(columns["taken"], json!(["2019-07-05T09:00:00"]));
    for column in [
        "id",
        "kind",
        "ratio",
        "thumbhash",
        "durationMs",
        "favourite",
        "state",
    ] {
        assert_eq!(columns[column].as_array().unwrap().len(), 1, "{column}");
    }
    let cursor = columns["nextCursor"].as_str().unwrap();
    let rest = node
        .get_json(&format!("/api/v1/timeline/2019-07?cursor={cursor}"))
        .await;
    assert_eq!(rest["taken"], json!(["2019-07-04T18:03:00"]));
    assert_eq!(rest["nextCursor"], Value::Null);
    let day = node.get_json("/api/v1/timeline/2019-07-04?q=beach").await;
    assert_eq!(day["total"], 1);
    let undated = node.get_json("/api/v1/timeline/undated").await;
    assert_eq!(undated["taken"], json!([null]));
    for wrong in ["2019-13", "2019", "yesterday", "2019-07..2020"] {
        let call = node.call(Method::GET, &format!("/api/v1/timeline/{wrong}"));
        assert_eq!(refused(call).await, is(400, "invalid_parameter"), "{wrong}");
    }
    let foreign = format!("/api/v1/timeline/undated?cursor={cursor}");
    let foreign = refused(node.call(Method::GET, &foreign)).await;
    assert_eq!(foreign, is(400, "invalid_cursor"));
}

#[tokio::test]
async fn a_map_shows_clusters() {
    let node = library().await;
    let world = node.get_json("/api/v1/map?zoom=0").await;
    assert_eq!((&world["total"], &world["located"]), (&json!(3), &json!(2)));
    assert_eq!(world["clusters"].as_array().unwrap().len(), 1);
    assert_eq!(world["clusters"][0]["count"], 2);
    let near = node.get_json("/api/v1/map?zoom=12&bbox=-0.3,51,0,52").await;
    assert_eq!(near["clusters"].as_array().unwrap().len(), 2);
    let north = &near["clusters"][0];
    assert!(
        (north["lat"].as_f64().unwrap() - 51.6).abs() < 1e-5,
        "{north}"
    );
    let elsewhere = node.get_json("/api/v1/map?zoom=12&bbox=10,51,20,52").await;
    assert_eq!(elsewhere["clusters"], json!([]));
    for wrong in ["", "zoom=23", "zoom=-1", "zoom=1&bbox=1,2,3", "zoom=1&q=("] {
        let call = node.call(Method::GET, &format!("/api/v1/map?{wrong}"));
        assert_eq!(refused(call).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_word_goes_on_as_live_files_do() {
    let node = library().await;
    let answer = node.get_json("/api/v1/suggest?prefix=be").await;
    let terms = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["term"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(terms(&answer), ["before:", "tag:beach"]);
    assert_eq!(answer["items"][1]["count"], 1);
    let within = node.get_json("/api/v1/suggest?prefix=tag:lon").await;
    assert_eq!(terms(&within), ["tag:places/UK/London"]);
    let long = format!("/api/v1/suggest?prefix={}", "x".repeat(257));
    let long = refused(node.call(Method::GET, &long)).await;
    assert_eq!(long, is(400, "invalid_parameter"));
}
