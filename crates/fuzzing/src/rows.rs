//! The rows of a snapshot, which come from an archive that somebody else may have written to: any bytes are a catalogue or
//! an error, and whatever is a catalogue is written down and built again as the same bytes.
//!
//! A part's bytes are held against a digest that a quorum has vouched for before they get here. This is what stands
//! behind that.

use catalogue::{Catalogue, Reader};
use tempfile::TempDir;

use crate::Seed;
use crate::query;

/// Builds a catalogue of the rows, writes its rows, and does the same with those.
///
/// # Panics
/// If a property is broken.
pub fn run(bytes: &[u8]) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("catalogue.sqlite");
    if catalogue::build(&path, &mut &*bytes).is_err() {
        return;
    }
    let Some(written) = rows(&path) else { return };
    let again = catalogue::build(&path, &mut &*written);
    assert!(again.is_ok(), "{again:?} of rows that were just written");
    assert_eq!(rows(&path).as_ref(), Some(&written), "other rows");
}

/// The rows of a catalogue in the order of the digest; nothing if there is no height in it.
fn rows(path: &std::path::Path) -> Option<Vec<u8>> {
    let reader = Reader::open(path).ok()?;
    let mut written = Vec::new();
    reader.write_rows(&mut written).ok()?;
    Some(written)
}

/// An empty catalogue, and one in which every command has had its effect.
///
/// # Panics
/// If the temporary folder cannot be used.
pub fn seeds() -> Vec<Seed> {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("catalogue.sqlite");
    let mut catalogue = Catalogue::open(&path).expect("an empty catalogue");
    let blocks = query::blocks();
    let (first, all) = blocks.split_at(1);
    catalogue.apply(first).expect("a new disk");
    let one = rows(&path).expect("it was just made");
    catalogue.apply(all).expect("a new disk");
    let full = rows(&path).expect("it was just made");
    vec![Seed::new("genesis", one), Seed::new("full", full)]
}
