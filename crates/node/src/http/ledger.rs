//! The chain itself: its head, its blocks, and a check of everything that is written down.

use std::sync::Arc;

use ::ledger::{Pace, Reader, Stopped};
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use catalogue::Rights;
use catalogue::time::format_timestamp;
use model::codec::Encode as _;
use model::{
    Ballot, Certificate, Decided, Ed25519, Entry, Height, NodeId, Payload, Roster, SealedCommand,
    Turn,
};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MaySee;
use super::json::{Faults, Node};
use super::problem::{ItemProblems, JsonProblems, Problem, ReadProblems};
use super::reply::{self, Page};
use super::schema::Octets;
use super::{Api, body, json};
use crate::Place;
use crate::scrubber::checks::{self, Checks};

/// The body of a check is two numbers.
const VERIFY_BYTES: usize = 4096;
/// A page stops growing behind so many commands.
const PAGE_COMMANDS: usize = 20_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(head))
        .routes(routes!(blocks))
        .routes(routes!(one_block))
        .routes(routes!(verify))
}

/// The last decided block.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    /// The chain's name.
    chain_id: String,
    /// Its height.
    height: u64,
    /// Its hash.
    hash: String,
    /// Its parent's hash; null for genesis.
    parent: Option<String>,
    /// Its time, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    time: String,
    /// Who may propose the next block without asking first; null if nobody may.
    turn: Option<Seat>,
}

/// One incarnation of a node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Seat {
    /// The node's name.
    name: String,
    /// The node's id.
    node: String,
    /// Its start counter.
    boot: u64,
}

/// A decided block.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Block {
    /// Its place in the chain.
    height: u64,
    /// SHA-256 of its header.
    hash: String,
    /// The hash of the block before it; null for genesis.
    parent: Option<String>,
    /// Its time, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    time: String,
    /// Who put it together.
    proposer: Seat,
    /// The attempt at which it was decided; null for genesis.
    ballot: Option<Attempt>,
    /// Root of the Merkle tree over its commands (RFC 9162).
    merkle_root: String,
    /// Its commands in order.
    commands: Vec<Command>,
    /// The proof that it was decided; null for genesis.
    certificate: Option<Proof>,
}

/// An attempt number.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attempt {
    /// Counts attempts, from 1; 1 belongs to the holder of the turn.
    k: u64,
    /// Its owner's name.
    name: String,
    /// Its owner.
    node: String,
    /// Its owner's start counter.
    boot: u64,
}

/// A command in its block. What it holds is not shown here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Command {
    /// Its place, from 0.
    index: u32,
    /// What kind of change; null if it was erased or pruned, is not one, or is of a library that one may not see.
    #[schema(example = "addFile")]
    kind: Option<&'static str>,
    /// Its leaf of the Merkle tree: SHA-256 of 0x00, salt and bytes.
    leaf: String,
    /// Whether its bytes were destroyed by a later purge.
    erased: bool,
    /// Whether its bytes were pruned.
    pruned: bool,
}

/// A quorum's signatures under a block.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Proof {
    /// The attempt signed.
    ballot: Attempt,
    /// One for each voter that signed.
    signatures: Vec<Signed>,
}

/// A voter's Ed25519 signature.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Signed {
    /// The voter's name.
    name: String,
    /// The voter: its Ed25519 public key.
    node: String,
    /// The signature, in hexadecimal digits.
    signature: String,
}

/// What a check found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verdict {
    /// The first height checked.
    from: u64,
    /// The last height checked.
    to: u64,
    /// Whether nothing is wrong.
    ok: bool,
    /// What is wrong.
    faults: Vec<Damage>,
}

/// Something wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerifyFault)]
pub(crate) struct Damage {
    /// The height; null if it is not about one.
    height: Option<u64>,
    /// The blob; null if it is not about one.
    blob: Option<String>,
    /// Where and what, for people.
    what: String,
}

