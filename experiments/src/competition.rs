//! Everybody always writes: what a block costs, and what a write waits, against the size of the cluster.

use std::time::Duration;

use crate::naive::{Naive, Votes};
use crate::network::{Place, Trouble};
use crate::paxos::Paxos;
use crate::record::Figures;
use crate::scheme::{self, Scheme};
use crate::starling;

/// The sizes compared.
pub const SIZES: [usize; 5] = [3, 5, 7, 9, 15];
/// Clients at each node; each has one write open at a time.
pub const CLIENTS: usize = 4;

/// Who competes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// Starling's replicas.
    Starling,
    /// Textbook Paxos without a turn.
    EverybodyAtOnce,
    /// The naive scheme with revocable votes.
    Revocable,
}

impl Contender {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Starling, Self::EverybodyAtOnce, Self::Revocable];

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starling => "Starling",
            Self::EverybodyAtOnce => "everybody at once",
            Self::Revocable => "naive, revocable",
        }
    }

    /// Runs it under full load.
    ///
    /// # Errors
    /// If a replica does not start.
    pub fn run(self, place: Place, nodes: usize, seed: u64) -> Result<Figures, replica::OpenError> {
        Ok(match self {
            Self::Starling => {
                let scheme = sim::Scheme::StandIn;
                starling_figures(place, nodes, scheme, seed)?.0
            }
            Self::EverybodyAtOnce => paxos_figures(place, nodes, Paxos::BACK_OFF_ROUNDS, seed),
            Self::Revocable => naive_figures(place, nodes, Naive::PATIENCE_ROUNDS, seed),
        })
    }
}

/// How long a cluster runs before anything is measured, and how long it is measured.
pub fn lengths(place: Place) -> (Duration, Duration) {
    match place {
        Place::Lan => (Duration::from_secs(1), Duration::from_secs(3)),
        Place::Wan => (Duration::from_secs(10), Duration::from_secs(60)),
    }
}

/// Textbook Paxos with a first wait of so many rounds.
pub fn paxos_figures(place: Place, nodes: usize, back_off: u32, seed: u64) -> Figures {
    figures(place, Paxos::cluster(place, nodes, back_off), seed)
}

/// The naive scheme with revocable votes that bind for so many rounds.
pub fn naive_figures(place: Place, nodes: usize, patience: u32, seed: u64) -> Figures {
    let all = Naive::cluster(place, nodes, Votes::Revocable, patience);
    figures(place, all, seed)
}

fn figures<S: Scheme>(place: Place, nodes: Vec<S>, seed: u64) -> Figures {
    let (warm, measured) = lengths(place);
    let mut cluster = scheme::Cluster::new(place, nodes, Trouble::NONE, seed);
    cluster.saturate(CLIENTS);
    cluster.run_for(warm);
    cluster.record.begin(cluster.now());
    cluster.run_for(measured);
    cluster.record.figures(cluster.now())
}

/// Starling's figures, and the bytes of a certificate.
///
/// # Errors
/// If a replica does not start.
pub fn starling_figures(
    place: Place,
    nodes: usize,
    scheme: sim::Scheme,
    seed: u64,
) -> Result<(Figures, usize), replica::OpenError> {
    let (warm, measured) = lengths(place);
    let mut cluster = starling::Cluster::new(place, nodes, scheme, Trouble::NONE, seed)?;
    cluster.saturate(CLIENTS);
    cluster.run_for(warm);
    cluster.record.begin(cluster.now());
    cluster.run_for(measured);
    let figures = cluster.record.figures(cluster.now());
    Ok((figures, cluster.certificate_bytes()))
}

/// After how many heights the naive scheme with final votes stands still for good, with clients everywhere: the median
/// of 21 seeds.
pub fn heights_until_deadlock(place: Place, nodes: usize) -> u64 {
    let run = |seed| {
        let all = Naive::cluster(place, nodes, Votes::Final, Naive::PATIENCE_ROUNDS);
        let mut cluster = scheme::Cluster::new(place, all, Trouble::NONE, seed);
        cluster.saturate(CLIENTS);
        cluster.run_for(place.round(nodes) * 1_000);
        cluster.record.heights()
    };
    let mut heights: Vec<u64> = (0..21).map(run).collect();
    heights.sort_unstable();
    heights.get(10).copied().unwrap_or_default()
}
