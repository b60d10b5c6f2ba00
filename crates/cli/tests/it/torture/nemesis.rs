//! Who breaks what, and mends it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::{Cluster, fill, until};

const DELAY: &str = "STARLING_TEST_FSYNC_DELAY_MS";
const FAIL_AFTER: &str = "STARLING_TEST_FSYNC_FAIL_AFTER";
const CLOCK_OFFSET: &str = "STARLING_TEST_CLOCK_OFFSET_MS";

/// SplitMix64 (Steele, Lea and Flood, 2014): the same seed, the same choices.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("below a usize")
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// One way to break something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    KillAll,
    Freeze,
    Isolate,
    CutLink,
    SilentLink,
    SlowLink,
    OneWay,
    CutWire,
    Lossy,
    SlowDisk,
    FailingDisk,
    FullDisk,
    WrongClock,
    DamagedBlob,
}

/// Of a node.
const OF_NODES: [Fault; 8] = [
    Fault::Kill,
    Fault::KillAll,
    Fault::Freeze,
    Fault::SlowDisk,
    Fault::FailingDisk,
    Fault::FullDisk,
    Fault::WrongClock,
    Fault::DamagedBlob,
];
/// Of the network, where its links are proxies; they may come on top.
const OF_PROXIES: [Fault; 4] = [
    Fault::Isolate,
    Fault::CutLink,
    Fault::SilentLink,
    Fault::SlowLink,
];
/// Of the network, where its links are wires that lose packets.
const OF_WIRES: [Fault; 4] = [Fault::Isolate, Fault::OneWay, Fault::CutWire, Fault::Lossy];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 of a node",
            Self::KillAll => "kill -9 of all nodes at once",
            Self::Freeze => "a node frozen (SIGSTOP)",
            Self::Isolate => "a node cut off from all others",
            Self::CutLink => "a link cut in one direction of calling",
            Self::SilentLink => "a link that swallows one direction's messages",
            Self::SlowLink => "a link with 50 to 300 ms on every chunk",
            Self::OneWay => "a wire that loses every packet of one direction",
            Self::CutWire => "a wire that loses every packet",
            Self::Lossy => "a wire that loses 5 to 50 % of all packets",
            Self::SlowDisk => "a disk with 100 to 800 ms on every flush",
            Self::FailingDisk => "a disk whose flushes begin to fail",
            Self::FullDisk => "a full disk",
            Self::WrongClock => "a clock up to an hour wrong",
            Self::DamagedBlob => "a byte of a blob flipped while its node is down",
        }
    }
}

/// Draws faults, brings them about, and takes them back.
pub(super) struct Nemesis {
    dice: Dice,
    /// Files by id, and their bytes.
    files: Vec<(String, String)>,
    /// Whether the disk of the first node can be filled.
    fills_up: bool,
    done: BTreeMap<Fault, u64>,
    begun: Instant,
}

/// What has to be undone.
struct Blow {
    fault: Fault,
    node: usize,
    other: usize,
    ballast: Option<PathBuf>,
}

impl Nemesis {
    pub(super) fn new(dice: Dice, files: Vec<(String, String)>, fills_up: bool) -> Self {
        Self {
            dice,
            files,
            fills_up,
            done: BTreeMap::new(),
            begun: Instant::now(),
        }
    }

    /// A line for whoever looks for the cause of a failure; a test that passes shows none.
    fn tell(&self, what: &str, blow: &Blow, cluster: &Cluster) {
        let (at, fault) = (self.begun.elapsed(), blow.fault.name());
        let (node, other) = (
            &cluster.node(blow.node).name,
            &cluster.node(blow.other).name,
        );
        eprintln!(
            "{:>8.3} s  {what}: {fault} ({node}; a link: {node} to {other})",
            at.as_secs_f64()
        );
    }

