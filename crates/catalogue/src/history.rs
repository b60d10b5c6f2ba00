//! Every change of a file: when, by whom, what, and whose word it was.

use std::collections::BTreeMap;

use model::file::{Change, Source, State};
use model::{BlobId, LibraryId, OperationId, Position, Timestamp, TokenId, UserId, codec_enum};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::{Value, json};

use crate::fields::{self, OwnField};
use crate::file::{self, Word, text, words};
use crate::{purge, row, time};

/// One change of one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Height of the block that holds the command.
    pub height: u64,
    /// The command's place in it.
    pub index: u32,
    /// The block's time, RFC 3339 in UTC.
    pub time: String,
    /// The token that acted.
    #[serde(with = "text")]
    pub actor: TokenId,
    /// Whose token it is.
    #[serde(serialize_with = "text::maybe")]
    pub user: Option<UserId>,
    /// What was done.
    pub kind: HistoryKind,
    /// The file's version after it.
    pub version: u64,
    /// Property by property.
    pub changes: Vec<FieldChange>,
    /// The operation that it was part of, if it was.
    pub operation: Option<String>,
}

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HistoryKind {
    /// It was added.
    Added,
    /// It was uploaded again, under another name or with other tags.
    AddedAgain,
    /// It was edited, archived, trashed or restored.
    Edited,
    /// Its picture became known: a decoder was found, or a client supplied it.
    Pictured,
    /// What another library says of it was taken over.
    Imported,
}

codec_enum!(HistoryKind, "kind of change" {
    0 => Added, 1 => AddedAgain, 2 => Edited, 3 => Pictured, 4 => Imported,
});

/// The change of one property.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// The property, as the File calls it; of a user's own field `fields.` and the name that it has now.
    pub field: String,
    /// Its value before; null if it had none.
    pub from: Value,
    /// Its value after.
    pub to: Value,
    /// Whose word the new value is.
    #[serde(with = "words")]
    pub source: Source,
}

/// A change about to be recorded.
pub(crate) struct NewEntry<'a> {
    pub(crate) library: &'a LibraryId,
    pub(crate) file: &'a BlobId,
    pub(crate) position: Position,
    pub(crate) time: Timestamp,
    pub(crate) actor: TokenId,
    pub(crate) kind: HistoryKind,
    pub(crate) version: u64,
    pub(crate) changes: Vec<(Change, Source)>,
    pub(crate) operation: Option<OperationId>,
}

impl NewEntry<'_> {
    /// Writes it down.
    pub(crate) fn insert(&self, db: &Connection) -> rusqlite::Result<()> {
        use model::codec::Encode;
        db.prepare_cached(
            "INSERT INTO history(library, file, height, idx, time, actor, kind, version, changes,
                                 operation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            self.library.as_str(),
            self.file.as_bytes(),
            self.position.height.0.cast_signed(),
            self.position.index,
            self.time.0.cast_signed(),
            self.actor.as_bytes(),
            self.kind as u8,
            self.version.cast_signed(),
            self.changes.to_bytes(),
            self.operation.as_ref().map(|operation| operation.0),
        ])?;
        Ok(())
    }
}

/// A file's changes, first to last.
pub(crate) fn of_file(
    db: &Connection,
    library: &LibraryId,
    file: &BlobId,
) -> rusqlite::Result<Vec<HistoryEntry>> {
    let mut query = db.prepare_cached(
        "SELECT height, idx, time, actor, kind, version, changes, operation, owner
         FROM history LEFT JOIN tokens ON token = actor
         WHERE history.library = ?1 AND file = ?2 ORDER BY height, idx",
    )?;
    let mut rows = query.query((library.as_str(), file.as_bytes()))?;
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    let mut names: BTreeMap<u32, Option<OwnField>> = BTreeMap::new();
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let changes: Vec<(Change, Source)> = row::decoded(row, 6)?;
        for (change, _) in &changes {
            if let Change::Field { field, .. } = change
                && !names.contains_key(field)
            {
                names.insert(*field, fields::numbered(db, library, *field)?);
            }
        }
        let mut describe = |(change, source): &(Change, Source)| {
            let (field, to) = shown(change, &names);
            let from = values
                .insert(field.clone(), to.clone())
                .unwrap_or_else(|| unset(change));
            FieldChange {
                field,
                from,
                to,
                source: *source,
            }
        };
        let operation: Option<[u8; 16]> = row.get(7)?;
        let owner: Option<String> = row.get(8)?;
        entries.push(HistoryEntry {
            height: row::number(row, 0)?,
            index: row.get(1)?,
            time: time::format_timestamp(Timestamp(row::number(row, 2)?)),
            actor: TokenId(row.get(3)?),
            user: owner.map(|_| row::parsed(row, 8)).transpose()?,
            kind: match row.get(4)? {
                0_u8 => HistoryKind::Added,
                1 => HistoryKind::AddedAgain,
                2 => HistoryKind::Edited,
                3 => HistoryKind::Pictured,
                _ => HistoryKind::Imported,
            },
            version: row::number(row, 5)?,
            changes: changes.iter().map(&mut describe).collect(),
            operation: operation.map(|operation| OperationId(operation).to_string()),
        });
    }
    Ok(entries)
}

