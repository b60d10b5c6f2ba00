//! A cluster of engines with disks of records, for scripts and for the tests that quote the protocol.
//!
//! Time stands still unless a test lets it pass, and messages travel when a test says so. After every step the
//! invariants of the engine are checked: one block per height, and no promise lowered or forgotten.

#![allow(dead_code, reason = "each test binary uses its own part")]

mod disk;
pub(crate) mod forge;
pub(crate) mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use consensus::{
    Accept, Config, DiskRoom, Effect, Engine, Input, Message, Phase, ReadId, Recovered,
};
use model::{
    Ballot, Block, BlockHash, Boot, Decided, Height, Instant, LogSeq, Membership, NodeId, Nonce,
    Now, Record, Roster, Timestamp,
};

use disk::{Disk, replay};
use show::{id, name};

type Outcome = Result<(), Box<dyn Error>>;
type Link = (NodeId, NodeId, Message);

/// A peer that is behind is sent this many blocks at a time.
const BATCH: usize = 2;

/// Which messages a command means.
pub(crate) struct Filter {
    from: Option<NodeId>,
    to: Option<NodeId>,
    kind: Option<String>,
}

impl Filter {
    pub(crate) fn new(from: Option<&str>, to: Option<&str>, kind: Option<&str>) -> Self {
        let node = |name: &str| id(name).expect("a node's name");
        Self {
            from: from.map(node),
            to: to.map(node),
            kind: kind.map(str::to_owned),
        }
    }

    pub(crate) fn all() -> Self {
        Self::new(None, None, None)
    }

    pub(crate) fn kind(kind: &str) -> Self {
        Self::new(None, None, Some(kind))
    }

    fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.kind.is_none()
    }

    fn matches(&self, (from, to, message): &Link) -> bool {
        self.from.is_none_or(|node| node == *from)
            && self.to.is_none_or(|node| node == *to)
            && self
                .kind
                .as_ref()
                .is_none_or(|kind| show::message(message).0 == kind)
    }
}

struct Node {
    engine: Option<Engine>,
    disk: Disk,
    held: bool,
    failing: bool,
    waiting: Vec<(LogSeq, NodeId, Message)>,
    chain: BTreeMap<Height, Decided>,
    starts: u8,
    /// How far its wall clock is ahead.
    clock_ahead_ms: u64,
    /// The highest ballot it has told others it joined, by height. A restart must not forget it.
    joined: BTreeMap<Height, Ballot>,
}

pub(crate) struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    membership: Membership,
    genesis: Arc<Block>,
    links: Vec<Link>,
    copies: Vec<Link>,
    /// Messages from and to nodes that are far, and when they arrive.
    distant: Vec<(u64, Link)>,
    /// How long a message from or to a node takes in `run`, if not a millisecond.
    far_ms: BTreeMap<NodeId, u64>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    decided: BTreeMap<Height, BlockHash>,
    now_ms: u64,
    salt: u8,
    reads: u64,
    output: String,
}

impl Cluster {
    /// A cluster whose nodes have passed their start-up checks.
    pub(crate) fn start(count: usize) -> Self {
        let mut cluster = Self::unstarted(count);
        for node in cluster.ids() {
            cluster.boot(node);
        }
        cluster.wait(600);
        cluster
    }

    /// A cluster with empty disks and no node running.
    pub(crate) fn unstarted(count: usize) -> Self {
        let membership = forge::membership(count);
        let genesis = Arc::new(forge::genesis(&membership));
        let node = || Node {
            engine: None,
            disk: Disk::default(),
            held: false,
            failing: false,
            waiting: Vec::new(),
            chain: BTreeMap::new(),
            starts: 0,
            clock_ahead_ms: 0,
            joined: BTreeMap::new(),
        };
        let voters = membership.voters().iter();
        Self {
            nodes: voters.map(|member| (member.id, node())).collect(),
            membership,
            genesis,
            links: Vec::new(),
            copies: Vec::new(),
            distant: Vec::new(),
            far_ms: BTreeMap::new(),
            cuts: BTreeSet::new(),
            decided: BTreeMap::new(),
            now_ms: 0,
            salt: 0,
            reads: 0,
            output: String::new(),
        }
    }

    fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    /// Repeats within one step are shown once.
    fn say(&mut self, line: &str) {
        if self.output.lines().any(|said| said == line) {
            return;
        }
        writeln!(self.output, "{line}").expect("writing to a string");
    }

