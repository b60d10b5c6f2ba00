//! What is said of files, in a form that leaves this library for another: the lines of an export, and their digest.
//!
//! A line is a JSON object with its keys in order and no space, and no number with a fraction stands in it as a number: such
//! numbers are text, so that whoever reads a line and writes it again, in whatever language, writes the same bytes. The
//! lines of a library are its fields by name, its albums by id and its files by id; the metadata digest is the SHA-256 of
//! these lines, each with its line feed. It says nothing of heights, versions and tokens, which are of one chain, and nothing
//! of what a node reads out of the bytes by itself.

use std::collections::BTreeMap;

use model::carried::{Carried, CarriedField};
use model::file::{Change, Source};
use model::{AlbumId, BlobId, Digest, FieldKind, FieldValue, LibraryId};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::albums::{self, APPENDED, InAlbum, RANK_STEP};
use crate::edits::is_unset;
use crate::fields::{self, OwnField};
use crate::file::Word;
use crate::reader::{ReadError, Reader};
use crate::row::{self, FileRow};
use crate::said::OwnValue;
use crate::stored::{Stored, filled, fold};
use crate::time::{format_local, format_offset};

/// Files whose lines are made at once for a digest.
const AT_ONCE: u32 = 10_000;

/// Everything that is said in a library, as one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataDigest {
    /// SHA-256 of all lines.
    pub digest: Digest,
    /// Files, in whatever state.
    pub files: u64,
    /// Fields, retired ones too.
    pub fields: u64,
    /// Albums.
    pub albums: u64,
}

/// A number with a fraction, so that reading it gives the same one again.
fn exact(number: f64) -> Value {
    Value::String(format!("{number:?}"))
}

/// A value of an own field as lines have it.
pub fn value_to_json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Number(number) => exact(*number),
        FieldValue::Geo { lat, lon } => json!({ "lat": exact(*lat), "lon": exact(*lon) }),
        other => fields::to_json(other),
    }
}

/// The value that a line has; nothing if it is none of the kind.
pub fn value_from_json(kind: FieldKind, value: &Value) -> Option<FieldValue> {
    let number = |value: &Value| value.as_str()?.parse::<f64>().ok();
    match kind {
        FieldKind::Number => number(value).map(FieldValue::Number),
        FieldKind::Geo => {
            let members = value.as_object().filter(|members| members.len() == 2)?;
            let (lat, lon) = (number(members.get("lat")?)?, number(members.get("lon")?)?);
            Some(FieldValue::Geo { lat, lon })
        }
        other => fields::from_json(other, value),
    }
}

/// The lines of a library's fields and albums.
pub(crate) fn definitions(db: &Connection, library: &LibraryId) -> rusqlite::Result<Vec<Value>> {
    let mut lines: Vec<Value> = fields::all(db, library)?.iter().map(field_line).collect();
    for (id, album) in albums::definitions(db, library)? {
        let cover = cover(db, library, id)?;
        lines.push(json!({
            "kind": "album",
            "id": id.to_string(),
            "name": album.name,
            "parent": album.parent.map(|parent| parent.to_string()),
            "description": album.description,
            "query": album.query,
            "cover": cover.map(|cover| cover.to_string()),
        }));
    }
    Ok(lines)
}

fn field_line(field: &OwnField) -> Value {
    let definition = &field.definition;
    let allowed: Vec<Value> = definition.allowed.iter().map(value_to_json).collect();
    json!({
        "kind": "field",
        "name": definition.name,
        "type": definition.kind.word(),
        "list": definition.list,
        "description": definition.description,
        "allowed": allowed,
        "unit": definition.unit,
        "retired": field.retired,
    })
}

/// The file that was made an album's cover last; what merely comes first is none.
fn cover(db: &Connection, library: &LibraryId, album: AlbumId) -> rusqlite::Result<Option<BlobId>> {
    db.prepare_cached(
        "SELECT f.file FROM album_files a JOIN files f ON f.id = a.id
         WHERE a.library = ?1 AND a.album = ?2 AND a.cover IS NOT NULL
         ORDER BY a.cover DESC, f.file LIMIT 1",
    )?
    .query_row(params![library.as_str(), album.as_bytes()], |row| {
        row.get(0).map(BlobId)
    })
    .optional()
}

