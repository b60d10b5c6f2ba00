//! The archive in real stores: a folder, Azure's emulator, a server that speaks S3.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod archive;
mod chain;
mod fetch;
