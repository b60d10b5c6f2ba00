//! Receipts: fetched from a node, and checked without any.

mod check;
mod output;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use model::codec::Encode as _;
use model::{BlobId, Block, Checkpoint, Consistency, Decided, Decode as _, Ed25519, Height};
use reqwest::header::{ACCEPT, HeaderValue};

use super::import::genesis_in;
use crate::client::{Call, CallError, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Format;

pub(crate) use self::check::Check;

/// Fetches a receipt.
#[derive(Debug, clap::Args)]
pub(crate) struct Receipt {
    /// Prove that this file was added
    #[arg(
        long,
        env = "STARLING_RECEIPT_FILE",
        value_name = "ID",
        conflicts_with = "record",
        required_unless_present = "record"
    )]
    file: Option<BlobId>,

    /// Prove the change that made this version of the file, instead of the first
    #[arg(
        long,
        env = "STARLING_RECEIPT_FILE_VERSION",
        value_name = "N",
        conflicts_with = "record"
    )]
    file_version: Option<u64>,

    /// Prove this record
    #[arg(long, env = "STARLING_RECEIPT_RECORD", value_name = "HEIGHT/INDEX")]
    record: Option<Place>,

    /// Begin at this height: what its readers trust, or below; 0 is genesis
    #[arg(long, env = "STARLING_RECEIPT_FROM", default_value_t = 0)]
    from: u64,

    /// Write it to this file instead of stdout
    #[arg(long, short, env = "STARLING_RECEIPT_OUT", value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    connection: Connection,
}

/// A record's place.
#[derive(Debug, Clone, Copy)]
struct Place {
    height: u64,
    index: u32,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (height, index) = text.split_once('/')?;
            Some(Self {
                height: height.parse().ok()?,
                index: index.parse().ok()?,
            })
        };
        read().ok_or("a record's place is written HEIGHT/INDEX, for instance 17/0")
    }
}

impl Receipt {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let bytes = bytes(&client, self.call()).await?;
        save(self.out.as_deref(), &bytes)
    }

    fn call(&self) -> Call {
        let path = match (self.file, self.record) {
            (Some(file), _) => format!("/files/{file}/proof"),
            (None, Some(Place { height, index })) => format!("/records/{height}/{index}/proof"),
            (None, None) => unreachable!("the parser asks for one of them"),
        };
        let call = Call::get(path).query("from", self.from);
        match self.file_version {
            Some(version) => call.query("version", version),
            None => call,
        }
    }
}

/// Fetches what a check of receipts begins at.
#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    /// The block to trust, default the last; 0 is genesis, good for every receipt
    #[arg(
        long,
        env = "STARLING_CHECKPOINT_HEIGHT",
        conflicts_with = "since",
        value_name = "N"
    )]
    height: Option<u64>,

    /// Let the cluster prove that its history goes on from this checkpoint, instead of believing it
    #[arg(long, env = "STARLING_CHECKPOINT_SINCE", value_name = "FILE")]
    since: Option<PathBuf>,

    /// Write it to this file
    #[arg(long, short, env = "STARLING_CHECKPOINT_OUT", value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Fetch {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let checkpoint = match &self.since {
            Some(since) => follow(&client, trusted(since)?).await?,
            None => self.believe(&client).await?,
        };
        if let Some(out) = &self.out {
            write(out, &checkpoint.to_bytes())?;
        }
        output::checkpoint(&checkpoint, self.format)
    }

    async fn believe(&self, client: &Client) -> Result<Checkpoint, Failure> {
        let call = Call::get("/ledger/checkpoint");
        let call = match self.height {
            Some(height) => call.query("height", height),
            None => call,
        };
        let bytes = bytes(client, call).await?;
        Ok(Checkpoint::read(&bytes).context("reading the node's answer")?)
    }
}

/// Goes up to what the cluster's last block is now, over every header in between.
async fn follow(client: &Client, from: Checkpoint) -> Result<Checkpoint, Failure> {
    let target = bytes(client, Call::get("/ledger/checkpoint")).await?;
    let target = Checkpoint::read(&target).context("reading the node's answer")?;
    if target.height < from.height {
        let sentence = format!(
            "the node's last block is at height {}, below the checkpoint at {}: it is behind, or its history was cut",
            target.height, from.height
        );
        return Err(Failure::Temporary(anyhow::Error::msg(sentence)));
    }
    let mut reached = from;
    loop {
        let (Height(from), Height(to)) = (reached.height, target.height);
        let call = Call::get("/ledger/consistency").query("from", from);
        let piece = bytes(client, call.query("to", to)).await?;
        let next = Consistency::read(&piece)
            .and_then(|piece| piece.verify(&reached, &checker()))
            .with_context(|| {
                format!("the history above height {from} does not go on from the checkpoint")
            })?;
        if next.height >= target.height {
            return Ok(next);
        }
        if next.height == reached.height {
            return Err(
                anyhow::anyhow!("the proof of the history above height {from} is empty").into(),
            );
        }
        reached = next;
    }
}

/// To check signatures takes no key of ours.
fn checker() -> Ed25519 {
    Ed25519::new(&[0; 32])
}

/// What is to be trusted: a file with a checkpoint, or with a genesis block as nodes give it out, or the first block in a
/// ledger's folder.
fn trusted(path: &Path) -> Result<Checkpoint, Failure> {
    let (bytes, block) = if path.is_dir() {
        (Vec::new(), Some(genesis_in(path)?))
    } else {
        let bytes = read(path)?;
        let block = Decided::from_bytes(&bytes).map(|decided| decided.block.as_ref().clone());
        let block = block.or_else(|_| Block::from_bytes(&bytes)).ok();
        (bytes, block)
    };
    let found = match block.as_ref().and_then(Checkpoint::of_genesis) {
        Some(checkpoint) => Ok(checkpoint),
        None => Checkpoint::read(&bytes),
    };
    let what = || {
        format!(
            "{}: to be trusted takes a checkpoint or a genesis block",
            path.display()
        )
    };
    Ok(found.with_context(what)?)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| {
        let missing = source.kind() == io::ErrorKind::NotFound;
        let error = anyhow::Error::new(source).context(format!("reading {}", path.display()));
        if missing {
            Failure::NotFound(error)
        } else {
            Failure::Other(error)
        }
    })
}

async fn bytes(client: &Client, call: Call) -> Result<Vec<u8>, Failure> {
    let octets = HeaderValue::from_static("application/octet-stream");
    let answer = client.call(&call.header(ACCEPT, octets)).await?;
    let node = answer.node;
    let bytes = answer.response.bytes().await;
    let bytes = bytes.map_err(|source| CallError::Garbled { node, source })?;
    Ok(bytes.to_vec())
}

fn save(out: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    match out {
        Some(path) => write(path, bytes),
        None if io::stdout().is_terminal() => Err(Failure::Usage(
            "the bytes would garble the terminal: name a file with -o, or redirect stdout"
                .to_owned(),
        )),
        None => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes)?;
            Ok(stdout.flush()?)
        }
    }
}

/// Nothing appears under the name before it is whole.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let attempted = || format!("writing {}", path.display());
    std::fs::write(&partial, bytes).with_context(attempted)?;
    Ok(std::fs::rename(&partial, path).with_context(attempted)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_height_and_an_index() {
        let place: Place = "17/3".parse().unwrap();
        assert_eq!((place.height, place.index), (17, 3));
        for text in ["17", "17/", "/3", "17/-1", "17/3/4"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
