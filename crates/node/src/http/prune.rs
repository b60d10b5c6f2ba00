//! Pruning: old commands about files lose their bytes on every node, where a snapshot holds what came of them.
//!
//! The node that is asked looks what would go, sees to it that there is a snapshot that enough voters vouch for, and has the
//! prune decided. Whether it is in force is told from the chain where it is applied, on every node alike.

use std::sync::Arc;

use ::ledger::{Reader, Weight};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::Response;
use catalogue::time::PartialDate;
use model::{Digest, Height, Payload, Prune, SnapshotRef, SnapshotStep, Timestamp, limits};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{self, Call, MayAdmin};
use super::json::{Faults, Node};
use super::operations::Operation;
use super::problem::{Code, Problem, PruneProblems};
use super::{Api, body, json, reply};
use crate::snapshots;

/// The body says little.
const PRUNE_BYTES: usize = 4096;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(prune))
}

/// What is to be pruned.
#[derive(Debug, ToSchema)]
#[schema(as = PruneOrder)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
pub(crate) struct OrderDocument {
    /// What is below this height, or was decided before this date in UTC (`2026`, `2026-07`, `2026-07-04T18:03:00`), goes.
    #[schema(value_type = Object, example = "2026-07")]
    before: Value,
    /// Only say what would go.
    dry_run: Option<bool>,
}

/// What would go.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PrunePlan)]
pub(crate) struct Plan {
    /// The last height of which anything goes: what is younger than a day stays. Null if nothing is left to prune.
    through: Option<u64>,
    /// Commands about files that go.
    commands: u64,
    /// Their bytes in the ledger of one node.
    bytes: u64,
    /// Commands at the same heights that stay as they are: records, members, tokens, fields, albums, purges.
    kept: u64,
    /// Up to here everything was pruned before; null if nothing was.
    pruned_through: Option<u64>,
    /// The snapshot that is there and would take their place; null if one has to be made first.
    snapshot: Option<u64>,
}

/// Prune the ledger
///
/// Destroys the bytes of old commands about files on every node and in the archive. Headers, hashes and certificates stay, and so
/// do records, all that the catalogue knows, and receipts that were issued before; new receipts of what is pruned cannot
/// be made. Nothing younger than a day goes. A snapshot that enough voters vouch for takes the place of what goes; if there
/// is none yet, one is asked for, and the answer waits for it.
#[utoipa::path(
    post, path = "/api/v1/ledger/prune", operation_id = "pruneLedger", tag = "ledger",
    params(("Idempotency-Key" = Option<String>, Header, description = "Name of this request, for retries")),
    request_body(content = OrderDocument, content_type = "application/json"),
    responses(
        (status = 200, description = "What would go", body = Plan),
        (status = 202, description = "It is decided, and goes on", body = Operation),
        PruneProblems,
    ),
)]
async fn prune(MayAdmin(mut call): MayAdmin, request: Request) -> Result<Response, Problem> {
    call.no_more_params()?;
    let bytes = body::json(request, &["application/json"], PRUNE_BYTES).await?;
    let order = Order::of(&json::parse(&bytes)?)?;
    let plan = look(&call, order.before).await?;
    if order.dry_run {
        return Ok(reply::json(StatusCode::OK, &plan));
    }
    let through = plan.through.map(Height).ok_or_else(|| {
        let detail = "there is nothing to prune: it is younger than a day, or was pruned before";
        Problem::new(Code::Refused, detail)
    })?;
    let deadline = Instant::now() + call.patience();
    let snapshot = snapshot(&call, through, deadline).await?;
    let payload = Payload::Prune(Prune { through, snapshot });
    let decision = call.decide(payload, Digest::of(&[&bytes])).await?;
    let at = call::answer_of(&decision);
    let catalogue = &call.api.app.catalogue;
    let applied = catalogue.applied(decision.position.height, deadline);
    applied.await.map_err(|_| {
        let detail = "decided, but not applied here in time; ask again";
        Problem::new(Code::OutcomeUnknown, detail)
    })?;
    let known = call.read(|reader| reader.prunes()).await?;
    let known = known.into_iter().find(|known| known.position == at);
    let known = known.ok_or_else(|| {
        let detail = "something was purged meanwhile, which ended the snapshot; ask again";
        Problem::new(Code::Refused, detail)
    })?;
    let operation = Operation::of_prune(&call, &known).await?;
    let place = format!("/api/v1/operations/{}", operation.id);
    let answer = reply::json(StatusCode::ACCEPTED, &operation);
    Ok(reply::with(answer, LOCATION, &place))
}

/// Up to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Height(Height),
    Time(Timestamp),
}

/// What a client asks for.
#[derive(Debug)]
struct Order {
    before: Before,
    dry_run: bool,
}

impl Order {
    fn of(body: &Value) -> Result<Self, Faults> {
        let members = Node::root(body).members(&["before", "dryRun"])?;
        let mut faults = Faults::default();
        let before = members.required("before").and_then(|node| before(&node));
        let before = faults.keep(before);
        let dry_run = faults.keep(members.optional("dryRun", |node| node.boolean()));
        let order = before.zip(dry_run).map(|(before, dry_run)| Self {
            before,
            dry_run: dry_run.unwrap_or_default(),
        });
        let order = faults.into_result(order)?;
        Ok(order.expect("without a fault there are both"))
    }
}

