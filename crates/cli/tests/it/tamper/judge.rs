//! What a node said and served, held against what was done to its files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::damage::{Fault, Site};
use super::table::Verdict;
use crate::api::Api;

/// Blocks are asked for so many at a time.
const AT_ONCE: usize = 16;

/// What the cluster decided.
pub(super) struct Truth {
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) listing: Value,
    pub(super) hashes: Vec<String>,
}

/// All that is known of all files; nothing if that is refused.
pub(super) async fn listing(api: &Api) -> Option<Value> {
    let answer = api.get("/files?limit=1000").await.success()?;
    Some(answer.json()["items"].clone())
}

/// The hash of every block, of those that are not refused.
pub(super) async fn hashes(api: &Api, tip: u64) -> Vec<Option<String>> {
    let heights: Vec<u64> = (0..=tip).collect();
    let mut hashes = Vec::new();
    for some in heights.chunks(AT_ONCE) {
        let mut asked = JoinSet::new();
        for height in some.iter().copied() {
            let api = api.clone();
            asked.spawn(async move {
                let block = api.get(&format!("/ledger/blocks/{height}")).await.success();
                let hash = |block: Value| block["hash"].as_str().expect("a hash").to_owned();
                (height, block.map(|block| hash(block.json())))
            });
        }
        hashes.extend(asked.join_all().await);
    }
    hashes.sort();
    hashes.into_iter().map(|(_, hash)| hash).collect()
}

/// What a node served of everything there is.
#[derive(Default)]
pub(super) struct Served {
    wrong_files: BTreeSet<String>,
    wrong_heights: BTreeSet<u64>,
    wrong_listing: bool,
    /// Heights that are served as they were decided.
    right_heights: BTreeSet<u64>,
    right_listing: bool,
}

impl Served {
    /// Asks for everything.
    pub(super) async fn by(api: &Api, truth: &Truth) -> Self {
        let mut served = Self::default();
        let listed = listing(api).await;
        served.wrong_listing = listed.as_ref().is_some_and(|it| *it != truth.listing);
        served.right_listing = listed.is_some_and(|it| it == truth.listing);
        for (id, bytes) in &truth.files {
            let answer = api.get(&format!("/files/{id}/content")).await.success();
            if answer.is_some_and(|answer| answer.bytes != *bytes) {
                served.wrong_files.insert(id.clone());
            }
        }
        let tip = truth.hashes.len() as u64 - 1;
        let hashes = hashes(api, tip).await;
        for (height, (hash, decided)) in (0..).zip(hashes.into_iter().zip(&truth.hashes)) {
            match hash {
                Some(hash) if hash == *decided => served.right_heights.insert(height),
                Some(_) => served.wrong_heights.insert(height),
                None => false,
            };
        }
        served
    }

    /// Whether something that rests on a fault is wrong.
    fn wrong_of(&self, fault: &Fault) -> bool {
        match fault.site {
            Site::Blob => self.wrong_files.contains(&fault.name),
            Site::Catalogue => self.wrong_listing,
            Site::Log => !self.wrong_heights.is_empty(),
            Site::Segment => {
                let (from, to) = fault.heights().expect("a segment");
                self.wrong_heights.range(from..=to).next().is_some()
            }
        }
    }

    fn right_of(&self, fault: &Fault) -> bool {
        match fault.site {
            Site::Blob => fault.is_whole(),
            Site::Catalogue => self.right_listing,
            Site::Log => true,
            Site::Segment => {
                let (from, to) = fault.heights().expect("a segment");
                (from..=to).all(|height| self.right_heights.contains(&height))
            }
        }
    }

    /// What is wrong, in words.
    pub(super) fn complaint(&self) -> Option<String> {
        let Self {
            wrong_files,
            wrong_heights,
            wrong_listing,
            ..
        } = self;
        let wrong = *wrong_listing || !wrong_files.is_empty() || !wrong_heights.is_empty();
        wrong.then(|| format!("wrong: {wrong_files:?} {wrong_heights:?} listing {wrong_listing}"))
    }
}

/// What a node wrote down of the damage it found.
pub(super) struct Register {
    file: PathBuf,
    node: String,
    /// What was there before.
    seen: u64,
}

/// One finding, as it stands.
struct Entry {
    id: u64,
    place: String,
    fate: String,
    what: String,
}

