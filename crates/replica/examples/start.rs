//! How long a start takes, before and after sealing.
//!
//!     cargo run --release -p replica --example start -- FOLDER [records]
//!
//! Writes a chain of so many records (1,000,000), a hundred in a block and five minutes between blocks, into FOLDER, and
//! opens it three times: reading every block, as for a catalogue that was deleted; reading what the core state needs;
//! and the same when most of it is sealed. Prints one line each.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a program that measures reads the clock and says what it found"
)]

use std::error::Error;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::{Bounds, Disk, Flush, Folder, Ledger, Reader, Storage, Write};
use model::{
    Ballot, Block, Boot, Certificate, ChainId, Command, Draft, Height, LibraryId, LogSeq, Mark,
    Member, Membership, NodeId, Nonce, Now, Payload, Record, SealedCommand, Signature, Signatures,
    Statement, Timestamp, TokenId, Turn,
};
use replica::{Care, Config, Replica};

const RECORDS_PER_BLOCK: u64 = 100;
const BETWEEN_BLOCKS: Duration = Duration::from_secs(300);

/// A folder that is written at once and never flushed: what is measured is reading.
struct Plain(PathBuf);

impl Disk for Plain {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(Folder::new(&self.0))
    }

    fn cut(&mut self, file: &str, length: u64) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .open(self.0.join(file))?
            .set_len(length)
    }

    fn submit(&mut self, write: Write) {
        let file = OpenOptions::new()
            .create(write.create)
            .write(true)
            .truncate(false)
            .open(self.0.join(&write.file));
        file.and_then(|file| file.write_all_at(&write.bytes, write.offset))
            .expect("the folder takes writes");
    }
}

/// Signatures cost the same before and after.
struct Trusting;

impl Signatures for Trusting {
    fn sign(&self, _: &Statement) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _: NodeId, _: &Statement, _: &Signature) -> bool {
        true
    }
}

fn command(payload: Payload, time: Timestamp, salt: u64) -> SealedCommand {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: None,
        valid_until: time.plus(Duration::from_secs(60)),
        payload,
    };
    let mut salts = [0; 16];
    salts
        .iter_mut()
        .zip(salt.to_be_bytes())
        .for_each(|(to, from)| *to = from);
    command.seal(salts)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("say which folder")?);
    let records = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let reader = write(&folder, records)?;
    let tip = reader.tip().0;
    measure(&folder, "every block", Height::GENESIS)?;
    measure(&folder, "what the core state needs", tip.next())?;
    let begun = Instant::now();
    while ledger::seal(&reader, &Bounds::default())?.is_some() {}
    let gone = ledger::retire(&reader)?.len();
    let count = reader.segments().len();
    println!(
        "sealing: {count} segments in {} ms, {gone} log files gone",
        begun.elapsed().as_millis()
    );
    measure(&folder, "the same, sealed", tip.next())
}

fn measure(folder: &Path, what: &str, wanted: Height) -> Result<(), Box<dyn Error>> {
    let config = Config {
        me: NodeId([1; 32]),
        signatures: Arc::new(Trusting),
        nonce: Nonce([2; 16]),
        seed: 1,
        contacts: Vec::new(),
        care: Care {
            addresses: None,
            dead_after: None,
        },
    };
    let now = Now {
        instant: model::Instant(0),
        wall: Timestamp(0),
    };
    let begun = Instant::now();
    let mut blocks = 0;
    let disk = Plain(folder.to_owned());
    Replica::open_replaying(disk, config, now, wanted, |_| blocks += 1)?;
    println!(
        "start, {what}: {} ms, {blocks} blocks shown",
        begun.elapsed().as_millis()
    );
    Ok(())
}

/// Writes the chain as a lone voter would.
fn write(folder: &Path, records: u64) -> Result<Reader, Box<dyn Error>> {
    let member = Member {
        id: NodeId([1; 32]),
        name: "n1".to_owned(),
    };
    let voters = vec![member];
    let membership = Membership::new(voters.clone()).ok_or("one voter")?;
    let time = Timestamp(1_700_000_000_000_000);
    let founding = Payload::Genesis {
        voters,
        admin: TokenId([1; 8]),
        admin_secret: model::Digest([0; 32]),
        library: LibraryId::home(),
    };
    let genesis = Block::genesis(
        ChainId([7; 16]),
        &membership,
        time,
        command(founding, time, 0),
    );
    ledger::create_in(folder, &genesis)?;
    let (mut ledger, _) = Ledger::open(Plain(folder.to_owned()), &Trusting)?;
    let tip = Mark {
        height: genesis.height(),
        hash: genesis.hash(),
    };
    let (boot, nonce) = (Boot(1), Nonce([1; 16]));
    let start = Record::Start {
        boot,
        nonce,
        tip,
        vote: None,
    };
    let mut seq = LogSeq(1);
    ledger.append(seq, &start, Flush::Now);
    let mut below = Arc::new(genesis);
    for at in 0..records / RECORDS_PER_BLOCK {
        below = next(&below, at);
        let certificate = Certificate {
            height: below.height(),
            ballot: Ballot {
                k: 1,
                node: NodeId([1; 32]),
                boot,
            },
            hash: below.hash(),
            voters: 1,
            signatures: vec![Signature([0; 64])],
        };
        seq = seq.next();
        let decided = Record::Decided {
            block: below.clone(),
            certificate,
            body: true,
        };
        ledger.append(seq, &decided, Flush::Now);
        ledger.durable(seq);
    }
    Ok(ledger.reader())
}

fn next(below: &Block, at: u64) -> Arc<Block> {
    let header = below.header();
    let time = header.time.plus(BETWEEN_BLOCKS);
    let turn = Turn {
        node: NodeId([1; 32]),
        boot: Boot(1),
    };
    let record = |salt| command(Payload::Record(vec![b'x'; 100]), time, salt);
    let salts = at * RECORDS_PER_BLOCK..(at + 1) * RECORDS_PER_BLOCK;
    Arc::new(Block::new(Draft {
        chain: header.chain,
        height: header.height.next(),
        parent: Some(below.hash()),
        membership: header.membership,
        proposer: turn,
        time,
        hint: Some(turn),
        commands: salts.map(|salt| record(salt + 1)).collect(),
    }))
}
