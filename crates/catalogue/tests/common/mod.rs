//! Blocks for tests, written down briefly.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part of this"
)]

use std::path::PathBuf;

use catalogue::{Applied, BlockInput, Catalogue, File, Outcome, Page, Query, Reader, SearchPage};
use model::command::Command;
use model::file::{Change, Facts, Kind, LocalTime, Metadata, Place, Source, State, TakenAt};
use model::{
    BlobId, BlockHash, Digest, Height, LibraryId, Member, NodeId, Payload, Position, RequestKey,
    Timestamp, TokenId,
};

pub const ADMIN: TokenId = TokenId([1; 8]);
pub const SECOND: u64 = 1_000_000;
pub const DAY: u64 = 24 * 3600 * SECOND;

/// Block times start here and go on second by second.
pub const START: u64 = 1_700_000_000 * SECOND;

pub fn home() -> LibraryId {
    LibraryId::home()
}

/// The file whose bytes are this text.
pub fn id(text: &str) -> BlobId {
    BlobId::of(&[text.as_bytes()])
}

pub fn command(payload: Payload) -> Command {
    Command {
        library: home(),
        actor: ADMIN,
        key: None,
        valid_until: Timestamp(u64::MAX),
        payload,
    }
}

pub fn keyed(key: &str, payload: Payload) -> Command {
    let request = Digest::of(&[key.as_bytes()]);
    Command {
        key: Some(RequestKey {
            key: key.into(),
            request,
        }),
        ..command(payload)
    }
}

pub fn genesis() -> BlockInput {
    let member = Member {
        id: NodeId([7; 32]),
        name: "n1".into(),
    };
    let payload = Payload::Genesis {
        voters: vec![member],
        admin: ADMIN,
        admin_secret: Digest::of(&[b"secret"]),
        library: home(),
    };
    block(0, vec![command(payload)])
}

pub fn block(height: u64, commands: Vec<Command>) -> BlockInput {
    block_at(height, START + height * SECOND, commands)
}

pub fn block_at(height: u64, time: u64, commands: Vec<Command>) -> BlockInput {
    BlockInput {
        height: Height(height),
        time: Timestamp(time),
        hash: BlockHash::of(&[&height.to_be_bytes()]),
        commands: (0..).zip(commands).collect(),
        mentions: Vec::new(),
    }
}

pub fn at(height: u64, index: u32) -> Position {
    Position {
        height: Height(height),
        index,
    }
}

/// What may be said of a new file.
#[derive(Debug, Clone, Default)]
pub struct New {
    pub name: String,
    pub facts: Facts,
    pub metadata: Metadata,
    pub restore: bool,
}

pub fn new(name: &str) -> New {
    let facts = Facts {
        media_type: "image/jpeg".into(),
        kind: Kind::Photo,
        ..Facts::default()
    };
    New {
        name: name.into(),
        facts,
        ..New::default()
    }
}

impl New {
    pub fn tags(mut self, tags: &[&str]) -> Self {
        self.metadata.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self
    }

    pub fn taken(mut self, local: &str) -> Self {
        self.facts.taken_at = Some(taken(local, Source::Exif));
        self
    }

    pub fn place(mut self, lat: f64, lon: f64) -> Self {
        self.facts.place = Place::new(lat, lon, Source::Exif);
        self
    }

    pub fn restore(mut self) -> Self {
        self.restore = true;
        self
    }

    /// The file's bytes are the text `content`.
    pub fn add(self, content: &str) -> Payload {
        Payload::AddFile {
            file: id(content),
            size: content.len() as u64,
            name: self.name,
            facts: self.facts,
            metadata: self.metadata,
            restore: self.restore,
        }
    }
}

pub fn taken(local: &str, source: Source) -> TakenAt {
    TakenAt {
        local: local_time(local),
        offset_min: None,
        source,
    }
}

pub fn local_time(local: &str) -> LocalTime {
    catalogue::time::parse_local(local).unwrap()
}

pub fn edit(content: &str, expected: Option<u64>, changes: Vec<Change>) -> Payload {
    Payload::EditFile {
        file: id(content),
        expected,
        changes,
    }
}

pub fn set_state(content: &str, state: State) -> Payload {
    Payload::SetState {
        file: id(content),
        expected: None,
        state,
    }
}

/// A catalogue in a folder of its own, with genesis applied.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub catalogue: Catalogue,
}

impl Fixture {
    pub fn new() -> Self {
        let mut fixture = Self::empty();
        fixture.catalogue.apply(&[genesis()]).unwrap();
        fixture
    }

    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(&folder.path().join("catalogue.sqlite")).unwrap();
        Self { folder, catalogue }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("catalogue.sqlite")
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.path()).unwrap()
    }

    /// Applies a block of these payloads.
    pub fn apply(&mut self, payloads: Vec<Payload>) -> Vec<Outcome> {
        self.apply_commands(payloads.into_iter().map(command).collect())
    }

    pub fn apply_commands(&mut self, commands: Vec<Command>) -> Vec<Outcome> {
        let height = self.catalogue.next_height().0;
        let applied = self.catalogue.apply(&[block(height, commands)]).unwrap();
        applied
            .into_iter()
            .map(|Applied { outcome, .. }| outcome)
            .collect()
    }

    pub fn apply_one(&mut self, payload: Payload) -> Outcome {
        self.apply(vec![payload]).pop().unwrap()
    }

    pub fn file(&self, content: &str) -> File {
        self.reader().file(&home(), &id(content)).unwrap().unwrap()
    }

    pub fn search(&self, query: &str, page: &Page) -> SearchPage {
        let query: Query = query.parse().unwrap();
        self.reader().search(&home(), &query, page).unwrap()
    }

    /// The names of the files found, in order.
    pub fn names(&self, query: &str) -> Vec<String> {
        let found = self.search(query, &Page::default());
        assert_eq!(found.total, found.items.len() as u64, "{query}");
        found.items.into_iter().map(|file| file.name).collect()
    }
}
