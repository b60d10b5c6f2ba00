//! Leaderless agreement on one block per height.
//!
//! Each height is one instance of single-decree Paxos (Lamport, *Paxos Made Simple*, 2001). What makes it quick
//! without a leader is the **turn**: the decided block of height h names the node that may use ballot 1 at h + 1
//! without a prepare. There is no lower ballot, so a prepare would find nothing; one round trip and one flush decide.
//! Any other node may commit at any height at any time with a prepare at a higher ballot. It waits a *hedge* of a few
//! milliseconds out of courtesy; a wrong hedge costs messages, never safety. The turn passes with every block to the
//! next node that has work, so nobody stays in charge, and there is nothing to elect.
//!
//! [`Engine`] is a value: [`Input`]s go in with the time, [`Effect`]s come out. It owns no socket, file, clock or
//! source of randomness. A run is a function of its [`Config`], what was [`Recovered`] and the inputs.
//!
//! Where to read what (the sections are those of `docs/protocol.md`):
//!
//! * [`message`], [`effect`]: what is said, what goes in and out.
//! * `acceptor`, `vote`: promises and accepts at the one undecided height.
//! * `proposer`, `takeover`: ballots of our own; `learner`: counting accepts until a quorum decides.
//! * `chain`: decided blocks, catching up, the log cursor.
//! * `pace`: how long to wait; `turn`: whose turn it is, suspects, hints, pushes.
//! * `start`: the check after a start; `read`: linearizable reads at any node.
//! * [`fingerprint`]: what two engines must have in common to be taken for one state by a search.
//!
//! Deliberately absent: leaders, terms, leases, pipelining of heights, joint consensus (every height has one membership,
//! named by the chain below it), and the standing takeover of an idle suspect's turn.

mod acceptor;
mod chain;
mod counters;
pub mod effect;
mod engine;
pub mod fingerprint;
mod learner;
pub mod message;
mod pace;
mod peers;
mod pending;
mod proposer;
mod read;
pub mod resync;
mod rng;
mod start;
mod takeover;
mod turn;
mod vote;

pub use counters::Counters;
pub use effect::{DiskRoom, Effect, Input, ReadId, StopReason, Urgency};
pub use engine::{Config, Engine, PeerStatus, Phase, Recovered};
pub use message::{Accept, Beacon, Message, Seen};
pub use peers::Role;
