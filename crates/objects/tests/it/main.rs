//! The contract of every store: a folder, Azure's emulator, a server that speaks S3.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod contract;

/// Beside it the emulators are installed.
const TMP: &str = env!("CARGO_TARGET_TMPDIR");
