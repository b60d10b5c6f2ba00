//! Finds the files to upload and tells them from what systems leave lying about.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use model::BlobId;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::sidecar;

/// Folders of thumbnails, trash and catalogues that other programs keep beside photos.
const JUNK_FOLDERS: [&str; 5] = [
    "@eaDir",
    ".Trashes",
    ".Spotlight-V100",
    ".fseventsd",
    "lost+found",
];
/// Files that other programs keep beside photos.
const JUNK_FILES: [&str; 4] = [".DS_Store", "Thumbs.db", "desktop.ini", ".nomedia"];
/// How files begin that carry another file's attributes.
const JUNK_PREFIXES: [&str; 2] = ["._", "SYNOFILE_THUMB_"];

/// One thing met on the way.
#[derive(Debug)]
pub(super) enum Found {
    /// To be uploaded, with the XMP file beside it if there is one.
    File {
        path: PathBuf,
        size: u64,
        sidecar: Option<PathBuf>,
    },
    /// Left out on purpose.
    Excluded { path: PathBuf, why: &'static str },
    /// Wanted, but not readable.
    Unreadable { path: PathBuf, error: io::Error },
}

/// Walks in a thread of its own and stops when nobody listens any more.
pub(super) fn walk(paths: Vec<PathBuf>) -> mpsc::Receiver<Found> {
    let (found, results) = mpsc::channel(1024);
    std::thread::spawn(move || {
        for path in paths {
            if visit(path, Named::ByUser, &found).is_none() {
                return;
            }
        }
    });
    results
}

/// Who chose a path: what people name themselves is never taken for junk.
#[derive(Clone, Copy)]
enum Named {
    ByUser,
    ByFolder,
}

/// None when nobody listens.
fn visit(path: PathBuf, named: Named, found: &mpsc::Sender<Found>) -> Option<()> {
    let say = |what| found.blocking_send(what).ok();
    if let (Named::ByFolder, Some(why)) = (named, junk(&path)) {
        return say(Found::Excluded { path, why });
    }
    let kind = match named {
        Named::ByUser => std::fs::metadata(&path),
        Named::ByFolder => std::fs::symlink_metadata(&path),
    };
    match kind {
        Err(error) => say(Found::Unreadable { path, error }),
        Ok(kind) if kind.is_dir() => visit_folder(path, found),
        Ok(kind) if kind.is_file() => {
            let (size, sidecar) = (kind.len(), sidecar::of(&path));
            say(Found::File {
                path,
                size,
                sidecar,
            })
        }
        Ok(kind) if kind.is_symlink() => {
            let why = "a symbolic link";
            say(Found::Excluded { path, why })
        }
        Ok(_) => {
            let why = "not a regular file";
            say(Found::Excluded { path, why })
        }
    }
}

fn visit_folder(path: PathBuf, found: &mpsc::Sender<Found>) -> Option<()> {
    let entries = std::fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return found.blocking_send(Found::Unreadable { path, error }).ok(),
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    let owners = sidecar::Owners::among(paths.iter().map(PathBuf::as_path));
    for path in paths {
        if owners.have(&path) {
            let why = "goes with the file beside it";
            found.blocking_send(Found::Excluded { path, why }).ok()?;
        } else {
            visit(path, Named::ByFolder, found)?;
        }
    }
    Some(())
}

fn junk(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy();
    let junk = JUNK_FILES.contains(&name.as_ref())
        || JUNK_FOLDERS.contains(&name.as_ref())
        || JUNK_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    junk.then_some("kept by another program")
}

/// The SHA-256 of a file, and how many bytes that covers.
pub(crate) fn hash(path: &Path) -> io::Result<(BlobId, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok((BlobId(hasher.finalize().into()), size)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: Vec<PathBuf>) -> Vec<String> {
        let mut results = walk(paths);
        let mut names = Vec::new();
        while let Some(found) = results.blocking_recv() {
            let (mark, path) = match found {
                Found::File {
                    path,
                    size,
                    sidecar,
                } => {
                    let beside = if sidecar.is_some() { "+ " } else { "" };
                    (format!("{size} {beside}"), path)
                }
                Found::Excluded { path, .. } => ("- ".to_owned(), path),
                Found::Unreadable { path, .. } => ("! ".to_owned(), path),
            };
            names.push(mark + &path.file_name().unwrap().to_string_lossy());
        }
        names
    }

    #[test]
    fn a_walk_is_in_order_and_leaves_junk_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("b/@eaDir")).unwrap();
        std::fs::write(root.join("b/@eaDir/thumb.jpg"), "x").unwrap();
        std::fs::write(root.join("b/two.jpg"), "22").unwrap();
        std::fs::write(root.join("a.jpg"), "1").unwrap();
        std::fs::write(root.join("._a.jpg"), "1").unwrap();
        std::os::unix::fs::symlink("a.jpg", root.join("c.jpg")).unwrap();
        let found = names(vec![root.to_owned(), root.join("missing")]);
        assert_eq!(
            found,
            [
                "- ._a.jpg",
                "1 a.jpg",
                "- @eaDir",
                "2 two.jpg",
                "- c.jpg",
                "! missing"
            ]
        );
    }

    #[test]
    fn a_sidecar_goes_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "a.jpg.xmp", "b.raf", "b.xmp", "c.xmp"] {
            std::fs::write(folder.path().join(name), "1").unwrap();
        }
        let found = names(vec![folder.path().to_owned()]);
        let expected = [
            "1 + a.jpg",
            "- a.jpg.xmp",
            "1 + b.raf",
            "- b.xmp",
            "1 c.xmp",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_people_name_is_never_junk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".DS_Store");
        std::fs::write(&path, "1").unwrap();
        assert_eq!(names(vec![path]), ["1 .DS_Store"]);
    }

    #[test]
    fn a_hash_is_what_sha256sum_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let (id, size) = hash(&path).unwrap();
        assert_eq!(size, 3);
        assert_eq!(
            id.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
