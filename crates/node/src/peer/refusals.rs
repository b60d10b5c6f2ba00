//! What is refused is counted always and logged seldom, so that a peer gone wrong cannot fill the log.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use model::NodeId;

/// How often one peer's refusals are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Lets something through once in a while.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    last: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Whether enough time has passed since this last said yes.
    pub(super) fn passes(&self) -> bool {
        let mut last = self
            .last
            .lock()
            .expect("nothing panics while it holds this lock");
        let now = Instant::now();
        let passes = last.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        if passes {
            *last = Some(now);
        }
        passes
    }
}

#[derive(Debug, Default)]
struct Tally {
    name: String,
    count: AtomicU64,
    log: Throttle,
}

impl Tally {
    fn add(&self, why: &dyn Display) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if self.log.passes() {
            tracing::warn!(peer = self.name, count, "refused: {why}");
        }
    }
}

/// One tally per peer, and one for everybody else together.
#[derive(Debug)]
pub(super) struct Refusals {
    peers: Mutex<BTreeMap<NodeId, Arc<Tally>>>,
    strangers: Tally,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            peers: Mutex::default(),
            strangers: Tally {
                name: "(nobody we know)".to_owned(),
                ..Tally::default()
            },
        }
    }
}

impl Refusals {
    /// Counts for this peer from now on, if it does not yet.
    pub(super) fn know(&self, node: NodeId, name: &str) {
        let tally = || Tally {
            name: name.to_owned(),
            ..Tally::default()
        };
        let mut peers = self.peers();
        peers.entry(node).or_insert_with(|| Arc::new(tally()));
    }

    /// Notes that something from a peer was refused.
    pub(super) fn add(&self, from: NodeId, why: &dyn Display) {
        let tally = self.peers().get(&from).cloned();
        tally.as_deref().unwrap_or(&self.strangers).add(why);
    }

    /// Notes that something was refused to somebody we do not know.
    pub(super) fn add_stranger(&self, why: &dyn Display) {
        self.strangers.add(why);
    }

    pub(super) fn count(&self, from: NodeId) -> u64 {
        let peers = self.peers();
        peers
            .get(&from)
            .map_or(0, |tally| tally.count.load(Ordering::Relaxed))
    }

    pub(super) fn strangers(&self) -> u64 {
        self.strangers.count.load(Ordering::Relaxed)
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Tally>>> {
        self.peers
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}
