use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use model::LogSeq;
use tempfile::TempDir;

use super::*;

/// Longer than anything here takes, unless it is broken.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(folder: &Path, faults: Faults) -> (FileDisk, Receiver<Completion>) {
    let (sender, completions) = channel();
    let disk = FileDisk::open(folder, faults, &DiskMetrics::unread(), move |completion| {
        sender.send(completion).expect("the test listens");
    });
    (disk.unwrap(), completions)
}

fn write(seq: u64, file: &str, offset: u64, bytes: &[u8]) -> Write {
    Write {
        seq: LogSeq(seq),
        file: file.to_owned(),
        create: offset == 0,
        offset,
        bytes: bytes.to_vec(),
        lazy: false,
    }
}

fn lazy(write: Write) -> Write {
    Write {
        lazy: true,
        ..write
    }
}

fn next(completions: &Receiver<Completion>) -> Completion {
    completions.recv_timeout(PATIENCE).expect("a completion")
}

/// Waits until everything up to `seq` is durable; nothing else may be reported before.
fn await_durable(completions: &Receiver<Completion>, seq: u64) {
    loop {
        match next(completions) {
            Completion::Durable(LogSeq(reached)) if reached >= seq => return,
            Completion::Durable(_) => {}
            other => panic!("{other:?} instead of {seq} durable"),
        }
    }
}

#[test]
fn writes_go_to_their_places_in_order() {
    let folder = TempDir::new().unwrap();
    let (mut disk, completions) = open(folder.path(), Faults::NONE);
    disk.submit(write(1, "a", 0, b"one"));
    disk.submit(write(2, "a", 3, b"two"));
    disk.submit(write(3, "b", 0, b"three"));
    await_durable(&completions, 3);
    let storage = disk.storage();
    assert_eq!(storage.files().unwrap(), ["a", "b"]);
    assert_eq!(storage.len("a").unwrap(), 6);
    assert_eq!(storage.read("a", 2, 3).unwrap(), b"etw");
    assert_eq!(storage.read("b", 0, 5).unwrap(), b"three");
    disk.submit(write(4, "b", 5, b"four"));
    await_durable(&completions, 4);
    assert_eq!(storage.read("b", 0, 9).unwrap(), b"threefour");
}

#[test]
fn reading_beyond_the_end_reserves_nothing() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), b"short").unwrap();
    let (disk, _completions) = open(folder.path(), Faults::NONE);
    let storage = disk.storage();
    for (offset, length) in [(0, 6), (5, 1), (6, 0), (0, usize::MAX), (u64::MAX, 1)] {
        let error = storage.read("a", offset, length).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    assert_eq!(storage.read("a", 5, 0).unwrap(), b"");
    let error = storage.len("absent").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_lazy_write_waits_for_an_urgent_one_or_a_while() {
    let folder = TempDir::new().unwrap();
    let (mut disk, completions) = open(folder.path(), Faults::NONE);
    let start = Instant::now();
    disk.submit(lazy(write(1, "a", 0, b"one")));
    await_durable(&completions, 1);
    assert!(start.elapsed() >= LAZY_WAIT);

    disk.submit(lazy(write(2, "a", 3, b"two")));
    disk.submit(write(3, "a", 6, b"three"));
    await_durable(&completions, 3);
}

#[test]
fn one_flush_takes_everything_that_waits() {
    let folder = TempDir::new().unwrap();
    let slow = Faults {
        flush_delay: Duration::from_millis(100),
        ..Faults::NONE
    };
    let (mut disk, completions) = open(folder.path(), slow);
    disk.submit(write(1, "a", 0, b"x"));
    for seq in 2..=100 {
        disk.submit(write(seq, "a", seq - 1, b"x"));
    }
    let mut reports = 0;
    loop {
        reports += 1;
        if let Completion::Durable(LogSeq(100)) = next(&completions) {
            break;
        }
    }
    assert!(reports <= 10, "{reports} flushes for 100 writes");
}

#[test]
fn a_file_that_must_be_new_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), b"precious").unwrap();
    let (mut disk, completions) = open(folder.path(), Faults::NONE);
    disk.submit(write(1, "a", 0, b"one"));
    assert!(matches!(next(&completions), Completion::Failed(_)));
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"precious");
}

#[test]
fn nothing_follows_a_failed_flush() {
    let folder = TempDir::new().unwrap();
    let faults = Faults {
        failing_flush: Some(2),
        ..Faults::NONE
    };
    let (mut disk, completions) = open(folder.path(), faults);
    disk.submit(write(1, "a", 0, b"one"));
    await_durable(&completions, 1);
    disk.submit(write(2, "a", 3, b"two"));
    assert!(matches!(next(&completions), Completion::Failed(_)));
    disk.submit(write(3, "a", 6, b"three"));
    drop(disk);
    assert!(completions.recv().is_err(), "nothing more is reported");
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"onetwo");
}

#[test]
fn what_is_queued_is_written_before_the_disk_is_closed() {
    let folder = TempDir::new().unwrap();
    let (mut disk, completions) = open(folder.path(), Faults::NONE);
    disk.submit(write(1, "a", 0, b"one"));
    disk.submit(lazy(write(2, "a", 3, b"two")));
    drop(disk);
    await_durable(&completions, 2);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"onetwo");
}

#[test]
fn a_cut_shortens_a_file() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), b"whole torn").unwrap();
    let (mut disk, completions) = open(folder.path(), Faults::NONE);
    disk.cut("a", 5).unwrap();
    assert_eq!(disk.storage().len("a").unwrap(), 5);
    disk.submit(write(1, "a", 5, b" again"));
    await_durable(&completions, 1);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"whole again");
    assert!(disk.cut("absent", 0).is_err());
}

/// A file system of 1 MiB, which only root may mount.
struct Tiny {
    folder: TempDir,
}

impl Tiny {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self { folder })
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_no_part_and_goes_on_when_there_is_room() {
    let Some(tiny) = Tiny::mount() else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    let path = tiny.folder.path();
    fs::write(path.join("ballast"), vec![0; 600 << 10]).unwrap();
    let (mut disk, completions) = open(path, Faults::NONE);
    disk.submit(write(1, "a", 0, &[1; 100 << 10]));
    disk.submit(write(2, "a", 100 << 10, &[2; 500 << 10]));
    disk.submit(write(3, "a", 600 << 10, &[3; 10]));
    await_durable(&completions, 1);
    assert!(matches!(next(&completions), Completion::Full));
    assert_eq!(disk.storage().len("a").unwrap(), 100 << 10);

    fs::remove_file(path.join("ballast")).unwrap();
    assert!(matches!(next(&completions), Completion::Room));
    await_durable(&completions, 3);
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path.join("a")).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), (600 << 10) + 10);
    assert!(bytes.ends_with(&[2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]));
}

#[test]
fn a_new_file_that_does_not_fit_is_taken_back() {
    let Some(tiny) = Tiny::mount() else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    let path = tiny.folder.path();
    fs::write(path.join("ballast"), vec![0; 900 << 10]).unwrap();
    let (mut disk, completions) = open(path, Faults::NONE);
    disk.submit(write(1, "a", 0, &[1; 500 << 10]));
    assert!(matches!(next(&completions), Completion::Full));
    assert_eq!(disk.storage().files().unwrap(), ["ballast"]);
    drop(disk);
    assert!(
        completions.recv().is_err(),
        "closing does not wait for room"
    );
}
