//! Goes on with what survives, when most voters are lost for good.
//!
//! Nobody can decide the next block of such a chain, and nobody may pretend to. So the operator declares a **successor**:
//! another chain, with an id of its own, whose first block stands right above the last proven block of the survivor that
//! has most, and names the voters that go on. What that block says is in [`model::succession`]; how the blocks below it
//! are kept, in [`ledger::predecessor`].
//!
//! ```text
//! find   read the survivors' ledgers, check the best of them, say what is kept and what may be lost
//! Survey::succeed   lay the successor down in every folder that goes on, then put it in place
//! ```
//!
//! Nothing is lost on the way. The successor is made whole in `NODE/successor/` first; then the old `ledger` and
//! `identity` are moved to `NODE/before-<chain>/` and the new ones take their place. If that is interrupted, the same
//! command goes on with it. A node keeps its key: what it signs names the chain, so nothing it ever said in the old chain
//! counts in the new one. Blobs and catalogue stay where they are.
//!
//! **What may be lost.** Others may have decided blocks above the survivor's last one, and answered clients; if no survivor
//! has them, they are gone. A block that the survivor has *accepted* right above may be one of them. Its commands are carried
//! over into the successor's first block: if they were acknowledged, they are kept, and if not, their clients asked for
//! them. Changes of who belongs to the cluster are not carried over.

mod switch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ledger::{Folder, KeepError, OpenError, Reader, Recovered};
use model::{
    Addresses, Block, ChainId, Command, Ed25519, Height, LibraryId, Member, Membership, NodeId,
    Payload, Predecessor, Roster, RosterChange, SealedCommand, Timestamp, Vote,
};
use replica::NODE_ITSELF;

use crate::config::{self, ConfigError, NodeConfig};
use crate::identity::{Identity, LoadError};
use crate::init::random;
use crate::{FolderLock, LockError};

pub use self::switch::{SwitchError, resume};

/// Why nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A folder is no node's.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node's identity cannot be read.
    #[error(transparent)]
    Identity(#[from] LoadError),
    /// A ledger cannot be used.
    #[error("the ledger in {folder}")]
    Ledger {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: Box<OpenError>,
    },
    /// Nothing was named.
    #[error("no node's folder was named")]
    Nobody,
    /// Another process uses a folder.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// A node of the folders runs.
    #[error("{name} runs, or another process listens on {address}: stop it first")]
    Running {
        /// Its name.
        name: String,
        /// Where it listens.
        address: String,
    },
    /// Folders of different chains.
    #[error("{folder} is of chain {found}, the others of chain {expected}")]
    OtherChain {
        /// Which.
        folder: PathBuf,
        /// Its chain.
        found: ChainId,
        /// Theirs.
        expected: ChainId,
    },
    /// Two nodes contradict each other: not even what is proven is sure.
    #[error(
        "{folder} has another block at height {height} than the node with the longest chain: one of the two was changed. \
         Leave one of them out"
    )]
    Forked {
        /// Which.
        folder: PathBuf,
        /// Where.
        height: Height,
    },
    /// A node that does not belong to the cluster.
    #[error("{name} does not belong to the cluster at height {height}, so it cannot go on with it")]
    NoMember {
        /// Its name.
        name: String,
        /// The last proven height.
        height: Height,
    },
    /// A name that none of the folders has.
    #[error("none of the folders is {0}'s")]
    Unknown(String),
    /// The cluster is not lost.
    #[error(
        "{survivors} of the {voters} voters are here, and {quorum} can decide: start them, nothing need be recovered"
    )]
    Quorum {
        /// How many of the folders are voters'.
        survivors: usize,
        /// How many voters there are.
        voters: usize,
        /// How many it takes.
        quorum: usize,
    },
    /// The longest chain is damaged.
    #[error(
        "the ledger in {folder} is damaged at height {height}: {what}. Leave it out, or put the damaged file back from \
         another node or the archive"
    )]
    Damaged {
        /// Which.
        folder: PathBuf,
        /// Where.
        height: Height,
        /// What is wrong.
        what: String,
    },
    /// The old chain cannot be laid down for the new one.
    #[error("laying the chain before down in {folder}")]
    Keep {
        /// Where.
        folder: PathBuf,
        /// Why.
        #[source]
        source: KeepError,
    },
    /// A successor cannot be written or put in place.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// The system has no randomness to give.
    #[error("drawing the chain's id")]
    Random(#[from] getrandom::Error),
}

/// A node whose disk is here.
struct Survivor {
    folder: PathBuf,
    _lock: FolderLock,
    config: NodeConfig,
    identity: Identity,
    reader: Reader,
    recovered: Recovered,
}

