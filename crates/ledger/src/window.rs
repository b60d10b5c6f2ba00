//! Log files as they lie in a folder, seen through a chunk at a time.

use std::io;

use model::{ChainId, Height};

use crate::disk::Storage;
use crate::format::{
    FILE_HEADER, FileHeader, HEAD, Head, HeaderFault, RECORD_MAGIC, SECTOR, file_number,
    next_sector,
};

/// Bytes read at a time.
const CHUNK: usize = 4 << 20;
/// The longest file in which every byte has a place: offsets have 32 bits.
const LENGTH_MAX: u64 = u32::MAX as u64;

/// Why a log could not be read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error("reading {file}")]
    Io {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("{file} is {length} bytes long")]
    TooLong { file: String, length: u64 },
    #[error("{file} is of format version {version}")]
    Version { file: String, version: u32 },
    #[error("{file} belongs to chain {found}, the first file to {expected}")]
    Foreign {
        file: String,
        found: ChainId,
        expected: ChainId,
    },
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) length: u64,
}

/// The log's files in order. Others in the folder are none of its business.
///
/// No file that a ledger wrote comes near [`LENGTH_MAX`]; a longer one is refused before it is read, so that every place
/// in a log fits its 32 bits.
pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<LogFile>, ScanError> {
    let names = match storage.files() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.map_err(|source| ScanError::Io {
            file: "the folder".to_owned(),
            source,
        })?,
    };
    let mut files = Vec::new();
    for name in names {
        if let Some(number) = file_number(&name) {
            let length = storage.len(&name).map_err(|source| ScanError::Io {
                file: name.clone(),
                source,
            })?;
            if length > LENGTH_MAX {
                return Err(ScanError::TooLong { file: name, length });
            }
            files.push(LogFile {
                number,
                name,
                length,
            });
        }
    }
    files.sort_by_key(|file| file.number);
    Ok(files)
}

/// What is to be read of a log whose first files may be gone, since segments hold their blocks: the genesis file and
/// all from the first behind the last gap that says how it was begun. Without a gap, or if no segment of the name of
/// one reaches that far, all of them: the `named` height is the highest in the name of any.
pub(crate) fn begin(
    storage: &dyn Storage,
    files: Vec<LogFile>,
    named: Height,
) -> Result<(Vec<LogFile>, Option<FileHeader>), ScanError> {
    let pairs = files.iter().zip(files.iter().skip(1)).enumerate();
    let apart = |pair: &(usize, (&LogFile, &LogFile))| pair.1.1.number - pair.1.0.number > 1;
    let Some((gap, _)) = pairs.rev().find(apart) else {
        return Ok((files, None));
    };
    for (at, file) in files.iter().enumerate().skip(gap + 1) {
        let mut window = Window::new(storage, file);
        for copy in [0, SECTOR] {
            let header = window.header(copy)?.ok();
            let header = header.filter(|header| header.number == file.number);
            let Some((header, origin)) = header.and_then(|h| Some((h, h.origin?))) else {
                continue;
            };
            if named < origin.tip.0 {
                return Ok((files, None));
            }
            let genesis = files.iter().take(1);
            let kept = genesis.chain(files.iter().skip(at)).cloned().collect();
            return Ok((kept, Some(header)));
        }
    }
    Ok((files, None))
}

/// A file seen through a chunk of it.
pub(crate) struct Window<'a> {
    storage: &'a dyn Storage,
    file: &'a LogFile,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    /// At the beginning of a file.
    pub(crate) fn new(storage: &'a dyn Storage, file: &'a LogFile) -> Self {
        Self {
            storage,
            file,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// The bytes from `offset`, at most `length` of them: fewer only at the end of the file.
    pub(crate) fn get(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError> {
        let rest = self.file.length.saturating_sub(offset);
        let length = length.min(usize::try_from(rest).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(&[]);
        }
        let covered =
            offset >= self.start && offset + length as u64 <= self.start + self.bytes.len() as u64;
        if !covered {
            let chunk = CHUNK
                .max(length)
                .min(usize::try_from(rest).unwrap_or(CHUNK));
            self.bytes = self
                .storage
                .read(&self.file.name, offset, chunk)
                .map_err(|source| ScanError::Io {
                    file: self.file.name.clone(),
                    source,
                })?;
            self.start = offset;
        }
        let at = usize::try_from(offset - self.start).expect("inside the chunk");
        Ok(self
            .bytes
            .get(at..at + length)
            .expect("the chunk was read in full"))
    }

    /// Whether every byte of a range, as far as the file has it, is this one.
    pub(crate) fn all(&mut self, range: std::ops::Range<u64>, byte: u8) -> Result<bool, ScanError> {
        let mut at = range.start;
        while at < range.end.min(self.file.length) {
            let length = (range.end - at).min(SECTOR);
            let bytes = self.get(at, usize::try_from(length).expect("a sector is small"))?;
            // A comparison of slices is one call of `memcmp`, also in builds without optimisation.
            if Some(bytes) != [byte; SECTOR as usize].get(..bytes.len()) {
                return Ok(false);
            }
            at += bytes.len() as u64;
        }
        Ok(true)
    }

    /// One copy of the file's header.
    pub(crate) fn header(
        &mut self,
        copy: u64,
    ) -> Result<Result<FileHeader, HeaderFault>, ScanError> {
        Ok(FileHeader::parse(self.get(copy, FILE_HEADER)?))
    }

    /// The head at `offset`; nothing if there is no intact one.
    pub(crate) fn head(
        &mut self,
        offset: u64,
        header: &FileHeader,
    ) -> Result<Option<Head>, ScanError> {
        let length = Head::length(self.get(offset, HEAD)?);
        let Some(length) = length else {
            return Ok(None);
        };
        Ok(Head::parse(self.get(offset, length)?, header))
    }

    /// Calls `visit` wherever from `from` on a head might begin.
    pub(crate) fn search(
        &mut self,
        from: u64,
        mut visit: impl FnMut(&mut Self, u64) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let overlap = RECORD_MAGIC.len() as u64 - 1;
        let mut at = from;
        while at < self.file.length {
            let next = next_sector(at + 1);
            if !self.all(at..next, 0)? {
                let length = usize::try_from(next + overlap - at).expect("a sector is small");
                let fours = self.get(at, length)?.windows(RECORD_MAGIC.len()).zip(at..);
                let hits = fours.filter(|(four, _)| *four == RECORD_MAGIC);
                for hit in hits.map(|(_, at)| at).collect::<Vec<u64>>() {
                    visit(self, hit)?;
                }
            }
            at = next;
        }
        Ok(())
    }
}
