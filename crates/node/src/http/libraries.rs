//! Libraries: who may see and change what. `catalogue::rights` decides; here libraries are made, described and opened to
//! members, and what was ever done about that can be looked at.
//!
//! A library's name in paths is drawn where it is made, so that nobody learns by trying which names are taken.

use std::sync::Arc;

use axum::extract::{Path, Request};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use catalogue::time::format_timestamp;
use catalogue::{Library, LibraryChange, Need, Outcome, Rights, Token};
use model::{Digest, LibraryDefinition, LibraryId, LibraryRole, LibraryStep, Payload, Principal};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, MayChange, MayFound, MaySee};
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{Code, ItemProblems, JsonProblems, Problem, ReadProblems, WriteProblems};
use super::reply::{self, Page};
use super::tokens::Drawn;
use super::{Api, body, files, json, metadata};

/// What is kept of a title in a library's name.
const SLUG_CHARACTERS_MAX: usize = 40;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, describe, retire))
        .routes(routes!(restore))
        .routes(routes!(history))
        .routes(routes!(set_member, remove_member))
}

/// What somebody may do in a library.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LibraryRole)]
enum RoleDocument {
    /// Looks.
    Viewer,
    /// Changes files, tags and albums, and shares them.
    Editor,
    /// Says who is a member, defines fields, purges.
    Owner,
}

impl From<LibraryRole> for RoleDocument {
    fn from(role: LibraryRole) -> Self {
        match role {
            LibraryRole::Viewer => Self::Viewer,
            LibraryRole::Editor => Self::Editor,
            LibraryRole::Owner => Self::Owner,
        }
    }
}

/// A library.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Library)]
#[serde(rename_all = "camelCase")]
struct LibraryDocument {
    /// Its name in paths and queries.
    #[schema(example = "summer-0a1b2c3d")]
    id: String,
    /// What people call it.
    title: String,
    /// Whether every user of the cluster is in it.
    shared: bool,
    /// What the caller may do in it; null for an administrator who is no member, who sees nothing that is in it.
    role: Option<RoleDocument>,
    /// Whether it is shown to nobody, until an owner restores it.
    retired: bool,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    created_at: String,
}

/// A library and who is in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LibraryAndMembers)]
#[serde(rename_all = "camelCase")]
struct LibraryAndMembers {
    #[serde(flatten)]
    library: LibraryDocument,
    /// How many files are in it, in whatever state; null if the caller does not see them.
    files: Option<u64>,
    /// Who is in it by name. In a shared library every user is, beside these.
    members: Vec<MemberDocument>,
    /// The tokens of no user that have this library as their own.
    tokens: Vec<TokenOfLibrary>,
}

/// A member of a library.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LibraryMember)]
struct MemberDocument {
    /// A user, or `token:` and the public half of a token that is no user's.
    #[schema(example = "alice")]
    member: String,
    /// What they may do.
    role: RoleDocument,
}

/// A token that has a library as its own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LibraryToken)]
struct TokenOfLibrary {
    /// Its public half.
    id: String,
    /// What people call it.
    name: String,
    /// What it may do in the library.
    scope: &'static str,
}

/// A change of a library.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LibraryChange)]
#[serde(rename_all = "camelCase")]
struct ChangeDocument {
    /// Height of its block.
    height: u64,
    /// Place of its command in the block, from 0.
    index: u32,
    /// Time of its block, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    time: String,
    /// The token that acted.
    actor: String,
    /// What was done.
    #[schema(example = "setMember")]
    kind: &'static str,
    /// The title from then on, if that was said.
    title: Option<String>,
    /// Whether it was shared from then on, if that was said.
    shared: Option<bool>,
    /// The member it was about.
    member: Option<String>,
    /// The role from then on.
    role: Option<RoleDocument>,
}

/// What a library is to be.
#[derive(ToSchema)]
#[schema(as = LibraryBody)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct LibraryBody {
    /// What people call it.
    title: String,
    /// Whether every user of the cluster is to be in it, with the role that the cluster gives them. Default no.
    shared: Option<bool>,
}

/// What a member may do.
#[derive(ToSchema)]
#[schema(as = MemberBody)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct MemberBody {
    /// From now on.
    role: RoleDocument,
}

