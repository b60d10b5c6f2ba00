//! Who may sign in. Tokens live in the ledger: one made here is accepted on every node, and one revoked here on none.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalogue::file::Word as _;
use catalogue::{Outcome, Refusal};
use model::access::TokenStep;
use model::command::Scope;
use model::{Digest, Payload, TokenId, UserId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth;
use super::call::{IDEMPOTENCY_KEY, MayAdmin};
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{
    Code, Fault, ItemProblems, JsonProblems, Problem, ReadProblems, WriteProblems,
};
use super::reply::{self, Page};
use super::schema::{Scope as ScopeDocument, TokenDocument};
use super::{Api, body, files, json, metadata, users};

/// How long a token that expires may be good: a hundred years.
const LIFE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

/// A token to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
#[schema(rename_all = "camelCase")]
struct NewToken {
    /// What people call it.
    name: String,
    /// What it may do. It never may more than its owner.
    scope: ScopeDocument,
    /// Whose it is, default the caller's own user; null for nobody's.
    owner: Option<String>,
    /// In how many seconds it expires; if absent or null it does not.
    #[schema(minimum = 1, maximum = 3_153_600_000_u64)]
    expires_in: Option<u64>,
}

/// A token that was made, with its secret: it is not shown again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CreatedToken {
    /// Its public half.
    id: String,
    /// What people call it.
    name: String,
    /// What it may do.
    #[schema(value_type = ScopeDocument)]
    scope: &'static str,
    /// Whose it is.
    #[schema(required)]
    owner: Option<String>,
    /// Until when it is accepted.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// The whole token.
    #[schema(example = "stl_0011223344556677_c2VjcmV0")]
    token: String,
}

/// List tokens
///
/// All of them, revoked ones too, without their secrets; sessions have a list of their own. When one was used last
/// is told through the ledger, once an hour at most.
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "access",
    responses((status = 200, description = "All tokens, oldest first", body = Page<TokenDocument>), ReadProblems),
)]
async fn list(MayAdmin(mut call): MayAdmin) -> Result<Response, Problem> {
    call.no_more_params()?;
    let mut tokens = call.read(|reader| reader.tokens()).await?;
    tokens.retain(|token| !token.session);
    Ok(reply::json(
        StatusCode::OK,
        &Page::whole(tokens, call.height()),
    ))
}

/// Create a token
///
/// The answer alone holds the secret. Under an `Idempotency-Key`, the same request by the same token makes the same
/// token, on any node.
#[utoipa::path(
    post, path = "/api/v1/tokens", operation_id = "createToken", tag = "access",
    params(("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries")),
    request_body(content = NewToken, content_type = "application/json"),
    responses(
        (status = 201, description = "Accepted from now on", body = CreatedToken, headers(("Location" = String))),
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
    let content = Digest::of(&[&bytes]);
    let wanted = parse(&json::parse(&bytes)?)?;
    let drawn = Drawn::new(&headers, &call.presented.caller, content)?;
    let life = wanted.life;
    let payload = Payload::Token(TokenStep::Create {
        token: drawn.id,
        secret: Digest::of(&[drawn.secret.as_bytes()]),
        name: wanted.name,
        scope: wanted.scope,
        owner: wanted.owner.unwrap_or_else(|| call.known.owner.clone()),
        expires: life.map(|life| call.api.now().plus(life)),
        session: None,
    });
    match call.apply(payload, content).await? {
        Outcome::TokenCreated { token } if token == drawn.id => {}
        Outcome::Refused {
            code: Refusal::UserNotFound,
            detail,
        } => {
            let fault = Fault::new("/owner", detail);
            return Err(Problem::at(Code::InvalidBody, vec![fault]));
        }
        other => return Err(files::declined(other)),
    }
    // As it was made: a retry gives no other end.
    let made = call.read(move |reader| reader.token(drawn.id)).await?;
    let made = made.ok_or_else(|| Problem::not_found("token"))?;
    let created = CreatedToken {
        id: drawn.id.to_string(),
        name: made.name,
        scope: made.scope.word(),
        owner: made.owner.map(|owner| owner.to_string()),
        expires_at: made.expires_at,
        token: auth::token_text(drawn.id, &drawn.secret),
    };
    let mut response = reply::json(StatusCode::CREATED, &created);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply::with(
        response,
        LOCATION,
        &format!("/api/v1/tokens/{}", drawn.id),
    ))
}

