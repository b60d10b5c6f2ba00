//! Users: who may sign in, as what, and with which password.
//!
//! A password is hashed here, on the node that was asked, and only the hash goes into the ledger, in a command of its own. It
//! is erased everywhere when another takes its place.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Request};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use catalogue::file::Word as _;
use catalogue::{Need, Outcome, User};
use model::access::{PasswordStep, Role, UserStep};
use model::{Digest, Payload, SecretId, UserId};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, IDEMPOTENCY_KEY, MayAdmin, MaySee};
use super::json::{Faults, Node};
use super::limits::{JSON_BYTES_MAX, PASSWORD_BYTES};
use super::problem::{Code, ItemProblems, JsonProblems, Problem, ReadProblems, WriteProblems};
use super::reply::{self, Page};
use super::sessions::limited;
use super::{Api, body, files, json, metadata, tokens};
use crate::DecisionKind;
use crate::passwords::PasswordError;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .routes(routes!(set_password))
}

/// Somebody who signs in, or owns tokens.
#[derive(ToSchema)]
#[schema(as = User, rename_all = "camelCase")]
#[expect(dead_code, reason = "documents what the catalogue writes")]
pub(super) struct UserDocument {
    /// The name they sign in with.
    id: String,
    /// What people call them.
    name: String,
    /// What they may do at most.
    role: RoleDocument,
    /// Whether they are let in.
    state: UserStateDocument,
    /// When they were created.
    #[schema(format = DateTime)]
    created_at: String,
    /// The token that created them.
    created_by: String,
}

/// What a user may do at most: a viewer looks, an editor changes files, an admin changes who may do what.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "camelCase")]
#[expect(dead_code, reason = "documents a word")]
pub(super) enum RoleDocument {
    Viewer,
    Editor,
    Admin,
}

/// Whether a user is let in.
#[derive(ToSchema)]
#[schema(as = UserState, rename_all = "camelCase")]
#[expect(dead_code, reason = "documents a word")]
pub(super) enum UserStateDocument {
    Active,
    Disabled,
    Removed,
}

/// A user to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct NewUser {
    /// The name they sign in with: 1 to 63 of a-z, 0-9, ., _ and -, a letter first. It is never given twice.
    id: String,
    /// What people call them, default the id.
    name: Option<String>,
    /// What they may do at most.
    role: RoleDocument,
    /// Their password; without one they cannot sign in yet.
    #[schema(min_length = 8, max_length = 1024)]
    password: Option<String>,
}

/// What is to be different; what is absent stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct UserChange {
    /// What people call them.
    name: Option<String>,
    /// What they may do at most.
    role: Option<RoleDocument>,
    /// Whether they are not let in for now. Their sessions end then, their tokens wait.
    disabled: Option<bool>,
}

/// A password from now on.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct NewPassword {
    /// The new one.
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    /// The one until now; needed to change one's own.
    current: Option<String>,
}

/// List users
///
/// All of them, also those who are disabled or gone: their names stay theirs.
#[utoipa::path(
    get, path = "/api/v1/users", operation_id = "listUsers", tag = "access",
    responses((status = 200, description = "All users, by id", body = Page<UserDocument>), ReadProblems),
)]
async fn list(MayAdmin(mut call): MayAdmin) -> Result<Response, Problem> {
    call.no_more_params()?;
    let users = call.read(|reader| reader.users()).await?;
    let page = Page::whole(users, call.height());
    Ok(reply::json(StatusCode::OK, &page))
}

