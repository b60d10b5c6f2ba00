//! Rules about single lines and about the length of files.

use super::Complaint;
use crate::repository::TextFile;

/// Code lines of a file, its tests not counted. Past this a file has more than one subject.
const FILE_LINES_MAX: usize = 1_000;

/// Marks of unfinished work, cut in two so that this table does not find itself.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("FIX", "ME"),
    ("XX", "X:"),
];

/// What ties the repository to one machine or one company's package mirror, cut in two likewise.
const FOREIGN: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("arti", "factory"),
    ("nexus", "-proxy"),
    ("replace", "-with ="),
    ("index", "-url ="),
];

/// Synonyms of glossary words that the engine must not use: ballot, membership and height are the words.
const SYNONYMS: &[&str] = &["term", "view", "slot"];

/// The only place packages may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks all files.
pub(super) fn check(files: &[TextFile]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !is_input(file)) {
        check_length(file, &mut complaints);
        check_lock_sources(file, &mut complaints);
        for (number, line) in (1..).zip(file.text.lines()) {
            check_line(file, number, line, &mut complaints);
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            complaints.push(Complaint::new(&file.path, "does not end in a newline"));
        }
    }
    complaints
}

fn check_line(file: &TextFile, number: usize, line: &str, complaints: &mut Vec<Complaint>) {
    let mut complain = |what: String| complaints.push(Complaint::at(&file.path, number, what));
    if line.ends_with([' ', '\t', '\r']) && !is_generated(file) {
        complain("trailing whitespace".to_owned());
    }
    if let Some(found) = find(line, FOREIGN) {
        complain(format!("names a machine or a mirror: {found}"));
    }
    if is_code(file)
        && let Some(found) = find(line, UNFINISHED)
    {
        complain(format!("unfinished: {found}"));
    }
    if file.path.starts_with("crates/consensus/src/") {
        let code = line.split("//").next().unwrap_or_default();
        for synonym in synonyms(code) {
            complain(format!("`{synonym}` is not a word of the glossary"));
        }
    }
}

fn find(line: &str, needles: &[(&str, &str)]) -> Option<String> {
    needles
        .iter()
        .map(|(head, tail)| format!("{head}{tail}"))
        .find(|needle| line.contains(needle))
}

/// Parts of identifiers, `TermSlot` and `term_slot` alike, that are banned.
fn synonyms(code: &str) -> Vec<&'static str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let identifiers = code.split(|c| !is_word(c)).filter(|word| !word.is_empty());
    identifiers
        .flat_map(parts)
        .filter_map(|part| SYNONYMS.iter().copied().find(|synonym| *synonym == part))
        .collect()
}

fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in identifier.chars() {
        if c == '_' || c.is_uppercase() {
            parts.push(String::new());
        }
        if c != '_'
            && let Some(last) = parts.last_mut()
        {
            last.extend(c.to_lowercase());
        }
    }
    parts
}

fn check_length(file: &TextFile, complaints: &mut Vec<Complaint>) {
    if !is_code(file) || is_generated(file) {
        return;
    }
    let lines = file
        .text
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .count();
    if lines >= FILE_LINES_MAX {
        let what = format!("{lines} lines; {FILE_LINES_MAX} is the limit, split it by subject");
        complaints.push(Complaint::new(&file.path, what));
    }
}

fn check_lock_sources(file: &TextFile, complaints: &mut Vec<Complaint>) {
    if file.path != "Cargo.lock" {
        return;
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        if let Some(source) = line.strip_prefix("source = ")
            && source.trim_matches('"') != REGISTRY
        {
            let what = format!("a package comes from {source}");
            complaints.push(Complaint::at(&file.path, number, what));
        }
    }
}

/// Inputs of the fuzzers, and what a peer once said, are bytes, also where they happen to be text.
fn is_input(file: &TextFile) -> bool {
    ["fuzz/corpus/", "crates/node/tests/fixtures/"]
        .iter()
        .any(|folder| file.path.starts_with(folder))
}

fn is_code(file: &TextFile) -> bool {
    ["rs", "py", "ts", "sh", "proto"]
        .iter()
        .any(|extension| file.has_extension(extension))
}

fn is_generated(file: &TextFile) -> bool {
    file.path.contains("generated") || file.path.ends_with("openapi.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let file = TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&[file]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_clean_file_passes() {
        assert_eq!(
            complaints("crates/consensus/src/lib.rs", "fn ballot() {}\n"),
            [""; 0]
        );
    }

    #[test]
    fn trailing_blanks_and_a_missing_newline_are_found() {
        assert_eq!(
            complaints("a.md", "x \ny"),
            [
                "a.md:1: trailing whitespace",
                "a.md: does not end in a newline"
            ]
        );
    }

    #[test]
    fn unfinished_code_is_found() {
        let line = ["fn f() { to", "do!() }\n"].concat();
        assert_eq!(complaints("a.rs", &line).len(), 1);
        assert_eq!(complaints("a.md", &line).len(), 0, "prose may speak of it");
    }

    #[test]
    fn machine_paths_are_found() {
        assert_eq!(
            complaints("a.toml", &["p = \"/wo", "rk/x\"\n"].concat()).len(),
            1
        );
        assert_eq!(complaints("a.toml", "p = \"network/x\"\n").len(), 0);
    }

    #[test]
    fn synonyms_are_found_in_the_engine_in_identifiers_alone() {
        let path = "crates/consensus/src/lib.rs";
        assert_eq!(complaints(path, "struct TermSlot;\n").len(), 2);
        assert_eq!(
            complaints(path, "let old_view = determine(); // a term\n").len(),
            1
        );
        assert_eq!(
            complaints("crates/model/src/lib.rs", "struct View;\n").len(),
            0
        );
    }

    #[test]
    fn long_files_are_found_and_their_tests_are_not_counted() {
        let body = "x();\n".repeat(FILE_LINES_MAX - 1);
        assert_eq!(
            complaints("a.rs", &format!("{body}#[cfg(test)]\n{body}")).len(),
            0
        );
        assert_eq!(complaints("a.rs", &format!("{body}x();\n")).len(), 1);
    }

    #[test]
    fn a_lock_file_with_another_source_is_found() {
        assert_eq!(
            complaints("Cargo.lock", &format!("source = \"{REGISTRY}\"\n")).len(),
            0
        );
        assert_eq!(
            complaints("Cargo.lock", "source = \"git+https://example.org/x\"\n").len(),
            1
        );
    }
}
