//! A seeded simulator of whole clusters.
//!
//! The real [`replica::Replica`] runs here, on simulated disks, clocks and links, any number of them on one thread.
//! A seed gives a [`Plan`]: how many nodes, how fast or bad their links and disks are, what clients do, and which
//! faults the nemesis may use. Then the [`World`] runs from event to event. First comes the **storm**, in which
//! everything may break and safety must hold; then everything is mended, and in the **calm** every client must get
//! its answer and all heads become equal.
//!
//! After every event the [checks](Violation) that it concerns are made: agreement, promises kept across restarts,
//! nothing said before it is durable, certificates, exactly once, linearizable reads, equal core states, and that what
//! a client was told stays true. A violation names its check and the case; `starling-sim replay` shows the run that
//! led to it, one event a line.
//!
//! The same case is the same run, bit for bit: ordered maps only, no clock, one generator of chance.
//!
//! Not simulated: membership changes, damage to bytes that were flushed, and more failed flushes than a minority of
//! disks can have.

mod checks;
mod clock;
mod commands;
mod disk;
mod keys;
mod machine;
mod nemesis;
mod network;
mod plan;
mod rng;
mod run;
mod seat;
mod shelf;
mod shrink;
mod stats;
mod trace;
mod workload;
mod world;

pub use checks::Violation;
pub use commands::Kinds;
pub use disk::SimDisk;
pub use keys::Scheme;
pub use plan::{DiskPlan, Fault, NetworkPlan, Order, Plan, WorkloadPlan};
pub use rng::{Chance, Rng};
pub use run::{CALM, Case, EVENTS, Outcome, ParseCaseError, run};
pub use seat::Seat;
pub use shrink::shrink;
pub use stats::Stats;
pub use trace::Sink;
pub use workload::OpId;
pub use world::World;
pub use world::script::{DiskImage, Kept, Pace};
