//! What an exported file is called on disk.
//!
//! A name says when and what, and ends with the beginning of the file's id: so it depends on nothing but the file itself, two
//! files never want the same place, in whatever case a file system compares names, and an export that is done again finds
//! what it did. What people called the file is text that others may have chosen: of it stays what is harmless on every
//! system, the rest is escaped. The name itself stands in the manifest.

use std::path::{Component, Path};

use serde_json::Value;

use crate::output::{at, is_hidden};

/// How much of the id stands in a name; where that is not enough, all of it does.
const ID_DIGITS: usize = 12;
/// The longest part of a name that people chose, in bytes.
const STEM_BYTES_MAX: usize = 96;
/// The longest ending, in bytes.
const ENDING_BYTES_MAX: usize = 10;

/// The path of a file's original below the export's folder, with slashes. `before` is the id of the file before it, in the
/// order of ids: whether the beginning of the id is enough is seen from there.
pub(super) fn path(line: &Value, before: Option<&str>) -> String {
    let id = at(line, "/id").as_str().unwrap_or_default();
    let digits = id.get(..ID_DIGITS).unwrap_or(id);
    let enough = before.is_none_or(|before| !before.starts_with(digits));
    let mark = if enough { digits } else { id };
    let called = at(line, "/name").as_str().unwrap_or_default();
    format!("{}/{}", folder(line), name(called, mark))
}

/// The year and month in which it was taken.
fn folder(line: &Value) -> String {
    let local = at(line, "/takenAt/local").as_str().unwrap_or_default();
    match (local.get(..4), local.get(5..7)) {
        (Some(year), Some(month)) => format!("{year}/{month}"),
        _ => "undated".to_owned(),
    }
}

fn name(of: &str, mark: &str) -> String {
    let (stem, ending) = parts(of);
    match stem.as_str() {
        "" => format!("{mark}{ending}"),
        stem => format!("{stem}-{mark}{ending}"),
    }
}

/// A name without a mark, and one that no other file has.
pub(crate) fn pair(of: &str, id: &str) -> (String, String) {
    let marked = name(of, id.get(..ID_DIGITS).unwrap_or(id));
    match parts(of) {
        (stem, _) if stem.is_empty() => (marked.clone(), marked),
        (stem, ending) => (stem + &ending, marked),
    }
}

/// What is before the ending, harmless, and the ending with its dot.
fn parts(name: &str) -> (String, String) {
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if is_ending(ending) => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    (harmless(stem), ending)
}

fn is_ending(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (1..=ENDING_BYTES_MAX).contains(&text.len()) && letters
}

/// A text without what a path, a shell's or a person's eye, or some file system takes for something else.
fn harmless(text: &str) -> String {
    let mut safe = String::new();
    for c in text.trim().trim_matches('.').trim().chars() {
        let mut one = [0; 4];
        let one = c.encode_utf8(&mut one);
        let dangerous = matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
        let invisible = matches!(
            c,
            '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}'
        );
        let escaped: String = if dangerous || invisible || is_hidden(c) {
            one.bytes().map(|byte| format!("%{byte:02X}")).collect()
        } else {
            one.to_owned()
        };
        if safe.len() + escaped.len() > STEM_BYTES_MAX {
            break;
        }
        safe.push_str(&escaped);
    }
    let end = safe.trim_end_matches(['.', ' ']).len();
    safe.truncate(end);
    safe
}

/// Whether a path leads to somewhere below the folder that it is read in.
pub(crate) fn stays_below(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "3fa9c81b52d0ee00000000000000000000000000000000000000000000000000";

    fn named(name: &str) -> String {
        path(&json!({"id": ID, "name": name, "takenAt": null}), None)
    }

    #[test]
    fn a_name_says_when_and_what_and_which() {
        let line =
            json!({"id": ID, "name": "IMG 1.JPG", "takenAt": {"local": "2019-07-04T18:03:00"}});
        assert_eq!(path(&line, None), "2019/07/IMG 1-3fa9c81b52d0.JPG");
        assert_eq!(named("Ærø 🐦.jpg"), "undated/Ærø 🐦-3fa9c81b52d0.jpg");
        assert_eq!(named("README"), "undated/README-3fa9c81b52d0");
    }

    #[test]
    fn what_leads_elsewhere_or_hides_is_escaped() {
        for (name, expected) in [
            ("../../etc/passwd", "%2F..%2Fetc%2Fpasswd-3fa9c81b52d0"),
            ("gpj\u{202e}.exe", "gpj%E2%80%AE-3fa9c81b52d0.exe"),
            ("a\nb\u{0}\u{1b}[2J.txt", "a%0Ab%00%1B[2J-3fa9c81b52d0.txt"),
            ("C:\\x", "C%3A%5Cx-3fa9c81b52d0"),
            (".hidden.", "hidden-3fa9c81b52d0"),
            ("..", "3fa9c81b52d0"),
            ("CON", "CON-3fa9c81b52d0"),
            ("a.tar.gz", "a.tar-3fa9c81b52d0.gz"),
            ("z\u{200b}w", "z%E2%80%8Bw-3fa9c81b52d0"),
        ] {
            assert_eq!(named(name), format!("undated/{expected}"), "{name:?}");
            assert!(stays_below(&named(name)));
        }
    }

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let long = named(&format!("{}.jpg", "ü".repeat(500)));
        assert!(
            long.len() < 150 && long.ends_with("-3fa9c81b52d0.jpg"),
            "{long}"
        );
    }

    #[test]
    fn no_two_files_want_one_place() {
        let line = json!({"id": ID, "name": "a.jpg", "takenAt": null});
        let other = ID.replace('e', "f");
        assert_eq!(path(&line, Some(&other)), format!("undated/a-{ID}.jpg"));
        assert_eq!(
            path(&line, Some("3fa9c81b52d1")),
            "undated/a-3fa9c81b52d0.jpg"
        );
    }

    #[test]
    fn a_path_that_leads_out_is_seen() {
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a/./../x"] {
            assert!(!stays_below(path), "{path}");
        }
        assert!(stays_below("2019/07/a.jpg"));
    }
}