    /// For the table.
    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        let line = |(fault, count): (&Fault, &u64)| (fault.name().to_owned(), *count);
        self.done.iter().map(line).collect()
    }

    /// One or two faults for a moment, then none.
    pub(super) async fn strike(&mut self, cluster: &mut Cluster) {
        let mut blows = Vec::new();
        if self.dice.below(10) < 7 {
            let fault = OF_NODES[self.dice.index(OF_NODES.len())];
            blows.extend(self.bring_about(fault, cluster).await);
        }
        if blows.is_empty() || self.dice.below(10) < 4 {
            let links = match cluster.network() {
                Some(_) => OF_WIRES,
                None => OF_PROXIES,
            };
            let fault = links[self.dice.index(links.len())];
            blows.extend(self.bring_about(fault, cluster).await);
        }
        tokio::time::sleep(self.dice.millis(200, 2000)).await;
        while let Some(blow) = blows.pop() {
            self.take_back(blow, cluster).await;
        }
        for node in 0..cluster.len() {
            cluster.until_ready(node).await;
        }
    }

    async fn bring_about(&mut self, fault: Fault, cluster: &mut Cluster) -> Option<Blow> {
        let count = cluster.len();
        let node = self.dice.index(count);
        let other = (node + 1 + self.dice.index(count - 1)) % count;
        let mut blow = Blow {
            fault,
            node,
            other,
            ballast: None,
        };
        match fault {
            Fault::Kill => cluster.kill(node),
            Fault::KillAll => (0..count).for_each(|node| cluster.kill(node)),
            Fault::Freeze => cluster.freeze(node),
            Fault::Isolate => set_apart(cluster, node, true),
            Fault::OneWay => lose(cluster, &[(node, other)], 100),
            Fault::CutWire => lose(cluster, &[(node, other), (other, node)], 100),
            Fault::Lossy => {
                let percent = u8::try_from(5 + self.dice.below(46)).expect("at most 50");
                lose(cluster, &[(node, other), (other, node)], percent);
            }
            Fault::CutLink => cluster.link(node, other).cut(),
            Fault::SilentLink => cluster.link(node, other).silence(),
            Fault::SlowLink => cluster.link(node, other).delay(self.dice.millis(50, 300)),
            Fault::SlowDisk => {
                let delay = 100 + self.dice.below(700);
                start_again_with(cluster, node, DELAY, &delay.to_string());
            }
            Fault::FailingDisk => {
                let good = 3 + self.dice.below(100);
                start_again_with(cluster, node, FAIL_AFTER, &good.to_string());
            }
            Fault::FullDisk if !self.fills_up => return None,
            Fault::FullDisk => {
                blow.node = 0;
                blow.ballast = Some(fill(&cluster.node(0).folder()));
            }
            Fault::WrongClock => {
                let limit = [50, 5_000, 3_600_000][self.dice.index(3)];
                let ahead = self.dice.below(2 * limit).cast_signed() - limit.cast_signed();
                start_again_with(cluster, node, CLOCK_OFFSET, &ahead.to_string());
            }
            Fault::DamagedBlob => {
                cluster.kill(node);
                let (id, _) = &self.files[self.dice.index(self.files.len())];
                damage_blob(&cluster.node(node).folder(), id);
                cluster.spawn(node);
            }
        }
        *self.done.entry(fault).or_default() += 1;
        self.tell("begins", &blow, cluster);
        Some(blow)
    }

    async fn take_back(&mut self, blow: Blow, cluster: &mut Cluster) {
        self.tell("ends", &blow, cluster);
        let Blow {
            fault,
            node,
            other,
            ballast,
        } = blow;
        match fault {
            Fault::Kill => cluster.spawn(node),
            Fault::KillAll => (0..cluster.len()).for_each(|node| cluster.spawn(node)),
            Fault::Freeze => cluster.thaw(node),
            Fault::Isolate => set_apart(cluster, node, false),
            Fault::OneWay | Fault::CutWire | Fault::Lossy => {
                lose(cluster, &[(node, other), (other, node)], 0);
            }
            Fault::CutLink | Fault::SilentLink | Fault::SlowLink => {
                cluster.link(node, other).heal()
            }
            Fault::SlowDisk => start_again_with(cluster, node, DELAY, "0"),
            Fault::FailingDisk => {
                start_again_with(cluster, node, FAIL_AFTER, &u64::MAX.to_string())
            }
            Fault::WrongClock => start_again_with(cluster, node, CLOCK_OFFSET, "0"),
            Fault::FullDisk => {
                let ballast = ballast.expect("it was filled");
                std::fs::remove_file(ballast).expect("room is made");
            }
            Fault::DamagedBlob => self.check_files(cluster, node).await,
        }
    }

    /// A node whose copy is damaged gives the right bytes all the same.
    async fn check_files(&self, cluster: &Cluster, node: usize) {
        let api = cluster.api(node);
        for (id, bytes) in &self.files {
            let content = until("the node gives a file's bytes", async || {
                let path = format!("/files/{id}/content");
                let request = api.request(reqwest::Method::GET, &path);
                api.try_send(request).await.ok()?.success()
            })
            .await;
            assert!(
                content.bytes == bytes.as_bytes(),
                "{id} as {} gives it",
                cluster.node(node).name
            );
        }
    }
}

/// Cuts a node off from its peers, or takes that back. Clients still reach it.
fn set_apart(cluster: &mut Cluster, node: usize, apart: bool) {
    if cluster.network().is_some() {
        let others = (0..cluster.len()).filter(|other| *other != node);
        let wires: Vec<(usize, usize)> = others
            .flat_map(|other| [(node, other), (other, node)])
            .collect();
        lose(cluster, &wires, if apart { 100 } else { 0 });
    } else if apart {
        cluster.isolate(node);
    } else {
        cluster.heal(node);
    }
}

/// Lets these wires lose so many per cent.
fn lose(cluster: &mut Cluster, wires: &[(usize, usize)], percent: u8) {
    let network = cluster
        .network()
        .expect("wires are broken where there are some");
    for (from, to) in wires {
        network.lose(*from, *to, percent).expect("the wire changes");
    }
}

fn start_again_with(cluster: &mut Cluster, node: usize, variable: &str, value: &str) {
    cluster.kill(node);
    cluster.set(node, variable, value);
    cluster.spawn(node);
}

/// Flips a bit in the middle of a node's copy, if it has one.
fn damage_blob(folder: &Path, id: &str) {
    let path = folder.join("blobs").join(&id[..2]).join(&id[2..4]).join(id);
    if let Ok(mut bytes) = std::fs::read(&path) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("damaged");
    }
}