    fn node(&mut self, name: &str) -> Result<&mut Node, Box<dyn Error>> {
        Ok(self.nodes.get_mut(&id(name)?).ok_or("no such node")?)
    }

    fn now(&self, id: NodeId) -> Now {
        let ahead = self.nodes[&id].clock_ahead_ms;
        let wall = Timestamp(forge::START.0 + (self.now_ms + ahead) * 1_000);
        Now {
            instant: Instant::from_millis(self.now_ms),
            wall,
        }
    }

    fn boot(&mut self, id: NodeId) {
        let now = self.now(id);
        let membership = self.membership.clone();
        let genesis = Decided {
            block: Arc::clone(&self.genesis),
            certificate: None,
        };
        let node = self.nodes.get_mut(&id).expect("a member");
        let (boot, chain, vote) = replay(&node.disk.durable, genesis);
        node.disk.start();
        // A rolled-back disk must not reuse a nonce: it is drawn at every start.
        node.starts += 1;
        let nonce = Nonce([node.starts; 16]);
        let tip = chain.values().next_back().expect("genesis").clone();
        let founded = Roster::founded(membership);
        let roster = chain.values().fold(founded, |roster, decided| {
            roster.after(&decided.block).unwrap_or(roster)
        });
        node.chain = chain;
        let config = Config {
            me: id,
            boot: Boot(boot + 1),
            nonce,
            chain: forge::CHAIN,
            contacts: Vec::new(),
            signatures: Arc::new(forge::StandIn(id)),
            seed: u64::from(id.0[0]),
        };
        let roster = Arc::new(roster);
        let recovered = Recovered {
            floor: tip.block.height(),
            tip,
            roster,
            vote,
            ended: false,
        };
        node.engine = Some(Engine::new(config, recovered, now));
        self.carry_out(id);
    }

    fn handle(&mut self, id: NodeId, input: Input) {
        let now = self.now(id);
        let node = self.nodes.get_mut(&id).expect("a member");
        if let Some(engine) = &mut node.engine {
            engine.handle(now, input);
            self.carry_out(id);
        }
    }

    fn carry_out(&mut self, id: NodeId) {
        let mut sent: Vec<(String, Vec<NodeId>)> = Vec::new();
        loop {
            let node = self.nodes.get_mut(&id).expect("a member");
            let Some(engine) = &mut node.engine else {
                return;
            };
            let Some(effect) = engine.poll_effect() else {
                break;
            };
            match effect {
                Effect::Append {
                    seq,
                    record,
                    urgency,
                } => node.disk.pending.push((seq, record, urgency)),
                Effect::Send { after, to, message } => {
                    let (kind, text) = show::message(&message);
                    if !text.is_empty() {
                        let held = node.held && after > node.disk.durable_through;
                        let mark = if held { " (behind its disk)" } else { "" };
                        let line = format!("{kind} {text}{mark}");
                        match sent.iter_mut().find(|(other, _)| *other == line) {
                            Some((_, receivers)) => receivers.push(to),
                            None => sent.push((line, vec![to])),
                        }
                    }
                    node.waiting.push((after, to, message));
                }
                Effect::SendDecided { to, from } => self.send_decided(id, to, from),
                Effect::Decided {
                    block, certificate, ..
                } => {
                    let certificate = Some(certificate);
                    self.decided(id, Decided { block, certificate });
                }
                effect => self.show_effect(id, effect),
            }
        }
        for (line, receivers) in sent {
            let receivers: Vec<String> = receivers.into_iter().map(name).collect();
            self.say(&format!("{} → {}: {line}", name(id), receivers.join(" ")));
        }
        let node = &self.nodes[&id];
        if !node.held && node.disk.is_urgent() {
            self.flush_disk(id);
        } else {
            self.release(id);
        }
        self.check_promises_kept(id);
    }

    fn send_decided(&mut self, id: NodeId, to: NodeId, from: Height) {
        let node = self.nodes.get_mut(&id).expect("a member");
        let decided = node.chain.range(from..).take(BATCH).map(|(_, d)| d.clone());
        for Decided { block, certificate } in decided.collect::<Vec<_>>() {
            let certificate = certificate.expect("genesis is never asked for");
            let message = Message::Decide { block, certificate };
            node.waiting.push((LogSeq(0), to, message));
        }
    }

    fn decided(&mut self, id: NodeId, decided: Decided) {
        self.say(&format!(
            "{} decides {}",
            name(id),
            show::block(&decided.block)
        ));
        self.check_agreement(&decided.block);
        let node = self.nodes.get_mut(&id).expect("a member");
        node.chain.insert(decided.block.height(), decided);
    }

