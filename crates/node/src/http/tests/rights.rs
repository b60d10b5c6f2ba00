//! Nothing is readable without permission: every route of the OpenAPI document is walked by everybody there is, and what a
//! private library holds is looked for in every answer to those who may not see it.

mod leaks;
mod table;

use model::{LibraryRole, Scope};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use self::table::{Rule, TABLE};
use super::{Node, document};
use crate::init::HttpSecurity;

/// A word that stands in everything that the private library holds.
const WORD: &str = "unmistakable7f3a91";

/// Somebody who calls.
struct Actor {
    name: &'static str,
    /// None for a stranger.
    token: Option<String>,
    scope: Scope,
    /// What they are in the private library.
    role: Option<LibraryRole>,
}

/// What a call meets before it is looked at any further.
#[derive(Debug, PartialEq, Eq)]
enum Door {
    Open,
    Unauthenticated,
    Forbidden,
    NotFound,
}

impl Actor {
    fn id(&self) -> &str {
        let token = self.token.as_deref().unwrap();
        token.split('_').nth(1).unwrap()
    }

    /// By the words of the documentation, not by the program's.
    fn meets(&self, rule: Rule) -> Door {
        if matches!(rule, Rule::Public | Rule::Link) {
            return Door::Open;
        }
        if self.token.is_none() {
            return Door::Unauthenticated;
        }
        let (admin, owner) = (self.scope == Scope::Admin, Some(LibraryRole::Owner));
        let needed = match rule {
            Rule::Public | Rule::Link | Rule::See | Rule::View | Rule::Item | Rule::Known => {
                Scope::Read
            }
            Rule::Edit | Rule::Own | Rule::Manage | Rule::Found => Scope::Write,
            Rule::Admin => Scope::Admin,
        };
        if self.scope < needed {
            return Door::Forbidden;
        }
        let open = match rule {
            Rule::Public | Rule::Link | Rule::See => true,
            Rule::View | Rule::Item => self.role.is_some(),
            Rule::Known => admin || self.role.is_some(),
            Rule::Edit => self.role >= Some(LibraryRole::Editor),
            Rule::Own => admin && self.role == owner,
            Rule::Manage | Rule::Found | Rule::Admin => admin,
        };
        let hidden = self.role.is_none() && !matches!(rule, Rule::Found | Rule::Admin);
        match (open, hidden) {
            (true, _) => Door::Open,
            (false, true) => Door::NotFound,
            (false, false) => Door::Forbidden,
        }
    }
}

/// A node with a private library that its administrator is not in, and everybody who may come.
struct World {
    node: Node,
    actors: Vec<Actor>,
    /// The private library.
    library: String,
    /// What stands for a path's parameters.
    file: String,
    album: String,
    operation: String,
    upload: String,
    record: String,
    share: String,
    secret: String,
}

impl World {
    async fn new() -> Self {
        let node = Node::start_with(HttpSecurity::Plain).await;
        let (ours, other) = (json!({"title": "Ours"}), json!({"title": "Other"}));
        let made = node.post_json("/api/v1/libraries", &ours).await;
        assert_eq!(made.status(), StatusCode::CREATED);
        let place = made.headers()["location"].to_str().unwrap().to_owned();
        let library = place.rsplit('/').next().unwrap().to_owned();
        let other = node.post_json("/api/v1/libraries", &other);
        let other: Value = other.await.json().await.unwrap();
        let other = other["id"].as_str().unwrap().to_owned();
        let ann = json!({"id": "ann", "role": "editor"});
        let ann = node.post_json("/api/v1/users", &ann).await;
        assert_eq!(ann.status(), StatusCode::CREATED);
        let mut world = Self {
            actors: Vec::new(),
            file: String::new(),
            album: String::new(),
            operation: String::new(),
            upload: String::new(),
            record: String::new(),
            share: String::new(),
            secret: String::new(),
            library,
            node,
        };
        world.invite(&other).await;
        world
    }

