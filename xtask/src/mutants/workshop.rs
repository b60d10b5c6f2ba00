//! A copy of the crates that searchers run, in which one mutant at a time is made and built.
//!
//! The copy keeps its build folder from run to run; files are written only where they differ, so that cargo builds
//! again only what a mutant has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::mutant::Mutant;
use crate::repository::Repository;

/// The packages whose programs search for violations.
pub(super) const SIMULATOR: &str = "sim";
pub(super) const MODEL: &str = "explore";

/// Scenarios with a claim each, in the tests of the simulator.
const SCENARIOS: [&str; 12] = [
    "scenarios",
    "membership",
    "turnover",
    "storage",
    "flushes",
    "logs",
    "files",
    "mending",
    "newcomers",
    "snapshots",
    "turns",
    "astray",
];

/// Optimised where it pays: a mutant is built once and mostly caught within a second. Most mutants leave the bottom of
/// the stack alone, so that is built well, and once.
const PROFILE: &str = "
[profile.mutants]
inherits = \"release\"
opt-level = 0
debug = false
incremental = true
codegen-units = 16

[profile.mutants.package.model]
opt-level = 2
[profile.mutants.package.ledger]
opt-level = 1
[profile.mutants.package.\"*\"]
opt-level = 3
";

/// The copy.
pub(super) struct Workshop {
    root: PathBuf,
    build: PathBuf,
    /// What each file says when nothing is mutated.
    files: BTreeMap<String, String>,
}

impl Workshop {
    /// Makes the copy, or mends the one left by an earlier run.
    pub(super) fn prepare(repository: &Repository) -> Result<Self> {
        let metadata = repository.metadata()?;
        let target = metadata
            .get("target_directory")
            .and_then(Value::as_str)
            .context("cargo metadata names no target folder")?;
        let folder = Path::new(target).join("mutants");
        let needed = needed(&metadata, &[SIMULATOR, MODEL]);
        let mut files: BTreeMap<String, String> = repository
            .text_files()?
            .into_iter()
            .filter(|file| {
                let path = file.path.strip_prefix("crates/");
                path.and_then(|path| path.split('/').next())
                    .is_some_and(|name| needed.contains(name))
            })
            .map(|file| (file.path, file.text))
            .collect();
        files.insert("Cargo.toml".to_owned(), workspace(repository)?);
        let workshop = Self {
            root: folder.join("workspace"),
            build: folder.join("build"),
            files,
        };
        workshop.remove_strangers()?;
        workshop.restore()?;
        // Cargo takes out what the copy does not need.
        let lock = workshop.root.join("Cargo.lock");
        fs::write(&lock, repository.read("Cargo.lock")?)
            .with_context(|| format!("writing {}", lock.display()))?;
        Ok(workshop)
    }

    /// The program of that name, once built.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.build.join("mutants").join(name)
    }

    /// A folder for what searchers leave behind.
    pub(super) fn scratch(&self) -> Result<PathBuf> {
        let scratch = self.build.join("scratch");
        fs::create_dir_all(&scratch)
            .with_context(|| format!("making the folder {}", scratch.display()))?;
        Ok(scratch)
    }

    /// Makes `mutant`, and nothing else, and builds the simulator.
    pub(super) fn make(&self, mutant: &Mutant) -> Result<()> {
        self.restore()?;
        let mut changed: BTreeMap<&str, String> = BTreeMap::new();
        for edit in &mutant.edits {
            let text = match changed.get(edit.path.as_str()) {
                Some(text) => text,
                None => self
                    .files
                    .get(&edit.path)
                    .with_context(|| format!("{} is not among the searchers' files", edit.path))?,
            };
            changed.insert(&edit.path, edit.apply(text)?);
        }
        for (path, text) in changed {
            self.write(path, &text)?;
        }
        self.build(SIMULATOR)
    }

    /// Takes any mutant back.
    pub(super) fn restore(&self) -> Result<()> {
        for (path, text) in &self.files {
            self.write(path, text)?;
        }
        Ok(())
    }

    /// Builds the programs of one of the searchers' packages.
    pub(super) fn build(&self, package: &str) -> Result<()> {
        let mut cargo = self.cargo(&["build", "--bins", "--package", package]);
        let output = cargo.output().context("running cargo build")?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "it does not build:\n{message}");
        Ok(())
    }

    /// Builds the simulator's scenarios; gives the programs that play them.
    pub(super) fn scenarios(&self) -> Result<Vec<Command>> {
        let mut cargo = self.cargo(&["test", "--no-run", "--message-format", "json"]);
        cargo.args(["--package", SIMULATOR]);
        for scenarios in SCENARIOS {
            cargo.args(["--test", scenarios]);
        }
        let output = cargo.output().context("running cargo test")?;
        ensure!(output.status.success(), "the scenarios do not build");
        let messages = String::from_utf8_lossy(&output.stdout);
        let messages = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let programs = messages.filter_map(|message| {
            let text = |pointer| message.pointer(pointer).and_then(Value::as_str);
            let named = text("/target/name").is_some_and(|name| SCENARIOS.contains(&name));
            text("/executable").filter(|_| named).map(Command::new)
        });
        let programs: Vec<Command> = programs.collect();
        ensure!(
            programs.len() == SCENARIOS.len(),
            "cargo names {} programs for the scenarios",
            programs.len()
        );
        Ok(programs)
    }

    /// Builds the ordinary tests of a package; gives the programs.
    pub(super) fn tests(&self, package: &str) -> Result<Vec<Command>> {
        let mut cargo = self.cargo(&["test", "--no-run", "--message-format", "json"]);
        cargo.args(["--package", package, "--test", "*"]);
        let output = cargo.output().context("running cargo test")?;
        let message = String::from_utf8_lossy(&output.stderr);
        let built = output.status.success();
        ensure!(built, "the tests of {package} do not build:\n{message}");
        let messages = String::from_utf8_lossy(&output.stdout);
        let messages = messages.lines();
        let messages = messages.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let programs = messages.filter_map(|message| {
            let program = message.pointer("/executable")?.as_str()?;
            let mut command = Command::new(program);
            command.current_dir(self.root.join("crates").join(package));
            Some(command)
        });
        Ok(programs.collect())
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut command = Command::new(cargo);
        command
            .args(arguments)
            .args(["--quiet", "--profile", "mutants", "--target-dir"])
            .arg(&self.build)
            .current_dir(&self.root);
        command
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let absolute = self.root.join(path);
        if fs::read_to_string(&absolute).is_ok_and(|found| found == text) {
            return Ok(());
        }
        let folder = absolute.parent().context("every file lies in a folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&absolute, text))
            .with_context(|| format!("writing {}", absolute.display()))
    }

    /// Removes what the repository no longer has: a leftover test or program would be built too.
    fn remove_strangers(&self) -> Result<()> {
        let mut open = vec![self.root.clone()];
        while let Some(folder) = open.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.context("reading the copy's folder")?.path();
                let relative = path.strip_prefix(&self.root).unwrap_or(&path);
                if path.is_dir() {
                    open.push(path);
                } else if !self.files.contains_key(&*relative.to_string_lossy()) {
                    fs::remove_file(&path)
                        .with_context(|| format!("removing {}", path.display()))?;
                }
            }
        }
        Ok(())
    }
}

