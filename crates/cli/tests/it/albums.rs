//! Albums from the command line, the tree of tags, and what an edit would do.

use serde_json::{Value, json};

use crate::harness::{Cluster, json as parsed, json_lines, run, stderr, succeed};

fn say(cluster: &Cluster, arguments: &[&str]) -> String {
    succeed(cluster.client(arguments))
}

async fn add(cluster: &Cluster, name: &str, tags: &[&str]) -> String {
    let metadata = json!({ "tags": tags });
    let added = cluster
        .api(0)
        .upload(name, name.as_bytes(), &metadata)
        .await;
    let added = added.expect(201, "").json();
    added["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn albums_are_made_filled_moved_and_taken_away() {
    let cluster = Cluster::start(1).await;
    let (a, b) = (
        add(&cluster, "a", &["t"]).await,
        add(&cluster, "b", &[]).await,
    );
    say(&cluster, &["album", "create", "Family"]);
    let made = say(
        &cluster,
        &["album", "create", "Wedding", "--in", "Family", "--json"],
    );
    assert_eq!(parsed(&made)["name"], "Wedding");
    say(&cluster, &["album", "create", "Found", "--rule", "tag:t"]);
    say(&cluster, &["album", "add", "Family/Wedding", &a, &b]);
    say(
        &cluster,
        &["album", "remove", "Wedding", "--query", "name:b"],
    );
    let listed = say(&cluster, &["album", "list"]);
    let lines: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1][..2], ["Family", "0"]);
    assert_eq!(lines[2][..2], ["Family/Wedding", "1"]);
    assert_eq!((lines[3][0], lines[3][3]), ("Found", "tag:t"));

    say(
        &cluster,
        &["album", "move", "Wedding", "--top", "--rename", "Ours"],
    );
    let albums = json_lines(&say(&cluster, &["album", "list", "--json"]));
    let ours = albums.iter().find(|album| album["name"] == "Ours");
    let ours = ours.expect("renamed");
    assert_eq!((&ours["parent"], &ours["files"]), (&Value::Null, &1.into()));
    say(&cluster, &["album", "delete", "Ours"]);
    let gone = run(cluster.client(["album", "delete", "Ours"]));
    assert_eq!(gone.status.code(), Some(3), "{}", stderr(&gone));
    say(&cluster, &["album", "create", "Found"]);
    let which = run(cluster.client(["album", "add", "Found", a.as_str()]));
    assert_eq!(which.status.code(), Some(2), "{}", stderr(&which));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_counted_as_a_tree_and_an_edit_says_beforehand_what_it_would_change() {
    let cluster = Cluster::start(1).await;
    let a = add(&cluster, "a", &["Places/UK/London", "red"]).await;
    let b = add(&cluster, "b", &["places/UK", "places uk"]).await;
    let hidden = add(&cluster, "c", &["attic/old"]).await;
    let api = cluster.api(0);
    let trash = api.request(reqwest::Method::DELETE, &format!("/files/{hidden}"));
    api.send(trash).await.expect(200, "");
    let tags = async |path: &str| api.get(path).await.expect(200, "").json()["items"].clone();
    let tag =
        |tag: &str, count: u64, direct: u64| json!({"tag": tag, "count": count, "direct": direct});
    let tree = json!([
        tag("Places", 2, 0),
        tag("places uk", 1, 1),
        tag("places/UK", 2, 1),
        tag("Places/UK/London", 1, 1),
        tag("red", 1, 1),
    ]);
    let found = tags("/tags?inner=true").await;
    let spelled = |list: &Value| -> Vec<String> {
        let items = list.as_array().expect("a list").iter();
        items.map(|tag| tag.to_string().to_lowercase()).collect()
    };
    assert_eq!(spelled(&found), spelled(&tree));
    assert_eq!(tags("/tags").await.as_array().map(Vec::len), Some(4));

    let ops = json!([
        {"op": "addTags", "tags": ["red", "blue"]},
        {"op": "set", "values": {"rating": 3}},
        {"op": "removeTags", "tags": ["blue"]},
        {"op": "removeTags", "tags": ["nobody has it"]},
    ]);
    let body = json!({"select": {"ids": [a, b]}, "ops": ops, "dryRun": true});
    let would = api.post("/bulk", &body).await.expect(200, "").json();
    assert_eq!(
        (&would["selected"], &would["wouldChange"]),
        (&2.into(), &2.into())
    );
    let counts: Vec<&Value> = would["ops"].as_array().expect("ops").iter().collect();
    let counts: Vec<&Value> = counts.iter().map(|op| &op["wouldChange"]).collect();
    assert_eq!(counts, [&json!(2), &json!(2), &json!(2), &json!(0)]);
    let already = json!({"select": {"ids": [a, b]}, "ops": [{"op": "addTags", "tags": ["RED"]}], "dryRun": true});
    let would = api.post("/bulk", &already).await.expect(200, "").json();
    assert_eq!(would["wouldChange"], 1, "one has it already");
    assert_eq!(api.get("/files?q=tag:blue").await.json()["total"], 0);
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeed(crate::harness::starling(["completions", shell]));
        assert!(
            script.contains("starling") && script.contains("export"),
            "{shell}"
        );
    }
}
