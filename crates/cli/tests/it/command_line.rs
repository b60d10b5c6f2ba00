//! What scripts rely on: exit codes, one object per line, results on stdout and nothing else there.

use std::process::Command;

use crate::harness::{
    Cluster, free_ports, json, json_lines, run, send_signal, starling, stderr, succeed, until,
};

/// Nothing listens on the port of a discard service that nobody runs.
const NOBODY: &str = "http://127.0.0.1:9";

fn code(command: Command) -> Option<i32> {
    run(command).status.code()
}

#[test]
fn wrong_usage_is_2() {
    assert_eq!(code(starling(["fly"])), Some(2));
    assert_eq!(code(starling(["upload"])), Some(2));
    assert_eq!(code(starling(["get", "not-an-id"])), Some(2));
    assert_eq!(
        code(starling(["status", "--url", "127.0.0.1:7700"])),
        Some(2)
    );
    let twice = ["status", "--token", "a", "--token-file", "b"];
    assert_eq!(code(starling(twice)), Some(2));
}

#[test]
fn a_cluster_out_of_reach_is_temporary_and_said_in_one_sentence() {
    let output = run(starling(["status", "--url", NOBODY]));
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(output.stdout, b"", "stdout is for results");
    let said = stderr(&output);
    assert!(said.contains(NOBODY) && said.lines().count() == 1, "{said}");
}

#[test]
fn a_node_that_cannot_run_is_fatal() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("node.toml");
    let serve = || {
        let mut command = starling(["serve", "--config"]);
        command.arg(&config);
        run(command)
    };
    let output = serve();
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("node.toml"), "{}", stderr(&output));

    std::fs::write(&config, "name = \"n1\"\ncolour = \"blue\"\n").expect("written");
    let output = serve();
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("colour"), "{}", stderr(&output));
}

#[test]
fn a_node_without_its_ledger_does_not_make_one() {
    let cluster = Cluster::create(1);
    std::fs::remove_dir_all(cluster.node(0).ledger()).expect("removed");
    let mut serve = starling(["serve", "--config"]);
    serve.arg(&cluster.node(0).config);
    let output = run(serve);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).contains("ledger"), "{}", stderr(&output));
}

#[test]
fn a_cluster_is_made_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("cluster");
    let init = |node: &str| {
        let mut command = starling(["cluster", "init", "--json", "--node", node, "--out"]);
        command.arg(&out);
        command
    };
    assert_eq!(
        code(init("n1=127.0.0.1:7700")),
        Some(2),
        "an address is missing"
    );
    assert_eq!(
        code(init("N1=127.0.0.1:7700,127.0.0.1:7800")),
        Some(2),
        "not a name"
    );
    assert!(!out.exists(), "a refused plan leaves nothing behind");

    let created = json(&succeed(init("n1=127.0.0.1:7700,127.0.0.1:7800")));
    assert_eq!(created["nodes"][0]["url"], "https://127.0.0.1:7700");
    assert!(out.join("ca/ca-key.pem").is_file());
    let again = run(init("n1=127.0.0.1:7700,127.0.0.1:7800"));
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("nothing in it was touched"),
        "{}",
        stderr(&again)
    );
}

