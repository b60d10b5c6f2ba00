use super::*;

fn write(seq: u64, file: &str, offset: u64, bytes: &[u8]) -> Write {
    Write {
        seq: LogSeq(seq),
        file: file.into(),
        create: offset == 0,
        offset,
        bytes: bytes.to_vec(),
        lazy: false,
    }
}

fn disk() -> (Shared, SimDisk) {
    let platter = Shared::default();
    (Arc::clone(&platter), SimDisk::new(platter))
}

fn read_all(disk: &SimDisk, file: &str) -> Option<Vec<u8>> {
    let storage = disk.storage();
    let length = storage.len(file).ok()?;
    storage.read(file, 0, usize::try_from(length).unwrap()).ok()
}

#[test]
fn a_flush_makes_everything_before_it_durable() {
    let (platter, mut disk) = disk();
    disk.submit(write(1, "a", 0, b"one"));
    disk.submit(write(2, "a", 3, b"two"));
    assert_eq!(lock(&platter).wish(), Wish::Now);
    assert_eq!(lock(&platter).begin(), Begun::Flushing);
    assert_eq!(lock(&platter).wish(), Wish::Nothing);
    assert_eq!(lock(&platter).finish(), Some(LogSeq(2)));
    assert!(lock(&platter).proves(&[b"two"]));
    lock(&platter).cut_power(&mut Rng::new(1), Writeback::None);
    assert_eq!(read_all(&disk, "a"), Some(b"onetwo".to_vec()));
}

#[test]
fn a_power_cut_loses_what_was_not_flushed_and_a_kill_does_not() {
    let (platter, mut disk) = disk();
    disk.submit(write(1, "a", 0, b"one"));
    lock(&platter).begin();
    assert!(!lock(&platter).proves(&[b"one"]));
    lock(&platter).kill(&mut Rng::new(3));
    assert_eq!(read_all(&disk, "a"), Some(b"one".to_vec()));

    disk.submit(write(1, "b", 0, b"two"));
    lock(&platter).begin();
    lock(&platter).finish();
    lock(&platter).cut_power(&mut Rng::new(3), Writeback::None);
    assert_eq!(read_all(&disk, "b"), Some(b"two".to_vec()));
}

#[test]
fn a_later_file_s_flush_proves_nothing_about_an_earlier_incarnation_s() {
    let mut lost = 0;
    for seed in 0..64 {
        let (platter, mut disk) = disk();
        disk.submit(write(1, "a", 0, b"one"));
        lock(&platter).begin();
        lock(&platter).kill(&mut Rng::new(seed));
        disk.submit(write(1, "b", 0, b"two"));
        lock(&platter).begin();
        lock(&platter).finish();
        lock(&platter).cut_power(&mut Rng::new(seed), Writeback::None);
        assert_eq!(read_all(&disk, "b"), Some(b"two".to_vec()));
        lost += u32::from(read_all(&disk, "a").is_none());
    }
    assert!((32..64).contains(&lost), "{lost}");
}

#[test]
fn sectors_survive_a_power_cut_in_any_order() {
    let mut survivors = BTreeSet::new();
    for seed in 0..200 {
        let (platter, mut disk) = disk();
        disk.submit(write(1, "a", 0, b"-"));
        lock(&platter).begin();
        lock(&platter).finish();
        disk.submit(write(2, "a", 1, &[7; 3 * 512 - 1]));
        lock(&platter).begin();
        lock(&platter).cut_power(&mut Rng::new(seed), Writeback::Some);
        let bytes = read_all(&disk, "a").unwrap();
        let whole = |at: usize| bytes.get(at * 512 + 1) == Some(&7);
        survivors.insert((whole(0), whole(1), whole(2)));
        assert_eq!(bytes[0], b'-');
    }
    assert_eq!(survivors.len(), 8);
}

#[test]
fn a_full_disk_takes_nothing_until_there_is_room() {
    let (platter, mut disk) = disk();
    lock(&platter).limit_room(1);
    disk.submit(write(1, "a", 0, b"one"));
    disk.submit(write(2, "a", 3, b"two"));
    assert_eq!(lock(&platter).begin(), Begun::Flushing);
    assert_eq!(lock(&platter).finish(), Some(LogSeq(1)));
    assert_eq!(lock(&platter).begin(), Begun::Full);
    assert_eq!(read_all(&disk, "a"), Some(b"one".to_vec()));
    lock(&platter).free_room();
    assert_eq!(lock(&platter).begin(), Begun::Flushing);
    assert_eq!(lock(&platter).finish(), Some(LogSeq(2)));
}

#[test]
fn a_failed_flush_leaves_clean_sectors_that_no_flush_will_write() {
    let mut lost = 0;
    for seed in 0..64 {
        let (platter, mut disk) = disk();
        disk.submit(write(1, "a", 0, b"one"));
        lock(&platter).begin();
        lock(&platter).fail(&mut Rng::new(seed));
        disk.submit(write(2, "a", 3, b"two"));
        assert_eq!(lock(&platter).wish(), Wish::Nothing);
        lock(&platter).cut_power(&mut Rng::new(seed + 1000), Writeback::All);
        lost += u32::from(read_all(&disk, "a").is_none_or(|bytes| bytes != b"one"));
    }
    assert!((16..64).contains(&lost), "{lost}");
}

#[test]
fn segments_are_durable_and_a_deletion_may_be_undone_by_a_power_cut() {
    let mut back = 0;
    for seed in 0..64 {
        let (platter, mut disk) = disk();
        disk.submit(write(1, "a", 0, b"one"));
        lock(&platter).begin();
        lock(&platter).finish();
        let storage = disk.storage();
        storage.store_segment("s", b"blocks").unwrap();
        storage.retire("a").unwrap();
        assert_eq!(read_all(&disk, "a"), None);
        lock(&platter).cut_power(&mut Rng::new(seed), Writeback::None);
        assert_eq!(storage.segments().unwrap(), ["s"]);
        assert_eq!(read_all(&disk, "segments/s"), Some(b"blocks".to_vec()));
        back += u32::from(read_all(&disk, "a").is_some());
    }
    assert!((16..48).contains(&back), "{back}");
}