/// The lines of the files behind `after`, in the order of their ids.
pub(crate) fn page(
    db: &Connection,
    library: &LibraryId,
    after: Option<BlobId>,
    limit: u32,
) -> rusqlite::Result<Vec<(BlobId, Value)>> {
    let after = after.map(|file| file.as_bytes().to_vec());
    let rows: Vec<FileRow> = db
        .prepare_cached(
            "SELECT id, arrival, record FROM files WHERE library = ?1 AND file > ?2
             ORDER BY file LIMIT ?3",
        )?
        .query_map(
            params![library.as_str(), after.unwrap_or_default(), limit],
            row::file_row,
        )?
        .collect::<Result<_, _>>()?;
    lines(db, library, &rows)
}

/// The lines of some files, in the order of their ids; what is not there is left out.
pub(crate) fn chosen(
    db: &Connection,
    library: &LibraryId,
    ids: &[BlobId],
) -> rusqlite::Result<Vec<(BlobId, Value)>> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let found = ids.iter().map(|id| row::file(db, library, id));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<FileRow> = found.into_iter().flatten().collect();
    lines(db, library, &rows)
}

/// The digest of all that is said in a library.
pub(crate) fn digest(db: &Connection, library: &LibraryId) -> rusqlite::Result<MetadataDigest> {
    let mut hasher = Sha256::new();
    let mut add = |line: &Value| {
        hasher.update(line.to_string());
        hasher.update(b"\n");
    };
    let definitions = definitions(db, library)?;
    definitions.iter().for_each(&mut add);
    let fields = definitions.iter().filter(|line| line["kind"] == "field");
    let fields = fields.count() as u64;
    let (mut files, mut after) = (0, None);
    loop {
        let page = page(db, library, after, AT_ONCE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        files += page.len() as u64;
        page.iter().for_each(|(_, line)| add(line));
    }
    Ok(MetadataDigest {
        digest: Digest(hasher.finalize().into()),
        files,
        fields,
        albums: definitions.len() as u64 - fields,
    })
}

impl Reader {
    /// All that is said in a library, as one hash. Takes as long as reading every file's record.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn metadata_digest(&self, library: &LibraryId) -> Result<MetadataDigest, ReadError> {
        self.at_one_height(|reader| Ok(digest(reader.connection(), library)?))
    }

    /// What a library's fields and albums are, as lines of an export.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn carried_definitions(&self, library: &LibraryId) -> Result<Vec<Value>, ReadError> {
        self.at_one_height(|reader| Ok(definitions(reader.connection(), library)?))
    }

    /// What is said of the files behind `after`, in the order of their ids, as lines of an export.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn carried_page(
        &self,
        library: &LibraryId,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<(BlobId, Value)>, ReadError> {
        self.at_one_height(|reader| Ok(page(reader.connection(), library, after, limit)?))
    }

    /// What is said of these files, as lines of an export in the order of their ids; of what is not there, nothing.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn carried_files(
        &self,
        library: &LibraryId,
        ids: &[BlobId],
    ) -> Result<Vec<(BlobId, Value)>, ReadError> {
        self.at_one_height(|reader| Ok(chosen(reader.connection(), library, ids)?))
    }
}

fn lines(
    db: &Connection,
    library: &LibraryId,
    rows: &[FileRow],
) -> rusqlite::Result<Vec<(BlobId, Value)>> {
    let own = fields::all(db, library)?.into_iter();
    let own: BTreeMap<u32, OwnField> = own.map(|field| (field.number, field)).collect();
    let places = Places::of(db, library, rows)?;
    let line = |row: &FileRow| (row.stored.file, file_line(row, &own, &places));
    Ok(rows.iter().map(line).collect())
}

/// At which place of which album files are, counted from 1 over all that was put into it.
struct Places(BTreeMap<(AlbumId, i64), u64>);