    /// Makes everybody's tokens; the administrator leaves the library then.
    async fn invite(&mut self, other: &str) {
        let (own, home) = (self.library.clone(), "home".to_owned());
        let (viewer, editor, owner) = (
            Some(LibraryRole::Viewer),
            Some(LibraryRole::Editor),
            Some(LibraryRole::Owner),
        );
        for (name, library, scope, role) in [
            ("its owner", &own, Scope::Admin, owner),
            ("its editor", &own, Scope::Write, editor),
            ("its viewer", &own, Scope::Read, viewer),
            ("a member who owns it", &home, Scope::Write, owner),
            ("a member who edits it", &home, Scope::Write, editor),
            ("a member who views it", &home, Scope::Write, viewer),
            (
                "a member with a token that reads",
                &home,
                Scope::Read,
                viewer,
            ),
            (
                "an administrator of another library",
                &other.to_owned(),
                Scope::Admin,
                None,
            ),
            ("a writer at home", &home, Scope::Write, None),
            ("a reader at home", &home, Scope::Read, None),
        ] {
            let token = Some(self.token(library, scope).await);
            let actor = Actor {
                name,
                token,
                scope,
                role,
            };
            if library == &home && role.is_some() || name == "its owner" {
                let role = if scope == Scope::Read { owner } else { role };
                self.member(&format!("token:{}", actor.id()), role.unwrap())
                    .await;
            }
            self.actors.push(actor);
        }
        self.actors.push(Actor {
            name: "the administrator",
            token: Some(self.node.token.clone()),
            scope: Scope::Admin,
            role: None,
        });
        let me = format!("token:{}", self.actors.last().unwrap().id());
        let path = format!("/api/v1/libraries/{own}/members/{me}");
        let left = self.node.call(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(left.status(), StatusCode::NO_CONTENT);
        self.actors.push(Actor {
            name: "a stranger",
            token: None,
            scope: Scope::Read,
            role: None,
        });
    }

    async fn token(&self, library: &str, scope: Scope) -> String {
        let scope = super::super::call::word(scope);
        let path = format!("/api/v1/tokens?library={library}");
        let body = json!({"name": "t", "scope": scope});
        let made = self.node.post_json(&path, &body);
        let made: Value = made.await.json().await.unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    async fn member(&self, member: &str, role: LibraryRole) {
        let role = match role {
            LibraryRole::Viewer => "viewer",
            LibraryRole::Editor => "editor",
            LibraryRole::Owner => "owner",
        };
        let path = format!("/api/v1/libraries/{}/members/{member}", self.library);
        let set = self
            .node
            .call(Method::PUT, &path)
            .json(&json!({"role": role}));
        let set = set.send().await.unwrap();
        assert_eq!(set.status(), StatusCode::OK, "{member}");
    }

    fn owner(&self, method: Method, path: &str) -> RequestBuilder {
        self.by(&self.actors[0], method, path)
    }

    fn by(&self, actor: &Actor, method: Method, path: &str) -> RequestBuilder {
        let call = self.node.stranger(method, path);
        match &actor.token {
            Some(token) => call.bearer_auth(token),
            None => call,
        }
    }

    /// A path of the document with what stands for its parameters, in the private library.
    fn path(&self, template: &str, rule: Rule) -> String {
        let id = match template.split('/').nth(3).unwrap_or_default() {
            "files" | "shared" => &self.file,
            "shares" => &self.share,
            "users" => "ann",
            "albums" => &self.album,
            "operations" => &self.operation,
            "uploads" => &self.upload,
            "libraries" => &self.library,
            _ => "0000000000000000",
        };
        let (height, index) = self.record.split_once('/').unwrap();
        let member = format!("token:{}", self.actors[1].id());
        let path = template
            .replace("blocks/{height}", "blocks/1")
            .replace("{height}", height)
            .replace("{index}", index)
            .replace("{id}", id)
            .replace(
                "{name}",
                if template.contains("blobs") {
                    "sha256:BLOB"
                } else {
                    WORD
                },
            )
            .replace("BLOB", &self.file)
            .replace("{secret}", &self.secret)
            .replace("{bucket}", "undated")
            .replace("{node}", "n1")
            .replace("{member}", &member);
        match rule {
            Rule::View | Rule::Edit | Rule::Own => format!("{path}?library={}", self.library),
            _ => format!("{path}?"),
        }
    }
}

/// A call as it must be to be answered, but for its body.
fn query_of(template: &str) -> &'static str {
    match template {
        "/api/v1/facets" => "&by=tag",
        "/api/v1/map" => "&zoom=3",
        "/api/v1/suggest" => "&prefix=u",
        "/api/v1/ledger/consistency" => "&from=0",
        _ => "",
    }
}

#[tokio::test]
async fn every_route_opens_to_whom_it_should_and_to_nobody_else() {
    let mut world = World::new().await;
    world.fill().await;
    let document: Value = serde_json::from_str(&document::document()).unwrap();
    let mut walked = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let known = TABLE
                .iter()
                .find(|(name, _)| *name == format!("{method} {path}"));
            let (name, rule) = known.unwrap_or_else(|| panic!("{method} {path} is in no table"));
            walked.push(*name);
            world.walk(&method, path, *rule).await;
        }
    }
    let gone = TABLE.iter().filter(|(name, _)| !walked.contains(name));
    assert_eq!(gone.count(), 0, "the table names routes that are no more");
}

