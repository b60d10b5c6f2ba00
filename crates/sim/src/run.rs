//! A seed's whole run: storm, then calm.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Duration;

use crate::checks::Violation;
use crate::plan::Plan;
use crate::trace::Sink;
use crate::world::{Stats, World};

/// A healed cluster has this much simulated time to come to rest.
pub const CALM: Duration = Duration::from_secs(60);

/// The storm of a run ends after this many events, unless something else is said.
pub const EVENTS: u64 = 30_000;

/// What names a run: the same case is the same run, on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// From which the plan is drawn.
    pub seed: u64,
    /// After which the storm ends.
    pub events: u64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} --events {}", self.seed, self.events)
    }
}

/// Text that is not a case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a case is written `SEED --events EVENTS`, found {0:?}")]
pub struct ParseCaseError(String);

impl FromStr for Case {
    type Err = ParseCaseError;

    fn from_str(text: &str) -> Result<Self, ParseCaseError> {
        let parsed = text.split_once(" --events ").and_then(|(seed, events)| {
            Some(Self {
                seed: seed.trim().parse().ok()?,
                events: events.trim().parse().ok()?,
            })
        });
        parsed.ok_or_else(|| ParseCaseError(text.to_owned()))
    }
}

/// How a run went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which run.
    pub case: Case,
    /// Equal for equal runs.
    pub trace_hash: u64,
    /// What was counted.
    pub stats: Stats,
    /// What went wrong, if anything did.
    pub violation: Option<Violation>,
}

/// Runs a case. Readable lines go to `sink`, if there is one.
pub fn run(case: Case, sink: Option<Sink<'_>>) -> Outcome {
    let mut world = World::new(Plan::swarm(case.seed), sink);
    let result = catch_unwind(AssertUnwindSafe(|| {
        world.storm(case.events)?;
        world.settle(CALM).map(drop)
    }));
    let violation = match result {
        Ok(result) => result.err(),
        Err(payload) => Some(Violation {
            check: "check_no_panic",
            detail: panic_text(payload.as_ref()),
        }),
    };
    Outcome {
        case,
        trace_hash: world.trace_hash(),
        stats: world.stats(),
        violation,
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_is_written() {
        let case = Case {
            seed: 7,
            events: 100,
        };
        assert_eq!(case.to_string().parse(), Ok(case));
        assert!("7".parse::<Case>().is_err());
    }
}