impl Places {
    /// Those of some files.
    fn of(db: &Connection, library: &LibraryId, rows: &[FileRow]) -> rusqlite::Result<Self> {
        let mut asked: BTreeMap<AlbumId, Vec<i64>> = BTreeMap::new();
        for row in rows {
            for known in &row.stored.albums {
                asked.entry(known.album).or_default().push(row.key.0);
            }
        }
        let mut places = BTreeMap::new();
        for (album, mut keys) in asked {
            keys.sort_unstable();
            let mut query = db.prepare_cached(
                "SELECT a.id FROM album_files a JOIN files f ON f.id = a.id
                 WHERE a.library = ?1 AND a.album = ?2 ORDER BY a.rank, f.file",
            )?;
            let of = params![library.as_str(), album.as_bytes()];
            let members = query.query_map(of, |row| row.get::<_, i64>(0))?;
            for (place, member) in (1_u64..).zip(members) {
                let member = member?;
                if keys.binary_search(&member).is_ok() {
                    places.insert((album, member), place);
                }
            }
        }
        Ok(Self(places))
    }
}

fn file_line(row: &FileRow, own: &BTreeMap<u32, OwnField>, places: &Places) -> Value {
    let stored = &row.stored;
    let tags = stored.tags.iter().map(|tag| {
        let source = stored.said.source_of_tag(tag).word();
        json!({ "tag": tag, "source": source })
    });
    let albums = stored.albums.iter().map(|known| {
        let place = places.0.get(&(known.album, row.key.0));
        json!({ "album": known.album.to_string(), "position": place })
    });
    json!({
        "kind": "file",
        "id": stored.file.to_string(),
        "size": stored.size,
        "name": stored.name,
        "names": stored.names,
        "title": stored.title,
        "description": stored.description,
        "tags": tags.collect::<Vec<_>>(),
        "refusedTags": stored.said.refused(),
        "rating": stored.rating,
        "favourite": stored.favourite,
        "takenAt": taken_line(stored),
        "place": place_line(stored),
        "state": stored.state.word(),
        "said": words_line(stored),
        "fields": fields_line(stored, own),
        "albums": albums.collect::<Vec<_>>(),
        "people": stored.beside.people,
        "location": stored.beside.location,
    })
}

fn taken_line(stored: &Stored) -> Value {
    stored.taken_at().map_or(Value::Null, |taken| {
        json!({
            "local": format_local(taken.local),
            "offset": taken.offset_min.map(format_offset),
            "source": taken.source.word(),
        })
    })
}

fn place_line(stored: &Stored) -> Value {
    stored.place().map_or(Value::Null, |place| {
        json!({
            "lat": exact(place.latitude()),
            "lon": exact(place.longitude()),
            "altitude": place.altitude.map(exact),
            "name": place.name,
            "source": place.source.word(),
        })
    })
}

/// Whose word the single values are; null for those of which nobody has said anything.
fn words_line(stored: &Stored) -> Value {
    let word = |change: &Change| stored.said.word(change).map(Word::word);
    json!({
        "name": word(&Change::Name(String::new())),
        "title": word(&Change::Title(None)),
        "description": word(&Change::Description(None)),
        "rating": word(&Change::Rating(None)),
        "favourite": word(&Change::Favourite(false)),
        "takenAt": word(&Change::TakenAt(None)),
        "place": word(&Change::Place(None)),
        "state": word(&Change::State(stored.state)),
    })
}

/// Retired fields too: their values come back when they are taken up again.
fn fields_line(stored: &Stored, own: &BTreeMap<u32, OwnField>) -> Value {
    let mut line = Map::new();
    for value in &stored.own {
        if let Some(field) = own.get(&value.field) {
            let values: Vec<Value> = value.values.iter().map(value_to_json).collect();
            let value = json!({ "values": values, "source": value.source.word() });
            line.insert(field.definition.name.clone(), value);
        }
    }
    Value::Object(line)
}

