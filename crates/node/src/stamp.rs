//! Whether the catalogue is the file that this node left behind.
//!
//! The ledger and blobs prove themselves, the catalogue does not: a row that somebody changed reads like any other. To
//! hold all of it against the ledger takes too long for a start, so a node that stops notes by what a file system
//! knows the file, and a start that finds another one builds it anew from the ledger before it answers anything. The
//! picture of its index that lies beside it is noted in the same way, and is built anew from the rows. After
//! a crash there is no note; then the scrubber compares ([`crate::scrubber`]), and begins with that. Of the ledger's
//! files something is noted too ([`ledger`]), and of the copies of blobs ([`copies`]).

pub(crate) mod copies;
pub(crate) mod ledger;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use catalogue::Catalogue;

/// The note's file in a node's folder.
const FILE: &str = "catalogue.stamp";

/// What the note says of the file that is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// It is the one that was left, and so is the picture of its index.
    Untouched,
    /// It is the one that was left; the picture of its index is not, or is gone.
    WithoutIndex {
        /// Whether there is another one.
        changed: bool,
    },
    /// Somebody has changed or replaced it.
    Changed,
    /// Nothing: the node did not stop in an orderly way, or never did yet.
    Unknown,
}

/// Notes the catalogue that is left behind. Only once nobody writes to it any more.
pub(crate) fn leave(folder: &Path, catalogue: &Path) -> io::Result<()> {
    if has_journal(catalogue) {
        // Somebody still reads it: what is in the journal will go into the file.
        return Ok(());
    }
    let mut note = of(catalogue)?;
    // Where there is no picture, that is not noted: the next start does without.
    note += &of(&Catalogue::index_path(catalogue)).unwrap_or_default();
    fs::write(folder.join(FILE), note)
}

fn has_journal(catalogue: &Path) -> bool {
    [".sqlite-wal", ".sqlite-journal"].iter().any(|end| {
        let mut name = catalogue.with_extension("").into_os_string();
        name.push(end);
        fs::metadata(PathBuf::from(name)).is_ok_and(|journal| journal.len() > 0)
    })
}

/// Reads the note and removes it: it is true once.
pub(crate) fn take(folder: &Path, catalogue: &Path) -> io::Result<Left> {
    let note = folder.join(FILE);
    let noted = match fs::read_to_string(&note) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Unknown),
        noted => noted?,
    };
    fs::remove_file(&note)?;
    match of(catalogue) {
        Ok(now) if !has_journal(catalogue) => Ok(match noted.strip_prefix(&now) {
            Some(index) => index_left(index, catalogue),
            None => Left::Changed,
        }),
        Ok(_) => Ok(Left::Changed),
        // A catalogue that is gone is built anew anyway.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Left::Unknown),
        Err(error) => Err(error),
    }
}

/// What became of the picture that a note tells of, beside a catalogue that is untouched.
fn index_left(noted: &str, catalogue: &Path) -> Left {
    match of(&Catalogue::index_path(catalogue)) {
        Ok(now) if now == noted => Left::Untouched,
        Ok(_) => Left::WithoutIndex { changed: true },
        Err(_) => Left::WithoutIndex { changed: false },
    }
}

fn of(path: &Path) -> io::Result<String> {
    let file = fs::metadata(path)?;
    Ok(format!(
        "{} {} {}.{:09} {}.{:09}\n",
        file.ino(),
        file.len(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_or_replaced_is_known_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let file = folder.join("catalogue.sqlite");
        fs::write(&file, b"rows").unwrap();
        assert_eq!(take(folder, &file).unwrap(), Left::Unknown);
        leave(folder, &file).unwrap();
        let without = |changed| Left::WithoutIndex { changed };
        assert_eq!(take(folder, &file).unwrap(), without(false));
        assert_eq!(take(folder, &file).unwrap(), Left::Unknown);
        let index = folder.join("catalogue.index");
        fs::write(&index, b"a picture").unwrap();
        leave(folder, &file).unwrap();
        assert_eq!(take(folder, &file).unwrap(), Left::Untouched);
        assert_eq!(take(folder, &file).unwrap(), Left::Unknown);
        leave(folder, &file).unwrap();
        fs::write(&index, b"A picture").unwrap();
        assert_eq!(take(folder, &file).unwrap(), without(true));
        leave(folder, &file).unwrap();
        fs::remove_file(&index).unwrap();
        assert_eq!(take(folder, &file).unwrap(), without(false));
        leave(folder, &file).unwrap();
        fs::write(&index, b"one of nobody").unwrap();
        assert_eq!(take(folder, &file).unwrap(), without(true));
        let copy = folder.join("copy");
        fs::copy(&file, &copy).unwrap();
        leave(folder, &file).unwrap();
        fs::rename(&copy, &file).unwrap();
        assert_eq!(take(folder, &file).unwrap(), Left::Changed);
        leave(folder, &file).unwrap();
        fs::write(folder.join("catalogue.sqlite-wal"), b"a page").unwrap();
        assert_eq!(take(folder, &file).unwrap(), Left::Changed);
        leave(folder, &file).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(take(folder, &file).unwrap(), Left::Unknown);
    }
}
