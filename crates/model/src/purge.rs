//! What a purge names, and what it leaves of the commands it names.
//!
//! A purge names commands by their places in the chain, never the file by its hash: once they are erased nothing in the
//! chain tells what was there. Three things stay of each: that it was, who gave it, and what its request is known by if it
//! was the first of one. The last is needed by every node that reads the chain later: whether a *later* command was a
//! repeat of the erased one must come out the same for those who saw its bytes and for those who did not.

use crate::block::Entry;
use crate::command::Command;
use crate::id::{Digest, Height, LeafHash, LibraryId, Position, TokenId};
use crate::{codec_enum, codec_struct};

/// A command that a purge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Erasure {
    /// Where it stands.
    pub position: Position,
    /// Who gave it.
    pub actor: TokenId,
    /// What stays of its request.
    pub residue: Residue,
}

codec_struct!(Erasure {
    position,
    actor,
    residue
});

/// What stays of an erased command's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Residue {
    /// It was not the first of its request, or came too late: nobody remembers it.
    Nothing,
    /// It was the first, without a key: its leaf is what it is known by, and that stays in the block.
    Leaf,
    /// It was the first under a client's key: the request's id (see [`Command::request_id`]).
    Key(Digest),
}

codec_enum!(Residue, "residue" { 0 => Nothing, 1 => Leaf, 2 => Key(request) });

impl Residue {
    /// Of a command that was the first of its request, or was not.
    pub fn of(command: &Command, first: bool) -> Self {
        match command.key {
            _ if !first => Self::Nothing,
            None => Self::Leaf,
            // The leaf is not part of what a keyed request is known by.
            Some(_) => Self::Key(command.request_id(LeafHash([0; 32]))),
        }
    }

    /// What takes the command's place in its block.
    pub fn entry(self, leaf: LeafHash) -> Entry {
        match self {
            Self::Nothing => Entry::Erased(leaf),
            Self::Leaf => Entry::Remembered { leaf, key: None },
            Self::Key(request) => Entry::Remembered {
                leaf,
                key: Some(request),
            },
        }
    }
}

/// What is erased of a library: places of commands, in the order of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasures {
    /// The library whose files they name. A command that names none of it is never erased.
    pub library: LibraryId,
    /// The commands.
    pub commands: Vec<Erasure>,
}

impl Erasures {
    /// Whether these may stand in a purge in this block: some, not too many, ascending, all in earlier blocks.
    pub fn are_in_order_below(commands: &[Erasure], height: Height) -> bool {
        let ascending = commands.is_sorted_by(|a, b| a.position < b.position);
        let earlier = commands.last().is_some_and(|last| {
            Height::GENESIS < last.position.height && last.position.height < height
        });
        ascending && earlier && commands.len() <= crate::limits::PURGE_COMMANDS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decode as _, Encode as _};

    fn at(height: u64, index: u32) -> Erasure {
        Erasure {
            position: Position {
                height: Height(height),
                index,
            },
            actor: TokenId([1; 8]),
            residue: Residue::Nothing,
        }
    }

    #[test]
    fn a_purge_names_earlier_commands_in_order() {
        let fits = |commands: &[Erasure]| Erasures::are_in_order_below(commands, Height(9));
        assert!(fits(&[at(1, 0), at(1, 2), at(8, 0)]));
        for wrong in [
            vec![],
            vec![at(1, 2), at(1, 0)],
            vec![at(1, 0), at(1, 0)],
            vec![at(9, 0)],
            vec![at(0, 0)],
            (0..=4096).map(|index| at(1, index)).collect(),
        ] {
            assert!(!fits(&wrong), "{}", wrong.len());
        }
    }

    #[test]
    fn what_stays_of_a_command_keeps_its_leaf() {
        let leaf = LeafHash([7; 32]);
        for residue in [
            Residue::Nothing,
            Residue::Leaf,
            Residue::Key(Digest([3; 32])),
        ] {
            let entry = residue.entry(leaf);
            assert_eq!(entry.leaf(), leaf);
            assert_eq!(Entry::from_bytes(&entry.to_bytes()), Ok(entry));
        }
    }
}
