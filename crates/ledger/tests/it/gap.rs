//! Logs that lack blocks below one that they call decided, and lack them again.

use model::{Decided, Height, Record};

use crate::chain::{Node, keys, record};

/// The node writes these blocks, each with its mark. The flush fails, of which only the last record has made it; the
/// node is started again from what the page cache shows, and then the power fails.
fn lose_all_but_the_last(mut node: Node, blocks: &[Decided]) -> Node {
    for decided in blocks {
        node.append(&Record::Decided {
            block: decided.block.clone(),
            certificate: decided.certificate.clone().unwrap(),
            body: true,
        });
    }
    let last = node.seq;
    node.disk.fail_flush(|write, _| write.seq == last);
    let mut node = Node::open(&node.disk).expect("the page cache shows everything");
    assert_eq!(&node.memory.tip, blocks.last().unwrap());
    node.start();
    node.flush();
    Node::open(&node.disk.crash(|_, _| false)).expect("nothing but blocks is lost")
}

/// A node that knew of heights 2 and 3, and has block 1.
pub(crate) fn with_a_gap() -> (Node, Vec<Decided>) {
    let mut node = Node::started();
    node.write_blocks(1);
    let mut elsewhere = Node::started();
    elsewhere.write_blocks(1);
    let mut blocks = Vec::new();
    for text in ["two", "three"] {
        elsewhere.learn(vec![record(text.as_bytes())]);
        blocks.push(elsewhere.memory.tip.clone());
    }
    node = lose_all_but_the_last(node, &blocks);
    (node, blocks)
}

#[test]
fn a_height_above_a_gap_may_be_named_twice() {
    let (mut node, blocks) = with_a_gap();
    for _ in 0..2 {
        assert_eq!(node.memory.tip.block.height(), Height(1));
        assert_eq!(node.recovered.floor, Height(3));
        node.start();
        node.flush();
        node = lose_all_but_the_last(node, &blocks);
    }
    node.start();
    for decided in &blocks {
        node.append(&Record::Decided {
            block: decided.block.clone(),
            certificate: decided.certificate.clone().unwrap(),
            body: true,
        });
    }
    node.flush();
    let again = Node::open(&node.disk).unwrap();
    assert_eq!(&again.memory.tip, blocks.last().unwrap());
    assert!(ledger::verify_storage(&node.disk, &keys()[0]).unwrap().ok());
}

/// The block below is fetched, and lost once more behind a start that names it; what is fetched next was known before.
#[test]
fn a_known_height_may_be_named_again_above_a_gap() {
    let (mut node, blocks) = with_a_gap();
    node.start();
    node.flush();
    let fetched = |decided: &Decided| Record::Decided {
        block: decided.block.clone(),
        certificate: decided.certificate.clone().unwrap(),
        body: true,
    };
    node.append(&fetched(&blocks[0]));
    node.disk.fail_flush(|_, _| false);
    let mut node = Node::open(&node.disk).expect("the page cache shows everything");
    assert_eq!(node.memory.tip, blocks[0]);
    node.start();
    node.flush();
    node.append(&fetched(&blocks[1]));
    node.flush();
    let again = Node::open(&node.disk.crash(|_, _| false)).expect("nothing but blocks is lost");
    assert_eq!(again.memory.tip.block.height(), Height(1));
    assert_eq!(again.recovered.floor, Height(3));
}
