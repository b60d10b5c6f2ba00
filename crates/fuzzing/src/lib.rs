//! Entry points for fuzzers: everything that is read from a disk, from a peer or from a stranger.
//!
//! A [`Target`] is a function that takes any bytes and must come back. It panics if a parser panics or if one of the
//! properties named in its module is broken. Two drivers call the same functions: cargo-fuzz, guided by coverage, from
//! `fuzz/fuzz_targets` (`make fuzz`), and a test of this crate that goes over the corpus and a fixed number of
//! deterministic [`mutate`]d inputs each time the tests run.
//!
//! The corpus lies in `fuzz/corpus`, a folder per target. Most of it is what [`Target::seeds`] makes of real values, so
//! that a change of format is a change of the corpus: `cargo run -p fuzzing --bin corpus` writes those files anew. Files
//! whose name begins with `found-` are inputs that once broke something, or that a fuzzer found worth keeping.
//!
//! * [`codec`]: the canonical encoding of everything that is sent or stored.
//! * [`log`]: a ledger's folder, with any bytes in it, with any bytes whose checksums are right, and with a real one
//!   damaged.
//! * [`segment`]: a file of decided blocks that somebody else may have made.
//! * [`engine`]: a member that lies, talking to a healthy one.
//! * [`query`]: what people search for.
//! * [`rows`]: the rows of a snapshot.
//! * [`picture`]: files that claim to be pictures or films.
//! * [`sidecar`]: XMP files beside pictures.
//! * [`receipt`]: proofs that come from anywhere at all.
//!
//! What this crate must never know: the node, its sockets and its HTTP. The bodies of calls between nodes are mutated in
//! tests of the node, with the same [`mutate`].

pub mod chain;
pub mod codec;
pub mod engine;
pub mod folder;
pub mod image;
pub mod log;
pub mod mutate;
pub mod picture;
pub mod query;
pub mod receipt;
pub mod rows;
mod seal;
pub mod segment;
pub mod sidecar;
mod values;

use std::path::PathBuf;

/// A parser, and what must hold of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the program in `fuzz/fuzz_targets` and of its folder in the corpus.
    pub name: &'static str,
    /// Takes any bytes.
    ///
    /// # Panics
    /// If a property is broken.
    pub run: fn(&[u8]),
    /// Real values to start from.
    pub seeds: fn() -> Vec<Seed>,
}

/// One input made from real values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// What it is, as a file name.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

impl Seed {
    /// A seed of this name.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            bytes,
        }
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "message",
        run: codec::message,
        seeds: codec::message_seeds,
    },
    Target {
        name: "block",
        run: codec::block,
        seeds: codec::block_seeds,
    },
    Target {
        name: "command",
        run: codec::command,
        seeds: codec::command_seeds,
    },
    Target {
        name: "value",
        run: codec::value,
        seeds: codec::value_seeds,
    },
    Target {
        name: "log",
        run: log::raw,
        seeds: log::raw_seeds,
    },
    Target {
        name: "sealed_log",
        run: log::sealed,
        seeds: log::sealed_seeds,
    },
    Target {
        name: "damaged_log",
        run: log::damaged,
        seeds: log::damaged_seeds,
    },
    Target {
        name: "segment",
        run: segment::run,
        seeds: segment::seeds,
    },
    Target {
        name: "engine",
        run: engine::run,
        seeds: engine::seeds,
    },
    Target {
        name: "query",
        run: query::run,
        seeds: query::seeds,
    },
    Target {
        name: "rows",
        run: rows::run,
        seeds: rows::seeds,
    },
    Target {
        name: "picture",
        run: picture::run,
        seeds: picture::seeds,
    },
    Target {
        name: "sidecar",
        run: sidecar::run,
        seeds: sidecar::seeds,
    },
    Target {
        name: "receipt",
        run: receipt::run,
        seeds: receipt::seeds,
    },
    Target {
        name: "consistency",
        run: receipt::run_consistency,
        seeds: receipt::consistency_seeds,
    },
];

/// The folder of a target's corpus in a checkout.
pub fn corpus(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target.name)
}
