//! Pictures that look the same: saved again, made smaller, sent by a messenger.
//!
//! Groups come from the perceptual hashes in the catalogue alone, so every node at the same height has the same. They are
//! ordered by the smallest id in each, and a page goes on behind the last one's: what comes and goes between two pages moves
//! no other group. The last answer is kept until the catalogue moves on, so that the pages of one list are not computed each
//! for itself; one computation runs at a time.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalogue::{File, ReadError};
use media::similar;
use model::{BlobId, Height, LibraryId};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::call::{Call, MayRead};
use super::problem::{Code, Problem, ReadProblems};
use super::reply::{self, Page};
use super::schema::FileDocument;

/// Files of one group that are shown.
const SHOWN_MAX: usize = 100;
/// Files of one page, but for its last group.
const PAGE_FILES: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(duplicates))
}

/// Files whose pictures look the same.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Group<T> {
    /// How many there are.
    total: usize,
    /// The first hundred of them, by id.
    files: Vec<T>,
}

type Groups = Arc<Vec<Vec<BlobId>>>;

/// The last answer.
#[derive(Default)]
pub(crate) struct Resembling(tokio::sync::Mutex<Option<Answer>>);

#[derive(Clone)]
struct Answer {
    library: LibraryId,
    distance: u32,
    height: Option<Height>,
    groups: Groups,
}

/// List pictures that look the same
///
/// Groups of files outside the trash whose pictures resemble each other, whatever their size, quality and format. In a group
/// each is within `distance` bits of another one by its `perceptualHash`.
#[utoipa::path(
    get, path = "/api/v1/duplicates", operation_id = "listDuplicates", tag = "files",
    params(
        ("distance" = Option<u32>, Query, description = "0 (the same to the eye) to 11, default 6"),
        ("limit" = Option<u32>, Query, description = "Groups, 1 to 1000, default 100; fewer if they are large"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("consistency" = Option<String>, Query, description = "`local` (the default) or `linearizable`"),
    ),
    responses((status = 200, description = "A page of groups", body = Page<Group<FileDocument>>), ReadProblems),
)]
async fn duplicates(MayRead(mut call): MayRead) -> Result<Response, Problem> {
    let distance = call.params.number("distance")?;
    let distance = distance.unwrap_or(similar::DISTANCE_SAME.into());
    let limit = call.params.limit()?;
    let cursor = call.params.take("cursor");
    call.no_more_params()?;
    let distance = u32::try_from(distance)
        .ok()
        .filter(|distance| *distance <= similar::DISTANCE_MAX)
        .ok_or_else(|| {
            let most = similar::DISTANCE_MAX;
            Problem::parameter("distance", format!("0 to {most}"))
        })?;
    let behind = cursor
        .map(|text| read_cursor(&text, distance))
        .transpose()?;
    let groups = groups(&call, distance).await?;
    let start = groups.partition_point(|group| group.first().copied() <= behind);
    let page = fitting(groups.get(start..).unwrap_or_default(), limit as usize);
    let ended = start + page.len() == groups.len();
    let last = page.last().and_then(|group| group.first());
    let next_cursor = last.filter(|_| !ended).map(|id| write_cursor(id, distance));
    let page = Page {
        items: files(&call, page.to_vec()).await?,
        next_cursor,
        as_of: call.height().0,
    };
    Ok(reply::json(StatusCode::OK, &page))
}

/// As many groups as a page holds, one at least.
fn fitting(groups: &[Vec<BlobId>], limit: usize) -> &[Vec<BlobId>] {
    let mut files = 0;
    let full = groups.iter().take(limit).position(|group| {
        files += group.len().min(SHOWN_MAX);
        files > PAGE_FILES
    });
    let length = full.map_or(limit, |at| at.max(1)).min(groups.len());
    groups.get(..length).unwrap_or_default()
}

async fn groups(call: &Call, distance: u32) -> Result<Groups, Problem> {
    let mut kept = call.api.resembling.0.lock().await;
    let library = call.library.clone();
    let height = call.read(|reader| reader.height()).await?;
    let known = kept.as_ref().filter(|known| {
        (&known.library, known.distance, known.height) == (&library, distance, height)
    });
    if let Some(known) = known {
        return Ok(Arc::clone(&known.groups));
    }
    let of = library.clone();
    let asked = call.read(move |reader| {
        reader.at_one_height(|reader| Ok::<_, ReadError>((reader.height()?, reader.hashes(&of)?)))
    });
    let (height, hashes) = asked.await?;
    let compare = move || {
        let (ids, hashes): (Vec<BlobId>, Vec<u64>) = hashes
            .iter()
            .map(|hashed| (hashed.file, hashed.hash))
            .unzip();
        let groups = similar::groups(&hashes, distance).into_iter();
        let id = |at: &usize| ids.get(*at).copied();
        groups
            .map(|group| group.iter().filter_map(id).collect())
            .collect::<Vec<Vec<BlobId>>>()
    };
    let groups = Arc::new(call.api.blocking(compare).await?);
    *kept = Some(Answer {
        library,
        distance,
        height,
        groups: Arc::clone(&groups),
    });
    Ok(groups)
}

/// The groups' files as they are now. One that has gone meanwhile is left out.
async fn files(call: &Call, page: Vec<Vec<BlobId>>) -> Result<Vec<Group<File>>, Problem> {
    let library = call.library.clone();
    let read = call.read(move |reader| {
        let group = |ids: &Vec<BlobId>| {
            let files = ids.iter().take(SHOWN_MAX);
            let files = files.filter_map(|id| reader.file(&library, id).transpose());
            Ok::<_, ReadError>(Group {
                total: ids.len(),
                files: files.collect::<Result<_, _>>()?,
            })
        };
        page.iter().map(group).collect::<Result<Vec<_>, _>>()
    });
    read.await
}

fn write_cursor(last: &BlobId, distance: u32) -> String {
    let distance = distance.to_be_bytes();
    URL_SAFE_NO_PAD.encode([&distance[..], last.as_bytes()].concat())
}

/// Where a page goes on, if the cursor is of a list with this distance.
fn read_cursor(text: &str, distance: u32) -> Result<BlobId, Problem> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (of, last) = bytes.split_first_chunk::<4>()?;
        let last = last.try_into().ok()?;
        (u32::from_be_bytes(*of) == distance).then_some(BlobId(last))
    };
    read().ok_or_else(|| Problem::new(Code::InvalidCursor, "the cursor is not one of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list() {
        let id = BlobId([7; 32]);
        assert_eq!(read_cursor(&write_cursor(&id, 6), 6).unwrap(), id);
        assert!(read_cursor(&write_cursor(&id, 6), 5).is_err());
        assert!(read_cursor("AAAA", 6).is_err() && read_cursor("*", 6).is_err());
    }

    #[test]
    fn a_page_is_bounded_and_never_empty() {
        let groups = vec![vec![BlobId([1; 32]); 5000]; 30];
        assert_eq!(fitting(&groups, 1000).len(), 10);
        assert_eq!(fitting(&groups, 3).len(), 3);
        assert_eq!(fitting(&groups[..1], 1000).len(), 1);
        assert_eq!(fitting(&[], 1000).len(), 0);
    }
}
