//! Blocks for tests, written down briefly.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part of this"
)]

use std::path::PathBuf;

use catalogue::{
    Applied, BlockInput, Catalogue, File, Outcome, Page, Query, Reader, Refusal, SearchPage,
};
use model::carried::{Carried, CarriedField, CarriedWords};
use model::command::Command;
use model::file::{Change, Facts, Kind, LocalTime, Metadata, Place, Source, State, TakenAt};
use model::media::{Described, Look, MediaStep, Told};
use model::{
    Album, AlbumId, AlbumStep, BlobId, BlockHash, BulkStep, Deed, Digest, FieldDefinition,
    FieldKind, FieldStep, FieldValue, Height, LibraryId, Member, NodeId, OperationId, Payload,
    Position, RequestKey, Timestamp, TokenId,
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

pub fn definition(name: &str, kind: FieldKind) -> FieldDefinition {
    FieldDefinition {
        name: name.into(),
        kind,
        list: false,
        description: String::new(),
        allowed: Vec::new(),
        unit: String::new(),
    }
}

pub fn define(name: &str, kind: FieldKind) -> Payload {
    Payload::Field(FieldStep::Define {
        name: name.into(),
        definition: definition(name, kind),
    })
}

/// An edit by somebody else than a person, or by one.
pub fn by(source: Source, content: &str, changes: Vec<Change>) -> Payload {
    Payload::Edit {
        file: id(content),
        expected: None,
        changes,
        source,
        operation: None,
    }
}

/// The first field and a title, by a person or a rule.
pub fn own_edit(content: &str, value: i64, rule: bool) -> Payload {
    let source = if rule { Source::Rule } else { Source::User };
    let values = vec![FieldValue::Integer(value)];
    let title = Change::Title(Some(value.to_string()));
    by(
        source,
        content,
        vec![Change::Field { field: 1, values }, title],
    )
}

pub fn album(number: u64) -> AlbumId {
    AlbumId([u8::try_from(number).unwrap(); 8])
}

/// An album `A1` within another one, unless that is number 0.
pub fn put_album(number: u64, within: u64) -> Payload {
    Payload::Album(AlbumStep::Put {
        album: album(number),
        definition: Album {
            name: format!("A{number}"),
            parent: (within > 0).then(|| album(within)),
            description: String::new(),
            query: None,
        },
    })
}

pub fn rule_album(number: u64, rule: &str) -> Payload {
    Payload::Album(AlbumStep::Put {
        album: album(number),
        definition: Album {
            name: format!("A{number}"),
            parent: None,
            description: String::new(),
            query: Some(rule.into()),
        },
    })
}

/// Into an album, or into no others.
pub fn into_album(content: &str, number: u64, only: bool) -> Payload {
    let album = album(number);
    let change = match only {
        true => Change::Albums(vec![album]),
        false => Change::AddToAlbum { album, rank: None },
    };
    edit(content, None, vec![change])
}

pub fn operation(number: u64) -> OperationId {
    OperationId([u8::try_from(number).unwrap(); 16])
}

pub fn begin(number: u64, deed: Deed) -> Payload {
    Payload::Bulk(BulkStep::Begin {
        operation: operation(number),
        deed,
        query: Some("tag:t".into()),
        frozen: Height(0),
        selected: 3,
    })
}

pub fn take(number: u64, content: &str) -> Payload {
    Payload::Bulk(BulkStep::Take {
        operation: operation(number),
        file: id(content),
    })
}

pub fn end(number: u64) -> Payload {
    let operation = operation(number);
    Payload::Bulk(BulkStep::End { operation })
}

fn told<T>(value: T, source: Source) -> Told<T> {
    Told { value, source }
}

fn text(value: &str, source: Source) -> Option<Told<String>> {
    Some(told(value.to_owned(), source))
}

/// What a file tells of itself.
fn told_by(content: &str) -> Described {
    Described {
        title: text(content, Source::Xmp),
        tags: vec![
            told("beach".to_owned(), Source::Xmp),
            told(" no tag ".to_owned(), Source::Xmp),
        ],
        people: vec![told("Jane".to_owned(), Source::Xmp)],
        rating: Some(told(4, Source::Sidecar)),
        location: text("Lyme Regis", Source::Iptc),
        ..Described::default()
    }
}

/// A file that tells something of itself, and may wait for a decoder.
pub fn described(content: &str, hash: Option<u64>, needs: Option<&str>) -> Payload {
    let new = new("a.heic");
    Payload::Media(MediaStep::Add {
        file: id(content),
        size: content.len() as u64,
        name: new.name,
        facts: new.facts,
        described: told_by(content),
        perceptual_hash: hash,
        needs: needs.map(str::to_owned),
        metadata: new.metadata,
        restore: false,
    })
}

pub fn look(content: &str, broken: Option<&str>) -> Payload {
    let look = Look {
        width: Some(40),
        height: Some(30),
        thumbhash: vec![7],
        perceptual_hash: broken.is_none().then_some(5),
        broken: broken.map(str::to_owned),
    };
    Payload::Media(MediaStep::Look {
        file: id(content),
        look,
    })
}

pub fn preview(content: &str, of: &str) -> Payload {
    Payload::Media(MediaStep::Preview {
        file: id(of),
        blob: id(content),
        size: content.len() as u64,
    })
}

/// What another library said of a file: something by everybody.
pub fn said() -> Carried {
    let mut place = Place::new(51.504_106_666_666_665, -0.1, Source::Exif).unwrap();
    place.altitude = Some(12.3);
    Carried {
        name: "now.jpg".into(),
        names: vec!["first.jpg".into(), "now.jpg".into()],
        title: Some("A title".into()),
        description: None,
        tags: vec![
            told("Places/UK".to_owned(), Source::User),
            told("sea".to_owned(), Source::Xmp),
            told("robot".to_owned(), Source::Model),
        ],
        refused: vec!["beach".into()],
        rating: Some(3),
        favourite: true,
        taken_at: Some(taken("2019-07-04T18:03:00.123456", Source::Sidecar)),
        place: Some(place),
        state: State::Archived,
        words: CarriedWords {
            name: Some(Source::User),
            title: Some(Source::Rule),
            description: Some(Source::User),
            rating: Some(Source::Iptc),
            favourite: Some(Source::User),
            taken_at: None,
            place: None,
            state: Some(Source::User),
        },
        own: vec![
            CarriedField {
                field: 1,
                values: vec![FieldValue::Number(0.1 + 0.2)],
                source: Source::Model,
            },
            CarriedField {
                field: 2,
                values: Vec::new(),
                source: Source::User,
            },
        ],
        albums: vec![(album(1), 2)],
        people: vec!["Jane".into()],
        location: Some("Lyme Regis".into()),
    }
}

pub fn carry(content: &str, carried: Carried) -> Payload {
    Payload::Carry {
        file: id(content),
        carried,
    }
}

pub fn refusal(outcome: &Outcome) -> Refusal {
    match outcome {
        Outcome::Refused { code, .. } => *code,
        other => panic!("not refused: {other:?}"),
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
