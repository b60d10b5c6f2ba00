//! What is counted in runs, and added up over them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::Fault;

/// What was counted in a run, or in many.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Heights decided.
    pub heights: u64,
    /// Events.
    pub events: u64,
    /// Simulated time.
    pub time: Duration,
    /// The longest time that a cluster took to come to rest once it was mended.
    pub calm: Duration,
    /// Operations of clients.
    pub ops: u64,
    /// How often each fault was done.
    pub faults: BTreeMap<String, u64>,
    /// In how many runs two classes of faults were felt at the same time.
    pub pairs: BTreeMap<(Fault, Fault), u64>,
    /// Why replicas refused messages, and how often.
    pub refused: BTreeMap<&'static str, u64>,
    /// How often a bound was reached, or damage was met, and which.
    pub met: BTreeMap<&'static str, u64>,
}

impl Stats {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.heights += other.heights;
        self.events += other.events;
        self.time += other.time;
        self.ops += other.ops;
        self.calm = self.calm.max(other.calm);
        add(&mut self.faults, &other.faults);
        add(&mut self.pairs, &other.pairs);
        add(&mut self.refused, &other.refused);
        add(&mut self.met, &other.met);
    }

    /// The pairs of classes that never were felt together.
    pub fn missing_pairs(&self) -> Vec<(Fault, Fault)> {
        let pairs = Fault::all().flat_map(|a| Fault::all().map(move |b| (a, b)));
        let noise = |fault: &Fault| Fault::NOISE.contains(fault);
        pairs
            .filter(|(a, b)| a < b && !(noise(a) && noise(b)))
            .filter(|pair| !self.pairs.contains_key(pair))
            .collect()
    }

    pub(crate) fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }
}

fn add<K: Ord + Clone>(sums: &mut BTreeMap<K, u64>, counts: &BTreeMap<K, u64>) {
    for (key, count) in counts {
        *sums.entry(key.clone()).or_default() += count;
    }
}