/// What was found.
pub struct Survey {
    survivors: Vec<Survivor>,
    /// The place of the one with the longest chain.
    best: usize,
    /// Who goes on, in the order of the folders.
    keep: Vec<usize>,
    carried: Vec<SealedCommand>,
    time: Timestamp,
    now: Timestamp,
}

/// What is kept, and what may be lost: to be shown before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// The chain that is lost.
    pub chain: ChainId,
    /// The last proven height.
    pub height: Height,
    /// Its block.
    pub hash: model::BlockHash,
    /// Whose signatures prove it; empty at the first block of a chain.
    pub signers: Vec<String>,
    /// The nodes found, how far each is, and whether it goes on.
    pub nodes: Vec<(String, Height, bool)>,
    /// Who does not go on.
    pub left: Vec<Member>,
    /// How many commands are carried over that may not have been decided.
    pub carried: u32,
    /// What may be lost, for people.
    pub note: String,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succeeded {
    /// The new chain.
    pub chain: ChainId,
    /// The height of its first block.
    pub height: Height,
    /// That block.
    pub hash: model::BlockHash,
    /// The configurations of the nodes that go on.
    pub configs: Vec<PathBuf>,
    /// Where the old ledgers and identities are.
    pub aside: Vec<PathBuf>,
}

/// Reads the ledgers of stopped nodes. `keep` names the nodes that go on; all of them if it is empty. Changes nothing.
///
/// # Errors
/// A [`RecoverError`].
pub fn find(folders: &[PathBuf], keep: &[String]) -> Result<Survey, RecoverError> {
    let survivors = distinct(folders).map(|folder| Survivor::open(folder));
    let survivors: Vec<Survivor> = survivors.collect::<Result<_, _>>()?;
    let height = |survivor: &Survivor| survivor.recovered.tip.block.height();
    // Of equals the first.
    let best = survivors.iter().enumerate().rev();
    let best = best.max_by_key(|(_, survivor)| height(survivor));
    let (best, longest) = best.ok_or(RecoverError::Nobody)?;
    longest.agree_with(&survivors)?;
    let keep = chosen(&survivors, keep)?;
    for kept in keep.iter().filter_map(|at| survivors.get(*at)) {
        longest.member(kept)?;
    }
    refuse_quorum(longest.roster(), &survivors)?;
    longest.check()?;
    let accepted = accepted(longest.next(), &survivors);
    let now = now();
    let after = Timestamp(longest.recovered.tip.block.header().time.0 + 1);
    Ok(Survey {
        carried: accepted.map(carried).unwrap_or_default(),
        // Commands carried over must not have expired in the block that carries them.
        time: accepted.map_or(now.max(after), |block| block.header().time),
        best,
        keep,
        survivors,
        now,
    })
}

/// The folders without those that are named again.
fn distinct(folders: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    let place = |folder: &PathBuf| folder.canonicalize().unwrap_or_else(|_| folder.clone());
    let mut seen = BTreeSet::new();
    folders
        .iter()
        .filter(move |folder| seen.insert(place(folder)))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::default().plus(since.unwrap_or_default())
}

