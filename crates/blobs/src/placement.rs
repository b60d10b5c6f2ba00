//! Which nodes hold a copy of a blob, when not all of them do.
//!
//! Rendezvous hashing: every node has a weight for every blob, the SHA-256 of both names, and the heaviest hold it. So
//! whoever knows the nodes knows the place of every blob, without a table and without asking, and the nodes share the
//! blobs evenly. A node that leaves gives up its own copies and no other moves; one that comes takes its share, and
//! nothing moves between the others.

use std::collections::BTreeSet;

use model::{BlobId, Digest, NodeId};

/// Copies of every blob, unless more are wanted or there are fewer nodes.
const REPLICAS: usize = 3;

/// Some of the nodes of a placement: one bit for each, in the order of [`Placement::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seats(u64);

impl Seats {
    /// The nodes that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The nodes that are here and not there.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn with(self, place: usize) -> Self {
        Self(self.0 | 1 << place)
    }
}

/// Where blobs are to be, given the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    nodes: Vec<NodeId>,
    replicas: usize,
}

impl Placement {
    /// Spreads blobs over `nodes`, in whatever order they are given: three copies of each or one more than may crash,
    /// whichever is more, and at least `wanted`; everywhere, if there are fewer nodes.
    ///
    /// # Panics
    /// With more than 64 nodes, several times as many as may vote.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>, wanted: usize) -> Self {
        let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
        assert!(nodes.len() <= 64, "seats have 64 bits");
        let faults = nodes.len().saturating_sub(1) / 2;
        let replicas = REPLICAS.max(faults + 1).max(wanted).min(nodes.len());
        Self {
            nodes: nodes.into_iter().collect(),
            replicas,
        }
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// How many of them hold each blob.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// All nodes, the one first that a blob belongs to most. The first [`Placement::replicas`] are to hold it.
    pub fn ranking(&self, blob: BlobId) -> Vec<NodeId> {
        let places = self.ranked(blob).into_iter();
        places
            .filter_map(|place| self.nodes.get(place).copied())
            .collect()
    }

    /// The nodes that are to hold a blob.
    pub fn seats(&self, blob: BlobId) -> Seats {
        let places = self.ranked(blob).into_iter().take(self.replicas);
        places.fold(Seats::default(), Seats::with)
    }

    /// The nodes for which `is` says so.
    pub fn seats_where(&self, is: impl Fn(NodeId) -> bool) -> Seats {
        let places = (0..).zip(&self.nodes).filter(|(_, node)| is(**node));
        places.fold(Seats::default(), |seats, (place, _)| seats.with(place))
    }

    /// Whether `node` is among these.
    pub fn is_among(&self, node: NodeId, seats: Seats) -> bool {
        let place = self.nodes.binary_search(&node);
        place.is_ok_and(|place| !Seats::default().with(place).and(seats).is_empty())
    }

    fn ranked(&self, blob: BlobId) -> Vec<usize> {
        let weight = |node: &NodeId| {
            let parts: [&[u8]; 3] = [b"starling/placement/v1", node.as_bytes(), blob.as_bytes()];
            Digest::of(&parts).0
        };
        let mut ranked: Vec<_> = (0..)
            .zip(self.nodes.iter().map(weight))
            .map(|(place, weight)| (weight, place))
            .collect();
        ranked.sort_unstable_by(|one, other| other.cmp(one));
        ranked.into_iter().map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u8) -> impl Iterator<Item = NodeId> {
        (1..=count).map(|n| NodeId([n; 32]))
    }

    fn blobs(count: u32) -> impl Iterator<Item = BlobId> {
        (0..count).map(|n| BlobId::of(&[&n.to_be_bytes()]))
    }

    fn holders(placement: &Placement, blob: BlobId) -> BTreeSet<NodeId> {
        let ranking = placement.ranking(blob).into_iter();
        ranking.take(placement.replicas()).collect()
    }

    #[test]
    fn there_are_three_copies_or_one_more_than_may_crash_or_as_many_as_wanted() {
        let replicas = |count, wanted| Placement::new(nodes(count), wanted).replicas();
        let counts: Vec<usize> = (1..=9).map(|count| replicas(count, 0)).collect();
        assert_eq!(counts, [1, 2, 3, 3, 3, 3, 4, 4, 5]);
        assert_eq!((replicas(5, 4), replicas(5, 9), replicas(5, 1)), (4, 5, 3));
    }

    #[test]
    fn every_node_computes_the_same_place() {
        let forward = Placement::new(nodes(7), 0);
        let backward = Placement::new(nodes(7).collect::<Vec<_>>().into_iter().rev(), 0);
        assert_eq!(forward, backward);
        for blob in blobs(200) {
            let ranking = forward.ranking(blob);
            assert_eq!(ranking.len(), 7);
            assert_eq!(ranking, backward.ranking(blob));
        }
    }

    #[test]
    fn seats_are_the_first_of_the_ranking() {
        let placement = Placement::new(nodes(6), 0);
        for blob in blobs(200) {
            let seats = placement.seats(blob);
            let expected = holders(&placement, blob);
            assert_eq!(seats.count(), 3);
            for node in nodes(6) {
                assert_eq!(placement.is_among(node, seats), expected.contains(&node));
            }
            assert_eq!(
                placement.seats_where(|node| expected.contains(&node)),
                seats
            );
        }
        let stranger = NodeId([99; 32]);
        assert!(!placement.is_among(stranger, placement.seats_where(|_| true)));
    }

    #[test]
    fn the_nodes_share_the_blobs_evenly() {
        let placement = Placement::new(nodes(5), 0);
        let mut shares = std::collections::BTreeMap::<NodeId, u32>::new();
        for blob in blobs(10_000) {
            for node in holders(&placement, blob) {
                *shares.entry(node).or_default() += 1;
            }
        }
        // Three fifths of them; one standard deviation is 49.
        for (node, share) in shares {
            assert!((5_800..=6_200).contains(&share), "{node} has {share}");
        }
    }

    #[test]
    fn a_node_that_leaves_moves_only_its_own_share() {
        let before = Placement::new(nodes(5), 0);
        let gone = NodeId([3; 32]);
        let after = Placement::new(nodes(5).filter(|node| *node != gone), 0);
        let mut moved = 0;
        for blob in blobs(5_000) {
            let (old, new) = (holders(&before, blob), holders(&after, blob));
            let stayed: BTreeSet<_> = old.iter().copied().filter(|node| *node != gone).collect();
            assert!(stayed.is_subset(&new), "nobody else gives a copy up");
            moved += new.difference(&old).count();
            assert_eq!(
                new.difference(&old).count(),
                usize::from(old.contains(&gone))
            );
        }
        // Its three fifths of the blobs, and nothing else.
        assert!((2_850..=3_150).contains(&moved), "{moved} copies moved");
    }

    #[test]
    fn a_node_that_comes_takes_only_its_own_share() {
        let before = Placement::new(nodes(5), 0);
        let after = Placement::new(nodes(6), 0);
        let new = NodeId([6; 32]);
        let mut moved = 0;
        for blob in blobs(5_000) {
            let (old, now) = (holders(&before, blob), holders(&after, blob));
            let added: Vec<_> = now.difference(&old).copied().collect();
            assert!(added.is_empty() || added == [new]);
            moved += added.len();
        }
        // Three of six copies of every blob are its fair share: half of the blobs.
        assert!((2_350..=2_650).contains(&moved), "{moved} copies moved");
    }
}
