//! How often the naive scheme deadlocks with final votes, and how often it forks with revocable ones.

use std::collections::BTreeMap;
use std::time::Duration;

use sim::{Chance, Rng, Scheme as Signing};

use crate::naive::{Naive, Votes};
use crate::network::{Place, Trouble};
use crate::record::Name;
use crate::scheme::Cluster;
use crate::starling;

/// The heights tried for every cell of the table of deadlocks.
pub const HEIGHTS: u32 = 1_000;
/// How long clusters are watched for forks, in simulated time.
pub const WATCHED: Duration = Duration::from_secs(30);
/// Clients at each node while they are watched.
const CLIENTS: usize = 1;

/// Whether all nodes are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Up {
    /// They are.
    All,
    /// One is not, and had nothing to write.
    AllButOne,
}

/// In how many of so many heights nothing can be decided any more, if `proposers` nodes push a block within one
/// round trip of a LAN.
pub fn deadlocks(nodes: usize, proposers: usize, up: Up, heights: u32) -> u32 {
    (0..heights)
        .filter(|seed| is_deadlock(nodes, proposers, up, u64::from(*seed)))
        .count()
        .try_into()
        .unwrap_or(u32::MAX)
}

fn is_deadlock(nodes: usize, proposers: usize, up: Up, seed: u64) -> bool {
    let place = Place::Lan;
    let all = Naive::cluster(place, nodes, Votes::Final, Naive::PATIENCE_ROUNDS);
    let mut cluster = Cluster::new(place, all, Trouble::NONE, seed);
    if up == Up::AllButOne {
        cluster.take_down(nodes - 1);
    }
    let mut rng = Rng::new(!seed);
    for node in 0..proposers {
        let wait = rng.duration(Duration::ZERO..place.one_way(0, 1) * 2);
        cluster.write(wait, node);
    }
    cluster.run_for(place.round(nodes) * 8);
    let undecided = cluster.record.decided_at(1).is_none();
    let stuck = is_stuck(&cluster, nodes);
    assert_eq!(
        undecided, stuck,
        "a height is open because its votes are split"
    );
    undecided
}

/// No block has, or can still get, a majority of final votes.
fn is_stuck(cluster: &Cluster<Naive>, nodes: usize) -> bool {
    let mut votes: BTreeMap<Name, usize> = BTreeMap::new();
    let open = (0..nodes).all(|node| cluster.node(node).decided() == 0);
    for vote in (0..nodes).filter_map(|node| cluster.node(node).vote()) {
        *votes.entry(vote).or_default() += 1;
    }
    open && votes.values().all(|count| *count <= nodes / 2)
}

/// The troubles under which forks are counted, and what tables call them.
pub fn troubles() -> Vec<(&'static str, Trouble)> {
    let loss = |percent| Trouble {
        loss: Chance::percent(percent),
        ..Trouble::NONE
    };
    let late = Trouble {
        late: Chance::percent(1),
        ..Trouble::NONE
    };
    let isolation = Trouble {
        isolation: Duration::from_millis(30),
        ..Trouble::NONE
    };
    vec![
        ("none", Trouble::NONE),
        ("1 % of messages lost", loss(1)),
        ("10 % of messages lost", loss(10)),
        ("1 % of messages up to 40 ms late", late),
        ("one node cut off for 30 ms of every 100 ms", isolation),
    ]
}

/// Heights decided, and those with two decided blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forks {
    /// Decided by anybody.
    pub heights: u64,
    /// With two blocks.
    pub forked: u64,
}

/// The naive scheme with revocable votes under a trouble.
pub fn naive_forks(nodes: usize, trouble: Trouble, length: Duration) -> Forks {
    let all = Naive::cluster(Place::Lan, nodes, Votes::Revocable, Naive::PATIENCE_ROUNDS);
    let mut cluster = Cluster::new(Place::Lan, all, trouble, 1);
    cluster.saturate(CLIENTS);
    cluster.run_for(length);
    Forks {
        heights: cluster.record.heights(),
        forked: cluster.record.forks(),
    }
}

/// Starling under the same trouble.
///
/// # Errors
/// If a replica does not start.
pub fn starling_forks(
    nodes: usize,
    trouble: Trouble,
    length: Duration,
) -> Result<Forks, replica::OpenError> {
    let mut cluster = starling::Cluster::new(Place::Lan, nodes, Signing::StandIn, trouble, 1)?;
    cluster.saturate(CLIENTS);
    cluster.run_for(length);
    Ok(Forks {
        heights: cluster.record.heights(),
        forked: cluster.record.forks(),
    })
}