/// List libraries
///
/// Those that the caller may see or restore. An administrator of the cluster sees that the others are there, too.
#[utoipa::path(
    get, path = "/api/v1/libraries", operation_id = "listLibraries", tag = "access",
    responses((status = 200, description = "All of them, by name", body = Page<LibraryDocument>), ReadProblems),
)]
async fn list(MaySee(mut call): MaySee) -> Result<Response, Problem> {
    call.no_more_params()?;
    let libraries = call.read(|reader| reader.libraries()).await?.into_iter();
    let known = libraries.filter(|library| call.rights.knows(&library.id));
    let items = known.map(|library| document(library, &call.rights));
    let page = Page::whole(items.collect(), call.height());
    Ok(reply::json(StatusCode::OK, &page))
}

/// Make a library
///
/// Whoever makes it is its first owner. It is private, seen by its members alone, or shared with every user of the cluster.
#[utoipa::path(
    post, path = "/api/v1/libraries", operation_id = "createLibrary", tag = "access",
    params(("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries")),
    request_body(content = LibraryBody, content_type = "application/json"),
    responses(
        (status = 201, description = "The new library", body = LibraryAndMembers, headers(("Location" = String))),
        JsonProblems,
    ),
)]
async fn create(
    MayFound(mut call): MayFound,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let content = Digest::of(&[&bytes]);
    let definition = parse(&json::parse(&bytes)?)?;
    let drawn = Drawn::new(&headers, &call.presented.caller, content)?;
    call.library = name(&definition.title, &drawn)?;
    step(&call, LibraryStep::Create(definition), content).await?;
    let place = format!("/api/v1/libraries/{}", call.library);
    let made = answer(&call, StatusCode::CREATED).await?;
    Ok(reply::with(made, LOCATION, &place))
}

/// Read a library
///
/// What it is and who is in it.
#[utoipa::path(
    get, path = "/api/v1/libraries/{id}", operation_id = "getLibrary", tag = "access",
    params(("id" = String, Path, description = "The library")),
    responses((status = 200, description = "The library", body = LibraryAndMembers), ItemProblems),
)]
async fn read(MaySee(mut call): MaySee, Path(id): Path<String>) -> Result<Response, Problem> {
    call.is_about(&id, Need::Nothing)?;
    call.no_more_params()?;
    answer(&call, StatusCode::OK).await
}

/// Say anew what a library is
///
/// For its owners, and for administrators of the cluster.
#[utoipa::path(
    put, path = "/api/v1/libraries/{id}", operation_id = "putLibrary", tag = "access",
    params(
        ("id" = String, Path, description = "The library"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = LibraryBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The library as it is now", body = LibraryAndMembers),
        JsonProblems, ItemProblems,
    ),
)]
async fn describe(
    MayChange(mut call): MayChange,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    call.is_about(&id, Need::Manage)?;
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let definition = parse(&json::parse(&bytes)?)?;
    let content = Digest::of(&[&bytes]);
    step(&call, LibraryStep::Describe(definition), content).await?;
    answer(&call, StatusCode::OK).await
}

/// Retire a library
///
/// It is shown to nobody and takes no changes, until an owner restores it. One with files in it only if `confirm=true` says
/// that this is meant. Its files stay as they are; to forget them, purge them before.
#[utoipa::path(
    delete, path = "/api/v1/libraries/{id}", operation_id = "retireLibrary", tag = "access",
    params(
        ("id" = String, Path, description = "The library"),
        ("confirm" = Option<bool>, Query, description = "Also if there are files in it"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses((status = 204, description = "It is retired"), WriteProblems, ItemProblems),
)]
async fn retire(
    MayChange(mut call): MayChange,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let confirmed = call.params.flag("confirm")?;
    call.is_about(&id, Need::Manage)?;
    call.no_more_params()?;
    if !confirmed && !is_seen_empty(&call).await? {
        let detail = "there may be files in it; say confirm=true if it is to be retired with them";
        return Err(Problem::new(Code::Refused, detail));
    }
    step(&call, LibraryStep::Retire, Digest::of(&[])).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Restore a library
///
/// Takes back that it was retired.
#[utoipa::path(
    post, path = "/api/v1/libraries/{id}/restore", operation_id = "restoreLibrary", tag = "access",
    params(
        ("id" = String, Path, description = "The library"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses(
        (status = 200, description = "The library as it is now", body = LibraryAndMembers),
        WriteProblems, ItemProblems,
    ),
)]
async fn restore(
    MayChange(mut call): MayChange,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    call.is_about(&id, Need::Manage)?;
    call.no_more_params()?;
    step(&call, LibraryStep::Restore, Digest::of(&[])).await?;
    answer(&call, StatusCode::OK).await
}

/// A library's history
///
/// Every change of what it is and of who is in it, by whom and when.
#[utoipa::path(
    get, path = "/api/v1/libraries/{id}/history", operation_id = "getLibraryHistory", tag = "access",
    params(("id" = String, Path, description = "The library")),
    responses((status = 200, description = "All changes, first to last", body = Page<ChangeDocument>), ItemProblems),
)]
async fn history(MaySee(mut call): MaySee, Path(id): Path<String>) -> Result<Response, Problem> {
    call.is_about(&id, Need::Nothing)?;
    call.no_more_params()?;
    let library = call.library.clone();
    let changes = call.read(move |reader| reader.library_history(&library));
    let items = changes.await?.into_iter().map(ChangeDocument::from);
    let page = Page::whole(items.collect(), call.height());
    Ok(reply::json(StatusCode::OK, &page))
}

