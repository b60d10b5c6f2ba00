//! XMP files that stand beside photos: `photo.jpg.xmp` (darktable, digiKam) or `photo.xmp` (Lightroom, Capture One).
//!
//! One that stands beside a file goes with it and is no file of its own. `photo.xmp` goes with every file called `photo`:
//! a raw one and its JPEG may share it. Where both forms are there, the one with the whole name wins.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

/// More than a node takes is not read; it says that a sidecar is too large.
const READ_BYTES_MAX: u64 = (1 << 20) + 1;

/// The XMP file beside `path`, if there is one.
pub(super) fn of(path: &Path) -> Option<PathBuf> {
    if is_xmp(path) {
        return None;
    }
    let name = path.file_name()?;
    let candidates = ["xmp", "XMP"].into_iter().flat_map(|ending| {
        let mut whole = name.to_owned();
        whole.push(".");
        whole.push(ending);
        [path.with_file_name(whole), path.with_extension(ending)]
    });
    // All whole names first.
    let (whole, short): (Vec<_>, Vec<_>) =
        candidates.partition(|candidate| candidate.file_stem() == Some(name));
    let mut both = whole.into_iter().chain(short);
    both.find(|candidate| candidate.is_file())
}

/// The names in a folder that a sidecar may belong to.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeSet<OsString>);

impl Owners {
    /// Among the files of one folder.
    pub(super) fn among<'a>(names: impl Iterator<Item = &'a Path>) -> Self {
        let files = names.filter(|name| !is_xmp(name));
        let both = files.flat_map(|name| [name.file_name(), name.file_stem()]);
        Self(both.flatten().map(OsStr::to_owned).collect())
    }

    /// Whether `path` is the XMP file of one of them.
    pub(super) fn have(&self, path: &Path) -> bool {
        let stem = path.file_stem();
        is_xmp(path) && stem.is_some_and(|stem| self.0.contains(stem))
    }
}

fn is_xmp(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|ending| ending.eq_ignore_ascii_case("xmp"))
}

/// Its bytes.
pub(super) async fn read(path: &Path) -> io::Result<Bytes> {
    let file = tokio::fs::File::open(path).await?;
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes).await?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_goes_with_its_file_in_either_form() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let names = [
            "a.jpg",
            "a.jpg.xmp",
            "a.xmp",
            "b.raf",
            "b.jpg",
            "b.XMP",
            "alone.xmp",
            "c",
        ];
        for name in names {
            std::fs::write(at(name), name).unwrap();
        }
        let owners = Owners::among(names.iter().map(Path::new));
        assert_eq!(of(&at("a.jpg")), Some(at("a.jpg.xmp")));
        assert_eq!(of(&at("b.raf")), Some(at("b.XMP")));
        assert_eq!(of(&at("b.jpg")), Some(at("b.XMP")));
        assert_eq!(
            (of(&at("c")), of(&at("a.xmp")), of(&at("alone.xmp"))),
            (None, None, None)
        );
        for (name, belongs) in [
            ("a.jpg.xmp", true),
            ("a.xmp", true),
            ("b.XMP", true),
            ("alone.xmp", false),
            ("a.jpg", false),
        ] {
            assert_eq!(owners.have(&at(name)), belongs, "{name}");
        }
    }
}