fn chosen(survivors: &[Survivor], keep: &[String]) -> Result<Vec<usize>, RecoverError> {
    if keep.is_empty() {
        return Ok((0..survivors.len()).collect());
    }
    let place = |name: &String| {
        let found = survivors.iter().position(|s| s.config.name == *name);
        found.ok_or_else(|| RecoverError::Unknown(name.clone()))
    };
    let mut places: Vec<usize> = keep.iter().map(place).collect::<Result<_, _>>()?;
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

/// The voters that are here could go on by themselves.
fn refuse_quorum(roster: &Roster, survivors: &[Survivor]) -> Result<(), RecoverError> {
    let voters = roster.voters();
    let mut here: Vec<NodeId> = survivors.iter().map(|s| s.identity.node()).collect();
    here.retain(|node| voters.contains(*node));
    here.sort_unstable();
    here.dedup();
    if here.len() < voters.quorum() {
        return Ok(());
    }
    Err(RecoverError::Quorum {
        survivors: here.len(),
        voters: voters.len(),
        quorum: voters.quorum(),
    })
}

/// The block that was accepted at a height with the highest ballot.
fn accepted(height: Height, survivors: &[Survivor]) -> Option<&Block> {
    let votes = survivors.iter().filter_map(|s| s.recovered.vote.as_ref());
    let accepted = votes
        .filter(|vote| vote.height == height)
        .filter_map(|vote: &Vote| vote.accepted.as_ref());
    let (_, block) = accepted.max_by_key(|(ballot, _)| *ballot)?;
    Some(block)
}

/// What clients asked for in a block. Who belongs to the cluster is the operator's to say now.
fn carried(block: &Block) -> Vec<SealedCommand> {
    let sealed = block.entries().iter().filter_map(model::Entry::sealed);
    let asked = |sealed: &&SealedCommand| {
        sealed.open().is_ok_and(|command| {
            let founding = matches!(
                command.payload,
                Payload::Genesis { .. } | Payload::Succession { .. } | Payload::Roster(_)
            );
            !founding
        })
    };
    sealed.filter(asked).cloned().collect()
}

impl Survivor {
    fn open(folder: &Path) -> Result<Self, RecoverError> {
        let folder = if folder.is_dir() {
            folder
        } else {
            crate::init::parent(folder)
        };
        let config = NodeConfig::load_with(&folder.join(config::FILE_NAME), |_| None)?;
        let lock = FolderLock::take(&config.folder)?;
        refuse_running(&config)?;
        let identity = Identity::load(&config.identity_folder())?;
        let path = config.ledger_folder();
        let storage = Arc::new(Folder::new(&path));
        let (reader, recovered) =
            ledger::read_only(storage, &signatures()).map_err(|source| RecoverError::Ledger {
                folder: path.clone(),
                source: Box::new(source),
            })?;
        if reader.chain() != identity.chain() {
            return Err(RecoverError::OtherChain {
                folder: path,
                found: reader.chain(),
                expected: identity.chain(),
            });
        }
        Ok(Self {
            folder: config.folder.clone(),
            _lock: lock,
            config,
            identity,
            reader,
            recovered,
        })
    }

    fn roster(&self) -> &Roster {
        &self.recovered.roster
    }

    fn next(&self) -> Height {
        self.recovered.tip.block.height().next()
    }

    fn agree_with(&self, others: &[Self]) -> Result<(), RecoverError> {
        for other in others {
            let (expected, found) = (self.reader.chain(), other.reader.chain());
            let folder = other.folder.clone();
            if found != expected {
                return Err(RecoverError::OtherChain {
                    folder,
                    found,
                    expected,
                });
            }
            let (height, hash) = other.reader.tip();
            if self.reader.hash(height) != Some(hash) {
                return Err(RecoverError::Forked { folder, height });
            }
        }
        Ok(())
    }

    /// What the chain calls a node that is to go on.
    fn member(&self, kept: &Self) -> Result<Member, RecoverError> {
        let id = kept.identity.node();
        let found = self.roster().everybody().find(|member| member.id == id);
        found.cloned().ok_or_else(|| RecoverError::NoMember {
            name: kept.config.name.clone(),
            height: self.reader.tip().0,
        })
    }

    /// Everything that is kept is proven.
    fn check(&self) -> Result<(), RecoverError> {
        let (tip, _) = self.reader.tip();
        let report = self.reader.verify(Height::GENESIS, tip, &signatures());
        match report.faults.into_iter().next() {
            None => Ok(()),
            Some(fault) => Err(RecoverError::Damaged {
                folder: self.folder.clone(),
                height: fault.height,
                what: fault.what,
            }),
        }
    }
}

/// Only verification is asked of it, for which its own key does not matter.
fn signatures() -> Ed25519 {
    Ed25519::new(&[0; 32])
}

/// A node that runs listens. An address that is not this machine's says nothing.
fn refuse_running(config: &NodeConfig) -> Result<(), RecoverError> {
    for address in [config.http.address, config.peer.address] {
        let bound = std::net::TcpListener::bind(address);
        if bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse) {
            return Err(RecoverError::Running {
                name: config.name.clone(),
                address: address.to_string(),
            });
        }
    }
    Ok(())
}

impl Survey {
    fn longest(&self) -> &Survivor {
        let best = self.survivors.get(self.best);
        best.expect("it was found among them")
    }

    fn kept(&self) -> impl Iterator<Item = &Survivor> {
        self.keep.iter().filter_map(|at| self.survivors.get(*at))
    }

    /// What will be kept, and what may be lost.
    pub fn findings(&self) -> Findings {
        let longest = self.longest();
        let (height, hash) = longest.reader.tip();
        let nodes = self.survivors.iter().enumerate().map(|(at, survivor)| {
            let height = survivor.reader.tip().0;
            (
                survivor.config.name.clone(),
                height,
                self.keep.contains(&at),
            )
        });
        Findings {
            chain: longest.reader.chain(),
            height,
            hash,
            signers: self.signers(),
            nodes: nodes.collect(),
            left: self.left(),
            carried: u32::try_from(self.carried.len()).expect("a block holds few commands"),
            note: self.note(),
        }
    }

    fn signers(&self) -> Vec<String> {
        let longest = self.longest();
        let Some(certificate) = &longest.recovered.tip.certificate else {
            return Vec::new();
        };
        let roster = longest.reader.roster_deciding(certificate.height);
        let voters = roster.map(|roster| roster.voters().clone());
        let voters = voters.unwrap_or_else(|_| longest.roster().voters().clone());
        let signed = |(at, _): &(usize, &Member)| certificate.voters & 1 << at != 0;
        let members = voters.voters().iter().enumerate().filter(signed);
        members.map(|(_, member)| member.name.clone()).collect()
    }

