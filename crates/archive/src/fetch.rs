//! Bringing a chain back: several segments at a time, and none of them believed.
//!
//! A route through the heights is chosen from the names alone. Its segments are fetched ahead while they are checked in
//! order, each against what the ones below it proved. One that fails is named, and another route is chosen without it;
//! what is proved already is kept, also in the folder, where a later call finds it. What no route reaches is the caller's
//! to get from elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt as _;
use ledger::segment::{self, Below, Checked};
use model::{Height, NodeId, Signatures};
use tokio::task::JoinHandle;

use crate::SegmentName;
use crate::archive::Archive;
use crate::layout::{Copy, Coverage};
use crate::manifest::Manifest;
use objects::{Fetched, OBJECT_MAX, StoreError};

/// How many objects are on their way at a time.
const AHEAD: usize = 4;
/// What is added to the name of a file that is not proved yet.
const UNPROVED: &str = "unproved";

/// An object that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which, below the chain's part of the store.
    pub object: String,
    /// What is wrong, and who brought it.
    pub what: String,
    /// The node that signed for these very bytes: it brought them wrong.
    pub by: Option<NodeId>,
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Proved up to here.
    pub height: Height,
    /// Where the route ends, if all of it is sound.
    pub goal: Height,
    /// Bytes of proved segments.
    pub bytes: u64,
}

/// What a fetch brought.
#[derive(Debug)]
pub struct Taken {
    /// The proved segments, in order, each in a file of its name in the folder.
    pub segments: Vec<SegmentName>,
    /// What they prove.
    pub top: Below,
    /// How many commands their blocks hold.
    pub commands: u64,
    /// What was not sound.
    pub faults: Vec<Fault>,
    /// Why it went no further, if that was the store.
    pub stopped: Option<StoreError>,
}

/// One fetch.
struct Fetch<'a> {
    archive: &'a Archive,
    coverage: Coverage,
    into: &'a Path,
    signatures: Arc<dyn Signatures>,
    /// What is proved, by the copy that proves it.
    proved: BTreeMap<Copy, Below>,
    bad: BTreeSet<Copy>,
    faults: Vec<Fault>,
    bytes: u64,
    commands: u64,
}

/// A file that holds what an object holds.
struct Arrived {
    path: PathBuf,
    fetched: Option<Fetched>,
}

type Arriving = JoinHandle<Result<Option<Arrived>, StoreError>>;

impl Archive {
    /// Fetches all segments above `below` that can be proved, into a folder. Segments that lie there are used.
    ///
    /// # Errors
    /// If the archive cannot be listed. A store that fails later only ends the fetch.
    pub async fn fetch(
        &self,
        below: Below,
        into: &Path,
        signatures: Arc<dyn Signatures>,
        progress: impl Fn(Progress),
    ) -> Result<Taken, StoreError> {
        let mut fetch = Fetch::start(self, into, signatures).await?;
        loop {
            let route = fetch.coverage.route(below.height, &fetch.bad);
            match fetch.follow(&route, &below, &progress).await {
                Ok(Some(top)) => return Ok(fetch.finish(&route, top, None)),
                Ok(None) => {}
                Err(error) => {
                    let top = fetch.proved_along(&route, &below);
                    return Ok(fetch.finish(&route, top, Some(error)));
                }
            }
        }
    }

    /// Fetches and checks every copy of every segment, and says what is wrong. The folder is for what is on its way.
    ///
    /// # Errors
    /// If the archive cannot be listed.
    pub async fn verify(
        &self,
        below: Below,
        scratch: &Path,
        signatures: Arc<dyn Signatures>,
        progress: impl Fn(Progress),
    ) -> Result<Taken, StoreError> {
        let mut taken = self
            .fetch(below.clone(), scratch, signatures.clone(), progress)
            .await?;
        let mut fetch = Fetch::start(self, scratch, signatures).await?;
        let known = fetch.tops(&below, &taken).await;
        let seen: BTreeSet<_> = taken
            .faults
            .iter()
            .map(|fault| fault.object.clone())
            .collect();
        let copies: Vec<_> = fetch.coverage.copies.keys().cloned().collect();
        for copy in copies {
            let done = copy.by.is_none() && taken.segments.contains(&copy.name);
            if done || seen.contains(&copy.to_string()) {
                continue;
            }
            let below = copy.name.from().previous();
            let below = below.and_then(|height| known.get(&height));
            if let Some(below) = below {
                fetch.check_alone(&copy, below).await?;
            }
        }
        for name in &fetch.coverage.strange {
            let what = "it does not belong into an archive".to_owned();
            let object = name.clone();
            let by = None;
            fetch.faults.push(Fault { object, what, by });
        }
        taken.faults.append(&mut fetch.faults);
        Ok(taken)
    }
}

