//! Bringing a chain back from an archive that may lie.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use archive::{Added, Archive, Copy, SegmentName, Store, StoreError, Taken};
use bytes::Bytes;
use emulators::Place;
use model::{Ed25519, Height};
use tempfile::TempDir;

use crate::archive::Key;
use crate::chain::Chain;

/// Beside it the emulators are installed.
const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// An archive of a chain with sixty blocks in segments of twenty.
struct Bench {
    _folder: TempDir,
    root: PathBuf,
    chain: Chain,
    archive: Archive,
    names: Vec<SegmentName>,
}

impl Bench {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let root = folder.path().to_owned();
        std::fs::create_dir(root.join("store")).unwrap();
        let store = Store::open(&format!("file://{}/store", root.display())).unwrap();
        let chain = Chain::new(60, 1);
        let archive = Archive::new(store, chain.below(0).chain);
        let mut bench = Self {
            _folder: folder,
            root,
            chain,
            archive,
            names: Vec::new(),
        };
        for at in [1, 21, 41] {
            let (name, bytes) = bench.chain.segment(at, at + 19);
            assert_eq!(bench.bring(1, name, &bytes).await, Added::Brought);
            bench.names.push(name);
        }
        bench
    }

    async fn bring(&self, node: u8, name: SegmentName, bytes: &[u8]) -> Added {
        let file = self.root.join("mine");
        std::fs::write(&file, bytes).unwrap();
        let spare = self.root.join("spare");
        let judge = |_: &std::path::Path| Ok(());
        let added = self
            .archive
            .add(&file, name, &Key::new(node), &spare, judge)
            .await;
        added.unwrap()
    }

    async fn bring_beside(&self, node: u8, name: SegmentName, bytes: &[u8]) {
        let file = self.root.join("mine");
        std::fs::write(&file, bytes).unwrap();
        let key = Key::new(node);
        self.archive.add_beside(&file, name, &key).await.unwrap();
    }

    async fn fetch(&self) -> Taken {
        fetch(&self.archive, &self.chain, &self.local()).await
    }

    async fn verify(&self) -> Taken {
        let signatures = Arc::new(Ed25519::new(&[0; 32]));
        let below = self.chain.below(0);
        let into = self.local();
        self.archive
            .verify(below, &into, signatures, |_| ())
            .await
            .unwrap()
    }

    fn local(&self) -> PathBuf {
        let into = self.root.join("into");
        std::fs::create_dir_all(&into).unwrap();
        into
    }

    fn object(&self, name: impl std::fmt::Display) -> PathBuf {
        let chain = self.archive.chain().to_string();
        self.root
            .join("store")
            .join(chain)
            .join(format!("segments/{name}"))
    }

    fn rot(&self, at: usize) {
        let path = self.object(self.names[at]);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
}

async fn fetch(archive: &Archive, chain: &Chain, into: &std::path::Path) -> Taken {
    let signatures = Arc::new(Ed25519::new(&[0; 32]));
    let fetched = archive.fetch(chain.below(0), into, signatures, |_| ());
    fetched.await.unwrap()
}

#[tokio::test]
async fn all_of_a_sound_archive_is_proved() {
    let bench = Bench::new().await;
    let seen = Mutex::new(Vec::new());
    let signatures = Arc::new(Ed25519::new(&[0; 32]));
    let into = bench.local();
    let progress = |progress: archive::Progress| {
        assert_eq!(progress.goal, Height(60));
        seen.lock().unwrap().push(progress.height.0);
    };
    let taken = bench
        .archive
        .fetch(bench.chain.below(0), &into, signatures, progress);
    let taken = taken.await.unwrap();
    assert_eq!(taken.segments, bench.names);
    assert_eq!(taken.top, bench.chain.below(60));
    assert_eq!(taken.faults, []);
    assert!(taken.stopped.is_none());
    assert_eq!(*seen.lock().unwrap(), [20, 40, 60]);
    for name in &bench.names {
        let kept = std::fs::read(into.join(name.to_string())).unwrap();
        assert!(kept == std::fs::read(bench.object(name)).unwrap());
    }
}

#[tokio::test]
async fn a_fetch_goes_on_where_it_was() {
    let bench = Bench::new().await;
    bench.fetch().await;
    // What is there is not fetched again, but looked at: this one rotted in the folder.
    std::fs::remove_file(bench.object(bench.names[0])).unwrap();
    std::fs::write(bench.object(bench.names[0]), b"gone").unwrap();
    std::fs::write(bench.local().join(bench.names[1].to_string()), b"rotten").unwrap();
    let taken = bench.fetch().await;
    assert_eq!(taken.top.height, Height(60));
    assert_eq!(taken.faults, []);
}

#[tokio::test]
async fn the_store_is_blamed_for_what_rotted_in_it() {
    let bench = Bench::new().await;
    bench.rot(1);
    let taken = bench.fetch().await;
    assert_eq!(taken.top, bench.chain.below(20));
    assert_eq!(taken.segments, bench.names[..1]);
    let [fault] = &taken.faults[..] else {
        panic!("{:?}", taken.faults)
    };
    assert_eq!(fault.object, bench.names[1].to_string());
    assert!(
        fault.what.contains("the store changed them"),
        "{}",
        fault.what
    );
    assert_eq!(fault.by, None);
}

