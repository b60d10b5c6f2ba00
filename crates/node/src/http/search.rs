//! Finding files: by query, by id, and by tag.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use catalogue::query::{Query, QueryError, Sort};
use catalogue::{Limit, SearchError};
use model::BlobId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{Call, MayRead};
use super::json::{Faults, Node};
use super::limits::{CHECK_FILES_MAX, JSON_BYTES_MAX};
use super::problem::{
    Code, Fault, JsonProblems, Problem, ReadProblems, SearchProblems, TreeProblems,
};
use super::reply::{self, Page};
use super::schema::{FileDocument, TagDocument};
use super::{Api, body, json};

/// Longer than any cursor, whatever it holds.
const CURSOR_BYTES_MAX: usize = 4 << 10;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(search))
        .routes(routes!(search_tree))
        .routes(routes!(check))
        .routes(routes!(tags))
}

/// A page of files.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Found<T> {
    /// The page's files.
    items: Vec<T>,
    /// Send it as `cursor` for the next page, to any node; null at the end.
    next_cursor: Option<String>,
    /// The height at which the search was made.
    as_of: u64,
    /// How many files match, on all pages.
    total: u64,
    /// The query in its canonical form.
    #[schema(example = "tag:beach taken:2019..2021-06")]
    query: String,
    /// The query as a tree, which `POST /search` takes.
    tree: Value,
}

/// A query as a tree, and which page of what it finds.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct SearchBody {
    /// The condition: `{"and": […]}`, `{"or": […]}`, `{"not": …}` or a term such as `{"tag": "beach"}`; null means everything.
    #[schema(example = json!({"and": [{"tag": "beach"}, {"after": "2019"}]}))]
    filter: Option<Value>,
    /// `live` (the default), `trash`, `archive` or `all`.
    #[schema(rename = "in")]
    within: Option<String>,
    /// The library, default the token's own.
    library: Option<String>,
    /// `taken`, `added`, `name`, `size`, `rating` or `field.` with the name of an own field, with `-` before it for descending.
    sort: Option<String>,
    /// 1 to 1000, default 100.
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Whether a library has a file.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents the catalogue's Presence")]
enum Presence {
    /// Yes.
    Present,
    /// Yes, in the trash.
    Trashed,
    /// No.
    Missing,
}

/// A file one may have.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
struct CheckFile {
    /// SHA-256 of its bytes.
    sha256: String,
    /// Length in bytes.
    size: u64,
}

/// Search files
///
/// `q` is one line such as `tag:beach after:2019-01-01 near:51.5,-0.1,10km -tag:work \"ice cream\"`. An unknown key or
/// a malformed value is an error that names the column.
#[utoipa::path(
    get, path = "/api/v1/files", operation_id = "searchFiles", tag = "files",
    params(
        ("q" = Option<String>, Query, description = "The query; all live files if it is absent"),
        ("sort" = Option<String>, Query, description = "`taken`, `added`, `name`, `size`, `rating` or `field.` with the name of an own field, with `-` before it for descending; not together with `sort:` in `q`"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("consistency" = Option<String>, Query, description = "`local` (the default) or `linearizable`"),
    ),
    responses((status = 200, description = "A page", body = Found<FileDocument>), SearchProblems),
)]
async fn search(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    let query = query(&mut call)?;
    let sort = call.params.take("sort");
    let limit = limit(&mut call)?;
    let cursor = call.params.take("cursor");
    call.no_more_params()?;
    let page = catalogue::Page {
        limit,
        cursor,
        sort: sort.as_deref().map(read_sort).transpose()?,
    };
    answer(call, query, page).await
}

/// Search files by a tree
///
/// The same as `GET /files`, for programs: the query is the tree that every search returns as `tree`.
#[utoipa::path(
    post, path = "/api/v1/search", operation_id = "searchFilesByTree", tag = "files",
    request_body(content = SearchBody, content_type = "application/json"),
    responses((status = 200, description = "A page", body = Found<FileDocument>), TreeProblems),
)]
async fn search_tree(MayRead(mut call): MayRead, request: Request) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let (query, page) = read_tree(json::parse(&bytes)?)?;
    call.must_see(&query)?;
    answer(call, query, page).await
}

/// A tree with the two members that are not of the query taken out.
fn read_tree(mut body: Value) -> Result<(Query, catalogue::Page), Problem> {
    let mut members = body.as_object_mut();
    let mut take = |name| members.as_mut().and_then(|members| members.remove(name));
    let (limit, cursor) = (take("limit"), take("cursor"));
    let query = Query::from_tree(&body).map_err(|error| {
        Problem::at(
            Code::InvalidBody,
            vec![Fault::new(error.pointer, error.detail)],
        )
    })?;
    let mut page = catalogue::Page::default();
    if let Some(limit) = limit.filter(|limit| !limit.is_null()) {
        let node = Node::at(&limit, "/limit");
        let number = node.integer(1..=u64::from(Limit::MAX))?;
        page.limit = u32::try_from(number)
            .ok()
            .and_then(Limit::new)
            .unwrap_or_default();
    }
    if let Some(cursor) = cursor.filter(|cursor| !cursor.is_null()) {
        let node = Node::at(&cursor, "/cursor");
        page.cursor = Some(node.text(0..=CURSOR_BYTES_MAX)?.to_owned());
    }
    Ok((query, page))
}

