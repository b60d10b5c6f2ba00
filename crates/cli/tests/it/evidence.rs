//! What a node keeps against another is checked where no node is.

use std::path::Path;
use std::process::Output;

use model::{
    Ballot, BlockHash, Boot, ChainId, Domain, Ed25519, Encode as _, Evidence, Height,
    MembershipHash, Signatures as _, Statement,
};

use crate::harness::{json, run, starling, stderr};

fn check(file: &Path) -> Output {
    let mut check = starling(["ledger", "evidence", "--json"]);
    check.arg(file);
    run(check)
}

fn evidence() -> Evidence {
    let key = Ed25519::new(&[7; 32]);
    let ballot = Ballot {
        k: 1,
        node: key.node(),
        boot: Boot(1),
    };
    let [one, two] = [1, 2].map(|block| Statement {
        domain: Domain::Propose,
        chain: ChainId([3; 16]),
        membership: MembershipHash([4; 32]),
        height: Height(12),
        ballot,
        hash: BlockHash([block; 32]),
    });
    let sign = |statement: &Statement| (statement.hash, key.sign(statement));
    Evidence::new(key.node(), &one, sign(&one), sign(&two))
}

#[test]
fn evidence_names_who_signed_and_what() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("12.evidence");
    std::fs::write(&file, evidence().to_bytes()).unwrap();
    let checked = check(&file);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    let told = json(&String::from_utf8_lossy(&checked.stdout));
    assert_eq!(told["node"], evidence().node.to_string());
    assert_eq!(
        (&told["height"], &told["statement"]),
        (&12.into(), &"proposed".into())
    );
}

#[test]
fn evidence_that_proves_nothing_is_said_to_prove_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("12.evidence");
    let forged = Evidence {
        height: Height(13),
        ..evidence()
    };
    std::fs::write(&file, forged.to_bytes()).unwrap();
    let checked = check(&file);
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        stderr(&checked).contains("proves nothing"),
        "{}",
        stderr(&checked)
    );
    std::fs::write(&file, "a text").unwrap();
    assert!(stderr(&check(&file)).contains("is no evidence"));
    let missing = check(&folder.path().join("none"));
    assert_eq!(missing.status.code(), Some(3), "{}", stderr(&missing));
}
