//! `cargo xtask mutants`: is every rule of the protocol guarded by a test that would notice its loss?
//!
//! Each file in `mutants/` is a deliberate bug that breaks one rule. The bugs are made one at a time in a copy of the
//! crates, and simulator, scenarios and model are let loose on each. They must find it by one of their checks, by name: an
//! assertion in the mutated code does not count, since a bug may come with its assertion gone. A mutant that survives
//! is a hole in the tests. A mutant may name an ordinary test that finds it where those three do not; that is run last.
//!
//! First of all the code as it is must pass the same search.

mod hunt;
mod mutant;
mod table;
mod workshop;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::repository::{Repository, TextFile};
use hunt::{Catch, Hunt, Searcher};
pub(crate) use mutant::Mutant;
use mutant::Test;
use workshop::Workshop;

/// Seeds for each mutant: nearly all are caught by one of the first ten.
const SEEDS: u64 = 60;
const PROTOCOL: &str = "docs/protocol.md";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Only mutants with one of these words in their names; all if there are none.
    only: Vec<String>,
    /// How many seeds the simulator gets for each.
    seeds: u64,
    /// What searches.
    searchers: Vec<Searcher>,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

impl Options {
    /// Reads `[--only NAME] [--seeds N] [--by SEARCHER] [--json]`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            only: Vec::new(),
            seeds: SEEDS,
            searchers: Vec::new(),
            format: Format::Table,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match *word {
                "--only" => options.only.push((*value()?).to_owned()),
                "--seeds" => options.seeds = value()?.parse().context("--seeds needs a number")?,
                "--by" => {
                    let searcher = Searcher::named(value()?);
                    let known = "--by seeds, scenarios, model or tests";
                    options.searchers.push(searcher.context(known)?);
                }
                "--json" => options.format = Format::Json,
                _ => bail!("unknown option {word}"),
            }
        }
        if options.searchers.is_empty() {
            options.searchers.extend(Searcher::ALL);
        }
        Ok(options)
    }
}

impl Options {
    fn search(&self, workshop: &Workshop, test: Option<&Test>) -> Result<Hunt> {
        hunt::search(workshop, self.seeds, &self.searchers, test)
    }
}

/// A mutant and how it fared.
#[derive(Debug)]
struct Trial {
    mutant: Mutant,
    hunt: Hunt,
    /// What the compiler said, if the mutant is no program.
    unbuilt: Option<String>,
    building: Duration,
}

/// What a trial says about the tests.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome<'a> {
    /// A check noticed the bug.
    Caught(&'a Catch),
    /// None did, and the mutant's file says why.
    Hole(&'a str),
    /// None did.
    Survived,
    /// It cannot be tried.
    Unbuilt,
}

impl Trial {
    fn outcome(&self) -> Outcome<'_> {
        match (&self.hunt.catch, &self.mutant.survives) {
            (Some(catch), _) => Outcome::Caught(catch),
            (None, Some(why)) if self.unbuilt.is_none() => Outcome::Hole(why),
            _ if self.unbuilt.is_some() => Outcome::Unbuilt,
            _ => Outcome::Survived,
        }
    }
}

/// Tries every mutant, prints what became of each, and fails if one survives that is not known to.
pub(crate) fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mutants = chosen(repository, options)?;
    let workshop = Workshop::prepare(repository)?;
    let began = Instant::now();
    check_unmutated(&workshop, options, &mutants)?;
    let mut trials = Vec::new();
    for mutant in mutants {
        let trial = attempt(&workshop, mutant, options)?;
        eprintln!("{}", table::line(&trial));
        trials.push(trial);
    }
    workshop.restore()?;
    match options.format {
        Format::Table => {
            println!("{}", table::table(&trials, began.elapsed()));
            let protocol = repository.read(PROTOCOL)?;
            let mutants = trials.iter().map(|trial| &trial.mutant);
            let alone = unguarded(&protocol, mutants).join(", ");
            println!(
                "rules that none of these breaks (docs/testing.md says what tests them): {alone}"
            );
        }
        Format::Json => println!("{}", table::json(&trials)),
    }
    for what in trials.iter().filter_map(|trial| trial.unbuilt.as_ref()) {
        eprintln!("{what}");
    }
    let settled = |trial: &&Trial| matches!(trial.outcome(), Outcome::Caught(_) | Outcome::Hole(_));
    let open = trials.len() - trials.iter().filter(settled).count();
    ensure!(open == 0, "{open} mutants were not caught");
    Ok(())
}

fn chosen(repository: &Repository, options: &Options) -> Result<Vec<Mutant>> {
    let wanted = |mutant: &Mutant| {
        let mut words = options.only.iter();
        options.only.is_empty() || words.any(|word| mutant.name.contains(word.as_str()))
    };
    let files = repository.text_files()?;
    let all: Vec<Mutant> = read(&files).collect::<Result<_>>()?;
    let mutants: Vec<Mutant> = all.into_iter().filter(wanted).collect();
    ensure!(!mutants.is_empty(), "there is no such mutant");
    Ok(mutants)
}

/// All mutants among `files`.
fn read(files: &[TextFile]) -> impl Iterator<Item = Result<Mutant>> {
    files
        .iter()
        .filter_map(|file| Mutant::at(&file.path, &file.text))
}

