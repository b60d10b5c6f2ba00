//! The catalogue and the chain of a lone voter, decided block by block.

use std::path::Path;
use std::sync::Arc;

use catalogue::Catalogue;
use ledger::{Flush, Ledger};
use model::{
    Ballot, Block, Boot, Certificate, ChainId, Command, Digest, Draft, Ed25519, Height, LibraryId,
    LogSeq, Mark, Member, Membership, NodeId, Nonce, Payload, Record, SealedCommand, Timestamp,
    TokenId, Turn,
};
use replica::{AppliedBlock, Disposition};

use super::backlog::QUEUE_MAX;
use super::{Feeder, Home, start};
use crate::Faults;
use crate::disk::FileDisk;
use crate::metrics::Metrics;

/// The chain of a lone voter.
pub(crate) struct Chain {
    ledger: Ledger<FileDisk>,
    last: Arc<Block>,
    seq: LogSeq,
}

fn command(payload: Payload) -> SealedCommand {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: None,
        valid_until: Timestamp(u64::MAX),
        payload,
    };
    command.seal([7; 16])
}

impl Chain {
    pub(crate) fn new(folder: &Path) -> Self {
        let key = Ed25519::new(&[3; 32]);
        let me = key.node();
        let name = "n1".to_owned();
        let voters = Membership::new(vec![Member { id: me, name }]).unwrap();
        let founding = command(Payload::Genesis {
            voters: voters.voters().to_vec(),
            admin: TokenId([1; 8]),
            admin_secret: Digest([0; 32]),
            library: LibraryId::home(),
        });
        let genesis = Block::genesis(ChainId([7; 16]), &voters, Timestamp(1), founding);
        ledger::create_in(folder, &genesis).unwrap();
        let metrics = Metrics::new();
        let faults = Faults::from_environment().unwrap();
        let disk = FileDisk::open(folder, faults, metrics.disk(), |_| ()).unwrap();
        let (mut ledger, _) = Ledger::open(disk, &key).unwrap();
        let start = Record::Start {
            boot: Boot(1),
            nonce: Nonce([1; 16]),
            tip: Mark {
                height: genesis.height(),
                hash: genesis.hash(),
            },
            vote: None,
        };
        ledger.append(LogSeq(1), &start, Flush::Now);
        let last = Arc::new(genesis);
        let seq = LogSeq(1);
        Self { ledger, last, seq }
    }

    /// What is decided.
    pub(crate) fn reader(&self) -> ledger::Reader {
        self.ledger.reader()
    }

    /// Decides one more block, of one record.
    fn grow(&mut self) -> Arc<AppliedBlock> {
        self.grow_by(Payload::Record(b"x".to_vec()))
    }

    /// Decides one more block, of one command.
    pub(crate) fn grow_by(&mut self, payload: Payload) -> Arc<AppliedBlock> {
        let header = self.last.header();
        let me = Turn {
            node: NodeId([1; 32]),
            boot: Boot(1),
        };
        let block = Arc::new(Block::new(Draft {
            chain: header.chain,
            height: header.height.next(),
            parent: Some(self.last.hash()),
            membership: header.membership,
            proposer: me,
            time: Timestamp(header.time.0 + 1),
            hint: Some(me),
            commands: vec![command(payload)],
        }));
        let certificate = Certificate {
            height: block.height(),
            ballot: Ballot {
                k: 1,
                node: me.node,
                boot: Boot(1),
            },
            hash: block.hash(),
            voters: 1,
            signatures: Vec::new(),
        };
        self.seq = self.seq.next();
        let decided = Record::Decided {
            block: block.clone(),
            certificate,
            body: true,
        };
        self.ledger.append(self.seq, &decided, Flush::Lazy);
        self.last = block.clone();
        Arc::new(AppliedBlock {
            block,
            certificate: None,
            dispositions: vec![Disposition::Expired],
            roster: None,
        })
    }
}

#[tokio::test]
async fn a_catalogue_reads_what_it_was_not_told_and_listens_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let mut chain = Chain::new(&ledger);
    for _ in 0..1000 {
        chain.grow();
    }
    let path = folder.path().join("catalogue.sqlite");
    let catalogue = Catalogue::open(&path).unwrap();
    let blobs = blobs::Store::open(folder.path()).unwrap();
    let feeder = Feeder::new(catalogue, blobs, Metrics::new().catalogue().clone());
    let reader = chain.reader();
    let home = Home {
        me: NodeId([1; 32]),
        shelf: crate::snapshots::Shelf::of(folder.path()),
    };
    let running = start(feeder, &path, Height::GENESIS, reader, home, None).unwrap();
    let mut feed = running.feed();
    running.handle.reached(Height(1000)).await;
    for _ in 0..100 {
        feed(chain.grow());
    }
    running.handle.reached(Height(1100)).await;
    // More comes at once than may wait: it is not kept, and read from the ledger.
    let dispositions = vec![Disposition::Expired; QUEUE_MAX];
    feed(Arc::new(AppliedBlock {
        dispositions,
        ..AppliedBlock::clone(&chain.grow())
    }));
    feed(chain.grow());
    running.handle.reached(Height(1102)).await;
    for _ in 0..100 {
        feed(chain.grow());
    }
    running.handle.reached(Height(1202)).await;
    drop(feed);
    running.stop();
}