impl<'a> Fetch<'a> {
    async fn start(
        archive: &'a Archive,
        into: &'a Path,
        signatures: Arc<dyn Signatures>,
    ) -> Result<Self, StoreError> {
        sweep(into).map_err(|source| StoreError::File {
            path: into.to_owned(),
            source,
        })?;
        Ok(Self {
            archive,
            coverage: archive.coverage().await?,
            into,
            signatures,
            proved: BTreeMap::new(),
            bad: BTreeSet::new(),
            faults: Vec::new(),
            bytes: 0,
            commands: 0,
        })
    }

    /// Fetches and checks along a route; nothing if one of its segments is bad, and another route has to be found.
    async fn follow(
        &mut self,
        route: &[Copy],
        below: &Below,
        progress: &impl Fn(Progress),
    ) -> Result<Option<Below>, StoreError> {
        let goal = route.last().map_or(below.height, |copy| copy.name.to());
        let mut below = self.proved_along(route, below);
        let rest = route.iter().filter(|copy| copy.name.from() > below.height);
        let rest: Vec<_> = rest.cloned().collect();
        let arriving = futures::stream::iter(rest.into_iter().map(|copy| {
            let archive = self.archive.clone();
            let into = self.into.to_owned();
            async move {
                let task: Arriving = tokio::spawn(bring(archive, copy.clone(), into));
                (copy, task.await)
            }
        }));
        let mut arriving = std::pin::pin!(arriving.buffered(AHEAD));
        while let Some((copy, arrived)) = arriving.next().await {
            let arrived = arrived.map_err(|error| self.failed(io::Error::other(error)))?;
            let Some(arrived) = self.unless_refused(&copy, arrived)? else {
                return Ok(None);
            };
            let Some(checked) = self.check(&copy, &arrived, &below).await? else {
                return Ok(None);
            };
            below = checked.top;
            self.commands += checked.commands;
            self.proved.insert(copy, below.clone());
            let (height, bytes) = (below.height, self.bytes);
            progress(Progress {
                height,
                goal,
                bytes,
            });
        }
        Ok(Some(below))
    }

    /// An object that is gone or may not be read is as good as a damaged one.
    fn unless_refused(
        &mut self,
        copy: &Copy,
        arrived: Result<Option<Arrived>, StoreError>,
    ) -> Result<Option<Arrived>, StoreError> {
        let what = match arrived {
            Ok(Some(arrived)) => return Ok(Some(arrived)),
            Ok(None) => "it is listed and not there".to_owned(),
            Err(error @ (StoreError::Refused { .. } | StoreError::TooLong { .. })) => {
                error.to_string()
            }
            Err(error) => return Err(error),
        };
        self.fault(copy, what, None);
        Ok(None)
    }

    /// Checks a segment that arrived, and gives it its name if it is sound.
    async fn check(
        &mut self,
        copy: &Copy,
        arrived: &Arrived,
        below: &Below,
    ) -> Result<Option<Checked>, StoreError> {
        let (path, name) = (arrived.path.clone(), copy.name);
        let (below, signatures) = (below.clone(), self.signatures.clone());
        let check = move || -> io::Result<_> {
            let bytes = std::fs::read(path)?;
            let length = bytes.len() as u64;
            Ok((segment::check(&bytes, name, &below, &*signatures), length))
        };
        let checked = tokio::task::spawn_blocking(check).await;
        let checked = checked.map_err(io::Error::other).flatten();
        let (checked, length) = checked.map_err(|source| self.failed(source))?;
        match checked {
            Ok(checked) => {
                let kept = self.into.join(name.to_string());
                let renamed = std::fs::rename(&arrived.path, kept);
                renamed.map_err(|source| self.failed(source))?;
                self.bytes += length;
                Ok(Some(checked))
            }
            Err(error) => {
                // One that an earlier fetch left here says nothing about the store: it is fetched again.
                if let Some(fetched) = arrived.fetched {
                    self.blame(copy, fetched, &describe(&error)).await;
                }
                let removed = std::fs::remove_file(&arrived.path);
                removed.map_err(|source| self.failed(source))?;
                Ok(None)
            }
        }
    }

