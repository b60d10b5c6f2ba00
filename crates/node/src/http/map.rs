//! Where files were taken, as clusters that a map can draw.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use catalogue::View;
use catalogue::query::{BoundingBox, Expr, Query, Term};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MayRead;
use super::facets::At;
use super::problem::{Problem, SearchProblems};
use super::{Api, reply, search};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(map))
}

/// Files that were taken near each other.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the catalogue's Cluster")]
struct ClusterDocument {
    /// The middle of them, in degrees north.
    lat: f64,
    /// The middle of them, in degrees east.
    lon: f64,
    /// How many.
    count: u64,
    /// The id of the newest of them.
    file: String,
    /// West, south, east, north of where they lie.
    bbox: [f64; 4],
}

/// What a map shows.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents what is made of the catalogue's Map")]
struct MapDocument {
    /// How many files match, with or without a position, in view or not.
    total: u64,
    /// The query in its canonical form.
    query: String,
    /// The height at which they were counted.
    as_of: u64,
    /// Files in view.
    located: u64,
    /// The scale the clusters are made for: the one asked for, or a coarser one if there were more than 1000.
    zoom: u8,
    /// From north-west to south-east.
    clusters: Vec<ClusterDocument>,
}

/// Count files by place
///
/// The files that match, put together in clusters of 64 by 64 pixels of the usual web map. At most 1000.
#[utoipa::path(
    get, path = "/api/v1/map", operation_id = "getMap", tag = "files",
    params(
        ("zoom" = u8, Query, description = "0 (the whole world in one tile) to 22", example = 5),
        ("bbox" = Option<String>, Query, description = "`west,south,east,north` in degrees; a west greater than east crosses the date line", example = "-10,50,2,60"),
        ("q" = Option<String>, Query, description = "The query; all live files if it is absent"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "The clusters", body = MapDocument), SearchProblems),
)]
async fn map(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    let zoom = call.params.number("zoom")?;
    let bounds = call.params.take("bbox");
    let query = search::query(&mut call)?;
    call.no_more_params()?;
    let bounds = bounds.as_deref().map(read_bounds).transpose()?;
    let view = zoom.and_then(|zoom| View::new(bounds, u8::try_from(zoom).ok()?));
    let view = view.ok_or_else(|| Problem::parameter("zoom", "0 to 22"))?;
    let answer = call
        .find(move |reader, library| reader.map(library, &query, &view))
        .await?;
    call.reflects(answer.answered.height);
    let as_of = call.height().0;
    Ok(reply::json(StatusCode::OK, &At { answer, as_of }))
}

/// A box in the words of the query language.
fn read_bounds(text: &str) -> Result<BoundingBox, Problem> {
    let plain = !text.contains(|c: char| c.is_whitespace() || "()\"".contains(c));
    let query = format!("bbox:{text}").parse::<Query>();
    match query.map(|query| query.filter) {
        Ok(Some(Expr::Term(Term::Bbox(bounds)))) if plain => Ok(bounds),
        Ok(_) => Err(Problem::parameter("bbox", "west,south,east,north")),
        Err(error) => Err(Problem::parameter("bbox", error.kind.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_four_numbers() {
        let bounds = read_bounds("170,-20,-170,20").unwrap();
        assert_eq!((bounds.west, bounds.east), (170.0, -170.0));
        for wrong in [
            "",
            "1,2,3",
            "0,10,1,5",
            "0,0,1,1 beach",
            "NaN,0,1,1",
            "0,0,1,95",
        ] {
            assert!(read_bounds(wrong).is_err(), "{wrong}");
        }
    }
}
