//! People: signing in on one node, working on another, signing out on a third; roles, passwords and tokens that end.

use std::path::Path;
use std::time::Duration;

use model::{Decided, Decode as _, UserId};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::{Node, is, problem, refused};
use crate::PasswordCost;
use crate::config::NodeConfig;
use crate::init::HttpSecurity;

const PASSWORD: &str = "a long enough password";
/// Polls of something that comes about by itself.
const POLLS: u32 = 3000;
const POLL: Duration = Duration::from_millis(20);

fn cheap(_: usize, config: &mut NodeConfig) {
    config.access.password_cost = PasswordCost {
        memory_kib: 8,
        passes: 1,
    };
    config.access.tell_uses_every = Duration::from_millis(50);
}

async fn cluster(size: usize) -> Vec<Node> {
    Node::cluster_with(size, HttpSecurity::Plain, cheap).await
}

/// What a browser keeps of a session.
struct Session {
    cookie: String,
    csrf: String,
    /// The height that its node had seen.
    height: String,
    me: Value,
}

impl Session {
    async fn of(answer: Response) -> Self {
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let (set, height) = (header("set-cookie"), header("starling-height"));
        let me: Value = answer.json().await.unwrap();
        Self {
            cookie: set.split(';').next().unwrap().to_owned(),
            csrf: me["csrf"].as_str().unwrap().to_owned(),
            height,
            me,
        }
    }

    /// A call that a page of ours makes.
    fn call(&self, node: &Node, method: Method, path: &str) -> RequestBuilder {
        self.forged(node, method, path)
            .header("starling-csrf", &self.csrf)
    }

    /// A call that any page may make a browser send.
    fn forged(&self, node: &Node, method: Method, path: &str) -> RequestBuilder {
        node.stranger(method, path)
            .header("cookie", &self.cookie)
            .header("starling-min-height", &self.height)
    }
}

async fn create(node: &Node, id: &str, role: &str) {
    let user = json!({"id": id, "role": role, "password": PASSWORD});
    let made = node.post_json("/api/v1/users", &user).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    assert_eq!(made.headers()["location"], format!("/api/v1/users/{id}"));
}

fn attempt(node: &Node, user: &str, password: &str) -> RequestBuilder {
    let body = json!({"user": user, "password": password});
    node.stranger(Method::POST, "/api/v1/sign-in").json(&body)
}

