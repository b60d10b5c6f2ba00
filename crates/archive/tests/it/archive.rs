//! Adding to an archive: who is first, who signs, and what happens to what is damaged.

use archive::{Added, Archive, Copy, Created, Manifest, SegmentName, Signer, Store};
use ed25519_dalek::{Signer as _, SigningKey};
use model::{BlockHash, ChainId, Height, NodeId, Signature};
use tempfile::TempDir;

const CHAIN: ChainId = ChainId([9; 16]);

pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }
}

impl Signer for Key {
    fn node(&self) -> NodeId {
        NodeId(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(bytes).to_bytes())
    }
}

/// An archive in a folder, with a segment to put into it. Adding does not look into segments.
struct Bench {
    folder: TempDir,
    archive: Archive,
    name: SegmentName,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let store = Store::open(&format!("file://{}/store", folder.path().display())).unwrap();
        Self {
            archive: Archive::new(store, CHAIN),
            name: SegmentName::new(Height(1), Height(20), BlockHash([5; 32])).unwrap(),
            folder,
        }
    }

    async fn add(&self, node: u8, bytes: &[u8]) -> Added {
        let file = self.folder.path().join("mine");
        std::fs::write(&file, bytes).unwrap();
        let judge = |path: &std::path::Path| {
            let sound = std::fs::read(path).unwrap().starts_with(b"sound");
            sound
                .then_some(())
                .ok_or_else(|| "it is unsound".to_owned())
        };
        let spare = self.folder.path().join("spare");
        let added = self
            .archive
            .add(&file, self.name, &Key::new(node), &spare, judge)
            .await;
        assert!(!spare.exists());
        added.unwrap()
    }

    fn path(&self, object: &str) -> std::path::PathBuf {
        self.folder
            .path()
            .join("store")
            .join(CHAIN.to_string())
            .join(object)
    }

    fn segment(&self) -> std::path::PathBuf {
        self.path(&format!("segments/{}", self.name))
    }

    fn manifest(&self, copy: &Copy) -> Manifest {
        let json = std::fs::read(self.path(&format!("manifests/{copy}.json"))).unwrap();
        Manifest::check(&json, CHAIN, self.name).unwrap()
    }
}

#[tokio::test]
async fn the_first_node_brings_a_segment_and_signs_for_it() {
    let bench = Bench::new();
    assert!(!bench.archive.coverage().await.unwrap().holds(bench.name));
    assert_eq!(bench.add(1, b"sound 1").await, Added::Brought);
    assert_eq!(bench.add(2, b"sound 2").await, Added::AlreadyThere);
    assert_eq!(bench.add(1, b"sound 1").await, Added::AlreadyThere);
    assert_eq!(std::fs::read(bench.segment()).unwrap(), b"sound 1");
    let manifest = bench.manifest(&Copy::first(bench.name));
    assert_eq!(manifest.node, Key::new(1).node());
    assert_eq!(manifest.length, 7);
    let coverage = bench.archive.coverage().await.unwrap();
    assert!(coverage.holds(bench.name));
    assert_eq!(coverage.height(Height(0)), Height(20));
}

#[tokio::test]
async fn a_segment_without_a_manifest_is_looked_at_and_signed_by_the_next_node() {
    for stored in [b"sound 1", b"sound 2"] {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.path("segments")).unwrap();
        std::fs::write(bench.segment(), stored).unwrap();
        assert_eq!(bench.add(2, b"sound 2").await, Added::AlreadyThere);
        let manifest = bench.manifest(&Copy::first(bench.name));
        assert_eq!(manifest.node, Key::new(2).node());
        assert_eq!(std::fs::read(bench.segment()).unwrap(), stored);
    }
}

#[tokio::test]
async fn a_damaged_segment_gets_a_copy_beside_it() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("segments")).unwrap();
    std::fs::write(bench.segment(), b"rotten").unwrap();
    let what = "it is unsound".to_owned();
    assert_eq!(bench.add(2, b"sound 2").await, Added::Beside { what });
    assert_eq!(
        std::fs::read(bench.segment()).unwrap(),
        b"rotten",
        "nothing is overwritten"
    );
    let copy = Copy::of(bench.name, Key::new(2).node());
    assert_eq!(bench.manifest(&copy).node, Key::new(2).node());
    let coverage = bench.archive.coverage().await.unwrap();
    assert_eq!(coverage.copies.len(), 2);
    assert!(coverage.strange.is_empty());
}

#[tokio::test]
async fn a_manifest_is_of_one_segment_one_chain_and_one_node() {
    let bench = Bench::new();
    bench.add(1, b"sound").await;
    let copy = Copy::first(bench.name);
    let path = bench.path(&format!("manifests/{copy}.json"));
    let json = std::fs::read_to_string(path).unwrap();
    let check = |json: &str, chain, name| Manifest::check(json.as_bytes(), chain, name);
    let other = SegmentName::new(Height(1), Height(21), BlockHash([5; 32])).unwrap();
    assert!(check(&json, CHAIN, bench.name).is_ok());
    assert!(check(&json, ChainId([8; 16]), bench.name).is_err());
    assert!(check(&json, CHAIN, other).is_err());
    let changed = json.replace("\"length\":5", "\"length\":6");
    assert_ne!(json, changed);
    let error = check(&changed, CHAIN, bench.name).unwrap_err().to_string();
    assert!(error.contains(&Key::new(1).node().to_string()), "{error}");
    assert!(
        check(
            &json.replace("\"version\":1", "\"version\":2"),
            CHAIN,
            bench.name
        )
        .is_err()
    );
}

#[tokio::test]
async fn a_chain_has_one_genesis_block() {
    let bench = Bench::new();
    let key = Key::new(1);
    let genesis = |name: &str| crate::chain::genesis(CHAIN, key.node(), name);
    let (one, other) = (genesis("one"), genesis("other"));
    assert!(bench.archive.genesis().await.is_err());
    assert_eq!(bench.archive.found(&one).await.unwrap(), Created::New);
    assert_eq!(
        bench.archive.found(&one).await.unwrap(),
        Created::AlreadyThere
    );
    let error = bench.archive.found(&other).await.unwrap_err();
    assert!(
        matches!(error, archive::ArchiveError::OtherGenesis { .. }),
        "{error}"
    );
    assert_eq!(bench.archive.genesis().await.unwrap(), one);
    let chains = Archive::chains(bench.archive.store()).await.unwrap();
    assert_eq!(chains, [CHAIN]);
    std::fs::write(bench.path("genesis"), b"no block").unwrap();
    let error = bench.archive.genesis().await.unwrap_err();
    assert!(
        matches!(error, archive::ArchiveError::DamagedGenesis { .. }),
        "{error}"
    );
}
