//! A deliberate bug as a file.
//!
//! ```text
//! rule: P18
//! danger: A node that has joined ballot 3 still helps ballot 2 to a quorum.
//!
//! @@ crates/consensus/src/acceptor.rs
//!              _ if ballot >= self.promised => {
//! -                self.promised = ballot;
//! +                self.promised = self.promised.max(ballot);
//! ```
//!
//! The file's name is the bug as a sentence. Below the fields come places to change, written as a diff without line
//! numbers: whole lines, found by their text, which must stand in the file exactly once. So a mutant survives any change
//! of the code that does not touch its lines, and one that does not fit any more is noticed.
//!
//! `test: PACKAGE::NAME` names an ordinary test that must fail under the bug, where no searcher comes to it: it is run
//! last.
//!
//! `survives: why` marks a bug that the searchers are known not to find: a hole, with the reason.

use anyhow::{Context as _, Result, bail, ensure};

/// Where mutants lie.
pub(crate) const FOLDER: &str = "mutants/";

/// A deliberate bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// What it does, as a sentence with underscores.
    pub(crate) name: String,
    /// The rules of `docs/protocol.md` that it breaks.
    pub(crate) rules: Vec<String>,
    /// What goes wrong in the end.
    pub(crate) danger: String,
    /// An ordinary test that must fail, if that is what finds it.
    pub(crate) test: Option<Test>,
    /// Why no searcher finds it, if that is known.
    pub(crate) survives: Option<String>,
    /// What to change, in this order.
    pub(crate) edits: Vec<Edit>,
}

/// An ordinary test of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    /// The package, which is also its folder below `crates`.
    pub(crate) package: String,
    /// Its name with the modules it is in, as the test program prints it.
    pub(crate) name: String,
}

/// Lines to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// The file, relative to the root.
    pub(crate) path: String,
    old: String,
    new: String,
}

impl Mutant {
    /// The mutant at `path`; nothing if no mutant lies there.
    pub(crate) fn at(path: &str, text: &str) -> Option<Result<Self>> {
        let name = path.strip_prefix(FOLDER)?.strip_suffix(".diff")?;
        Some(Self::parse(name, text).with_context(|| path.to_owned()))
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let mut parts = text.split("\n@@ ");
        let fields = parts.next().unwrap_or_default();
        let field = |key: &str| {
            let mut lines = fields.lines();
            lines.find_map(|line| line.strip_prefix(key).map(|value| value.trim().to_owned()))
        };
        let rules = field("rule:").context("names no rule")?;
        let edits = parts.map(Edit::parse).collect::<Result<Vec<Edit>>>()?;
        ensure!(!edits.is_empty(), "changes nothing");
        Ok(Self {
            name: name.to_owned(),
            rules: rules.split(", ").map(str::to_owned).collect(),
            danger: field("danger:").context("does not say why it is dangerous")?,
            test: field("test:").map(|test| Test::parse(&test)).transpose()?,
            survives: field("survives:"),
            edits,
        })
    }
}

