//! Reads the records of a log one after the other.

use model::codec::Decode;
use model::roster::{DatedChange, changes_in};
use model::{BlockHash, ChainId, Header, Nonce, Reader as Bytes};

use crate::damage::{Rest, Spot, Verdict};
use crate::disk::Storage;
use crate::format::{
    DOUBLED_ROOM, FILE_MIN, FILLER, FIRST_RECORD, FileHeader, HEAD, Head, HeaderFault, Kind,
    Origin, SECTOR, crc, file_name, second_copy,
};
use crate::index::Place;
use crate::record::Meta;
use crate::window::{LogFile, ScanError, Window};

/// The block in a record's body, as far as a scan reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) place: Place,
    pub(crate) header: Header,
    pub(crate) hash: BlockHash,
    /// What stands in it about who belongs to the cluster.
    pub(crate) changes: Vec<DatedChange>,
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
    /// What that should be: where in the file, and its bytes.
    pub(crate) images: Vec<(u64, Vec<u8>)>,
}

/// Why there is no intact record where one should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    /// What could not be read: index of the file, offset.
    pub(crate) suspect: (usize, u64),
    /// What it is, if its head is intact.
    pub(crate) meta: Option<Meta>,
    /// What it is, or claims to be.
    pub(crate) kind: Option<Kind>,
    /// What is wrong with it.
    pub(crate) what: &'static str,
    /// The file ends within it.
    pub(crate) short: bool,
    /// It can be read, but is not what belongs there. No interrupted write explains that.
    pub(crate) intact: Option<Spot>,
}