fn before(node: &Node<'_>) -> Result<Before, Faults> {
    if node.value().is_string() {
        return node.parsed("a date in UTC like 2026-07, or a height", |text| {
            let text = text.strip_suffix('Z').unwrap_or(text);
            let date: PartialDate = text.parse().ok()?;
            let micros = u64::try_from(date.first().micros()).unwrap_or(0);
            Some(Before::Time(Timestamp(micros)))
        });
    }
    let height = node.integer(0..=u64::MAX);
    height.map(|height| Before::Height(Height(height)))
}

/// Looks what would go.
async fn look(call: &Call, before: Before) -> Result<Plan, Problem> {
    let (prunes, marked) = call
        .read(|reader| reader.at_one_height(|reader| Ok((reader.prunes()?, reader.marked()?))))
        .await?;
    let pruned = prunes.iter().map(|known| known.prune.through).max();
    let reader = call.api.app.replica.reader().clone();
    let api = Arc::clone(&call.api);
    let weighed = api.blocking(move || weigh(&reader, before, pruned)).await?;
    let (through, weight) =
        weighed.map_err(|error| Problem::internal("looking what may be pruned", &error))?;
    let roster = call.api.app.replica.roster();
    let mut believed = marked
        .iter()
        .filter_map(|mark| snapshots::believed(mark, roster.voters()));
    let snapshot = believed.find(|snapshot| through.is_some_and(|at| snapshot.height >= at));
    Ok(Plan {
        through: through.map(|height| height.0),
        commands: weight.commands,
        bytes: weight.bytes,
        kept: weight.kept,
        pruned_through: pruned.map(|height| height.0),
        snapshot: snapshot.map(|snapshot| snapshot.height.0),
    })
}

/// The last height that may be pruned, above what is pruned, and what goes there.
fn weigh(
    reader: &Reader,
    before: Before,
    pruned: Option<Height>,
) -> Result<(Option<Height>, Weight), ::ledger::ReadError> {
    let (tip, _) = reader.tip();
    let young = reader.time_of(tip)?.minus(limits::KEYED_WINDOW);
    let asked = match before {
        Before::Height(height) => height,
        Before::Time(time) => reader.since(time)?,
    };
    let end = asked.min(reader.since(young)?);
    let from = pruned
        .unwrap_or_default()
        .max(reader.genesis().height())
        .next();
    let mut weight = Weight::default();
    let Some(through) = end.previous().filter(|through| *through >= from) else {
        return Ok((None, weight));
    };
    for decided in reader.blocks(from) {
        let block = decided?.block;
        if block.height() > through {
            break;
        }
        weight.add(&block);
    }
    Ok((Some(through), weight))
}

/// A snapshot that enough voters vouch for and that holds all up to a height. If there is none, one is asked for; and also if
/// one was asked for that does not come, since whoever was to make it may have been stopped.
async fn snapshot(call: &Call, through: Height, deadline: Instant) -> Result<SnapshotRef, Problem> {
    let mut heights = call.api.app.catalogue.heights();
    let mut grace = Some(Instant::now() + call.patience() / 4);
    loop {
        heights.mark_unchanged();
        let mut marked = call.read(|reader| reader.marked()).await?;
        marked.retain(|mark| mark.height >= through);
        let roster = call.api.app.replica.roster();
        let mut believed = marked
            .iter()
            .filter_map(|mark| snapshots::believed(mark, roster.voters()));
        if let Some(snapshot) = believed.next() {
            return Ok(snapshot);
        }
        if grace.is_some_and(|grace| marked.is_empty() || Instant::now() >= grace) {
            grace = None;
            let mark = Payload::Snapshot(SnapshotStep::Mark);
            call.decide_unkeyed(deadline, mark).await?;
        }
        let until = grace.unwrap_or(deadline).min(deadline);
        if timeout_at(until, heights.changed()).await.is_err() && Instant::now() >= deadline {
            let detail =
                "no snapshot of this height is vouched for yet; one is being made, ask again";
            return Err(Problem::new(Code::NoSnapshot, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_names_a_height_or_a_date() {
        let of = |before: Value| Order::of(&json!({ "before": before })).map(|order| order.before);
        assert_eq!(of(json!(17)).unwrap(), Before::Height(Height(17)));
        let day = Before::Time(Timestamp(86_400_000_000));
        for text in ["1970-01-02", "1970-01-02T00:00:00", "1970-01-02T00:00:00Z"] {
            assert_eq!(of(json!(text)).unwrap(), day, "{text}");
        }
        for wrong in [
            json!(-1),
            json!(1.5),
            json!("soon"),
            json!("1970-13"),
            json!(null),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(Order::of(&json!({ "before": 1, "dryrun": true })).is_err());
        assert!(
            Order::of(&json!({ "before": 1, "dryRun": true }))
                .unwrap()
                .dry_run
        );
    }
}
