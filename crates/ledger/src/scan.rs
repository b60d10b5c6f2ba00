//! Reads the records of a log one after the other, and judges what it cannot read.

use std::io;

use model::codec::Decode;
use model::{BlockHash, ChainId, Header, Nonce, Reader as Bytes};

use crate::disk::Storage;
use crate::format::{
    ATOM, DOUBLED_ROOM, FILE_HEADER, FILLER, FIRST_RECORD, FileHeader, HEAD, Head, HeaderFault,
    Kind, META_MAX, RECORD_MAGIC, SECTOR, crc, file_name, file_number, next_sector, second_copy,
};
use crate::index::Place;
use crate::record::{Meta, StartMeta};

/// Bytes read at a time.
const CHUNK: usize = 4 << 20;

/// Why a log could not be read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error("reading {file}")]
    Io {
        file: String,
        #[source]
        source: io::Error,
    },
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

/// A file seen through a chunk of it.
struct Window<'a> {
    storage: &'a dyn Storage,
    file: &'a LogFile,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(storage: &'a dyn Storage, file: &'a LogFile) -> Self {
        Self {
            storage,
            file,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// The bytes from `offset`, at most `length` of them: fewer only at the end of the file.
    fn get(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError> {
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

    fn all(&mut self, range: std::ops::Range<u64>, byte: u8) -> Result<bool, ScanError> {
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

    fn header(&mut self, copy: u64) -> Result<Result<FileHeader, HeaderFault>, ScanError> {
        Ok(FileHeader::parse(self.get(copy, FILE_HEADER)?))
    }

    fn head(&mut self, offset: u64, header: &FileHeader) -> Result<Option<Head>, ScanError> {
        let length = Head::length(self.get(offset, HEAD)?);
        let Some(length) = length else {
            return Ok(None);
        };
        Ok(Head::parse(self.get(offset, length)?, header))
    }
}

/// The block in a record's body, as far as a scan reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) place: Place,
    pub(crate) header: Header,
    pub(crate) hash: BlockHash,
}

/// An intact record.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Index of its file among those scanned.
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) head: Head,
    pub(crate) meta: Meta,
    /// Where `meta` is, in its last copy.
    pub(crate) meta_place: Place,
    pub(crate) body: Option<Body>,
    /// What was damaged in it and is known all the same.
    pub(crate) repaired: Option<&'static str>,
}

/// Why there is no intact record where one should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    /// Behind the last intact record: index of the file, offset.
    pub(crate) tail: (usize, u64),
    /// What could not be read.
    pub(crate) suspect: (usize, u64),
    /// What it is, if its head is intact.
    pub(crate) meta: Option<Meta>,
    /// What it is, or claims to be.
    pub(crate) kind: Option<Kind>,
    /// What is wrong with it.
    pub(crate) what: &'static str,
    /// The file ends within it.
    pub(crate) short: bool,
    /// It is intact, but not what belongs there. No interrupted write explains that.
    pub(crate) intact: bool,
}

/// The next thing in the log.
pub(crate) enum Step {
    Record(Box<Found>),
    Break(Box<Break>),
    End,
}

/// What the rest of the log says about a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The first intact head behind it: index of the file, where its record begins.
    pub(crate) behind: Option<(usize, u64)>,
    /// A record behind it was written when the missing one was known to be flushed.
    pub(crate) flushed: bool,
    /// Bytes are missing in whole sectors, as a write leaves them that was cut short.
    pub(crate) hole: bool,
}

impl Evidence {
    /// Whether the break is where writing was interrupted: nothing behind it can have been answered for.
    ///
    /// Several writes may be under way when the power fails, and a disk finishes them in any order. So an intact
    /// record behind the break is no proof by itself that the missing one was ever flushed; that it says so is.
    pub(crate) fn torn(&self) -> bool {
        self.behind.is_none() || (self.hole && !self.flushed)
    }
}

/// Walks through the files.
pub(crate) struct Scanner<'a> {
    storage: &'a dyn Storage,
    files: &'a [LogFile],
    window: Option<Window<'a>>,
    header: Option<FileHeader>,
    /// The file being read; its next record is at `offset`.
    file: usize,
    offset: u64,
    /// Behind the last intact record.
    tail: (usize, u64),
    /// What the next record must say; nothing if any will do.
    expected: Option<(u64, u32)>,
    /// Of the first file, so of all.
    chain: Option<ChainId>,
    nonce: Nonce,
    /// Files whose header was read from its second copy.
    repaired: Option<&'static str>,
}

