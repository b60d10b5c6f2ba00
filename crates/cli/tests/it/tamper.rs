//! A minority's files are tampered with, and everything of it is found, made good or refused, and never served.
//!
//! Three real nodes hold records, files and many small segments. In every round one node, which alone is a minority,
//! has its files changed in many places at once, while it does not run or while it does. Then it is started and asked
//! to verify; what it says and what it serves is held against what the cluster decided. The test command injects a few
//! faults; `make tamper FAULTS=1000` as many as you like, and prints the table. The seed decides which.

mod damage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::Api;
use crate::harness::{Cluster, POLL, Setup, run, starling, succeed, until};
use damage::{Class, Dice, Fault, Site};

/// Few blocks make a segment.
const SEAL_BYTES: u64 = 24_000;
const SEGMENTS: usize = 6;
/// Enough for so many.
const RECORDS: usize = 110;
/// The node whose files are changed.
const VICTIM: usize = 2;
/// Repairs may take so long; what is not made good then is refused.
const REPAIR: Duration = Duration::from_secs(15);

/// What the cluster decided.
struct Truth {
    files: Vec<(String, Vec<u8>)>,
    listing: Value,
    hashes: Vec<String>,
}

/// What became of the faults of one class.
#[derive(Default)]
struct Row {
    injected: u32,
    detected: u32,
    repaired: u32,
    refused: u32,
    wrong: u32,
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// A cluster with something of everything.
async fn populated(dice: &mut Dice) -> (Cluster, Truth) {
    let setup = Setup {
        environment: vec![
            ("STARLING_TEST_SEAL_BYTES", SEAL_BYTES.to_string()),
            // Verifying is asked for, so that it is known when all has been looked at.
            ("STARLING_SCRUB_BYTES_PER_SECOND", "0".to_owned()),
        ],
        ..Setup::default()
    };
    let cluster = Cluster::start_with(3, setup).await;
    let mut files = Vec::new();
    for number in 0..18 {
        let bytes = dice.bytes(2000 + 3000 * number);
        let name = format!("{number}.bin");
        let metadata = json!({ "description": format!("file number {number}") });
        let added = cluster
            .api(number % 3)
            .upload(&name, &bytes, &metadata)
            .await;
        let id = added.expect(201, "").json()["id"].clone();
        files.push((id.as_str().expect("an id").to_owned(), bytes));
    }
    for _ in 0..RECORDS {
        let body = "a record ".repeat(100);
        let placed = cluster.api(0).append(&body, None).await;
        placed.expect("a place");
    }
    until("segments are made", async || {
        let made = damage::segments(&cluster.node(VICTIM).ledger());
        (made.len() >= SEGMENTS).then_some(())
    })
    .await;
    let truth = truth(&cluster, files).await;
    (cluster, truth)
}

async fn truth(cluster: &Cluster, files: Vec<(String, Vec<u8>)>) -> Truth {
    cluster.until_heads_equal().await;
    Truth {
        files,
        listing: listing(&cluster.api(0)).await.expect("a listing"),
        hashes: hashes(&cluster.api(0))
            .await
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// All that is known of all files; nothing if that is refused.
async fn listing(api: &Api) -> Option<Value> {
    let answer = api.get("/files?limit=1000").await.success()?;
    Some(answer.json()["items"].clone())
}

/// The hash of every block, of those that are not refused.
async fn hashes(api: &Api) -> Vec<Option<String>> {
    let mut hashes = Vec::new();
    let Some((tip, _)) = api.head().await else {
        return hashes;
    };
    for height in 0..=tip {
        let block = api.get(&format!("/ledger/blocks/{height}")).await.success();
        let hash = block.map(|block| block.json()["hash"].as_str().expect("a hash").to_owned());
        hashes.push(hash);
    }
    hashes
}

/// What a node serves that is wrong, in words.
async fn wrong_answers(api: &Api, truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, bytes) in &truth.files {
        let answer = api.get(&format!("/files/{id}/content")).await.success();
        if answer.is_some_and(|answer| answer.bytes != *bytes) {
            wrong.push(format!("blob {id}"));
        }
    }
    if listing(api)
        .await
        .is_some_and(|listing| listing != truth.listing)
    {
        wrong.push("catalogue".to_owned());
    }
    for (height, (served, decided)) in hashes(api).await.iter().zip(&truth.hashes).enumerate() {
        if served.as_ref().is_some_and(|served| served != decided) {
            wrong.push(format!("block {height}"));
        }
    }
    wrong
}

/// Everything a node says is or was wrong, as one text.
async fn said(api: &Api) -> (bool, String) {
    let asked = json!({ "blobs": true, "catalogue": true });
    let patient = api.with_timeout(Duration::from_secs(300));
    let report = patient
        .post("/ledger/verify", &asked)
        .await
        .expect(200, "")
        .json();
    let cluster = api.get("/cluster").await.expect(200, "").json();
    let text = format!("{}\n{}", report["faults"], cluster["damage"]);
    (report["ok"] == true, text)
}

/// Starts the victim; false if it refuses.
async fn starts(cluster: &mut Cluster) -> bool {
    cluster.spawn(VICTIM);
    let begun = Instant::now();
    loop {
        if cluster.api(VICTIM).is_ready().await {
            return true;
        }
        if cluster.has_ended(VICTIM) {
            return false;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "it starts or ends"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// One round: tampers, looks, and leaves the cluster whole.
async fn round(
    cluster: &mut Cluster,
    truth: &Truth,
    dice: &mut Dice,
    (wanted, live): (usize, bool),
    table: &mut BTreeMap<&'static str, Row>,
) -> Result<usize, String> {
    let folder = cluster.node(VICTIM).folder();
    if !live {
        cluster.stop(VICTIM).await;
    }
    let faults = damage::inject(&folder, dice, wanted, live);
    let mut refused: Vec<usize> = Vec::new();
    if !live && !starts(cluster).await {
        // Nothing was written: what stands in the way is put back, and the rest is looked at.
        for (at, fault) in faults.iter().enumerate() {
            if matches!(fault.site, Site::Log) {
                fault.undo();
                refused.push(at);
            }
        }
        if refused.is_empty() || !starts(cluster).await {
            return Err(format!("the node does not start: {:?}", names(&faults)));
        }
    }
    let api = cluster.api(VICTIM);
    let mut wrong = wrong_answers(&api, truth).await;
    let (mut sound, mut text) = said(&api).await;
    let begun = Instant::now();
    while !sound && begun.elapsed() < REPAIR {
        let (now, more) = said(&api).await;
        (sound, text) = (now, format!("{text}\n{more}"));
    }
    if live {
        // Until it was looked for, nobody could know that a row was edited under a running node.
        wrong.retain(|what| what != "catalogue");
    }
    wrong.extend(wrong_answers(&api, truth).await);
    let mut missed = Vec::new();
    for (at, fault) in faults.iter().enumerate() {
        let row = table.entry(fault.class.name()).or_default();
        row.injected += 1;
        let whole = fault.is_whole();
        let seen = refused.contains(&at) || fault.is_named_in(&text);
        let deleted = matches!(fault.class, Class::BlobDeleted | Class::SegmentDeleted);
        // What is back was missed by somebody; a segment may be back under another name, with others' heights.
        let restored = deleted && (whole || sound);
        row.detected += u32::from(seen || restored);
        row.repaired += u32::from(!refused.contains(&at) && (sound || whole));
        row.refused += u32::from(refused.contains(&at) || !(sound || whole));
        if wrong.iter().any(|what| fault.is_named_in(what)) {
            row.wrong += 1;
        }
        if !(seen || restored) {
            missed.push(fault.to_string());
        }
    }
    if !sound {
        cluster.stop(VICTIM).await;
        faults.iter().for_each(Fault::undo);
        cluster.restart(VICTIM).await;
    }
    cluster.until_heads_equal().await;
    match (missed.is_empty(), wrong.is_empty()) {
        (true, true) => Ok(faults.len()),
        _ => Err(format!("missed {missed:#?}, wrong {wrong:#?}")),
    }
}

fn names(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tampered_with_is_found_and_never_served() {
    let wanted =
        usize::try_from(number("TAMPER_FAULTS").unwrap_or(20)).expect("a number of faults");
    let seed = number("TAMPER_SEED").unwrap_or(1);
    eprintln!("tamper: TAMPER_SEED={seed} TAMPER_FAULTS={wanted}");
    let mut dice = Dice::new(seed);
    let (mut cluster, truth) = populated(&mut dice).await;
    let receipt = hold_a_receipt(&cluster, &truth);
    let mut table = BTreeMap::new();
    let mut failures = Vec::new();
    let (mut injected, mut rounds) = (0, 0);
    while injected < wanted {
        let most = (wanted - injected).clamp(1, 28);
        let most = if wanted <= 40 {
            most.min(wanted.div_ceil(2))
        } else {
            most
        };
        let outcome = round(
            &mut cluster,
            &truth,
            &mut dice,
            (most, rounds % 3 == 2 || wanted <= 40 && rounds == 1),
            &mut table,
        );
        match outcome.await {
            Ok(count) => injected += count,
            Err(what) => {
                failures.push(what);
                injected += most;
            }
        }
        rounds += 1;
    }
    put_back(&mut cluster, &mut table).await;
    let checked = forge_a_majority(&mut cluster, &receipt).await;
    println!("{}", printed(&table, rounds));
    println!("copies of a majority rewritten: {checked}");
    assert!(
        failures.is_empty(),
        "TAMPER_SEED={seed}: {}",
        failures.join("\n")
    );
}

/// Fetches what a client keeps: a receipt and the genesis block it trusts.
fn hold_a_receipt(cluster: &Cluster, truth: &Truth) -> std::path::PathBuf {
    let folder = cluster.scratch().join("receipt");
    std::fs::create_dir_all(&folder).expect("a folder");
    let fetch = |arguments: &[&str], out: &str| {
        let mut fetch = cluster.client([&["ledger"], arguments].concat());
        fetch.arg("--out").arg(folder.join(out));
        succeed(fetch);
    };
    let (id, _) = truth.files.last().expect("a file");
    fetch(&["checkpoint", "--height", "0"], "genesis");
    fetch(&["receipt", "--file", id], "held");
    folder
}

/// Puts an older copy of the whole folder back: the others know that this node has been further.
async fn put_back(cluster: &mut Cluster, table: &mut BTreeMap<&'static str, Row>) {
    let folder = cluster.node(VICTIM).folder();
    let older = folder.with_extension("older");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let mut copy = std::process::Command::new("cp");
        copy.arg("-a").arg(from).arg(to);
        succeed(copy);
    };
    cluster.stop(VICTIM).await;
    copy(&folder, &older);
    cluster.restart(VICTIM).await;
    for _ in 0..5 {
        let placed = cluster.api(VICTIM).append("after the copy", None).await;
        placed.expect("a place");
    }
    cluster.stop(VICTIM).await;
    std::fs::remove_dir_all(&folder).expect("removed");
    copy(&older, &folder);
    cluster.spawn(VICTIM);
    let name = cluster.node(VICTIM).name.clone();
    until("the older copy is refused", async || {
        let answer = cluster.api(VICTIM).with_timeout(REPAIR);
        let answer = answer
            .try_send(answer.request(reqwest::Method::GET, "/cluster"))
            .await;
        let seen = answer.ok()?.json();
        let mut nodes = seen["nodes"].as_array()?.iter();
        let own = nodes.find(|node| node["name"] == *name)?;
        (own["state"] == "stopped").then_some(())
    })
    .await;
    let refused = cluster.api(VICTIM).append("with an older vote", None).await;
    refused.expect_err("a node that was set back decides nothing");
    let row = table.entry("folder: an older copy put back").or_default();
    row.injected = 1;
    row.detected = 1;
    row.refused = 1;
}

/// Rewrites the chain in the files of two nodes, with every hash right and no key: a client that holds a receipt finds
/// out, and so does everybody who verifies the files.
async fn forge_a_majority(cluster: &mut Cluster, held: &std::path::Path) -> &'static str {
    for node in 0..3 {
        cluster.stop(node).await;
    }
    for node in 0..2 {
        damage::rewrite_chain(&cluster.node(node).ledger(), 1).expect("segments to rewrite");
        let mut verify = starling(["ledger", "verify", "--json", "--folder"]);
        verify.arg(cluster.node(node).ledger());
        assert_eq!(run(verify).status.code(), Some(1), "a forged copy is found");
    }
    let mut check = starling(["ledger", "check", "--json", "--trust"]);
    check.arg(held.join("genesis")).arg(held.join("held"));
    assert_eq!(
        run(check).status.code(),
        Some(0),
        "the receipt proves what was"
    );
    "found by verifying; the receipt held proves what was decided"
}

fn printed(table: &BTreeMap<&'static str, Row>, rounds: usize) -> String {
    let mut text = format!(
        "{rounds} rounds\n\n| Class | Injected | Detected | Repaired | Refused | Wrong answers |\n| --- | --: | --: | --: | --: | --: |\n"
    );
    let mut all = Row::default();
    for (class, row) in table {
        let Row {
            injected,
            detected,
            repaired,
            refused,
            wrong,
        } = row;
        let line = writeln!(
            text,
            "| {class} | {injected} | {detected} | {repaired} | {refused} | {wrong} |"
        );
        line.expect("a string takes any text");
        all.injected += injected;
        all.detected += detected;
        all.repaired += repaired;
        all.refused += refused;
        all.wrong += wrong;
    }
    let line = writeln!(
        text,
        "| **all** | {} | {} | {} | {} | {} |",
        all.injected, all.detected, all.repaired, all.refused, all.wrong
    );
    line.expect("a string takes any text");
    text
}
