//! Checks on snapshots: what a node begins with is what the chain gives, and enough voters have said so in it.

use std::collections::BTreeSet;

use model::{Height, NodeId, Payload, SnapshotStep};
use replica::{Claim, CoreState};

use super::chain::Chain;
use super::rules::quorum;
use super::{Checked, ensure};
use crate::seat::Seat;
use crate::shelf::Shelf;

/// P70: the state at a height is the same on every node, however it has come to it.
pub(crate) fn check_snapshot_states_equal(
    seat: Seat,
    height: Height,
    (core, shelf): (&CoreState, &Shelf),
    chain: &Chain,
) -> Checked {
    const CHECK: &str = "check_snapshot_states_equal";
    ensure(*core == chain.core_at(height), CHECK, || {
        format!("{seat} has another core state at {height} than the chain gives")
    })?;
    ensure(*shelf == chain.shelf_at(height), CHECK, || {
        format!("{seat} has other files at {height} than the chain gives")
    })
}

/// P71, P73: counted anew from the blocks above a snapshot up to the tip of the node that begins with it.
pub(crate) fn check_snapshots_are_vouched_for(
    seat: Seat,
    claim: Claim,
    tip: Height,
    chain: &Chain,
) -> Checked {
    let (mut nodes, mut purge) = (BTreeSet::<NodeId>::new(), None);
    for height in (claim.height.0 + 1..=tip.0).map(Height) {
        let block = chain.block(height);
        let sealed = block.iter().flat_map(|block| block.entries());
        let opened = sealed.filter_map(|entry| entry.sealed()?.open().ok());
        for command in opened {
            match command.payload {
                Payload::Purge(_) => purge = Some(height),
                Payload::Snapshot(SnapshotStep::Vouch {
                    height: of,
                    version,
                    digest,
                    node,
                }) if (of, version, digest) == (claim.height, claim.version, claim.digest) => {
                    nodes.insert(node);
                }
                _ => {}
            }
        }
    }
    let voters = chain.roster(tip).voters();
    nodes.retain(|node| voters.contains(*node));
    let needed = voters.len() - quorum(voters.len()) + 1;
    ensure(
        nodes.len() >= needed,
        "check_snapshots_are_vouched_for",
        || {
            format!(
                "{seat} begins with {claim:?}, for which {} of {needed} have vouched",
                nodes.len()
            )
        },
    )?;
    ensure(purge.is_none(), "check_a_purge_ends_snapshots", || {
        format!("{seat} begins with {claim:?}, above which there is a purge at {purge:?}")
    })
}
