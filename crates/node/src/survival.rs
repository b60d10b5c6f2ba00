//! How many losses files' bytes survive: arithmetic over what the nodes say of themselves.
//!
//! Nothing is taken for granted. A copy counts if its node is a voter, is heard now, and has said that it holds it: by
//! an inventory under the voters of now that covers the blob's height and does not list it as missing. Copies beyond
//! placement are not counted, so the result is a lower bound.
//!
//! Two more things are known. A blob that was named after the inventories were made was stored on one more voter than
//! may crash before it was named. And while the voters have just changed and not all have looked at their copies again,
//! what was proven before still holds for those of then who are still there, because nobody drops a copy.

use std::collections::{BTreeMap, BTreeSet};

use blobs::{Placement, Seats};
use model::{BlobId, MembershipHash, NodeId};

use crate::stock::{Inventory, Names};

/// What the nodes hold between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Picture {
    /// Every blob is proven to be on at least so many voters that are up.
    pub copies: usize,
    /// Blobs that must exist.
    pub total: u64,
    /// At least so many of them are not proven to have all their copies.
    pub under_replicated: u64,
    /// Copies still to be made, on all nodes that have said so.
    pub copying: u64,
    /// Their bytes.
    pub bytes_left: u64,
}

/// What was true when every voter had everything.
#[derive(Debug, Clone)]
pub struct Proven {
    voters: MembershipHash,
    placement: Placement,
    groups: BTreeSet<Seats>,
}

impl Proven {
    /// If every voter has said that it lacks nothing.
    pub fn by(names: &Names, claims: &BTreeMap<NodeId, Inventory>) -> Option<Self> {
        let everybody = names.placement.nodes().iter().copied().collect();
        is_settled(names, claims, &everybody).then(|| Self {
            voters: names.voters,
            placement: names.placement.clone(),
            groups: names.groups.keys().copied().collect(),
        })
    }

    fn copies(&self, up: &BTreeSet<NodeId>) -> usize {
        let up = self.placement.seats_where(|node| up.contains(&node));
        let counts = self.groups.iter().map(|seats| seats.and(up).count());
        counts.min().unwrap_or(0)
    }
}

/// Whether an inventory speaks of the copies that these names ask for.
fn fits(claim: &Inventory, names: &Names) -> bool {
    claim.voters == names.voters && claim.replicas >= names.placement.replicas()
}

/// Whether every voter that is up has said that it lacks nothing of what is named.
pub fn is_settled(
    names: &Names,
    claims: &BTreeMap<NodeId, Inventory>,
    up: &BTreeSet<NodeId>,
) -> bool {
    let voters = names.placement.nodes().iter();
    let mut claims = voters
        .filter(|node| up.contains(node))
        .map(|node| claims.get(node));
    claims.all(|claim| claim.is_some_and(|claim| is_whole(claim, names)))
}

fn is_whole(claim: &Inventory, names: &Names) -> bool {
    fits(claim, names) && claim.missing.blobs == 0 && claim.height >= names.newest
}

/// What follows from what the nodes say. `up` are the voters heard now.
pub fn judge(
    names: &Names,
    claims: &BTreeMap<NodeId, Inventory>,
    up: &BTreeSet<NodeId>,
    before: Option<&Proven>,
) -> Picture {
    let placement = &names.placement;
    let claims: BTreeMap<NodeId, &Inventory> = claims
        .iter()
        .filter(|(node, claim)| up.contains(node) && fits(claim, names))
        .map(|(node, claim)| (*node, claim))
        .collect();
    let said = placement.seats_where(|node| claims.contains_key(&node));
    let is_exact = |node| claims.get(&node).is_some_and(|claim| claim.lists_all());
    let exact = placement.seats_where(is_exact);
    let listed = listed(placement, &claims);
    let groups = names.groups.keys().map(|seats| seats.and(exact).count());
    let lists = listed
        .values()
        .map(|(seats, lacking)| seats.and(exact).without(*lacking).count());
    let everywhere = placement.replicas().min(up.len());
    let mut copies = groups.chain(lists).min().unwrap_or(everywhere);
    let is_behind = claims.values().any(|claim| claim.height < names.newest);
    if is_behind {
        copies = copies.min(promised(placement, up));
    }
    let is_missed = |node: &NodeId| up.contains(node) && !claims.contains_key(node);
    if let Some(before) = before
        && before.voters != names.voters
        && placement.nodes().iter().any(is_missed)
    {
        copies = copies.max(before.copies(up));
    }
    let total = names.groups.values().map(|amount| amount.blobs).sum();
    let silent = names
        .groups
        .iter()
        .filter(|(seats, _)| !seats.without(said).is_empty());
    let silent: u64 = silent.map(|(_, amount)| amount.blobs).sum();
    let lacking = listed
        .values()
        .filter(|(seats, _)| seats.without(said).is_empty());
    let most = claims.values().map(|claim| claim.missing.blobs).max();
    let least = most.unwrap_or(0).max(u64::from(is_behind));
    Picture {
        copies,
        total,
        under_replicated: (silent + lacking.count() as u64).max(least).min(total),
        copying: claims.values().map(|claim| claim.missing.blobs).sum(),
        bytes_left: claims.values().map(|claim| claim.missing.bytes).sum(),
    }
}