impl World {
    async fn walk(&self, method: &str, template: &str, rule: Rule) {
        let read = method == "GET";
        let path = self.path(template, rule);
        // Whoever is let in is stopped behind the door, so that nothing is changed and all find the same.
        let stop = if read {
            query_of(template)
        } else {
            "&colour=red"
        };
        for actor in &self.actors {
            let method: Method = method.parse().unwrap();
            let call = self.by(actor, method.clone(), &format!("{path}{stop}"));
            let call = call.header("x-forwarded-for", "192.0.2.1");
            let status = call.send().await.unwrap().status();
            let met = match status {
                StatusCode::UNAUTHORIZED => Door::Unauthenticated,
                StatusCode::FORBIDDEN => Door::Forbidden,
                StatusCode::NOT_FOUND => Door::NotFound,
                _ => Door::Open,
            };
            let expected = actor.meets(rule);
            assert_eq!(
                met, expected,
                "{method} {template} by {}: {status}",
                actor.name
            );
            let answered = status.is_success() || status == StatusCode::BAD_REQUEST && !read;
            let fits = met != Door::Open || answered || rule == Rule::Public;
            assert!(fits, "{method} {template} by {}: {status}", actor.name);
        }
    }
}

#[tokio::test]
async fn a_users_private_library_is_theirs_and_an_administrators_to_manage_but_not_to_see() {
    let world = World::new().await;
    let node = &world.node;
    let token = json!({"name": "ann's", "scope": "write", "owner": "ann"});
    let token: Value = node
        .post_json("/api/v1/tokens", &token)
        .await
        .json()
        .await
        .unwrap();
    let ann = Actor {
        name: "ann",
        token: Some(token["token"].as_str().unwrap().to_owned()),
        scope: Scope::Write,
        role: None,
    };
    let by_ann = |method, path: &str| world.by(&ann, method, path);
    let seen = by_ann(Method::GET, "/api/v1/files").send().await.unwrap();
    assert_eq!(
        seen.status(),
        StatusCode::OK,
        "home is shared with every user"
    );
    let made = by_ann(Method::POST, "/api/v1/libraries").json(&json!({"title": "Ann's"}));
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    assert_eq!(made["members"], json!([{"member": "ann", "role": "owner"}]));
    let id = made["id"].as_str().unwrap();
    let add = by_ann(Method::POST, &format!("/api/v1/files?library={id}"));
    let add = add.multipart(super::files::form(b"hers", "hers.txt", None));
    let file: Value = add.send().await.unwrap().json().await.unwrap();

    let place = format!("/api/v1/files?library={id}");
    let admin = node.get(&place).await.status();
    assert_eq!(admin, StatusCode::NOT_FOUND);
    let managed = node.get_json(&format!("/api/v1/libraries/{id}")).await;
    assert_eq!(
        (&managed["role"], &managed["files"]),
        (&Value::Null, &Value::Null)
    );
    let me = format!("token:{}", world.actors[10].id());
    let join = format!("/api/v1/libraries/{id}/members/{me}");
    let join = node
        .call(Method::PUT, &join)
        .json(&json!({"role": "viewer"}));
    assert_eq!(join.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(node.get_json(&place).await["total"], 1);
    let history = by_ann(Method::GET, &format!("/api/v1/libraries/{id}/history"));
    let history: Value = history.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        history["items"][1]["member"],
        json!(me),
        "and it is seen who joined"
    );

    let file = file["id"].as_str().unwrap();
    let purge = by_ann(
        Method::DELETE,
        &format!("/api/v1/files/{file}?purge=true&library={id}"),
    );
    let purge = purge.send().await.unwrap().status();
    assert_eq!(purge, StatusCode::ACCEPTED, "it is her library");
}
