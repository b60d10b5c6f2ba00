//! Clients that always write: each has one write open, and begins the next when it is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Instant;

/// The open writes of all clients. `K` names a write.
#[derive(Debug)]
pub struct Clients<K> {
    open: BTreeMap<K, (usize, Instant)>,
}

impl<K> Default for Clients<K> {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
        }
    }
}

impl<K: Ord> Clients<K> {
    /// A client of `node` begins a write.
    pub fn submit(&mut self, write: K, node: usize, now: Instant) {
        self.open.insert(write, (node, now));
    }

    /// A node says that a write is decided: how long its client has waited, if it is one of that node's.
    pub fn answered(&mut self, write: &K, node: usize, now: Instant) -> Option<Duration> {
        let (at, since) = *self.open.get(write)?;
        if at != node {
            return None;
        }
        self.open.remove(write);
        Some(now.since(since))
    }
}