/// Copies of a blob that was named a moment ago: it was on one more voter than may crash.
fn promised(placement: &Placement, up: &BTreeSet<NodeId>) -> usize {
    let voters = placement.nodes();
    let faults = voters.len().saturating_sub(1) / 2;
    let away = voters.iter().filter(|node| !up.contains(node)).count();
    (faults + 1).saturating_sub(away)
}

/// Everything that is listed as missing: where it belongs, and who lacks it.
fn listed(
    placement: &Placement,
    claims: &BTreeMap<NodeId, &Inventory>,
) -> BTreeMap<BlobId, (Seats, Seats)> {
    let blobs: BTreeSet<_> = claims.values().flat_map(|claim| &claim.listed).collect();
    let sets: BTreeMap<_, BTreeSet<_>> = claims
        .iter()
        .map(|(node, claim)| (*node, claim.listed.iter().collect()))
        .collect();
    let lacks = |node: NodeId, blob: &BlobId| sets.get(&node).is_some_and(|set| set.contains(blob));
    let seats = |blob: &BlobId| {
        let lacking = placement.seats_where(|node| lacks(node, blob));
        (*blob, (placement.seats(*blob), lacking))
    };
    blobs.into_iter().map(seats).collect()
}

#[cfg(test)]
mod tests {
    use model::Height;

    use super::*;
    use crate::stock::Amount;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn blob(n: u32) -> BlobId {
        BlobId::of(&[&n.to_be_bytes()])
    }

    fn names(voters: u8, blobs: u32) -> Names {
        let placement = Placement::new((1..=voters).map(node), 0);
        let mut names = Names::new(MembershipHash([voters; 32]), placement, Height(10));
        for n in 0..blobs {
            let seats = names.placement.seats(blob(n));
            names.groups.entry(seats).or_default().add(10);
        }
        names.newest = Height(9);
        names
    }

    fn claim(names: &Names, missing: &[u32]) -> Inventory {
        let blobs = missing.len() as u64;
        Inventory {
            height: names.height,
            voters: names.voters,
            replicas: names.placement.replicas(),
            missing: Amount {
                blobs,
                bytes: blobs * 10,
            },
            listed: missing.iter().map(|n| blob(*n)).collect(),
        }
    }

    fn claims(names: &Names) -> BTreeMap<NodeId, Inventory> {
        let nodes = names.placement.nodes().iter();
        nodes.map(|node| (*node, claim(names, &[]))).collect()
    }

    fn up(nodes: impl IntoIterator<Item = u8>) -> BTreeSet<NodeId> {
        nodes.into_iter().map(node).collect()
    }

    #[test]
    fn three_nodes_with_everything_survive_two_losses() {
        let names = names(3, 20);
        let claims = claims(&names);
        let all = judge(&names, &claims, &up([1, 2, 3]), None);
        assert_eq!(
            all,
            Picture {
                copies: 3,
                total: 20,
                ..Picture::default()
            }
        );
        let two = judge(&names, &claims, &up([1, 3]), None);
        assert_eq!((two.copies, two.under_replicated), (2, 20));
    }

