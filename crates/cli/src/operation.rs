//! Operations that go on in the cluster: waiting for one, and `starling undo`.

use std::time::Duration;

use anyhow::anyhow;
use clap::builder::FalseyValueParser;
use model::BlobId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, at, list_at, text_at};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Whether and how long to wait for an operation.
#[derive(Debug, clap::Args)]
pub(crate) struct Waiting {
    /// Do not wait until it is over
    #[arg(long, env = "STARLING_OPERATION_NO_WAIT", value_parser = FalseyValueParser::new())]
    no_wait: bool,

    /// Give up waiting after so many seconds; the cluster goes on
    #[arg(
        long,
        env = "STARLING_OPERATION_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 600
    )]
    timeout: u64,
}

/// Takes an operation over many files back. What was edited since stays as it is, and is listed.
#[derive(Debug, clap::Args)]
pub(crate) struct Undo {
    /// The operation, as the call told that began it
    id: String,

    #[command(flatten)]
    waiting: Waiting,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Undo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::new(Method::POST, format!("/operations/{}/undo", self.id));
        let begun: Value = client.call(&call).await?.read().await?;
        self.waiting.show(&client, begun, &self.format).await
    }
}

/// Which files an operation is about: those of some ids, or all that a query finds.
pub(crate) fn selection(ids: &[BlobId], query: Option<&str>) -> Value {
    match query {
        Some(query) => json!({ "query": query }),
        None => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            json!({ "ids": ids })
        }
    }
}

/// Says which of the ids are of no file.
pub(crate) fn note_missing(answer: &Value) {
    for id in list_at(answer, "/missing") {
        let id = id.as_str().unwrap_or_default();
        output::note(&format!("no such file: {id}"));
    }
}

impl Waiting {
    /// Waits for an operation, if that is wished, and says how far it is then.
    pub(crate) async fn show(
        &self,
        client: &Client,
        begun: Value,
        format: &Format,
    ) -> Result<(), Failure> {
        let operation = self.until_done(client, begun).await?;
        if format.json {
            return Ok(output::object(&operation)?);
        }
        let (id, summary) = (text_at(&operation, "/id"), text_at(&operation, "/summary"));
        output::line(&format!("{id}: {summary}"))?;
        let counts = ["changed", "unchanged", "skipped", "refused"]
            .map(|word| format!("{} {word}", at(&operation, &format!("/files/{word}"))));
        output::note(&counts.join(", "));
        for file in list_at(&operation, "/files/odd") {
            let [id, result, detail] = ["/id", "/result", "/detail"].map(|at| text_at(file, at));
            output::note(&format!("{id} {result}: {detail}"));
        }
        Ok(())
    }

    /// Waits until an operation is over, if that is wished.
    pub(crate) async fn until_done(
        &self,
        client: &Client,
        mut operation: Value,
    ) -> Result<Value, Failure> {
        if self.no_wait {
            return Ok(operation);
        }
        let call = Call::get(format!("/operations/{}", text_at(&operation, "/id")));
        let waiting = async {
            while text_at(&operation, "/state") != "done" {
                tokio::time::sleep(LOOK).await;
                operation = client.json(&call).await?;
            }
            Ok::<_, Failure>(operation)
        };
        match tokio::time::timeout(Duration::from_secs(self.timeout), waiting).await {
            Ok(waited) => waited,
            Err(_) => Err(anyhow!("not over yet; the cluster goes on").into()),
        }
    }
}
