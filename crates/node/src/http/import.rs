//! What was said in another library, taken over.
//!
//! The bytes come in as ever. Here is what no edit can say: whose word each value is, albums under the ids that they had in
//! the other ledger, and numbers to the last digit. What a person has said here before stays.

use std::sync::Arc;

use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::response::Response;
use catalogue::fields::FIELD_VALUES_MAX;
use catalogue::file::Word as _;
use catalogue::rules::{NAME_BYTES_MAX, NAMES_MAX, RATING_MAX, TAGS_MAX};
use catalogue::time::{parse_local, parse_offset};
use catalogue::{Outcome, OwnField, carried};
use model::carried::{Carried, CarriedField, CarriedWords};
use model::file::{Place, Source, State as FileState, TakenAt};
use model::media::Told;
use model::{AlbumId, BlobId, Digest, FieldDefinition, FieldStep, Payload};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, MayOwn, MayWrite};
use super::export::ExportedFile;
use super::json::{Faults, Members, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{ItemProblems, JsonProblems, Problem};
use super::{Api, albums, body, fields, files, json, metadata, reply};

/// A line in JSON is longer than the command that it becomes.
const LINE_BYTES_MAX: usize = 4 * JSON_BYTES_MAX;
const PROPERTIES: [&str; 19] = [
    "kind",
    "id",
    "size",
    "name",
    "names",
    "title",
    "description",
    "tags",
    "refusedTags",
    "rating",
    "favourite",
    "takenAt",
    "place",
    "state",
    "said",
    "fields",
    "albums",
    "people",
    "location",
];
const SINGLE: [&str; 8] = [
    "name",
    "title",
    "description",
    "rating",
    "favourite",
    "takenAt",
    "place",
    "state",
];

const FIELD_PROPERTIES: [&str; 8] = [
    "kind",
    "name",
    "type",
    "list",
    "description",
    "allowed",
    "unit",
    "retired",
];

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(file))
        .routes(routes!(album))
        .routes(routes!(field))
}

/// Import what is said of a file
///
/// Takes a line of an export of a file whose bytes are here. What a person has said here stays; everything else becomes what
/// the line says, with whose word it was. Answers with what is said now: where it differs from the line, a person has.
/// The same line again changes nothing.
#[utoipa::path(
    put, path = "/api/v1/import/files/{id}", operation_id = "importFile", tag = "export",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = ExportedFile, content_type = "application/json"),
    responses((status = 200, description = "What is said now", body = ExportedFile), JsonProblems, ItemProblems),
)]
async fn file(
    MayWrite(mut call): MayWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let id = files::file_id(&id)?;
    let bytes = body::json(request, &["application/json"], LINE_BYTES_MAX).await?;
    let own = fields::all(&call).await?;
    let carried = parse(id, &json::parse(&bytes)?, &own)?;
    let payload = Payload::Carry { file: id, carried };
    match call.apply(payload, Digest::of(&[&bytes])).await? {
        Outcome::FileEdited { .. } => {}
        other => return Err(files::declined(other)),
    }
    let library = call.library.clone();
    let found = call
        .read(move |reader| reader.carried_files(&library, &[id]))
        .await?;
    let (_, line) = found
        .into_iter()
        .next()
        .ok_or_else(|| Problem::not_found("file"))?;
    Ok(reply::json(StatusCode::OK, &line))
}

/// Import an album
///
/// Makes an album under the id that it has in another ledger, or says anew what it is.
#[utoipa::path(
    put, path = "/api/v1/import/albums/{id}", operation_id = "importAlbum", tag = "export",
    params(
        ("id" = String, Path, description = "The album"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = albums::AlbumBody, content_type = "application/json"),
    responses((status = 200, description = "It is there", body = albums::AlbumDocument), JsonProblems, ItemProblems),
)]
async fn album(
    MayWrite(mut call): MayWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let (definition, _) = albums::parse(&json::parse(&bytes)?, false)?;
    let album = albums::album_id(&id)?;
    albums::put(&call, album, definition, Digest::of(&[&bytes])).await?;
    albums::answer(&call, album).await
}

