//! Judges what cannot be read: an end that was never finished, or the loss of something that was.
//!
//! Several writes may be under way when the power fails, and a disk finishes them in any order. So an intact record
//! behind a break does not prove by itself that the missing one was ever flushed; a record that says so does, and every
//! record says how far the log was flushed when it was written.

use model::codec::Decode;
use model::{ChainId, Nonce};

use crate::disk::Storage;
use crate::format::{ATOM, FileHeader, HEAD, Head, Kind, SECTOR};
use crate::record::StartMeta;
use crate::scan::Break;
use crate::window::{LogFile, ScanError, Window};

/// What a break in the log means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Writing was interrupted here; nobody was ever told of anything behind it.
    Unfinished,
    /// An incarnation ended here, and the next one, which begins at the spot, found more in the page cache than was
    /// ever flushed. Its start repeats the vote, so only decided blocks may be missing, which others have.
    Superseded(Spot),
    /// Nothing is lost: the record that seemed to be missing is the first of a later file. What cannot be read are bytes
    /// behind the last record of its file.
    Stray(Spot),
    /// Something flushed is lost. The spot is the first intact head behind it.
    Damaged(Option<Spot>),
}

/// Where an intact head was found behind a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Index of the file.
    pub(crate) file: usize,
    /// Where its record begins.
    pub(crate) offset: u64,
    /// Its number.
    pub(crate) number: u64,
    /// The file's header, or what it must have been.
    pub(crate) header: FileHeader,
}

/// A log from a break on.
pub(crate) struct Rest<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) files: &'a [LogFile],
    /// The number of the record that is missing.
    pub(crate) number: u64,
    /// What it must say of the record before it, if that is known.
    pub(crate) link: Option<u32>,
    pub(crate) chain: ChainId,
    /// Of the last incarnation before the break.
    pub(crate) nonce: Nonce,
}

/// The intact heads behind a break, up to the first start.
#[derive(Default)]
struct Behind {
    first: Option<Spot>,
    start: Option<Spot>,
    /// The very record that is missing, in a later file.
    stray: Option<Spot>,
    /// One of them was written when the missing record was known to be flushed.
    flushed: bool,
}

impl Rest<'_> {
    /// What the break means.
    pub(crate) fn judge(&self, broken: &Break) -> Result<Verdict, ScanError> {
        if broken.intact.is_some() {
            return Ok(Verdict::Damaged(broken.intact));
        }
        let behind = self.behind(broken.suspect)?;
        if let Some(next) = behind.stray {
            return Ok(Verdict::Stray(next));
        }
        Ok(match (behind.first, behind.start) {
            (None, _) => Verdict::Unfinished,
            (first, _) if behind.flushed => Verdict::Damaged(first),
            (_, Some(start)) => Verdict::Superseded(start),
            (Some(first), None) if self.hole(broken, first)? => Verdict::Unfinished,
            (first, None) => Verdict::Damaged(first),
        })
    }

    fn behind(&self, (suspect, offset): (usize, u64)) -> Result<Behind, ScanError> {
        let mut behind = Behind::default();
        for (index, file) in self.files.iter().enumerate().skip(suspect) {
            let from = if index == suspect { offset } else { 0 };
            let mut window = Window::new(self.storage, file);
            for header in self.headers(file)? {
                window.search(from, |window, at| {
                    let head = window.head(at, &header)?;
                    // A head speaks for the place it is at. One that names another would lead a reader back to where
                    // it came from.
                    let head = head.filter(|head| head.is_at(at) && u64::from(head.offset) >= from);
                    if let (Some(head), None) = (head, behind.start) {
                        if index > suspect && self.is_missing(&head) {
                            behind.stray.get_or_insert(spot(index, &head, header));
                        }
                        if head.number > self.number {
                            behind.take(index, &head, header, self.number);
                        }
                    }
                    Ok(())
                })?;
            }
            if behind.start.is_some() {
                break;
            }
        }
        Ok(behind)
    }

    /// Whether this is the record that comes behind the last one read. Without a link nobody can tell.
    fn is_missing(&self, head: &Head) -> bool {
        head.number == self.number && self.link == Some(head.link)
    }

    /// The headers a file may have had: its own, else one with the nonce of the file before it or of a start in it.
    fn headers(&self, file: &LogFile) -> Result<Vec<FileHeader>, ScanError> {
        let mut window = Window::new(self.storage, file);
        for copy in [0, SECTOR] {
            if let Ok(header) = window.header(copy)? {
                return Ok(vec![header]);
            }
        }
        let guess = |nonce| FileHeader {
            number: file.number,
            chain: self.chain,
            nonce,
            origin: None,
        };
        let mut guesses = vec![guess(self.nonce)];
        window.search(0, |window, at| {
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

    /// Whether bytes are missing between the break and the next intact record as an interrupted write leaves them: the
    /// file is too short, or a sector, or the part of one, was never written.
    fn hole(&self, broken: &Break, next: Spot) -> Result<bool, ScanError> {
        let (suspect, offset) = broken.suspect;
        let Some(file) = self.files.get(suspect) else {
            return Ok(false);
        };
        if broken.short || offset >= file.length {
            return Ok(true);
        }
        let end = if next.file == suspect {
            next.offset
        } else {
            file.length
        };
        let mut window = Window::new(self.storage, file);
        let mut at = offset;
        while at < end {
            let sector_end = (at + 1).next_multiple_of(ATOM).min(end);
            if window.all(at..sector_end, 0)? {
                return Ok(true);
            }
            at = sector_end;
        }
        Ok(false)
    }
}

impl Behind {
    fn take(&mut self, file: usize, head: &Head, header: FileHeader, missing: u64) {
        let spot = spot(file, head, header);
        self.first.get_or_insert(spot);
        self.flushed |= head.flushed > missing;
        if head.kind == Kind::Start {
            self.start = Some(spot);
        }
    }
}

fn spot(file: usize, head: &Head, header: FileHeader) -> Spot {
    Spot {
        file,
        offset: head.offset.into(),
        number: head.number,
        header,
    }
}
