//! What the index holds, as bytes to go on from: what a node that stops leaves behind, so that its next start need not read a
//! million rows.
//!
//! A picture belongs to one catalogue at one height ([`Mark`]). Every part of it carries its digest, and whatever is wrong
//! with it, from its version to its last byte, means that there is none: the rows say it all again.

use model::codec::{Decode, DecodeError, Encode, Reader};
use model::{BlockHash, Digest, Height, LibraryId, Timestamp, codec_struct};
use rusqlite::{Connection, OptionalExtension as _};

use super::library::{Library, Texts};
use super::memory::Memory;
use crate::{row, schema};

/// Changes with every change of what follows it.
const FORMAT: &[u8; 16] = b"starling/index/1";

/// Which state of the catalogue a picture shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    version: i64,
    pub(crate) height: Height,
    hash: BlockHash,
    pub(crate) time: Timestamp,
}

codec_struct!(Mark {
    version,
    height,
    hash,
    time
});

impl Mark {
    /// The state that the tables are in; none before genesis.
    pub(crate) fn of(db: &Connection) -> rusqlite::Result<Option<Self>> {
        let mut applied = db.prepare_cached("SELECT height, hash, time FROM applied")?;
        let mark = applied.query_row([], |row| {
            Ok(Self {
                version: schema::VERSION,
                height: Height(row::number(row, 0)?),
                hash: BlockHash(row.get(1)?),
                time: Timestamp(row::number(row, 2)?),
            })
        });
        mark.optional()
    }
}

/// A part behind the head.
#[derive(Debug)]
struct Section {
    bytes: u64,
    digest: Digest,
}

codec_struct!(Section { bytes, digest });

impl Section {
    fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            digest: Digest::of(&[bytes]),
        }
    }

    fn take<'a>(&self, input: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.bytes).map_err(|_| DecodeError::Truncated)?;
        input.take(length)
    }

    /// What the bytes say, if they are the ones that were meant.
    fn open<T: Decode>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        if Digest::of(&[bytes]) == self.digest {
            T::from_bytes(bytes)
        } else {
            Err(DecodeError::Truncated)
        }
    }
}

/// What a picture begins with.
#[derive(Debug)]
struct Head {
    mark: Mark,
    libraries: Vec<Heading>,
}

codec_struct!(Head { mark, libraries });

/// A library with its two parts.
#[derive(Debug)]
struct Heading {
    id: LibraryId,
    bound: Section,
    free: Section,
}

codec_struct!(Heading { id, bound, free });

/// The picture of an index that is in the state of the mark.
pub(crate) fn taken(memory: &Memory, mark: Mark) -> Vec<u8> {
    let mut parts = Vec::new();
    let mut libraries = Vec::new();
    for (id, library) in &memory.libraries {
        let (bound, free) = (library.to_bytes(), library.texts.to_bytes());
        libraries.push(Heading {
            id: id.clone(),
            bound: Section::of(&bound),
            free: Section::of(&free),
        });
        parts.extend([bound, free]);
    }
    let head = Head { mark, libraries }.to_bytes();
    let mut picture = FORMAT.to_vec();
    Section::of(&head).encode(&mut picture);
    picture.extend(head);
    parts.iter().for_each(|part| picture.extend(part));
    picture
}

/// What a picture shows, if it shows the state of this mark.
pub(crate) fn read(picture: &[u8], mark: &Mark) -> Option<Memory> {
    let mut input = Reader::new(picture);
    let mut read = || -> Result<Option<Memory>, DecodeError> {
        if input.array()? != *FORMAT {
            return Ok(None);
        }
        let head = Section::decode(&mut input)?;
        let head: Head = head.open(head.take(&mut input)?)?;
        if head.mark != *mark {
            return Ok(None);
        }
        let mut memory = Memory::at(mark.height, mark.time);
        for heading in head.libraries {
            let bound = heading.bound.take(&mut input)?;
            let free = heading.free.take(&mut input)?;
            let library = heading.open(bound, free)?;
            memory.libraries.insert(heading.id, library);
        }
        input.finish()?;
        Ok(Some(memory))
    };
    read().ok().flatten()
}

impl Heading {
    /// Reads both parts at once.
    fn open(&self, bound: &[u8], free: &[u8]) -> Result<Library, DecodeError> {
        std::thread::scope(|scope| {
            let texts = scope.spawn(|| self.free.open::<Texts>(free));
            let library = self.bound.open::<Library>(bound);
            let texts = texts.join().expect("reading a picture does not panic")?;
            let mut library = library?;
            library.texts.take_free(texts);
            Ok(library)
        })
    }
}