/// What the command at a place changed of a file: what stood there before, with whose word it was, and what came.
pub(crate) fn changes_at(
    db: &Connection,
    library: &LibraryId,
    file: &BlobId,
    at: Position,
) -> rusqlite::Result<Vec<((Change, Source), Change)>> {
    let mut query = db.prepare_cached(
        "SELECT height, idx, changes FROM history
         WHERE library = ?1 AND file = ?2 ORDER BY height, idx",
    )?;
    let mut rows = query.query((library.as_str(), file.as_bytes()))?;
    let mut known: Vec<(Change, Source)> = Vec::new();
    while let Some(row) = rows.next()? {
        let changes: Vec<(Change, Source)> = row::decoded(row, 2)?;
        let here = purge::position(row, 0)? == at;
        let mut done = Vec::new();
        for (change, source) in changes {
            let earlier = known
                .iter()
                .position(|(it, _)| is_same_property(it, &change));
            let before = match earlier {
                Some(earlier) => known.swap_remove(earlier),
                None => (cleared(&change), Source::User),
            };
            done.push((before, change.clone()));
            known.push((change, source));
        }
        if here {
            return Ok(done);
        }
    }
    Ok(Vec::new())
}

fn is_same_property(one: &Change, other: &Change) -> bool {
    match (one, other) {
        (Change::Field { field, .. }, Change::Field { field: other, .. }) => field == other,
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// The property before anybody says anything.
fn cleared(change: &Change) -> Change {
    match change {
        Change::Title(_) => Change::Title(None),
        Change::Description(_) => Change::Description(None),
        Change::Tags(_) => Change::Tags(Vec::new()),
        Change::Rating(_) => Change::Rating(None),
        Change::Favourite(_) => Change::Favourite(false),
        Change::TakenAt(_) => Change::TakenAt(None),
        Change::Place(_) => Change::Place(None),
        Change::State(_) => Change::State(State::Live),
        Change::Albums(_) => Change::Albums(Vec::new()),
        Change::Field { field, .. } => Change::Field {
            field: *field,
            values: Vec::new(),
        },
        other => other.clone(),
    }
}

/// The same under the names that people's own fields have now.
fn shown(change: &Change, names: &BTreeMap<u32, Option<OwnField>>) -> (String, Value) {
    let Change::Field { field, values } = change else {
        let (name, value) = described(change);
        return (name.to_owned(), value);
    };
    match names.get(field) {
        Some(Some(own)) => {
            let values = fields::values_to_json(own.definition.list, values);
            (format!("fields.{}", own.definition.name), values)
        }
        _ => (
            format!("fields.{field}"),
            fields::values_to_json(true, values),
        ),
    }
}

/// A property's name and value as the File shows them.
pub(crate) fn described(change: &Change) -> (&'static str, Value) {
    match change {
        Change::Name(name) => ("name", json!(name)),
        Change::Title(title) => ("title", json!(title)),
        Change::Description(text) => ("description", json!(text)),
        Change::Tags(tags) => ("tags", json!(tags)),
        Change::Rating(rating) => ("rating", json!(rating)),
        Change::Favourite(favourite) => ("favourite", json!(favourite)),
        Change::TakenAt(taken) => ("takenAt", json!(taken.as_ref().map(file::TakenAt::from))),
        Change::Place(place) => ("place", json!(place.as_ref().map(file::Place::from))),
        Change::State(state) => ("state", json!(state.word())),
        Change::Field { values, .. } => ("fields", fields::values_to_json(true, values)),
        Change::AddTag(tag) | Change::RemoveTag(tag) => ("tags", json!([tag])),
        Change::ShiftTaken(_) | Change::Zone(_) => ("takenAt", Value::Null),
        Change::Albums(albums) => (
            "albums",
            albums.iter().map(|id| json!(id.to_string())).collect(),
        ),
        Change::AddToAlbum { album, .. }
        | Change::RemoveFromAlbum(album)
        | Change::Cover { album, .. } => ("albums", json!([album.to_string()])),
    }
}

/// What a property of a file is before anybody says anything.
fn unset(change: &Change) -> Value {
    match change {
        Change::Tags(_) | Change::Albums(_) => json!([]),
        Change::Favourite(_) => json!(false),
        Change::State(_) => json!("live"),
        _ => Value::Null,
    }
}