/// What to check.
#[derive(Debug, Default, ToSchema)]
#[schema(as = VerifyRange)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
pub(crate) struct VerifyRange {
    /// The first height, default 0.
    from: Option<u64>,
    /// The last height, default the head.
    to: Option<u64>,
    /// Whether to hash every blob on this node, too; those that differ are put aside and fetched anew.
    blobs: Option<bool>,
    /// Whether to rebuild the catalogue beside the one in use, too, and to replace that if it differs.
    catalogue: Option<bool>,
}

/// The head of the chain
///
/// At equal height it is the same on every node.
#[utoipa::path(
    get, path = "/api/v1/ledger/head", operation_id = "getHead", tag = "ledger",
    responses((status = 200, description = "The last decided block", body = Head), ReadProblems),
)]
async fn head(MaySee(mut call): MaySee, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    call.no_more_params()?;
    let (tip, _) = api.app.replica.reader().tip();
    let decided = block(&api, tip)
        .await?
        .ok_or_else(|| Problem::not_found("block"))?;
    call.reflects(tip);
    let header = decided.block.header();
    let names = Names::of(&api);
    let head = Head {
        chain_id: header.chain.to_string(),
        height: tip.0,
        hash: decided.block.hash().to_string(),
        parent: header.parent.map(|parent| parent.to_string()),
        time: format_timestamp(header.time),
        turn: header.hint.map(|turn| names.seat(turn)),
    };
    Ok(reply::json(StatusCode::OK, &head))
}

/// List blocks
///
/// From a height on, in order.
#[utoipa::path(
    get, path = "/api/v1/ledger/blocks", operation_id = "listBlocks", tag = "ledger",
    params(
        ("from" = Option<u64>, Query, description = "First height, default 0"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<Block>), ReadProblems),
)]
async fn blocks(
    MaySee(mut call): MaySee,
    State(api): State<Arc<Api>>,
) -> Result<Response, Problem> {
    let limit = call.params.limit()? as usize;
    let from = call.params.number("from")?.unwrap_or(0);
    let cursor = call.params.take("cursor");
    call.no_more_params()?;
    let (from, _) = cursor
        .as_deref()
        .map_or(Ok((from, 0)), reply::read_cursor)?;
    let reader = api.app.replica.reader().clone();
    let (names, rights) = (Names::of(&api), Arc::clone(&call.rights));
    let page = api
        .blocking(move || collect(&reader, &names, &rights, (from, limit)))
        .await??;
    call.reflects(Height(page.as_of));
    Ok(reply::json(StatusCode::OK, &page))
}

fn collect(
    reader: &Reader,
    names: &Names,
    rights: &Rights,
    (from, limit): (u64, usize),
) -> Result<Page<Block>, Problem> {
    let (tip, _) = reader.tip();
    let mut page = Page {
        items: Vec::new(),
        next_cursor: None,
        as_of: tip.0,
    };
    let mut commands = 0;
    for height in from..=tip.0 {
        if page.items.len() == limit || commands >= PAGE_COMMANDS {
            page.next_cursor = Some(reply::write_cursor(height, 0));
            break;
        }
        let Some(decided) = read_block(reader, Height(height))? else {
            break;
        };
        commands += decided.block.entries().len();
        page.items.push(names.block(&decided, rights)?);
    }
    Ok(page)
}