    fn show_effect(&mut self, id: NodeId, effect: Effect) {
        let what = match effect {
            Effect::ReadReady { id: read, height } => {
                format!("answers read {} at height {height}", read.0)
            }
            Effect::Stopped(reason) => format!("stops: {reason}"),
            Effect::Evidence(evidence) => {
                let proof = evidence.verify(&forge::StandIn(id));
                assert_eq!(proof, Ok(()), "evidence that proves nothing");
                format!(
                    "has evidence against {} at {}",
                    name(evidence.node),
                    evidence.height
                )
            }
            Effect::Refused { from, why } => format!("refuses {}: {why}", name(from)),
            Effect::Dropped(leaves) => format!("drops {} commands", leaves.len()),
            _ => return,
        };
        self.say(&format!("{} {what}", name(id)));
    }

    /// One block per height, over all nodes and incarnations.
    fn check_agreement(&mut self, block: &Block) {
        let first = *self
            .decided
            .entry(block.height())
            .or_insert_with(|| block.hash());
        assert_eq!(
            first,
            block.hash(),
            "two blocks decided at {}",
            block.height()
        );
    }

    /// A voting node stands by every ballot it has told others it joined, its accepted ballot among them.
    fn check_promises_kept(&mut self, id: NodeId) {
        let node = &self.nodes[&id];
        let Some(engine) = &node.engine else { return };
        let vote = engine.vote();
        if engine.phase() != Phase::Voting {
            return;
        }
        let joined = node.joined.get(&vote.height).copied();
        assert!(
            joined.is_none_or(|joined| vote.promised >= joined),
            "{} has gone back behind {joined:?} at {}",
            name(id),
            vote.height
        );
        let accepted = vote.accepted.map_or(Ballot::NONE, |(ballot, _)| ballot);
        assert!(
            accepted <= vote.promised,
            "{} accepted above its promise",
            name(id)
        );
    }

    /// Flushes a node's disk and lets go of what waited for it.
    fn flush_disk(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("a member");
        if node.failing {
            node.failing = false;
            let durable = node.disk.durable_through;
            node.waiting.retain(|(after, _, _)| *after <= durable);
            self.release(id);
            self.handle(id, Input::PersistFailed);
            return;
        }
        let last = node.disk.flush();
        self.release(id);
        if let Some(seq) = last {
            self.handle(id, Input::Persisted(seq));
        }
    }

    /// Sends what waits for nothing any more.
    fn release(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("a member");
        let durable = node.disk.durable_through;
        let (ready, waiting) = std::mem::take(&mut node.waiting)
            .into_iter()
            .partition(|(after, _, _)| *after <= durable);
        node.waiting = waiting;
        let ready: Vec<(LogSeq, NodeId, Message)> = ready;
        for (_, to, message) in ready {
            if let Message::Promise { height, ballot, .. }
            | Message::Accepted { height, ballot, .. } = &message
            {
                let joined = node.joined.entry(*height).or_insert(Ballot::NONE);
                *joined = (*joined).max(*ballot);
            }
            if !self.cuts.contains(&(id, to)) {
                self.links.push((id, to, message));
            }
        }
    }

    /// The first message that is carried at once: any quiet one, but the beacon behind a batch stays behind it.
    fn first_quiet(&self) -> Option<usize> {
        let is_quiet = |at: &usize| {
            let (from, to, message) = &self.links[*at];
            let batch = self.links[..*at].iter().any(|(f, t, earlier)| {
                (f, t) == (from, to) && matches!(earlier, Message::Decide { .. })
            });
            show::message(message).0 == "quiet" && !batch
        };
        (0..self.links.len()).find(is_quiet)
    }

    fn deliver_quiet(&mut self) {
        while let Some(at) = self.first_quiet() {
            let (from, to, message) = self.links.remove(at);
            self.handle(to, Input::Receive { from, message });
        }
    }

    pub(crate) fn deliver(&mut self, filter: &Filter) {
        self.deliver_quiet();
        let mut left = self.links.len();
        let mut at = 0;
        while at < self.links.len() && (filter.is_all() || left > 0) {
            left = left.saturating_sub(1);
            if filter.matches(&self.links[at]) {
                let (from, to, message) = self.links.remove(at);
                self.handle(to, Input::Receive { from, message });
            } else {
                at += 1;
            }
        }
        self.deliver_quiet();
    }

    pub(crate) fn lose(&mut self, filter: &Filter) {
        self.links.retain(|link| !filter.matches(link));
    }

