//! What happened, as a hash for comparing runs and as lines for reading.

use model::Instant;

use crate::seat::Cast;

/// Where readable lines go. Without one, no line is ever made.
pub type Sink<'a> = Box<dyn FnMut(&str) + 'a>;

/// The record of a run.
pub(crate) struct Trace<'a> {
    hash: u64,
    sink: Option<Sink<'a>>,
    /// Hexadecimal heads of node ids and the names to show for them.
    names: Vec<(String, String)>,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(cast: &Cast, sink: Option<Sink<'a>>) -> Self {
        let names = cast
            .seats()
            .map(|seat| (format!("{:?}", cast.id(seat)), seat.to_string()))
            .collect();
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            sink,
            names,
        }
    }

    /// Equal hashes: equal runs.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Adds numbers to the hash.
    pub(crate) fn mix(&mut self, words: &[u64]) {
        for word in words {
            self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    /// Adds bytes to the hash.
    pub(crate) fn mix_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(&[u64::from_le_bytes(*word)]);
        }
        let rest = rest.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.mix(&[rest, bytes.len() as u64]);
    }

    /// Shows a line, if anybody looks.
    pub(crate) fn line(&mut self, now: Instant, text: impl FnOnce() -> String) {
        let Some(sink) = &mut self.sink else { return };
        let mut text = text();
        for (head, name) in &self.names {
            text = text.replace(head, name);
        }
        let (ms, us) = (now.0 / 1_000_000, now.0 / 1_000 % 1_000);
        sink(&format!("{ms:>7}.{us:03}ms  {text}"));
    }
}
