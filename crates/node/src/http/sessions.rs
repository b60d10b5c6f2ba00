//! Signing in and out, from a browser.
//!
//! A session is a token that a sign-in makes: it stands in the ledger, so it is good on every node from the height on that
//! decided it, and ends on every node when it is revoked. A browser keeps it in a cookie that no script can read; see
//! [`super::cookie`]. Whether a name or a password was wrong is not told, not even by how long the answer takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use catalogue::file::Word as _;
use catalogue::{Need, Outcome, Token, User};
use model::access::TokenStep;
use model::command::Scope;
use model::{Digest, LibraryId, Payload, TokenId, UserId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{self, Call, MaySee, Reflected};
use super::json::{Faults, Node};
use super::limits::{SESSION_IDLE, SESSION_LIFE};
use super::metrics::Remote;
use super::params::Params;
use super::problem::{Code, ItemProblems, Problem, ReadProblems, SignInProblems, WriteProblems};
use super::reply::{self, Page};
use super::schema::{Scope as ScopeDocument, TokenDocument};
use super::tokens::Drawn;
use super::users::{self, UserDocument};
use super::{Api, auth, body, cookie, files, json};

/// The body of a sign-in, in which every character may be escaped.
const SIGN_IN_BYTES_MAX: usize = 16 << 10;
/// What the token of a session is called.
const SESSION_NAME: &str = "sign-in";

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(sign_in))
        .routes(routes!(sign_out))
        .routes(routes!(me))
        .routes(routes!(list))
        .routes(routes!(end))
}

/// Who signs in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct Credentials {
    /// The name.
    user: String,
    /// The password.
    password: String,
}

/// Who calls, and what they may do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Me {
    /// The user; null for a token that is nobody's.
    #[schema(required, value_type = Option<UserDocument>)]
    user: Option<User>,
    /// The public half of the token or session.
    token: String,
    /// What this call's token or session may do.
    #[schema(value_type = ScopeDocument)]
    scope: &'static str,
    /// Whether it is a session.
    session: bool,
    /// Until when it is accepted, as far as is known; a session longer if it is used.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// What goes into the header `Starling-Csrf` of every change, for a session that came in a cookie.
    #[schema(required)]
    csrf: Option<String>,
}

/// Sign in
///
/// Public. The answer sets the cookie of a session that every node accepts; changes made with it need the header
/// `Starling-Csrf` with the answer's `csrf`. A name that is not there and a password that is wrong get the same answer, in
/// the same time. Attempts are counted, by name and by address: `/api/v1/limits`.
#[utoipa::path(
    post, path = "/api/v1/sign-in", operation_id = "signIn", tag = "access", security(()),
    request_body(content = Credentials, content_type = "application/json"),
    responses(
        (status = 200, description = "Signed in", body = Me, headers(("Set-Cookie" = String))),
        SignInProblems,
    ),
)]
async fn sign_in(
    State(api): State<Arc<Api>>,
    remote: Option<Extension<Remote>>,
    reflected: Option<Extension<Reflected>>,
    request: Request,
) -> Result<Response, Problem> {
    api.refuse_if_out()?;
    Params::of(request.uri())?.finish()?;
    let headers = request.headers().clone();
    cookie::check_origin(&headers, &api.app.config.http.public_url)?;
    let deadline = tokio::time::Instant::now() + call::wait(&headers);
    let bytes = body::json(request, &["application/json"], SIGN_IN_BYTES_MAX).await?;
    let (name, password) = parse(&json::parse(&bytes)?)?;
    let address = remote.map(|Extension(Remote(address))| address.ip());
    let attempt = api.rates.attempt(Instant::now(), &name, address);
    let attempt = attempt.map_err(limited)?;
    api.wait_for(call::min_height(&headers)?, deadline).await?;
    let user = known(&api, &name, password).await?;
    let user = user.ok_or_else(|| {
        let detail = "user or password is wrong";
        Problem::new(Code::Unauthenticated, detail)
    })?;
    api.rates.succeeded(&attempt);
    let (session, token) = open(&api, &user, deadline).await?;
    if let Some(Extension(reflected)) = reflected {
        reflected.raise(api.app.catalogue.height());
    }
    let me = Me {
        token: token.id.to_string(),
        scope: token.scope.min(user.role.scope()).word(),
        session: true,
        expires_at: token.expires_at,
        csrf: Some(cookie::csrf(&session)),
        user: Some(user),
    };
    let answer = reply::json(StatusCode::OK, &me);
    Ok(with_cookie(answer, cookie::keep(&session, api.is_secure())))
}

