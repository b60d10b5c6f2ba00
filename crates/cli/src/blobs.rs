//! `starling blobs`: where files' bytes live.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, at, text_at};

/// Between two looks at how far a move is.
const LOOK: Duration = Duration::from_secs(1);

/// Moves files' bytes between the nodes' disks and an object store.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Blobs {
    /// Have files' bytes live elsewhere from now on
    Move(Move),
}

/// Has files' bytes live elsewhere. Everything is served meanwhile; an interrupted move goes on by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// `disks`, or a store: file:///folder, az://container/prefix, s3://bucket/prefix, gs://bucket/prefix
    #[arg(long, env = "STARLING_BLOBS_MOVE_TO", value_name = "STORE_URL|disks")]
    to: String,

    /// Come back when everything is there, and show how far it is
    #[arg(long, env = "STARLING_BLOBS_MOVE_WAIT")]
    wait: bool,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Blobs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Move(step) => step.run().await,
        }
    }
}

impl Move {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::put("/cluster/blobs", json!({"to": self.to}));
        let moved: Value = client.call(&call).await?.read().await?;
        if self.wait {
            wait(&client, &self.to).await?;
        }
        if self.format.json {
            return Ok(output::object(&moved)?);
        }
        let place = match text_at(&moved, "/home").as_str() {
            "disks" => "on the nodes' disks".to_owned(),
            url => format!("in {}", output::shown(url)),
        };
        let more = match self.wait {
            true => "",
            false => "; `starling status` says how far the move is",
        };
        Ok(output::line(&format!("files' bytes live {place}{more}"))?)
    }
}

async fn wait(client: &Client, to: &str) -> Result<(), Failure> {
    let mut told = String::new();
    loop {
        let cluster: Value = client.json(&Call::get("/cluster")).await?;
        if is_done(&cluster, to) {
            return Ok(());
        }
        let text = describe(&cluster);
        if text != told {
            output::note(&text);
            told = text;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether everything is where it belongs.
fn is_done(cluster: &Value, to: &str) -> bool {
    let number = |pointer| at(cluster, pointer).as_u64();
    let there = match to {
        "disks" => {
            let copied = number("/blobs/underReplicated") == Some(0);
            at(cluster, "/originals/leaving").is_null() && copied
        }
        _ => number("/originals/pending") == Some(0),
    };
    there && text_at(cluster, "/originals/home") == to
}

/// Where files' bytes live, and how far a move is, in one line.
pub(crate) fn describe(cluster: &Value) -> String {
    let number = |name: &str| at(cluster, &format!("/originals/{name}")).as_u64();
    let failing = match at(cluster, "/originals/lastError").as_str() {
        Some(error) => format!("; it FAILS: {}", output::shown(error)),
        None => String::new(),
    };
    let home = output::shown(&text_at(cluster, "/originals/home"));
    let (stored, pending) = (number("stored"), number("pending"));
    if let Some(leaving) = at(cluster, "/originals/leaving").as_str() {
        let left = stored.map_or("not looked at yet".to_owned(), |left| {
            format!("{left} blobs left there")
        });
        return format!(
            "on the disks; leaving {}: {left}{failing}",
            output::shown(leaving)
        );
    }
    match (home.as_str(), stored, pending) {
        ("disks", ..) => "on the disks".to_owned(),
        (_, Some(stored), Some(0)) => format!("in {home}: all {stored} blobs{failing}"),
        (_, Some(stored), Some(pending)) => format!(
            "in {home}: {stored} blobs, {pending} of {} bytes still to be brought there{failing}",
            number("pendingBytes").unwrap_or(0)
        ),
        _ => format!("in {home}: not looked at yet{failing}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_done_when_nothing_is_elsewhere() {
        let to_store =
            |pending| json!({"originals": {"home": "az://c", "stored": 5, "pending": pending}});
        assert!(is_done(&to_store(Some(0)), "az://c"));
        assert!(!is_done(&to_store(Some(1)), "az://c"));
        assert!(!is_done(&to_store(None), "az://c"));
        assert!(!is_done(&to_store(Some(0)), "disks"), "not decided yet");
        let to_disks = |leaving, lacking| {
            let originals = json!({"home": "disks", "leaving": leaving, "stored": 2});
            json!({"originals": originals, "blobs": {"underReplicated": lacking}})
        };
        assert!(is_done(&to_disks(None, 0), "disks"));
        assert!(!is_done(&to_disks(Some("az://c"), 0), "disks"));
        assert!(!is_done(&to_disks(None, 1), "disks"));
        assert_eq!(
            describe(&to_disks(Some("az://c"), 1)),
            "on the disks; leaving az://c: 2 blobs left there"
        );
        assert_eq!(describe(&to_store(Some(0))), "in az://c: all 5 blobs");
    }
}
