//! Rules about the documents: every crate states its invariant, every page can be reached, no link is dead.

use std::collections::BTreeSet;

use super::Complaint;
use crate::repository::TextFile;

const MAP: &str = "ARCHITECTURE.md";
const FRONT: &str = "README.md";

/// Checks all Markdown files; `crates` are the names that the map must speak of.
pub(super) fn check(files: &[TextFile], crates: &[String]) -> Vec<Complaint> {
    let mut complaints = check_invariants(files, crates);
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for page in files.iter().filter(|file| file.has_extension("md")) {
        for (number, target) in links(page) {
            let exists = known.contains(target.as_str())
                || known
                    .iter()
                    .any(|path| path.starts_with(&format!("{target}/")));
            if !exists {
                complaints.push(Complaint::at(
                    &page.path,
                    number,
                    format!("dead link to {target}"),
                ));
            }
        }
    }
    let reached = reachable(files);
    for page in files.iter().filter(|file| file.has_extension("md")) {
        if page.path.starts_with("docs/") && !reached.contains(page.path.as_str()) {
            let what = format!("cannot be reached by links from {FRONT} or {MAP}");
            complaints.push(Complaint::new(&page.path, what));
        }
    }
    complaints
}

/// Every crate has a section of the map whose heading names it and in which a line begins with **Invariant**.
fn check_invariants(files: &[TextFile], crates: &[String]) -> Vec<Complaint> {
    let Some(map) = files.iter().find(|file| file.path == MAP) else {
        return vec![Complaint::new(MAP, "is missing")];
    };
    let stated = invariants(&map.text);
    let unstated = crates.iter().filter(|name| !stated.contains(name.as_str()));
    unstated
        .map(|name| Complaint::new(MAP, format!("states no **Invariant** for `{name}`")))
        .collect()
}

fn invariants(map: &str) -> BTreeSet<&str> {
    let mut stated = BTreeSet::new();
    let mut section = None;
    for line in map.lines() {
        if line.starts_with('#') {
            section = quoted(line);
        } else if line.starts_with("**Invariant") {
            stated.extend(section);
        }
    }
    stated
}

/// The first word in backticks, without a leading `crates/`.
fn quoted(line: &str) -> Option<&str> {
    let word = line.split('`').nth(1)?;
    Some(word.trim_start_matches("crates/").trim_end_matches('/'))
}

fn reachable(files: &[TextFile]) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![FRONT.to_owned(), MAP.to_owned()];
    while let Some(path) = open.pop() {
        let Some(page) = files.iter().find(|file| file.path == path) else {
            continue;
        };
        if !reached.insert(path) || !page.has_extension("md") {
            continue;
        }
        open.extend(links(page).into_iter().map(|(_, target)| target));
    }
    reached
}

/// Line number and repository path of every relative link, outside of code blocks.
fn links(page: &TextFile) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(page.text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let relative = targets
            .filter(|target| !target.contains("://") && !target.starts_with(['#', '<']))
            .filter(|target| !target.starts_with("mailto:"));
        links.extend(relative.map(|target| (number, resolve(&page.path, target))));
    }
    links
}

fn resolve(page: &str, target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn complaints(files: &[TextFile]) -> Vec<String> {
        check(files, &["model".to_owned()])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const STATED: &str = "### `model`\n\n**Invariant:** no I/O\n";

    #[test]
    fn a_section_states_the_invariant_of_its_crate() {
        assert_eq!(complaints(&[file(MAP, STATED)]), [""; 0]);
        let another = "### `model`\n### `other`\n**Invariant:** x\n";
        assert_eq!(complaints(&[file(MAP, another)]).len(), 1);
    }

    #[test]
    fn pages_are_reached_through_other_pages() {
        let map = file(MAP, &format!("{STATED}[d](docs/decisions/README.md)\n"));
        let index = file("docs/decisions/README.md", "[one](one.md#top)\n");
        let one = file("docs/decisions/one.md", "[up](../../ARCHITECTURE.md)\n");
        let lost = file("docs/lost.md", "x\n");
        assert_eq!(complaints(&[map, index, one]), [""; 0]);
        let map = file(MAP, STATED);
        assert_eq!(complaints(&[map, lost]).len(), 1);
    }

    #[test]
    fn dead_links_are_found_outside_of_code() {
        let map = "### `model`\n**Invariant:** x\n[a](gone.md)\n```\n[b](gone.md)\n```\n[c](https://example.org/x)\n";
        assert_eq!(
            complaints(&[file(MAP, map)]),
            ["ARCHITECTURE.md:3: dead link to gone.md"]
        );
    }
}