impl<'a> Scanner<'a> {
    /// At the beginning of the log.
    pub(crate) fn new(storage: &'a dyn Storage, files: &'a [LogFile]) -> Self {
        Self {
            storage,
            files,
            window: None,
            header: None,
            file: 0,
            offset: 0,
            tail: (0, 0),
            expected: Some((0, 0)),
            chain: None,
            nonce: Nonce([0; 16]),
            repaired: None,
        }
    }

    /// Number and link of the record that comes next.
    pub(crate) fn expected(&self) -> (u64, u32) {
        self.expected.unwrap_or_default()
    }

    /// The next record.
    pub(crate) fn step(&mut self) -> Result<Step, ScanError> {
        loop {
            let Some(file) = self.files.get(self.file) else {
                return Ok(Step::End);
            };
            if file.length > 0 {
                if self.header.is_none() && !self.open(file)? {
                    let short = file.length < FIRST_RECORD;
                    let fault = Fault::new("the file's header is damaged").short(short);
                    return Ok(self.broken((self.file, 0), fault));
                }
                let rest = self.offset..file.length;
                let window = self.window.as_mut().expect("opened above");
                if !window.all(rest, 0)? {
                    return self.record();
                }
            }
            self.file += 1;
            self.header = None;
        }
    }

    /// Goes on behind a break, wherever an intact head was found.
    pub(crate) fn resume(&mut self, (file, offset): (usize, u64)) -> Result<(), ScanError> {
        let Some(log) = self.files.get(file) else {
            return Ok(());
        };
        self.file = file;
        if !self.open(log)? {
            self.header = self.guesses(file)?.into_iter().next();
        }
        self.offset = offset;
        self.expected = None;
        Ok(())
    }

    /// Reads a file's header; false if both copies are bad.
    fn open(&mut self, file: &'a LogFile) -> Result<bool, ScanError> {
        let mut window = Window::new(self.storage, file);
        let copies = [window.header(0)?, window.header(SECTOR)?];
        let filled = window.all(FILE_HEADER as u64..SECTOR, FILLER)?;
        self.window = Some(window);
        self.offset = FIRST_RECORD;
        let header = match copies {
            [Ok(first), second] => {
                if second != Ok(first) || !filled {
                    self.repaired = Some("the second copy of the file's header was damaged");
                }
                first
            }
            [_, Ok(second)] => {
                self.repaired = Some("the first copy of the file's header was damaged");
                second
            }
            [Err(HeaderFault::Version(version)), _] | [_, Err(HeaderFault::Version(version))] => {
                return Err(ScanError::Version {
                    file: file.name.clone(),
                    version,
                });
            }
            _ => return Ok(false),
        };
        if file_name(header.number) != file.name {
            return Ok(false);
        }
        let expected = *self.chain.get_or_insert(header.chain);
        if header.chain != expected {
            let (file, found) = (file.name.clone(), header.chain);
            return Err(ScanError::Foreign {
                file,
                found,
                expected,
            });
        }
        self.header = Some(header);
        self.nonce = header.nonce;
        Ok(true)
    }

    fn record(&mut self) -> Result<Step, ScanError> {
        let at = (self.file, self.offset);
        let found = match self.read(self.offset)? {
            Ok(found) => found,
            Err(fault) => return Ok(self.broken(at, fault)),
        };
        if let Some((number, link)) = self.expected {
            if found.head.number > number && self.tail.0 != self.file {
                return Ok(self.broken(self.tail, Fault::new("records are missing")));
            }
            if found.head.number != number || found.head.link != link {
                let fault = Fault::out_of_place(found.meta);
                return Ok(self.broken(at, fault));
            }
        }
        let header = self.header.expect("a record was read under it");
        self.expected = Some((found.head.number + 1, found.head.link_for_next(&header)));
        self.offset = found.end;
        self.tail = (found.file, found.end);
        Ok(Step::Record(found))
    }

    fn broken(&self, suspect: (usize, u64), fault: Fault) -> Step {
        let Fault {
            meta,
            kind,
            what,
            short,
            intact,
        } = fault;
        Step::Break(Box::new(Break {
            tail: self.tail,
            suspect,
            meta,
            kind,
            what,
            short,
            intact,
        }))
    }

