//! How the cluster is, as this node sees it.

use std::sync::Arc;

use ::ledger::Reader;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use catalogue::Rights;
use catalogue::time::format_timestamp;
use consensus::{PeerStatus, Phase, StopReason};
use model::{Evidence, Height, NodeId, Roster, Timestamp};
use replica::Status;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::MaySee;
use super::events::Damage;
use super::originals::DISKS;
use super::problem::{Problem, ReadProblems};
use super::snapshots::{self, Snapshot};
use super::{Api, reply};
use crate::accusations;
use crate::archiver::ArchiverHandle;
use crate::originals::Progress;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(read))
}

/// Damage in one answer.
const DAMAGE_SHOWN: usize = 100;

/// The cluster as one node sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    /// The chain's name.
    chain_id: String,
    /// Height of the block that says who votes.
    epoch: u64,
    /// How many voters it takes to decide.
    quorum: usize,
    /// Whether this node hears a quorum, so that writes can be decided.
    has_quorum: bool,
    /// How many more losses are survived right now.
    survives: Survives,
    /// How the copies of files' bytes are, for administrators; null until this node has looked at its own.
    blobs: Option<Blobs>,
    /// Where files' bytes live.
    originals: Originals,
    /// Whether the nodes that are heard have the same history.
    agreement: Agreement,
    /// Where sealed segments of the ledger go, and how far that is; null if there is no such place.
    archive: Option<Archive>,
    /// What the chain goes on from, if a quorum was lost for good and the cluster was recovered.
    recovered: Option<Recovery>,
    /// What was found damaged on this node's disk of late, newest first.
    damage: Vec<Damage>,
    /// How much of it is not repaired.
    open_damage: usize,
    /// How far this node is with looking at everything it holds; null if it does not.
    scrub: Option<Scrub>,
    /// The heights of which there are snapshots, newest first.
    snapshots: Vec<Snapshot>,
    /// Nodes that signed two statements that contradict each other, lowest height first. The proof of each is a file on
    /// this node.
    evidence: Vec<Contradiction>,
    /// All voters in ring order, then learners, then who has left.
    nodes: Vec<Node>,
}

/// A quorum was lost for good, and an operator went on with what survived.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterRecovery)]
struct Recovery {
    /// The chain before.
    chain_id: String,
    /// Its last block that was kept.
    height: u64,
    /// That block.
    hash: String,
    /// When the operator did so.
    time: String,
    /// How many commands were carried over that may not have been decided.
    carried: u32,
    /// What may have been lost.
    note: String,
}

impl Recovery {
    fn of(reader: &Reader) -> Option<Self> {
        let before = reader.genesis().predecessor()?;
        Some(Self {
            chain_id: before.chain.to_string(),
            height: before.height.0,
            hash: before.hash.to_string(),
            time: format_timestamp(before.recovered_at),
            carried: before.carried,
            note: before.note,
        })
    }
}

/// A node signed two blocks at one height and ballot.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Contradiction {
    /// Its name; null if it never belonged to the cluster.
    node: Option<String>,
    /// Its identity.
    id: String,
    /// At which height.
    height: u64,
    /// Whether it `proposed` both or `accepted` both.
    statement: &'static str,
    /// The blocks' hashes.
    blocks: [String; 2],
    /// The proof, in `evidence/` in this node's folder: `starling ledger evidence` checks it.
    file: String,
}

/// The ledger's archive, as this node sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ArchiveState)]
struct Archive {
    /// Where it is. Holds no secret.
    url: String,
    /// The archive holds the blocks up to here.
    height: u64,
    /// How many blocks are decided and not there. Blocks come when their segment is sealed, so it is rarely 0.
    lag_blocks: u64,
    /// What went wrong last, if the last attempt did not work.
    last_error: Option<String>,
}

/// Copies of files' bytes, as far as the nodes that are heard have said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BlobsState)]
struct Blobs {
    /// How many blobs there must be.
    total: u64,
    /// At least so many of them do not have all their copies, or are not proven to.
    under_replicated: u64,
    /// How many copies are still to be made, on all nodes.
    copying: u64,
    /// How many bytes those have.
    bytes_left: u64,
}

