//! How a word in a search box may go on.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayRead;
use super::facets::At;
use super::problem::{Problem, SearchProblems};
use super::{Api, reply, search};

/// Longer than any name that is worth a suggestion.
const PREFIX_BYTES_MAX: usize = 256;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(suggest))
}

/// One way to go on.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the catalogue's Suggestion")]
struct SuggestionDocument {
    /// `key`, `tag`, `place`, `camera`, `lens` or `person`.
    #[schema(example = "tag")]
    kind: String,
    /// As people write it.
    #[schema(example = "places/uk")]
    value: String,
    /// What to put in the place of what was typed.
    #[schema(example = "tag:places/uk")]
    term: String,
    /// Live files that it finds; null for a key of the language.
    #[schema(required)]
    count: Option<u64>,
}

/// All ways to go on.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "documents what is made of the catalogue's Suggestions"
)]
struct SuggestionsDocument {
    /// The likeliest first.
    items: Vec<SuggestionDocument>,
    /// The height at which they were counted.
    as_of: u64,
}

/// Suggest terms
///
/// What the last word of a query may become: keys of the language, tags, places, cameras and lenses of live files. With a
/// key before it (`tag:bea`) only those of that kind.
#[utoipa::path(
    get, path = "/api/v1/suggest", operation_id = "suggestTerms", tag = "files",
    params(
        ("prefix" = Option<String>, Query, description = "What is typed so far, at most 256 bytes", example = "bea"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "Terms", body = SuggestionsDocument), SearchProblems),
)]
async fn suggest(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    let typed = call.params.take("prefix").unwrap_or_default();
    let limit = search::limit(&mut call)?;
    call.no_more_params()?;
    if typed.len() > PREFIX_BYTES_MAX {
        let detail = format!("at most {PREFIX_BYTES_MAX} bytes");
        return Err(Problem::parameter("prefix", detail));
    }
    let answer = call
        .find(move |reader, library| reader.suggest(library, &typed, limit))
        .await?;
    call.reflects(answer.height);
    let as_of = call.height().0;
    Ok(reply::json(StatusCode::OK, &At { answer, as_of }))
}
