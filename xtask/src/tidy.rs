//! Rules that neither the compiler nor clippy checks. Each rule is a function from files to complaints.

mod documents;
mod edges;
mod text;

use std::fmt;

use anyhow::{Result, bail};

use crate::repository::Repository;

/// A broken rule and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complaint {
    path: String,
    line: Option<usize>,
    what: String,
}

impl Complaint {
    fn new(path: &str, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            what: what.into(),
        }
    }

    /// `line` counts from 1.
    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::new(path, what)
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// Checks every rule and prints every complaint.
pub(crate) fn run(repository: &Repository) -> Result<()> {
    let files = repository.text_files()?;
    let metadata = repository.metadata()?;
    let mut complaints = edges::check(&metadata);
    complaints.extend(text::check(&files));
    complaints.extend(documents::check(&files, &edges::crates(&metadata)));
    let misfits = crate::mutants::faults(&files).into_iter();
    complaints.extend(misfits.map(|(path, what)| Complaint::new(&path, what)));
    complaints.sort();
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() {
        println!("tidy: {} files, no complaint", files.len());
        Ok(())
    } else {
        bail!("{} complaints", complaints.len());
    }
}