/// Revoke a token
///
/// It is no longer accepted from the next height on. The last one with scope admin cannot be revoked.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", operation_id = "revokeToken", tag = "access",
    params(
        ("id" = String, Path, description = "The token's public half"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries"),
    ),
    responses((status = 204, description = "Revoked"), WriteProblems, ItemProblems),
)]
async fn revoke(MayAdmin(mut call): MayAdmin, Path(id): Path<String>) -> Result<Response, Problem> {
    call.no_more_params()?;
    let token: TokenId = id.parse().map_err(|_| Problem::not_found("token"))?;
    match call
        .apply(Payload::RevokeToken { token }, Digest::of(&[]))
        .await?
    {
        Outcome::TokenRevoked { .. } => Ok(StatusCode::NO_CONTENT.into_response()),
        other => Err(files::declined(other)),
    }
}

/// A token as it is asked for.
struct Wanted {
    name: String,
    scope: Scope,
    /// Said to be somebody's, or nobody's.
    owner: Option<Option<UserId>>,
    life: Option<Duration>,
}

fn parse(body: &Value) -> Result<Wanted, Faults> {
    let members = Node::root(body).members(&["name", "scope", "owner", "expiresIn"])?;
    let mut faults = Faults::default();
    let name = faults.keep(
        members
            .required("name")
            .and_then(|node| metadata::name(&node)),
    );
    let scope = members
        .required("scope")
        .and_then(|node| node.parsed("read, write or admin", Scope::from_word));
    let scope = faults.keep(scope);
    let owner = members.get("owner");
    let owner = owner.map(|node| node.nullable(users::name_of));
    let owner = owner.and_then(|owner| faults.keep(owner));
    let life = members.optional("expiresIn", |node| node.integer(1..=LIFE_MAX.as_secs()));
    let life = faults.keep(life).flatten().map(Duration::from_secs);
    let whole = faults.into_result(name.zip(scope))?;
    let (name, scope) = whole.expect("without a fault name and scope are there");
    Ok(Wanted {
        name,
        scope,
        owner,
        life,
    })
}

/// The two halves of a token or an invite about to be made.
pub(super) struct Drawn {
    pub(super) id: TokenId,
    pub(super) secret: String,
}

impl Drawn {
    /// At random; under an idempotency key, from what only the caller knows. So a client that never got the answer gets
    /// the same token from any node, although no node keeps its secret.
    pub(super) fn new(
        headers: &HeaderMap,
        caller: &Digest,
        content: Digest,
    ) -> Result<Self, Problem> {
        let seed = match headers.get(IDEMPOTENCY_KEY) {
            Some(key) => {
                let request = Digest::of(&[content.as_bytes(), key.as_bytes()]);
                Digest::of(&[caller.as_bytes(), request.as_bytes()]).0
            }
            None => random()?,
        };
        Ok(Self::from_seed(&seed))
    }

    /// At random, for somebody who has no credential yet.
    pub(super) fn at_random() -> Result<Self, Problem> {
        Ok(Self::from_seed(&random()?))
    }

    fn from_seed(seed: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = Digest::of(&[b"id", seed]).0;
        // An underscore divides the parts of a token, and base64url has it too.
        let secret = (0_u32..)
            .map(|attempt| Digest::of(&[b"secret", seed, &attempt.to_be_bytes()]))
            .map(|digest| URL_SAFE_NO_PAD.encode(digest.as_bytes()))
            .find(|secret| !secret.contains('_'))
            .expect("every other text has no underscore");
        Self {
            id: TokenId([a, b, c, d, e, f, g, h]),
            secret,
        }
    }
}

pub(super) fn random() -> Result<[u8; 32], Problem> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Problem::internal("drawing a token", &error))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(key: Option<&str>, caller: &str) -> String {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(IDEMPOTENCY_KEY, key.parse().unwrap());
        }
        let caller = Digest::of(&[caller.as_bytes()]);
        let drawn = Drawn::new(&headers, &caller, Digest([1; 32])).unwrap();
        auth::token_text(drawn.id, &drawn.secret)
    }

    #[test]
    fn a_retry_makes_the_same_token() {
        assert_eq!(drawn(Some("k"), "a"), drawn(Some("k"), "a"));
        assert_ne!(drawn(Some("k"), "a"), drawn(Some("l"), "a"));
        assert_ne!(drawn(Some("k"), "a"), drawn(Some("k"), "b"));
        assert_ne!(drawn(None, "a"), drawn(None, "a"));
    }

    #[test]
    fn what_is_made_can_be_read() {
        let text = drawn(None, "a");
        assert!(auth::Shown::parse(&text).is_some(), "{text}");
        assert_eq!(text.split('_').count(), 3);
    }
}
