//! Nodes join, leave, die, come back and move while the cluster goes on.

use std::process::Stdio;

use reqwest::Method;
use serde_json::Value;

use crate::agreement::verified;
use crate::faults::{Writers, check_nothing_is_lost};
use crate::harness::{Cluster, Setup, json, run, stderr, succeed, until};

/// The shortest there is.
const DEAD_AFTER: &str = "10s";

fn dying() -> Setup {
    Setup {
        environment: vec![("STARLING_DEAD_AFTER", DEAD_AFTER.to_owned())],
        ..Setup::default()
    }
}

fn remove(cluster: &Cluster, name: &str) -> Value {
    json(&succeed(
        cluster.client(["cluster", "remove", "--json", name]),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_grows_to_three_under_load_and_then_survives_any_loss() {
    let mut cluster = Cluster::start(1).await;
    let writers = Writers::start(&cluster, 4);
    writers.until_more(100).await;
    for name in ["n2", "n3"] {
        let place = cluster.join(name);
        cluster.until_role(0, name, "voter").await;
        cluster.until_ready(place).await;
        writers.until_more(50).await;
    }
    let acknowledged = writers.finish().await;
    check_nothing_is_lost(&cluster, &acknowledged).await;
    for node in 0..3 {
        cluster.kill(node);
        for other in [(node + 1) % 3, (node + 2) % 3] {
            until("the others take writes", async || {
                let text = format!("without {node}");
                cluster.api(other).append(&text, None).await.ok()
            })
            .await;
        }
        cluster.restart(node).await;
    }
    check_nothing_is_lost(&cluster, &acknowledged).await;
    // The program that shares no code with the node follows the voters, too.
    cluster.stop(2).await;
    let (verdict, _) = verified(&cluster, 2);
    assert!(verdict.ends_with("ok"), "{verdict}");

    // A node that has lost its ledger does not vote again.
    std::fs::remove_dir_all(cluster.node(2).ledger()).expect("removed");
    std::fs::create_dir(cluster.node(2).ledger()).expect("an empty folder");
    cluster.spawn(2);
    assert_eq!(cluster.ended(2).await, Some(7));
    let log = std::fs::read_to_string(cluster.node(2).log()).expect("a log");
    assert!(log.contains("starling cluster join"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_says_so_and_does_not_start_again() {
    let mut cluster = Cluster::start(3).await;
    let removed = remove(&cluster, "n3");
    assert_eq!(
        (&removed["faults"], &removed["faultsBefore"]),
        (&0.into(), &1.into())
    );
    assert_eq!(
        remove(&cluster, "n3")["height"],
        removed["height"],
        "removing twice is removing"
    );
    cluster.until_role(2, "n3", "former").await;
    let seen = cluster.seen(2, "n3").await;
    assert_eq!(
        (&seen["reason"], &seen["state"]),
        (&"removed".into(), &"removed".into())
    );
    assert!(!cluster.api(2).is_ready().await);
    cluster.api(2).get("/files").await.expect(503, "removed");
    cluster
        .api(2)
        .append_raw("x", None)
        .await
        .expect("an answer")
        .expect(503, "removed");
    cluster.stop(2).await;
    cluster.spawn(2);
    assert_eq!(cluster.ended(2).await, Some(7));
    let log = std::fs::read_to_string(cluster.node(2).log()).expect("a log");
    assert!(log.contains("starling cluster join"), "{log}");

    // Without n2 nothing could be decided, and it is not heard: so n1 is not removed.
    cluster.kill(1);
    let api = cluster.api(0);
    let deleted = async |name: &str| {
        let path = format!("/cluster/members/{name}");
        api.send(api.request(Method::DELETE, &path)).await
    };
    until("it is noticed that n2 is not heard", async || {
        (cluster.seen(0, "n2").await["state"] == "down").then_some(())
    })
    .await;
    deleted("n1").await.expect(409, "rest_not_heard");
    deleted("n9").await.expect(404, "not_found");
    cluster.restart(1).await;
    cluster.until_writable().await;
    remove(&cluster, "n2");
    deleted("n1").await.expect(409, "last_voter");
    cluster
        .api(0)
        .append("alone", None)
        .await
        .expect("one node decides alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_hands_out_the_block_that_removed_it() {
    let setup = Setup {
        proxied: true,
        ..Setup::default()
    };
    let mut cluster = Cluster::start_with(3, setup).await;
    cluster.until_heads_equal().await;
    // n1 does not hear of it: n2 and n3 remove n3, and n2 goes down.
    cluster.isolate(0);
    let path = "/cluster/members/n3";
    until("n3 is removed", async || {
        let api = cluster.api(1);
        let request = api.request(Method::DELETE, path);
        api.send(request).await.success()
    })
    .await;
    cluster.until_role(2, "n3", "former").await;
    cluster.kill(1);
    cluster.stop(2).await;
    cluster.heal(0);
    let before = cluster.seen(0, "n3").await;
    assert_eq!(before["role"], "voter", "n1 cannot know");
    cluster.spawn(2);
    cluster.until_role(0, "n3", "former").await;
    // It is one of two voters now, and the other is down: n3 waits for that one.
    let refused = cluster.api(2).get("/files").await;
    refused.expect(503, "removed");
    cluster.restart(1).await;
    assert_eq!(cluster.ended(2).await, Some(7));
    cluster.until_writable().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_nodes_are_pruned_and_come_back_by_themselves() {
    let mut cluster = Cluster::start_with(5, dying()).await;
    cluster.kill(3);
    cluster.kill(4);
    for name in ["n4", "n5"] {
        cluster.until_role(0, name, "former").await;
        assert_eq!(cluster.seen(0, name).await["reason"], "silent");
    }
    let writers = Writers::start(&cluster, 3);
    writers.until_more(10).await;
    // Three are left, and one more may go.
    cluster.kill(1);
    writers.until_more(20).await;
    cluster.restart(1).await;
    cluster.spawn(3);
    cluster.until_role(0, "n4", "voter").await;
    writers.until_more(10).await;
    let acknowledged = writers.finish().await;
    check_nothing_is_lost(&cluster, &acknowledged).await;
    assert_eq!(cluster.seen(3, "n5").await["role"], "former");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broken_link_removes_nobody() {
    let setup = Setup {
        proxied: true,
        ..dying()
    };
    let cluster = Cluster::start_with(4, setup).await;
    let statements = async |count: usize| {
        until(
            &format!("{count} statements stand in the ledger"),
            async || {
                let head = cluster.api(2).head().await?.0;
                let from = head.saturating_sub(900);
                let path = format!("/ledger/blocks?limit=1000&from={from}");
                let page = cluster.api(2).get(&path).await.expect(200, "").json();
                let blocks = page["items"].as_array().expect("blocks").iter();
                let commands =
                    blocks.flat_map(|block| block["commands"].as_array().expect("commands"));
                let found = commands.filter(|command| command["kind"] == "stateHearing");
                (found.count() >= count).then_some(())
            },
        )
        .await;
    };
    for (from, to) in [(0, 1), (1, 0)] {
        cluster.link(from, to).cut();
    }
    // Each says that it does not hear the other, and nobody else does.
    statements(2).await;
    for (from, to) in [(0, 1), (1, 0)] {
        cluster.link(from, to).heal();
    }
    statements(4).await;
    for name in ["n1", "n2", "n3", "n4"] {
        assert_eq!(cluster.seen(2, name).await["role"], "voter", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_moves_without_a_new_identity() {
    let mut cluster = Cluster::start(3).await;
    cluster.stop(1).await;
    cluster.relocate(1);
    cluster.restart(1).await;
    let url = cluster.node(1).url.clone();
    for by in [0, 2] {
        until("the others know where it is", async || {
            (cluster.seen(by, "n2").await["url"] == url.as_str()).then_some(())
        })
        .await;
    }
    // The two that are left know each other's addresses from the ledger alone.
    cluster.kill(0);
    cluster.stop(2).await;
    cluster.restart(2).await;
    cluster.until_writable().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_is_good_once_and_for_one_name() {
    let mut cluster = Cluster::start(1).await;
    let refused = |cluster: &Cluster, name: &str, invite: &str, code: i32, why: &str| {
        let output = run(cluster.join_command(name, invite));
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    };
    let invite = cluster.invite(&["--learner"]);
    refused(&cluster, "n1", &invite, 2, "n1");
    refused(&cluster, "n2", &invite[..invite.len() - 8], 2, "invite");
    let joined = json(&succeed(cluster.join_command("n2", &invite)));
    refused(&cluster, "n3", &invite, 1, "used");
    let place = cluster.adopt(&joined);
    cluster.spawn(place);
    cluster.until_ready(place).await;
    cluster.until_heads_equal().await;
    let seen = cluster.seen(place, "n2").await;
    assert_eq!(
        (&seen["role"], &seen["votes"]),
        (&"learner".into(), &false.into())
    );
    cluster
        .api(place)
        .append("through a learner", None)
        .await
        .expect("appended");
    assert_eq!(remove(&cluster, "n2")["name"], "n2");
    until("the learner knows", async || {
        (!cluster.api(place).is_ready().await).then_some(())
    })
    .await;

    let invite = cluster.invite(&[]);
    let list = cluster.client(["cluster", "invite", "--list", "--json"]);
    let all = crate::harness::json_lines(&succeed(list));
    let id = |used: bool| {
        let found = all.iter().find(|invite| invite["used"] == used);
        found.expect("one of each")["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    succeed(cluster.client(["cluster", "invite", "--withdraw", &id(false)]));
    refused(&cluster, "n4", &invite, 1, "not known");
    let withdrawn = |id: &str| run(cluster.client(["cluster", "invite", "--withdraw", id]));
    assert_eq!(withdrawn(&id(false)).status.code(), Some(3), "it is gone");
    assert_eq!(withdrawn(&id(true)).status.code(), Some(1), "it was used");

    let invite = cluster.invite(&["--expires", "1s"]);
    until("the invite has expired", async || {
        let list = cluster.client(["cluster", "invite", "--list", "--json"]);
        let all = crate::harness::json_lines(&succeed(list));
        all.iter()
            .all(|invite| invite["used"] == true)
            .then_some(())
    })
    .await;
    refused(&cluster, "n4", &invite, 1, "expired");
    let writer = cluster.api(0).create_token("write").await;
    let api = cluster.api(0).with_token(&writer);
    api.post("/cluster/invites", &serde_json::json!({}))
        .await
        .expect(403, "forbidden");
    let invite = cluster.invite(&[]);
    // Names of nodes that have left are not given again.
    let folder = cluster.node(place).folder();
    cluster.stop(place).await;
    std::fs::rename(&folder, folder.with_extension("aside")).expect("moved away");
    refused(&cluster, "n2", &invite, 1, "name");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_join_goes_on() {
    let mut cluster = Cluster::start(1).await;
    for number in 0..50 {
        cluster
            .api(0)
            .append(&format!("record {number}"), None)
            .await
            .expect("appended");
    }
    let invite = cluster.invite(&[]);
    let mut command = cluster.join_command("n2", &invite);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let file = cluster.scratch().join("joined/n2/node.toml");
    let mut joining = command.spawn().expect("a process");
    until("the folder is in place", async || {
        file.exists().then_some(())
    })
    .await;
    joining.kill().expect("killed");
    joining.wait().expect("ended");
    // Other addresses on the command line are not looked at any more: the folder has its own.
    let joined = json(&succeed(cluster.join_command("n2", &invite)));
    assert_eq!(joined["resumed"], true);
    let again = json(&succeed(cluster.join_command("n2", &invite)));
    assert_eq!(again["id"], joined["id"]);
    let place = cluster.adopt(&joined);
    for _ in 0..3 {
        cluster.spawn(place);
        until("it has begun", async || {
            let log = std::fs::read_to_string(cluster.node(place).log()).unwrap_or_default();
            log.contains("calling").then_some(())
        })
        .await;
        cluster.kill(place);
    }
    cluster.restart(place).await;
    cluster.until_role(0, "n2", "voter").await;
    cluster.until_writable().await;
    cluster.until_heads_equal().await;
}
