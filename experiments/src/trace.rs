//! What happened, as lines for reading. Blocks are A, B, C in the order in which they come up.

use std::time::Duration;

use model::Instant;

use crate::record::Name;

/// The lines of a run; empty unless somebody wants to read them.
#[derive(Debug, Default)]
pub struct Trace {
    zero: Option<Instant>,
    names: Vec<Name>,
    lines: Vec<String>,
}

impl Trace {
    /// Lines are wanted from here on, and time is counted from here.
    pub fn begin(&mut self, now: Instant) {
        self.zero = Some(now);
    }

    /// Whether lines are wanted.
    pub fn wanted(&self) -> bool {
        self.zero.is_some()
    }

    /// Adds a line.
    pub fn line(&mut self, now: Instant, text: &str) {
        if let Some(zero) = self.zero {
            let ms = now.since(zero).as_secs_f64() * 1e3;
            self.lines.push(format!("{ms:6.2} ms  {text}"));
        }
    }

    /// Adds a line about a message and those it was sent to, each with whether it will arrive.
    pub fn sent(&mut self, now: Instant, from: usize, to: &[(usize, bool)], what: &str) {
        let receivers: Vec<String> = to
            .iter()
            .map(|(node, arrives)| {
                format!(
                    "{}{}",
                    node_name(*node),
                    if *arrives { "" } else { " (lost)" }
                )
            })
            .collect();
        let text = format!("{} -> {}: {what}", node_name(from), receivers.join(", "));
        self.line(now, &text);
    }

    /// The letter of a block.
    pub fn letter(&mut self, name: Name) -> char {
        let known = self.names.iter().position(|known| *known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        ('A'..='Z').nth(place).unwrap_or('?')
    }

    /// All lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// What a node is called.
pub fn node_name(node: usize) -> String {
    format!("n{}", node + 1)
}

/// So many milliseconds.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
