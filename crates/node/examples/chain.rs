//! A long chain for a cluster that was just made, without the time that it takes to write one.
//!
//!     starling cluster init --out CLUSTER --node …
//!     cargo run --release -p node --example chain -- CLUSTER records|files|library COUNT
//!
//! Writes a chain of so many records, or files without bytes (`library`: with names, tags and places as people have them),
//! a hundred in a block, into the ledgers of all nodes in
//! CLUSTER, decided and signed by a quorum of them as if they had been there, and sealed; and the catalogue that belongs
//! to it. Says how long building the catalogue took. `starling-bench join` and `search` begin with it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a program that measures reads the clock and says what it found"
)]

#[path = "chain/library.rs"]
mod library;

use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalogue::{BlockInput, Catalogue};
use ledger::Folder;
use ledger::segment::{self, Below};
use model::file::{Camera, Facts, Kind, LocalTime, Metadata, Place, Source, TakenAt};
use model::signature::Domain;
use model::{
    Ballot, BlobId, Block, Boot, Certificate, Command, Decided, Digest, Draft, Ed25519,
    Encode as _, Height, LibraryId, Membership, NodeId, Payload, SealedCommand, Signatures as _,
    Statement, Timestamp, TokenId,
};
use node::identity::Identity;
use replica::{AppliedBlock, Disposition};

const COMMANDS_PER_BLOCK: u64 = 100;
/// So that the chain is as old as such a one is, and what is written above is later.
const BETWEEN_BLOCKS: Duration = Duration::from_secs(300);
const SEGMENT_BYTES: usize = 16 << 20;
const RUN_BLOCKS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cluster, kind, count] = &arguments[..] else {
        return Err("say: CLUSTER records|files|library COUNT".into());
    };
    let payload = match kind.as_str() {
        "records" => record,
        "files" => file,
        "library" => library::file,
        _ => return Err("a chain is of records, of files or of a library".into()),
    };
    let nodes = nodes(Path::new(cluster))?;
    let first = nodes
        .first()
        .ok_or("there is no node in it")?
        .join("ledger");
    let count = count.parse()?;
    make_older(&nodes, count)?;
    let begun = Instant::now();
    write(&first, &Voters::of(&nodes)?, count, payload)?;
    println!("chain: {} ms", begun.elapsed().as_millis());
    let catalogue = build_catalogue(&first)?;
    for node in nodes.iter().skip(1) {
        let segments = node.join("ledger").join(segment::FOLDER);
        fs::create_dir_all(&segments)?;
        for entry in fs::read_dir(first.join(segment::FOLDER))? {
            let entry = entry?;
            fs::copy(entry.path(), segments.join(entry.file_name()))?;
        }
        fs::copy(&catalogue, node.join("catalogue.sqlite"))?;
    }
    Ok(())
}

fn nodes(cluster: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut nodes = Vec::new();
    for entry in fs::read_dir(cluster)? {
        let path = entry?.path();
        if path.join("node.toml").is_file() {
            nodes.push(path);
        }
    }
    nodes.sort();
    Ok(nodes)
}

/// Puts the first block, which was made just now, far enough back for what is to stand above it.
fn make_older(nodes: &[PathBuf], count: u64) -> Result<(), Box<dyn Error>> {
    let age = BETWEEN_BLOCKS * u32::try_from(count.div_ceil(COMMANDS_PER_BLOCK) + 1)?;
    for node in nodes {
        let ledger = node.join("ledger");
        let genesis = ledger::read_genesis(&Folder::new(&ledger))?;
        let header = genesis.header();
        let time = header
            .time
            .0
            .saturating_sub(u64::try_from(age.as_micros())?);
        let time = Timestamp(time);
        let older = Block::new(Draft {
            chain: header.chain,
            height: header.height,
            parent: header.parent,
            membership: header.membership,
            proposer: header.proposer,
            time,
            hint: header.hint,
            commands: founding(&genesis, time)?,
        });
        fs::remove_file(ledger.join("00000000.log"))?;
        ledger::create_in(&ledger, &older)?;
    }
    Ok(())
}