    #[test]
    fn without_blobs_as_many_as_would_hold_them_count() {
        let names = names(5, 0);
        let picture = judge(&names, &claims(&names), &up([1, 2]), None);
        assert_eq!((picture.copies, picture.total), (2, 0));
    }

    #[test]
    fn one_missing_copy_is_one_less_for_its_blob_and_two_are_two() {
        let names = names(3, 20);
        let mut claims = claims(&names);
        claims.insert(node(2), claim(&names, &[7]));
        let picture = judge(&names, &claims, &up([1, 2, 3]), None);
        assert_eq!((picture.copies, picture.under_replicated), (2, 1));
        assert_eq!((picture.copying, picture.bytes_left), (1, 10));
        claims.insert(node(3), claim(&names, &[7]));
        assert_eq!(judge(&names, &claims, &up([1, 2, 3]), None).copies, 1);
        claims.insert(node(3), claim(&names, &[8]));
        assert_eq!(judge(&names, &claims, &up([1, 2, 3]), None).copies, 2);
    }

    #[test]
    fn a_node_that_has_said_nothing_holds_nothing() {
        let names = names(3, 20);
        let mut claims = claims(&names);
        claims.remove(&node(3));
        let picture = judge(&names, &claims, &up([1, 2, 3]), None);
        assert_eq!((picture.copies, picture.under_replicated), (2, 20));
        // One that lacks more than it lists is not believed to hold anything.
        let mut many = claim(&names, &[1]);
        many.missing.blobs = 15;
        claims.insert(node(3), many);
        let picture = judge(&names, &claims, &up([1, 2, 3]), None);
        assert_eq!((picture.copies, picture.under_replicated), (2, 15));
    }

    #[test]
    fn a_node_that_holds_none_of_the_blobs_is_not_missed() {
        let names = names(5, 1);
        let holders = names.placement.ranking(blob(0));
        let claims = claims(&names);
        let without = |gone: NodeId| {
            let up = names
                .placement
                .nodes()
                .iter()
                .copied()
                .filter(|node| *node != gone);
            judge(&names, &claims, &up.collect(), None).copies
        };
        let copies: Vec<usize> = holders.into_iter().map(without).collect();
        assert_eq!(copies, [2, 2, 2, 3, 3]);
    }

    #[test]
    fn what_was_named_after_the_inventories_is_as_safe_as_it_was_promised() {
        let mut names = names(5, 50);
        let claims = claims(&names);
        names.newest = Height(11);
        let all = judge(&names, &claims, &up(1..=5), None);
        assert_eq!((all.copies, all.under_replicated), (3, 1));
        assert_eq!(judge(&names, &claims, &up(1..=4), None).copies, 2);
        assert_eq!(judge(&names, &claims, &up(1..=2), None).copies, 0);
    }

    #[test]
    fn after_a_change_of_voters_what_was_proven_holds_until_all_have_looked() {
        let old = names(5, 100);
        let before = Proven::by(&old, &claims(&old)).expect("everybody has everything");
        let new = names(4, 100);
        let mut said = BTreeMap::from([(node(1), claim(&new, &[]))]);
        let judged =
            |said: &BTreeMap<_, _>, up: &BTreeSet<_>| judge(&new, said, up, Some(&before)).copies;
        assert_eq!(judged(&said, &up(1..=4)), 2, "the one that left held some");
        assert_eq!(judged(&said, &up(1..=3)), 1);
        for n in 2..=4 {
            said.insert(node(n), claim(&new, &[]));
        }
        assert_eq!(judged(&said, &up(1..=4)), 3);
        said.insert(node(2), claim(&old, &[]));
        assert_eq!(
            judged(&said, &up(1..=4)),
            2,
            "of other voters' copies it says nothing"
        );
    }

    #[test]
    fn nothing_is_proven_by_nodes_that_lack_something_or_are_behind() {
        let mut names = names(3, 5);
        let mut claims = claims(&names);
        assert!(Proven::by(&names, &claims).is_some());
        claims.insert(node(2), claim(&names, &[1]));
        assert!(Proven::by(&names, &claims).is_none());
        claims.remove(&node(2));
        assert!(Proven::by(&names, &claims).is_none());
        claims.insert(node(2), claim(&names, &[]));
        names.newest = Height(11);
        assert!(Proven::by(&names, &claims).is_none());
    }
}