    /// Reads the record at `offset` of the open file.
    fn read(&mut self, offset: u64) -> Result<Result<Box<Found>, Fault>, ScanError> {
        let header = self.header.expect("the file is open");
        let window = self.window.as_mut().expect("the file is open");
        let mut heads = Heads::read(window, offset, &header)?;
        heads.repaired = heads.repaired.or(self.repaired.take());
        let Some(head) = heads.head else {
            let bytes = window.get(offset, HEAD)?;
            let fault = Fault::new("the record's head is damaged").short(bytes.len() < HEAD);
            return Ok(Err(Fault {
                kind: Kind::claimed(bytes),
                ..fault
            }));
        };
        let Ok(meta) = Meta::parse(head.kind, &head.meta) else {
            let fault = Fault::new("the record's head is malformed");
            return Ok(Err(Fault {
                kind: Some(head.kind),
                ..fault
            }));
        };
        let bytes = window.get(heads.body, head.body_length as usize)?;
        let Some(body) = body(header.number, heads.body, bytes, &head) else {
            let short = bytes.len() < head.body_length as usize;
            return Ok(Err(Fault::new("the record's block is damaged")
                .of(meta)
                .short(short)));
        };
        if body
            .as_ref()
            .is_some_and(|body| Some(body.hash) != meta.block())
        {
            return Ok(Err(Fault::new("the record's block is another one").of(meta)));
        }
        let meta_length = head.meta.len();
        Ok(Ok(Box::new(Found {
            file: self.file,
            offset,
            end: heads.body + u64::from(head.body_length),
            meta_place: place(header.number, heads.body - meta_length as u64, &head.meta),
            meta,
            body,
            head,
            repaired: heads.repaired,
        })))
    }

    /// What lies behind a break.
    pub(crate) fn evidence(&self, broken: &Break) -> Result<Evidence, ScanError> {
        let number = self.expected.map_or(0, |(number, _)| number);
        let (suspect, offset) = broken.suspect;
        if broken.intact {
            return Ok(Evidence {
                behind: Some(broken.suspect),
                flushed: true,
                hole: false,
            });
        }
        let mut evidence = Evidence {
            behind: None,
            flushed: false,
            hole: false,
        };
        for (index, file) in self.files.iter().enumerate().skip(suspect) {
            let from = if index == suspect { offset } else { 0 };
            for header in self.guesses(index)? {
                search(&mut Window::new(self.storage, file), from, |window, at| {
                    if let Some(head) = window.head(at, &header)?
                        && head.number > number
                    {
                        evidence
                            .behind
                            .get_or_insert((index, u64::from(head.offset)));
                        evidence.flushed |= head.flushed > number;
                    }
                    Ok(())
                })?;
            }
        }
        let Some(file) = self.files.get(suspect) else {
            return Ok(evidence);
        };
        let end = match evidence.behind {
            Some((index, at)) if index == suspect => at.max(offset),
            _ => file.length,
        };
        evidence.hole = broken.short || hole(&mut Window::new(self.storage, file), offset, end)?;
        Ok(evidence)
    }

    /// The headers a file may have had: its own, else one with the nonce of the file before it or of a start in it.
    fn guesses(&self, index: usize) -> Result<Vec<FileHeader>, ScanError> {
        let Some(file) = self.files.get(index) else {
            return Ok(Vec::new());
        };
        let mut window = Window::new(self.storage, file);
        for copy in [0, SECTOR] {
            if let Ok(header) = window.header(copy)? {
                return Ok(vec![header]);
            }
        }
        let chain = self.chain.unwrap_or(ChainId([0; 16]));
        let guess = |nonce| FileHeader {
            number: file.number,
            chain,
            nonce,
        };
        let mut guesses = vec![guess(self.nonce)];
        search(&mut window, 0, |window, at| {
            let length = Head::length(window.get(at, HEAD)?).unwrap_or(HEAD);
            let meta = window.get(at, length)?.get(HEAD..).unwrap_or_default();
            if let Ok(start) = StartMeta::from_bytes(meta) {
                let header = guess(start.nonce);
                if window.head(at, &header)?.is_some() {
                    guesses.push(header);
                }
            }
            Ok(())
        })?;
        Ok(guesses)
    }
}

/// Why a record cannot be read.
struct Fault {
    meta: Option<Meta>,
    kind: Option<Kind>,
    what: &'static str,
    short: bool,
    intact: bool,
}

