//! An exhaustive search through what the engine can do in small clusters.
//!
//! Other models of a protocol are written a second time, in another language, and prove something about that. Here
//! the transition functions are the engine's own: [`consensus::Engine`] takes the inputs, a modelled disk and network
//! carry out its effects, and every order of events is tried until nothing new turns up or a bound is reached. After
//! every step the named checks of [`checks`] look at disks and letters.
//!
//! **What may happen**: any letter ever sent arrives, again and again or never; a flush returns through any record;
//! a timer fires; a client brings a command or a read; a node dies and finds any beginning of what it had not flushed;
//! a starting node asks what it was.
//!
//! **What is abstracted, and which way that errs.**
//!
//! * *Time.* A node's clock moves only when a timer of it fires, and then to the next timer that changes anything.
//!   Every timer may so fire at any moment, also absurdly early; two timers of one node that are due at different
//!   times fire in that order. Wall clocks stand still.
//! * *Merging.* Nodes that differ in times, measurements and random back-off alone count as one, and the first one met
//!   stands for all (`consensus::fingerprint` lists what is left out). Every step is one of a real engine, but a path
//!   may join the pasts of two. A counterexample is therefore run again from the start without merging, and says
//!   whether it was confirmed. What merging loses are orders of timers, hints and suspicions: advice.
//! * *Signatures* are stand-ins, and a certificate counts as the same whoever of a quorum signed it. Who receives one in
//!   which it has a vote that it never gave gets one of the others' votes.
//! * *Start-up checks* happen in one piece: question, answer, the wait for more answers.
//! * *Beacons, pings and pushes* are lost. Peers count as alive when a clock moves.
//! * *The last height*: who has decided it falls silent, and nothing above it is looked at. (Where reads are made, it
//!   goes on.)
//! * *Bounds*: so many takeovers, crashes, commands and reads per case. Some cases flush at once or lose refusals.
//!
//! All but the first two only leave behaviours out.

pub mod cases;
pub mod checks;
mod disk;
mod fingerprint;
mod network;
mod node;
mod search;
mod stage;
mod table;
mod trace;

pub use cases::{CASES, Case};
pub use checks::Violation;
pub use search::Met;
pub use trace::Counterexample;

use search::{Ended, Search};

/// What a search found.
#[derive(Debug, Clone)]
pub struct Report {
    /// States met.
    pub states: usize,
    /// Actions from the start to the deepest state, counting whole levels only if the search was bounded.
    pub depth: usize,
    /// Whether everything within the case was tried.
    pub exhausted: bool,
    /// What happened on the way.
    pub met: Met,
    /// What went wrong, if anything.
    pub broken: Option<Counterexample>,
}

/// Searches a case, up to `states_max` states.
pub fn check(case: &Case, states_max: usize) -> Report {
    let mut search = Search::new(*case, true);
    let ended = match search.begin() {
        Ok((start, _)) => search.run(start, states_max),
        Err(violation) => Ended::Broken {
            violation,
            trace: Vec::new(),
        },
    };
    let (depth, exhausted, broken) = match ended {
        Ended::Exhausted { depth } => (depth, true, None),
        Ended::Bound { depth } => (depth, false, None),
        Ended::Broken { violation, trace } => {
            let told = trace::retell(*case, &search, violation, &trace);
            (trace.len(), false, Some(told))
        }
    };
    Report {
        states: search.states.len(),
        depth,
        exhausted,
        met: search.met(),
        broken,
    }
}