/// Read a block
///
/// As JSON, or with `Accept: application/octet-stream` in its canonical encoding: the block as it was hashed, then one
/// byte 0 (genesis) or 1, and after 1 its certificate. `docs/ledger-format.md` describes every byte. Of commands that set a
/// password, and of those of libraries that one may not see, there is the leaf hash alone, as if they were erased: the
/// block's hash can be checked all the same.
#[utoipa::path(
    get, path = "/api/v1/ledger/blocks/{height}", operation_id = "getBlock", tag = "ledger",
    params(("height" = u64, Path, description = "The height; 0 is genesis")),
    responses(
        (status = 200, description = "The block", content(
            (Block = "application/json"),
            (Octets = "application/octet-stream"),
        )),
        ItemProblems,
    ),
)]
async fn one_block(
    MaySee(mut call): MaySee,
    Path(height): Path<String>,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let digits = !height.is_empty() && height.bytes().all(|byte| byte.is_ascii_digit());
    let height = digits.then(|| height.parse().ok()).flatten().map(Height);
    let height =
        height.ok_or_else(|| Problem::parameter("height", "a height is a whole number"))?;
    let decided = block(&api, height)
        .await?
        .ok_or_else(|| Problem::not_found("block"))?;
    call.reflects(height);
    let mut response = if wants_bytes(&headers) {
        let mut response = Response::new(visible(&decided, &call.rights).to_bytes().into());
        let octets = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, octets);
        response
    } else {
        reply::json(
            StatusCode::OK,
            &Names::of(&api).block(&decided, &call.rights)?,
        )
    };
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Whether a client asks for the bytes rather than for JSON.
fn wants_bytes(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| {
            range
                .trim()
                .eq_ignore_ascii_case("application/octet-stream")
        })
}

/// Verify the ledger
///
/// Reads every block of the range on this node and checks checksums, links, Merkle roots and certificates. A check of
/// all heights also reads what repeats them: every byte of the log and of the segments, both copies of every vote. With
/// `blobs` and `catalogue` it goes over everything the node holds, which may take long; it ends when the client leaves.
/// What is found is in `/cluster` from then on, and is repaired where that is possible.
#[utoipa::path(
    post, path = "/api/v1/ledger/verify", operation_id = "verifyLedger", tag = "ledger",
    request_body(content = Option<VerifyRange>, content_type = "application/json"),
    responses((status = 200, description = "What was found", body = Verdict), JsonProblems),
)]
async fn verify(
    MaySee(mut call): MaySee,
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], VERIFY_BYTES).await?;
    let range = if bytes.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        json::parse(&bytes)?
    };
    let reader = api.app.replica.reader().clone();
    let (tip, _) = reader.tip();
    let asked = Asked::of(&range, tip)?;
    // One at a time: a check reads the whole disk.
    let permit = api.verifying.acquire().await;
    let checks = api.checks.clone();
    let gone = CancellationToken::new();
    let here = gone.clone().drop_guard();
    let whole = asked.from == Height::GENESIS && asked.to == tip;
    let report = api.blocking(move || {
        // To check signatures takes no key of ours.
        let mut report = reader.verify(asked.from, asked.to, &Ed25519::new(&[0; 32]));
        let mut pace = |_| !gone.is_cancelled();
        let found = everything(&checks, &asked, whole, &mut pace).unwrap_or_default();
        // What a part of the log or a segment says too was said of its heights.
        report.faults.dedup();
        (report, found)
    });
    let (report, found) = report.await?;
    drop((permit, here));
    call.reflects(tip);
    let verdict = Verdict {
        from: report.from.0,
        to: report.to.0,
        ok: report.ok() && found.is_empty(),
        faults: faults(&report, found, call.rights.holder().administers()),
    };
    Ok(reply::json(StatusCode::OK, &verdict))
}

/// What else a check looks at: all that repeats the chain if it is about all heights, blobs, the catalogue.
fn everything(
    checks: &Checks,
    asked: &Asked,
    whole: bool,
    pace: Pace<'_>,
) -> Result<Vec<checks::Fault>, Stopped> {
    let mut found = Vec::new();
    if whole {
        for name in checks.segments() {
            found.extend(checks.segment(name, pace)?);
        }
        found.extend(checks.log(pace)?);
    }
    if asked.blobs {
        for first in 0..=u8::MAX {
            found.extend(checks.blobs(first, pace)?);
        }
    }
    if asked.catalogue {
        found.extend(checks.catalogue(pace)?);
    }
    Ok(found)
}

