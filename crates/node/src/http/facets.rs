//! How often each value of a property occurs among the files that a query finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use catalogue::file::Word as _;
use catalogue::{FacetBy, FacetKey, Facets};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayRead;
use super::problem::{Problem, SearchProblems};
use super::{Api, reply, search};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(facets))
}

/// A value and how often it occurs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the catalogue's FacetValue")]
struct FacetValueDocument {
    /// As people write it.
    #[schema(example = "places/uk")]
    value: String,
    /// Files with it, or with a tag below it.
    count: u64,
    /// The term that finds them.
    #[schema(example = "tag:places/uk")]
    term: String,
}

/// A property's values.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the catalogue's Facet")]
struct FacetDocument {
    /// How many different values there are.
    distinct: u64,
    /// The most frequent first; years, months and ratings highest first.
    values: Vec<FacetValueDocument>,
}

/// The properties asked about.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents what is made of the catalogue's Facets")]
struct FacetsDocument {
    /// How many files match.
    total: u64,
    /// The query in its canonical form.
    query: String,
    /// The height at which they were counted.
    as_of: u64,
    /// By property.
    facets: BTreeMap<String, FacetDocument>,
}

/// An answer with the height it is from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct At<T> {
    #[serde(flatten)]
    pub(super) answer: T,
    pub(super) as_of: u64,
}

/// Count files by property
///
/// Of the files that match: how often each value of the properties in `by` occurs.
#[utoipa::path(
    get, path = "/api/v1/facets", operation_id = "countFacets", tag = "files",
    params(
        ("by" = String, Query, description = "Properties with commas between: `tag`, `camera`, `lens`, `place`, `person`, `year`, `month`, `type`, `rating`, `favourite`, `state`, and `field.` with the name of an own field", example = "tag,camera,year"),
        ("q" = Option<String>, Query, description = "The query; all live files if it is absent"),
        ("limit" = Option<u32>, Query, description = "Values of each property, 1 to 1000, default 100"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "The counts", body = FacetsDocument), SearchProblems),
)]
async fn facets(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    let by = read_keys(&call.params.take("by").unwrap_or_default())?;
    let query = search::query(&mut call)?;
    let limit = search::limit(&mut call)?;
    call.no_more_params()?;
    let answer: Facets = call
        .find(move |reader, library| reader.facets(library, &query, &by, limit))
        .await?;
    call.reflects(answer.answered.height);
    let as_of = call.height().0;
    Ok(reply::json(StatusCode::OK, &At { answer, as_of }))
}

fn read_keys(text: &str) -> Result<Vec<FacetBy>, Problem> {
    let known = || {
        let words = FacetKey::WORDS.iter().map(|(word, _)| *word);
        words.collect::<Vec<_>>().join(", ")
    };
    let keys = text.split(',').map(FacetBy::read);
    keys.collect::<Option<Vec<_>>>().ok_or_else(|| {
        let detail = format!("some of {}, field.NAME, with commas between", known());
        Problem::parameter("by", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_named_one_by_one() {
        let keys = read_keys("tag,year").unwrap();
        assert_eq!(keys, [FacetKey::Tag, FacetKey::Year].map(FacetBy::Key));
        let keys = read_keys("field.colour,tag").unwrap();
        assert_eq!(keys[0], FacetBy::Own("colour".to_owned()));
        for wrong in ["", "tag,", "tag year", "colour", "field.", "field.Colour"] {
            assert!(read_keys(wrong).is_err(), "{wrong}");
        }
    }
}