/// Let somebody into a library
///
/// Or give a member another role. A private library keeps an owner.
#[utoipa::path(
    put, path = "/api/v1/libraries/{id}/members/{member}", operation_id = "setLibraryMember", tag = "access",
    params(
        ("id" = String, Path, description = "The library"),
        ("member" = String, Path, description = "A user, or `token:` and the public half of a token that is no user's"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = MemberBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The library as it is now", body = LibraryAndMembers),
        JsonProblems, ItemProblems,
    ),
)]
async fn set_member(
    MayChange(mut call): MayChange,
    Path((id, member)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    call.is_about(&id, Need::Manage)?;
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let role = parse_role(&json::parse(&bytes)?)?;
    let member = principal(&member)?;
    let set = LibraryStep::SetMember { member, role };
    step(&call, set, Digest::of(&[&bytes])).await?;
    answer(&call, StatusCode::OK).await
}

/// Take a member out of a library
///
/// What they have put into it stays. The last owner of a private library stays as well.
#[utoipa::path(
    delete, path = "/api/v1/libraries/{id}/members/{member}", operation_id = "removeLibraryMember", tag = "access",
    params(
        ("id" = String, Path, description = "The library"),
        ("member" = String, Path, description = "A user, or `token:` and the public half of a token that is no user's"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses((status = 204, description = "A member no more"), WriteProblems, ItemProblems),
)]
async fn remove_member(
    MayChange(mut call): MayChange,
    Path((id, member)): Path<(String, String)>,
) -> Result<Response, Problem> {
    call.is_about(&id, Need::Manage)?;
    call.no_more_params()?;
    let member = principal(&member)?;
    step(&call, LibraryStep::RemoveMember { member }, Digest::of(&[])).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether the caller sees that there are no files in the call's library. An administrator who is no member does not.
async fn is_seen_empty(call: &Call) -> Result<bool, Problem> {
    let library = call.library.clone();
    let stats = call.read(move |reader| reader.stats(&library)).await?;
    Ok(call.rights.may_read(&call.library) && stats.files == 0)
}

/// Has a step about the call's library decided.
async fn step(call: &Call, step: LibraryStep, content: Digest) -> Result<(), Problem> {
    match call.apply(Payload::Library(step), content).await? {
        Outcome::LibraryChanged => Ok(()),
        other => Err(files::declined(other)),
    }
}

/// The call's library as it is now, with what the caller may do in it now.
async fn answer(call: &Call, status: StatusCode) -> Result<Response, Problem> {
    let (library, token) = (call.library.clone(), call.token);
    let found = call.read(move |reader| {
        reader.at_one_height(|reader| {
            let known = reader.library(&library)?.zip(reader.rights(token)?);
            let Some((known, rights)) = known else {
                return Ok(None);
            };
            let files = reader.stats(&library)?.files;
            let shown = LibraryAndMembers {
                files: rights.may_read(&library).then_some(files),
                members: reader.members(&library)?.into_iter().map(member).collect(),
                tokens: tokens(reader.tokens()?, &library),
                library: document(known, &rights),
            };
            Ok(Some(shown))
        })
    });
    let shown = found.await?.ok_or_else(|| Problem::not_found("library"))?;
    Ok(reply::json(status, &shown))
}

fn document(library: Library, rights: &Rights) -> LibraryDocument {
    LibraryDocument {
        role: rights.role(&library.id).map(RoleDocument::from),
        id: library.id.to_string(),
        title: library.definition.title,
        shared: library.definition.shared,
        retired: library.retired,
        created_at: format_timestamp(library.created),
    }
}

fn member((member, role): (Principal, LibraryRole)) -> MemberDocument {
    MemberDocument {
        member: member.to_string(),
        role: role.into(),
    }
}

fn tokens(all: Vec<Token>, library: &LibraryId) -> Vec<TokenOfLibrary> {
    let own = |token: &Token| token.library == *library && token.owner.is_none() && !token.revoked;
    let own = all.into_iter().filter(own);
    own.map(|token| TokenOfLibrary {
        id: token.id.to_string(),
        name: token.name,
        scope: super::call::word(token.scope),
    })
    .collect()
}

impl From<LibraryChange> for ChangeDocument {
    fn from(change: LibraryChange) -> Self {
        let kind = change.step.kind();
        let (definition, member, role) = match change.step {
            LibraryStep::Create(definition) | LibraryStep::Describe(definition) => {
                (Some(definition), None, None)
            }
            LibraryStep::SetMember { member, role } => (None, Some(member), Some(role)),
            LibraryStep::RemoveMember { member } => (None, Some(member), None),
            LibraryStep::Retire | LibraryStep::Restore => (None, None, None),
        };
        Self {
            height: change.height,
            index: change.index,
            time: format_timestamp(change.time),
            actor: change.actor.to_string(),
            kind,
            shared: definition.as_ref().map(|definition| definition.shared),
            title: definition.map(|definition| definition.title),
            member: member.map(|member| member.to_string()),
            role: role.map(RoleDocument::from),
        }
    }
}

fn parse(body: &Value) -> Result<LibraryDefinition, Faults> {
    let members = Node::root(body).members(&["title", "shared"])?;
    let mut faults = Faults::default();
    let title = members
        .required("title")
        .and_then(|node| metadata::name(&node));
    let title = faults.keep(title);
    let shared = faults.keep(members.optional("shared", Node::boolean));
    let title = faults.into_result(title)?;
    Ok(LibraryDefinition {
        title: title.expect("without a fault there is a title"),
        shared: shared.flatten().unwrap_or_default(),
    })
}

fn parse_role(body: &Value) -> Result<LibraryRole, Faults> {
    let members = Node::root(body).members(&["role"])?;
    let role = members.required("role")?;
    role.parsed("viewer, editor or owner", |word| match word {
        "viewer" => Some(LibraryRole::Viewer),
        "editor" => Some(LibraryRole::Editor),
        "owner" => Some(LibraryRole::Owner),
        _ => None,
    })
}

fn principal(text: &str) -> Result<Principal, Problem> {
    text.parse().map_err(|_| {
        let detail = "a user's name, or token: and the 16 digits of a token's public half";
        Problem::parameter("member", detail)
    })
}

/// What can be read of a title, and something that nobody guesses.
fn name(title: &str, drawn: &Drawn) -> Result<LibraryId, Problem> {
    let mut slug = String::new();
    for letter in title.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_start_matches(|first: char| !first.is_ascii_lowercase());
    let slug: String = slug.chars().take(SLUG_CHARACTERS_MAX).collect();
    let readable = match slug.trim_end_matches('-') {
        "" => "library",
        readable => readable,
    };
    let digits = drawn.id.to_string();
    format!("{readable}-{digits}")
        .parse()
        .map_err(|error| Problem::internal("naming a library", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_named_after_its_title() {
        let named = |title: &str| {
            let id = model::TokenId([0xab; 8]);
            let secret = String::new();
            name(title, &Drawn { id, secret }).unwrap().to_string()
        };
        let behind = "-abababababababab";
        assert_eq!(
            named("Our Summer, 2024!"),
            format!("our-summer-2024{behind}")
        );
        assert_eq!(named("2024: Rügen"), format!("r-gen{behind}"));
        assert_eq!(named("家族"), format!("library{behind}"));
        assert_eq!(named(&"x".repeat(200)).len(), 40 + behind.len());
    }
}
