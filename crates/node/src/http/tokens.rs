//! Who may sign in. Tokens live in the ledger: one made here is accepted on every node, and one revoked here on none.

use std::sync::Arc;

use axum::extract::{Path, Request};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalogue::Outcome;
use catalogue::file::Word as _;
use model::command::Scope;
use model::{Digest, Payload, TokenId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth;
use super::call::{IDEMPOTENCY_KEY, MayAdmin};
use super::json::{Faults, Node};
use super::limits::JSON_BYTES_MAX;
use super::problem::{ItemProblems, JsonProblems, Problem, ReadProblems, WriteProblems};
use super::reply::{self, Page};
use super::schema::{Scope as ScopeDocument, TokenDocument};
use super::{Api, body, files, json, metadata};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

/// A token to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct NewToken {
    /// What people call it.
    name: String,
    /// What it may do.
    scope: ScopeDocument,
}

/// A token that was made, with its secret: it is not shown again.
#[derive(Serialize, ToSchema)]
struct CreatedToken {
    /// Its public half.
    id: String,
    /// What people call it.
    name: String,
    /// What it may do.
    #[schema(value_type = ScopeDocument)]
    scope: &'static str,
    /// The whole token.
    #[schema(example = "stl_0011223344556677_c2VjcmV0")]
    token: String,
}

/// List tokens
///
/// All of them, revoked ones too, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "access",
    responses((status = 200, description = "All tokens, oldest first", body = Page<TokenDocument>), ReadProblems),
)]
async fn list(MayAdmin(mut call): MayAdmin) -> Result<Response, Problem> {
    call.no_more_params()?;
    let tokens = call.read(|reader| reader.tokens()).await?;
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
    let (name, scope) = parse(&json::parse(&bytes)?)?;
    let drawn = Drawn::new(&headers, content)?;
    let payload = Payload::CreateToken {
        token: drawn.id,
        secret: Digest::of(&[drawn.secret.as_bytes()]),
        name: name.clone(),
        scope,
    };
    match call.apply(payload, content).await? {
        Outcome::TokenCreated { token } if token == drawn.id => {}
        other => return Err(files::declined(other)),
    }
    let created = CreatedToken {
        id: drawn.id.to_string(),
        name,
        scope: scope.word(),
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

fn parse(body: &Value) -> Result<(String, Scope), Faults> {
    let members = Node::root(body).members(&["name", "scope"])?;
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
    let whole = faults.into_result(name.zip(scope))?;
    Ok(whole.expect("without a fault name and scope are there"))
}

/// The two halves of a token or an invite about to be made.
pub(super) struct Drawn {
    pub(super) id: TokenId,
    pub(super) secret: String,
}

impl Drawn {
    /// At random; under an idempotency key, from what only the caller knows. So a client that never got the answer gets
    /// the same token from any node, although no node keeps its secret.
    pub(super) fn new(headers: &HeaderMap, content: Digest) -> Result<Self, Problem> {
        let seed = match (headers.get(IDEMPOTENCY_KEY), auth::text(headers)) {
            (Some(key), Some(caller)) => {
                let request = Digest::of(&[content.as_bytes(), key.as_bytes()]);
                let caller = Digest::of(&[b"starling/new-token/v1", caller.as_bytes()]);
                Digest::of(&[caller.as_bytes(), request.as_bytes()]).0
            }
            _ => random()?,
        };
        Ok(Self::from_seed(&seed))
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

fn random() -> Result<[u8; 32], Problem> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Problem::internal("drawing a token", &error))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::AUTHORIZATION;

    fn drawn(key: Option<&str>, caller: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {caller}").parse().unwrap());
        if let Some(key) = key {
            headers.insert(IDEMPOTENCY_KEY, key.parse().unwrap());
        }
        let drawn = Drawn::new(&headers, Digest([1; 32])).unwrap();
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
