//! A disk in memory that knows what was flushed and what was not.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use ledger::{Disk, GenesisFile, Storage, Write};
use model::{Block, LogSeq};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// With which the names of segments begin.
pub(crate) const SEGMENTS: &str = "segments/";

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What survives a power cut for certain.
    pub(crate) durable: Files,
    /// What a read sees.
    pub(crate) seen: Files,
    /// Submitted since the last flush.
    pub(crate) pending: Vec<Write>,
    /// Where files of the log end; none: where they end in earnest.
    pub(crate) file_bytes: Option<u64>,
    /// Files cut while opening.
    pub(crate) cuts: Vec<(String, u64)>,
    /// Deleted, and perhaps back after a crash.
    pub(crate) retired: Files,
    /// Copies that are kept.
    pub(crate) aside: Vec<(String, Vec<u8>)>,
}

impl State {
    fn torn(&self, mut survives: impl FnMut(&Write, u64) -> bool) -> Files {
        const ATOM: usize = 512;
        let mut files = self.durable.clone();
        for write in &self.pending {
            let mut at = 0;
            while at < write.bytes.len() {
                let offset = usize::try_from(write.offset).unwrap() + at;
                let length = (ATOM - offset % ATOM).min(write.bytes.len() - at);
                if survives(write, offset as u64) {
                    let file = files.entry(write.file.clone()).or_default();
                    put(file, offset, &write.bytes[at..at + length]);
                }
                at += length;
            }
        }
        files
    }
}

/// Cheap to clone; all clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

impl MemoryDisk {
    pub(crate) fn new(genesis: &Block) -> Self {
        let file = GenesisFile::new(genesis);
        Self::holding(BTreeMap::from([(file.name, file.bytes)]))
    }

    pub(crate) fn holding(files: Files) -> Self {
        let state = State {
            durable: files.clone(),
            seen: files,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while holding it")
    }

    pub(crate) fn files(&self) -> Files {
        self.state().seen.clone()
    }

    /// Changes a file behind the ledger's back.
    pub(crate) fn edit(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        change(state.seen.get_mut(file).expect("the file exists"));
        let bytes = state.seen[file].clone();
        state.durable.insert(file.to_owned(), bytes);
    }

    /// Everything submitted is flushed; the last record is returned.
    pub(crate) fn flush(&self) -> Option<LogSeq> {
        let mut state = self.state();
        let state = &mut *state;
        for write in &state.pending {
            let file = state.durable.entry(write.file.clone()).or_default();
            put(file, usize::try_from(write.offset).unwrap(), &write.bytes);
        }
        state.pending.drain(..).map(|write| write.seq).max()
    }

    /// A flush fails: the kernel drops the pieces of pending writes that `survives` does not pick, and reads go on
    /// showing them.
    pub(crate) fn fail_flush(&self, survives: impl FnMut(&Write, u64) -> bool) {
        let mut state = self.state();
        state.durable = state.torn(survives);
        state.pending.clear();
    }

    /// The power fails: of every pending write, the pieces within one sector that `survives` picks arrive.
    pub(crate) fn crash(&self, survives: impl FnMut(&Write, u64) -> bool) -> Self {
        Self::holding(self.state().torn(survives))
    }

    pub(crate) fn save(&self, folder: &Path) {
        for (name, bytes) in &self.state().seen {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

pub(crate) fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Storage for MemoryDisk {
    fn files(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        let names = state.seen.keys().filter(|name| !name.contains('/'));
        Ok(names.cloned().collect())
    }

    fn len(&self, file: &str) -> io::Result<u64> {
        let state = self.state();
        let bytes = state.seen.get(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.len() as u64)
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let state = self.state();
        let bytes = state.seen.get(file).ok_or(io::ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).unwrap();
        let read = bytes.get(offset..offset + length);
        Ok(read.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec())
    }

    fn segments(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        let names = state
            .seen
            .keys()
            .filter_map(|name| name.strip_prefix(SEGMENTS));
        Ok(names.map(str::to_owned).collect())
    }

    fn store_segment(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let name = format!("{SEGMENTS}{name}");
        state.durable.insert(name.clone(), bytes.to_vec());
        state.seen.insert(name, bytes.to_vec());
        Ok(())
    }

    fn store_log(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        assert!(!state.seen.contains_key(name), "{name}");
        state.durable.insert(name.to_owned(), bytes.to_vec());
        state.seen.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn set_aside(&self, file: &str) -> io::Result<String> {
        let mut state = self.state();
        let bytes = state.seen.get(file).ok_or(io::ErrorKind::NotFound)?.clone();
        let place = format!("aside {} {file}", state.aside.len());
        state.aside.push((place.clone(), bytes));
        Ok(place)
    }

    fn retire(&self, file: &str) -> io::Result<()> {
        let mut state = self.state();
        state.durable.remove(file).ok_or(io::ErrorKind::NotFound)?;
        let bytes = state.seen.remove(file).ok_or(io::ErrorKind::NotFound)?;
        state.retired.insert(file.to_owned(), bytes);
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    fn cut(&mut self, file: &str, length: u64) -> io::Result<()> {
        let mut state = self.state();
        let state = &mut *state;
        let length_now = usize::try_from(length).unwrap();
        let seen = state.seen.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
        seen.truncate(length_now);
        let durable = state.durable.entry(file.to_owned()).or_default();
        for write in state.pending.iter().filter(|write| write.file == file) {
            put(
                durable,
                usize::try_from(write.offset).unwrap(),
                &write.bytes,
            );
        }
        durable.resize(length_now, 0);
        state.cuts.push((file.to_owned(), length));
        Ok(())
    }

    fn file_bytes(&self) -> u64 {
        self.state().file_bytes.unwrap_or(64 << 20)
    }

    fn submit(&mut self, write: Write) {
        let mut state = self.state();
        assert_ne!(
            state.seen.contains_key(&write.file),
            write.create,
            "{}",
            write.file
        );
        let offset = usize::try_from(write.offset).unwrap();
        put(
            state.seen.entry(write.file.clone()).or_default(),
            offset,
            &write.bytes,
        );
        state.pending.push(write);
    }
}
