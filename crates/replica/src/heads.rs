//! Whether other nodes have the same history as this one.
//!
//! A beacon says which block a node has at its tip. If this node is that high, it compares, whatever its own tip is;
//! where that differs, one of the two has a block that the cluster never certified. Which, a certificate says: the other
//! is asked for its blocks, between a height at which both have the same and one at which they differ, until the lowest
//! height that differs is found. Up to there the membership is the same, so the certificate of that block is checked
//! against this node's own. If it holds, this node is the one that went astray. If not, the other one is: it finds that
//! out in the same way, or, if it is lower, by the next certified block (`consensus`, a decision on another tip).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use consensus::Message;
use model::{Block, BlockHash, Certificate, Height, Instant, NodeId};

/// How long an answer is waited for before the next beacon asks again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a peer that went astray is not asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Comparison {
    /// Ask the peer for its block of this height.
    Ask(Height),
    /// This is the peer's block at the lowest height that differs.
    Differs {
        /// Its block.
        block: Arc<Block>,
        /// What may prove it.
        certificate: Certificate,
    },
}

/// A peer that has another history.
#[derive(Debug)]
struct Suspicion {
    /// Both have the same here.
    same: Height,
    /// They differ here.
    differs: Height,
    asked: Instant,
}

/// The peers that have another history, as far as this node is.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    suspicions: BTreeMap<NodeId, Suspicion>,
}

impl Heads {
    /// Takes what a peer says. `own` gives the hash of a block that is decided here.
    pub(crate) fn hear(
        &mut self,
        from: NodeId,
        message: &Message,
        own: impl Fn(Height) -> Option<BlockHash>,
        now: Instant,
    ) -> Option<Comparison> {
        match message {
            Message::Beacon(beacon) => self.beacon(from, (beacon.tip, beacon.head), own, now),
            Message::Decide { block, certificate } => {
                self.decided(from, block, certificate, own, now)
            }
            _ => None,
        }
    }

    fn beacon(
        &mut self,
        from: NodeId,
        (tip, head): (Height, BlockHash),
        own: impl Fn(Height) -> Option<BlockHash>,
        now: Instant,
    ) -> Option<Comparison> {
        // Above the own tip there is nothing to compare, and a block that cannot be read says nothing.
        let ours = own(tip).filter(|_| tip > Height::GENESIS)?;
        if ours == head {
            self.suspicions.remove(&from);
            return None;
        }
        let suspicion = self.suspicions.entry(from).or_insert(Suspicion {
            same: Height::GENESIS,
            differs: tip,
            asked: Instant(0),
        });
        suspicion.differs = suspicion.differs.min(tip);
        let waiting = suspicion.asked > Instant(0) && now < suspicion.asked.plus(AGAIN);
        (!waiting).then(|| suspicion.ask(now))
    }

    fn decided(
        &mut self,
        from: NodeId,
        block: &Arc<Block>,
        certificate: &Certificate,
        own: impl Fn(Height) -> Option<BlockHash>,
        now: Instant,
    ) -> Option<Comparison> {
        let suspicion = self.suspicions.get_mut(&from)?;
        let height = block.height();
        let ours = own(height)?;
        if ours == block.hash() {
            suspicion.same = suspicion.same.max(height);
        } else if height <= suspicion.differs {
            suspicion.differs = height;
            if suspicion.same.next() >= height {
                // Unless this stops the node, the peer is the one that went astray. It finds that out by itself.
                suspicion.same = Height::GENESIS;
                suspicion.asked = now.plus(PATIENCE);
                return Some(Comparison::Differs {
                    block: Arc::clone(block),
                    certificate: certificate.clone(),
                });
            }
            return Some(suspicion.ask(now));
        }
        None
    }
}

impl Suspicion {
    /// The middle between what is the same and what differs: an answer goes on from there.
    fn ask(&mut self, now: Instant) -> Comparison {
        self.asked = now;
        let middle = self.same.0 + self.differs.0.saturating_sub(self.same.0) / 2;
        Comparison::Ask(Height(middle.max(1)))
    }
}

#[cfg(test)]
mod tests;