/// Import a field
///
/// Takes a line of an export: defines the field, and retires it if it was retired there.
#[utoipa::path(
    put, path = "/api/v1/import/fields/{name}", operation_id = "importField", tag = "export",
    params(
        ("name" = String, Path, description = "What it is called"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, description = "The field as it is now", body = fields::Field), JsonProblems, ItemProblems),
)]
async fn field(
    MayOwn(mut call): MayOwn,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let line = json::parse(&bytes)?;
    let (definition, retired) = parse_field(&name, &line)?;
    let step = |step| field_step(&call, step);
    step(FieldStep::Define {
        name: name.clone(),
        definition,
    })
    .await?;
    if retired {
        step(FieldStep::Retire { name: name.clone() }).await?;
    }
    fields::answer(&call, name).await
}

/// One of the commands of a call; the same thing when done twice.
async fn field_step(call: &Call, step: FieldStep) -> Result<(), Problem> {
    match call.apply_unkeyed(Payload::Field(step)).await? {
        Outcome::FieldDefined { .. } | Outcome::FieldRetired => Ok(()),
        other => Err(files::declined(other)),
    }
}

fn parse_field(name: &str, line: &Value) -> Result<(FieldDefinition, bool), Faults> {
    let root = Node::root(line);
    let members = root.members(&FIELD_PROPERTIES)?;
    let retired = members.optional("retired", Node::boolean)?;
    let definition = fields::definition(name, &root, &members, carried::value_from_json)?;
    Ok((definition, retired.unwrap_or_default()))
}

fn parse(id: BlobId, line: &Value, own: &[OwnField]) -> Result<Carried, Faults> {
    let root = Node::root(line);
    let members = root.members(&PROPERTIES)?;
    let named = members.required("id")?;
    if named.value().as_str() != Some(id.to_string().as_str()) {
        return Err(named.fault("must be the file in the path"));
    }
    let mut faults = Faults::default();
    let carried = faults.keep(singles(&members));
    let tags = list(&members, "tags", TAGS_MAX, tag);
    let tags = faults.keep(tags);
    let refused = faults.keep(list(&members, "refusedTags", TAGS_MAX, metadata::tag));
    let names = faults.keep(list(&members, "names", NAMES_MAX, metadata::name));
    let people = faults.keep(list(&members, "people", TAGS_MAX, metadata::name));
    let most = catalogue::albums::FILE_ALBUMS_MAX;
    let albums = faults.keep(list(&members, "albums", most, membership));
    let own = members.optional("fields", |node| own_values(node, own));
    let own = faults.keep(own).flatten();
    let words = members.required("said").and_then(|node| words(&node));
    let words = faults.keep(words);
    faults.into_result(())?;
    Ok(Carried {
        names: names.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
        refused: refused.unwrap_or_default(),
        people: people.unwrap_or_default(),
        albums: albums.unwrap_or_default(),
        own: own.unwrap_or_default(),
        words: words.unwrap_or_default(),
        ..carried.expect("without a fault all values are there")
    })
}

/// The values that are one each; the rest is empty.
fn singles(members: &Members<'_>) -> Result<Carried, Faults> {
    let mut faults = Faults::default();
    let name = members.required("name").and_then(|it| metadata::name(&it));
    let name = faults.keep(name).unwrap_or_default();
    let mut text = |name, max: usize| {
        let text = members.optional(name, |node| node.text(0..=max).map(str::to_owned));
        faults.keep(text).flatten()
    };
    let title = text("title", NAME_BYTES_MAX);
    let description = text("description", catalogue::rules::DESCRIPTION_BYTES_MAX);
    let location = text("location", NAME_BYTES_MAX);
    let rating = members.optional("rating", |node| node.integer(0..=RATING_MAX.into()));
    let rating = faults.keep(rating).flatten();
    let favourite = members.optional("favourite", Node::boolean);
    let favourite = faults.keep(favourite).flatten().unwrap_or_default();
    let taken_at = faults.keep(members.optional("takenAt", taken_at)).flatten();
    let place = faults.keep(members.optional("place", place)).flatten();
    let state = members
        .required("state")
        .and_then(|node| node.parsed("live, archived or trashed", FileState::from_word));
    let state = faults.keep(state).unwrap_or_default();
    faults.into_result(Carried {
        name,
        names: Vec::new(),
        title,
        description,
        tags: Vec::new(),
        refused: Vec::new(),
        rating: rating.and_then(|rating| u8::try_from(rating).ok()),
        favourite,
        taken_at,
        place,
        state,
        words: CarriedWords::default(),
        own: Vec::new(),
        albums: Vec::new(),
        people: Vec::new(),
        location,
    })
}

