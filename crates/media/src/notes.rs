//! What was dropped and why, in words for people.

/// More notes than this help nobody, and they travel through the ledger.
const NOTES_MAX: usize = 12;
/// A note's length, in characters.
const NOTE_CHARS_MAX: usize = 160;

/// Collects notes, bounded in number and length, with anything unprintable taken out.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    /// Adds a note unless it is known already or there are too many.
    pub(crate) fn add(&mut self, note: impl AsRef<str>) {
        let note = clean(note.as_ref(), NOTE_CHARS_MAX);
        if self.0.len() < NOTES_MAX && !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// The notes, in the order they were made.
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

/// A text from a stranger as one printable line: no control characters, nothing that reverses the reading
/// direction, single spaces, at most `chars_max` characters.
pub(crate) fn clean(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|&c| !reorders(c)));
    }
    line.chars()
        .take(chars_max)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Marks that change the direction of the text around them, or are not seen at all.
fn reorders(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_becomes_one_printable_line() {
        assert_eq!(clean("  Pixel\0\n 7\u{202e}x \u{7} ", 99), "Pixel 7x");
        assert_eq!(clean("abcdef", 3), "abc");
    }

    #[test]
    fn notes_are_bounded() {
        let mut notes = Notes::default();
        for index in 0..1000 {
            notes.add("x".repeat(index));
            notes.add("twice");
        }
        let notes = notes.into_vec();
        assert_eq!(notes.len(), NOTES_MAX);
        assert_eq!(notes.iter().filter(|note| *note == "twice").count(), 1);
    }
}
