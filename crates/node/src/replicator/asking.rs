//! Hears from the other voters what they lack.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use model::NodeId;
use tokio::time::Instant;
use tracing::debug;

use super::Replicator;
use crate::peer::chain_of_causes;
use crate::stock::Inventory;
use crate::survival::{Proven, is_settled};

/// How often the others are asked while something is missing, new or unknown.
const OFTEN: Duration = Duration::from_secs(1);
/// How often otherwise.
const SELDOM: Duration = Duration::from_secs(15);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What was heard longer ago than this is not known any more.
const STALE: Duration = Duration::from_secs(60);

/// What the others said.
#[derive(Default)]
pub(super) struct Heard {
    claims: BTreeMap<NodeId, (Instant, Inventory)>,
    before: Option<Proven>,
}

impl Heard {
    pub(super) fn claims(&self) -> BTreeMap<NodeId, Inventory> {
        let fresh = self
            .claims
            .iter()
            .filter(|(_, (at, _))| at.elapsed() < STALE);
        fresh
            .map(|(node, (_, claim))| (*node, claim.clone()))
            .collect()
    }

    pub(super) fn before(&self) -> Option<&Proven> {
        self.before.as_ref()
    }
}

pub(super) async fn run(replicator: Replicator) {
    let mut asked: Option<Instant> = None;
    let mut up = BTreeSet::new();
    loop {
        if replicator.parts.originals.is_home() {
            // No copy belongs on a disk, so nobody lacks one.
            tokio::time::sleep(OFTEN).await;
            continue;
        }
        let now_up = replicator.voters_up();
        if !now_up.is_subset(&up) {
            // Whoever came may have what nobody had.
            replicator.parts.stock.try_again();
            asked = None;
        }
        up = now_up;
        let due = asked.is_none_or(|asked| asked.elapsed() >= SELDOM);
        if due || !is_calm(&replicator, &up) {
            asked = Some(Instant::now());
            ask_all(&replicator, &up).await;
        }
        tokio::time::sleep(OFTEN).await;
    }
}

/// Whether asking again would tell nothing new.
fn is_calm(replicator: &Replicator, up: &BTreeSet<NodeId>) -> bool {
    let names = replicator.parts.stock.names();
    names.is_some_and(|names| is_settled(&names, &replicator.claims(), up))
}

pub(super) async fn ask_all(replicator: &Replicator, up: &BTreeSet<NodeId>) {
    let me = replicator.parts.me;
    let others = up.iter().copied().filter(|node| *node != me);
    let answers = join_all(others.map(|node| ask(replicator, node))).await;
    let mut heard = replicator.heard();
    for (node, claim) in answers.into_iter().flatten() {
        heard.claims.insert(node, (Instant::now(), claim));
    }
    heard.claims.retain(|_, (at, _)| at.elapsed() < STALE);
    drop(heard);
    let proven = replicator.parts.stock.names();
    let proven = proven.and_then(|names| Proven::by(&names, &replicator.claims()));
    if proven.is_some() {
        replicator.heard().before = proven;
    }
}

async fn ask(replicator: &Replicator, node: NodeId) -> Option<(NodeId, Inventory)> {
    let asking = replicator.parts.peers.inventory(node);
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(claim)) => Some((node, claim)),
        Ok(Err(error)) => {
            let error = chain_of_causes(&error);
            debug!(peer = %node, error, "a peer does not say what it lacks");
            None
        }
        Err(_) => None,
    }
}