    /// Everybody who ever belonged to the cluster and does not go on.
    fn left(&self) -> Vec<Member> {
        let roster = self.longest().roster();
        let kept: Vec<NodeId> = self.kept().map(|kept| kept.identity.node()).collect();
        let former = roster.former().iter().map(|(id, left)| Member {
            id: *id,
            name: left.name.clone(),
        });
        let all = roster.everybody().cloned().chain(former);
        all.filter(|member| !kept.contains(&member.id)).collect()
    }

    fn note(&self) -> String {
        let (height, next) = (self.longest().reader.tip().0, self.longest().next());
        let here: Vec<&str> = self.survivors.iter().map(|s| &*s.config.name).collect();
        let mut note = format!(
            "Everything up to height {height} is proven and kept. Blocks above it that other voters decided are lost, \
             unless {} had them",
            here.join(" or ")
        );
        match self.carried.len() {
            0 => note.push('.'),
            count => {
                let text = format!(
                    ". The block accepted here at height {next} may have been decided: its commands ({count}) are carried over."
                );
                note.push_str(&text);
            }
        }
        note
    }

    /// Makes the successor and puts it in place on every node that goes on. Says how far it is.
    ///
    /// # Errors
    /// A [`RecoverError`]. Before anything was put in place, all is as it was; after that, [`resume`] goes on with it.
    pub fn succeed(self, progress: &mut dyn FnMut(Height)) -> Result<Succeeded, RecoverError> {
        let chain = ChainId(random()?);
        let first = self.first_block(chain)?;
        let reader = &self.longest().reader;
        for kept in self.kept() {
            switch::prepare(
                &kept.folder,
                &kept.config,
                (reader.chain(), chain),
                |ledger| {
                    let before = ledger.join(ledger::predecessor::FOLDER);
                    ledger::keep(reader, &before, progress)?;
                    Ok(ledger::create_in(ledger, &first)?)
                },
            )
            .map_err(|error| match error {
                switch::PrepareError::Keep(source) => RecoverError::Keep {
                    folder: kept.folder.clone(),
                    source,
                },
                switch::PrepareError::Switch(error) => error.into(),
            })?;
        }
        let mut aside = Vec::new();
        for kept in self.kept() {
            aside.extend(switch::put_in_place(&kept.folder)?);
        }
        let configs = self.kept().map(|s| s.folder.join(config::FILE_NAME));
        Ok(Succeeded {
            chain,
            height: first.height(),
            hash: first.hash(),
            configs: configs.collect(),
            aside,
        })
    }

    fn first_block(&self, chain: ChainId) -> Result<Block, RecoverError> {
        let longest = self.longest();
        let mut voters = Vec::new();
        for kept in self.kept() {
            let addresses = Addresses {
                peer: kept.config.me().peer_address.clone(),
                url: kept.config.http.public_url.clone(),
            };
            voters.push((longest.member(kept)?, addresses));
        }
        let found = self.findings();
        let predecessor = Predecessor {
            chain: found.chain,
            height: found.height,
            hash: found.hash,
            certificate: longest.recovered.tip.certificate.clone(),
            left: found.left,
            carried: found.carried,
            note: found.note,
            recovered_at: self.now,
        };
        first_block(chain, predecessor, &voters, self.time, &self.carried)
    }
}

/// The first block of the successor of a chain: who votes and where they are, what it goes on from, and what is carried
/// over.
///
/// # Errors
/// If the voters are too few, too many or not distinct, or the system has no randomness to give.
pub fn first_block(
    chain: ChainId,
    predecessor: Predecessor,
    voters: &[(Member, Addresses)],
    time: Timestamp,
    carried: &[SealedCommand],
) -> Result<Block, RecoverError> {
    let members: Vec<Member> = voters.iter().map(|(member, _)| member.clone()).collect();
    let membership = Membership::new(members.clone()).ok_or(RecoverError::Nobody)?;
    let place = (predecessor.height.next(), predecessor.hash);
    let seal = |payload| {
        let command = Command {
            library: LibraryId::home(),
            actor: NODE_ITSELF,
            key: None,
            valid_until: time,
            payload,
        };
        Ok::<_, getrandom::Error>(command.seal(random()?))
    };
    let mut commands = vec![seal(Payload::Succession {
        voters: members,
        predecessor: Arc::new(predecessor),
    })?];
    for (member, addresses) in voters {
        commands.push(seal(Payload::Roster(RosterChange::Move {
            node: member.id,
            addresses: addresses.clone(),
        }))?);
    }
    commands.extend_from_slice(carried);
    Ok(Block::succeeding(chain, &membership, place, time, commands))
}
