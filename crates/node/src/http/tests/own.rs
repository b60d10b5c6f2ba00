//! People's own fields, tags and operations over many files, on several nodes.

use std::sync::Arc;
use std::time::Duration;

use model::Digest;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Node, is, refused};
use crate::config::{self, NodeConfig};
use crate::init::HttpSecurity;

impl Node {
    /// What the node has once it has seen what `seen` has.
    async fn get_seen(&self, path: &str, seen: &Node) -> Value {
        let height = seen.get("/api/v1/limits").await.headers()["starling-height"].clone();
        let call = self.call(Method::GET, path);
        let answer = call
            .header("starling-min-height", height)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn patch(&self, id: &str, query: &str, body: Value) -> reqwest::Response {
        let path = format!("/api/v1/files/{id}{query}");
        let call = self.call(Method::PATCH, &path).header("if-match", "*");
        call.json(&body).send().await.unwrap()
    }

    async fn define(&self, name: &str, body: Value) -> reqwest::Response {
        let call = self.call(Method::PUT, &format!("/api/v1/fields/{name}"));
        call.json(&body).send().await.unwrap()
    }

    /// Waits until an operation is over; every look waits for an answer, so this does not spin.
    async fn finished(&self, operation: &Value) -> Value {
        let path = format!("/api/v1/operations/{}", operation["id"].as_str().unwrap());
        for _ in 0..3000 {
            let now = self.get(&path).await;
            if now.status() == StatusCode::OK {
                let now: Value = now.json().await.unwrap();
                if now["state"] == "done" {
                    return now;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{operation} does not end");
    }
}

/// The same node, started again without its catalogue.
async fn without_catalogue(node: Node) -> Node {
    let (name, client) = (node.name.clone(), node.client.clone());
    let (url, token) = (node.url.clone(), node.token.clone());
    let home = Arc::clone(&node.home);
    node.stop().await;
    let folder = home.path().join("cluster").join(&name);
    for file in [
        "catalogue.sqlite",
        "catalogue.sqlite-wal",
        "catalogue.sqlite-shm",
    ] {
        _ = std::fs::remove_file(folder.join(file));
    }
    let config = NodeConfig::load(&folder.join(config::FILE_NAME)).unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let serving = tokio::spawn(async move { crate::serve(config, stopped).await.unwrap() });
    Node {
        name,
        client,
        url,
        token,
        home,
        stop,
        serving,
    }
}

/// What two nodes' catalogues say, once they have come to the same height.
async fn digests(one: &Node, other: &Node) -> [Digest; 2] {
    let read = |node: &Node| {
        let path = node.home.path().join("cluster").join(&node.name);
        let reader = catalogue::Reader::open(&path.join("catalogue.sqlite")).unwrap();
        reader.digest().unwrap().unwrap()
    };
    for _ in 0..3000 {
        let ((height, digest), (at, found)) = (read(one), read(other));
        if height == at {
            return [digest, found];
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the nodes do not come to one height");
}

async fn begun(answer: reqwest::Response) -> Value {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    body
}

async fn faults(answer: reqwest::Response) -> Vec<String> {
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let body: Value = answer.json().await.unwrap();
    let faults = body["errors"].as_array().unwrap();
    faults
        .iter()
        .map(|fault| fault["pointer"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_field_is_defined_on_one_node_filled_on_another_and_found_on_the_third() {
    let nodes = Node::cluster(3, HttpSecurity::Plain).await;
    let [one, two, three] = nodes.as_slice() else {
        panic!("three nodes")
    };
    let price = json!({"type": "number", "unit": "EUR", "description": "what it cost"});
    assert_eq!(
        one.define("price", price.clone()).await.status(),
        StatusCode::CREATED
    );
    assert_eq!(one.define("price", price).await.status(), StatusCode::OK);
    let colours = json!({"type": "keyword", "list": true, "allowed": ["red", "blue"]});
    one.define("colour", colours).await;
    let id = one.add(b"a", "a.txt", json!({})).await;
    two.get_seen("/api/v1/fields", one).await;
    let filled = two
        .patch(
            &id,
            "",
            json!({"fields": {"price": 12.5, "colour": ["red"]}}),
        )
        .await;
    assert_eq!(filled.status(), StatusCode::OK);
    let filled: Value = filled.json().await.unwrap();
    assert_eq!(filled["fields"], json!({"price": 12.5, "colour": ["red"]}));
    let found = three
        .get_seen("/api/v1/files?q=field.price%3E10%20field.colour:red", two)
        .await;
    assert_eq!(found["items"], json!([filled]));

    let wrong = json!({"fields": {"price": "dear", "colour": ["red", "green"], "size": 1}});
    let mut pointers = faults(two.patch(&id, "", wrong).await).await;
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        ["/fields/colour", "/fields/price", "/fields/size"]
    );

    let renamed = one
        .define("price", json!({"name": "cost", "type": "number"}))
        .await;
    assert_eq!(renamed.status(), StatusCode::OK);
    let file = three.get_seen(&format!("/api/v1/files/{id}"), one).await;
    assert_eq!(file["fields"]["cost"], 12.5);
    let history = three.get_json(&format!("/api/v1/files/{id}/history")).await;
    assert_eq!(history["items"][1]["changes"][0]["field"], "fields.cost");
    let typed = one
        .call(Method::PUT, "/api/v1/fields/cost")
        .json(&json!({"type": "text"}));
    assert_eq!(refused(typed).await, is(422, "refused"));
    let retired = one
        .call(Method::DELETE, "/api/v1/fields/cost")
        .send()
        .await
        .unwrap();
    assert_eq!(retired.status(), StatusCode::NO_CONTENT);
    let fields = two.get_seen("/api/v1/fields", one).await;
    assert_eq!(fields["items"][1]["retired"], true);
    assert_eq!(
        faults(two.patch(&id, "", json!({"fields": {"cost": 1}})).await).await,
        ["/fields/cost"]
    );
    let unknown = two.call(Method::GET, "/api/v1/files?q=field.cost%3E1");
    assert_eq!(refused(unknown).await, is(400, "invalid_query"));
}

#[tokio::test]
async fn a_program_changes_nothing_that_a_user_has_spoken_of() {
    let node = Node::start().await;
    let id = node
        .add(b"a", "a.txt", json!({"tags": ["cat", "dog"], "rating": 2}))
        .await;
    node.patch(&id, "", json!({"tags": ["cat"]})).await;
    let body = json!({"rating": 5, "title": "A cat", "tags": ["dog", "animal"]});
    let changed = node.patch(&id, "?source=model", body).await;
    let file: Value = changed.json().await.unwrap();
    assert_eq!(
        (&file["rating"], &file["title"]),
        (&json!(2), &json!("A cat"))
    );
    assert_eq!(file["tags"], json!(["cat", "animal"]));
    let history = node.get_json(&format!("/api/v1/files/{id}/history")).await;
    assert_eq!(history["items"][2]["changes"][0]["source"], "model");
    let nonsense = node
        .patch(&id, "?source=nobody", json!({"rating": 1}))
        .await;
    assert_eq!(nonsense.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_tag_is_renamed_with_what_is_below_it() {
    let node = Node::start().await;
    let id = node
        .add(b"a", "a.txt", json!({"tags": ["Places/UK/London"]}))
        .await;
    let body = json!({"from": "places/uk", "to": "places/britain"});
    let renamed = node.post_json("/api/v1/tags/rename", &body).await;
    assert_eq!(renamed.status(), StatusCode::OK);
    let file = node.get_json(&format!("/api/v1/files/{id}")).await;
    assert_eq!(
        (&file["tags"], &file["version"]),
        (&json!(["places/britain/London"]), &json!(2))
    );
    let tags = node.get_json("/api/v1/tags?prefix=PLACES").await;
    assert_eq!(tags["items"][0]["tag"], "places/britain/London");
    assert_eq!(
        node.get_json("/api/v1/tags?prefix=place").await["items"],
        json!([])
    );
    let nonsense = json!({"from": "a//b", "to": 5});
    let answer = node.post_json("/api/v1/tags/rename", &nonsense).await;
    assert_eq!(faults(answer).await, ["/from", "/to"]);
}

#[tokio::test]
async fn many_files_are_changed_at_once_and_changed_back() {
    let nodes = Node::cluster(3, HttpSecurity::Plain).await;
    let [one, two, three] = nodes.as_slice() else {
        panic!("three nodes")
    };
    let mut ids = Vec::new();
    for number in 0..12 {
        let name = format!("{number}.txt");
        ids.push(
            one.add(name.as_bytes(), &name, json!({"tags": ["trip"]}))
                .await,
        );
    }
    let ops = json!([{"op": "addTags", "tags": ["seen"]}, {"op": "set", "values": {"rating": 3}}]);
    let ask = |dry| json!({"select": {"query": "tag:trip"}, "ops": ops, "dryRun": dry});
    two.get_seen("/api/v1/tags", one).await;
    let dry: Value = two
        .post_json("/api/v1/bulk", &ask(true))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&dry["selected"], &dry["dryRun"]),
        (&json!(12), &json!(true))
    );
    let operation = begun(two.post_json("/api/v1/bulk", &ask(false)).await).await;
    let done = three.finished(&operation).await;
    assert_eq!(
        (&done["kind"], &done["files"]["changed"]),
        (&json!("bulk"), &json!(12))
    );
    let path = format!("/api/v1/files/{}/history", ids[3]);
    let history = three.get_json(&path).await;
    let name = format!(
        "bulk-{}",
        history["items"][1]["operation"].as_str().unwrap()
    );
    assert_eq!(operation["id"], name.as_str());

    three.patch(&ids[5], "", json!({"rating": 5})).await;
    one.get_seen("/api/v1/tags", three).await;
    let undo = format!(
        "/api/v1/operations/{}/undo",
        operation["id"].as_str().unwrap()
    );
    let undone = begun(one.call(Method::POST, &undo).send().await.unwrap()).await;
    let undone = two.finished(&undone).await;
    assert_eq!(
        (&undone["kind"], &undone["files"]["changed"]),
        (&json!("undo"), &json!(11))
    );
    let odd = json!([{"id": ids[5], "result": "skipped", "detail": "rating"}]);
    assert_eq!(undone["files"]["odd"], odd);
    let found = two.get_json("/api/v1/files?q=tag:seen").await;
    assert_eq!(found["total"], 0);
    assert_eq!(two.get_json("/api/v1/files?q=rating:5").await["total"], 1);
    assert_eq!(two.get_json("/api/v1/files?q=rating:3").await["total"], 0);
}

#[tokio::test]
async fn an_operation_on_named_files_is_over_when_it_is_answered_and_is_the_same_when_asked_again()
{
    let nodes = Node::cluster(3, HttpSecurity::Plain).await;
    let [one, two, _] = nodes.as_slice() else {
        panic!("three nodes")
    };
    let id = one.add(b"a", "a.txt", json!({})).await;
    let absent = "0".repeat(64);
    two.get_seen("/api/v1/tags", one).await;
    let body = json!({"select": {"ids": [id, absent]}, "ops": [{"op": "addTags", "tags": ["x"]}]});
    let ask = |node: &Node| {
        let call = node.call(Method::POST, "/api/v1/bulk").json(&body);
        call.header("idempotency-key", "k").send()
    };
    let first = begun(ask(two).await.unwrap()).await;
    assert_eq!(
        (&first["state"], &first["missing"]),
        (&json!("done"), &json!([absent]))
    );
    assert_eq!(first["files"]["changed"], 1);
    let again = begun(ask(one).await.unwrap()).await;
    assert_eq!(again, first);
    assert_eq!(
        one.get_json(&format!("/api/v1/files/{id}")).await["version"],
        2
    );
    let path = format!("/api/v1/operations/{}/files", first["id"].as_str().unwrap());
    let page = one.get_json(&path).await;
    assert_eq!(
        page["items"],
        json!([{"id": id, "result": "changed", "detail": ""}])
    );
}

#[tokio::test]
async fn an_operation_that_makes_no_sense_is_refused() {
    let node = Node::start().await;
    let tag = json!([{"op": "addTags", "tags": ["x"]}]);
    for (body, places) in [
        (json!({"select": {}, "ops": tag}), vec!["/select"]),
        (
            json!({"select": {"ids": ["x"]}, "ops": tag}),
            vec!["/select/ids/0"],
        ),
        (
            json!({"select": {"query": "colour:red"}, "ops": tag}),
            vec!["/select/query"],
        ),
        (json!({"select": {"query": ""}, "ops": []}), vec!["/ops"]),
        (
            json!({"select": {"query": ""}, "ops": [{"op": "burn"}]}),
            vec!["/ops/0/op"],
        ),
        (
            json!({"select": {"query": ""}, "ops": [{"op": "set", "values": {"rating": 9}}]}),
            vec!["/ops/0/values/rating"],
        ),
        (
            json!({"select": {"query": ""}, "ops": [{"op": "setZone", "tags": []}]}),
            vec!["/ops/0/tags"],
        ),
    ] {
        let answer = node.post_json("/api/v1/bulk", &body).await;
        assert_eq!(faults(answer).await, places, "{body}");
    }
    let nothing = format!("/api/v1/operations/bulk-{}", "0".repeat(32));
    assert_eq!(
        refused(node.call(Method::GET, &nothing)).await,
        is(404, "not_found")
    );
    let undo = node.call(Method::POST, &format!("{nothing}/undo"));
    assert_eq!(refused(undo).await, is(404, "not_found"));
}

#[tokio::test]
async fn an_operation_outlives_the_node_that_began_it() {
    let mut nodes = Node::cluster(3, HttpSecurity::Plain).await;
    for number in 0..20 {
        let name = format!("{number}.txt");
        nodes[0].add(name.as_bytes(), &name, json!({})).await;
    }
    let body = json!({"select": {"query": ""}, "ops": [{"op": "addTags", "tags": ["x"]}]});
    let answer = nodes[0].post_json("/api/v1/bulk", &body).await;
    let operation = begun(answer).await;
    drop(nodes.remove(0));
    let done = nodes[0].finished(&operation).await;
    assert_eq!(done["files"]["changed"], 20);
    let found = nodes[1].get_seen("/api/v1/files?q=tag:x", &nodes[0]).await;
    assert_eq!(found["total"], 20);
}

#[tokio::test]
async fn who_reads_the_chain_after_a_purge_of_one_of_many_files_comes_to_the_same() {
    let mut nodes = Node::cluster(3, HttpSecurity::Plain).await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(nodes[0].add(name.as_bytes(), name, json!({})).await);
    }
    let ops = json!([{"op": "addTags", "tags": ["x"]}, {"op": "set", "values": {"rating": 1}}]);
    let body = json!({"select": {"query": ""}, "ops": ops});
    let operation = begun(nodes[0].post_json("/api/v1/bulk", &body).await).await;
    nodes[0].finished(&operation).await;
    let purge = format!("/api/v1/files/{}?purge=true", ids[1]);
    let purged = nodes[0].call(Method::DELETE, &purge).send().await.unwrap();
    let purged = begun(purged).await;
    nodes[0].finished(&purged).await;
    let last = without_catalogue(nodes.pop().unwrap()).await;
    last.wait_until_it_decides().await;
    let undo = format!(
        "/api/v1/operations/{}/undo",
        operation["id"].as_str().unwrap()
    );
    let undone = begun(last.call(Method::POST, &undo).send().await.unwrap()).await;
    let undone = last.finished(&undone).await;
    assert_eq!(undone["files"]["changed"], 2);
    let rename = json!({"from": "x", "to": "y"});
    last.post_json("/api/v1/tags/rename", &rename).await;
    let [one, other] = digests(&nodes[0], &last).await;
    assert_eq!(one, other);
    let path = format!("/api/v1/operations/{}", operation["id"].as_str().unwrap());
    assert_eq!(last.get_json(&path).await["files"]["changed"], 2);
}

#[tokio::test]
async fn an_album_made_on_one_node_is_filled_on_another_and_looked_at_on_the_third() {
    let nodes = Node::cluster(3, HttpSecurity::Plain).await;
    let [one, two, three] = nodes.as_slice() else {
        panic!("three nodes")
    };
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(one.add(name.as_bytes(), name, json!({"tags": ["t"]})).await);
    }
    let album = made(one, &json!({"name": "Wedding"})).await;
    let path = format!("/api/v1/albums/{}", album["id"].as_str().unwrap());
    two.get_seen(&path, one).await;
    let put = two.call(Method::PUT, &format!("{path}/files"));
    let absent = "0".repeat(64);
    let put = put
        .json(&json!({"ids": [ids[2], ids[0], absent]}))
        .send()
        .await
        .unwrap();
    let put: Value = put.json().await.unwrap();
    assert_eq!(put, json!({"files": 2, "missing": [absent]}));
    let files = three.get_seen(&format!("{path}/files"), two).await;
    assert_eq!(names(&files), ["c", "a"]);
    let ops = json!([{"op": "addToAlbum", "album": album["id"]}]);
    let body = json!({"select": {"ids": [ids[1]]}, "ops": ops});
    begun(three.post_json("/api/v1/bulk", &body).await).await;
    let page = three.get_json(&format!("{path}/files?limit=2")).await;
    let cursor = page["nextCursor"].as_str().unwrap();
    let next = format!("{path}/files?limit=2&cursor={cursor}");
    assert_eq!(names(&three.get_json(&next).await), ["b"]);
    let cover = json!({"name": "Wedding 2024", "cover": ids[0]});
    let changed = three
        .call(Method::PUT, &path)
        .json(&cover)
        .send()
        .await
        .unwrap();
    let changed: Value = changed.json().await.unwrap();
    assert_eq!(
        (&changed["cover"], &changed["files"]),
        (&json!(ids[0]), &json!(3))
    );
    let gone = three.call(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let file = two
        .get_seen(&format!("/api/v1/files/{}", ids[0]), three)
        .await;
    assert_eq!(file["albums"], json!([]));
    let unknown = two
        .patch(&ids[0], "", json!({"albums": [album["id"]]}))
        .await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

async fn made(node: &Node, album: &Value) -> Value {
    let made = node.post_json("/api/v1/albums", album).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    made.json().await.unwrap()
}

fn names(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|file| file["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_album_with_a_rule_never_asks_for_itself() {
    let node = Node::start().await;
    node.add(b"a", "a", json!({"tags": ["t"]})).await;
    let outer = made(&node, &json!({"name": "Trips"})).await;
    made(&node, &json!({"name": "Rule", "query": "tag:t"})).await;
    assert_eq!(
        names(&node.get_json("/api/v1/files?q=album:rule").await),
        ["a"]
    );
    let looped = json!({"name": "Loop", "parent": outer["id"], "query": "-album:Trips"});
    made(&node, &looped).await;
    let asked = node.call(Method::GET, "/api/v1/files?q=album:Loop");
    assert_eq!(refused(asked).await, is(400, "invalid_query"));
    let wrong = json!({"name": "", "parent": 5, "query": "colour:red"});
    let wrong = node.post_json("/api/v1/albums", &wrong).await;
    assert_eq!(faults(wrong).await, ["/name", "/parent", "/query"]);
}
