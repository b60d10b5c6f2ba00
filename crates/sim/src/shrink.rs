//! Makes a failing run smaller: fewer events, fewer classes of faults, fewer nodes, fewer clients.
//!
//! Taking something out of a plan changes everything that is drawn afterwards, so a smaller case is tried with a few
//! lucks, and it counts if it violates the same check. What is left is what a reader has to look at.

use crate::run::{Case, Outcome, run};

/// How many runs of one smaller plan are tried.
const LUCKS: u64 = 4;

/// The smallest failing outcome found in at most `runs` runs, and how many were made. A passed one is given back.
pub fn shrink(outcome: Outcome, runs: u32) -> (Outcome, u32) {
    shrink_by(outcome, runs, |case| run(case, None))
}

fn shrink_by(outcome: Outcome, runs: u32, run: impl Fn(&Case) -> Outcome) -> (Outcome, u32) {
    let mut shrinker = Shrinker {
        best: outcome,
        left: runs,
        run,
    };
    if shrinker.best.violation.is_some() {
        shrinker.cut_off();
        while shrinker.round() && shrinker.left > 0 {}
    }
    (shrinker.best, runs - shrinker.left)
}

struct Shrinker<R> {
    best: Outcome,
    left: u32,
    run: R,
}

impl<R: Fn(&Case) -> Outcome> Shrinker<R> {
    /// Tries everything once; whether anything helped.
    fn round(&mut self) -> bool {
        let mut helped = false;
        let nodes = self.best.case.plan().nodes;
        for fewer in 1..nodes {
            if self.try_lucks(|case| case.nodes = Some(fewer)) {
                helped = true;
                break;
            }
        }
        let clients = self.best.case.plan().workload.clients;
        for fewer in [1, clients / 2] {
            if (1..clients).contains(&fewer) && self.try_lucks(|case| case.clients = Some(fewer)) {
                helped = true;
                break;
            }
        }
        for fault in self.best.case.plan().classes() {
            helped |= self.try_lucks(|case| {
                case.without.insert(fault);
            });
        }
        while self.best.case.events > 1 && self.try_lucks(|case| case.events /= 2) {
            helped = true;
        }
        helped
    }

    fn try_lucks(&mut self, change: impl Fn(&mut Case)) -> bool {
        (0..LUCKS).any(|luck| {
            let mut case = self.best.case.clone();
            change(&mut case);
            case.luck = luck;
            self.attempt(&case)
        })
    }

    fn attempt(&mut self, case: &Case) -> bool {
        if self.left == 0 || *case == self.best.case {
            return false;
        }
        self.left -= 1;
        let outcome = (self.run)(case);
        let check = |outcome: &Outcome| outcome.violation.as_ref().map(|violation| violation.check);
        let fails = check(&outcome).is_some() && check(&outcome) == check(&self.best);
        if fails {
            self.best = outcome;
            self.cut_off();
        }
        fails
    }

    /// Events behind the violation, or behind the end of the storm, are nobody's business.
    fn cut_off(&mut self) {
        let happened = self.best.stats.events;
        self.best.case.events = self.best.case.events.min(happened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Violation;
    use crate::plan::Fault;
    use crate::stats::Stats;

    /// Fails by event 40 if two nodes lose messages, whatever else happens.
    fn pretend(case: &Case) -> Outcome {
        let plan = case.plan();
        let loses = plan.classes().contains(&Fault::Loss);
        let fails = loses && plan.nodes > 1 && case.events >= 40;
        Outcome {
            case: case.clone(),
            trace_hash: 0,
            stats: Stats {
                events: if fails { 40 } else { case.events + 500 },
                ..Stats::default()
            },
            violation: fails.then(|| Violation {
                check: "check_nothing",
                detail: String::new(),
            }),
        }
    }

    fn failing() -> Outcome {
        let cases = (0..).map(|seed| Case::new(seed, 1_000));
        let mut outcomes = cases.map(|case| pretend(&case));
        let big = |outcome: &Outcome| outcome.case.plan().nodes > 4;
        outcomes
            .find(|outcome| outcome.violation.is_some() && big(outcome))
            .unwrap()
    }

    #[test]
    fn what_the_failure_does_not_need_is_taken_out() {
        let (shrunk, runs) = shrink_by(failing(), 1_000, pretend);
        let plan = shrunk.case.plan();
        assert_eq!((plan.nodes, plan.workload.clients), (2, 1));
        assert_eq!(
            plan.classes().into_iter().collect::<Vec<_>>(),
            [Fault::Loss]
        );
        assert_eq!(shrunk.case.events, 40);
        assert!(shrunk.violation.is_some() && runs < 200, "{runs}");
    }

    #[test]
    fn shrinking_ends_with_its_runs() {
        assert_eq!(shrink_by(failing(), 3, pretend).1, 3);
        let passed = pretend(&Case::new(0, 1));
        assert_eq!(shrink_by(passed, 3, pretend).1, 0);
    }
}