impl Test {
    fn parse(text: &str) -> Result<Self> {
        let (package, name) = text
            .split_once("::")
            .context("a test is named by its package, ::, and its name there")?;
        Ok(Self {
            package: package.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Whether a file of the repository has a function of its name.
    pub(crate) fn stands_in(&self, path: &str, text: &str) -> bool {
        let function = self.name.rsplit("::").next().unwrap_or_default();
        path.starts_with(&format!("crates/{}/", self.package))
            && text.contains(&format!("fn {function}("))
    }
}

impl Edit {
    fn parse(text: &str) -> Result<Self> {
        let (path, lines) = text.split_once('\n').context("a place without lines")?;
        let (mut old, mut new) = (String::new(), String::new());
        for line in lines.trim_end_matches('\n').lines() {
            // An empty line of context need not end in a blank.
            let kind = line.chars().next().unwrap_or(' ');
            let rest = line.get(kind.len_utf8()..).unwrap_or_default();
            let (before, after) = match kind {
                ' ' => (true, true),
                '-' => (true, false),
                '+' => (false, true),
                _ => bail!("a line begins with neither blank, - nor +: {line}"),
            };
            for (text, wanted) in [(&mut old, before), (&mut new, after)] {
                if wanted {
                    text.push_str(rest);
                    text.push('\n');
                }
            }
        }
        ensure!(!old.is_empty(), "{path}: nothing to be found");
        ensure!(old != new, "{path}: nothing is changed");
        Ok(Self {
            path: path.trim().to_owned(),
            old,
            new,
        })
    }

    /// `text` with the change made.
    ///
    /// # Errors
    /// If the lines to be replaced do not stand there exactly once.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        let starts_line = |at: usize| at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n');
        let mut places = text.match_indices(&self.old).map(|(at, _)| at);
        let mut places = places.by_ref().filter(|at| starts_line(*at));
        let first = self.old.lines().next().unwrap_or_default().trim();
        let Some(at) = places.next() else {
            bail!("{} has no such lines: {first} …", self.path);
        };
        ensure!(
            places.next().is_none(),
            "{} has such lines more than once: {first} …",
            self.path
        );
        let (before, rest) = text.split_at(at);
        let after = rest.strip_prefix(&self.old).unwrap_or_default();
        Ok([before, &self.new, after].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
rule: P8, P18
danger: It lies.

@@ a.rs
 fn one() {

-    1
+    2
 }

@@ b.rs
-gone
";

    fn mutant() -> Mutant {
        let path = "mutants/one_is_two.diff";
        Mutant::at(path, FILE).expect("a mutant").expect("sound")
    }

    #[test]
    fn a_mutant_is_read() {
        let mutant = mutant();
        assert_eq!(mutant.name, "one_is_two");
        assert_eq!(mutant.rules, ["P8", "P18"]);
        assert_eq!(mutant.danger, "It lies.");
        assert_eq!((mutant.survives, mutant.test), (None, None));
        let paths: Vec<&str> = mutant.edits.iter().map(|edit| edit.path.as_str()).collect();
        assert_eq!(paths, ["a.rs", "b.rs"]);
    }

    #[test]
    fn a_test_is_named_by_package_and_name() {
        let text = format!("test: ledger::damage::it_holds\n{FILE}");
        let mutant = Mutant::at("mutants/a.diff", &text).expect("a mutant");
        let test = mutant.expect("sound").test.expect("it names one");
        assert_eq!(
            (&*test.package, &*test.name),
            ("ledger", "damage::it_holds")
        );
        assert!(test.stands_in("crates/ledger/tests/damage.rs", "fn it_holds() {"));
        assert!(!test.stands_in("crates/ledger/tests/damage.rs", "fn it() {"));
        assert!(!test.stands_in("crates/sim/tests/damage.rs", "fn it_holds() {"));
        assert!(
            Mutant::at("mutants/a.diff", &format!("test: x\n{FILE}")).is_some_and(|m| m.is_err())
        );
    }

    #[test]
    fn an_edit_replaces_whole_lines() {
        let [one, gone] = &mutant().edits[..] else {
            panic!("two edits")
        };
        let text = "x\nfn one() {\n\n    1\n}\ny\n";
        assert_eq!(
            one.apply(text).expect("it fits"),
            "x\nfn one() {\n\n    2\n}\ny\n"
        );
        assert_eq!(gone.apply("not gone\ngone\n").expect("once"), "not gone\n");
    }

    #[test]
    fn lines_that_are_missing_or_stand_twice_are_refused() {
        let gone = &mutant().edits[1];
        assert!(gone.apply("not gone\n").is_err());
        assert!(gone.apply("gone\ngone\n").is_err());
    }

    #[test]
    fn unsound_files_are_refused() {
        for text in [
            "danger: x\n\n@@ a\n-b\n",
            "rule: P1\n\n@@ a\n-b\n",
            "rule: P1\ndanger: x\n",
            "rule: P1\ndanger: x\n\n@@ a\n+b\n",
            "rule: P1\ndanger: x\n\n@@ a\n b\n",
            "rule: P1\ndanger: x\n\n@@ a\n-b\nc\n",
        ] {
            let read = Mutant::at("mutants/a.diff", text).expect("a mutant");
            assert!(read.is_err(), "{text}");
        }
        assert!(Mutant::at("mutants/README.md", FILE).is_none());
    }
}
