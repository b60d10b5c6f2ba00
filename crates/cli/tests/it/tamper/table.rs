//! What became of every fault, counted by class.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Who notices, in the order of the table.
pub(super) const FINDERS: [&str; 4] = ["start", "running", "scrubber", "verify"];

/// What became of one fault.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Which of [`FINDERS`] named it first.
    pub(super) found_by: Option<usize>,
    pub(super) repaired: bool,
    pub(super) refused: bool,
    /// Something wrong was served that rests on it.
    pub(super) wrong: bool,
}

impl Verdict {
    /// What is not as it should be.
    pub(super) fn complaint(&self) -> Option<&'static str> {
        match self {
            Self { wrong: true, .. } => Some("something wrong was served"),
            Self { found_by: None, .. } => Some("nobody named it"),
            Self {
                repaired: false,
                refused: false,
                ..
            } => Some("neither repaired nor refused"),
            _ => None,
        }
    }
}

/// What became of the faults of one class.
#[derive(Default)]
struct Row {
    injected: u32,
    found: [u32; FINDERS.len()],
    repaired: u32,
    refused: u32,
    wrong: u32,
}

impl Row {
    fn add(&mut self, verdict: &Verdict) {
        self.injected += 1;
        for (finder, count) in self.found.iter_mut().enumerate() {
            *count += u32::from(verdict.found_by == Some(finder));
        }
        self.repaired += u32::from(verdict.repaired);
        self.refused += u32::from(verdict.refused);
        self.wrong += u32::from(verdict.wrong);
    }

    fn print(&self, text: &mut String, name: &str) {
        let found: u32 = self.found.iter().sum();
        let by = self.found.map(|count| count.to_string()).join(" | ");
        let line = writeln!(
            text,
            "| {name} | {} | {found} | {by} | {} | {} | {} |",
            self.injected, self.repaired, self.refused, self.wrong
        );
        line.expect("a string takes any text");
    }
}

/// All classes.
#[derive(Default)]
pub(super) struct Table {
    rows: BTreeMap<&'static str, Row>,
    all: Row,
}

impl Table {
    pub(super) fn add(&mut self, class: &'static str, verdict: &Verdict) {
        self.rows.entry(class).or_default().add(verdict);
        self.all.add(verdict);
    }

    pub(super) fn injected(&self) -> u32 {
        self.all.injected
    }

    /// As Markdown.
    pub(super) fn printed(&self) -> String {
        let mut text = format!(
            "| Class | Injected | Found | {} | Repaired | Refused | Wrong answers |\n| --- |{}\n",
            FINDERS.map(|name| format!("by {name}")).join(" | "),
            " --: |".repeat(FINDERS.len() + 5)
        );
        for (class, row) in &self.rows {
            row.print(&mut text, class);
        }
        self.all.print(&mut text, "**all**");
        text
    }
}
