use std::fs;
use std::io::Read as _;
use std::sync::Barrier;

use model::BlobId;
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn stage(store: &Store, bytes: &[u8]) -> Staged {
    let mut writer = store.writer().unwrap();
    for chunk in bytes.chunks(1000) {
        writer.write(chunk).unwrap();
    }
    writer.finish().unwrap()
}

fn put(store: &Store, bytes: &[u8]) -> BlobId {
    stage(store, bytes).commit().unwrap()
}

fn read(store: &Store, id: BlobId) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = store.reader(id).unwrap().expect("the blob is there");
    reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn count_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { count_files(&path) } else { 1 })
        .sum()
}

#[test]
fn a_blob_is_named_by_its_bytes() {
    let (folder, store) = store();
    let bytes = vec![7; 12_345];
    let staged = stage(&store, &bytes);
    assert_eq!(staged.id(), BlobId::of(&[&bytes]));
    assert_eq!(staged.size(), 12_345);
    assert!(!store.has(staged.id()).unwrap(), "it has no name yet");
    let id = staged.commit().unwrap();
    let hex = id.to_string();
    let path = format!("blobs/{}/{}/{hex}", &hex[..2], &hex[2..4]);
    assert_eq!(store.path(id), folder.path().join(path));
    assert_eq!(read(&store, id).unwrap(), bytes);
    assert_eq!(store.verify(id).unwrap(), Verdict::Sound);
    assert_eq!(count_files(&folder.path().join("tmp")), 0);
}

#[test]
fn the_empty_blob_is_a_blob() {
    let (_folder, store) = store();
    let id = put(&store, b"");
    assert_eq!(read(&store, id).unwrap(), b"");
    assert_eq!(store.verify(id).unwrap(), Verdict::Sound);
}

#[test]
fn the_same_bytes_twice_are_one_blob() {
    let (folder, store) = store();
    assert_eq!(put(&store, b"twice"), put(&store, b"twice"));
    assert_eq!(count_files(folder.path()), 1);
}

#[test]
fn concurrent_commits_of_one_blob_all_succeed() {
    let (folder, store) = store();
    let bytes = vec![42; 100_000];
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let staged = stage(&store, &bytes);
                barrier.wait();
                staged.commit().unwrap();
            });
        }
    });
    assert_eq!(count_files(folder.path()), 1);
    assert_eq!(read(&store, BlobId::of(&[&bytes])).unwrap(), bytes);
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let (folder, store) = store();
    let mut writer = store.writer().unwrap();
    writer.write(b"never finished").unwrap();
    drop(writer);
    drop(stage(&store, b"never committed"));
    assert_eq!(count_files(folder.path()), 0);
}

#[test]
fn a_start_removes_what_a_crash_left() {
    let (folder, store) = store();
    let id = put(&store, b"kept");
    std::mem::forget(stage(&store, b"flushed, not renamed"));
    let mut writer = store.writer().unwrap();
    writer.write(b"half a bl").unwrap();
    std::mem::forget(writer);
    assert_eq!(count_files(&folder.path().join("tmp")), 2);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(count_files(&folder.path().join("tmp")), 0);
    assert_eq!(read(&store, id).unwrap(), b"kept");
}

#[test]
fn an_absent_blob_is_nothing() {
    let (_folder, store) = store();
    let id = BlobId::of(&[b"never written"]);
    assert!(!store.has(id).unwrap());
    assert!(store.open_blob(id).unwrap().is_none());
    assert!(store.reader(id).unwrap().is_none());
    assert_eq!(store.verify(id).unwrap(), Verdict::Absent);
}

#[test]
fn a_changed_byte_is_found_moved_aside_and_healed() {
    let (folder, store) = store();
    let bytes = vec![1; 300_000];
    let id = put(&store, &bytes);
    let mut changed = bytes.clone();
    changed[299_999] ^= 1;
    for place in [id.to_string(), format!("{id}.2")] {
        fs::write(store.path(id), &changed).unwrap();
        let expected = Verdict::Damaged {
            found: BlobId::of(&[&changed]),
            quarantine: folder.path().join("quarantine").join(place),
        };
        assert_eq!(store.verify(id).unwrap(), expected);
        assert!(!store.has(id).unwrap());
    }
    assert_eq!(count_files(&folder.path().join("quarantine")), 2);
    put(&store, &bytes);
    assert_eq!(store.verify(id).unwrap(), Verdict::Sound);
}

#[test]
fn the_end_of_a_damaged_blob_is_withheld() {
    let (_folder, store) = store();
    let bytes = vec![1; 300_000];
    let id = put(&store, &bytes);
    let mut changed = bytes.clone();
    changed[0] ^= 1;
    fs::write(store.path(id), &changed).unwrap();
    let error = read(&store, id).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);

    fs::write(store.path(id), &bytes[..100]).unwrap();
    assert!(read(&store, id).is_err(), "a cut blob is damaged too");
}

#[test]
fn committing_again_heals_a_damaged_blob() {
    let (_folder, store) = store();
    let id = put(&store, b"good bytes");
    fs::write(store.path(id), b"bad bytes").unwrap();
    put(&store, b"good bytes");
    assert_eq!(read(&store, id).unwrap(), b"good bytes");
}

#[test]
fn derived_files_come_back_whole_or_not_at_all() {
    let (folder, store) = store();
    let id = BlobId::of(&[b"a photo"]);
    assert_eq!(store.derived(id, "thumb-256").unwrap(), None);
    store.put_derived(id, "thumb-256", b"first").unwrap();
    store.put_derived(id, "thumb-256", b"second").unwrap();
    store.put_derived(id, "thumb-512", b"larger").unwrap();
    assert_eq!(store.derived(id, "thumb-256").unwrap().unwrap(), b"second");
    assert_eq!(store.derived(id, "thumb-512").unwrap().unwrap(), b"larger");

    let hex = id.to_string();
    let path = format!("derived/{}/{}/{hex}.thumb-256", &hex[..2], &hex[2..4]);
    let path = folder.path().join(path);
    for torn in [&b""[..], b"sec", &[0; 40]] {
        fs::write(&path, torn).unwrap();
        assert_eq!(store.derived(id, "thumb-256").unwrap(), None);
    }
}

#[test]
#[should_panic(expected = "a-z")]
fn a_kind_is_no_path() {
    let (_folder, store) = store();
    let _ = store.put_derived(BlobId([0; 32]), "../../etc", b"");
}
