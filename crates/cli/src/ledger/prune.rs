//! `starling ledger prune`: destroys the bytes of old commands about files, on every node and in the archive.

use anyhow::anyhow;
use clap::builder::FalseyValueParser;
use serde_json::{Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::operation::Waiting;
use crate::output::{self, Format, at, text_at};

/// Destroys the bytes of old commands about files, on every node and in the archive. Everything that is known of the files
/// stays, and so do headers, certificates, records and receipts that were issued. It cannot be undone. Needs an
/// administrator's token.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// What is below this height, or was decided before this date in UTC (2026-07, 2026-07-04T18:03:00), goes;
    /// what is younger than a day stays in any case
    #[arg(long, env = "STARLING_PRUNE_BEFORE", value_name = "HEIGHT|DATE")]
    before: String,

    /// Only say what would go
    #[arg(long, env = "STARLING_PRUNE_DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,

    /// Do not ask
    #[arg(long, env = "STARLING_PRUNE_YES", value_parser = FalseyValueParser::new())]
    yes: bool,

    #[command(flatten)]
    waiting: Waiting,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Prune {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let plan: Value = self.ask(&client, true).await?;
        if self.dry_run && self.format.json {
            return Ok(output::object(&plan)?);
        }
        let lines = lines(&plan);
        for line in &lines {
            if self.dry_run {
                output::line(line)?;
            } else {
                output::note(line);
            }
        }
        if self.dry_run {
            return Ok(());
        }
        let anything = at(&plan, "/through").is_u64();
        if anything && !self.yes && !output::confirm("It cannot be undone. Prune?")? {
            return Err(anyhow!("nothing was pruned").into());
        }
        let begun = self.ask(&client, false).await?;
        let operation = self.waiting.until_done(&client, begun).await?;
        if self.format.json {
            return Ok(output::object(&operation)?);
        }
        let (id, summary) = (text_at(&operation, "/id"), text_at(&operation, "/summary"));
        Ok(output::line(&format!("{id}: {summary}"))?)
    }

    async fn ask(&self, client: &Client, dry_run: bool) -> Result<Value, Failure> {
        let before = match self.before.parse::<u64>() {
            // So a date needs a month: a year alone is a height.
            Ok(height) => json!(height),
            Err(_) => json!(self.before),
        };
        let body = json!({ "before": before, "dryRun": dry_run });
        let call = Call::post("/ledger/prune", Body::Json(body));
        Ok(client.call(&call).await?.read().await?)
    }
}

fn lines(plan: &Value) -> Vec<String> {
    let number = |place: &str| at(plan, place).as_u64();
    let Some(through) = number("/through") else {
        return vec!["nothing to prune: it is younger than a day, or was pruned before".to_owned()];
    };
    let count = |place| number(place).unwrap_or_default();
    let snapshot = match number("/snapshot") {
        Some(height) => format!("the snapshot of height {height} takes their place"),
        None => "a snapshot is made first, and takes their place".to_owned(),
    };
    vec![
        format!(
            "goes   {} commands about files up to height {through}, {} bytes on every node",
            count("/commands"),
            count("/bytes")
        ),
        format!(
            "stays  {} commands there (records, members, tokens, fields, albums), all headers and certificates, and \
             everything that is known of the files",
            count("/kept")
        ),
        format!("then   {snapshot}"),
    ]
}
