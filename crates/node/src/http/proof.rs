//! Proofs that need no node to be believed: receipts of files and records, checkpoints to check them from, and that
//! history was only appended to. What they are made of, and what they are worth, is `model::receipt`'s to say.

mod document;

use std::sync::Arc;

use ::ledger::Reader;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use model::codec::Encode;
use model::receipt::{BuildError, Source};
use model::{Checkpoint, Consistency, Decided, Entry, Height, Membership, Position, Receipt};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::document::{CheckpointDocument, ConsistencyDocument, ReceiptDocument};
use super::call::{Call, MayRead, MaySee};
use super::problem::{Code, ItemProblems, Problem, ProofProblems};
use super::records::record_bytes;
use super::schema::Octets;
use super::{Api, files, ledger, reply};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(of_file))
        .routes(routes!(of_record))
        .routes(routes!(checkpoint))
        .routes(routes!(consistency))
}

/// The chain on this node's disk.
struct Chain(Reader);

impl Source for Chain {
    type Error = ::ledger::ReadError;

    fn block(&self, height: Height) -> Result<Option<Decided>, Self::Error> {
        self.0.block(height)
    }

    fn voters(&self, height: Height) -> Result<(Height, Membership), Self::Error> {
        let roster = self.0.roster_deciding(height)?;
        Ok((roster.epoch(), roster.voters().clone()))
    }
}

/// Prove a file's change
///
/// A receipt of the command that added the file, or that made its version `version`: it proves to anybody who trusts
/// the genesis block (or the block at `from`) that the command stands in the chain. It stays good when the file is
/// purged. It holds the whole command: whoever sees it sees what it says.
#[utoipa::path(
    get, path = "/api/v1/files/{id}/proof", operation_id = "getFileProof", tag = "files",
    params(
        ("id" = String, Path, description = "The file's id"),
        ("library" = Option<String>, Query, description = "The library, default the token's own"),
        ("version" = Option<u64>, Query, description = "Prove the change that made this version, instead of the first"),
        ("from" = Option<u64>, Query, description = "Begin at this height, default 0: what its reader trusts, or below"),
    ),
    responses(
        (status = 200, description = "The receipt", content(
            (Octets = "application/octet-stream"),
            (ReceiptDocument = "application/json"),
        )),
        ProofProblems,
    ),
)]
async fn of_file(
    MayRead(mut call): MayRead,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let version = call.params.number("version")?;
    let from = from(&mut call)?;
    let file = files::find(&call, &id).await?.id;
    let library = call.library.clone();
    let history = call.read(move |reader| reader.history(&library, &file));
    let mut changes = history.await?.into_iter();
    let change = match version {
        None => changes.next(),
        Some(version) => changes.find(|change| change.version == version),
    };
    let change = change.ok_or_else(|| Problem::not_found("version"))?;
    let position = Position {
        height: Height(change.height),
        index: change.index,
    };
    receipt(&call, position, from, &headers).await
}

/// Prove a record
///
/// A receipt of the record: it proves to anybody who trusts the genesis block (or the block at `from`) that these bytes
/// stand at this place of the chain, and when.
#[utoipa::path(
    get, path = "/api/v1/records/{height}/{index}/proof", operation_id = "getRecordProof", tag = "records",
    params(
        ("height" = u64, Path, description = "Height of its block"),
        ("index" = u32, Path, description = "Place in the block, from 0"),
        ("from" = Option<u64>, Query, description = "Begin at this height, default 0: what its reader trusts, or below"),
    ),
    responses(
        (status = 200, description = "The receipt", content(
            (Octets = "application/octet-stream"),
            (ReceiptDocument = "application/json"),
        )),
        ItemProblems,
    ),
)]
async fn of_record(
    MaySee(mut call): MaySee,
    Path((height, index)): Path<(String, String)>,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let from = from(&mut call)?;
    let missing = || Problem::not_found("record");
    let height = height.parse().map(Height).map_err(|_| missing())?;
    let index: u32 = index.parse().map_err(|_| missing())?;
    let decided = ledger::block(&api, height).await?.ok_or_else(missing)?;
    let entry = decided.block.entries().get(index as usize);
    let shown = entry.and_then(|entry| record_bytes(entry, &call.rights));
    shown.ok_or_else(missing)?;
    receipt(&call, Position { height, index }, from, &headers).await
}

fn from(call: &mut Call) -> Result<Height, Problem> {
    let from = call.params.number("from")?.unwrap_or(0);
    call.no_more_params()?;
    Ok(Height(from))
}

/// Where the chain begins that a height belongs to.
fn chain_of(reader: &Reader, height: Height) -> Height {
    let first = reader.genesis().height();
    match reader.predecessor() {
        Some(before) if height < first => chain_of(before, height),
        _ => first,
    }
}