impl Fault {
    fn new(what: &'static str) -> Self {
        Self {
            meta: None,
            kind: None,
            what,
            short: false,
            intact: false,
        }
    }

    fn out_of_place(meta: Meta) -> Self {
        Self {
            intact: true,
            ..Self::new("the record is out of place").of(meta)
        }
    }

    fn of(self, meta: Meta) -> Self {
        Self {
            kind: Some(meta.kind()),
            meta: Some(meta),
            ..self
        }
    }

    fn short(self, short: bool) -> Self {
        Self { short, ..self }
    }
}

/// The head of a record, from whichever copy is good.
struct Heads {
    head: Option<Head>,
    /// Where the body begins.
    body: u64,
    repaired: Option<&'static str>,
}

impl Heads {
    fn read(window: &mut Window<'_>, offset: u64, file: &FileHeader) -> Result<Self, ScanError> {
        let here = |head: &Head| u64::from(head.offset) == offset;
        let first = window.head(offset, file)?.filter(here);
        if let Some(head) = &first
            && !head.kind.doubled()
        {
            let body = offset + (HEAD + head.meta.len()) as u64;
            return Ok(Self {
                head: first,
                body,
                repaired: None,
            });
        }
        let at = second_copy(offset);
        let doubled = |head: &Head| here(head) && head.kind.doubled();
        let second = window.head(at, file)?.filter(doubled);
        let length = |head: &Head| (HEAD + head.meta.len()) as u64;
        let repaired = match (&first, &second) {
            (Some(first), Some(second)) if first == second => {
                let filled = window.all(offset + length(first)..at, FILLER)?;
                (!filled).then_some("bytes between the two copies of the head were damaged")
            }
            (Some(_), _) => Some("the second copy of the head was damaged"),
            (None, Some(_)) => Some("the first copy of the head was damaged"),
            (None, None) => None,
        };
        let head = first.or(second);
        let body = at + head.as_ref().map_or(0, length);
        Ok(Self {
            head,
            body,
            repaired,
        })
    }
}

/// The body of a record: nothing if it is damaged, `Some(None)` if there is none.
#[expect(clippy::option_option, reason = "damaged and absent differ")]
fn body(file: u32, offset: u64, bytes: &[u8], head: &Head) -> Option<Option<Body>> {
    if bytes.len() != head.body_length as usize || crc(&[bytes]) != head.body_crc {
        return None;
    }
    if bytes.is_empty() {
        return Some(None);
    }
    let header = Header::decode(&mut Bytes::new(bytes)).ok()?;
    let place = place(file, offset, bytes);
    Some(Some(Body {
        place,
        hash: header.hash(),
        header,
    }))
}

fn place(file: u32, offset: u64, bytes: &[u8]) -> Place {
    let narrow = |value: u64| u32::try_from(value).expect("a file is far shorter than 4 GiB");
    Place {
        file,
        offset: narrow(offset),
        length: narrow(bytes.len() as u64),
        crc: crc(&[bytes]),
    }
}

/// Calls `visit` wherever a head might begin.
fn search<'a>(
    window: &mut Window<'a>,
    from: u64,
    mut visit: impl FnMut(&mut Window<'a>, u64) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let overlap = RECORD_MAGIC.len() as u64 - 1;
    let mut at = from;
    while at < window.file.length {
        let next = next_sector(at + 1);
        if !window.all(at..next, 0)? {
            let length = usize::try_from(next + overlap - at).expect("a sector is small");
            let fours = window.get(at, length)?.windows(RECORD_MAGIC.len()).zip(at..);
            let hits = fours.filter(|(four, _)| *four == RECORD_MAGIC).map(|(_, at)| at);
            for hit in hits.collect::<Vec<u64>>() {
                visit(window, hit)?;
            }
        }
        at = next;
    }
    Ok(())
}

/// Whether a sector, or the part of one, between `from` and `end` holds nothing but zeros; also if nothing is there.
fn hole(window: &mut Window<'_>, from: u64, end: u64) -> Result<bool, ScanError> {
    let mut at = from;
    while at < end {
        let next = (at + 1).next_multiple_of(ATOM).min(end);
        if window.all(at..next, 0)? {
            return Ok(true);
        }
        at = next;
    }
    Ok(from >= window.file.length)
}

const _: () = assert!(HEAD as u64 + 202 <= DOUBLED_ROOM && META_MAX < CHUNK);
