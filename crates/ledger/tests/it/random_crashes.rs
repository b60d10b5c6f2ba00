//! Random lives with random power cuts, any set of unflushed sectors lost.

use proptest::prelude::*;

use crate::chain::{Memory, Node, record};

#[derive(Debug, Clone)]
enum Act {
    Promise,
    Accept(u16),
    Decide,
    Learn,
    Flush,
    Crash(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Promise),
        4 => (0..9000_u16).prop_map(Act::Accept),
        3 => Just(Act::Decide),
        1 => Just(Act::Learn),
        3 => Just(Act::Flush),
        2 => any::<u64>().prop_map(Act::Crash),
    ]
}

struct Life {
    node: Node,
    k: u64,
    /// What the node knew after each record that was not yet flushed, the last flushed one first.
    memories: Vec<Memory>,
    random: u64,
}

impl Life {
    fn new() -> Self {
        let mut node = Node::new();
        let memories = vec![node.memory.clone()];
        node.start();
        let mut life = Self {
            node,
            k: 1,
            memories,
            random: 0,
        };
        life.remember();
        life
    }

    fn remember(&mut self) {
        self.memories.push(self.node.memory.clone());
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
        }
        self.remember();
    }

    /// A quarter of the crashes lose everything, a quarter nothing, the others any set of sectors.
    fn crash(&mut self, seed: u64) {
        self.random = seed;
        let survivor = self.node.disk.crash(|_, _| match seed % 4 {
            0 => false,
            1 => true,
            odds => {
                self.random = self
                    .random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (self.random >> 33) % 8 >= odds
            }
        });
        self.node = Node::open(&survivor).expect("no flushed byte was touched");
        let memory = &self.node.memory;
        assert!(
            self.memories.contains(memory),
            "{memory:#?} is none of {:#?}",
            self.memories
        );
        self.memories = vec![memory.clone()];
        self.node.start();
        self.remember();
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
