//! Fields that people define.

use std::sync::Arc;

use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use catalogue::fields::{
    ALLOWED_MAX, FIELD_DESCRIPTION_BYTES_MAX, UNIT_BYTES_MAX, check_definition, check_values, form,
    from_json, is_field_name, to_json,
};
use catalogue::file::Word as _;
use catalogue::{Outcome, OwnField};
use model::file::Change;
use model::{Digest, FieldDefinition, FieldKind, FieldStep, FieldValue, Payload};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, MayOwn, MayRead};
use super::json::{Faults, Members, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{ItemProblems, JsonProblems, Problem, ReadProblems, WriteProblems};
use super::reply::{self, Page};
use super::{Api, body, files, json};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read, define, retire))
}

/// What the values of a field are.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents the model's FieldKind")]
enum FieldType {
    Text,
    Keyword,
    Integer,
    Number,
    Boolean,
    Date,
    Datetime,
    Geo,
}

/// A field that people have defined.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    /// What it is called.
    #[schema(example = "price")]
    name: String,
    /// What its values are; never changes.
    #[schema(value_type = FieldType)]
    r#type: &'static str,
    /// Whether a file may have several values; never changes.
    list: bool,
    /// What it is for.
    description: String,
    /// The only values it may have; empty if it may have any.
    allowed: Vec<Value>,
    /// What a number counts; empty if nothing.
    #[schema(example = "EUR")]
    unit: String,
    /// What values refer to it by, whatever it is called.
    number: u32,
    /// It takes no new values and is shown on no file.
    retired: bool,
}

/// What a field is to be.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct FieldBody {
    /// Another name for it; the one in the path if it is absent.
    name: Option<String>,
    /// What its values are.
    r#type: FieldType,
    /// Whether a file may have several values; no if it is absent.
    list: Option<bool>,
    /// What it is for.
    description: Option<String>,
    /// The only values it may have.
    allowed: Option<Vec<Value>>,
    /// What a number counts.
    unit: Option<String>,
}

impl From<OwnField> for Field {
    fn from(own: OwnField) -> Self {
        let definition = own.definition;
        Self {
            name: definition.name,
            r#type: definition.kind.word(),
            list: definition.list,
            description: definition.description,
            allowed: definition.allowed.iter().map(to_json).collect(),
            unit: definition.unit,
            number: own.number,
            retired: own.retired,
        }
    }
}

/// List fields
///
/// All that were ever defined, retired ones too, by name.
#[utoipa::path(
    get, path = "/api/v1/fields", operation_id = "listFields", tag = "fields",
    params(("library" = Option<String>, Query, description = "The library, default the token's own")),
    responses((status = 200, description = "All fields", body = Page<Field>), ReadProblems),
)]
async fn list(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    call.no_more_params()?;
    let fields = all(&call).await?.into_iter().map(Field::from).collect();
    let page = Page::whole(fields, call.height());
    Ok(reply::json(StatusCode::OK, &page))
}

/// Read a field
#[utoipa::path(
    get, path = "/api/v1/fields/{name}", operation_id = "getField", tag = "fields",
    params(
        ("name" = String, Path, description = "What it is called"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "The field", body = Field), ItemProblems),
)]
async fn read(MayRead(mut call): MayRead, Path(name): Path<String>) -> Result<Response, Problem> {
    call.no_more_params()?;
    answer(&call, name).await
}

