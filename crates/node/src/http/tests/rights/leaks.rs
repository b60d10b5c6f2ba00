//! What a private library holds is looked for in every answer to those who may not see it: its words, and that anything
//! was counted.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Decided, Decode as _};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::super::files::{form, picture};
use super::{Actor, Rule, TABLE, WORD, World, query_of};

/// Listings that count, as everybody calls them who has no other library in mind.
const COUNTS: &[&str] = &[
    "/api/v1/files?q=in:all",
    "/api/v1/facets?by=tag,camera,year,type&q=in:all",
    "/api/v1/timeline?q=in:all",
    "/api/v1/timeline/undated?q=in:all",
    "/api/v1/map?zoom=3",
    "/api/v1/suggest?prefix=u",
    "/api/v1/tags",
    "/api/v1/fields",
    "/api/v1/albums",
    "/api/v1/duplicates",
    "/api/v1/records",
    "/api/v1/shares",
    "/api/v1/digest",
    "/api/v1/export/files",
    "/api/v1/export/definitions",
];

impl World {
    /// Puts the word wherever the private library has room for one.
    pub(super) async fn fill(&mut self) {
        let word = json!(WORD);
        let define = self.owner(Method::PUT, &format!("/api/v1/fields/{WORD}"));
        done(define.json(&json!({"type": "text", "description": WORD}))).await;
        let metadata = json!({
            "title": WORD, "description": WORD, "tags": [WORD],
            "place": {"lat": 50.0, "lon": 1.0, "name": WORD},
        });
        let add = self.owner(Method::POST, "/api/v1/files");
        let file = done(add.multipart(form(&picture(), WORD, Some(&metadata)))).await;
        self.file = text(&file, "id");
        let album = self.owner(Method::POST, "/api/v1/albums");
        let album = done(album.json(&json!({"name": WORD, "description": WORD}))).await;
        self.album = text(&album, "id");
        let edit = self.owner(Method::PATCH, &format!("/api/v1/files/{}", self.file));
        let edit = edit.header("if-match", "*");
        done(edit.json(&json!({"fields": {WORD: WORD}, "albums": [self.album]}))).await;
        let record = self.owner(Method::POST, "/api/v1/records").body(WORD);
        let record = done(record).await;
        self.record = format!("{}/{}", record["height"], record["index"]);
        let body =
            json!({"select": {"ids": [self.file]}, "ops": [{"op": "addTags", "tags": [word]}]});
        let bulk = done(self.owner(Method::POST, "/api/v1/bulk").json(&body)).await;
        self.operation = text(&bulk, "id");
        let share = json!({
            "title": WORD, "album": self.album, "download": true, "places": true,
        });
        let share = done(self.owner(Method::POST, "/api/v1/shares").json(&share)).await;
        (self.share, self.secret) = (text(&share, "id"), text(&share, "secret"));
        let begin = self
            .owner(Method::POST, "/api/v1/uploads")
            .header("tus-resumable", "1.0.0")
            .header("upload-length", "5")
            .header(
                "upload-metadata",
                format!("filename {}", STANDARD.encode(WORD)),
            );
        let begun = begin.send().await.unwrap();
        assert_eq!(begun.status(), StatusCode::CREATED);
        let place = begun.headers()["location"].to_str().unwrap();
        self.upload = place.rsplit('/').next().unwrap().to_owned();
    }

    /// Who must see nothing.
    fn outsiders(&self) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter(|actor| actor.role.is_none())
    }

    async fn counts(&self, actor: &Actor) -> BTreeMap<&'static str, Value> {
        let mut counted = BTreeMap::new();
        for path in COUNTS {
            let answer = self.by(actor, Method::GET, path).send().await.unwrap();
            let mut body: Value = answer.json().await.unwrap();
            if let Some(members) = body.as_object_mut() {
                members.remove("asOf");
                members.remove("height");
            }
            counted.insert(*path, body);
        }
        counted
    }

    /// Fails if the answer holds anything of the private library.
    async fn says_nothing(&self, what: &str, answer: Response) {
        let bytes = answer.bytes().await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for hidden in [WORD, &self.file, &self.album, &self.operation, &self.share] {
            assert!(!text.contains(hidden), "{what} tells of {hidden}: {text}");
        }
    }
}