/// Create a user
///
/// With a password they may sign in at once, on any node.
#[utoipa::path(
    post, path = "/api/v1/users", operation_id = "createUser", tag = "access",
    params(("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries")),
    request_body(content = NewUser, content_type = "application/json"),
    responses(
        (status = 201, description = "They are there", body = UserDocument, headers(("Location" = String))),
        JsonProblems,
    ),
)]
async fn create(
    MayAdmin(mut call): MayAdmin,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let wanted = parse_new(&json::parse(&bytes)?)?;
    let id = wanted.id;
    let password = match wanted.password {
        Some(password) => Some(hashed(&call, &headers, &id, password).await?),
        None => None,
    };
    // Never of the password itself: the content's digest stands in the ledger, and is made fast.
    let hash = password.as_ref().map_or("", |step| step.hash.as_str());
    let parts = [id.as_str(), wanted.role.word(), hash, &wanted.name];
    let content = Digest::of(&[parts.join("\n").as_bytes()]);
    let step = Payload::User(UserStep::Create {
        user: id.clone(),
        name: wanted.name,
        role: wanted.role,
    });
    let (outcome, decision) = call.apply_and_tell(step, content).await?;
    expect_changed(outcome)?;
    if let Some(step) = password {
        let repeated = !matches!(decision.kind, DecisionKind::Fresh);
        let user = id.clone();
        // A retry sets what the first attempt could not, and no password that was changed since.
        let has = call.read(move |reader| reader.password(&user)).await?;
        if !repeated || has.is_none() {
            expect_changed(call.apply_unkeyed(Payload::Password(step)).await?)?;
        }
    }
    let place = format!("/api/v1/users/{id}");
    let user = find(&call, id).await?;
    let answer = reply::json(StatusCode::CREATED, &user);
    Ok(reply::with(answer, LOCATION, &place))
}

/// Read a user
///
/// An administrator reads any, everybody else only themselves.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", operation_id = "getUser", tag = "access",
    params(("id" = String, Path, description = "The name they sign in with")),
    responses((status = 200, description = "The user", body = UserDocument), ItemProblems),
)]
async fn read(MaySee(mut call): MaySee, Path(id): Path<String>) -> Result<Response, Problem> {
    let user = named(&call, &id)?;
    call.no_more_params()?;
    let user = find(&call, user).await?;
    Ok(reply::json(StatusCode::OK, &user))
}

/// Change a user
///
/// What people call them, what they may do, whether they are let in: one change, whole or not at all. It is so on every
/// node from the height on that decides it. Everybody may change what they themselves are called. The last administrator
/// who is let in stays one: 422 `refused`.
#[utoipa::path(
    patch, path = "/api/v1/users/{id}", operation_id = "changeUser", tag = "access",
    params(
        ("id" = String, Path, description = "The name they sign in with"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = UserChange, content_type = "application/json"),
    responses((status = 200, description = "The user now", body = UserDocument), JsonProblems, ItemProblems),
)]
async fn change(
    MaySee(mut call): MaySee,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let user = named(&call, &id)?;
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let (name, role, disabled) = parse_change(&json::parse(&bytes)?)?;
    if role.is_some() || disabled.is_some() {
        call.require(Need::Administer)?;
    }
    let step = UserStep::Change {
        user: user.clone(),
        name,
        role,
        disabled,
    };
    let content = Digest::of(&[&bytes]);
    expect_changed(call.apply(Payload::User(step), content).await?)?;
    let user = find(&call, user).await?;
    Ok(reply::json(StatusCode::OK, &user))
}