/// The commands of a first block, as they would have been given at another time.
fn founding(genesis: &Block, time: Timestamp) -> Result<Vec<SealedCommand>, Box<dyn Error>> {
    let mut commands = Vec::new();
    for (salt, sealed) in (0_u128..).zip(genesis.entries().iter().filter_map(model::Entry::sealed))
    {
        let command = Command {
            valid_until: time,
            ..sealed.open()?
        };
        commands.push(command.seal(salt.to_be_bytes()));
    }
    Ok(commands)
}

/// The keys of a quorum.
struct Voters {
    membership: Membership,
    keys: Vec<(NodeId, Ed25519)>,
}

impl Voters {
    fn of(nodes: &[PathBuf]) -> Result<Self, Box<dyn Error>> {
        let mut keys = Vec::new();
        let mut membership = None;
        for node in nodes {
            let identity = Identity::load(&node.join("identity"))?;
            keys.push((identity.node(), identity.key().signatures()));
            let genesis = ledger::read_genesis(&Folder::new(node.join("ledger")))?;
            membership = genesis.founded_membership();
        }
        let membership = membership.ok_or("the first block founds nothing")?;
        keys.truncate(membership.quorum());
        Ok(Self { membership, keys })
    }

    fn certify(&self, block: &Block) -> Certificate {
        let (first, _) = self.keys.first().expect("a quorum is somebody");
        let ballot = Ballot {
            k: 1,
            node: *first,
            boot: Boot(1),
        };
        let statement = Statement {
            domain: Domain::Accepted,
            chain: block.header().chain,
            membership: self.membership.hash(),
            height: block.height(),
            ballot,
            hash: block.hash(),
        };
        let votes = self.keys.iter();
        let votes = votes.map(|(node, key)| (*node, key.sign(&statement)));
        let subject = (block.height(), ballot, block.hash());
        Certificate::collect(&self.membership, subject, votes)
    }
}

/// Writes the chain into a ledger that has its first block alone.
fn write(
    folder: &Path,
    voters: &Voters,
    count: u64,
    payload: fn(u64) -> Payload,
) -> Result<(), Box<dyn Error>> {
    let mut last = ledger::read_genesis(&Folder::new(folder))?;
    let mut below = Below::genesis(&last).ok_or("the first block founds nothing")?;
    let (_, key) = voters.keys.first().ok_or("nobody votes")?;
    let blocks = count.div_ceil(COMMANDS_PER_BLOCK);
    let (mut decided, mut bytes) = (Vec::new(), 0);
    for at in 0..blocks {
        let begin = at * COMMANDS_PER_BLOCK;
        let numbers = begin..count.min(begin + COMMANDS_PER_BLOCK);
        last = Arc::new(next(&last, numbers, payload));
        bytes += last.to_bytes().len() + 512;
        decided.push(Decided {
            certificate: Some(voters.certify(&last)),
            block: last.clone(),
        });
        if bytes >= SEGMENT_BYTES || at + 1 == blocks {
            let built = segment::build(below.clone(), &decided)?;
            let (name, segment) = built.ok_or("there are blocks")?;
            below = segment::check(&segment, name, &below, key)?.top;
            segment::install(folder, &segment)?;
            (decided, bytes) = (Vec::new(), 0);
        }
    }
    Ok(())
}

fn next(below: &Block, numbers: std::ops::Range<u64>, payload: fn(u64) -> Payload) -> Block {
    let header = below.header();
    let time = header.time.plus(BETWEEN_BLOCKS);
    let turn = header.hint.unwrap_or(header.proposer);
    Block::new(Draft {
        chain: header.chain,
        height: header.height.next(),
        parent: Some(below.hash()),
        membership: header.membership,
        proposer: turn,
        time,
        hint: Some(turn),
        commands: numbers
            .map(|number| command(payload(number), time, number))
            .collect(),
    })
}