fn list<T>(
    members: &Members<'_>,
    name: &str,
    most: usize,
    read: impl Fn(&Node<'_>) -> Result<T, Faults>,
) -> Result<Vec<T>, Faults> {
    let mut faults = Faults::default();
    let mut items = Vec::new();
    for element in members.required(name)?.elements(0..=most)? {
        items.extend(faults.keep(read(&element)));
    }
    faults.into_result(items)
}

fn tag(node: &Node<'_>) -> Result<Told<String>, Faults> {
    let members = node.members(&["tag", "source"])?;
    Ok(Told {
        value: metadata::tag(&members.required("tag")?)?,
        source: metadata::source(&members.required("source")?)?,
    })
}

fn membership(node: &Node<'_>) -> Result<(AlbumId, u64), Faults> {
    let members = node.members(&["album", "position"])?;
    let album = albums::one(&members.required("album")?)?;
    let position = members
        .required("position")?
        .integer(1..=u64::from(u32::MAX))?;
    Ok((album, position))
}

/// A number with a fraction, written as text.
fn number(node: &Node<'_>, max: f64) -> Result<f64, Faults> {
    node.parsed(&format!("a number from -{max} to {max}, as text"), |text| {
        let number: f64 = text.parse().ok()?;
        (-max..=max).contains(&number).then_some(number)
    })
}

fn taken_at(node: &Node<'_>) -> Result<TakenAt, Faults> {
    let members = node.members(&["local", "offset", "source"])?;
    let local = members.required("local")?;
    let local = local.parsed("a time such as 2019-07-04T18:03:00.123", |text| {
        parse_local(text).ok()
    })?;
    let offset_min = members.optional("offset", |node| {
        node.parsed("an offset such as +01:00, within 14 hours", |text| {
            parse_offset(text).ok()
        })
    })?;
    let source = metadata::source(&members.required("source")?)?;
    Ok(TakenAt {
        local,
        offset_min,
        source,
    })
}

fn place(node: &Node<'_>) -> Result<Place, Faults> {
    let members = node.members(&["lat", "lon", "altitude", "name", "source"])?;
    let latitude = number(&members.required("lat")?, 90.0)?;
    let longitude = number(&members.required("lon")?, 180.0)?;
    let source = metadata::source(&members.required("source")?)?;
    let most = catalogue::rules::ALTITUDE_M_MAX;
    let altitude = members.optional("altitude", |node| number(node, most))?;
    let name = members.optional("name", |node| {
        node.text(0..=NAME_BYTES_MAX).map(str::to_owned)
    })?;
    let place = Place::new(latitude, longitude, source);
    let mut place = place.ok_or_else(|| node.fault("must be a point on the earth"))?;
    (place.altitude, place.name) = (altitude, name);
    Ok(place)
}

fn words(node: &Node<'_>) -> Result<CarriedWords, Faults> {
    let members = node.members(&SINGLE)?;
    let word =
        |name: &str| -> Result<Option<Source>, Faults> { members.optional(name, metadata::source) };
    Ok(CarriedWords {
        name: word("name")?,
        title: word("title")?,
        description: word("description")?,
        rating: word("rating")?,
        favourite: word("favourite")?,
        taken_at: word("takenAt")?,
        place: word("place")?,
        state: word("state")?,
    })
}

/// Retired fields take the values that they had.
fn own_values(node: &Node<'_>, own: &[OwnField]) -> Result<Vec<CarriedField>, Faults> {
    let mut faults = Faults::default();
    let mut values = Vec::new();
    for (name, node) in node.entries()? {
        values.extend(faults.keep(own_value(name, &node, own)));
    }
    faults.into_result(values)
}

fn own_value(name: &str, node: &Node<'_>, own: &[OwnField]) -> Result<CarriedField, Faults> {
    let field = own.iter().find(|field| field.definition.name == name);
    let field = field.ok_or_else(|| node.fault("there is no such field; define it first"))?;
    let kind = field.definition.kind;
    let members = node.members(&["values", "source"])?;
    let values = members.required("values")?;
    let values = fields::elements(&values, kind, FIELD_VALUES_MAX, carried::value_from_json)?;
    Ok(CarriedField {
        field: field.number,
        values,
        source: metadata::source(&members.required("source")?)?,
    })
}
