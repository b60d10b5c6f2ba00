//! Shows what became of the mutants.

use std::time::Duration;

use serde_json::{Value, json};

use super::hunt::Place;
use super::{Outcome, Trial};

/// One trial on one line, printed as soon as it is over.
pub(super) fn line(trial: &Trial) -> String {
    let [name, rules, searcher, check, effort, seconds] = cells(trial);
    format!("{name} ({rules}): {searcher} {check}, {effort}, {seconds} s")
}

/// All trials in columns, and the sum.
pub(super) fn table(trials: &[Trial], took: Duration) -> String {
    let titles = ["mutant", "rule", "caught by", "check", "after", "seconds"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(trials.iter().map(cells));
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    for trial in trials {
        if let Outcome::Hole(why) = trial.outcome() {
            text.push_str(&format!("hole: {}: {why}\n", trial.mutant.name));
        }
        if trial.hunt.catch.is_some() && trial.mutant.survives.is_some() {
            let name = &trial.mutant.name;
            text.push_str(&format!(
                "note: {name} is caught; its file says that it survives\n"
            ));
        }
    }
    text + &sum(trials, took)
}

fn sum(trials: &[Trial], took: Duration) -> String {
    let count = |wanted: fn(&Outcome<'_>) -> bool| {
        let outcomes = trials.iter().map(Trial::outcome);
        outcomes.filter(wanted).count()
    };
    format!(
        "{} mutants: {} caught, {} known holes, {} survived, {} do not build; {:.0} s",
        trials.len(),
        count(|outcome| matches!(outcome, Outcome::Caught(_))),
        count(|outcome| matches!(outcome, Outcome::Hole(_))),
        count(|outcome| matches!(outcome, Outcome::Survived)),
        count(|outcome| matches!(outcome, Outcome::Unbuilt)),
        took.as_secs_f64()
    )
}

/// All trials for programs.
pub(super) fn json(trials: &[Trial]) -> Value {
    trials.iter().map(entry).collect()
}

fn entry(trial: &Trial) -> Value {
    let (mutant, hunt) = (&trial.mutant, &trial.hunt);
    let seed = hunt.catch.as_ref().and_then(|catch| match catch.place {
        Place::Seed(seed) => Some(seed),
        Place::Model | Place::Scenario | Place::Test => None,
    });
    json!({
        "mutant": mutant.name,
        "rules": mutant.rules,
        "danger": mutant.danger,
        "built": trial.unbuilt.is_none(),
        "caught": hunt.catch.is_some(),
        "check": hunt.catch.as_ref().map(|catch| &catch.check),
        "by": hunt.catch.as_ref().map(|catch| searcher(catch.place)),
        "seed": seed,
        "seeds": hunt.seeds,
        "own_assertions": hunt.own_assertions,
        "hung": hunt.hung,
        "survives": mutant.survives,
        "build_seconds": trial.building.as_secs_f64(),
        "search_seconds": hunt.took.as_secs_f64(),
    })
}

fn searcher(place: Place) -> &'static str {
    match place {
        Place::Seed(_) => "simulator",
        Place::Model => "model",
        Place::Scenario => "scenario",
        Place::Test => "test",
    }
}

/// Mutant, rules, searcher, check, after how much, and seconds of searching.
fn cells(trial: &Trial) -> [String; 6] {
    let hunt = &trial.hunt;
    let (by, check) = match trial.outcome() {
        Outcome::Caught(catch) => (searcher(catch.place), catch.check.clone()),
        Outcome::Hole(_) => ("known hole", "-".to_owned()),
        Outcome::Survived => ("SURVIVED", "-".to_owned()),
        Outcome::Unbuilt => ("DOES NOT BUILD", "-".to_owned()),
    };
    let mut after = match &hunt.catch {
        Some(catch) => match catch.place {
            Place::Seed(seed) => format!("seed {seed}"),
            Place::Model | Place::Scenario | Place::Test => format!("{} seeds", hunt.seeds),
        },
        None => format!("{} seeds", hunt.seeds),
    };
    for (count, what) in [(hunt.own_assertions, "own assertion"), (hunt.hung, "hung")] {
        if count > 0 {
            after.push_str(&format!(", {what} in {count}"));
        }
    }
    [
        trial.mutant.name.clone(),
        trial.mutant.rules.join(" "),
        by.to_owned(),
        check,
        after,
        format!("{:.1}", hunt.took.as_secs_f64()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::hunt::{Catch, Hunt};
    use super::*;
    use crate::mutants::Mutant;

    fn trial(catch: Option<&str>, survives: Option<&str>) -> Trial {
        let catch = catch.map(|check| Catch {
            place: Place::Seed(3),
            check: check.to_owned(),
        });
        Trial {
            mutant: Mutant {
                name: "it_lies".to_owned(),
                rules: vec!["P1".to_owned()],
                danger: "x".to_owned(),
                test: None,
                survives: survives.map(str::to_owned),
                edits: Vec::new(),
            },
            hunt: Hunt {
                catch,
                seeds: 4,
                ..Hunt::default()
            },
            unbuilt: None,
            building: Duration::ZERO,
        }
    }

    #[test]
    fn a_catch_is_shown_with_its_check_and_seed() {
        let text = table(&[trial(Some("check_x"), None)], Duration::from_secs(1));
        assert!(
            text.contains("it_lies  P1    simulator  check_x  seed 3  0.0"),
            "{text}"
        );
        assert!(
            text.contains("1 mutants: 1 caught, 0 known holes, 0 survived"),
            "{text}"
        );
    }

    #[test]
    fn a_known_hole_is_told_from_a_survivor() {
        let text = table(
            &[trial(None, Some("why")), trial(None, None)],
            Duration::ZERO,
        );
        assert!(text.contains("hole: it_lies: why\n"), "{text}");
        assert!(text.contains("SURVIVED"), "{text}");
        assert!(
            text.contains("0 caught, 1 known holes, 1 survived"),
            "{text}"
        );
    }
}