/// The user of that name, if that is the password and they are let in.
async fn known(api: &Api, name: &str, password: String) -> Result<Option<User>, Problem> {
    let id: Option<UserId> = name.parse().ok();
    let found = api.read(move |reader| {
        reader.at_one_height(|reader| {
            let Some(id) = id else { return Ok(None) };
            let user = reader.user(&id)?.filter(|user| user.scope().is_some());
            let hash = reader.password(&id)?;
            Ok::<_, catalogue::ReadError>(user.zip(hash))
        })
    });
    let (user, hash) = found.await?.unzip();
    let fits = api.passwords.fits(password, hash).await;
    let fits = fits.map_err(users::unhashed)?;
    Ok(user.filter(|_| fits))
}

/// Makes a session, accepted on this node when this returns.
async fn open(
    api: &Api,
    user: &User,
    deadline: tokio::time::Instant,
) -> Result<(String, Token), Problem> {
    let drawn = Drawn::at_random()?;
    let idle = u32::try_from(SESSION_IDLE.as_secs()).expect("a session is idle for some days");
    let request = crate::Request {
        library: LibraryId::home(),
        actor: drawn.id,
        key: None,
        payload: Payload::Token(TokenStep::Create {
            token: drawn.id,
            secret: Digest::of(&[drawn.secret.as_bytes()]),
            name: SESSION_NAME.to_owned(),
            scope: Scope::Admin,
            owner: Some(user.id.clone()),
            expires: Some(api.now().plus(SESSION_LIFE)),
            session: Some(idle),
        }),
    };
    let decision = api.app.replica.submit(request, deadline).await;
    let decision = decision.map_err(call::refusal)?;
    api.wait_for(Some(decision.position.height), deadline)
        .await?;
    let id = drawn.id;
    let made = api.read(move |reader| reader.token(id)).await?;
    // Disabled meanwhile, perhaps.
    let made = made.ok_or_else(|| Problem::new(Code::Unauthenticated, "not let in any more"))?;
    Ok((auth::token_text(drawn.id, &drawn.secret), made))
}

/// Sign out
///
/// The session ends, on every node from the height on that decides it, and the browser forgets the cookie.
#[utoipa::path(
    post, path = "/api/v1/sign-out", operation_id = "signOut", tag = "access",
    responses(
        (status = 204, description = "Signed out", headers(("Set-Cookie" = String))),
        WriteProblems,
    ),
)]
async fn sign_out(MaySee(mut call): MaySee) -> Result<Response, Problem> {
    call.no_more_params()?;
    if !call.known.session {
        let detail = "a token is no session: revoke it with DELETE /api/v1/tokens/{id}";
        return Err(Problem::new(Code::Refused, detail));
    }
    revoke(&call, call.token).await?;
    let forget = cookie::forget(call.api.is_secure());
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), forget))
}