/// Remove a user
///
/// Their tokens and sessions end, their password is erased. What they did stays theirs in every history, and their name is
/// not given again. The last administrator who is let in stays: 422 `refused`.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}", operation_id = "removeUser", tag = "access",
    params(
        ("id" = String, Path, description = "The name they sign in with"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses((status = 204, description = "They are gone"), WriteProblems, ItemProblems),
)]
async fn remove(MayAdmin(mut call): MayAdmin, Path(id): Path<String>) -> Result<Response, Problem> {
    let user = named(&call, &id)?;
    call.no_more_params()?;
    let step = Payload::User(UserStep::Remove { user });
    expect_changed(call.apply(step, Digest::of(&[])).await?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Set a password
///
/// One's own with the one until now, which is counted like a sign-in; an administrator sets another user's without. All
/// other sessions of the user end. The hash of the old password is erased on every node, in its ledger and in the archive.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/password", operation_id = "setPassword", tag = "access",
    params(
        ("id" = String, Path, description = "The name they sign in with"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    request_body(content = NewPassword, content_type = "application/json"),
    responses(
        (status = 204, description = "It is the password from now on"),
        (status = 429, description = "`busy`, `rate_limited`"),
        JsonProblems, ItemProblems,
    ),
)]
async fn set_password(
    MaySee(mut call): MaySee,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let user = named(&call, &id)?;
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let (password, current) = parse_password(&json::parse(&bytes)?)?;
    find(&call, user.clone()).await?;
    if call.known.owner.as_ref() == Some(&user) {
        prove(&call, &user, current, &password).await?;
    }
    let step = hashed(&call, &headers, &user, password).await?;
    let content = Digest::of(&[step.hash.as_bytes()]);
    expect_changed(call.apply(Payload::Password(step), content).await?)?;
    let sign_out = UserStep::SignOut {
        user,
        except: Some(call.token),
    };
    expect_changed(call.apply_unkeyed(Payload::User(sign_out)).await?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whoever changes their own password knows the one until now. A retry may find that it is the new one already.
async fn prove(
    call: &Call,
    user: &UserId,
    current: Option<String>,
    new: &str,
) -> Result<(), Problem> {
    let Some(current) = current else {
        let fault = Node::at(&Value::Null, "/current").fault("is required to change your own");
        return Err(fault.into());
    };
    let attempt = call.api.rates.attempt(Instant::now(), user.as_str(), None);
    let attempt = attempt.map_err(limited)?;
    let user = user.clone();
    let hash = call.read(move |reader| reader.password(&user)).await?;
    let passwords = &call.api.passwords;
    let mut right = passwords
        .fits(current, hash.clone())
        .await
        .map_err(unhashed)?;
    if !right && call.is_keyed() {
        let again = passwords.fits(new.to_owned(), hash).await;
        right = again.map_err(unhashed)?;
    }
    if !right {
        let detail = "that is not your password until now";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    call.api.rates.succeeded(&attempt);
    Ok(())
}

/// The command that makes it the password. Under an idempotency key the same request makes the same command, on any node.
async fn hashed(
    call: &Call,
    headers: &HeaderMap,
    user: &UserId,
    password: String,
) -> Result<PasswordStep, Problem> {
    let seed = match headers.get(IDEMPOTENCY_KEY) {
        Some(key) => {
            let caller = call.presented.caller.as_bytes();
            let of = [
                b"starling/password/v1",
                user.as_str().as_bytes(),
                caller,
                key.as_bytes(),
            ];
            Digest::of(&of).0
        }
        None => tokens::random()?,
    };
    let half = |which: &[u8]| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = Digest::of(&[which, &seed]).0;
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    };
    let hash = call.api.passwords.hash(password, half(b"salt")).await;
    Ok(PasswordStep {
        user: user.clone(),
        secret: SecretId(half(b"secret")),
        hash: hash.map_err(unhashed)?,
    })
}

pub(super) fn unhashed(error: PasswordError) -> Problem {
    match error {
        PasswordError::Busy => Problem::new(Code::Busy, error.to_string()),
        other => Problem::internal("working on a password", &other),
    }
}

/// The user that a path names. Whoever is no administrator may name themselves alone, and learns of nobody else.
fn named(call: &Call, id: &str) -> Result<UserId, Problem> {
    let user: Option<UserId> = id.parse().ok();
    if user.is_none() || user != call.known.owner {
        call.require(Need::Administer)?;
    }
    user.ok_or_else(|| Problem::not_found("user"))
}

async fn find(call: &Call, id: UserId) -> Result<User, Problem> {
    let user = call.read(move |reader| reader.user(&id)).await?;
    user.ok_or_else(|| Problem::not_found("user"))
}

fn expect_changed(outcome: Outcome) -> Result<(), Problem> {
    match outcome {
        Outcome::UserChanged { .. } => Ok(()),
        other => Err(files::declined(other)),
    }
}

/// A user as it is asked for.
struct Wanted {
    id: UserId,
    name: String,
    role: Role,
    password: Option<String>,
}

fn parse_new(body: &Value) -> Result<Wanted, Faults> {
    let members = Node::root(body).members(&["id", "name", "role", "password"])?;
    let mut faults = Faults::default();
    let id = faults.keep(members.required("id").and_then(|node| name_of(&node)));
    let name = faults.keep(members.optional("name", metadata::name));
    let role = faults.keep(members.required("role").and_then(|node| role_of(&node)));
    let password = faults.keep(members.optional("password", password_of));
    let whole = faults.into_result(id.zip(role))?;
    let (id, role) = whole.expect("without a fault id and role are there");
    Ok(Wanted {
        name: name.flatten().unwrap_or_else(|| id.to_string()),
        id,
        role,
        password: password.flatten(),
    })
}

type Changes = (Option<String>, Option<Role>, Option<bool>);

fn parse_change(body: &Value) -> Result<Changes, Faults> {
    let members = Node::root(body).members(&["name", "role", "disabled"])?;
    let mut faults = Faults::default();
    let name = faults.keep(members.optional("name", metadata::name));
    let role = faults.keep(members.optional("role", role_of));
    let disabled = faults.keep(members.optional("disabled", Node::boolean));
    faults.into_result((name.flatten(), role.flatten(), disabled.flatten()))
}

fn parse_password(body: &Value) -> Result<(String, Option<String>), Faults> {
    let members = Node::root(body).members(&["password", "current"])?;
    let mut faults = Faults::default();
    let password = members.required("password");
    let password = faults.keep(password.and_then(|node| password_of(&node)));
    let current = faults.keep(members.optional("current", any_password));
    let password = faults.into_result(password)?;
    let password = password.expect("without a fault it is there");
    Ok((password, current.flatten()))
}

/// The name of a user.
pub(super) fn name_of(node: &Node<'_>) -> Result<UserId, Faults> {
    node.parsed("1 to 63 of a-z, 0-9, ., _ and -, a letter first", |text| {
        text.parse().ok()
    })
}

fn role_of(node: &Node<'_>) -> Result<Role, Faults> {
    node.parsed("viewer, editor or admin", Role::from_word)
}

fn password_of(node: &Node<'_>) -> Result<String, Faults> {
    node.text(PASSWORD_BYTES).map(str::to_owned)
}

/// One that may be wrong in any way.
pub(super) fn any_password(node: &Node<'_>) -> Result<String, Faults> {
    node.text(0..=*PASSWORD_BYTES.end()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bodies_are_read_strictly() {
        let new = parse_new(&json!({"id": "ann", "role": "editor"}))
            .ok()
            .unwrap();
        assert_eq!((new.id.as_str(), new.name.as_str()), ("ann", "ann"));
        assert_eq!((new.role, new.password), (Role::Editor, None));
        for wrong in [
            json!({"id": "Ann", "role": "editor"}),
            json!({"id": "ann"}),
            json!({"id": "ann", "role": "owner"}),
            json!({"id": "ann", "role": "editor", "password": "short"}),
            json!({"id": "ann", "role": "editor", "admin": true}),
        ] {
            assert!(parse_new(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_change(&json!({})), Ok((None, None, None)));
        assert!(parse_change(&json!({"disabled": "yes"})).is_err());
        assert!(parse_password(&json!({"current": "12345678"})).is_err());
        let set = parse_password(&json!({"password": "12345678", "current": ""}));
        assert_eq!(set, Ok(("12345678".into(), Some(String::new()))));
    }
}
