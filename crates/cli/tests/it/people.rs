//! People over the command line: passwords from stdin, roles, tokens of somebody, and a session that a browser could have.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Cluster, json as parsed, json_lines, run, stderr, succeed};

/// Runs a command that reads these lines.
fn told(mut command: Command, lines: &[&str]) -> Output {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("a process");
    let mut stdin = process.stdin.take().expect("a pipe");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // A command that fails before it reads is told by its exit code.
    _ = stdin.write_all(text.as_bytes());
    drop(stdin);
    process.wait_with_output().expect("an end")
}

fn done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_added_signs_in_has_a_token_and_is_removed() {
    let cluster = Cluster::start(1).await;
    let add = cluster.client(["user", "add", "ann", "--role", "viewer", "--name", "Ann"]);
    done(&told(add, &["her first password"]));
    let short = cluster.client(["user", "add", "bob"]);
    assert_eq!(told(short, &["short"]).status.code(), Some(1));
    succeed(cluster.client(["user", "role", "ann", "editor"]));
    let listed = json_lines(&succeed(cluster.client(["user", "list", "--json"])));
    let ann: Vec<&Value> = listed.iter().filter(|user| user["id"] == "ann").collect();
    assert_eq!(
        (&ann[0]["role"], &ann[0]["name"]),
        (&json!("editor"), &json!("Ann"))
    );
    let table = succeed(cluster.client(["user", "list"]));
    assert!(table.contains("ann  editor  active"), "{table}");

    let made = [
        "token",
        "create",
        "--name",
        "phone",
        "--owner",
        "ann",
        "--expires",
        "90d",
        "--json",
    ];
    let made = parsed(&succeed(cluster.client(made)));
    assert!(made["expiresAt"].is_string(), "{made}");
    let token = made["token"].as_str().expect("a token");
    let own = |arguments: &[&str]| {
        let mut command = cluster.client(arguments);
        command.env("STARLING_TOKEN", token);
        command
    };
    let wrong = told(
        own(&["user", "password", "ann"]),
        &["not it", "her second password"],
    );
    assert_eq!(wrong.status.code(), Some(1), "{}", stderr(&wrong));
    let set = told(
        own(&["user", "password", "ann"]),
        &["her first password", "her second password"],
    );
    done(&set);
    let api = cluster.api(0);
    let sign_in = async |password: &str| {
        let body = json!({"user": "ann", "password": password});
        let request = api.request(Method::POST, "/sign-in").json(&body);
        api.send(request).await
    };
    sign_in("her first password")
        .await
        .expect(401, "unauthenticated");
    let session = sign_in("her second password").await;
    assert_eq!(session.json()["user"]["id"], "ann");
    assert!(session.header("set-cookie").starts_with("starling=stl_"));
    let tokens = succeed(cluster.client(["token", "list"]));
    assert!(
        tokens.contains("lastUsedAt") && tokens.contains("phone"),
        "{tokens}"
    );

    succeed(cluster.client(["user", "disable", "ann"]));
    assert_eq!(run(own(&["status"])).status.code(), Some(1));
    succeed(cluster.client(["user", "enable", "ann"]));
    succeed(own(&["status"]));
    succeed(cluster.client(["user", "remove", "ann"]));
    assert_eq!(run(own(&["status"])).status.code(), Some(1));
    assert_eq!(
        run(cluster.client(["user", "enable", "ann"])).status.code(),
        Some(3)
    );
}
