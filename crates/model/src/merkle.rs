//! The Merkle tree of RFC 9162, section 2.1, with SHA-256.

use crate::id::{LeafHash, MerkleRoot};

/// The root over `leaves`; of none, the SHA-256 of the empty string.
pub fn root(leaves: &[LeafHash]) -> MerkleRoot {
    match leaves {
        [] => MerkleRoot::of(&[]),
        [leaf] => MerkleRoot(leaf.0),
        _ => {
            // The left subtree is the largest full tree that is smaller than the whole.
            let left_size = 1 << (leaves.len() - 1).ilog2();
            let (left, right) = leaves.split_at(left_size);
            MerkleRoot::of(&[&[1], &root(left).0, &root(right).0])
        }
    }
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
}