#[tokio::test]
async fn another_copy_of_a_damaged_segment_is_found() {
    let bench = Bench::new().await;
    bench.rot(1);
    let (name, bytes) = bench.chain.segment_otherwise(21, 40);
    assert_eq!(name, bench.names[1], "certificates are not in the name");
    bench.bring_beside(2, name, &bytes).await;
    let taken = bench.fetch().await;
    assert_eq!(taken.top, bench.chain.below(60));
    assert_eq!(taken.faults.len(), 1);
    assert!(std::fs::read(bench.local().join(name.to_string())).unwrap() == bytes);
}

#[tokio::test]
async fn another_way_through_the_heights_is_found() {
    let bench = Bench::new().await;
    bench.rot(1);
    for (from, to) in [(1, 30), (31, 40)] {
        let (name, bytes) = bench.chain.segment(from, to);
        bench.bring(2, name, &bytes).await;
    }
    let taken = bench.fetch().await;
    assert_eq!(taken.top, bench.chain.below(60));
    let ranges = taken
        .segments
        .iter()
        .map(|name| (name.from().0, name.to().0));
    assert_eq!(ranges.collect::<Vec<_>>(), [(1, 30), (31, 40), (41, 60)]);
}

#[tokio::test]
async fn a_liar_is_named() {
    let bench = Bench::new().await;
    // Another history, sealed as it should be, under the name of ours.
    let lie = Chain::new(60, 2);
    let (lying, bytes) = lie.segment(1, 20);
    let honest = bench.names[0];
    std::fs::remove_file(bench.object(honest)).unwrap();
    let chain = bench.archive.chain().to_string();
    let manifests = bench.root.join("store").join(chain).join("manifests");
    std::fs::remove_file(manifests.join(format!("{honest}.json"))).unwrap();
    bench.bring(3, honest, &bytes).await;
    let taken = bench.fetch().await;
    assert_eq!(taken.top.height, Height(0));
    assert_eq!(taken.faults[0].object, honest.to_string());
    assert_eq!(
        taken.faults[0].by,
        Some(archive::Signer::node(&Key::new(3)))
    );
    assert_ne!(lying, honest);
}

#[tokio::test]
async fn a_segment_that_is_gone_or_unsigned_is_said() {
    let bench = Bench::new().await;
    std::fs::write(bench.object(bench.names[2]), b"nothing").unwrap();
    let chain = bench.archive.chain().to_string();
    let manifests = bench.root.join("store").join(chain).join("manifests");
    std::fs::remove_dir_all(manifests).unwrap();
    let taken = bench.fetch().await;
    assert_eq!(taken.top, bench.chain.below(40));
    assert!(
        taken.faults[0].what.contains("no node signed"),
        "{:?}",
        taken.faults
    );
}

#[tokio::test]
async fn every_copy_is_verified_and_strangers_are_named() {
    let bench = Bench::new().await;
    assert_eq!(bench.verify().await.faults, []);
    let (name, mut bytes) = bench.chain.segment_otherwise(21, 40);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bench.bring_beside(2, name, &bytes).await;
    std::fs::write(bench.object("notes.txt"), b"hello").unwrap();
    let taken = bench.verify().await;
    assert_eq!(taken.top, bench.chain.below(60));
    let objects: Vec<_> = taken
        .faults
        .iter()
        .map(|fault| fault.object.clone())
        .collect();
    let copy = Copy::of(name, archive::Signer::node(&Key::new(2)));
    assert_eq!(objects, [copy.to_string(), "notes.txt".to_owned()]);
    assert!(taken.faults[0].by.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_proved_before_the_store_went_away_is_kept() {
    let place = Place::folder();
    let chain = Chain::new(20, 1);
    let archive = Archive::new(place.store.clone(), chain.below(0).chain);
    let (name, bytes) = chain.segment(1, 20);
    let key = format!("{}/segments/{name}", archive.chain());
    place.store.create(&key, Bytes::from(bytes)).await.unwrap();
    let (_scratch, into) = Place::scratch();
    assert_eq!(fetch(&archive, &chain, &into).await.top.height, Height(20));
    place.cut();
    let signatures = Arc::new(Ed25519::new(&[0; 32]));
    let error = archive
        .fetch(chain.below(0), &into, signatures, |_| ())
        .await;
    assert!(matches!(error, Err(StoreError::Unavailable { .. })));
    place.heal();
    assert_eq!(fetch(&archive, &chain, &into).await.top.height, Height(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_comes_back_from_azure_and_s3() {
    for place in [Place::azure(TMP).await, Place::s3(TMP).await]
        .into_iter()
        .flatten()
    {
        let chain = Chain::new(60, 1);
        let archive = Archive::new(place.store.clone(), chain.below(0).chain);
        archive.found(&chain.blocks[0].block).await.unwrap();
        let (_scratch, folder) = Place::scratch();
        for at in [1, 21, 41] {
            let (name, bytes) = chain.segment(at, at + 19);
            let file = folder.join("mine");
            std::fs::write(&file, bytes).unwrap();
            let spare = folder.join("spare");
            let key = Key::new(1);
            let added = archive.add(&file, name, &key, &spare, |_| Ok(()));
            assert_eq!(added.await.unwrap(), Added::Brought);
        }
        assert_eq!(
            Archive::chains(&place.store).await.unwrap(),
            [archive.chain()]
        );
        assert_eq!(archive.genesis().await.unwrap(), *chain.blocks[0].block);
        let taken = fetch(&archive, &chain, &folder).await;
        assert_eq!(taken.top, chain.below(60));
        assert_eq!(taken.faults, []);
    }
}