async fn done(call: RequestBuilder) -> Value {
    let answer = call.send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert!(status.is_success(), "{status} {body}");
    body
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nothing_counted_differs_for_whoever_may_not_see_it() {
    let mut world = World::new().await;
    let mut before = Vec::new();
    for actor in world.outsiders().filter(|actor| actor.token.is_some()) {
        before.push(world.counts(actor).await);
    }
    world.fill().await;
    let outsiders = world.outsiders().filter(|actor| actor.token.is_some());
    for (actor, before) in outsiders.zip(before) {
        let after = world.counts(actor).await;
        for path in COUNTS {
            assert_eq!(before[path], after[path], "{path} by {}", actor.name);
        }
    }
    // What is compared is there to be seen by whoever may.
    let seen = world.counts(&world.actors[2]).await;
    assert_eq!(seen["/api/v1/files?q=in:all"]["total"], 1);
    assert_eq!(seen["/api/v1/records"]["items"][0]["size"], WORD.len());
    let suggested = seen["/api/v1/suggest?prefix=u"].to_string();
    assert!(suggested.contains(WORD), "{suggested}");
}

#[tokio::test]
async fn no_answer_to_an_outsider_holds_a_word_of_it() {
    let mut world = World::new().await;
    world.fill().await;
    let library = &world.library;
    for actor in world.outsiders() {
        let reads = TABLE.iter().filter_map(|(name, rule)| {
            let template = name.strip_prefix("GET ")?;
            let shows = *rule != Rule::Link && template != "/api/v1/ledger/events";
            shows.then_some((template, *rule))
        });
        for (template, rule) in reads {
            let item = world.path(template, rule);
            let query = query_of(template);
            let bare = item.split('?').next().unwrap();
            let asked = [
                format!("{item}{query}"),
                format!("{bare}?{query}"),
                format!("{bare}?{query}&q=library:{library}"),
                format!("{bare}?{query}&limit=1000"),
            ];
            for path in asked {
                let answer = world.by(actor, Method::GET, &path).send().await.unwrap();
                world
                    .says_nothing(&format!("{path} by {}", actor.name), answer)
                    .await;
            }
        }
        for (path, body) in [
            ("/api/v1/search", json!({"library": library})),
            ("/api/v1/search", json!({"in": "all"})),
            (
                "/api/v1/files/check",
                json!([{"sha256": "0".repeat(64), "size": 1}]),
            ),
            (
                "/api/v1/ledger/verify",
                json!({"blobs": true, "catalogue": true}),
            ),
            (
                "/api/v1/bulk",
                json!({
                    "select": {"query": format!("library:{library}")}, "dryRun": true,
                    "ops": [{"op": "addTags", "tags": ["x"]}],
                }),
            ),
        ] {
            let call = world.by(actor, Method::POST, path).json(&body);
            let answer = call.send().await.unwrap();
            world
                .says_nothing(&format!("{path} by {}", actor.name), answer)
                .await;
        }
    }
}

#[tokio::test]
async fn the_same_bytes_are_another_file_elsewhere_and_new_to_whoever_puts_them() {
    let mut world = World::new().await;
    world.fill().await;
    let writer = world
        .actors
        .iter()
        .find(|actor| actor.name == "a writer at home");
    let writer = writer.unwrap();
    let name = format!("/api/v1/blobs/sha256:{}", world.file);
    let get = || world.by(writer, Method::GET, &name).send();
    assert_eq!(get().await.unwrap().status(), StatusCode::NOT_FOUND);
    let check = world.by(writer, Method::POST, "/api/v1/files/check");
    let check = done(check.json(&json!([{"sha256": world.file, "size": 1}]))).await;
    assert_eq!(check, json!(["missing"]));
    let named = json!({"sha256": world.file, "name": "a.gif"});
    let named = world.by(writer, Method::POST, "/api/v1/files").json(&named);
    let unknown = named.send().await.unwrap().status();
    assert_eq!(unknown, StatusCode::UNPROCESSABLE_ENTITY);
    let put = world.by(writer, Method::PUT, &name).body(picture());
    let put = put.header("if-none-match", "*").send().await.unwrap();
    assert_eq!(put.status(), StatusCode::CREATED, "as if new");

    let add = world.by(writer, Method::POST, "/api/v1/files");
    let add = add
        .multipart(form(&picture(), "a.gif", None))
        .send()
        .await
        .unwrap();
    assert_eq!(add.status(), StatusCode::CREATED);
    let added: Value = add.json().await.unwrap();
    assert_eq!(added["names"], json!(["a.gif"]));
    let purge = format!("/api/v1/files/{}?purge=true", world.file);
    let editor = world
        .by(&world.actors[1], Method::DELETE, &purge)
        .send()
        .await;
    assert_eq!(editor.unwrap().status(), StatusCode::FORBIDDEN);
    let purged = world
        .node
        .call(Method::DELETE, &purge)
        .send()
        .await
        .unwrap();
    assert_eq!(purged.status(), StatusCode::ACCEPTED);
    let operation: Value = purged.json().await.unwrap();
    world.node.wait_until_erased(&operation).await;
    assert_eq!(get().await.unwrap().status(), StatusCode::NOT_FOUND);
    let content = format!("/api/v1/files/{}/content", world.file);
    let kept = world.owner(Method::GET, &content).send().await.unwrap();
    assert_eq!(kept.bytes().await.unwrap(), picture());
    let place = format!("/api/v1/operations/{}", operation["id"].as_str().unwrap());
    let seen = world.owner(Method::GET, &place).send().await.unwrap();
    assert_eq!(seen.status(), StatusCode::NOT_FOUND, "a purge at home");
}

impl super::Node {
    /// Every look waits for an answer, so this does not spin.
    async fn wait_until_erased(&self, operation: &Value) {
        let path = format!("/api/v1/operations/{}", operation["id"].as_str().unwrap());
        for _ in 0..3000 {
            if self.get_json(&path).await["state"] == "done" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{operation} does not end");
    }
}

#[tokio::test]
async fn a_block_shows_the_leaves_of_what_may_not_be_seen_and_has_its_hash_all_the_same() {
    let mut world = World::new().await;
    world.fill().await;
    let (height, index) = world.record.split_once('/').unwrap();
    let path = format!("/api/v1/ledger/blocks/{height}");
    let index: usize = index.parse().unwrap();
    let shown = world.owner(Method::GET, &path).send().await.unwrap();
    let shown: Value = shown.json().await.unwrap();
    assert_eq!(shown["commands"][index]["kind"], "record");
    for actor in world.outsiders().filter(|actor| actor.token.is_some()) {
        let hidden = world.by(actor, Method::GET, &path).send().await.unwrap();
        let hidden: Value = hidden.json().await.unwrap();
        let (hidden, shown) = (&hidden["commands"][index], &shown["commands"][index]);
        assert_eq!(
            (&hidden["kind"], &hidden["leaf"]),
            (&Value::Null, &shown["leaf"])
        );
        let bytes = world.by(actor, Method::GET, &path);
        let bytes = bytes.header("accept", "application/octet-stream");
        let bytes = bytes.send().await.unwrap().bytes().await.unwrap();
        let found = String::from_utf8_lossy(&bytes).contains(WORD);
        assert!(!found, "{}", actor.name);
        let block = Decided::from_bytes(&bytes).unwrap().block;
        assert!(block.entries()[index].sealed().is_none());
    }
}

#[tokio::test]
async fn the_stream_of_events_tells_heights_and_nothing_else() {
    let mut world = World::new().await;
    world.fill().await;
    let head: Value = world.node.get_json("/api/v1/ledger/head").await;
    for actor in world.outsiders().filter(|actor| actor.token.is_some()) {
        let call = world.by(actor, Method::GET, "/api/v1/ledger/events?from=0");
        let mut stream = call.send().await.unwrap();
        let mut told = String::new();
        while !told.contains(&format!("id: {}\n", head["height"])) {
            let chunk = stream.chunk().await.unwrap().unwrap();
            told += &String::from_utf8_lossy(&chunk);
        }
        for hidden in [WORD, &world.file, &world.library, "record", "addFile"] {
            assert!(!told.contains(hidden), "{hidden} by {}", actor.name);
        }
    }
}

#[test]
fn every_listing_is_of_the_document() {
    for path in COUNTS {
        let template = path
            .split('?')
            .next()
            .unwrap()
            .replace("undated", "{bucket}");
        let known = |(name, rule): &&(&str, Rule)| {
            *name == format!("GET {template}") && *rule == Rule::View
        };
        assert!(TABLE.iter().any(|entry| known(&entry)), "{path}");
    }
}
