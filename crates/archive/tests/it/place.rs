//! The stores that the contract is checked on, each reached in a way that can be cut.

use std::path::PathBuf;

use archive::{Patience, Store};
use tempfile::TempDir;

use crate::emulator::{self, Emulator};
use crate::proxy::Proxy;

/// An empty store.
pub(crate) struct Place {
    pub(crate) store: Store,
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
    pub(crate) fn folder() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let url = format!("file://{}/store", folder.path().display());
        let store = Store::open(&url).unwrap().with_patience(PATIENCE);
        let reach = Reach::Folder(folder);
        Self { store, reach }
    }

    /// Nothing if the emulator is not installed.
    pub(crate) async fn azure() -> Option<Self> {
        Self::server(emulator::azure().await?).await
    }

    /// Nothing if the server is not installed.
    pub(crate) async fn s3() -> Option<Self> {
        Self::server(emulator::s3().await?).await
    }

    async fn server(emulator: Emulator) -> Option<Self> {
        let proxy = Proxy::start(emulator.address).await;
        let store = emulator.open(proxy.address).with_patience(PATIENCE);
        let reach = Reach::Server(proxy, emulator);
        Some(Self { store, reach })
    }

    /// Nobody reaches it any more.
    pub(crate) fn cut(&self) {
        match &self.reach {
            Reach::Folder(folder) => {
                let path = folder.path();
                std::fs::rename(path.join("store"), path.join("away")).unwrap();
            }
            Reach::Server(proxy, _) => proxy.cut(),
        }
    }

    /// As before.
    pub(crate) fn heal(&self) {
        match &self.reach {
            Reach::Folder(folder) => {
                let path = folder.path();
                std::fs::rename(path.join("away"), path.join("store")).unwrap();
            }
            Reach::Server(proxy, _) => proxy.heal(),
        }
    }

    /// The next upload breaks off in its middle.
    pub(crate) fn break_next_upload(&self) {
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
    pub(crate) fn scratch() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_owned();
        (folder, path)
    }
}
