//! A chain that goes on where another one ended is read as one run of heights, and its beginning cannot be exchanged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::{Folder, OpenError, PredecessorError, Reader, create_in, keep, read_only, verify};
use model::{Block, ChainId, Decided, Height, Membership, Payload, Predecessor, Roster, Timestamp};
use tempfile::TempDir;

use crate::chain::{Node, keys, membership, sealed};
use crate::segments::{SMALL, seal_all};

/// A successor of what this reader has, in the hands of the first voter alone.
pub(crate) fn succeed(reader: &Reader, chain: u8) -> Block {
    let (height, hash) = reader.tip();
    let tip = reader.block(height).unwrap().unwrap();
    let first = membership().voters()[0].clone();
    let predecessor = Predecessor {
        chain: reader.chain(),
        height,
        hash,
        certificate: tip.certificate,
        left: membership().voters()[1..].to_vec(),
        carried: 0,
        note: "whatever the others had decided".to_owned(),
        recovered_at: Timestamp(1),
    };
    let voters = Membership::new(vec![first]).unwrap();
    let command = sealed(Payload::Succession {
        voters: voters.voters().to_vec(),
        predecessor: Arc::new(predecessor),
    });
    let time = Timestamp(tip.block.header().time.0 + 1);
    Block::succeeding(
        ChainId([chain; 16]),
        &voters,
        (height.next(), hash),
        time,
        vec![command],
    )
}

fn lay_down(reader: &Reader, first: &Block, folder: &Path) {
    keep(reader, &folder.join("predecessor"), &mut |_| {}).unwrap();
    create_in(folder, first).unwrap();
}

fn open(folder: &Path) -> Result<Reader, OpenError> {
    read_only(Arc::new(Folder::new(folder)), &keys()[0]).map(|(reader, _)| reader)
}

/// A chain of thirty blocks, sealed in part, and its successor's ledger.
fn successor() -> (Node, Block, TempDir) {
    let mut node = Node::started();
    node.write_blocks(30);
    assert!(!seal_all(&node, &SMALL).is_empty());
    let reader = node.ledger.reader();
    let first = succeed(&reader, 2);
    let folder = tempfile::tempdir().unwrap();
    lay_down(&reader, &first, folder.path());
    (node, first, folder)
}

fn blocks(reader: &Reader) -> Vec<Decided> {
    reader.blocks(Height(0)).map(Result::unwrap).collect()
}

#[test]
fn heights_go_on_and_everything_below_is_there() {
    let (node, first, folder) = successor();
    let old = node.ledger.reader();
    let reader = open(folder.path()).unwrap();
    assert_eq!(reader.tip(), (Height(31), first.hash()));
    assert_eq!(reader.chain(), ChainId([2; 16]));
    let all = blocks(&reader);
    assert_eq!(all[..31], blocks(&old)[..]);
    assert_eq!(*all[31].block, first);
    for height in (0..=31).map(Height) {
        assert_eq!(
            reader.hash(height),
            Some(all[height.0 as usize].block.hash())
        );
    }
    assert_eq!(
        reader.roster_deciding(Height(30)).unwrap().voters(),
        &membership()
    );
    let roster = reader.roster_deciding(Height(32)).unwrap();
    assert_eq!(*roster, Roster::founded_by(&first).unwrap());
    assert_eq!(reader.roster_deciding(Height(31)).unwrap(), roster);
    for (time, height) in [
        (Timestamp(0), Height(0)),
        (all[9].block.header().time, Height(9)),
        (all[31].block.header().time, Height(31)),
        (Timestamp(u64::MAX), Height(32)),
    ] {
        assert_eq!(reader.since(time).unwrap(), height, "{time:?}");
    }
    let report = verify(folder.path(), &keys()[0]).unwrap();
    assert!(report.ok(), "{report:?}");
    assert_eq!(
        (report.from, report.to, report.blocks),
        (Height(0), Height(31), 32)
    );
    let report = reader.verify(Height(3), Height(31), &keys()[0]);
    assert!(report.ok(), "{report:?}");
    assert_eq!((report.from, report.blocks), (Height(3), 29));
}

#[test]
fn a_successor_may_have_a_successor() {
    let (_, _, folder) = successor();
    let reader = open(folder.path()).unwrap();
    let again = tempfile::tempdir().unwrap();
    let first = succeed(&reader, 3);
    lay_down(&reader, &first, again.path());
    let second = open(again.path()).unwrap();
    assert_eq!(second.tip().0, Height(32));
    assert_eq!(blocks(&second)[..32], blocks(&reader)[..]);
    assert_eq!(second.since(Timestamp(0)).unwrap(), Height(0));
    assert!(verify(again.path(), &keys()[0]).unwrap().ok());
}

#[test]
fn without_what_it_goes_on_from_nothing_is_opened() {
    let (node, first, folder) = successor();
    let beside = |name: &str| -> PathBuf { folder.path().join(name) };
    let fault = |folder: &Path| open(folder).map(|reader| reader.tip()).unwrap_err();

    let moved = beside("moved");
    std::fs::rename(beside("predecessor"), &moved).unwrap();
    let error = fault(folder.path());
    let missing = matches!(
        error,
        OpenError::Predecessor(PredecessorError::Missing {
            height: Height(30),
            ..
        })
    );
    assert!(missing, "{error}");
    let report = verify(folder.path(), &keys()[0]).unwrap();
    assert_eq!(report.faults[0].height, Height(30));

    // The same chain, and not all of it.
    let mut shorter = Node::started();
    shorter.write_blocks(29);
    keep(
        &shorter.ledger.reader(),
        &beside("predecessor"),
        &mut |_| {},
    )
    .unwrap();
    let error = fault(folder.path());
    let other = matches!(
        error,
        OpenError::Predecessor(PredecessorError::Other {
            top: Height(29),
            ..
        })
    );
    assert!(other, "{error}");
    assert!(!verify(folder.path(), &keys()[0]).unwrap().ok());

    // As high, and another history.
    let rewritten = tempfile::tempdir().unwrap();
    let mut liar = Node::started();
    liar.write_blocks(29);
    liar.accept(1, Vec::new());
    liar.decide();
    liar.flush();
    keep(
        &liar.ledger.reader(),
        &rewritten.path().join("predecessor"),
        &mut |_| {},
    )
    .unwrap();
    create_in(rewritten.path(), &first).unwrap();
    let error = fault(rewritten.path());
    assert!(error.to_string().contains("another block there"), "{error}");

    std::fs::remove_dir_all(beside("predecessor")).unwrap();
    std::fs::rename(&moved, beside("predecessor")).unwrap();
    open(folder.path()).unwrap();
    drop(node);
}
