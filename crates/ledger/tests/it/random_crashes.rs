//! Random lives with random power cuts, any set of unflushed sectors lost, and with flushes that fail.

use std::collections::BTreeMap;

use ledger::Bounds;
use model::{Ballot, Boot, Decided, Height, Record, Vote};
use proptest::prelude::*;

use crate::chain::{Memory, Node, record};

#[derive(Debug, Clone)]
enum Act {
    Promise,
    Accept(u16),
    Decide,
    Learn,
    Flush,
    /// Power fails.
    Crash(u64),
    /// A flush fails, and the process is started again.
    Fail(u64),
    /// Something is sealed, and what is not needed any more deleted.
    Seal,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Promise),
        4 => (0..9000_u16).prop_map(Act::Accept),
        3 => Just(Act::Decide),
        1 => Just(Act::Learn),
        3 => Just(Act::Flush),
        2 => any::<u64>().prop_map(Act::Crash),
        1 => any::<u64>().prop_map(Act::Fail),
        2 => Just(Act::Seal),
    ]
}

/// What must survive: start counter, last height known to be decided, vote above it. Blocks may have to be fetched.
fn essence(memory: &Memory) -> (Boot, Height, Option<Vote>) {
    let tip = memory.tip.block.height();
    let below = memory.vote.as_ref().and_then(|vote| vote.height.previous());
    let empty = |vote: &Vote| vote.promised == Ballot::NONE && vote.accepted.is_none();
    let vote = memory.vote.clone().filter(|vote| !empty(vote));
    (memory.boot, below.map_or(tip, |below| below.max(tip)), vote)
}

struct Life {
    node: Node,
    k: u64,
    /// What the node knew after each record that was not yet flushed, the last flushed one first.
    memories: Vec<Memory>,
    /// What other nodes could send.
    decided: BTreeMap<Height, Decided>,
    /// Until a flush fails, every block that was flushed is there.
    failed: bool,
}

impl Life {
    fn new() -> Self {
        let mut node = Node::new();
        let memories = vec![node.memory.clone()];
        node.start();
        let decided = BTreeMap::new();
        let mut life = Self {
            node,
            k: 1,
            memories,
            decided,
            failed: false,
        };
        life.remember();
        life
    }

    fn remember(&mut self) {
        self.memories.push(self.node.memory.clone());
        let tip = &self.node.memory.tip;
        self.decided.insert(tip.block.height(), tip.clone());
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Promise => {
                self.k += 1;
                self.node.promise(self.k);
            }
            Act::Accept(size) => {
                self.k += 1;
                let body: Vec<u8> = (0..*size).map(|i| (i / 600 % 3) as u8).collect();
                self.node.accept(self.k, vec![record(&body)]);
            }
            Act::Decide => {
                let vote = self.node.memory.vote.as_ref();
                if vote.is_none_or(|vote| vote.accepted.is_none()) {
                    return;
                }
                self.node.decide();
            }
            Act::Learn => self.node.learn(vec![]),
            Act::Flush => {
                self.node.flush();
                self.memories = vec![self.node.memory.clone()];
                return;
            }
            Act::Crash(seed) => return self.crash(*seed),
            Act::Fail(seed) => return self.fail(*seed),
            Act::Seal => return self.seal(),
        }
        self.remember();
    }

    fn seal(&self) {
        let bounds = Bounds {
            bytes: 1500,
            keep: 0,
            ..Bounds::default()
        };
        let reader = self.node.ledger.reader();
        while ledger::seal(&reader, &bounds).unwrap().is_some() {}
        ledger::retire(&reader).unwrap();
    }

    /// What was decided is still there, or was never flushed before a flush failed.
    fn read_all(&self) {
        let reader = self.node.ledger.reader();
        let tip = reader.tip().0;
        for decided in reader.blocks(Height(1)) {
            let decided = decided.expect("nothing rots");
            let height = decided.block.height();
            assert_eq!(
                self.decided.get(&height),
                Some(&decided),
                "{height} of {tip}"
            );
        }
        assert_eq!(reader.blocks(Height(0)).count() as u64, tip.0 + 1);
    }

    /// A quarter of the crashes lose everything, a quarter nothing, the others any set of sectors.
    fn crash(&mut self, seed: u64) {
        let survivor = self.node.disk.crash(lottery(seed));
        for (at, (name, bytes)) in self.node.disk.state().retired.iter().enumerate() {
            // A deletion may not have reached the disk.
            if seed >> (at % 60) & 1 == 1 {
                let mut state = survivor.state();
                state.durable.insert(name.clone(), bytes.clone());
                state.seen.insert(name.clone(), bytes.clone());
            }
        }
        self.node = Node::open(&survivor).expect("no flushed byte was touched");
        let memory = self.node.memory.clone();
        let expected = |known: &Memory| essence(known) == essence(&memory);
        let known = self.memories.iter().any(expected);
        assert!(known, "{memory:#?} is none of {:#?}", self.memories);
        assert!(
            self.failed || self.memories.contains(&memory),
            "{memory:#?}"
        );
        self.memories = vec![memory];
        self.restart();
    }

    fn fail(&mut self, seed: u64) {
        self.failed = true;
        self.node.disk.fail_flush(lottery(seed));
        let memory = self.node.memory.clone();
        self.node = Node::open(&self.node.disk).expect("the page cache shows everything");
        assert_eq!(essence(&self.node.memory), essence(&memory));
        self.node.start();
        self.node.flush();
        self.memories = vec![self.node.memory.clone()];
    }

    /// Starts, and fetches what is missing before anything else.
    fn restart(&mut self) {
        let (_, floor, vote) = essence(&self.node.memory);
        self.decided.retain(|height, _| *height <= floor);
        self.node.start();
        self.remember();
        let next = self.node.memory.tip.block.height().next();
        let missing: Vec<Decided> = self.decided.range(next..).map(|(_, d)| d.clone()).collect();
        for decided in missing {
            self.node.append(&Record::Decided {
                block: decided.block.clone(),
                certificate: decided.certificate.clone().unwrap(),
                body: true,
            });
            self.node.memory.tip = decided;
            self.remember();
        }
        assert_eq!(self.node.memory.tip.block.height(), floor);
        self.read_all();
        self.node.memory.vote = vote;
    }
}

fn lottery(seed: u64) -> impl FnMut(&ledger::Write, u64) -> bool {
    let mut random = seed;
    move |_, _| match seed % 4 {
        0 => false,
        1 => true,
        odds => {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % 8 >= odds
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn flushed_records_survive_and_nothing_else_appears(acts in prop::collection::vec(act(), 1..60)) {
        let mut life = Life::new();
        for act in &acts {
            life.act(act);
        }
        life.crash(1);
    }
}
