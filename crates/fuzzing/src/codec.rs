//! The canonical encoding: bytes that can be read are the only bytes of what was read.
//!
//! That one sentence covers a mutated encoding too: it is refused, or it is the encoding of another value.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use consensus::Message;
use model::command::RequestKey;
use model::file::{Change, Facts, Metadata, Place, TakenAt};
use model::{
    Ballot, BlobId, Block, Certificate, ChainId, Command, Decided, Decode, Encode, Entry, Header,
    LibraryId, Membership, NodeId, Payload, Position, SealedCommand, TokenId, Turn, limits,
};

use crate::Seed;
use crate::values;

/// Reads a value that fills the bytes.
///
/// # Panics
/// If it has another encoding than the bytes it was read from, or does not say the same when read again.
pub(crate) fn canonical<T: Decode + Encode + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value = T::from_bytes(bytes).ok()?;
    let encoded = value.to_bytes();
    assert_eq!(encoded, bytes, "{value:?} has two encodings");
    assert_eq!(
        T::from_bytes(&encoded).as_ref(),
        Ok(&value),
        "a value changes when it is read again"
    );
    Some(value)
}

/// What comes from a peer.
///
/// # Panics
/// If a property is broken.
pub fn message(bytes: &[u8]) {
    match canonical(bytes) {
        Some(Message::Accept(accept)) => check_block(&accept.block),
        Some(Message::Decide { block, .. } | Message::Body { block }) => check_block(&block),
        Some(Message::Push { commands }) => commands.iter().for_each(check_sealed),
        _ => {}
    }
}

/// A block: its hash is its header's, its size its commands'.
///
/// # Panics
/// If a property is broken.
pub fn block(bytes: &[u8]) {
    if let Some(block) = canonical::<Block>(bytes) {
        check_block(&block);
        if let Some(membership) = block.founded_membership() {
            assert_eq!(membership.hash(), block.header().membership);
        }
    }
}

fn check_block(block: &Block) {
    let header = block.header();
    assert_eq!(block.hash(), header.hash(), "a block has its header's hash");
    assert_eq!(block.entries().len(), header.commands as usize);
    let sealed = block.entries().iter().filter_map(Entry::sealed);
    sealed.for_each(check_sealed);
}

fn check_sealed(sealed: &SealedCommand) {
    assert!(sealed.bytes().len() <= limits::COMMAND_BYTES_MAX);
    command(sealed.bytes());
}

/// What stands in a block and is read when it is applied.
///
/// # Panics
/// If a property is broken.
pub fn command(bytes: &[u8]) {
    if let Some(command) = canonical::<Command>(bytes) {
        let sealed = command.seal([3; 16]);
        assert_eq!(sealed.open(), Ok(command));
    }
}

/// Everything else that has an encoding, one after the other, and the names that people write.
///
/// # Panics
/// If a property is broken.
pub fn value(bytes: &[u8]) {
    canonical::<Header>(bytes);
    canonical::<Entry>(bytes);
    canonical::<Decided>(bytes);
    canonical::<Certificate>(bytes);
    canonical::<Membership>(bytes);
    canonical::<Payload>(bytes);
    canonical::<RequestKey>(bytes);
    canonical::<Facts>(bytes);
    canonical::<Metadata>(bytes);
    canonical::<Vec<Change>>(bytes);
    canonical::<TakenAt>(bytes);
    canonical::<Place>(bytes);
    canonical::<Option<Turn>>(bytes);
    canonical::<Vec<(Position, Ballot)>>(bytes);
    canonical::<Vec<u8>>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        spelt_once::<NodeId>(text);
        spelt_once::<ChainId>(text);
        spelt_once::<BlobId>(text);
        spelt_once::<TokenId>(text);
        spelt_once::<LibraryId>(text);
    }
}

fn spelt_once<T: FromStr + Display>(text: &str) {
    if let Ok(name) = text.parse::<T>() {
        assert_eq!(name.to_string(), text, "a name has one spelling");
    }
}

/// One message of every kind.
pub fn message_seeds() -> Vec<Seed> {
    let messages = values::messages();
    let seeds = messages
        .into_iter()
        .map(|(name, message)| Seed::new(name, message.to_bytes()));
    seeds.collect()
}

/// Genesis, an empty block, a full one, one with an erased command.
pub fn block_seeds() -> Vec<Seed> {
    let blocks = values::blocks();
    let seeds = blocks
        .into_iter()
        .map(|(name, block)| Seed::new(name, block));
    seeds.collect()
}

/// One command of every kind, and the further ones of a kind by their number.
pub fn command_seeds() -> Vec<Seed> {
    let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
    let commands = values::commands().into_iter();
    let seeds = commands.map(|command| {
        let kind = command.payload.kind();
        let count = counts.entry(kind).or_default();
        *count += 1;
        let name = match *count {
            1 => kind.to_owned(),
            more => format!("{kind}-{more}"),
        };
        Seed::new(name, command.to_bytes())
    });
    seeds.collect()
}

/// One of most other things.
pub fn value_seeds() -> Vec<Seed> {
    let values = values::others();
    let seeds = values
        .into_iter()
        .map(|(name, bytes)| Seed::new(name, bytes));
    seeds.collect()
}
