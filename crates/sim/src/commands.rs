//! What clients write: records and every other kind of command.

use model::file::{Change, Facts, Metadata, State};
use model::{BlobId, Digest, Payload, Scope, TokenId, limits};

use crate::rng::Rng;

/// How many files there are, all of them hot.
const FILES: usize = 4;

/// Which kinds of commands clients write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// Records alone.
    Records,
    /// All there are, conditional edits most of all.
    All,
}

/// The files that edits are about.
#[derive(Debug)]
pub(crate) struct Files(Vec<BlobId>);

impl Files {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self((0..FILES).map(|_| BlobId(rng.bytes())).collect())
    }

    /// One of them; the first is the hottest.
    pub(crate) fn pick(&self, rng: &mut Rng) -> BlobId {
        let at = rng.index(FILES).min(rng.index(FILES));
        self.0.get(at).copied().expect("there are files")
    }
}

/// A record with a body that no other one has.
pub(crate) fn record(id: u64, length: u64) -> Payload {
    let mut body = id.to_be_bytes().to_vec();
    body.resize(usize::try_from(length).unwrap_or(0).max(8), 0x2a);
    Payload::Record(body)
}

/// A record that no command may hold.
pub(crate) fn too_long(id: u64) -> Payload {
    record(id, limits::COMMAND_BYTES_MAX as u64)
}

/// Something that is not a record, for operation `id`. `known` is the version of `file` that the client has seen.
pub(crate) fn other(id: u64, file: BlobId, known: u64, rng: &mut Rng) -> Payload {
    let name = format!("name {id}");
    let expected = (rng.below(4) > 0).then_some(known);
    match rng.below(10) {
        0 => Payload::PutBlob {
            blob: BlobId(rng.bytes()),
            size: rng.below(1 << 30),
        },
        1 => Payload::AddFile {
            file,
            size: rng.below(1 << 30),
            name,
            facts: Facts::default(),
            metadata: Metadata::default(),
            restore: false,
        },
        2 => Payload::CreateToken {
            token: TokenId(rng.bytes()),
            secret: Digest(rng.bytes()),
            name,
            scope: Scope::Write,
        },
        3 => Payload::RevokeToken {
            token: TokenId(rng.bytes()),
        },
        4 | 5 => Payload::SetState {
            file,
            expected,
            state: State::Archived,
        },
        _ => Payload::EditFile {
            file,
            expected,
            changes: vec![Change::Name(name)],
        },
    }
}
