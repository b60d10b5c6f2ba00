//! A minority's files are tampered with, and everything of it is found, made good or refused, and never served.
//!
//! Three real nodes hold records, files and many small segments. In every round one node, which alone is a minority,
//! has its files changed in many places at once, one fault in each: while it does not run, or while it does. What it
//! writes down as found, and what it serves before and after it is asked to verify, is held against what the cluster
//! decided, fault by fault: who found it (the start, the running node, its scrubber or the check that was asked for),
//! that it was called by its name, and that it was made good or refused. The test command injects a few faults;
//! `make tamper FAULTS=1000` as many as you like, and prints the table. A seed, drawn anew each time and printed,
//! decides which.

mod damage;
mod judge;
mod table;

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{self, Cluster, POLL, Setup, run, starling, succeed, until};
use damage::{Dice, Fault};
use judge::{Register, Served, Truth, judge, may_refuse_start, printed, verified};
use table::{Table, Verdict};

/// Few blocks make a segment.
const SEAL_BYTES: u64 = 12_000;
const SEGMENTS: usize = 11;
/// Enough for so many.
const RECORDS: usize = 90;
const FILES: usize = 36;
/// The node whose files are changed.
const VICTIM: usize = 2;
/// Repairs may take so long; what is not made good then is refused.
const REPAIR: Duration = Duration::from_secs(20);
/// What is injected at once is about so much.
const AT_ONCE: usize = 32;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn any_seed() -> u64 {
    let hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.finish() >> 32
}

/// A cluster with something of everything.
async fn populated(dice: &mut Dice) -> (Cluster, Truth) {
    let setup = Setup {
        environment: vec![
            ("STARLING_TEST_SEAL_BYTES", SEAL_BYTES.to_string()),
            // Only in the rounds that are about it.
            (SCRUB_RATE, "0".to_owned()),
        ],
        ..Setup::default()
    };
    let cluster = Cluster::start_with(3, setup).await;
    let mut files = Vec::new();
    for number in 0..FILES {
        let bytes = dice.bytes(2000 + 500 * number);
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
    let (tip, _) = cluster.until_heads_equal().await;
    let api = cluster.api(0);
    let hashes = judge::hashes(&api, tip).await;
    Truth {
        files,
        listing: judge::listing(&api).await.expect("a listing"),
        hashes: hashes.into_iter().flatten().collect(),
    }
}

const SCRUB_RATE: &str = "STARLING_SCRUB_BYTES_PER_SECOND";

/// How a round goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The node is down while its files are changed, and then asked to verify.
    Down,
    /// The same, and its scrubber finds what there is.
    Scrubbed,
    /// The node runs.
    Live,
}

impl Kind {
    fn of(round: usize) -> Self {
        match round % 4 {
            1 => Self::Live,
            2 => Self::Scrubbed,
            _ => Self::Down,
        }
    }
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
struct Round<'a> {
    cluster: &'a mut Cluster,
    truth: &'a Truth,
    register: Register,
    faults: Vec<Fault>,
    verdicts: Vec<Verdict>,
}

impl<'a> Round<'a> {
    async fn begin(
        cluster: &'a mut Cluster,
        truth: &'a Truth,
        dice: &mut Dice,
        (kind, wanted): (Kind, usize),
    ) -> Self {
        if kind != Kind::Live {
            cluster.stop(VICTIM).await;
        }
        let rate = if kind == Kind::Scrubbed { 100 << 20 } else { 0 };
        cluster.set(VICTIM, SCRUB_RATE, &rate.to_string());
        cluster.set(VICTIM, "STARLING_SCRUB_PAUSE", "1s");
        let node = cluster.node(VICTIM);
        let register = Register::open(&node.folder(), &node.name);
        let faults = damage::inject(&node.folder(), dice, wanted, kind == Kind::Live);
        Self {
            verdicts: faults.iter().map(|_| Verdict::default()).collect(),
            cluster,
            truth,
            register,
            faults,
        }
    }

    fn found_by(&mut self, finder: &str) {
        let at = table::FINDERS.iter().position(|name| *name == finder);
        let at = at.expect("a finder");
        self.register
            .attribute(&self.faults, &mut self.verdicts, at);
    }

    /// Starts the victim, if need be without what it refuses to start with.
    async fn start(&mut self) -> Result<(), String> {
        if starts(self.cluster).await {
            self.found_by("start");
            return Ok(());
        }
        self.found_by("start");
        // Nothing was written: what stands in the way is put back, and the rest is looked at.
        for (fault, verdict) in self.faults.iter().zip(&mut self.verdicts) {
            if may_refuse_start(fault) && verdict.found_by.is_some() {
                fault.undo();
                verdict.refused = true;
            }
        }
        if starts(self.cluster).await {
            self.found_by("start");
            return Ok(());
        }
        Err("the node does not start".to_owned())
    }