impl Stored {
    /// Takes over what another library says of the file, but for what a person has said here.
    pub(crate) fn carry(&mut self, from: &Carried) {
        let mut names = from.names.clone();
        std::mem::swap(&mut names, &mut self.names);
        for name in names.iter().chain([&from.name]) {
            self.add_name(name);
        }
        for (change, word) in single_values(from) {
            self.carry_value(&change, word);
        }
        self.carry_tags(from);
        self.carry_fields(&from.own);
        for (album, place) in &from.albums {
            self.carry_album(*album, *place);
        }
        if !from.people.is_empty() {
            self.beside.people.clone_from(&from.people);
        }
        if from.location.is_some() {
            self.beside.location.clone_from(&from.location);
        }
    }

    fn carry_value(&mut self, change: &Change, word: Option<Source>) {
        let settled = self.said.word(change) == Some(Source::User);
        let nothing =
            is_unset(change) || matches!(change, Change::TakenAt(None) | Change::Place(None));
        if settled || (word.is_none() && nothing) {
            return;
        }
        match change {
            Change::Name(name) => self.name.clone_from(name),
            Change::Title(title) => self.title = filled(title.clone()),
            Change::Description(text) => self.description = filled(text.clone()),
            Change::Rating(rating) => self.rating = *rating,
            Change::Favourite(favourite) => self.favourite = *favourite,
            Change::TakenAt(taken) => {
                let told = word.is_none() && *taken == self.facts.taken_at;
                self.said_taken_at = (!told).then_some(*taken);
            }
            Change::Place(place) => {
                let told = word.is_none() && *place == self.facts.place;
                self.said_place = (!told).then(|| place.clone());
            }
            Change::State(state) => self.state = *state,
            _ => unreachable!("these are all single values"),
        }
        match word {
            Some(source) => self.said.note(change, source),
            None => self.said.forget(change),
        }
    }

    /// The tags become those of the other library, with those that a person has added here behind them, and without those
    /// that a person has taken away here.
    fn carry_tags(&mut self, from: &Carried) {
        let here = std::mem::take(&mut self.tags);
        let refused = self.said.refused().to_vec();
        let (users, others): (Vec<String>, Vec<String>) = here
            .into_iter()
            .partition(|tag| self.said.is_users_tag(tag));
        let users_folded: Vec<String> = users.iter().map(|tag| fold(tag)).collect();
        for tag in &others {
            self.said.tag_removed(tag, Source::Rule);
        }
        for told in &from.tags {
            let folded = fold(&told.value);
            if refused.contains(&folded) || self.has_tag(&told.value) {
                continue;
            }
            let users = users_folded.contains(&folded);
            let source = if users { Source::User } else { told.source };
            self.tags.push(told.value.clone());
            self.said.tag_added(&told.value, source, true);
        }
        for tag in users {
            if !self.has_tag(&tag) {
                self.tags.push(tag);
            }
        }
        for tag in &from.refused {
            if !self.has_tag(tag) {
                self.said.refuse(tag);
            }
        }
    }

    fn carry_fields(&mut self, from: &[CarriedField]) {
        for CarriedField {
            field,
            values,
            source,
        } in from
        {
            let mut own = self.own.iter();
            if own.any(|own| own.field == *field && own.source == Source::User) {
                continue;
            }
            self.own.retain(|own| own.field != *field);
            self.own.push(OwnValue {
                field: *field,
                values: values.clone(),
                source: *source,
            });
        }
        self.own.sort_unstable_by_key(|own| own.field);
    }

    /// Who is in the album already keeps its place.
    fn carry_album(&mut self, album: AlbumId, place: u64) {
        if self.albums.iter().all(|known| known.album != album) {
            let rank = place.saturating_mul(RANK_STEP).min(APPENDED - 1);
            self.albums.push(InAlbum { album, rank });
            self.albums.sort_unstable_by_key(|known| known.album);
        }
    }
}

fn single_values(from: &Carried) -> [(Change, Option<Source>); 8] {
    let words = &from.words;
    [
        (Change::Name(from.name.clone()), words.name),
        (Change::Title(from.title.clone()), words.title),
        (
            Change::Description(from.description.clone()),
            words.description,
        ),
        (Change::Rating(from.rating), words.rating),
        (Change::Favourite(from.favourite), words.favourite),
        (Change::TakenAt(from.taken_at), words.taken_at),
        (Change::Place(from.place.clone()), words.place),
        (Change::State(from.state), words.state),
    ]
}
