//! What is refused is counted always and logged seldom, so that a peer gone wrong cannot fill the log.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::NodeId;

use super::PeerAddress;

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
    peers: BTreeMap<NodeId, Tally>,
    strangers: Tally,
}

impl Refusals {
    pub(super) fn new(peers: &[PeerAddress]) -> Self {
        let tally = |name: &str| Tally {
            name: name.to_owned(),
            ..Tally::default()
        };
        Self {
            peers: peers
                .iter()
                .map(|peer| (peer.id, tally(&peer.name)))
                .collect(),
            strangers: tally("(none of the members)"),
        }
    }

    /// Notes that something from a peer was refused.
    pub(super) fn add(&self, from: NodeId, why: &dyn Display) {
        self.peers.get(&from).unwrap_or(&self.strangers).add(why);
    }

    /// Notes that a connection was refused before anybody knew whose it was.
    pub(super) fn add_stranger(&self, why: &dyn Display) {
        self.strangers.add(why);
    }

    pub(super) fn count(&self, from: NodeId) -> u64 {
        self.peers
            .get(&from)
            .map_or(0, |tally| tally.count.load(Ordering::Relaxed))
    }

    pub(super) fn strangers(&self) -> u64 {
        self.strangers.count.load(Ordering::Relaxed)
    }
}