/// By heights first, as the contract has them. Which blobs there are is shown to administrators alone.
fn faults(
    report: &::ledger::VerifyReport,
    found: Vec<checks::Fault>,
    names_blobs: bool,
) -> Vec<Damage> {
    let of_heights = report.faults.iter().map(|fault| Damage {
        height: Some(fault.height.0),
        blob: None,
        what: fault.what.clone(),
    });
    let mut faults: Vec<Damage> = of_heights.collect();
    for fault in found {
        if !faults.iter().any(|known| known.what == fault.what) {
            faults.push(Damage {
                height: fault.height.map(|height| height.0),
                blob: match &fault.place {
                    Place::Blob(id) if names_blobs => Some(id.to_string()),
                    _ => None,
                },
                what: match &fault.place {
                    Place::Blob(_) | Place::Object(_) if !names_blobs => {
                        "a blob differs from its name".to_owned()
                    }
                    Place::Blob(_) | Place::Object(_) | Place::Catalogue => {
                        format!("{}: {}", fault.place, fault.what)
                    }
                    _ => fault.what,
                },
            });
        }
    }
    faults
}

/// What a request may say.
const ASKED: [&str; 4] = ["from", "to", "blobs", "catalogue"];

/// What is to be checked.
struct Asked {
    from: Height,
    to: Height,
    blobs: bool,
    catalogue: bool,
}

impl Asked {
    fn of(body: &Value, tip: Height) -> Result<Self, Faults> {
        let (from, to) = heights(body, tip)?;
        let members = Node::root(body).members(&ASKED)?;
        let flag = |name| {
            let flag = members.optional(name, |node| node.boolean());
            flag.map(Option::unwrap_or_default)
        };
        Ok(Self {
            from,
            to,
            blobs: flag("blobs")?,
            catalogue: flag("catalogue")?,
        })
    }
}

fn heights(range: &Value, tip: Height) -> Result<(Height, Height), Faults> {
    let members = Node::root(range).members(&ASKED)?;
    let height = |node: &Node<'_>| node.integer(0..=tip.0);
    let mut faults = Faults::default();
    let from = faults
        .keep(members.optional("from", height))
        .flatten()
        .unwrap_or(0);
    let to = faults
        .keep(members.optional("to", height))
        .flatten()
        .unwrap_or(tip.0);
    let (from, to) = faults.into_result((Height(from), Height(to)))?;
    if from > to {
        return Err(Node::at(range, "/from").fault("must not be above to"));
    }
    Ok((from, to))
}

/// A block, read off this runtime's threads.
pub(crate) async fn block(api: &Api, height: Height) -> Result<Option<Decided>, Problem> {
    let reader = api.app.replica.reader().clone();
    let read = {
        let reader = reader.clone();
        api.blocking(move || reader.block(height)).await?
    };
    if let Ok(decided) = read {
        return Ok(decided);
    }
    // Others have it.
    if let Err(error) = api.app.mender.repair(height).await {
        tracing::warn!(%height, error, "a damaged block could not be repaired");
    }
    api.blocking(move || read_block(&reader, height)).await?
}

/// A block; a damaged one is a fault of this node, and nothing of it is given out.
pub(crate) fn read_block(reader: &Reader, height: Height) -> Result<Option<Decided>, Problem> {
    reader
        .block(height)
        .map_err(|error| Problem::internal("reading the ledger", &error))
}

/// The nodes' names, to show beside their ids.
pub(crate) struct Names {
    roster: Arc<Roster>,
    reader: Reader,
}

impl Names {
    /// Of everybody who belongs or belonged to the cluster.
    pub(crate) fn of(api: &Api) -> Self {
        Self {
            roster: api.app.replica.roster(),
            reader: api.app.replica.reader().clone(),
        }
    }

    /// A node's name; empty if it never belonged to the cluster.
    pub(crate) fn name(&self, node: NodeId) -> String {
        self.roster.name_of(node).unwrap_or_default().to_owned()
    }