fn check_unmutated(workshop: &Workshop, options: &Options, mutants: &[Mutant]) -> Result<()> {
    workshop
        .build(workshop::SIMULATOR)
        .context("the code as it is")?;
    let hunt = options
        .search(workshop, None)
        .context("the code as it is")?;
    let broken = hunt.own_assertions + hunt.hung > 0;
    if hunt.catch.is_some() || broken {
        bail!("the code as it is does not pass: {hunt:?}");
    }
    if options.searchers.contains(&Searcher::Tests) {
        let tests = mutants.iter().filter_map(|mutant| mutant.test.as_ref());
        hunt::check_tests(workshop, tests).context("the code as it is")?;
    }
    let seconds = hunt.took.as_secs_f64();
    eprintln!(
        "the code as it is passes: {} seeds, {seconds:.1} s",
        hunt.seeds
    );
    Ok(())
}

fn attempt(workshop: &Workshop, mutant: Mutant, options: &Options) -> Result<Trial> {
    let began = Instant::now();
    let name = || mutant.name.clone();
    let unbuilt = workshop.make(&mutant).with_context(name).err();
    let building = began.elapsed();
    let hunt = match unbuilt {
        None => options
            .search(workshop, mutant.test.as_ref())
            .with_context(name)?,
        Some(_) => Hunt::default(),
    };
    Ok(Trial {
        mutant,
        hunt,
        unbuilt: unbuilt.map(|error| format!("{error:#}")),
        building,
    })
}

/// The rules of the protocol, policies apart, that no mutant breaks.
fn unguarded<'a>(protocol: &str, mutants: impl Iterator<Item = &'a Mutant>) -> Vec<String> {
    let broken: Vec<&str> = mutants
        .flat_map(|mutant| mutant.rules.iter().map(String::as_str))
        .collect();
    let bold = protocol.lines().filter_map(|line| line.strip_prefix("**P"));
    let stated = bold.filter_map(|line| line.split_once(".**").map(|(name, _)| name));
    let rules = stated.filter_map(|name| match name.split_once(" (") {
        Some((number, "rule)")) => Some(format!("P{number}")),
        Some(_) => None,
        None => Some(format!("P{name}")),
    });
    rules
        .filter(|rule| !broken.contains(&rule.as_str()))
        .collect()
}

/// What is wrong with the mutants among `files`: path and complaint. Cheap: nothing is built.
pub(crate) fn faults(files: &[TextFile]) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for file in files {
        let Some(mutant) = Mutant::at(&file.path, &file.text) else {
            continue;
        };
        if let Err(error) = mutant.and_then(|mutant| check(&mutant, files)) {
            faults.push((file.path.clone(), format!("{error:#}")));
        }
    }
    faults
}

fn check(mutant: &Mutant, files: &[TextFile]) -> Result<()> {
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        let text = file.map(|file| file.text.clone());
        text.with_context(|| format!("there is no {path}"))
    };
    let protocol = text(PROTOCOL)?;
    for rule in &mutant.rules {
        let stated = [" (", "."]
            .iter()
            .any(|end| protocol.contains(&format!("**{rule}{end}")));
        ensure!(stated, "{PROTOCOL} has no rule {rule}");
    }
    if let Some(test) = &mutant.test {
        let mut files = files.iter();
        let stands = files.any(|file| test.stands_in(&file.path, &file.text));
        ensure!(stands, "crates/{} has no test {}", test.package, test.name);
    }
    let mut changed: Vec<(&str, String)> = Vec::new();
    for edit in &mutant.edits {
        let earlier = changed.iter().rposition(|(path, _)| *path == edit.path);
        let before = match earlier {
            Some(at) => changed.swap_remove(at).1,
            None => text(&edit.path)?,
        };
        changed.push((&edit.path, edit.apply(&before)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn mutant(rule: &str, old: &str) -> TextFile {
        let text =
            format!("rule: {rule}\ndanger: x\n\n@@ a.rs\n-{old}\n+mutated\n\n@@ a.rs\n-two\n");
        file("mutants/a.diff", &text)
    }

    fn complaints(mutant: TextFile) -> Vec<String> {
        let protocol = file(PROTOCOL, "**P1 (rule).** x\n**P39.** y\n");
        let code = file("a.rs", "one\ntwo\n");
        let faults = faults(&[protocol, code, mutant]);
        faults.into_iter().map(|(_, what)| what).collect()
    }

    #[test]
    fn a_mutant_that_fits_is_no_fault() {
        assert_eq!(complaints(mutant("P1, P39", "one")), [""; 0]);
    }

    #[test]
    fn a_mutant_that_does_not_fit_any_more_is_named() {
        assert_eq!(complaints(mutant("P1", "three")).len(), 1);
        assert_eq!(
            complaints(mutant("P3", "one")),
            ["docs/protocol.md has no rule P3"]
        );
    }

    #[test]
    fn rules_that_no_mutant_breaks_are_named() {
        let protocol =
            "**P1 (rule).** x\n**P2 (policy).** x\n**P3 (rule).** x **P9 (rule).**\n**P39.** y\n";
        let file = mutant("P1", "one");
        let mutant = Mutant::at(&file.path, &file.text).unwrap().unwrap();
        let alone = unguarded(protocol, std::iter::once(&mutant));
        assert_eq!(alone, ["P3", "P39"]);
    }

    #[test]
    fn options_are_read() {
        let options =
            Options::parse(&["--only", "a", "--seeds", "7", "--by", "model", "--json"]).unwrap();
        assert_eq!(options.only, ["a"]);
        assert_eq!((options.seeds, options.format), (7, Format::Json));
        assert_eq!(options.searchers, [Searcher::Model]);
        assert_eq!(Options::parse(&[]).unwrap().searchers, Searcher::ALL);
        assert!(Options::parse(&["--seeds"]).is_err());
        assert!(Options::parse(&["--all"]).is_err());
    }
}
