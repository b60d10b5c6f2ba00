//! What the two systems have in common, as far as a measurement cares.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::Options;
use crate::hosts::Hosts;

/// Members of every cluster measured.
pub(crate) const MEMBERS: usize = 3;

/// One write, recognisable afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WriteId(pub(crate) u64);

/// Bytes of a write's body.
pub(crate) const BODY_BYTES: usize = 256;

impl WriteId {
    /// 256 bytes that begin with the id and do not compress to nothing.
    pub(crate) fn body(self) -> [u8; BODY_BYTES] {
        let mut body = [0; BODY_BYTES];
        let mut state = self.0;
        for word in body.chunks_exact_mut(8) {
            word.copy_from_slice(&state.to_be_bytes());
            // The increment and multiplier of Knuth's MMIX generator.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
        }
        body
    }

    /// The write whose body this is.
    pub(crate) fn of_body(body: &[u8]) -> Option<Self> {
        let id = Self(u64::from_be_bytes(*body.first_chunk()?));
        (id.body() == body).then_some(id)
    }
}

/// Why a write was not acknowledged; it may have happened all the same.
#[derive(Debug)]
pub(crate) struct NotAcknowledged(pub(crate) String);

impl fmt::Display for NotAcknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One client.
pub(crate) trait Writer: Send + 'static {
    /// Writes and waits until it is acknowledged. A broken connection is made anew by the next write.
    fn write(&mut self, id: WriteId) -> impl Future<Output = Result<(), NotAcknowledged>> + Send;

    /// The same client, whose writes may be sent again, also through another member.
    fn repeatable(self) -> Self;
}

/// A running cluster of [`MEMBERS`].
pub(crate) trait Cluster: Sized {
    /// In tables.
    const NAME: &'static str;
    /// Whether a write that is sent again under its id is stored once.
    const ONCE: bool;
    /// Its client.
    type Writer: Writer;

    /// A new, empty cluster that takes writes on every member.
    async fn start(setup: &Setup) -> Result<Self>;

    /// A client of one member.
    fn writer(&self, member: usize) -> Self::Writer;

    /// Process ids of the living members.
    fn pids(&self) -> Vec<u32>;

    /// The member whose death costs most: the holder of the turn, the leader.
    async fn key_member(&self) -> Result<usize>;

    /// Ends a member without warning (SIGKILL).
    fn kill(&mut self, member: usize) -> Result<()>;

    /// Starts a killed member; returns at once.
    fn revive(&mut self, member: usize) -> Result<()>;

    /// Stops a member's time (SIGSTOP), or lets it go on (SIGCONT).
    fn freeze(&mut self, member: usize, frozen: bool) -> Result<()>;

    /// Waits until a member has what the others have now.
    async fn caught_up(&self, member: usize) -> Result<()>;

    /// Starts a killed member and waits until it has what the others have.
    async fn restart(&mut self, member: usize) -> Result<()> {
        self.revive(member)?;
        self.caught_up(member).await
    }

    /// How often each write is stored.
    async fn stored(&self) -> Result<BTreeMap<WriteId, u64>>;

    /// Ends all members in an orderly way.
    async fn stop(self) -> Result<()>;
}

/// Programs, a place for data, and where members run.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The `starling` program.
    pub(crate) starling: PathBuf,
    /// The `etcd` program.
    pub(crate) etcd: PathBuf,
    /// Where members run.
    pub(crate) hosts: Hosts,
    folder: TempDir,
}

impl Setup {
    /// Checks nothing yet: a missing program is reported when it is started.
    pub(crate) fn new(options: &Options, hosts: Hosts) -> Result<Self> {
        let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new()
            .prefix("starling-bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("making a folder in {}", parent.display()))?;
        Ok(Self {
            starling: options.starling()?,
            etcd: options.etcd.clone(),
            hosts,
            folder,
        })
    }

    /// The folder under which all clusters lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new empty folder, removed when dropped.
    pub(crate) fn new_folder(&self, name: &str) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix(name)
            .tempdir_in(self.folder.path())
            .context("making a folder for a cluster")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_tells_its_write() {
        let id = WriteId(0x0123_4567_89ab_cdef);
        assert_eq!(WriteId::of_body(&id.body()), Some(id));
        let mut damaged = id.body();
        damaged[255] ^= 1;
        assert_eq!(WriteId::of_body(&damaged), None);
        assert_eq!(WriteId::of_body(b"short"), None);
    }
}
