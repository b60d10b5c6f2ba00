//! Results on stdout, everything else on stderr.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

/// How results are written.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Format {
    /// Print results as JSON, one object per line
    #[arg(long, env = "STARLING_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

/// Writes one line of result.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Writes one object of result.
pub(crate) fn object(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Says something on stderr. That nobody listens is no reason to stop.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Asks on stderr whether to go on, and waits for the answer.
pub(crate) fn confirm(question: &str) -> anyhow::Result<bool> {
    let mut stderr = io::stderr().lock();
    // That nobody reads the question is no reason to stop: the answer will be missing.
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut typed = String::new();
    let read = io::stdin().lock().read_line(&mut typed);
    read.context("reading the answer")?;
    Ok(matches!(typed.trim(), "y" | "yes"))
}

/// A bar on stderr, in bytes; invisible unless stderr is a terminal.
pub(crate) fn progress() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(0),
        if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        },
    );
    let style = "{bar:32} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} {msg}";
    bar.with_style(ProgressStyle::with_template(style).expect("a template of our own"))
}

/// A table with its columns aligned, the last one as wide as it likes.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        head.get(column).map_or(0, |title| title.len()).max(widest)
    };
    let widths: Vec<usize> = (0..head.len()).map(width_of).collect();
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        line(padded.join("  ").trim_end())
    };
    print(&mut head.iter().copied())?;
    for row in rows {
        print(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}

/// Items of a list: one a line with these of their properties, or as they came.
pub(crate) fn items(items: &[Value], columns: &[&str], format: Format) -> io::Result<()> {
    if format.json {
        return items.iter().try_for_each(object);
    }
    let cell = |item: &Value, column: &str| match item.get(column) {
        Some(Value::String(text)) => shown(text),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let row = |item| columns.iter().map(|column| cell(item, column)).collect();
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    table(columns, &rows)
}

/// The value at a JSON pointer, null if there is none.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    value.pointer(pointer).unwrap_or(&NULL)
}

/// The text at a JSON pointer, safe to show; empty if there is none.
pub(crate) fn text_at(value: &Value, pointer: &str) -> String {
    shown(at(value, pointer).as_str().unwrap_or_default())
}

/// The items of the list at a JSON pointer.
pub(crate) fn list_at<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map_or(&[], Vec::as_slice)
}

/// Text that others chose, made safe to show: a terminal obeys control characters, and marks of direction hide text.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| {
            if is_hidden(c) {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// Whether a character is not seen where it stands: it controls a terminal, or turns the direction of a text.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_shown_escaped() {
        assert_eq!(shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(shown("gpj\u{202e}.exe"), "gpj\\u{202e}.exe");
        assert_eq!(shown("Ærø 🐦"), "Ærø 🐦");
    }
}
