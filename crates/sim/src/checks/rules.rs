//! The rules that every node applies alike, once more and independently: a check that asked the code under test what is
//! right would change its mind together with it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Block, BlockHash, Command, Digest, Header, Height, Membership, Position, Timestamp};
use replica::Disposition;

use super::{Checked, ensure};

/// How long requests are remembered, in block time (P44).
const KEYED: Duration = Duration::from_secs(24 * 3600);
const UNKEYED: Duration = Duration::from_secs(120);
/// What a block may hold (P3).
const COMMANDS_MAX: usize = 4096;
const BYTES_MAX: usize = 1 << 20;

/// P1: how many of `voters` are a quorum.
pub(crate) fn quorum(voters: usize) -> usize {
    voters - voters.saturating_sub(1) / 2
}

/// P3, P5: what a block must be to stand on another.
pub(crate) fn check_block_keeps_the_rules(
    block: &Block,
    parent: (&Header, BlockHash),
    membership: &Membership,
) -> Checked {
    let header = block.header();
    let (below, hash) = parent;
    let commands = block.entries().iter().filter_map(|entry| entry.sealed());
    let bytes: usize = commands.map(|sealed| 21 + sealed.bytes().len()).sum();
    let rules = [
        (header.height == below.height.next(), "height"),
        (header.parent == Some(hash), "parent"),
        (header.chain == below.chain, "chain"),
        (header.membership == membership.hash(), "membership"),
        (header.time > below.time, "time"),
        (membership.contains(header.proposer.node), "proposer"),
        (block.entries().len() <= COMMANDS_MAX, "number of commands"),
        (bytes <= BYTES_MAX, "size"),
    ];
    let broken = rules.iter().find(|(kept, _)| !kept);
    ensure(broken.is_none(), "check_block_keeps_the_rules", || {
        format!("{block:?} breaks the rule of its {broken:?}")
    })
}

/// What is remembered of a request.
#[derive(Debug, Clone, Copy)]
struct Known {
    request: Digest,
    position: Position,
    until: Timestamp,
}

/// Requests and where they were applied.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    known: BTreeMap<Digest, Known>,
}

impl Requests {
    /// P44: whether the core state made of a block what it must. Genesis is not checked, but remembered.
    pub(crate) fn check_commands_count_once(
        &mut self,
        block: &Block,
        dispositions: &[Disposition],
    ) -> Checked {
        let time = block.header().time;
        for ((index, entry), told) in (0..).zip(block.entries()).zip(dispositions) {
            let position = Position {
                height: block.height(),
                index,
            };
            let Some(sealed) = entry.sealed() else {
                continue;
            };
            let Ok(command) = sealed.open() else {
                continue;
            };
            let expected = self.expected(&command, Digest(sealed.leaf().0), time, position);
            let right = *told == expected || position.height == Height::GENESIS;
            ensure(right, "check_commands_count_once", || {
                format!("{position:?} is {told:?}, the rules say {expected:?}")
            })?;
        }
        Ok(())
    }

    fn expected(
        &mut self,
        command: &Command,
        leaf: Digest,
        time: Timestamp,
        position: Position,
    ) -> Disposition {
        let (id, request, window) = match &command.key {
            None => (leaf, leaf, UNKEYED),
            Some(key) => {
                let id = Digest::of(&[b"starling/key/v1", &command.actor.0, key.key.as_bytes()]);
                (id, key.request, KEYED)
            }
        };
        let known = self.known.get(&id).filter(|known| known.until >= time);
        match known {
            Some(first) if first.request == request => Disposition::Duplicate(first.position),
            Some(first) => Disposition::KeyReused(first.position),
            None if command.valid_until < time => Disposition::Expired,
            None if command.valid_until > time.plus(window) => Disposition::Malformed,
            None => {
                let until = time.plus(window);
                let known = Known {
                    request,
                    position,
                    until,
                };
                self.known.insert(id, known);
                Disposition::Fresh(command.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_are_those_of_the_table() {
        let table: Vec<usize> = (1..=9).map(quorum).collect();
        assert_eq!(table, [1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }
}
