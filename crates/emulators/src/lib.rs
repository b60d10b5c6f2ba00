//! Servers that stand for object stores, and links to them that break, for tests.
//!
//! [`azure`] starts Azurite and [`s3`] starts Moto, both installed by `tests/emulators.sh`; where they are not, a test says
//! so loudly and is skipped, or fails if `STARLING_NEED_EMULATORS` is set. A [`Place`] is an empty store of any kind behind
//! a [`Proxy`] that can be cut, that can break in the middle of an upload, and that can make a store forgetful.
//!
//! Used by tests alone, so what does not work panics.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

mod emulator;
mod place;
mod proxy;

pub use emulator::{Emulator, azure, open_with, s3};
pub use place::Place;
pub use proxy::Proxy;