/// Where files' bytes live, as this node sees it. Numbers are null where there is no store, and until this node has looked
/// at all of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OriginalsState)]
struct Originals {
    /// `disks`, or the URL of a store. Holds no secret.
    home: String,
    /// The store that is being left, if one is.
    leaving: Option<String>,
    /// Blobs in the store.
    stored: Option<u64>,
    /// Their bytes.
    stored_bytes: Option<u64>,
    /// Blobs that belong into the store and are not there yet.
    pending: Option<u64>,
    /// Their bytes.
    pending_bytes: Option<u64>,
    /// Bytes of originals on this node's disk.
    cached_bytes: Option<u64>,
    /// What went wrong last, if the store did not do what this node asked last.
    last_error: Option<String>,
}

/// A node that looks at everything on its disk, again and again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ScrubState)]
struct Scrub {
    /// ledger, blobs, catalogue, or resting.
    part: &'static str,
    /// How much of the pass is done.
    percent: f64,
    /// Damage found in this pass.
    faults: u64,
    /// When the last whole pass ended, RFC 3339 in UTC; null if there was none yet.
    #[schema(format = "date-time")]
    last_complete: Option<String>,
    /// Damage found in that pass.
    last_faults: Option<u64>,
}

/// How many more nodes may be lost without losing data, or the ability to write.
#[derive(Debug, Serialize, ToSchema)]
struct Survives {
    /// For the ledger.
    ledger: usize,
    /// For files' bytes: one less than the smallest number of copies that any blob is proven to have on voters that are
    /// up.
    bytes: usize,
}

/// One history.
#[derive(Debug, Serialize, ToSchema)]
struct Agreement {
    /// The height that every node heard has reached.
    height: u64,
    /// The hash of the block there.
    hash: Option<String>,
    /// Whether every head heard is the block this node has at its height.
    identical: bool,
}

/// A node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Node {
    /// Its identity: its Ed25519 public key.
    id: String,
    /// What people call it.
    name: String,
    /// Where people reach it.
    url: Option<String>,
    /// What it is to the cluster.
    role: Place,
    /// Whether it votes, or will do so by itself when it has caught up.
    votes: bool,
    /// Why it has left, if it has.
    reason: Option<Reason>,
    /// The block that removed it, if it has left.
    left: Option<u64>,
    /// How it is.
    state: Condition,
    /// Its start counter, if it was ever heard.
    boot: Option<u64>,
    /// The lowest height at which this node's history is known to differ from the certified one; for other nodes that is
    /// not known here.
    differs_since: Option<u64>,
    /// Its height, as last heard.
    height: u64,
    /// The hash of the block there, if it said so.
    hash: Option<String>,
    /// How long ago the first block that it lacks was made; 0 if it lacks none.
    lag_ms: u64,
    /// Its program's version, if known.
    version: Option<String>,
}

/// What a node is to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NodeRole)]
enum Place {
    /// It counts.
    Voter,
    /// It follows.
    Learner,
    /// It belongs to the cluster no longer.
    Former,
}

/// Why a node has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NodeReason)]
enum Reason {
    /// An administrator removed it.
    Removed,
    /// Nobody heard of it for too long. It comes back by itself.
    Silent,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NodeState)]
enum Condition {
    /// Taking part.
    Up,
    /// Not taking part yet.
    Starting,
    /// Heard, but it missed its turn.
    Suspect,
    /// Not heard within the last second.
    Down,
    /// It has stopped voting and must be looked at.
    Stopped,
    /// The cluster has removed it.
    Removed,
    /// Its history is not this node's. If this is this node, the cluster has certified another one, and it has stopped.
    Forked,
}

/// How the cluster is
///
/// Who votes, who follows, who has left and why, who is heard, how many losses are survived, and whether all have one
/// history. A node that was removed still answers this.
#[utoipa::path(
    get, path = "/api/v1/cluster", operation_id = "getCluster", tag = "node",
    responses((status = 200, description = "As this node sees it", body = Cluster), ReadProblems),
)]
async fn read(MaySee(mut call): MaySee, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    call.no_more_params()?;
    let view = Arc::clone(&api);
    let rights = Arc::clone(&call.rights);
    let cluster = api.blocking(move || View::of(&view, &rights).cluster());
    let cluster = cluster.await?;
    Ok(reply::json(StatusCode::OK, &cluster))
}

struct View<'a> {
    api: &'a Api,
    rights: &'a Rights,
    status: Status,
    roster: Arc<Roster>,
    reader: &'a Reader,
    now: Timestamp,
}

impl<'a> View<'a> {
    fn of(api: &'a Api, rights: &'a Rights) -> Self {
        let replica = &api.app.replica;
        Self {
            api,
            rights,
            status: replica.status().replica.clone(),
            roster: replica.roster(),
            reader: replica.reader(),
            now: replica.wall(),
        }
    }