/// Looks for files and shows them.
async fn answer(call: Call, query: Query, page: catalogue::Page) -> Result<Response, Problem> {
    let tree = serde_json::to_value(&query)
        .map_err(|error| Problem::internal("writing a query as a tree", &error))?;
    let found = call
        .find(move |reader, library| reader.search(library, &query, &page))
        .await?;
    // A block of nothing but records changes no row, so the catalogue may not have written its height yet.
    call.reflects(found.height);
    let page = Found {
        items: found.items,
        next_cursor: found.next_cursor,
        as_of: call.height().0,
        total: found.total,
        query: found.canonical,
        tree,
    };
    Ok(reply::json(StatusCode::OK, &page))
}

/// The query that a call asks, everything that is live if none.
pub(super) fn query(call: &mut Call) -> Result<Query, Problem> {
    let text = call.params.take("q").unwrap_or_default();
    let query: Query = text.parse().map_err(|error| misread(&error))?;
    call.must_see(&query)?;
    Ok(query)
}

/// How many items at most.
pub(super) fn limit(call: &mut Call) -> Result<Limit, Problem> {
    let limit = Limit::new(call.params.limit()?);
    limit.ok_or_else(|| Problem::parameter("limit", "1 to 1000"))
}

fn misread(error: &QueryError) -> Problem {
    Problem::at(
        Code::InvalidQuery,
        vec![Fault::new("?q", error.to_string())],
    )
}

fn read_sort(text: &str) -> Result<Sort, Problem> {
    Sort::read(text).ok_or_else(|| {
        Problem::parameter(
            "sort",
            "taken, added, name, size, rating or field.NAME, or one with - before it",
        )
    })
}

/// The problem that a failed search is.
pub(super) fn unfound(error: &SearchError) -> Problem {
    match error {
        SearchError::Cursor | SearchError::ForeignCursor => {
            Problem::new(Code::InvalidCursor, error.to_string())
        }
        SearchError::SortTwice => Problem::parameter("sort", error.to_string()),
        SearchError::Bucket => Problem::parameter("bucket", error.to_string()),
        SearchError::OwnField { .. } | SearchError::Album(_) | SearchError::NoSuchFile(_) => {
            Problem::at(
                Code::InvalidQuery,
                vec![Fault::new("?q", error.to_string())],
            )
        }
        SearchError::UnknownLibrary(_) => Problem::not_found("library"),
        SearchError::Database(source) => Problem::internal("searching the catalogue", source),
    }
}

/// List tags
///
/// The tags that live files carry, by name. With `prefix`, that tag and those below it.
#[utoipa::path(
    get, path = "/api/v1/tags", operation_id = "listTags", tag = "files",
    params(
        ("prefix" = Option<String>, Query, description = "Only this tag and those below it, in whatever case"),
        ("inner" = Option<bool>, Query, description = "Also tags that no file carries itself and that lie above others, so that there is a tree"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
    ),
    responses((status = 200, description = "All tags", body = Page<TagDocument>), ReadProblems),
)]
async fn tags(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    let prefix = call.params.take("prefix");
    let inner = call.params.flag("inner")?;
    call.no_more_params()?;
    let library = call.library.clone();
    let ask = move |reader: &mut catalogue::Reader| match inner {
        true => reader.tag_tree(&library),
        false => reader.tags(&library),
    };
    let mut tags = call.read(ask).await?;
    if let Some(prefix) = prefix {
        tags.retain(|tag| tag.is_within(&prefix));
    }
    Ok(reply::json(
        StatusCode::OK,
        &Page::whole(tags, call.height()),
    ))
}

/// Check files
///
/// Whether the library has them, so that nothing is uploaded twice. At most 1000 at once.
#[utoipa::path(
    post, path = "/api/v1/files/check", operation_id = "checkFiles", tag = "files",
    request_body(content = Vec<CheckFile>, content_type = "application/json"),
    responses((status = 200, description = "One answer for each, in order", body = Vec<Presence>), JsonProblems),
)]
async fn check(MayRead(mut call): MayRead, request: Request) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], JSON_BYTES_MAX).await?;
    let asked = parse(&json::parse(&bytes)?)?;
    let library = call.library.clone();
    let found = call
        .read(move |reader| reader.check(&library, &asked))
        .await?;
    Ok(reply::json(StatusCode::OK, &found))
}

/// The ids asked about. A size goes with an id of its own, so there is nothing to compare.
fn parse(body: &Value) -> Result<Vec<BlobId>, Faults> {
    let mut faults = Faults::default();
    let mut files = Vec::new();
    for node in Node::root(body).elements(0..=CHECK_FILES_MAX)? {
        files.extend(faults.keep(parse_file(&node)));
    }
    faults.into_result(files)
}

fn parse_file(node: &Node<'_>) -> Result<BlobId, Faults> {
    let members = node.members(&["sha256", "size"])?;
    let id = members.required("sha256")?;
    let id = id.parsed("64 lower-case hexadecimal digits", |text| text.parse().ok())?;
    members.required("size")?.integer(0..=u64::MAX)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_wrong_file_of_a_check_is_named() {
        let good = json!({"sha256": "ab".repeat(32), "size": 5});
        assert_eq!(parse(&json!([good, good])).unwrap().len(), 2);
        let body = json!([good, {"sha256": "x", "size": 5}, {"sha256": "ab".repeat(32)}, 7]);
        let problem = Problem::from(parse(&body).unwrap_err()).to_string();
        for place in ["/1/sha256", "/2/size", "/3"] {
            assert!(problem.contains(place), "{problem}");
        }
        assert!(parse(&json!(vec![good; 1001])).is_err());
    }
}