    fn seat(&self, turn: Turn) -> Seat {
        Seat {
            name: self.name(turn.node),
            node: turn.node.to_string(),
            boot: turn.boot.0,
        }
    }

    fn attempt(&self, ballot: Ballot) -> Attempt {
        let Ballot { k, node, boot } = ballot;
        Attempt {
            k,
            name: self.name(node),
            node: node.to_string(),
            boot: boot.0,
        }
    }

    fn proof(&self, certificate: &Certificate) -> Result<Proof, Problem> {
        let roster = self.reader.roster_deciding(certificate.height);
        let roster = roster.map_err(|error| Problem::internal("reading the ledger", &error))?;
        let voters = roster.voters().voters().iter().enumerate();
        let signers = voters.filter(|(index, _)| certificate.voters & 1 << index != 0);
        let signed = signers
            .zip(&certificate.signatures)
            .map(|((_, member), signature)| Signed {
                name: member.name.clone(),
                node: member.id.to_string(),
                signature: signature
                    .0
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
            });
        Ok(Proof {
            ballot: self.attempt(certificate.ballot),
            signatures: signed.collect(),
        })
    }

    fn block(&self, decided: &Decided, rights: &Rights) -> Result<Block, Problem> {
        let header = decided.block.header();
        let certificate = decided.certificate.as_ref();
        let proof = certificate.map(|certificate| self.proof(certificate));
        Ok(Block {
            height: header.height.0,
            hash: decided.block.hash().to_string(),
            parent: header.parent.map(|parent| parent.to_string()),
            time: format_timestamp(header.time),
            proposer: self.seat(header.proposer),
            ballot: certificate.map(|certificate| self.attempt(certificate.ballot)),
            merkle_root: header.root.to_string(),
            commands: (0..)
                .zip(decided.block.entries())
                .map(|(index, entry)| command(index, entry, rights))
                .collect(),
            certificate: proof.transpose()?,
        })
    }
}

/// The command in a block, if it is of a library that may be seen.
fn seen(sealed: &SealedCommand, rights: &Rights) -> Option<model::Command> {
    let command = sealed.open().ok()?;
    rights.may_read(&command.library).then_some(command)
}

/// A block without the commands that may not be seen, and without hashes of passwords. Its hash is the same.
fn visible(decided: &Decided, rights: &Rights) -> Decided {
    let hide = |_, sealed: &SealedCommand| {
        let seen = seen(sealed, rights);
        let shown = seen.filter(|command| !matches!(command.payload, Payload::Password(_)));
        shown.is_none().then(|| Entry::Erased(sealed.leaf()))
    };
    Decided {
        block: Arc::new(decided.block.without(hide)),
        certificate: decided.certificate.clone(),
    }
}

fn command(index: u32, entry: &Entry, rights: &Rights) -> Command {
    let sealed = entry.sealed();
    Command {
        index,
        kind: sealed
            .and_then(|sealed| seen(sealed, rights))
            .map(|command| command.payload.kind()),
        leaf: entry.leaf().to_string(),
        erased: matches!(entry, Entry::Erased(_) | Entry::Remembered { .. }),
        pruned: matches!(entry, Entry::Pruned { .. }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_check_has_a_range_within_the_chain() {
        let range = |value: Value| {
            heights(&value, Height(9))
                .ok()
                .map(|(from, to)| (from.0, to.0))
        };
        assert_eq!(range(json!({})), Some((0, 9)));
        assert_eq!(range(json!({"from": 2, "to": 3})), Some((2, 3)));
        for wrong in [
            json!({"from": 10}),
            json!({"from": 3, "to": 2}),
            json!({"form": 1}),
            json!(3),
        ] {
            assert_eq!(range(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_are_sent_to_who_asks_for_them() {
        let accept = |value: &str| HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]);
        assert!(wants_bytes(&accept(
            "text/html, application/octet-stream;q=0.9"
        )));
        assert!(!wants_bytes(&accept("*/*")));
        assert!(!wants_bytes(&HeaderMap::new()));
    }
}
