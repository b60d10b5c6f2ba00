//! The program as people and other programs meet it: real processes on loopback, real files, real signals.
//!
//! Every test starts what it needs and leaves nothing behind. Nothing sleeps for a guess: tests wait for a condition
//! with a deadline that is only there to fail. `harness` starts, kills, freezes and cuts off nodes; `api` is a client
//! without any of the cleverness that is under test.

#![allow(
    clippy::indexing_slicing,
    reason = "a test that looks for what is not there has failed"
)]

mod api;
mod harness;
mod proxy;
mod prune;
mod purge;

mod agreement;
mod albums;
mod archive;
mod bad_input;
mod command_line;
mod demo;
mod durability;
mod evidence;
mod export;
mod faults;
mod files;
mod folder_lock;
mod from_archive;
mod full_disk;
mod membership;
mod mending;
mod operations;
mod originals;
mod people;
mod receipts;
mod recovery;
mod replication;
mod restore;
mod resync;
mod rolling_restart;
mod search;
mod snapshots;
mod tamper;
mod torture;
mod uploads;
