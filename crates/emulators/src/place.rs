//! The stores that the contract is checked on, each reached in a way that can be cut.

use std::path::PathBuf;

use objects::{Patience, Store};
use tempfile::TempDir;

use crate::{Emulator, Proxy, azure, s3};

/// An empty store.
pub struct Place {
    /// Which.
    pub store: Store,
    reach: Reach,
}

enum Reach {
    Folder(TempDir),
    Server(
        Proxy,
        #[expect(dead_code, reason = "it ends with the test")] Emulator,
    ),
}

/// Short enough for a test, long enough for a busy machine.
const PATIENCE: Patience = Patience {
    tries: 3,
    pause: std::time::Duration::from_millis(20),
    answer: std::time::Duration::from_secs(20),
    bytes_per_second: 64 << 10,
};

impl Place {
    /// In a folder.
    pub fn folder() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let url = format!("file://{}/store", folder.path().display());
        let store = Store::open(&url).unwrap().with_patience(PATIENCE);
        let reach = Reach::Folder(folder);
        Self { store, reach }
    }

    /// Nothing if the emulator is not installed.
    pub async fn azure(tmp: &str) -> Option<Self> {
        Self::server(azure(tmp).await?).await
    }

    /// Nothing if the server is not installed.
    pub async fn s3(tmp: &str) -> Option<Self> {
        Self::server(s3(tmp).await?).await
    }

    async fn server(emulator: Emulator) -> Option<Self> {
        let proxy = Proxy::start(emulator.address).await;
        let store = emulator.open(proxy.address).with_patience(PATIENCE);
        let reach = Reach::Server(proxy, emulator);
        Some(Self { store, reach })
    }

    /// Nobody reaches it any more.
    pub fn cut(&self) {
        match &self.reach {
            Reach::Folder(folder) => {
                let path = folder.path();
                std::fs::rename(path.join("store"), path.join("away")).unwrap();
            }
            Reach::Server(proxy, _) => proxy.cut(),
        }
    }

    /// As before.
    pub fn heal(&self) {
        match &self.reach {
            Reach::Folder(folder) => {
                let path = folder.path();
                std::fs::rename(path.join("away"), path.join("store")).unwrap();
            }
            Reach::Server(proxy, _) => proxy.heal(),
        }
    }

    /// The next upload breaks off in its middle.
    pub fn break_next_upload(&self) {
        match &self.reach {
            // What a writer leaves that was killed before it gave the file its name.
            Reach::Folder(folder) => {
                let segments = folder.path().join("store/folder");
                std::fs::create_dir_all(&segments).unwrap();
                std::fs::write(segments.join("broken#1"), [1; 1000]).unwrap();
                self.cut();
            }
            Reach::Server(proxy, _) => proxy.allow_bytes(40_000),
        }
    }

    /// A folder that no test shares.
    pub fn scratch() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_owned();
        (folder, path)
    }
}
