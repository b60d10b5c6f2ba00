//! Which blobs there are.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use model::BlobId;

use crate::Store;

/// Of a blob's name.
const DIGITS: usize = 64;

impl Store {
    /// The blobs whose names begin with a byte, in no order. What has another name is none of the store's.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn beginning_with(&self, first: u8) -> io::Result<Vec<BlobId>> {
        let outer = self.shared.blobs.root().join(format!("{first:02x}"));
        let mut ids = Vec::new();
        for inner in entries(&outer)? {
            for name in entries(&outer.join(&inner))? {
                let id = name.parse().ok();
                ids.extend(id.filter(|id| self.path(*id) == outer.join(&inner).join(&name)));
            }
        }
        Ok(ids)
    }
}

impl Store {
    /// Every blob of which anything is here: its bytes, what is made of it, or what was put aside.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn traces(&self) -> io::Result<BTreeSet<BlobId>> {
        let mut folders = vec![self.shared.quarantine.clone()];
        for root in [self.shared.blobs.root(), self.shared.derived.root()] {
            for outer in entries(root)? {
                let outer = root.join(outer);
                let inner = entries(&outer)?.into_iter();
                folders.extend(inner.map(|inner| outer.join(inner)));
            }
        }
        let mut found = BTreeSet::new();
        for folder in folders {
            let names = entries(&folder)?.into_iter();
            found.extend(names.filter_map(|name| name.get(..DIGITS)?.parse::<BlobId>().ok()));
        }
        Ok(found)
    }
}

/// Names in a folder that may not be there, or may be a file.
fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let listed = match fs::read_dir(folder) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        listed => listed?,
    };
    let names = listed.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_listed_by_the_first_byte_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut ids = Vec::new();
        for bytes in [b"one".as_slice(), b"two", b"three"] {
            let mut writer = store.writer().unwrap();
            writer.write(bytes).unwrap();
            let staged = writer.finish().unwrap();
            ids.push(staged.id());
            staged.commit().unwrap();
        }
        let path = store.path(ids[0]);
        fs::write(path.with_file_name("notes.txt"), b"somebody else's").unwrap();
        fs::write(path.with_file_name(ids[1].to_string()), b"not its place").unwrap();
        let mut listed: Vec<BlobId> = (0..=u8::MAX)
            .flat_map(|first| store.beginning_with(first).unwrap())
            .collect();
        listed.sort();
        ids.sort();
        assert_eq!(listed, ids);
        store
            .put_derived(BlobId([7; 32]), "px256", b"small")
            .unwrap();
        ids.push(BlobId([7; 32]));
        let traces = store.traces().unwrap();
        assert_eq!(traces, ids.into_iter().collect());
    }
}
