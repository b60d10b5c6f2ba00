//! Where a simulated chain begins.

use model::{Block, ChainId, Command, Digest, LibraryId, Membership, Payload, TokenId};

use crate::clock::EPOCH;
use crate::rng::Rng;

/// The first block of a cluster, with a chain id, an administrator and a salt drawn from `rng`.
pub fn draw_genesis(membership: &Membership, rng: &mut Rng) -> Block {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([0; 8]),
        key: None,
        valid_until: EPOCH,
        payload: Payload::Genesis {
            voters: membership.voters().to_vec(),
            admin: TokenId(rng.bytes()),
            admin_secret: Digest(rng.bytes()),
            library: LibraryId::home(),
        },
    };
    let sealed = command.seal(rng.bytes());
    Block::genesis(ChainId(rng.bytes()), membership, EPOCH, sealed)
}
