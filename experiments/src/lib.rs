//! The experiments of `docs/experiments.md`.
//!
//! The question is whether a small private network can agree on a chain of blocks without a leader. Three answers run
//! here side by side on the same links, disks and clients, in simulated time: the [`naive`] scheme, [`paxos`] in which
//! everybody proposes at once, and the real replicas of [`starling`]. What is counted is what an outsider sees
//! ([`record`]), so the figures compare.
//!
//! Equal seeds give equal figures on every machine. Only the time that signatures cost ([`signatures`]) is measured on
//! a real clock, and what `starling-bench` measured with real processes is shown beside it ([`processes`]).

pub mod chart;
pub mod clients;
pub mod competition;
pub mod curves;
pub mod document;
pub mod naive;
pub mod network;
pub mod paxos;
pub mod processes;
pub mod record;
pub mod schedules;
pub mod scheme;
pub mod signatures;
pub mod splits;
pub mod starling;
pub mod tables;
pub mod timeline;
pub mod trace;
