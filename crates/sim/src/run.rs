//! A seed's whole run: storm, then calm.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Duration;

use model::limits::VOTERS_MAX;

use crate::checks::Violation;
use crate::plan::{Fault, Plan};
use crate::stats::Stats;
use crate::trace::Sink;
use crate::world::World;

/// A healed cluster has this much simulated time to come to rest.
pub const CALM: Duration = Duration::from_secs(60);

/// The storm of a run ends after this many events, unless something else is said.
pub const EVENTS: u64 = 30_000;

/// What names a run: the same case is the same run, on every machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// From which the plan is drawn.
    pub seed: u64,
    /// After which the storm ends.
    pub events: u64,
    /// How many voters, whatever the plan says.
    pub nodes: Option<usize>,
    /// How many clients at most, whatever the plan says.
    pub clients: Option<usize>,
    /// What is left out of the plan.
    pub without: BTreeSet<Fault>,
    /// Another run of the same plan for each number; 0 is the usual one.
    pub luck: u64,
}

impl Case {
    /// The whole plan of a seed.
    pub fn new(seed: u64, events: u64) -> Self {
        Self {
            seed,
            events,
            nodes: None,
            clients: None,
            without: BTreeSet::new(),
            luck: 0,
        }
    }

    /// What the run consists of.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::swarm(self.seed);
        if !self.without.contains(&Fault::Members) {
            plan.draw_changes();
        }
        if !self.without.contains(&Fault::Sealing) {
            plan.draw_sealing();
        }
        if !self.without.contains(&Fault::Damage) {
            plan.draw_damage();
        }
        if !self.without.contains(&Fault::Snapshots) {
            plan.draw_snapshots();
        }
        plan.draw_deluge();
        plan.seed ^= self.luck << 40;
        plan.nodes = self
            .nodes
            .map_or(plan.nodes, |nodes| nodes.clamp(1, VOTERS_MAX));
        let clients = &mut plan.workload.clients;
        *clients = self.clients.map_or(*clients, |most| most.min(*clients));
        self.without.iter().for_each(|fault| plan.leave_out(*fault));
        plan
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} --events {}", self.seed, self.events)?;
        if let Some(nodes) = self.nodes {
            write!(f, " --nodes {nodes}")?;
        }
        if let Some(clients) = self.clients {
            write!(f, " --clients {clients}")?;
        }
        if !self.without.is_empty() {
            let without: Vec<String> = self.without.iter().map(Fault::to_string).collect();
            write!(f, " --without {}", without.join(","))?;
        }
        if self.luck > 0 {
            write!(f, " --luck {}", self.luck)?;
        }
        Ok(())
    }
}

/// Text that is not a case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a case is written `SEED --events EVENTS`, perhaps with more options, found {0:?}")]
pub struct ParseCaseError(String);

impl FromStr for Case {
    type Err = ParseCaseError;

    fn from_str(text: &str) -> Result<Self, ParseCaseError> {
        let error = || ParseCaseError(text.to_owned());
        let mut words = text.split_whitespace();
        let seed = words.next().and_then(|seed| seed.parse().ok());
        let mut case = Self::new(seed.ok_or_else(error)?, EVENTS);
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(error)?;
            case.set(option, value).ok_or_else(error)?;
        }
        Ok(case)
    }
}

impl Case {
    fn set(&mut self, option: &str, value: &str) -> Option<()> {
        match option {
            "--events" => self.events = value.parse().ok()?,
            "--nodes" => self.nodes = Some(value.parse().ok()?),
            "--clients" => self.clients = Some(value.parse().ok()?),
            "--luck" => self.luck = value.parse().ok()?,
            "--without" => {
                let faults: Result<_, _> = value.split(',').map(Fault::from_str).collect();
                self.without = faults.ok()?;
            }
            _ => return None,
        }
        Some(())
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
pub fn run(case: &Case, sink: Option<Sink<'_>>) -> Outcome {
    let mut world = World::new(case.plan(), sink);
    let result = catch_unwind(AssertUnwindSafe(|| {
        world.storm(case.events)?;
        world.settle(CALM)?;
        world.ordeal()
    }));
    let violation = match result {
        Ok(result) => result.err(),
        Err(payload) => Some(Violation {
            check: "check_no_panic",
            detail: panic_text(payload.as_ref()),
        }),
    };
    Outcome {
        case: case.clone(),
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
        let plain = Case::new(7, 100);
        assert_eq!(plain.to_string(), "7 --events 100");
        let bent = Case {
            nodes: Some(3),
            clients: Some(1),
            without: BTreeSet::from([Fault::Kill, Fault::Loss]),
            luck: 2,
            ..plain.clone()
        };
        for case in [plain, bent] {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        for wrong in ["", "x", "7 --events", "7 --without Rain"] {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_case_bends_the_plan() {
        let plan = Plan::swarm(3);
        let case = Case {
            nodes: Some(2),
            clients: Some(1),
            without: plan.classes(),
            ..Case::new(3, 100)
        };
        let bent = case.plan();
        assert_eq!((bent.nodes, bent.workload.clients), (2, 1));
        assert_eq!(bent.classes(), BTreeSet::new());
    }
}
