//! XMP sidecars, which anybody can write.
//!
//! What was read out of one goes into commands, so its values must already have the form and the length that the ledger
//! takes.

use std::fs;
use std::path::Path;

use crate::Seed;

/// A sidecar of these bytes.
///
/// # Panics
/// If a property is broken.
pub fn run(bytes: &[u8]) {
    let sidecar = media::sidecar(bytes);
    assert!(sidecar.notes.len() <= 12);
    check(&sidecar.described);
}

/// What must hold of all that is said in words about a file.
///
/// # Panics
/// If it does not.
pub(crate) fn check(described: &media::Described) {
    for tag in &described.tags {
        let checked = catalogue::rules::check_tag(&tag.value);
        assert!(checked.is_ok(), "{tag:?}: {checked:?}");
    }
    let title = described.title.as_ref().map_or(0, |told| told.value.len());
    let text = described
        .description
        .as_ref()
        .map_or(0, |told| told.value.len());
    assert!(title <= 1 << 10 && text <= 64 << 10);
    assert!(described.rating.as_ref().is_none_or(|told| told.value <= 5));
}

/// The sidecar that the tests of `media` keep.
///
/// # Panics
/// If it is not there.
pub fn seeds() -> Vec<Seed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../media/tests/fixtures/sidecar.xmp");
    let bytes = fs::read(path).expect("the tests of media keep a sidecar");
    vec![Seed::new("sidecar.xmp", bytes)]
}
