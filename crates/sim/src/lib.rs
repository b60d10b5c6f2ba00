//! A seeded simulator of whole clusters.
//!
//! The real [`replica::Replica`] runs here, on simulated disks, clocks and links, any number of them on one thread.
//! A seed gives a [`Plan`]: how many nodes, how fast or bad their links and disks are, what clients do, and which
//! faults the nemesis may use. Then the [`World`] runs from event to event:
//!
//! 1. in the **storm** everything may break, and safety must hold;
//! 2. then everything is mended, sometimes but for a minority that stays down, and in the **calm** every client must get
//!    its answer within a bounded time, and all heads become equal;
//! 3. in some runs an **ordeal** follows: a disk loses what was flushed, and that must be found before its node takes
//!    part again.
//!
//! After every event the [checks](Violation) that it concerns are made: agreement, promises kept across restarts,
//! nothing said before it is durable or by whom it must not be, certificates, exactly once, an order of all operations
//! that explains every answer, equal core states, and that what a client was told stays true. A violation names its
//! check and the [`Case`]. [`shrink()`] makes the case smaller; `starling-sim replay` shows the run, one event a line.
//!
//! The same case is the same run, bit for bit: ordered maps only, no clock, one generator of chance.
//!
//! Nodes seal what is decided and share an archive that lies; members come and go, and disks are lost meanwhile. Logs are
//! damaged in front of what is whole, and nodes mend them from others, who lie.
//!
//! Not simulated: blobs and the catalogue (a register per file stands for what it decides), and disks of more than a
//! minority that lose what was flushed or cannot be read.

mod archive;
mod checks;
mod clock;
mod commands;
mod disk;
mod genesis;
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
mod snapshots;
mod stats;
mod trace;
mod turns;
mod workload;
mod world;

pub use checks::Violation;
pub use clock::EPOCH;
pub use commands::Kinds;
pub use disk::SimDisk;
pub use genesis::draw_genesis;
pub use keys::{Scheme, draw as draw_identities};
pub use plan::{DiskPlan, Fault, NetworkPlan, Order, Plan, SealingPlan, WorkloadPlan};
pub use rng::{Chance, Rng};
pub use run::{CALM, Case, EVENTS, Outcome, ParseCaseError, run};
pub use seat::Seat;
pub use shrink::shrink;
pub use stats::Stats;
pub use trace::Sink;
pub use turns::{Gone, Survivors, Turns};
pub use workload::OpId;
pub use world::World;
pub use world::resync::Asking;
pub use world::script::{DiskImage, Kept, Pace};
pub use world::steward::Errand;
