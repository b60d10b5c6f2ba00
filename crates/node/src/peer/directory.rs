//! Who the other nodes are, where they are, and what they may ask.
//!
//! The roster changes while the node runs, so nothing here is fixed: [`Directory::follow`] takes who is known now and
//! opens, closes and turns links accordingly. A node that calls says where it can be called. Its key proves that it is
//! the one that says so, so this goes before what the ledger has: a node that has moved can only get its move decided
//! if it is answered. A node that has left is called only while it calls; that is how it learns that it has left.
//!
//! A *lonely* node hears no quorum of the voters it knows, or is the only one: those who vote today may all have come
//! since. It hears strangers too, and calls them back while they call: members call everybody in the roster. What they
//! are heard for are blocks that prove themselves; they are given nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::{NodeId, limits};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::blobs::BlobClient;
use super::client::Dialer;
use super::link::Link;
use super::outbox::Outbox;
use super::refusals::Refusals;
use crate::config;
use crate::identity::Identity;

/// Strangers that a lonely node hears at a time.
const STRANGERS_MAX: usize = 16;

/// What another node is to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to the cluster: it says what it likes and is given bytes.
    Member,
    /// This node's configuration names it, the ledger does not: it may know more of the ledger.
    Contact,
    /// It belonged to the cluster.
    Former,
    /// Nobody has named it. This node is lonely and hears it.
    Stranger,
}

/// What a version may be long; a longer one is not shown.
const VERSION_BYTES_MAX: usize = 64;

/// Another node that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquaintance {
    /// Its key.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Host and port, if known.
    pub address: Option<String>,
    /// Whether the address is right whatever the node says.
    pub pinned: bool,
    /// What it is to this one.
    pub standing: Standing,
}

/// The way to one other node.
pub(super) struct Peer {
    pub(super) address: String,
    pub(super) outbox: Arc<Outbox>,
    pub(super) blobs: BlobClient,
    /// Rung when it connects to us.
    bell: Arc<Notify>,
    stop: CancellationToken,
}

struct Known {
    who: Acquaintance,
    /// Where it said that it is.
    stated: Option<String>,
    /// The version of its program, as it said last.
    version: Option<String>,
    /// Its streams to us.
    calls: usize,
    peer: Option<Arc<Peer>>,
}

impl Known {
    /// Where to call it; nothing if it is not to be called.
    fn address(&self) -> Option<&str> {
        let stated = self.stated.as_ref().filter(|_| !self.who.pinned);
        let passing = matches!(self.who.standing, Standing::Former | Standing::Stranger);
        let wanted = !passing || self.calls > 0;
        let address = stated.or(self.who.address.as_ref());
        address.map(String::as_str).filter(|_| wanted)
    }
}

/// All other nodes that are known.
pub(super) struct Directory {
    identity: Identity,
    /// Where we say that we are.
    address: String,
    refusals: Arc<Refusals>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    lonely: AtomicBool,
    known: RwLock<BTreeMap<NodeId, Known>>,
}

