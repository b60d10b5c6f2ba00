//! A cluster of engines with disks of records, for scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use consensus::{Config, Effect, Engine, Input, Message, Phase, ReadId, Recovered};
use model::{
    Ballot, Block, Boot, ChainId, Command, Decided, Height, Instant, LibraryId, LogSeq, Member,
    Membership, NodeId, Nonce, Now, Payload, Record, Signature, Signatures, Statement, Timestamp,
    TokenId, Vote,
};
use sha2::{Digest as _, Sha256};

type Outcome = Result<(), Box<dyn Error>>;

const CHAIN: ChainId = ChainId([7; 16]);
const START: Timestamp = Timestamp(1_700_000_000_000_000);

/// Signatures that anybody could forge: scripts test the protocol, not the curve.
struct StandIn(NodeId);

impl StandIn {
    fn make(node: NodeId, statement: &Statement) -> Signature {
        let mut hash = Sha256::new();
        hash.update(node.0);
        hash.update(statement.to_bytes());
        let half: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&half);
        Signature(bytes)
    }
}

impl Signatures for StandIn {
    fn sign(&self, statement: &Statement) -> Signature {
        Self::make(self.0, statement)
    }

    fn verify(&self, node: NodeId, statement: &Statement, signature: &Signature) -> bool {
        Self::make(node, statement) == *signature
    }
}

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

    fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.kind.is_none()
    }

    fn matches(&self, (from, to, message): &(NodeId, NodeId, Message)) -> bool {
        self.from.is_none_or(|node| node == *from)
            && self.to.is_none_or(|node| node == *to)
            && self
                .kind
                .as_ref()
                .is_none_or(|kind| describe(message).0 == kind)
    }
}

#[derive(Default)]
struct Disk {
    durable: Vec<Record>,
    pending: Vec<(LogSeq, Record)>,
    at_start: Vec<Record>,
}

struct Node {
    engine: Option<Engine>,
    disk: Disk,
    held: bool,
    failing: bool,
    waiting: Vec<(LogSeq, NodeId, Message)>,
    chain: BTreeMap<Height, Decided>,
    boot: u64,
}

pub(crate) struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    membership: Membership,
    genesis: Arc<Block>,
    links: Vec<(NodeId, NodeId, Message)>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    now_ms: u64,
    salt: u8,
    reads: u64,
    output: String,
}

fn id(name: &str) -> Result<NodeId, Box<dyn Error>> {
    let number: u8 = name
        .strip_prefix('n')
        .ok_or("a node is called n1, n2, …")?
        .parse()?;
    Ok(NodeId([number; 32]))
}

fn name(node: NodeId) -> String {
    format!("n{}", node.0[0])
}

fn ballot(ballot: Ballot) -> String {
    match ballot {
        Ballot::NONE => "none".to_owned(),
        Ballot { k, node, boot } => format!("({k},{},{boot})", name(node)),
    }
}

fn block(block: &Block) -> String {
    let bodies: Vec<String> = block
        .entries()
        .iter()
        .filter_map(|entry| match entry.sealed()?.open().ok()?.payload {
            Payload::Record(body) => Some(String::from_utf8_lossy(&body).into_owned()),
            _ => None,
        })
        .collect();
    let turn = block
        .header()
        .hint
        .map_or("none".to_owned(), |turn| name(turn.node));
    format!("{}:[{}]→{turn}", block.height(), bodies.join(" "))
}

/// Kind and text; an empty text is not shown.
fn describe(message: &Message) -> (&'static str, String) {
    match message {
        Message::Prepare { height, ballot: b } => ("prepare", format!("{height} {}", ballot(*b))),
        Message::Promise {
            height,
            ballot: b,
            accepted,
        } => {
            let last = accepted.as_ref().map_or("nothing".to_owned(), |(at, v)| {
                format!("{} {}", ballot(*at), block(v))
            });
            (
                "promise",
                format!("{height} {}, accepted {last}", ballot(*b)),
            )
        }
        Message::Nack {
            height,
            ballot: b,
            promised,
        } => (
            "nack",
            format!("{height} {}, promised {}", ballot(*b), ballot(*promised)),
        ),
        Message::Accept(accept) => (
            "accept",
            format!("{} {}", ballot(accept.ballot), block(&accept.block)),
        ),
        Message::Accepted {
            height, ballot: b, ..
        } => ("accepted", format!("{height} {}", ballot(*b))),
        Message::Decide { block: b, .. } => ("decide", block(b)),
        Message::Fetch { from } => ("fetch", format!("from {from}")),
        Message::FetchAccepted { height, .. } => ("fetch-accepted", format!("{height}")),
        Message::Body { block: b } => ("body", block(b)),
        Message::Push { commands } => ("push", format!("{} commands", commands.len())),
        Message::AskTop { round, .. } => ("ask-top", format!("round {round}")),
        Message::Top { round, top } => ("top", format!("round {round}: {top}")),
        Message::Beacon(_)
        | Message::Ping { .. }
        | Message::Pong { .. }
        | Message::WhatWasI { .. }
        | Message::YouWere { .. } => ("quiet", String::new()),
    }
}