    pub(crate) fn copy(&mut self, filter: &Filter) {
        let copies = self.links.iter().filter(|link| filter.matches(link));
        self.copies.extend(copies.cloned());
    }

    pub(crate) fn repeat(&mut self) {
        self.links.append(&mut self.copies);
    }

    fn wake(&mut self, id: NodeId) {
        let now = Instant::from_millis(self.now_ms);
        let due = self.nodes[&id].engine.as_ref().and_then(Engine::next_wake);
        if due.is_some_and(|due| due <= now) {
            self.handle(id, Input::Wake);
            let due = self.nodes[&id].engine.as_ref().and_then(Engine::next_wake);
            assert!(
                due.is_none_or(|due| due > now),
                "{} wakes for nothing",
                name(id)
            );
        }
    }

    /// Time passes and only quiet messages travel, at once.
    pub(crate) fn wait(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ms += 1;
            for id in self.ids() {
                self.wake(id);
            }
            self.deliver_quiet();
        }
    }

    /// Time passes and every message takes a millisecond, or longer if a node is far.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ms += 1;
            for (from, to, message) in self.arrivals() {
                self.handle(to, Input::Receive { from, message });
            }
            for id in self.ids() {
                self.wake(id);
            }
        }
    }

    /// What arrives in this millisecond of a `run`, in the order of sending.
    fn arrivals(&mut self) -> Vec<Link> {
        let now = self.now_ms;
        for link in std::mem::take(&mut self.links) {
            let ends = [link.0, link.1];
            let far = ends.iter().filter_map(|node| self.far_ms.get(node)).max();
            self.distant.push((now + far.map_or(0, |ms| ms - 1), link));
        }
        let (due, distant) = std::mem::take(&mut self.distant)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.distant = distant;
        let due: Vec<(u64, Link)> = due;
        due.into_iter().map(|(_, link)| link).collect()
    }

    /// From now on a message from or to a node takes so long in `run`.
    pub(crate) fn put_far(&mut self, node: &str, ms: u64) -> Outcome {
        self.far_ms.insert(id(node)?, ms.max(1));
        Ok(())
    }

    pub(crate) fn submit(&mut self, node: &str, names: &str) -> Outcome {
        let id = id(node)?;
        for text in names.split(',') {
            self.salt += 1;
            let command = forge::command(text, self.salt);
            let valid_until = Timestamp(u64::MAX);
            self.handle(
                id,
                Input::Submit {
                    command,
                    valid_until,
                },
            );
        }
        Ok(())
    }

    pub(crate) fn read(&mut self, node: &str) -> Outcome {
        self.reads += 1;
        self.handle(id(node)?, Input::Read(ReadId(self.reads)));
        Ok(())
    }

    pub(crate) fn cut(&mut self, one: &str, other: &str) -> Outcome {
        let (one, other) = (id(one)?, id(other)?);
        self.cuts.extend([(one, other), (other, one)]);
        self.lose_cut();
        Ok(())
    }

    /// Nothing reaches a node any more; what it says still passes.
    pub(crate) fn deafen(&mut self, node: &str) -> Outcome {
        let deaf = id(node)?;
        self.cuts
            .extend(self.nodes.keys().map(|other| (*other, deaf)));
        self.lose_cut();
        Ok(())
    }

    fn lose_cut(&mut self) {
        let cuts = &self.cuts;
        self.links
            .retain(|(from, to, _)| !cuts.contains(&(*from, *to)));
        self.distant
            .retain(|(_, (from, to, _))| !cuts.contains(&(*from, *to)));
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    pub(crate) fn hold(&mut self, node: &str) -> Outcome {
        self.node(node)?.held = true;
        Ok(())
    }

    pub(crate) fn flush(&mut self, node: &str) -> Outcome {
        self.node(node)?.held = false;
        self.flush_disk(id(node)?);
        Ok(())
    }

    /// The flush under way of a held disk returns, and the next begins, which takes what was written meanwhile.
    pub(crate) fn end_flush(&mut self, node: &str) -> Outcome {
        let id = id(node)?;
        let last = self.node(node)?.disk.end_flush();
        self.release(id);
        if let Some(seq) = last {
            self.handle(id, Input::Persisted(seq));
        }
        Ok(())
    }

    pub(crate) fn fail_flush(&mut self, node: &str) -> Outcome {
        self.node(node)?.failing = true;
        Ok(())
    }

    pub(crate) fn room(&mut self, node: &str, room: DiskRoom) -> Outcome {
        let id = id(node)?;
        self.node(node)?.held = room == DiskRoom::Full;
        self.handle(id, Input::DiskFull(room));
        Ok(())
    }

    pub(crate) fn crash(&mut self, node: &str) -> Outcome {
        let id = id(node)?;
        let node = self.node(node)?;
        node.engine = None;
        node.disk.pending.clear();
        node.waiting.clear();
        node.held = false;
        self.links.retain(|(_, to, _)| *to != id);
        self.distant.retain(|(_, (_, to, _))| *to != id);
        Ok(())
    }

    pub(crate) fn restart(&mut self, node: &str) -> Outcome {
        self.boot(id(node)?);
        Ok(())
    }

    pub(crate) fn roll_back(&mut self, node: &str) -> Outcome {
        self.node(node)?.disk.roll_back();
        Ok(())
    }

    pub(crate) fn give_away(&mut self, node: &str) -> Outcome {
        self.handle(id(node)?, Input::Yield);
        Ok(())
    }

    pub(crate) fn set_clock_ahead(&mut self, node: &str, ms: u64) -> Outcome {
        self.node(node)?.clock_ahead_ms = ms;
        Ok(())
    }

    /// A node signs a second block at the ballot of the accept it has under way, and sends it to another.
    pub(crate) fn propose_twice(&mut self, node: &str, to: &str, text: &str) -> Outcome {
        let (node, to) = (id(node)?, id(to)?);
        let own = self.links.iter().find_map(|(from, _, message)| {
            let Message::Accept(accept) = message else {
                return None;
            };
            (*from == node).then(|| accept.clone())
        });
        let Accept { ballot, block, .. } = own.ok_or("no accept of that node is under way")?;
        let tip = self.nodes[&to]
            .chain
            .values()
            .next_back()
            .ok_or("genesis")?;
        let draft = forge::draft(&tip.block, block.header().proposer, text);
        let message = forge::accept(ballot, &Arc::new(Block::new(draft)));
        self.links.push((node, to, message));
        Ok(())
    }

    /// A node signs that it accepted another block at the ballot it accepted at, and sends that to another.
    pub(crate) fn accept_twice(&mut self, node: &str, to: &str, text: &str) -> Outcome {
        let (node, to) = (id(node)?, id(to)?);
        let vote = self.nodes[&node].engine.as_ref().ok_or("down")?.vote();
        let (ballot, block) = vote.accepted.ok_or("nothing accepted")?;
        let tip = self.nodes[&to]
            .chain
            .values()
            .next_back()
            .ok_or("genesis")?;
        let draft = forge::draft(&tip.block, block.header().proposer, text);
        let message = forge::accepted(node, ballot, &Block::new(draft));
        self.links.push((node, to, message));
        Ok(())
    }

    pub(crate) fn status(&mut self) {
        for id in self.ids() {
            let line = match &self.nodes[&id].engine {
                None => format!("{} is down", name(id)),
                Some(engine) => show::engine(id, engine),
            };
            self.say(&line);
        }
    }

    /// A running node's engine.
    pub(crate) fn engine(&self, node: &str) -> &Engine {
        let node = id(node).expect("a node's name");
        self.nodes[&node].engine.as_ref().expect("a running node")
    }

    /// What a node has decided and written, by height.
    pub(crate) fn chain(&self, node: &str) -> &BTreeMap<Height, Decided> {
        &self.nodes[&id(node).expect("a node's name")].chain
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Every record of a node's log in order, flushed or not.
    pub(crate) fn log(&self, node: &str) -> Vec<&Record> {
        let disk = &self.nodes[&id(node).expect("a node's name")].disk;
        let pending = disk.pending.iter().map(|(_, record, _)| record);
        disk.durable.iter().chain(pending).collect()
    }

    /// A record as if an earlier start of a node that is down had written it.
    pub(crate) fn put_record(&mut self, node: &str, record: Record) {
        let node = self.node(node).expect("a node's name");
        node.disk.durable.push(record);
    }

    /// The messages under way that match.
    pub(crate) fn under_way(&self, filter: &Filter) -> Vec<&Message> {
        let links = self.links.iter().filter(|link| filter.matches(link));
        links.map(|(_, _, message)| message).collect()
    }

    /// Something arrives that nobody in the cluster has sent.
    pub(crate) fn inject(&mut self, from: &str, to: &str, message: Message) {
        let (from, to) = (id(from).expect("a name"), id(to).expect("a name"));
        self.handle(to, Input::Receive { from, message });
    }
}
