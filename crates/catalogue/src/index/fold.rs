//! Text as searches compare it: words without case and accents.
//!
//! Letters and digits make words, everything else parts them. Chinese and Japanese are written without spaces, so there
//! every character is a word of its own, and a phrase of them is found wherever it stands.

use unicode_normalization::UnicodeNormalization as _;

/// Text without case, accents, and differences of width or ligature.
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = text.to_lowercase().replace('ß', "ss");
    lower
        .nfkd()
        .filter(|c| !is_accent(*c))
        .nfc()
        .flat_map(char::to_lowercase)
        .collect()
}

/// The words of a text, first to last.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in folded(text).chars() {
        let alone = stands_alone(c);
        if (alone || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if alone {
            words.push(c.to_string());
        } else if c.is_alphanumeric() {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether `wanted` stands in a text, word by word; of the last only the beginning, if `prefix`.
pub(crate) fn holds_phrase(text: &str, wanted: &[String], prefix: bool) -> bool {
    if text.is_ascii() {
        // Of a million names none is copied.
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        return has_phrase(words.filter(|word| !word.is_empty()), wanted, prefix);
    }
    let words = words(text);
    has_phrase(words.iter().map(String::as_str), wanted, prefix)
}

/// Whether `wanted` stands in some words, whatever the case of their ASCII letters.
fn has_phrase<'a>(
    mut found: impl Iterator<Item = &'a str> + Clone,
    wanted: &[String],
    prefix: bool,
) -> bool {
    let Some((last, head)) = wanted.split_last() else {
        return false;
    };
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    loop {
        let mut here = found.clone();
        let mut starts = head
            .iter()
            .map(|word| here.next().is_some_and(|found| same(found, word)));
        if starts.all(|starts| starts)
            && let Some(end) = here.next()
            && match end.get(..last.len()).filter(|_| prefix) {
                Some(beginning) => same(beginning, last),
                None => same(end, last),
            }
        {
            return true;
        }
        if found.next().is_none() {
            return false;
        }
    }
}

fn is_accent(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

fn stands_alone(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_width_make_no_difference() {
        let cases = [
            ("Café", "cafe"),
            ("CAFE\u{301}", "cafe"),
            ("STRASSE", "strasse"),
            ("Straße", "strasse"),
            ("ＡＢＣ１", "abc1"),
            ("Île-de-France", "ile-de-france"),
            ("が", "が"),
        ];
        for (text, expected) in cases {
            assert_eq!(folded(text), expected, "{text}");
            assert_eq!(folded(expected), expected, "{text}");
        }
    }

    #[test]
    fn letters_and_digits_make_words() {
        assert_eq!(words("IMG_1234.jpg"), ["img", "1234", "jpg"]);
        assert_eq!(words("日本 été"), ["日", "本", "ete"]);
        assert!(words("?!").is_empty());
    }

    #[test]
    fn a_phrase_stands_word_by_word() {
        for text in [
            "the ice cream van",
            "The ICE-cream_van",
            "thé ice cream van",
        ] {
            let holds = |phrase: &str, prefix| holds_phrase(text, &words(phrase), prefix);
            assert!(holds("ice cream", false), "{text}");
            assert!(holds("ice cr", true), "{text}");
            assert!(!holds("ice cr", false), "{text}");
            assert!(!holds("ice van", false), "{text}");
            assert!(!holds("van the", true), "{text}");
            assert!(!holds_phrase(text, &[], true), "{text}");
        }
    }
}