impl Cluster {
    pub(crate) fn start(count: usize) -> Self {
        let ids = (1..=count).map(|n| NodeId([u8::try_from(n).expect("a small cluster"); 32]));
        let members = ids.map(|id| Member { id, name: name(id) }).collect();
        let membership = Membership::new(members).expect("distinct names");
        let founding = Command {
            library: LibraryId::home(),
            actor: TokenId([0; 8]),
            key: None,
            valid_until: START,
            payload: Payload::Genesis {
                voters: membership.voters().to_vec(),
                admin: TokenId([0; 8]),
                admin_secret: model::Digest([0; 32]),
                library: LibraryId::home(),
            },
        };
        let genesis = Arc::new(Block::genesis(
            CHAIN,
            &membership,
            START,
            founding.seal([0; 16]),
        ));
        let nodes = membership.voters().iter().map(|member| {
            let node = Node {
                engine: None,
                disk: Disk::default(),
                held: false,
                failing: false,
                waiting: Vec::new(),
                chain: BTreeMap::new(),
                boot: 0,
            };
            (member.id, node)
        });
        let nodes: BTreeMap<NodeId, Node> = nodes.collect();
        let mut cluster = Self {
            nodes,
            membership,
            genesis,
            links: Vec::new(),
            cuts: BTreeSet::new(),
            now_ms: 0,
            salt: 0,
            reads: 0,
            output: String::new(),
        };
        for node in cluster.ids() {
            cluster.boot(node);
        }
        cluster.wait(600);
        cluster
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

    fn now(&self) -> Now {
        let wall = Timestamp(START.0 + self.now_ms * 1_000);
        Now {
            instant: Instant::from_millis(self.now_ms),
            wall,
        }
    }

    fn boot(&mut self, id: NodeId) {
        let now = self.now();
        let membership = self.membership.clone();
        let genesis = Decided {
            block: Arc::clone(&self.genesis),
            certificate: None,
        };
        let node = self.nodes.get_mut(&id).expect("a member");
        let (boot, chain, vote) = replay(&node.disk.durable, genesis);
        node.disk.at_start = node.disk.durable.clone();
        // A rolled-back disk must not reuse a nonce: it is drawn at every start.
        node.boot += 1;
        let nonce = Nonce([u8::try_from(node.boot).expect("few starts"); 16]);
        let tip = chain.values().next_back().expect("genesis").clone();
        node.chain = chain;
        let config = Config {
            me: id,
            boot: Boot(boot + 1),
            nonce,
            chain: CHAIN,
            membership,
            signatures: Arc::new(StandIn(id)),
            seed: u64::from(id.0[0]),
        };
        node.engine = Some(Engine::new(config, Recovered { tip, vote }, now));
        self.carry_out(id);
    }

    fn handle(&mut self, id: NodeId, input: Input) {
        let now = self.now();
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
                Effect::Append { seq, record, .. } => node.disk.pending.push((seq, record)),
                Effect::Send { after, to, message } => {
                    let (kind, text) = describe(&message);
                    if !text.is_empty() {
                        let line = format!("{kind} {text}");
                        match sent.iter_mut().find(|(other, _)| *other == line) {
                            Some((_, receivers)) => receivers.push(to),
                            None => sent.push((line, vec![to])),
                        }
                    }
                    node.waiting.push((after, to, message));
                }
                Effect::SendDecided { to, from } => {
                    let decided: Vec<Decided> = node
                        .chain
                        .range(from..)
                        .map(|(_, decided)| decided.clone())
                        .collect();
                    for Decided { block, certificate } in decided {
                        let certificate = certificate.expect("genesis is never asked for");
                        let message = Message::Decide { block, certificate };
                        node.waiting.push((LogSeq(0), to, message));
                    }
                }
                Effect::Decided {
                    block: decided,
                    certificate,
                } => {
                    let line = format!("{} decides {}", name(id), block(&decided));
                    let entry = Decided {
                        block: decided,
                        certificate: Some(certificate),
                    };
                    node.chain.insert(entry.block.height(), entry);
                    self.say(&line);
                }
                Effect::ReadReady { id: read, height } => {
                    let line = format!("{} answers read {} at height {height}", name(id), read.0);
                    self.say(&line);
                }
                Effect::Voting => {}
                Effect::Stopped(reason) => {
                    let line = format!("{} stops: {reason}", name(id));
                    self.say(&line);
                }
                Effect::Evidence {
                    node: liar, height, ..
                } => {
                    let line = format!(
                        "{} has evidence against {} at {height}",
                        name(id),
                        name(liar)
                    );
                    self.say(&line);
                }
                Effect::Refused { from, why } => {
                    let line = format!("{} refuses {}: {why}", name(id), name(from));
                    self.say(&line);
                }
                Effect::Dropped(leaves) => {
                    let line = format!("{} drops {} commands", name(id), leaves.len());
                    self.say(&line);
                }
            }
        }
        for (line, receivers) in sent {
            let receivers: Vec<String> = receivers.into_iter().map(name).collect();
            let held = if self.nodes[&id].held {
                " (behind its disk)"
            } else {
                ""
            };
            let line = format!("{} → {}: {line}{held}", name(id), receivers.join(" "));
            self.say(&line);
        }
        if !self.nodes[&id].held {
            self.persist(id);
        }
    }

    /// Flushes a node's disk and lets go of what waited for it.
    fn persist(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("a member");
        if node.failing {
            node.failing = false;
            node.waiting.clear();
            self.handle(id, Input::PersistFailed);
            return;
        }
        let pending = std::mem::take(&mut node.disk.pending);
        let last = pending.last().map(|(seq, _)| *seq);
        node.disk
            .durable
            .extend(pending.into_iter().map(|(_, record)| record));
        for (_, to, message) in std::mem::take(&mut node.waiting) {
            if !self.cuts.contains(&(id, to)) {
                self.links.push((id, to, message));
            }
        }
        if let Some(seq) = last {
            self.handle(id, Input::Persisted(seq));
        }
    }

    fn deliver_quiet(&mut self) {
        while let Some(at) = self
            .links
            .iter()
            .position(|(_, _, m)| describe(m).0 == "quiet")
        {
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

    pub(crate) fn wait(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ms += 1;
            let now = self.now().instant;
            for id in self.ids() {
                let due = self.nodes[&id].engine.as_ref().and_then(Engine::next_wake);
                if due.is_some_and(|due| due <= now) {
                    self.handle(id, Input::Wake);
                }
            }
            self.deliver_quiet();
        }
    }

    pub(crate) fn submit(&mut self, node: &str, names: &str) -> Outcome {
        let id = id(node)?;
        for body in names.split(',') {
            self.salt += 1;
            let command = Command {
                library: LibraryId::home(),
                actor: TokenId([0; 8]),
                key: None,
                valid_until: Timestamp(u64::MAX),
                payload: Payload::Record(body.as_bytes().to_vec()),
            };
            let command = command.seal([self.salt; 16]);
            self.handle(
                id,
                Input::Submit {
                    command,
                    valid_until: Timestamp(u64::MAX),
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
        let cuts = &self.cuts;
        self.links
            .retain(|(from, to, _)| !cuts.contains(&(*from, *to)));
        Ok(())
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
        self.persist(id(node)?);
        Ok(())
    }

    pub(crate) fn fail_flush(&mut self, node: &str) -> Outcome {
        self.node(node)?.failing = true;
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
        Ok(())
    }

    pub(crate) fn restart(&mut self, node: &str) -> Outcome {
        self.boot(id(node)?);
        Ok(())
    }

    pub(crate) fn roll_back(&mut self, node: &str) -> Outcome {
        let disk = &mut self.node(node)?.disk;
        disk.durable = disk.at_start.clone();
        Ok(())
    }

    pub(crate) fn give_away(&mut self, node: &str) -> Outcome {
        self.handle(id(node)?, Input::Yield);
        Ok(())
    }

    pub(crate) fn status(&mut self) {
        for id in self.ids() {
            let line = match &self.nodes[&id].engine {
                None => format!("{} is down", name(id)),
                Some(engine) => {
                    let vote = engine.vote();
                    let accepted = vote
                        .accepted
                        .as_ref()
                        .map_or("nothing".to_owned(), |(at, v)| {
                            format!("{} {}", ballot(*at), block(v))
                        });
                    let turn = engine.turn().map_or("nobody".to_owned(), |turn| {
                        format!("{} boot {}", name(turn.node), turn.boot)
                    });
                    let phase = match engine.phase() {
                        Phase::Voting => String::new(),
                        phase => format!(", {phase:?}"),
                    };
                    format!(
                        "{}: tip {}, turn {turn}, promised {}, accepted {accepted}{phase}",
                        name(id),
                        engine.tip(),
                        ballot(vote.promised),
                    )
                }
            };
            self.say(&line);
        }
    }
}

/// What a log of whole records says: the last boot, the decided chain and the vote above it.
fn replay(log: &[Record], genesis: Decided) -> (u64, BTreeMap<Height, Decided>, Option<Vote>) {
    let mut boot = 0;
    let mut chain = BTreeMap::from([(Height::GENESIS, genesis)]);
    let mut vote: Option<Vote> = None;
    for record in log {
        match record {
            Record::Start {
                boot: started,
                vote: repeated,
                ..
            } => {
                boot = started.0;
                vote = repeated.clone();
            }
            Record::Vote { vote: changed, .. } => vote = Some(changed.clone()),
            Record::Decided {
                block, certificate, ..
            } => {
                let certificate = Some(certificate.clone());
                let decided = Decided {
                    block: Arc::clone(block),
                    certificate,
                };
                chain.insert(block.height(), decided);
            }
        }
    }
    let tip = *chain.keys().next_back().expect("genesis");
    (boot, chain, vote.filter(|vote| vote.height > tip))
}