    fn cluster(&self) -> Cluster {
        let voters = self.roster.voters();
        let quorum = voters.quorum();
        let votes = |peer: &&PeerStatus| peer.alive && voters.contains(peer.node);
        let up = usize::from(voters.contains(self.status.me.node))
            + self.status.peers.iter().filter(votes).count();
        let spare = up.saturating_sub(quorum);
        let replicator = &self.api.app.replicator;
        let picture = replicator.picture(&replicator.voters_up());
        Cluster {
            chain_id: self.status.chain.to_string(),
            epoch: self.roster.epoch().0,
            quorum,
            has_quorum: self.status.has_quorum,
            survives: Survives {
                ledger: spare,
                bytes: match self.bytes_in_store(up) {
                    Some(survived) => survived,
                    None => picture.map_or(0, |picture| picture.copies.saturating_sub(1)),
                },
            },
            blobs: picture
                .filter(|_| self.rights.holder().administers())
                .map(|picture| Blobs {
                    total: picture.total,
                    under_replicated: picture.under_replicated,
                    copying: picture.copying,
                    bytes_left: picture.bytes_left,
                }),
            originals: self.originals(),
            agreement: self.agreement(),
            archive: self.api.app.archive.as_ref().map(|one| self.archive(one)),
            recovered: Recovery::of(self.reader),
            damage: self.damage(),
            open_damage: self.api.app.findings.open_count(),
            scrub: self.scrub(),
            snapshots: snapshots::shown(&self.api.app, &self.roster, self.now),
            evidence: self.evidence(),
            nodes: self.nodes(),
        }
    }

    /// How many nodes may be lost while files' bytes live in a store: all, once everything is there; until then as many as
    /// every upload made sure of.
    fn bytes_in_store(&self, up: usize) -> Option<usize> {
        let originals = &self.api.app.originals;
        if !originals.is_home() {
            return None;
        }
        let voters = self.roster.voters();
        let away = voters.len().saturating_sub(up);
        match originals.progress() {
            Some(progress) if progress.pending.blobs == 0 => Some(up),
            _ => Some(voters.faults().saturating_sub(away)),
        }
    }

    fn originals(&self) -> Originals {
        let originals = &self.api.app.originals;
        let seat = originals.seat();
        let (home, leaving) = match &seat {
            Some(seat) if seat.is_home => (seat.url.clone(), None),
            Some(seat) => (DISKS.to_owned(), Some(seat.url.clone())),
            None => (DISKS.to_owned(), None),
        };
        let progress = originals.progress();
        let shown = self.rights.holder().administers();
        let count = |of: fn(&Progress) -> u64| progress.as_ref().filter(|_| shown).map(of);
        Originals {
            home,
            leaving,
            stored: count(|progress| progress.stored.blobs),
            stored_bytes: count(|progress| progress.stored.bytes),
            pending: count(|progress| progress.pending.blobs),
            pending_bytes: count(|progress| progress.pending.bytes),
            cached_bytes: count(|progress| progress.cached.bytes),
            last_error: seat.and_then(|_| originals.failing()),
        }
    }

    fn damage(&self) -> Vec<Damage> {
        let recent = self.api.app.findings.recent();
        let shown = recent.iter().take(DAMAGE_SHOWN);
        shown
            .map(|finding| Damage::seen(finding, self.rights))
            .collect()
    }

    fn evidence(&self) -> Vec<Contradiction> {
        let all = self.api.app.accusations.all();
        let shown = |piece: &Evidence| Contradiction {
            node: self.roster.name_of(piece.node).map(str::to_owned),
            id: piece.node.to_string(),
            height: piece.height.0,
            statement: accusations::kind(piece.domain),
            blocks: piece.signed.map(|(hash, _)| hash.to_string()),
            file: accusations::file_name(piece),
        };
        all.iter().map(shown).collect()
    }

    fn scrub(&self) -> Option<Scrub> {
        let progress = self.api.app.scrub.progress()?;
        let last = progress.last;
        Some(Scrub {
            part: progress.part.name(),
            percent: (progress.ratio(self.status.tip) * 1000.0).round() / 10.0,
            faults: progress.faults,
            last_complete: last.map(|last| format_timestamp(Timestamp(last.ended))),
            last_faults: last.map(|last| last.faults),
        })
    }

