//! Purging a file by hand.
//!
//! The command names every command that names the file, as this node's catalogue knows them. Whether these were all is
//! decided where it is applied, so a change that comes between makes it fall short, and it is put together anew.

use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use catalogue::{Need, Purge};
use model::{BlobId, Digest, Erasure, Payload, limits};
use tokio::time::Instant;

use super::call::{self, Call};
use super::conditional::Expected;
use super::files::file_id;
use super::operations::Operation;
use super::problem::{Code, Problem};
use super::reply;

/// How often a file may change meanwhile.
const ATTEMPTS: u32 = 8;

/// Forgets a file for good.
pub(super) async fn file(
    mut call: Call,
    id: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    call.require(Need::Own)?;
    call.no_more_params()?;
    let expected = Expected::given(headers)?.unwrap_or(Expected::Any);
    let file = file_id(id)?;
    let deadline = Instant::now() + call.patience();
    let mut keyed = call.is_keyed();
    for _ in 0..ATTEMPTS {
        let commands = match plan(&call, file, expected.version()).await {
            // A repeat finds no file any more, and gets the first answer if it is one.
            Err(problem) if keyed && problem.code() == Code::NotFound => Vec::new(),
            planned => planned?,
        };
        let named = commands.first().map(|command| command.position);
        let payload = Payload::Purge(commands);
        let decision = if std::mem::take(&mut keyed) {
            call.decide(payload, Digest::of(&[])).await?
        } else {
            call.decide_unkeyed(deadline, payload).await?
        };
        let at = call::answer_of(&decision);
        let applied = call
            .api
            .app
            .catalogue
            .applied(decision.position.height, deadline);
        applied.await.map_err(|_| {
            let detail = "decided, but not applied here in time; ask again";
            Problem::new(Code::OutcomeUnknown, detail)
        })?;
        let found = call.read(move |reader| {
            let by = named.map(|named| reader.purged_by(named)).transpose()?;
            let by = by.flatten().unwrap_or(at);
            reader.purge(by)
        });
        if let Some(purge) = found.await? {
            return Ok(answer(&call, &purge));
        }
        if named.is_none() {
            return Err(Problem::not_found("file"));
        }
    }
    let detail = "the file was changed again and again meanwhile";
    Err(Problem::new(Code::StaleVersion, detail))
}

/// All commands that name the file.
async fn plan(call: &Call, file: BlobId, expected: Option<u64>) -> Result<Vec<Erasure>, Problem> {
    let library = call.library.clone();
    let planned = call.read(move |reader| {
        reader.at_one_height(|reader| {
            let known = reader.file(&library, &file)?;
            let commands = reader.commands_naming(&library, &file)?;
            Ok(known.map(|known| (known.version, commands)))
        })
    });
    let (version, commands) = planned.await?.ok_or_else(|| Problem::not_found("file"))?;
    if expected.is_some_and(|expected| expected != version) {
        let detail = format!("the file is at version {version} meanwhile");
        return Err(Problem::new(Code::StaleVersion, detail));
    }
    if commands.len() > limits::PURGE_COMMANDS_MAX {
        let detail = format!(
            "{} commands name this file, and one purge takes at most {}",
            commands.len(),
            limits::PURGE_COMMANDS_MAX
        );
        return Err(Problem::new(Code::Refused, detail));
    }
    Ok(commands)
}

fn answer(call: &Call, purge: &Purge) -> Response {
    let operation = Operation::of(&call.api, purge);
    let place = call.place(&format!("/api/v1/operations/{}", operation.id));
    reply::with(
        reply::json(StatusCode::ACCEPTED, &operation),
        LOCATION,
        &place,
    )
}