/// Define a field
///
/// Makes one, or says anew what one is: its description, its allowed values, its unit and, with `name`, what it is called.
/// Values follow a field to its new name. Its type stays. A field that was retired is taken up again.
#[utoipa::path(
    put, path = "/api/v1/fields/{name}", operation_id = "defineField", tag = "fields",
    params(
        ("name" = String, Path, description = "What it is called until now: a letter and up to 62 of `a-z0-9_`"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = FieldBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The field as it is now", body = Field),
        (status = 201, description = "The new field", body = Field),
        JsonProblems, ItemProblems,
    ),
)]
async fn define(
    MayOwn(mut call): MayOwn,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let definition = parse(&name, &json::parse(&bytes)?)?;
    let step = FieldStep::Define { name, definition };
    match call
        .apply(Payload::Field(step), Digest::of(&[&bytes]))
        .await?
    {
        Outcome::FieldDefined { field, new } => {
            let status = if new {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            Ok(reply::json(status, &Field::from(*field)))
        }
        other => Err(files::declined(other)),
    }
}

/// Retire a field
///
/// It takes no new values and is shown on no file from then on. What files had of it stays in their history, and comes back
/// if the field is defined again.
#[utoipa::path(
    delete, path = "/api/v1/fields/{name}", operation_id = "retireField", tag = "fields",
    params(
        ("name" = String, Path, description = "What it is called"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses((status = 204, description = "Retired"), WriteProblems, ItemProblems),
)]
async fn retire(MayOwn(mut call): MayOwn, Path(name): Path<String>) -> Result<Response, Problem> {
    call.no_more_params()?;
    let payload = Payload::Field(FieldStep::Retire { name });
    match call.apply(payload, Digest::of(&[])).await? {
        Outcome::FieldRetired => Ok(StatusCode::NO_CONTENT.into_response()),
        other => Err(files::declined(other)),
    }
}

/// The field as it is now.
pub(super) async fn answer(call: &Call, name: String) -> Result<Response, Problem> {
    let library = call.library.clone();
    let found = call
        .read(move |reader| reader.field(&library, &name))
        .await?;
    let field = found.ok_or_else(|| Problem::not_found("field"))?;
    Ok(reply::json(StatusCode::OK, &Field::from(field)))
}

/// All fields of the call's library.
pub(super) async fn all(call: &Call) -> Result<Vec<OwnField>, Problem> {
    let library = call.library.clone();
    call.read(move |reader| reader.fields(&library)).await
}

/// How a value of a kind stands in JSON.
pub(super) type ReadValue = fn(FieldKind, &Value) -> Option<FieldValue>;

fn parse(path: &str, body: &Value) -> Result<FieldDefinition, Faults> {
    let root = Node::root(body);
    let members = root.members(&["name", "type", "list", "description", "allowed", "unit"])?;
    definition(path, &root, &members, from_json)
}

/// What a field is to be, from the members of `root`.
pub(super) fn definition(
    path: &str,
    root: &Node<'_>,
    members: &Members<'_>,
    read: ReadValue,
) -> Result<FieldDefinition, Faults> {
    let mut faults = Faults::default();
    let name = |node: &Node<'_>| {
        node.parsed(
            "a letter a to z and up to 62 of a to z, 0 to 9 and _",
            |text| is_field_name(text).then(|| text.to_owned()),
        )
    };
    let given = faults.keep(members.optional("name", name)).flatten();
    let kind = members.required("type").and_then(|node| {
        let types = "text, keyword, integer, number, boolean, date, datetime or geo";
        node.parsed(types, FieldKind::from_word)
    });
    let kind = faults.keep(kind);
    let list = faults
        .keep(members.optional("list", Node::boolean))
        .flatten();
    let text = |max: usize| move |node: &Node<'_>| node.text(0..=max).map(str::to_owned);
    let description = members.optional("description", text(FIELD_DESCRIPTION_BYTES_MAX));
    let description = faults.keep(description).flatten();
    let unit = faults
        .keep(members.optional("unit", text(UNIT_BYTES_MAX)))
        .flatten();
    let allowed = members.optional("allowed", |node| match kind {
        Some(kind) => elements(node, kind, ALLOWED_MAX, read),
        None => Ok(Vec::new()),
    });
    let allowed = faults.keep(allowed).flatten().unwrap_or_default();
    let kind = faults
        .into_result(kind)?
        .expect("without a fault there is a type");
    let definition = FieldDefinition {
        name: given.unwrap_or_else(|| path.to_owned()),
        kind,
        list: list.unwrap_or_default(),
        description: description.unwrap_or_default(),
        allowed,
        unit: unit.unwrap_or_default(),
    };
    match check_definition(&definition) {
        Ok(()) => Ok(definition),
        Err(error) => Err(root.fault(error.to_string())),
    }
}

/// Values of one kind.
pub(super) fn elements(
    node: &Node<'_>,
    kind: FieldKind,
    max: usize,
    read: ReadValue,
) -> Result<Vec<FieldValue>, Faults> {
    let mut faults = Faults::default();
    let mut values = Vec::new();
    for element in node.elements(0..=max)? {
        values.extend(faults.keep(value(&element, kind, read)));
    }
    faults.into_result(values)
}

fn value(node: &Node<'_>, kind: FieldKind, read: ReadValue) -> Result<FieldValue, Faults> {
    let value = read(kind, node.value());
    value.ok_or_else(|| node.fault(format!("must be {}", form(kind))))
}

/// The changes of own fields in an object of names and values; null clears. What is wrong is told with its place.
pub(super) fn changes(node: &Node<'_>, known: &[OwnField]) -> Result<Vec<Change>, Faults> {
    let mut faults = Faults::default();
    let mut changes = Vec::new();
    for (name, node) in node.entries()? {
        changes.extend(faults.keep(change(name, &node, known)));
    }
    faults.into_result(changes)
}

fn change(name: &str, node: &Node<'_>, known: &[OwnField]) -> Result<Change, Faults> {
    let field = known.iter().find(|field| field.definition.name == name);
    let field = field.ok_or_else(|| node.fault("there is no such field; define it first"))?;
    let definition = &field.definition;
    let values = match (node.is_null(), definition.list) {
        (true, _) => Vec::new(),
        (false, true) => elements(node, definition.kind, usize::MAX, from_json)?,
        (false, false) => vec![value(node, definition.kind, from_json)?],
    };
    check_values(field, &values).map_err(|error| node.fault(error.to_string()))?;
    let field = field.number;
    Ok(Change::Field { field, values })
}