/// Who am I
///
/// The user, token or session of this call, what it may do, and what changes made by cookie need.
#[utoipa::path(
    get, path = "/api/v1/me", operation_id = "getMe", tag = "access",
    responses((status = 200, description = "Who calls", body = Me), ReadProblems),
)]
async fn me(MaySee(mut call): MaySee) -> Result<Response, Problem> {
    call.no_more_params()?;
    let user = match call.known.owner.clone() {
        Some(owner) => call.read(move |reader| reader.user(&owner)).await?,
        None => None,
    };
    let me = Me {
        user,
        token: call.token.to_string(),
        scope: call::word(call.scope),
        session: call.known.session,
        expires_at: call.known.expires.map(catalogue::time::format_timestamp),
        csrf: call.presented.csrf.clone(),
    };
    let mut answer = reply::json(StatusCode::OK, &me);
    let no_store = HeaderValue::from_static("no-store");
    answer.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(answer)
}

/// List sessions
///
/// One's own that are not over; with `all=true` everybody's, for an administrator.
#[utoipa::path(
    get, path = "/api/v1/sessions", operation_id = "listSessions", tag = "access",
    params(("all" = Option<bool>, Query, description = "Everybody's; needs scope admin")),
    responses((status = 200, description = "Sessions, oldest first", body = Page<TokenDocument>), ReadProblems),
)]
async fn list(MaySee(mut call): MaySee) -> Result<Response, Problem> {
    let all = call.params.flag("all")?;
    call.no_more_params()?;
    if all {
        call.require(Need::Administer)?;
    }
    let (now, own) = (call.api.now(), call.known.owner.clone());
    let tokens = call.read(|reader| reader.tokens()).await?;
    let sessions: Vec<Token> = tokens
        .into_iter()
        .filter(|token| token.session && !token.revoked)
        .filter(|token| token.expires.is_none_or(|expires| now < expires))
        .filter(|token| all || (own.is_some() && token.owner == own))
        .collect();
    let page = Page::whole(sessions, call.height());
    Ok(reply::json(StatusCode::OK, &page))
}

/// End a session
///
/// One's own, or anybody's for an administrator. It is not accepted anywhere from the height on that decides it.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", operation_id = "endSession", tag = "access",
    params(
        ("id" = String, Path, description = "The session's public half"),
        ("Idempotency-Key" = Option<String>, Header, description = "Taken and not needed: ending twice is ending"),
    ),
    responses((status = 204, description = "Over"), WriteProblems, ItemProblems),
)]
async fn end(MaySee(mut call): MaySee, Path(id): Path<String>) -> Result<Response, Problem> {
    call.no_more_params()?;
    let missing = || Problem::not_found("session");
    let id: TokenId = id.parse().map_err(|_| missing())?;
    let session = call.read(move |reader| reader.token(id)).await?;
    let session = session.filter(|token| token.session).ok_or_else(missing)?;
    let own = session.owner.is_some() && session.owner == call.known.owner;
    if !own && !call.rights.holder().administers() {
        return Err(missing());
    }
    revoke(&call, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn revoke(call: &Call, token: TokenId) -> Result<(), Problem> {
    match call.apply_unkeyed(Payload::RevokeToken { token }).await? {
        Outcome::TokenRevoked { .. } => Ok(()),
        other => Err(files::declined(other)),
    }
}

/// Somebody who tries too often.
pub(super) fn limited(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("too many attempts; the next one may come in {seconds} s");
    Problem::new(Code::RateLimited, detail).retry_after(Duration::from_secs(seconds))
}

fn with_cookie(mut answer: Response, cookie: HeaderValue) -> Response {
    let headers = answer.headers_mut();
    headers.insert(SET_COOKIE, cookie);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn parse(body: &Value) -> Result<(String, String), Faults> {
    let members = Node::root(body).members(&["user", "password"])?;
    let mut faults = Faults::default();
    let user = members.required("user");
    let user = faults.keep(user.and_then(|node| node.text(0..=255).map(str::to_owned)));
    let password = members.required("password");
    let password = faults.keep(password.and_then(|node| users::any_password(&node)));
    let both = faults.into_result(user.zip(password))?;
    Ok(both.expect("without a fault both are there"))
}