/// A cluster is made with TLS unless that is refused, and its own authority is all that a client has to trust.
#[tokio::test(flavor = "multi_thread")]
async fn https_is_trusted_through_the_clusters_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("cluster");
    let ports = free_ports(2);
    let node = format!("n1=127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
    let mut init = starling(["cluster", "init", "--json", "--node", &node, "--out"]);
    init.arg(&out);
    let created = json(&succeed(init));
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let log = folder.path().join("log");
    let config = text(&created["nodes"][0]["config"]);
    let mut serve = starling(["serve", "--config", &config])
        .stderr(std::fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("a process");
    let status = |more: &[&str]| {
        let mut command = starling([
            "status",
            "--json",
            "--url",
            &text(&created["nodes"][0]["url"]),
        ]);
        command
            .arg("--token-file")
            .arg(out.join("token"))
            .args(more);
        run(command)
    };
    let ca = text(&created["ca"]);
    let answer = until("it serves", async || {
        let output = status(&["--ca", &ca]);
        (output.status.code() == Some(0)).then_some(output.stdout)
    })
    .await;
    let cluster = json(&String::from_utf8_lossy(&answer));
    assert_eq!(cluster["chainId"], created["chainId"]);
    let mistrusted = status(&[]);
    assert_ne!(
        mistrusted.status.code(),
        Some(0),
        "the system does not know the authority"
    );
    // A new certificate is taken without a restart.
    let mut renew = starling(["cluster", "certificate", "--config", &config, "--ca-key"]);
    renew.arg(out.join("ca/ca-key.pem"));
    assert!(succeed(renew).contains("127.0.0.1"));
    until("it has the new certificate", async || {
        let log = std::fs::read_to_string(&log).expect("a log");
        log.contains("a new certificate").then_some(())
    })
    .await;
    let renewed = status(&["--ca", &ca]);
    assert_eq!(renewed.status.code(), Some(0), "{}", stderr(&renewed));
    send_signal(serve.id(), "TERM");
    assert!(serve.wait().expect("watched").success());
}

#[test]
fn every_flag_has_a_variable() {
    let commands: [&[&str]; 17] = [
        &["demo"],
        &["serve"],
        &["cluster", "init"],
        &["cluster", "status"],
        &["upload"],
        &["search"],
        &["get"],
        &["status"],
        &["ledger", "head"],
        &["ledger", "verify"],
        &["token", "create"],
        &["token", "list"],
        &["token", "revoke"],
        &["user", "add"],
        &["user", "role"],
        &["user", "password"],
        &["--help"],
    ];
    for command in commands {
        let help = succeed(starling(command.iter().chain(&["--help"])));
        for option in options(&help) {
            let known = ["Print help", "Print version", "[env: STARLING_"];
            assert!(
                known.iter().any(|text| option.contains(text)),
                "{command:?}: {option}"
            );
        }
    }
}

/// What a help text says about each option.
fn options(help: &str) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    for line in help.lines() {
        if line.starts_with("  -") || line.starts_with("      --") {
            options.push(String::new());
        }
        if let Some(option) = options.last_mut() {
            *option += line;
        }
    }
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_3_and_who_may_not_ask_is_told_how() {
    let cluster = Cluster::start(1).await;
    let nothing = "00".repeat(32);
    assert_eq!(code(cluster.client(["get", "--meta", &nothing])), Some(3));

    let mut stranger = cluster.client(["status"]);
    stranger.env("STARLING_TOKEN", "stl_0011223344556677_nonsense");
    let output = run(stranger);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--token"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_query_names_its_place() {
    let cluster = Cluster::start(1).await;
    let output = run(cluster.client(["search", "tgg:beach"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("tgg"), "{}", stderr(&output));
    assert_eq!(output.stdout, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_listed_and_revoked() {
    let cluster = Cluster::start(3).await;
    let made = [
        "token", "create", "--name", "phone", "--scope", "write", "--json",
    ];
    let made = json(&succeed(cluster.client(made)));
    let (id, token) = (
        made["id"].as_str().expect("an id"),
        made["token"].as_str().expect("a token"),
    );
    cluster.until_heads_equal().await;

    let phone = cluster.api(1).with_token(token);
    phone
        .append("from the phone", None)
        .await
        .expect("it may write");
    phone.get("/tokens").await.expect(403, "forbidden");

    let listed = json_lines(&succeed(cluster.client(["token", "list", "--json"])));
    let entry = listed
        .iter()
        .find(|entry| entry["id"] == id)
        .expect("it is listed");
    assert_eq!(
        (&entry["name"], &entry["scope"]),
        (&"phone".into(), &"write".into())
    );
    assert!(
        !entry.to_string().contains(token),
        "the secret is shown once"
    );

    succeed(cluster.client(["token", "revoke", id]));
    cluster.until_heads_equal().await;
    phone
        .get("/ledger/head")
        .await
        .expect(401, "unauthenticated");
    assert_eq!(
        code(cluster.client(["token", "revoke", "0011223344556677"])),
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_the_cluster_is_one_object() {
    let cluster = Cluster::start(3).await;
    cluster.until_heads_equal().await;
    let status = json(&succeed(cluster.client(["status", "--json"])));
    assert_eq!(status["quorum"], 2);
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(3));
    assert_eq!(status["agreement"]["identical"], true);
    let ids: Vec<_> = (0..3).map(|node| cluster.node(node).id.clone()).collect();
    let told = status["nodes"].as_array().expect("nodes").iter();
    assert!(
        told.map(|node| node["id"].as_str().expect("an id"))
            .eq(ids.iter())
    );
    let table = succeed(cluster.client(["cluster", "status"]));
    assert!(table.contains(&cluster.node(2).url), "{table}");

    let (height, hash) = cluster.until_heads_equal().await;
    let head = json(&succeed(cluster.client(["ledger", "head", "--json"])));
    assert_eq!(
        (&head["height"], &head["hash"]),
        (&height.into(), &hash.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_of_the_ledger_is_found() {
    let mut cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    for number in 0..50 {
        api.append(&format!("record {number}"), None)
            .await
            .expect("appended");
    }
    let verify = ["ledger", "verify", "--all", "--json"];
    let report = json(&succeed(cluster.client(verify)));
    assert_eq!(report["ok"], true);
    cluster.stop(0).await;

    let offline = |cluster: &Cluster| {
        let mut command = starling(["ledger", "verify", "--json", "--folder"]);
        command.arg(cluster.node(0).ledger());
        run(command)
    };
    assert_eq!(offline(&cluster).status.code(), Some(0));
    change_a_byte(&cluster, b"record 25");
    let output = offline(&cluster);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report = json(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(report["ok"], false);
    assert!(report["faults"][0]["height"].is_u64(), "{report}");
}

/// Changes one bit where the ledger holds `text`.
fn change_a_byte(cluster: &Cluster, text: &[u8]) {
    let files = std::fs::read_dir(cluster.node(0).ledger()).expect("a ledger");
    for file in files.map(|file| file.expect("an entry").path()) {
        let mut bytes = std::fs::read(&file).expect("a log file");
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
            bytes[at] ^= 1;
            return std::fs::write(&file, bytes).expect("written");
        }
    }
    panic!("the ledger does not hold {text:?}");
}
