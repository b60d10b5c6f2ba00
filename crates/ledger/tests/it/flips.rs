//! One bit goes wrong, anywhere: it is reported, and nothing that was not written is ever returned.

use ledger::{Ledger, verify_storage};
use model::Height;

use crate::chain::{Memory, Node, Trusting, record};
use crate::memory_disk::MemoryDisk;

#[test]
fn every_flipped_bit_is_noticed() {
    let mut node = Node::new();
    let mut memories = vec![node.memory.clone()];
    let steps: [fn(&mut Node); 6] = [
        Node::start,
        |node| node.accept(2, vec![record(b"first")]),
        Node::decide,
        |node| node.accept(1, vec![record(b"second")]),
        |node| node.promise(3),
        |node| node.learn(vec![record(b"third")]),
    ];
    for step in steps {
        step(&mut node);
        node.flush();
        memories.push(node.memory.clone());
    }
    let mut files = node.disk.files();
    for bytes in files.values_mut() {
        // Of the zeros written ahead a few are as good as all.
        let end = bytes.iter().rposition(|b| *b != 0).unwrap() + 600;
        bytes.truncate(end);
    }
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let disk = MemoryDisk::holding(files.clone());
            disk.edit(name, |bytes| bytes[at] ^= 1 << (at % 8));
            let context = format!("{name} at {at}");
            check(&disk, &memories, &context);
        }
    }
}

fn check(disk: &MemoryDisk, memories: &[Memory], context: &str) {
    if let Ok(report) = verify_storage(disk, &Trusting) {
        assert!(!report.ok() || !report.notes.is_empty(), "{context}");
    }
    let Ok((ledger, recovered)) = Ledger::open(disk.clone(), &Trusting) else {
        return;
    };
    let report = &recovered.report;
    assert!(
        !report.repaired.is_empty() || !report.cut.is_empty(),
        "{context}"
    );
    assert!(memories.contains(&Memory::of(&recovered)), "{context}");
    let original = memories.last().unwrap();
    if report.cut.is_empty() {
        assert_eq!(Memory::of(&recovered), *original, "{context}");
    }
    for block in ledger.reader().blocks(Height(0)) {
        let block = block.unwrap().block;
        let known = memories.iter().any(|memory| memory.tip.block == block);
        assert!(known, "{context}");
    }
}
