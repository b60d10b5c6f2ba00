//! One process of a cluster: HTTP, gRPC, threads and clocks around one replica.

pub mod config;
pub mod disk;
pub mod identity;
