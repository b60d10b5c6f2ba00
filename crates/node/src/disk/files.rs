//! The files of one folder, read at any place from any thread.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use ledger::segment::FOLDER;
use ledger::{Folder, Storage};

/// Files kept open for reading. A long ledger has thousands; readers mostly want the newest, and one that walks
/// through all of them opens each once.
const OPEN_MAX: usize = 32;

/// A folder.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    open: Mutex<BTreeMap<String, Arc<File>>>,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            open: Mutex::default(),
        }
    }

    /// Makes a file, which must not exist yet.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        File::create_new(self.folder.join(name))
    }

    /// Opens a file to be written.
    pub(super) fn open_to_write(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.folder.join(name))
    }

    /// Takes back a file that was made.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.opened().remove(name);
        std::fs::remove_file(self.folder.join(name))
    }

    /// Cuts a file and flushes it.
    pub(super) fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        let file = self.open_to_write(name)?;
        file.set_len(length)?;
        file.sync_all()
    }

    /// Makes the names of all files durable.
    pub(super) fn flush_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Makes everything in the folder durable.
    pub(super) fn flush_all(&self) -> io::Result<()> {
        for name in self.files()? {
            File::open(self.folder.join(name))?.sync_all()?;
        }
        self.flush_names()
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        if let Some(file) = self.opened().get(name) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(self.folder.join(name))?);
        let mut open = self.opened();
        open.insert(name.to_owned(), file.clone());
        if open.len() > OPEN_MAX {
            // Names ascend with time, so this is the oldest file.
            open.pop_first();
        }
        Ok(file)
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<File>>> {
        self.open
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Storage for Files {
    fn files(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = entry.file_name().into_string().map_err(|name| {
                    let what = format!("the file name {} is not UTF-8", name.display());
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })?;
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn len(&self, file: &str) -> io::Result<u64> {
        Ok(self.file(file)?.metadata()?.len())
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let handle = self.file(file)?;
        // A damaged length must not make us reserve memory.
        let size = handle.metadata()?.len();
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        handle.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn segments(&self) -> io::Result<Vec<String>> {
        Folder::new(&self.folder).segments()
    }

    fn predecessor(&self) -> Option<Arc<dyn Storage>> {
        let folder = self.folder.join(ledger::predecessor::FOLDER);
        folder
            .is_dir()
            .then(|| Arc::new(Self::new(folder)) as Arc<dyn Storage>)
    }

    fn store_segment(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        Folder::new(&self.folder).store_segment(name, bytes)?;
        self.opened().remove(&format!("{FOLDER}/{name}"));
        Ok(())
    }

    fn end(&self) -> io::Result<()> {
        Folder::new(&self.folder).end()
    }

    fn store_log(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(format!("{name}.unfinished"));
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, self.folder.join(name))?;
        self.flush_names()
    }

    fn set_aside(&self, file: &str) -> io::Result<String> {
        let from = self.folder.join(file);
        let folder = self
            .folder
            .parent()
            .unwrap_or(&self.folder)
            .join("quarantine");
        std::fs::create_dir_all(&folder)?;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = file.replace('/', "-");
        let to = folder.join(format!("{}-{name}", since.as_micros()));
        // The bytes are replaced as a whole and never changed, so a second name keeps them.
        if let Err(error) = std::fs::hard_link(&from, &to) {
            if error.kind() == io::ErrorKind::NotFound {
                return Err(error);
            }
            std::fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()?;
        }
        File::open(&folder)?.sync_all()?;
        Ok(to.display().to_string())
    }

    fn rewrite(&self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.open_to_write(file)?;
        file.write_all_at(bytes, offset)?;
        file.sync_data()
    }

    fn retire(&self, file: &str) -> io::Result<()> {
        self.remove(file)
    }
}
