//! The Merkle tree of RFC 9162, section 2.1, with SHA-256.
//!
//! A leaf is proven to stand in a tree by its path: the roots of the subtrees beside the way from the leaf up
//! (section 2.1.3). 4,096 leaves take 12 of them.

use crate::id::{LeafHash, MerkleRoot};

/// The root over `leaves`; of none, the SHA-256 of the empty string.
pub fn root(leaves: &[LeafHash]) -> MerkleRoot {
    match leaves {
        [] => MerkleRoot::of(&[]),
        [leaf] => MerkleRoot(leaf.0),
        _ => {
            let (left, right) = leaves.split_at(left_size(leaves));
            join(root(left), root(right))
        }
    }
}

/// The left subtree is the largest full tree that is smaller than the whole.
fn left_size(leaves: &[LeafHash]) -> usize {
    1 << (leaves.len() - 1).ilog2()
}

fn join(left: MerkleRoot, right: MerkleRoot) -> MerkleRoot {
    MerkleRoot::of(&[&[1], &left.0, &right.0])
}

/// The path of the leaf at `index`, lowest subtree first; nothing if there is no such leaf.
pub fn path(leaves: &[LeafHash], index: usize) -> Option<Vec<MerkleRoot>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut leaves, mut index) = (leaves, index);
    let mut path = Vec::new();
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(left_size(leaves));
        if index < left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    path.reverse();
    Some(path)
}

/// The root that a path leads to from the leaf at `index` of `size` (RFC 9162, section 2.1.3.2); nothing if a path of
/// this length leads from there to no root.
pub fn root_of_path(
    leaf: LeafHash,
    index: u32,
    size: u32,
    path: &[MerkleRoot],
) -> Option<MerkleRoot> {
    if index >= size {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut root = MerkleRoot(leaf.0);
    for beside in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = join(*beside, root);
            // The last subtree of an uneven level has nobody beside it until further up.
            let levels = node.trailing_zeros().min(u32::BITS - 1);
            node >>= levels;
            last >>= levels;
        } else {
            root = join(root, *beside);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(data: &[u8]) -> LeafHash {
        LeafHash::of(&[&[0], data])
    }

    /// The vectors of Certificate Transparency's reference implementation.
    #[test]
    fn known_roots() {
        let inputs: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[
                0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d,
                0x6e, 0x6f,
            ],
        ];
        let leaves: Vec<LeafHash> = inputs.iter().map(|data| leaf(data)).collect();
        let expected = [
            (
                0,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                1,
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            ),
            (
                3,
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            ),
            (
                8,
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ),
        ];
        for (size, hex) in expected {
            assert_eq!(
                root(leaves.get(..size).unwrap_or_default()).to_string(),
                hex
            );
        }
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_at_its_place_and_at_no_other() {
        for size in 1..=40_u32 {
            let leaves: Vec<LeafHash> = (0..size).map(|n| leaf(&n.to_be_bytes())).collect();
            let whole = root(&leaves);
            for (index, leaf) in (0..).zip(&leaves) {
                let path = path(&leaves, index as usize).expect("there is such a leaf");
                for place in 0..size + 2 {
                    let found = root_of_path(*leaf, place, size, &path);
                    assert_eq!(found == Some(whole), place == index, "{index} of {size}");
                }
            }
        }
    }

    #[test]
    fn a_path_of_another_length_leads_nowhere() {
        let leaves: Vec<LeafHash> = (0..21_u8).map(|n| leaf(&[n])).collect();
        for (index, leaf) in (0..21).zip(&leaves) {
            let mut path = path(&leaves, index as usize).expect("there is such a leaf");
            let highest = path.pop().expect("it has a path");
            assert_eq!(root_of_path(*leaf, index, 21, &path), None);
            path.extend([highest, highest]);
            assert_eq!(root_of_path(*leaf, index, 21, &path), None);
        }
        assert_eq!(path(&leaves, 21), None);
        assert_eq!(root_of_path(leaf(&[0]), 0, 0, &[]), None);
    }
}