    fn archive(&self, archiver: &ArchiverHandle) -> Archive {
        let status = archiver.status();
        Archive {
            url: archiver.url().to_owned(),
            height: status.height.0,
            lag_blocks: self.status.tip.0.saturating_sub(status.height.0),
            last_error: status.last_error,
        }
    }

    fn nodes(&self) -> Vec<Node> {
        let voters = self.roster.voters().voters().iter();
        let voters = voters.map(|voter| self.node(voter.id, &voter.name, Place::Voter));
        let learners = self.roster.learners().iter().map(|learner| Node {
            votes: learner.votes,
            ..self.node(learner.member.id, &learner.member.name, Place::Learner)
        });
        let former = self.roster.former().iter().map(|(id, left)| Node {
            reason: Some(match left.reason {
                model::Reason::Asked => Reason::Removed,
                model::Reason::Silent => Reason::Silent,
            }),
            left: Some(left.height.0),
            ..self.node(*id, &left.name, Place::Former)
        });
        voters.chain(learners).chain(former).collect()
    }

    fn agreement(&self) -> Agreement {
        let former = self.roster.former();
        let heard = || {
            let peers = self.status.peers.iter();
            peers.filter(|peer| peer.alive && !former.contains_key(&peer.node))
        };
        let height = heard()
            .map(|peer| peer.tip)
            .fold(self.status.tip, Height::min);
        let differs = |peer: &PeerStatus| self.differs(peer);
        Agreement {
            height: height.0,
            hash: self.reader.hash(height).map(|hash| hash.to_string()),
            identical: !heard().any(differs),
        }
    }

    fn node(&self, id: NodeId, name: &str, role: Place) -> Node {
        let mine = self.status.me.node == id;
        let peer = self.status.peers.iter().find(|peer| peer.node == id);
        let height = peer.map_or(self.status.tip, |peer| peer.tip);
        let hash = if mine {
            Some(self.status.head)
        } else {
            peer.and_then(|peer| peer.head)
        };
        let boot = if mine {
            Some(self.status.me.boot)
        } else {
            peer.and_then(|peer| peer.boot)
        };
        Node {
            id: id.to_string(),
            name: name.to_owned(),
            url: self.url(id),
            role,
            votes: role == Place::Voter,
            reason: None,
            left: None,
            state: peer.map_or_else(|| self.own_state(), |peer| self.state(peer)),
            boot: boot.map(|boot| boot.0),
            differs_since: self.differs_since().filter(|_| mine),
            height: height.0,
            hash: hash.map(|hash| hash.to_string()),
            lag_ms: self.lag_ms(height),
            version: if mine {
                Some(env!("CARGO_PKG_VERSION").to_owned())
            } else {
                self.api.app.peers.version(id)
            },
        }
    }

    fn url(&self, id: NodeId) -> Option<String> {
        let mut book = self.api.app.config.members.iter();
        let entry = book.find(|entry| entry.id == id);
        let decided = self.roster.addresses(id).map(|addresses| &addresses.url);
        decided.or(entry.map(|entry| &entry.url)).cloned()
    }

    fn own_state(&self) -> Condition {
        match self.status.phase {
            Phase::Opening | Phase::Checking => Condition::Starting,
            Phase::Voting => Condition::Up,
            Phase::Stopped(StopReason::Removed) => Condition::Removed,
            Phase::Stopped(StopReason::Forked { .. }) => Condition::Forked,
            Phase::Stopped(_) => Condition::Stopped,
        }
    }

    fn differs_since(&self) -> Option<u64> {
        match self.status.phase {
            Phase::Stopped(StopReason::Forked { since }) => Some(since.0),
            _ => None,
        }
    }

    /// Whether a node's head is not the block this node has at its height.
    fn differs(&self, peer: &PeerStatus) -> bool {
        let ours = self.reader.hash(peer.tip);
        let heads = peer.head.zip(ours);
        heads.is_some_and(|(theirs, ours)| theirs != ours)
    }

    fn state(&self, peer: &PeerStatus) -> Condition {
        match (peer.alive, peer.suspect) {
            (false, _) => Condition::Down,
            (true, _) if self.differs(peer) => Condition::Forked,
            (true, true) => Condition::Suspect,
            (true, false) => Condition::Up,
        }
    }

    fn lag_ms(&self, height: Height) -> u64 {
        if height >= self.status.tip {
            return 0;
        }
        let missing = self.reader.block(height.next()).ok().flatten();
        let made = missing.map_or(self.now, |decided| decided.block.header().time);
        self.now.0.saturating_sub(made.0) / 1000
    }
}
