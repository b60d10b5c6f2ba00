//! What edits are decided by, reduced to the least: a version for each file.
//!
//! The chain says in which order edits come, and an edit that expects a version is done if the file has just that one.
//! The catalogue does the same with much more around it. Every simulated process keeps a shelf of its own, as it would
//! keep a catalogue, and answers its clients from it; the checks keep one too.

use std::collections::BTreeMap;

use model::codec::Encode as _;
use model::{BlobId, Height, Payload, Position};
use replica::Disposition;

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edited {
    /// It was done, and the file has this version since.
    Done(u64),
    /// The file had another version than expected: this one.
    Stale(u64),
}

impl Edited {
    /// The version of the file behind the edit.
    pub(crate) fn version(self) -> u64 {
        match self {
            Self::Done(version) | Self::Stale(version) => version,
        }
    }
}

/// Versions of files, at one height.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shelf {
    versions: BTreeMap<BlobId, u64>,
    edits: BTreeMap<Position, Edited>,
}

impl Shelf {
    /// Takes what the core state made of the next block. The files that have a new version.
    pub(crate) fn apply(&mut self, height: Height, dispositions: &[Disposition]) -> Vec<BlobId> {
        let mut changed = Vec::new();
        for (index, disposition) in (0..).zip(dispositions) {
            let Disposition::Fresh(command) = disposition else {
                continue;
            };
            let Some((file, expected)) = edit(&command.payload) else {
                continue;
            };
            let version = self.versions.entry(file).or_default();
            let edited = if expected.is_none_or(|expected| expected == *version) {
                *version += 1;
                changed.push(file);
                Edited::Done(*version)
            } else {
                Edited::Stale(*version)
            };
            self.edits.insert(Position { height, index }, edited);
        }
        changed
    }

    /// As in a snapshot: equal shelves have equal bytes, and no others have.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        (self.versions.len() as u64).encode(&mut out);
        for (file, version) in &self.versions {
            file.encode(&mut out);
            version.encode(&mut out);
        }
        for (position, edited) in &self.edits {
            position.encode(&mut out);
            matches!(edited, Edited::Done(_)).encode(&mut out);
            edited.version().encode(&mut out);
        }
        out
    }

    /// A file's version; 0 before its first edit.
    pub(crate) fn version(&self, file: BlobId) -> u64 {
        self.versions.get(&file).copied().unwrap_or_default()
    }

    /// What became of the edit at a position; nothing if no edit stands there.
    pub(crate) fn edited(&self, position: Position) -> Option<Edited> {
        self.edits.get(&position).copied()
    }
}

/// The file that a payload edits, and the version it expects.
pub(crate) fn edit(payload: &Payload) -> Option<(BlobId, Option<u64>)> {
    match payload {
        Payload::EditFile { file, expected, .. } | Payload::SetState { file, expected, .. } => {
            Some((*file, *expected))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Command, LibraryId, Timestamp, TokenId};

    const FILE: BlobId = BlobId([1; 32]);

    fn expecting(expected: Option<u64>) -> Disposition {
        Disposition::Fresh(Command {
            library: LibraryId::home(),
            actor: TokenId([0; 8]),
            key: None,
            valid_until: Timestamp(0),
            payload: Payload::EditFile {
                file: FILE,
                expected,
                changes: Vec::new(),
            },
        })
    }

    #[test]
    fn an_edit_is_done_at_the_version_it_expects() {
        let mut shelf = Shelf::default();
        let block = [
            expecting(Some(0)),
            expecting(Some(0)),
            expecting(None),
            Disposition::Expired,
        ];
        assert_eq!(shelf.apply(Height(1), &block), [FILE, FILE]);
        let at = |index| {
            shelf.edited(Position {
                height: Height(1),
                index,
            })
        };
        assert_eq!(at(0), Some(Edited::Done(1)));
        assert_eq!(at(1), Some(Edited::Stale(1)));
        assert_eq!(at(2), Some(Edited::Done(2)));
        assert_eq!(at(3), None);
        assert_eq!(shelf.version(FILE), 2);
    }
}
