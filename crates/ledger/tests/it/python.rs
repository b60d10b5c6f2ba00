//! A verifier in another language, written from the document alone, agrees.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::chain::{Node, record};
use crate::formats;

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verify_ledger.py")
}

/// Nothing if there is no Python on this machine.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Option<Output> {
    Command::new("python3").arg("--version").output().ok()?;
    let output = Command::new("python3")
        .arg(script())
        .arg(folder)
        .args(arguments)
        .output();
    Some(output.expect("python3 runs"))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the script writes UTF-8")
}

#[test]
fn a_good_ledger_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let node = formats::life();
    node.disk.save(folder.path());
    let Some(output) = run(folder.path(), &["--records"]) else {
        return;
    };
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    let hash = node.memory.tip.block.hash();
    assert!(
        printed.contains(&format!("height=5 hash={hash} blocks=6 commands=7 ok")),
        "{printed}"
    );
    // The record "one" in base64, behind its position.
    assert!(printed.lines().any(|line| line == "4 0 b25l"), "{printed}");
}

#[test]
fn an_unfinished_end_is_no_fault() {
    let mut node = Node::started();
    node.write_blocks(2);
    node.accept(1, vec![record(&[5; 3000])]);
    let torn = node.disk.crash(|write, at| at < write.offset + 4096);
    let folder = tempfile::tempdir().unwrap();
    torn.save(folder.path());
    let Some(output) = run(folder.path(), &[]) else {
        return;
    };
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    assert!(text(&output.stdout).contains("height=2 "));
}

#[test]
fn a_start_that_supersedes_lost_records_is_followed() {
    let (mut node, memory) = crate::crash::after_a_failed_flush();
    node.start();
    let lost = memory.tip;
    let certificate = lost.certificate.unwrap();
    node.append(&model::Record::Decided {
        block: lost.block,
        certificate,
        body: true,
    });
    node.flush();
    let folder = tempfile::tempdir().unwrap();
    node.disk.save(folder.path());
    let Some(output) = run(folder.path(), &[]) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("height=2 "),
        "{}",
        text(&output.stdout)
    );
    assert!(
        text(&output.stderr).contains("superseded"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn damage_is_named() {
    let node = formats::life();
    for (file, at) in [
        ("00000000.log", 4300),
        ("00000001.log", 12300),
        ("00000002.log", 8500),
    ] {
        let disk = crate::memory_disk::MemoryDisk::holding(node.disk.files());
        disk.edit(file, |bytes| bytes[at] ^= 4);
        let folder = tempfile::tempdir().unwrap();
        disk.save(folder.path());
        let Some(output) = run(folder.path(), &[]) else {
            return;
        };
        let noted = text(&output.stderr).contains(file);
        assert!(
            noted,
            "{file} {at} {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

#[test]
fn a_signature_that_nobody_made_is_found() {
    let mut node = Node::started();
    node.write_blocks(1);
    let block = crate::chain::child(node.memory.tip.block.header(), vec![]);
    let mut certificate = crate::chain::certify(&block, crate::chain::ballot(1));
    certificate.signatures.swap(0, 1);
    node.append(&model::Record::Decided {
        block,
        certificate,
        body: true,
    });
    node.flush();
    let folder = tempfile::tempdir().unwrap();
    node.disk.save(folder.path());
    let Some(output) = run(folder.path(), &[]) else {
        return;
    };
    assert!(!output.status.success());
    assert!(
        text(&output.stderr).contains("height 2"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn stray_bytes_hide_no_start_behind_them() {
    let mut node = Node::started();
    node.write_blocks(1);
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.accept(1, vec![]);
    node.decide();
    node.flush();
    node.disk
        .edit("00000001.log", |bytes| bytes.extend([0xee; 700]));
    let folder = tempfile::tempdir().unwrap();
    node.disk.save(folder.path());
    let Some(output) = run(folder.path(), &[]) else {
        return;
    };
    let (said, noted) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{noted}");
    assert!(said.contains("height=2 "), "{said}");
    assert!(noted.contains("behind the last record"), "{noted}");
}

#[test]
fn a_sealed_ledger_verifies() {
    let node = formats::sealed_life();
    let folder = tempfile::tempdir().unwrap();
    node.disk.save(folder.path());
    let Some(output) = run(folder.path(), &[]) else {
        return;
    };
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    let hash = node.memory.tip.block.hash();
    let expected = format!("height=14 hash={hash} blocks=15 commands=16 ok");
    assert!(printed.contains(&expected), "{printed}");
}

#[test]
fn damage_in_a_segment_is_named() {
    let node = formats::sealed_life();
    let names = node.disk.segment_files();
    let files = node.disk.files();
    // Header, block, certificate, index, summary, trailer; cut short; another one in its place; none.
    let length = files[&names[1]].len();
    let mut harmed: Vec<_> = [20, 70, 400, length - 900, length - 300, length - 25]
        .into_iter()
        .map(|at| {
            let mut files = files.clone();
            files.get_mut(&names[1]).unwrap()[at] ^= 1;
            files
        })
        .collect();
    harmed.extend([files.clone(), files.clone(), files.clone()]);
    harmed[6].get_mut(&names[1]).unwrap().truncate(length / 2);
    harmed[7].insert(names[1].clone(), files[&names[0]].clone());
    harmed[8].remove(&names[1]);
    for (which, files) in harmed.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        crate::memory_disk::MemoryDisk::holding(files).save(folder.path());
        let Some(output) = run(folder.path(), &[]) else {
            return;
        };
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{which}");
        let named = said.contains(&names[1]) || said.contains("height 5: the block is missing");
        assert!(named, "{which}: {said}");
    }
}