    /// Checks a copy that is on no route.
    async fn check_alone(&mut self, copy: &Copy, below: &Below) -> Result<(), StoreError> {
        let arrived = bring_new(self.archive, copy, self.into).await;
        if let Some(arrived) = self.unless_refused(copy, arrived)? {
            self.check(copy, &arrived, below).await?;
        }
        Ok(())
    }

    /// Says what is wrong with an object, and who is to blame: the node that signed for these bytes, or the store.
    async fn blame(&mut self, copy: &Copy, fetched: Fetched, what: &str) {
        let manifest = self.archive.manifest(copy).await;
        let (whose, by) = match manifest {
            Err(error) => (error.to_string(), None),
            Ok(None) => ("no node signed for it".to_owned(), None),
            Ok(Some(json)) => match Manifest::check(&json, self.archive.chain(), copy.name) {
                Err(error) => (error.to_string(), None),
                Ok(manifest) if manifest.sha256 == fetched.sha256 => {
                    let node = manifest.node;
                    (format!("node {node} brought it so"), Some(node))
                }
                Ok(manifest) => {
                    let node = manifest.node;
                    (
                        format!("node {node} brought other bytes: the store changed them"),
                        None,
                    )
                }
            },
        };
        self.fault(copy, format!("{what}; {whose}"), by);
    }

    fn fault(&mut self, copy: &Copy, what: String, by: Option<NodeId>) {
        self.bad.insert(copy.clone());
        let object = copy.to_string();
        self.faults.push(Fault { object, what, by });
    }

    /// How far a route is proved.
    fn proved_along(&self, route: &[Copy], below: &Below) -> Below {
        let proved = route.iter().map_while(|copy| self.proved.get(copy));
        proved.last().unwrap_or(below).clone()
    }

    fn finish(self, route: &[Copy], top: Below, stopped: Option<StoreError>) -> Taken {
        let names = route.iter().map(|copy| copy.name);
        Taken {
            segments: names.take_while(|name| name.to() <= top.height).collect(),
            top,
            commands: self.commands,
            faults: self.faults,
            stopped,
        }
    }

    /// What is known at the ends of the segments that were taken.
    async fn tops(&mut self, below: &Below, taken: &Taken) -> BTreeMap<Height, Below> {
        let mut tops = BTreeMap::from([(below.height, below.clone())]);
        let mut below = below.clone();
        for name in &taken.segments {
            let copy = Copy::first(*name);
            let path = self.into.join(name.to_string());
            let arrived = Arrived {
                path,
                fetched: None,
            };
            let Ok(Some(checked)) = self.check(&copy, &arrived, &below).await else {
                break;
            };
            below = checked.top;
            tops.insert(below.height, below.clone());
        }
        tops
    }

    fn failed(&self, source: io::Error) -> StoreError {
        let path = self.into.to_owned();
        StoreError::File { path, source }
    }
}

/// Lets go of what an earlier fetch did not get to prove.
fn sweep(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == UNPROVED) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The segment as it lies in the folder from an earlier fetch, or as the store has it.
async fn bring(archive: Archive, copy: Copy, into: PathBuf) -> Result<Option<Arrived>, StoreError> {
    let path = into.join(copy.name.to_string());
    if copy.by.is_none() && path.exists() {
        let fetched = None;
        return Ok(Some(Arrived { path, fetched }));
    }
    bring_new(&archive, &copy, &into).await
}

async fn bring_new(
    archive: &Archive,
    copy: &Copy,
    into: &Path,
) -> Result<Option<Arrived>, StoreError> {
    let path = into.join(format!("{copy}.{UNPROVED}"));
    let key = copy.key(archive.chain());
    let fetched = archive.store().fetch(&key, &path, OBJECT_MAX).await?;
    Ok(fetched.map(|fetched| Arrived {
        path,
        fetched: Some(fetched),
    }))
}

fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", describe(source)),
        None => error.to_string(),
    }
}