impl Register {
    /// From now on.
    pub(super) fn open(folder: &std::path::Path, node: &str) -> Self {
        let mut register = Self {
            file: folder.join("quarantine/findings.jsonl"),
            node: node.to_owned(),
            seen: 0,
        };
        let ids = register.entries().into_iter().map(|entry| entry.id);
        register.seen = ids.max().unwrap_or(0);
        register
    }

    /// What was found since then; the last that was said of each.
    fn entries(&self) -> Vec<Entry> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mut entries: Vec<Entry> = Vec::new();
        for line in text.lines() {
            // The last one may be half written.
            let Ok(said) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            assert_eq!(said["node"], *self.node, "a finding names its node");
            let text = |key: &str| said[key].as_str().expect("a text").to_owned();
            let entry = Entry {
                id: said["id"].as_u64().expect("a number"),
                place: text("place"),
                fate: text("fate"),
                what: text("what"),
            };
            entries.retain(|known| known.id != entry.id);
            if entry.id > self.seen {
                entries.push(entry);
            }
        }
        entries
    }

    /// What was found since then, for people.
    pub(super) fn printed(&self) -> Vec<String> {
        let entries = self.entries();
        let print = |entry: &Entry| {
            format!(
                "{} {} {}: {}",
                entry.id, entry.place, entry.fate, entry.what
            )
        };
        entries.iter().map(print).collect()
    }

    /// Notes for every fault that nobody found yet who finds it now.
    pub(super) fn attribute(&self, faults: &[Fault], verdicts: &mut [Verdict], finder: usize) {
        let entries = self.entries();
        for (fault, verdict) in faults.iter().zip(verdicts) {
            if entries.iter().any(|entry| names(entry, fault)) {
                verdict.found_by.get_or_insert(finder);
            }
        }
    }

    /// Whether nothing is open.
    pub(super) fn is_settled(&self) -> bool {
        self.entries().iter().all(|entry| entry.fate != "open")
    }

    /// Whether all that was found at a fault's place has this fate.
    fn all(&self, fault: &Fault, fate: &str) -> bool {
        let entries = self.entries();
        let mut named = entries.iter().filter(|entry| names(entry, fault));
        named.clone().next().is_some() && named.all(|entry| entry.fate == fate)
    }
}

/// Whether a finding speaks of a fault: by the file's name, or by all heights that were in it.
fn names(entry: &Entry, fault: &Fault) -> bool {
    let Some((kind, rest)) = entry.place.split_once(' ') else {
        return fault.site == Site::Catalogue && entry.place == "catalogue";
    };
    match (fault.site, kind) {
        (Site::Blob, "blob") => rest == fault.name,
        (Site::Segment, "segment") => {
            rest == fault.name || fault.forged.as_deref().is_some_and(|forged| rest == forged)
        }
        (Site::Segment, "heights") => covers(rest, fault.heights().expect("a segment")),
        // There is one at a time. What a file held is missed where the next one goes on, too.
        (Site::Log, "log") => rest.ends_with(".log"),
        (Site::Log, "vote") => true,
        _ => false,
    }
}

fn covers(heights: &str, (from, to): (u64, u64)) -> bool {
    let ends = heights.split_once('-').expect("two heights");
    let height = |digits: &str| -> u64 { digits.parse().expect("heights are digits") };
    let (first, last) = (height(ends.0), height(ends.1));
    first <= from && to <= last
}

/// Judges every fault by what was served before and after all was looked at.
pub(super) fn judge(
    faults: &[Fault],
    verdicts: &mut [Verdict],
    register: &Register,
    (before, after): (&Served, &Served),
    sound: bool,
) {
    for (fault, verdict) in faults.iter().zip(verdicts) {
        verdict.wrong = before.wrong_of(fault) || after.wrong_of(fault);
        if verdict.refused {
            // That the node would not start.
            continue;
        }
        verdict.repaired = after.right_of(fault) && sound && register.all(fault, "repaired");
        // What stays damaged is said to be, and nobody is given it.
        verdict.refused = !verdict.repaired && !register.all(fault, "repaired");
    }
}

/// Has everything verified; whether all is sound.
pub(super) async fn verified(api: &Api) -> bool {
    let asked = json!({ "blobs": true, "catalogue": true });
    let patient = api.with_timeout(std::time::Duration::from_secs(300));
    let report = patient.post("/ledger/verify", &asked).await;
    report.expect(200, "").json()["ok"] == true
}

/// Faults as text.
pub(super) fn printed(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

/// Whether a fault can only be in the way of a start.
pub(super) fn may_refuse_start(fault: &Fault) -> bool {
    fault.site == Site::Log
}
