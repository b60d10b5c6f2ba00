//! `starling get`: a file's bytes, or what is known about it.
//!
//! If a node fails in the middle, another one goes on where it stopped.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use model::BlobId;
use serde_json::Value;

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::content::{Fetch, with_suffix};
use crate::failure::Failure;
use crate::output;

/// Fetches a file.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The file's id: the SHA-256 of its bytes
    id: BlobId,

    /// Write the bytes to this file instead of stdout
    #[arg(
        long,
        short,
        env = "STARLING_GET_OUT",
        value_name = "FILE",
        conflicts_with = "meta"
    )]
    out: Option<PathBuf>,

    /// Print what is known about it, as JSON, instead of its bytes
    #[arg(long, env = "STARLING_GET_META", value_parser = FalseyValueParser::new())]
    meta: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Get {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        if self.meta {
            let file: Value = client
                .json(&Call::get(format!("/files/{}", self.id)))
                .await?;
            return Ok(output::object(&file)?);
        }
        client.learn_nodes().await?;
        match &self.out {
            Some(path) => self.to_file(&client, path).await,
            None if io::stdout().is_terminal() => Err(Failure::Usage(
                "the bytes would garble the terminal: name a file with -o, or redirect stdout"
                    .to_owned(),
            )),
            None => Ok(Fetch::new(&client, self.id)
                .run(&mut io::stdout(), &|_| ())
                .await?),
        }
    }

    /// Nothing appears under the name before it is whole.
    async fn to_file(&self, client: &Client, path: &Path) -> Result<(), Failure> {
        let partial = with_suffix(path, ".partial");
        let attempted = || format!("writing {}", path.display());
        let mut file = std::fs::File::create(&partial).with_context(attempted)?;
        let fetched = Fetch::new(client, self.id).run(&mut file, &|_| ()).await;
        if fetched.is_err() {
            // What is left of it helps nobody; the error that counts is the transfer's.
            let _ = std::fs::remove_file(&partial);
        }
        fetched?;
        file.sync_all().with_context(attempted)?;
        std::fs::rename(&partial, path).with_context(attempted)?;
        Ok(())
    }
}