async fn receipt(
    call: &Call,
    position: Position,
    from: Height,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    // Heights below the chain's first block are of the chain before, and a receipt is of one chain.
    let first = chain_of(call.api.app.replica.reader(), position.height);
    let from = from.max(first);
    let decided = ledger::block(&call.api, position.height).await?;
    let block = decided.as_ref().map(|decided| &decided.block);
    let entry = block.and_then(|block| block.entries().get(position.index as usize));
    if matches!(entry, Some(Entry::Pruned { .. })) {
        let detail = "the command was pruned: only receipts that were issued before prove it";
        return Err(Problem::new(Code::Pruned, detail));
    }
    let receipt = build(&call.api, move |chain| Receipt::of(chain, position, from)).await?;
    call.reflects(position.height);
    Ok(answer(headers, &receipt, ReceiptDocument::of))
}

/// A block to trust
///
/// The block's hash and the voters who decided it: all that a verifier of receipts has to believe. Compare the hash with
/// what other nodes say before you do.
#[utoipa::path(
    get, path = "/api/v1/ledger/checkpoint", operation_id = "getCheckpoint", tag = "ledger",
    params(("height" = Option<u64>, Query, description = "The block, default the last; 0 is genesis")),
    responses(
        (status = 200, description = "The checkpoint", content(
            (Octets = "application/octet-stream"),
            (CheckpointDocument = "application/json"),
        )),
        ItemProblems,
    ),
)]
async fn checkpoint(
    MaySee(mut call): MaySee,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let height = call.params.number("height")?;
    call.no_more_params()?;
    let (tip, _) = api.app.replica.reader().tip();
    let height = height.map_or(tip, Height);
    let checkpoint = build(&api, move |chain| Checkpoint::at(chain, height)).await?;
    call.reflects(height);
    Ok(answer(&headers, &checkpoint, CheckpointDocument::of))
}

/// Prove that history was only appended to
///
/// All headers from the block at `from`, which the reader trusts, up to the one at `to`, with the changes of voters among
/// them. One answer goes up by at most 1,000 blocks; what it proves is the block to go on from.
#[utoipa::path(
    get, path = "/api/v1/ledger/consistency", operation_id = "getConsistency", tag = "ledger",
    params(
        ("from" = u64, Query, description = "Height of the block that is trusted"),
        ("to" = Option<u64>, Query, description = "Height of the block to be proven, default the last"),
    ),
    responses(
        (status = 200, description = "The proof", content(
            (Octets = "application/octet-stream"),
            (ConsistencyDocument = "application/json"),
        )),
        ItemProblems,
    ),
)]
async fn consistency(
    MaySee(mut call): MaySee,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let from = call.params.number("from")?;
    let to = call.params.number("to")?;
    call.no_more_params()?;
    let from = from.ok_or_else(|| Problem::parameter("from", "the height that is trusted"))?;
    let (tip, _) = api.app.replica.reader().tip();
    let to = to.map_or(tip, Height);
    if to > tip {
        let detail = format!("the last block is at height {tip}");
        return Err(Problem::parameter("to", detail));
    }
    let reader = api.app.replica.reader();
    let first = chain_of(reader, to);
    if Height(from) < first && to >= first {
        let detail = format!(
            "a height from {first} on: there the cluster was recovered, and what is below is of another chain"
        );
        return Err(Problem::parameter("from", detail));
    }
    let proof = build(&api, move |chain| {
        Consistency::between(chain, Height(from), to)
    });
    let proof = proof.await?;
    call.reflects(proof.height());
    let document = |proof: &Consistency| ConsistencyDocument::of(proof, to);
    Ok(answer(&headers, &proof, document))
}

/// Makes a proof off this runtime's threads.
async fn build<T: Send + 'static>(
    api: &Api,
    make: impl FnOnce(&Chain) -> Result<T, BuildError<::ledger::ReadError>> + Send + 'static,
) -> Result<T, Problem> {
    let chain = Chain(api.app.replica.reader().clone());
    let made = api.blocking(move || make(&chain)).await?;
    made.map_err(|error| match error {
        BuildError::NoBlock(_) => Problem::not_found("block"),
        BuildError::NoCommand(_) => Problem::not_found("command: it was erased"),
        BuildError::Backwards { height, .. } => {
            Problem::parameter("from", format!("a height up to {height}"))
        }
        BuildError::Source(_) | BuildError::Unexplained(_) => {
            Problem::internal("making a proof", &error)
        }
    })
}

/// The bytes that are checked, or what they say for who asks for JSON.
fn answer<T: Encode, D: Serialize>(
    headers: &HeaderMap,
    value: &T,
    document: impl FnOnce(&T) -> D,
) -> Response {
    let mut response = if wants_json(headers) {
        reply::json(StatusCode::OK, &document(value))
    } else {
        let mut response = Response::new(value.to_bytes().into());
        let octets = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, octets);
        response
    };
    let accept = HeaderValue::from_static("accept");
    response.headers_mut().insert(VARY, accept);
    response
}

/// Whether a client names JSON and no bytes.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next());
    let mut named = ranges.map(|range| range.trim().to_ascii_lowercase());
    let first = named.find(|range| range.starts_with("application/") && !range.ends_with('*'));
    first.as_deref() == Some("application/json")
}