/// The next thing in the log.
pub(crate) enum Step {
    Record(Box<Found>),
    Break(Box<Break>),
    End,
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
    /// What the next record must say: its number, and the link unless any will do.
    expected: (u64, Option<u32>),
    /// Of the first file, so of all.
    chain: Option<ChainId>,
    nonce: Nonce,
    /// Files whose header was read from its second copy.
    repaired: Option<&'static str>,
    /// What such a header should be, with its copies.
    image: Option<(u64, Vec<u8>)>,
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
            expected: (0, Some(0)),
            chain: None,
            nonce: Nonce([0; 16]),
            repaired: None,
            image: None,
        }
    }

    /// The chain that the first file names.
    pub(crate) fn chain(&self) -> Option<ChainId> {
        self.chain
    }

    /// Number and link of the record that comes next.
    pub(crate) fn expected(&self) -> (u64, u32) {
        (self.expected.0, self.expected.1.unwrap_or_default())
    }

    /// The next record.
    pub(crate) fn step(&mut self) -> Result<Step, ScanError> {
        loop {
            let Some(file) = self.files.get(self.file) else {
                return Ok(Step::End);
            };
            if file.length > 0 {
                if self.header.is_none() && !self.open(file)? {
                    let short = file.length < FILE_MIN;
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

    /// Goes on with the second file, which begins as this says, whatever came before.
    pub(crate) fn begin(&mut self, origin: &Origin) {
        self.file = 1;
        self.header = None;
        self.tail = (1, FIRST_RECORD);
        self.expected = (origin.number, Some(origin.link));
    }

    /// What a break means.
    pub(crate) fn judge(&self, broken: &Break) -> Result<Verdict, ScanError> {
        Rest {
            storage: self.storage,
            files: self.files,
            number: self.expected.0,
            link: self.expected.1,
            chain: self.chain.unwrap_or(ChainId([0; 16])),
            nonce: self.nonce,
        }
        .judge(broken)
    }

    /// Goes on behind a break, with the record whose head was found there.
    pub(crate) fn resume(&mut self, spot: Spot) -> Result<(), ScanError> {
        if let Some(file) = self.files.get(spot.file) {
            self.open(file)?;
        }
        self.file = spot.file;
        self.offset = spot.offset;
        self.header = Some(spot.header);
        self.nonce = spot.header.nonce;
        self.expected = (spot.number, None);
        Ok(())
    }

    /// Reads a file's header; false if both copies are bad.
    fn open(&mut self, file: &'a LogFile) -> Result<bool, ScanError> {
        let mut window = Window::new(self.storage, file);
        let copies = [window.header(0)?, window.header(SECTOR)?];
        let header = match copies {
            [Ok(first), second] => {
                let filled = window.all(first.length() as u64..SECTOR, FILLER)?;
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
        self.window = Some(window);
        self.offset = header.first_record();
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
        self.image = self.repaired.map(|_| (0, header.preamble()));
        Ok(true)
    }

    fn record(&mut self) -> Result<Step, ScanError> {
        let at = (self.file, self.offset);
        let found = match self.read(self.offset)? {
            Ok(found) => found,
            Err(fault) => return Ok(self.broken(at, fault)),
        };
        let (number, link) = self.expected;
        if found.head.number > number && self.tail.0 != self.file {
            return Ok(self.broken(self.tail, Fault::new("records are missing")));
        }
        if found.head.number != number || link.is_some_and(|link| link != found.head.link) {
            let spot = self.spot(&found);
            return Ok(self.broken(at, Fault::out_of_place(found.meta, spot)));
        }
        let header = self.header.expect("a record was read under it");
        let link = found.head.link_for_next(&header);
        self.expected = (found.head.number.saturating_add(1), Some(link));
        self.offset = found.end;
        self.tail = (found.file, found.end);
        Ok(Step::Record(found))
    }

    fn broken(&self, suspect: (usize, u64), fault: Fault) -> Step {
        Step::Break(Box::new(Break {
            suspect,
            meta: fault.meta,
            kind: fault.kind,
            what: fault.what,
            short: fault.short,
            intact: fault.intact,
        }))
    }

    fn spot(&self, found: &Found) -> Spot {
        Spot {
            file: found.file,
            offset: found.offset,
            number: found.head.number,
            header: self.header.expect("the file is open"),
        }
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
        let own = heads.image.map(|image| (offset, image));
        Ok(Ok(Box::new(Found {
            file: self.file,
            offset,
            end: heads.body + u64::from(head.body_length),
            meta_place: place(
                header.number,
                heads.body - meta_length as u64,
                meta_length,
                crc(&[&head.meta]),
            ),
            meta,
            body,
            head,
            repaired: heads.repaired,
            images: self.image.take().into_iter().chain(own).collect(),
        })))
    }
}

/// Why a record cannot be read.
struct Fault {
    meta: Option<Meta>,
    kind: Option<Kind>,
    what: &'static str,
    short: bool,
    intact: Option<Spot>,
}

impl Fault {
    fn new(what: &'static str) -> Self {
        Self {
            meta: None,
            kind: None,
            what,
            short: false,
            intact: None,
        }
    }

    fn out_of_place(meta: Meta, spot: Spot) -> Self {
        Self {
            intact: Some(spot),
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
    /// The bytes of both copies as they should be, if they are not.
    image: Option<Vec<u8>>,
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
                image: None,
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
        let damaged = head.as_ref().filter(|_| repaired.is_some());
        Ok(Self {
            image: damaged.map(|head| twice(head, file, at - offset)),
            head,
            body,
            repaired,
        })
    }
}

/// Both copies of a head, the second this far behind the first.
fn twice(head: &Head, file: &FileHeader, apart: u64) -> Vec<u8> {
    let copy = head.to_bytes(file);
    let mut out = copy.clone();
    out.resize(usize::try_from(apart).expect("two sectors at most"), FILLER);
    out.extend_from_slice(&copy);
    out
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
    let place = place(file, offset, bytes.len(), head.body_crc);
    Some(Some(Body {
        place,
        hash: header.hash(),
        header,
        changes: changes_in(bytes).ok()?,
    }))
}

fn place(file: u32, offset: u64, length: usize, crc: u32) -> Place {
    let narrow = |value: u64| u32::try_from(value).expect("longer files are refused");
    Place {
        file,
        offset: narrow(offset),
        length: narrow(length as u64),
        crc,
    }
}

const _: () = assert!(HEAD as u64 + 202 <= DOUBLED_ROOM);
