//! The archive against real stores: a folder, Azure's emulator, a server that speaks S3.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod archive;
mod chain;
mod contract;
mod emulator;
mod fetch;
mod place;
mod proxy;