impl Directory {
    pub(super) fn new(
        identity: Identity,
        address: String,
        refusals: Arc<Refusals>,
        shutdown: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            identity,
            address,
            refusals,
            shutdown,
            tasks,
            lonely: AtomicBool::new(false),
            known: RwLock::default(),
        }
    }

    /// Whether strangers are heard from now on. Those that are here stay until they hang up.
    pub(super) fn set_lonely(&self, lonely: bool) {
        self.lonely.store(lonely, Ordering::Relaxed);
    }

    /// Whether strangers are heard.
    pub(super) fn is_lonely(&self) -> bool {
        self.lonely.load(Ordering::Relaxed)
    }

    /// Knows these from now on, and nobody else but strangers that are here.
    pub(super) fn follow(&self, everybody: Vec<Acquaintance>) {
        let mut known = self.write();
        let mut before = std::mem::take(&mut *known);
        for who in everybody {
            if who.id == self.identity.node() {
                continue;
            }
            self.refusals.know(who.id, &who.name);
            let mut entry = match before.remove(&who.id) {
                Some(entry) if entry.who.address == who.address => Known { who, ..entry },
                // The ledger forgets where a node was that has left; while it calls it is still there.
                Some(entry) if who.address.is_none() => Known {
                    stated: entry.stated.or(entry.who.address),
                    who,
                    version: entry.version,
                    calls: entry.calls,
                    peer: entry.peer,
                },
                // The ledger has heard of a move: what the node said before may be older.
                Some(entry) => Known {
                    who,
                    stated: None,
                    ..entry
                },
                None => Known {
                    who,
                    stated: None,
                    version: None,
                    calls: 0,
                    peer: None,
                },
            };
            self.turn(&mut entry);
            known.insert(entry.who.id, entry);
        }
        for (id, mut entry) in before {
            if entry.who.standing == Standing::Stranger && entry.calls > 0 {
                known.insert(id, entry);
            } else if let Some(peer) = entry.peer.take() {
                peer.stop.cancel();
            }
        }
    }

    /// Makes the link what it should be.
    fn turn(&self, entry: &mut Known) {
        let address = entry.address().map(str::to_owned);
        let now = entry.peer.as_ref().map(|peer| &peer.address);
        if now == address.as_ref() {
            return;
        }
        if let Some(old) = entry.peer.take() {
            old.stop.cancel();
        }
        entry.peer = address.and_then(|address| self.open(&entry.who, address));
    }

    fn open(&self, who: &Acquaintance, address: String) -> Option<Arc<Peer>> {
        let tls = self.identity.client_config(who.id);
        let tls = tls
            .inspect_err(|error| tracing::error!(peer = who.name, %error, "preparing TLS"))
            .ok()?;
        tracing::info!(peer = who.name, address, "calling");
        let dialer = Dialer::new(&address, tls);
        let outbox = Arc::new(Outbox::default());
        let blobs = BlobClient::new(&dialer, self.identity.chain());
        let bell = Arc::new(Notify::new());
        let link = Link {
            name: who.name.clone(),
            dialer,
            chain: self.identity.chain(),
            own_address: self.address.clone(),
            outbox: outbox.clone(),
            bell: bell.clone(),
        };
        let stop = self.shutdown.child_token();
        self.tasks
            .spawn(stop.clone().run_until_cancelled_owned(link.run()));
        Some(Arc::new(Peer {
            address,
            outbox,
            blobs,
            bell,
            stop,
        }))
    }

    /// What a node is to this one; nothing if it is a stranger.
    pub(super) fn standing(&self, node: NodeId) -> Option<Standing> {
        self.read().get(&node).map(|entry| entry.who.standing)
    }

    /// The way to a node, if it is called.
    pub(super) fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.read().get(&node)?.peer.clone()
    }

    /// Everybody who is called, in the order of their keys.
    pub(super) fn peers(&self) -> Vec<(NodeId, String, Arc<Peer>)> {
        let known = self.read();
        let called = known.values().filter_map(|entry| {
            let peer = entry.peer.clone()?;
            Some((entry.who.id, entry.who.name.clone(), peer))
        });
        called.collect()
    }

    /// A node has opened a stream, and says where it can be called and of which version it is. It is called for as long
    /// as the result lives, if not longer.
    pub(super) fn called(
        self: &Arc<Self>,
        node: NodeId,
        stated: Option<&str>,
        version: Option<&str>,
    ) -> Calling {
        let mut known = self.write();
        if self.is_lonely() {
            meet(&mut known, node);
        }
        if let Some(entry) = known.get_mut(&node) {
            entry.calls += 1;
            let readable = |version: &&str| version.len() <= VERSION_BYTES_MAX;
            entry.version = version.filter(readable).map(str::to_owned);
            let usable = |address: &&str| {
                address.len() <= limits::ADDRESS_BYTES_MAX && config::port(address).is_some()
            };
            if let Some(address) = stated.filter(usable) {
                let news = entry.who.address.as_deref() != Some(address);
                entry.stated = news.then(|| address.to_owned());
            }
            self.turn(entry);
            if let Some(peer) = &entry.peer {
                peer.bell.notify_one();
            }
        }
        Calling {
            directory: self.clone(),
            node,
        }
    }

    /// The version of a node's program, if it ever said so.
    pub(super) fn version(&self, node: NodeId) -> Option<String> {
        self.read().get(&node)?.version.clone()
    }

    fn hung_up(&self, node: NodeId) {
        let mut known = self.write();
        if let Some(entry) = known.get_mut(&node) {
            entry.calls = entry.calls.saturating_sub(1);
            self.turn(entry);
            if entry.who.standing == Standing::Stranger && entry.calls == 0 {
                known.remove(&node);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<NodeId, Known>> {
        self.known
            .read()
            .expect("nothing panics while it holds this lock")
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<NodeId, Known>> {
        self.known
            .write()
            .expect("nothing panics while it holds this lock")
    }
}

/// A node that nobody has named is here, if there are not too many of them.
fn meet(known: &mut BTreeMap<NodeId, Known>, node: NodeId) {
    let strangers = known.values();
    let strangers = strangers.filter(|entry| entry.who.standing == Standing::Stranger);
    if strangers.count() < STRANGERS_MAX {
        let who = Acquaintance {
            id: node,
            name: format!("(a stranger: {node})"),
            address: None,
            pinned: false,
            standing: Standing::Stranger,
        };
        known.entry(node).or_insert(Known {
            who,
            version: None,
            stated: None,
            calls: 0,
            peer: None,
        });
    }
}

/// A stream from another node is open.
pub(super) struct Calling {
    directory: Arc<Directory>,
    node: NodeId,
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.directory.hung_up(self.node);
    }
}