/// Signs in on a node that has seen what this one has.
async fn sign_in(node: &Node, user: &str, password: &str) -> Session {
    let seen = node
        .get("/api/v1/ledger/head?consistency=linearizable")
        .await;
    let height = seen.headers()["starling-height"].clone();
    let answer = attempt(node, user, password).header("starling-min-height", height);
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{user}");
    Session::of(answer).await
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn a_session_is_good_on_every_node_until_it_is_signed_out_on_one() {
    let nodes = cluster(3).await;
    create(&nodes[0], "ann", "editor").await;
    let session = sign_in(&nodes[1], "ann", PASSWORD).await;
    assert_eq!(session.me["user"]["role"], "editor");
    assert_eq!(session.me["scope"], "write");
    for node in &nodes {
        let record = || {
            session
                .call(node, Method::POST, "/api/v1/records")
                .body("x")
        };
        assert_eq!(status(record()).await, StatusCode::CREATED, "{}", node.name);
        let forged = session
            .forged(node, Method::POST, "/api/v1/records")
            .body("x");
        assert_eq!(refused(forged).await, is(403, "csrf_failed"));
        let foreign = record().header("origin", "https://evil.example");
        assert_eq!(refused(foreign).await, is(403, "csrf_failed"));
        let me = session
            .forged(node, Method::GET, "/api/v1/me")
            .send()
            .await
            .unwrap();
        let me: Value = me.json().await.unwrap();
        assert_eq!(
            (&me["csrf"], &me["user"]["id"]),
            (&session.me["csrf"], &json!("ann"))
        );
        let admin = session.call(node, Method::GET, "/api/v1/users");
        assert_eq!(refused(admin).await, is(403, "forbidden"));
    }
    let out = session.call(&nodes[2], Method::POST, "/api/v1/sign-out");
    let out = out.send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(
        out.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    let height = out.headers()["starling-height"].clone();
    for node in &nodes {
        let late = node.stranger(Method::GET, "/api/v1/me");
        let late = late.header("cookie", &session.cookie);
        let late = late.header("starling-min-height", &height);
        assert_eq!(
            refused(late).await,
            is(401, "unauthenticated"),
            "{}",
            node.name
        );
    }
}

/// Tries until that is too often. Attempts are given back so slowly that it comes to that however busy the machine is.
async fn until_limited(node: &Node, user: &str) -> Response {
    for _ in 0..1000 {
        let answer = attempt(node, user, "wrong").send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return answer;
        }
    }
    panic!("{user} was let try a thousand times");
}

#[tokio::test]
async fn who_is_unknown_and_who_is_wrong_get_one_answer_and_not_too_many() {
    let node = cluster(1).await.pop().unwrap();
    create(&node, "ann", "viewer").await;
    let text = async |user: &str, password: &str| {
        let answer = attempt(&node, user, password).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{user}");
        assert!(!answer.headers().contains_key("set-cookie"));
        answer.text().await.unwrap()
    };
    let wrong = text("ann", "wrong").await;
    assert_eq!(text("eve", PASSWORD).await, wrong);
    assert_eq!(text("No Name\u{202e}", PASSWORD).await, wrong);
    for _ in 0..8 {
        sign_in(&node, "ann", PASSWORD).await;
    }
    let limited = until_limited(&node, "ann").await;
    let wait: u64 = limited.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(problem(limited).await, is(429, "rate_limited"));
    let limits = node.get_json("/api/v1/limits").await;
    assert_eq!(limits["signInAttempts"], 10);
    assert_eq!(limits["signInSeconds"], 60);
    let foreign = attempt(&node, "bob", "x").header("sec-fetch-site", "cross-site");
    assert_eq!(refused(foreign).await, is(403, "csrf_failed"));
    let more = json!({"user": "ann", "password": "x", "role": "admin"});
    let more = node.stranger(Method::POST, "/api/v1/sign-in").json(&more);
    assert_eq!(refused(more).await, is(400, "invalid_body"));
    until_limited(&node, "flood").await;
}

/// One that may administer, if its owner may.
async fn token_of_bob(node: &Node, ann: &Session) -> String {
    let token = json!({"name": "bobs", "scope": "admin", "owner": "bob"});
    let made = ann.call(node, Method::POST, "/api/v1/tokens").json(&token);
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nobody_does_more_than_their_role_and_nothing_once_disabled() {
    let node = cluster(1).await.pop().unwrap();
    create(&node, "ann", "admin").await;
    create(&node, "bob", "viewer").await;
    let (ann, bob) = (
        sign_in(&node, "ann", PASSWORD).await,
        sign_in(&node, "bob", PASSWORD).await,
    );
    let as_ann = |method, path: &str| ann.call(&node, method, path);
    let as_bob = |method, path: &str| bob.call(&node, method, path);
    let record = || as_bob(Method::POST, "/api/v1/records").body("x");
    assert_eq!(refused(record()).await, is(403, "forbidden"));
    assert_eq!(
        status(as_bob(Method::GET, "/api/v1/users/bob")).await,
        StatusCode::OK
    );
    for other in ["ann", "nobody"] {
        let other = as_bob(Method::GET, &format!("/api/v1/users/{other}"));
        assert_eq!(refused(other).await, is(403, "forbidden"));
    }
    let promote = as_bob(Method::PATCH, "/api/v1/users/bob").json(&json!({"role": "admin"}));
    assert_eq!(refused(promote).await, is(403, "forbidden"));
    let rename = as_bob(Method::PATCH, "/api/v1/users/bob").json(&json!({"name": "Bob"}));
    assert_eq!(status(rename).await, StatusCode::OK);

    let token = token_of_bob(&node, &ann).await;
    let by_token = |method, path: &str| node.stranger(method, path).bearer_auth(&token);
    assert_eq!(
        refused(by_token(Method::POST, "/api/v1/records").body("x")).await,
        is(403, "forbidden")
    );
    let change = async |body: Value| {
        let changed = as_ann(Method::PATCH, "/api/v1/users/bob").json(&body);
        assert_eq!(status(changed).await, StatusCode::OK, "{body}");
    };
    change(json!({"role": "editor"})).await;
    assert_eq!(status(record()).await, StatusCode::CREATED);
    assert_eq!(
        status(by_token(Method::POST, "/api/v1/records").body("x")).await,
        StatusCode::CREATED
    );
    change(json!({"disabled": true})).await;
    assert_eq!(refused(record()).await, is(401, "unauthenticated"));
    assert_eq!(
        refused(by_token(Method::GET, "/api/v1/me")).await,
        is(401, "unauthenticated")
    );
    assert_eq!(
        status(attempt(&node, "bob", PASSWORD)).await,
        StatusCode::UNAUTHORIZED
    );
    change(json!({"disabled": false})).await;
    assert_eq!(
        refused(record()).await,
        is(401, "unauthenticated"),
        "a session has ended"
    );
    assert_eq!(
        status(by_token(Method::GET, "/api/v1/me")).await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_last_administrator_stays_and_who_is_removed_is_gone_with_their_tokens() {
    let node = cluster(1).await.pop().unwrap();
    create(&node, "ann", "admin").await;
    create(&node, "bob", "viewer").await;
    let ann = sign_in(&node, "ann", PASSWORD).await;
    let as_ann = |method, path: &str| ann.call(&node, method, path);
    let token = token_of_bob(&node, &ann).await;
    let by_token = |method, path: &str| node.stranger(method, path).bearer_auth(&token);
    assert_eq!(
        status(by_token(Method::GET, "/api/v1/me")).await,
        StatusCode::OK
    );
    for last in [json!({"role": "editor"}), json!({"disabled": true})] {
        let last = as_ann(Method::PATCH, "/api/v1/users/ann").json(&last);
        assert_eq!(refused(last).await, is(422, "refused"));
    }
    assert_eq!(
        refused(as_ann(Method::DELETE, "/api/v1/users/ann")).await,
        is(422, "refused")
    );
    assert_eq!(
        status(as_ann(Method::DELETE, "/api/v1/users/bob")).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        refused(by_token(Method::GET, "/api/v1/me")).await,
        is(401, "unauthenticated")
    );
    let again = json!({"id": "bob", "role": "viewer"});
    assert_eq!(
        refused(as_ann(Method::POST, "/api/v1/users").json(&again)).await,
        is(422, "refused")
    );
}

#[tokio::test]
async fn sessions_are_seen_and_ended_by_their_user_and_by_an_administrator() {
    let node = cluster(1).await.pop().unwrap();
    create(&node, "ann", "viewer").await;
    create(&node, "bob", "viewer").await;
    let (one, other) = (
        sign_in(&node, "ann", PASSWORD).await,
        sign_in(&node, "ann", PASSWORD).await,
    );
    let bob = sign_in(&node, "bob", PASSWORD).await;
    let count = async |request: RequestBuilder| {
        let page: Value = request.send().await.unwrap().json().await.unwrap();
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(
        count(one.call(&node, Method::GET, "/api/v1/sessions")).await,
        2
    );
    assert_eq!(
        count(node.call(Method::GET, "/api/v1/sessions?all=true")).await,
        3
    );
    let all = one.call(&node, Method::GET, "/api/v1/sessions?all=true");
    assert_eq!(refused(all).await, is(403, "forbidden"));
    let id =
        |session: &Session| format!("/api/v1/sessions/{}", session.me["token"].as_str().unwrap());
    let foreign = one.call(&node, Method::DELETE, &id(&bob));
    assert_eq!(refused(foreign).await, is(404, "not_found"));
    assert_eq!(
        status(one.call(&node, Method::DELETE, &id(&other))).await,
        StatusCode::NO_CONTENT
    );
    let ended = other.call(&node, Method::GET, "/api/v1/me");
    assert_eq!(refused(ended).await, is(401, "unauthenticated"));
    assert_eq!(
        status(node.call(Method::DELETE, &id(&bob))).await,
        StatusCode::NO_CONTENT
    );
    let no_session = node.call(Method::POST, "/api/v1/sign-out");
    assert_eq!(refused(no_session).await, is(422, "refused"));

    let events = one
        .call(&node, Method::GET, "/api/v1/ledger/events")
        .send()
        .await
        .unwrap();
    assert_eq!(
        status(one.call(&node, Method::POST, "/api/v1/sign-out")).await,
        StatusCode::NO_CONTENT
    );
    let told = events.text().await.unwrap();
    assert!(
        told.contains("event: end") && told.contains("not accepted any more"),
        "{told}"
    );
}

/// Whether any file below a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let Ok(entry) = entry else { return false };
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        // It may be gone meanwhile.
        let content = std::fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// No block gives a password's hash out, and every block still proves itself.
async fn no_block_shows(node: &Node, hash: &str) {
    let head = node.get_json("/api/v1/ledger/head").await;
    let mut kinds = Vec::new();
    for height in 0..=head["height"].as_u64().unwrap() {
        let path = format!("/api/v1/ledger/blocks/{height}");
        let octets = node
            .call(Method::GET, &path)
            .header("accept", "application/octet-stream");
        let octets = octets.send().await.unwrap().bytes().await.unwrap();
        assert!(
            !octets
                .windows(hash.len())
                .any(|window| window == hash.as_bytes())
        );
        let block = Decided::from_bytes(&octets).unwrap().block;
        let shown = node.get_json(&path).await;
        assert_eq!(block.hash().to_string(), shown["hash"]);
        let commands = shown["commands"].as_array().unwrap();
        kinds.extend(commands.iter().map(|command| command["kind"].clone()));
    }
    assert!(kinds.contains(&json!("setPassword")), "{kinds:?}");
}

fn hash_of(node: &Node, user: &str) -> String {
    let user: UserId = user.parse().unwrap();
    let reader = catalogue::Reader::open(&node.config().catalogue_path()).unwrap();
    reader.password(&user).unwrap().unwrap()
}

#[tokio::test]
async fn a_password_is_changed_with_the_old_one_and_the_old_hash_is_gone_from_every_disk() {
    let nodes = cluster(3).await;
    create(&nodes[0], "ann", "viewer").await;
    let session = sign_in(&nodes[0], "ann", PASSWORD).await;
    let other = sign_in(&nodes[0], "ann", PASSWORD).await;
    let old = hash_of(&nodes[0], "ann");
    assert!(old.starts_with("$argon2id$"), "{old}");
    let folders: Vec<_> = nodes.iter().map(|node| node.config().folder).collect();
    assert!(holds(&folders[0], old.as_bytes()));
    no_block_shows(&nodes[0], &old).await;
    let path = "/api/v1/users/ann/password";
    let set = |body: Value| session.call(&nodes[1], Method::PUT, path).json(&body);
    let new = "another good password";
    assert_eq!(
        refused(set(json!({"password": new}))).await,
        is(400, "invalid_body")
    );
    assert_eq!(
        refused(set(json!({"password": "short", "current": PASSWORD}))).await,
        is(400, "invalid_body")
    );
    let wrong = set(json!({"password": new, "current": "wrong"}));
    assert_eq!(refused(wrong).await, is(403, "forbidden"));
    let right =
        || set(json!({"password": new, "current": PASSWORD})).header("idempotency-key", "k");
    assert_eq!(status(right()).await, StatusCode::NO_CONTENT);
    assert_eq!(status(right()).await, StatusCode::NO_CONTENT, "a retry");
    let me = |session: &Session| session.call(&nodes[1], Method::GET, "/api/v1/me");
    assert_eq!(status(me(&session)).await, StatusCode::OK);
    assert_eq!(refused(me(&other)).await, is(401, "unauthenticated"));
    assert_eq!(
        status(attempt(&nodes[1], "ann", PASSWORD)).await,
        StatusCode::UNAUTHORIZED
    );
    sign_in(&nodes[2], "ann", new).await;

    for _ in 0..POLLS {
        let left: Vec<_> = folders
            .iter()
            .filter(|folder| holds(folder, old.as_bytes()))
            .collect();
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    for (node, folder) in nodes.iter().zip(&folders) {
        assert!(!holds(folder, old.as_bytes()), "{}", node.name);
        assert!(holds(folder, hash_of(node, "ann").as_bytes()));
    }
    sign_in(&nodes[0], "ann", new).await;
    let reset = json!({"password": PASSWORD});
    let reset = nodes[0].call(Method::PUT, path).json(&reset);
    assert_eq!(
        status(reset).await,
        StatusCode::NO_CONTENT,
        "an administrator needs no old one"
    );
    sign_in(&nodes[0], "ann", PASSWORD).await;
}

#[tokio::test]
async fn a_retried_creation_sets_no_password_that_was_changed_since() {
    let node = cluster(1).await.pop().unwrap();
    let body = json!({"id": "ann", "role": "viewer", "password": PASSWORD});
    let create = |body: &Value| {
        let post = node.call(Method::POST, "/api/v1/users");
        post.header("idempotency-key", "k").json(body)
    };
    assert_eq!(status(create(&body)).await, StatusCode::CREATED);
    let reset = json!({"password": "another good password"});
    let reset = node
        .call(Method::PUT, "/api/v1/users/ann/password")
        .json(&reset);
    assert_eq!(status(reset).await, StatusCode::NO_CONTENT);
    assert_eq!(
        status(create(&body)).await,
        StatusCode::CREATED,
        "the first answer"
    );
    assert_eq!(
        status(attempt(&node, "ann", PASSWORD)).await,
        StatusCode::UNAUTHORIZED
    );
    let other = json!({"id": "ann", "role": "viewer", "password": "not the same one"});
    assert_eq!(
        refused(create(&other)).await,
        is(422, "idempotency_key_reused")
    );
}

#[tokio::test]
async fn tokens_end_and_every_node_comes_to_know_when_they_were_used() {
    let nodes = cluster(3).await;
    create(&nodes[0], "ann", "editor").await;
    let body = json!({"name": "phone", "scope": "write", "owner": "ann", "expiresIn": 1});
    let made: Value = nodes[0]
        .post_json("/api/v1/tokens", &body)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(made["owner"], "ann");
    assert!(made["expiresAt"].as_str().unwrap().ends_with('Z'));
    let short = made["token"].as_str().unwrap();
    let lasting = json!({"name": "laptop", "scope": "write", "owner": null});
    let lasting: Value = nodes[0]
        .post_json("/api/v1/tokens", &lasting)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&lasting["owner"], &lasting["expiresAt"]),
        (&Value::Null, &Value::Null)
    );
    let by = |node: &Node, token: &str| node.stranger(Method::GET, "/api/v1/me").bearer_auth(token);
    for _ in 0..POLLS {
        if status(by(&nodes[0], short)).await == StatusCode::UNAUTHORIZED {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(
        refused(by(&nodes[0], short)).await,
        is(401, "unauthenticated")
    );

    let used = async |node: &Node| {
        let tokens = node.get_json("/api/v1/tokens").await;
        let mut tokens = tokens["items"].as_array().unwrap().clone().into_iter();
        tokens.find(|token| token["id"] == lasting["id"]).unwrap()["lastUsedAt"].clone()
    };
    assert_eq!(used(&nodes[1]).await, Value::Null);
    assert_eq!(
        status(by(&nodes[1], lasting["token"].as_str().unwrap())).await,
        StatusCode::OK
    );
    let mut seen = [Value::Null, Value::Null];
    for _ in 0..POLLS {
        seen = [used(&nodes[1]).await, used(&nodes[2]).await];
        if seen.iter().all(Value::is_string) {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    assert!(seen[0].is_string() && seen[0] == seen[1], "{seen:?}");
    for owner in [json!("nobody"), json!(5), json!("No Name")] {
        let odd = json!({"name": "x", "scope": "read", "owner": owner});
        let odd = nodes[0].post_json("/api/v1/tokens", &odd).await;
        assert_eq!(problem(odd).await, is(400, "invalid_body"), "{owner}");
    }
}

#[tokio::test]
async fn the_history_of_a_file_says_who() {
    let node = cluster(1).await.pop().unwrap();
    create(&node, "ann", "editor").await;
    let ann = sign_in(&node, "ann", PASSWORD).await;
    let file = node.add(b"words", "a.txt", json!({})).await;
    let path = format!("/api/v1/files/{file}");
    let edit = ann
        .call(&node, Method::PATCH, &path)
        .header("if-match", "*");
    let edit = edit.json(&json!({"title": "Words"}));
    assert_eq!(status(edit).await, StatusCode::OK);
    let history = node.get_json(&format!("{path}/history")).await;
    let who: Vec<&Value> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["user"])
        .collect();
    assert_eq!(who, [&Value::Null, &json!("ann")]);
    assert_eq!(history["items"][1]["actor"], ann.me["token"]);
    let content = ann.forged(&node, Method::GET, &format!("{path}/content"));
    assert_eq!(
        status(content).await,
        StatusCode::OK,
        "a picture in a page has a cookie alone"
    );
}

#[tokio::test]
async fn browsers_are_told_what_may_not_be_done_with_any_answer() {
    let mut nodes = Node::cluster_with(1, HttpSecurity::ClusterTls, cheap).await;
    let node = nodes.pop().unwrap();
    create(&node, "ann", "viewer").await;
    let answer = attempt(&node, "ann", PASSWORD).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-starling=stl_"), "{cookie}");
    for part in ["; HttpOnly", "; Secure", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let session = Session::of(answer).await;
    assert_eq!(
        status(session.call(&node, Method::POST, "/api/v1/ledger/verify")).await,
        StatusCode::OK
    );
    let plain = session.cookie.replace("__Host-", "");
    let plain = node
        .stranger(Method::GET, "/api/v1/me")
        .header("cookie", plain);
    assert_eq!(refused(plain).await, is(401, "unauthenticated"));
    for path in [
        "/",
        "/docs/",
        "/openapi.json",
        "/healthz",
        "/api/v1/me",
        "/api/v1/limits",
        "/metrics",
        "/nowhere",
    ] {
        let answer = node.stranger(Method::GET, path).send().await.unwrap();
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe-eval"), "{path}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(headers[name], value, "{path}");
        }
        assert!(!headers.contains_key("strict-transport-security"), "{path}");
    }
}
