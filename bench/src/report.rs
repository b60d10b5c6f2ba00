//! What comes out: Markdown for people, the same as JSON for programs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// One measurement.
#[derive(Debug)]
pub(crate) struct Report {
    /// Its name in the JSON.
    pub(crate) name: &'static str,
    /// Every figure.
    pub(crate) data: Value,
    /// The figures that matter, with the command that made them.
    pub(crate) markdown: String,
}

/// A table being written.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
}

impl Table {
    /// A heading, the command, and the first row.
    pub(crate) fn new(title: &str, command: &str, columns: &[&str]) -> Self {
        let mut text = format!(
            "## {title}\n\n`{command}`\n\n| {} |\n|",
            columns.join(" | ")
        );
        text.push_str(&" --- |".repeat(columns.len()));
        text.push('\n');
        Self { text }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: &[String]) {
        writeln!(self.text, "| {} |", cells.join(" | ")).expect("a string takes any text");
    }

    /// The table with a sentence behind it.
    pub(crate) fn finish(mut self, sentence: &str) -> String {
        writeln!(self.text, "\n{sentence}").expect("a string takes any text");
        self.text
    }
}

/// Writes all reports as one object.
pub(crate) fn write_json(path: &Path, reports: &[Report]) -> Result<()> {
    let entries = reports
        .iter()
        .map(|report| (report.name.to_owned(), report.data.clone()));
    let object: Value = json!(entries.collect::<serde_json::Map<String, Value>>());
    let text = serde_json::to_string_pretty(&object).context("writing JSON")?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}