    /// Waits until the scrubber has seen everything.
    async fn scrubbed(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < REPAIR {
            self.found_by("scrubber");
            if self.verdicts.iter().all(|it| it.found_by.is_some()) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Looks at everything, and judges.
    async fn look(&mut self, kind: Kind) -> Result<(), String> {
        let api = self.cluster.api(VICTIM);
        if kind == Kind::Scrubbed {
            self.scrubbed().await;
        }
        let before = Served::by(&api, self.truth).await;
        self.found_by("running");
        let begun = Instant::now();
        let mut sound = verified(&api).await;
        while !(sound && self.register.is_settled()) && begun.elapsed() < REPAIR {
            tokio::time::sleep(POLL).await;
            sound = verified(&api).await;
        }
        self.found_by("verify");
        let after = Served::by(&api, self.truth).await;
        let (served, verdicts) = ((&before, &after), &mut self.verdicts);
        judge(&self.faults, verdicts, &self.register, served, sound);
        match before.complaint().or_else(|| after.complaint()) {
            Some(wrong) => Err(wrong),
            None if sound => Ok(()),
            None => Err("it is not sound in the end".to_owned()),
        }
    }

    /// Everything that is not as it should be.
    fn complaints(&self) -> Vec<String> {
        let judged = self.faults.iter().zip(&self.verdicts);
        let complaint = |(fault, verdict): (&Fault, &Verdict)| {
            let what = verdict.complaint()?;
            Some(format!("{fault}: {what}"))
        };
        judged.filter_map(complaint).collect()
    }
}

/// One round; what is wrong with it.
async fn round(
    cluster: &mut Cluster,
    truth: &Truth,
    dice: &mut Dice,
    (kind, wanted): (Kind, usize),
    table: &mut Table,
) -> Result<(), String> {
    let mut round = Round::begin(cluster, truth, dice, (kind, wanted)).await;
    let mut outcome = match kind {
        Kind::Live => Ok(()),
        _ => round.start().await,
    };
    let runs = outcome.is_ok();
    if runs {
        outcome = round.look(kind).await;
    }
    for (fault, verdict) in round.faults.iter().zip(&round.verdicts) {
        table.add(fault.class.name(), verdict);
    }
    let complaints = round.complaints();
    let text = || {
        let (faults, found) = (printed(&round.faults), round.register.printed());
        format!("{kind:?}: {outcome:?}\n{complaints:#?}\nof {faults:#?}\nfound {found:#?}")
    };
    let failure = (outcome.is_err() || !complaints.is_empty()).then(text);
    assert!(runs, "{}\n{}", failure.unwrap_or_default(), table.printed());
    cluster.until_heads_equal().await;
    failure.map_or(Ok(()), Err)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tampered_with_is_found_and_never_served() {
    let wanted = number("TAMPER_FAULTS").unwrap_or(24);
    let seed = number("TAMPER_SEED").unwrap_or_else(any_seed);
    eprintln!("tamper: again with TAMPER_SEED={seed} TAMPER_FAULTS={wanted}");
    let wanted = usize::try_from(wanted).expect("a number of faults");
    let mut dice = Dice::new(seed);
    let (mut cluster, truth) = populated(&mut dice).await;
    let receipt = hold_a_receipt(&cluster, &truth);
    let mut table = Table::default();
    let mut failures = Vec::new();
    let mut rounds = 0;
    while (table.injected() as usize) < wanted {
        let left = wanted - table.injected() as usize;
        let most = left.min(AT_ONCE).min(wanted.div_ceil(2));
        let kind = Kind::of(rounds);
        let begun = Instant::now();
        let outcome = round(&mut cluster, &truth, &mut dice, (kind, most), &mut table).await;
        rounds += 1;
        let (injected, took) = (table.injected(), begun.elapsed());
        eprintln!("round {rounds}, {kind:?}: {injected} faults, {took:.1?}");
        if let Err(what) = outcome {
            eprintln!("TAMPER_SEED={seed} round {rounds}: {what}");
            failures.push(what);
        }
    }
    put_back(&mut cluster, &mut table).await;
    let checked = forge_a_majority(&mut cluster, &receipt).await;
    println!("{rounds} rounds\n\n{}", table.printed());
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
async fn put_back(cluster: &mut Cluster, table: &mut Table) {
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
        // Its links to the others may not stand yet.
        until("a record is placed", async || {
            let placed = cluster.api(VICTIM).append("after the copy", None).await;
            placed.ok()
        })
        .await;
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
    let verdict = Verdict {
        found_by: Some(0),
        refused: true,
        ..Verdict::default()
    };
    table.add("folder: an older copy put back", &verdict);
}

/// Rewrites the chain in the files of two nodes, with every hash right and no key: a client that holds a receipt finds
/// out, and so does everybody who verifies the files.
async fn forge_a_majority(cluster: &mut Cluster, held: &std::path::Path) -> String {
    for node in 0..3 {
        cluster.stop(node).await;
    }
    let mut check = starling(["ledger", "check", "--json", "--trust"]);
    check.arg(held.join("genesis")).arg(held.join("held"));
    let proven = harness::json(&succeed(check));
    let height = proven["height"].as_u64().expect("a height");
    for node in 0..2 {
        let ledger = cluster.node(node).ledger();
        let honest = hash_in(&ledger, height);
        assert_eq!(proven["block"], *honest, "the receipt proves what was");
        let forged = damage::rewrite_chain(&ledger, 0).len();
        assert!(forged >= SEGMENTS, "all of the chain that is in segments");
        let other = hash_in(&ledger, height);
        assert_ne!(proven["block"], *other, "what the receipt contradicts");
        let mut verify = starling(["ledger", "verify", "--json", "--folder"]);
        verify.arg(ledger);
        assert_eq!(run(verify).status.code(), Some(1), "a forged copy is found");
    }
    format!("the receipt of height {height} contradicts both, and verifying finds both")
}

/// The hash of a block as a copy of the ledger has it.
fn hash_in(ledger: &std::path::Path, height: u64) -> String {
    let held = damage::segments(ledger).into_iter().find_map(|path| {
        let bytes = std::fs::read(path).expect("a segment");
        let blocks = damage::decided(&bytes).into_iter();
        let mut blocks = blocks.map(|decided| decided.block);
        blocks.find(|block| block.height().0 == height)
    });
    held.expect("a sealed block").hash().to_string()
}