/// The root manifest, with the copied crates as its only members.
fn workspace(repository: &Repository) -> Result<String> {
    let whole = repository.read("Cargo.toml")?;
    let lines = whole.lines().map(|line| {
        if line.starts_with("members =") {
            "members = [\"crates/*\"]"
        } else {
            line
        }
    });
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    Ok(text + PROFILE)
}

/// `packages` and what of ours they depend on, tests included: cargo wants to see those too.
fn needed<'a>(metadata: &'a Value, packages: &[&'a str]) -> BTreeSet<&'a str> {
    let mut needed = BTreeSet::new();
    let mut open = packages.to_vec();
    while let Some(name) = open.pop() {
        let Some(package) = manifest(metadata, name).filter(|_| needed.insert(name)) else {
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let ours = dependencies.filter(|dependency| !dependency["path"].is_null());
        open.extend(ours.filter_map(|dependency| dependency["name"].as_str()));
    }
    needed
}

fn manifest<'a>(metadata: &'a Value, name: &str) -> Option<&'a Value> {
    let packages = metadata["packages"].as_array()?;
    packages
        .iter()
        .find(|package| package["name"].as_str() == Some(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_searcher_needs_is_copied_and_nothing_else() {
        let metadata = json!({ "packages": [
            { "name": "sim", "dependencies": [{ "name": "replica", "path": "/x" }, { "name": "clap", "path": null }] },
            { "name": "replica", "dependencies": [{ "name": "model", "path": "/x" }] },
            { "name": "model", "dependencies": [] },
            { "name": "node", "dependencies": [{ "name": "model", "path": "/x" }] },
        ]});
        let names: Vec<&str> = needed(&metadata, &["sim"]).into_iter().collect();
        assert_eq!(names, ["model", "replica", "sim"]);
    }
}