fn command(payload: Payload, time: Timestamp, number: u64) -> SealedCommand {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: None,
        valid_until: time.plus(Duration::from_secs(60)),
        payload,
    };
    command.seal((u128::from(number) + 1).to_be_bytes())
}

fn record(number: u64) -> Payload {
    let mut body = vec![b'x'; 256];
    body.iter_mut()
        .zip(number.to_be_bytes())
        .for_each(|(to, from)| *to = from);
    Payload::Record(body)
}

/// A photo as a phone makes it, in sessions of 200 at one place, with tags that are used as unevenly as people use them.
fn file(number: u64) -> Payload {
    let Digest(id) = Digest::of(&[&number.to_be_bytes()]);
    let session = number / 200;
    let Digest(drawn) = Digest::of(&[b"session", &session.to_be_bytes()]);
    let [a, b, ..] = drawn;
    let taken = i64::try_from(session * 7200 + number % 200 * 20).unwrap_or_default();
    let local = LocalTime::from_micros(1_300_000_000_000_000 + taken * 1_000_000);
    let place = Place::new(
        f64::from(a) / 2.0 - 60.0,
        f64::from(b) - 120.0,
        Source::Exif,
    );
    let tags = [1_u64, 2, 3].map(|of| {
        let Digest([a, b, ..]) = Digest::of(&[b"tag", &of.to_be_bytes(), &session.to_be_bytes()]);
        format!("tag {}", u32::from(a).pow(2) * u32::from(b) % 5000)
    });
    Payload::AddFile {
        file: BlobId(id),
        size: 3_000_000 + number,
        name: format!("IMG_{number:07}.jpg"),
        facts: Facts {
            media_type: "image/jpeg".to_owned(),
            kind: Kind::Photo,
            width: Some(4032),
            height: Some(3024),
            orientation: Some(1),
            taken_at: local.map(|local| TakenAt {
                local,
                offset_min: Some(60),
                source: Source::Exif,
            }),
            place,
            camera: Some(Camera {
                make: Some("Google".to_owned()),
                model: Some("Pixel 7".to_owned()),
                lens: None,
            }),
            thumbhash: drawn.get(..25).unwrap_or_default().to_vec(),
            ..Facts::default()
        },
        metadata: Metadata {
            tags: tags.to_vec(),
            ..Metadata::default()
        },
        restore: false,
    }
}

/// Builds the catalogue of a node, as its thread does.
fn build_catalogue(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let signatures = Ed25519::new(&[0; 32]);
    let (reader, _) = ledger::read_only(Arc::new(Folder::new(folder)), &signatures)?;
    let path = folder.with_file_name("catalogue.sqlite");
    let mut catalogue = Catalogue::open(&path)?;
    let (mut run, mut failed, mut files) = (Vec::new(), None, 0);
    let begun = Instant::now();
    replica::replay(&reader, Height::GENESIS, |block| {
        let input = input(block);
        files += input.commands.len();
        run.push(input);
        if run.len() >= RUN_BLOCKS || block.block.height() == reader.tip().0 {
            failed = catalogue.apply(&run).err();
            run.clear();
        }
        match failed {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let took = begun.elapsed().as_millis();
    println!("catalogue: {files} commands in {took} ms");
    Ok(path)
}

fn input(applied: &AppliedBlock) -> BlockInput {
    let commands = (0..).zip(&applied.dispositions);
    let commands = commands.filter_map(|(index, disposition)| match disposition {
        Disposition::Fresh(command) if command.payload.concerns_catalogue() => {
            Some((index, command.clone()))
        }
        _ => None,
    });
    BlockInput {
        height: applied.block.height(),
        time: applied.block.header().time,
        hash: applied.block.hash(),
        commands: commands.collect(),
        mentions: Vec::new(),
    }
}
