//! The directories of an EXIF block, which is a small TIFF file.
//!
//! A block holds directories of tagged values: the main one points at the EXIF and GPS ones. Everything in it is an
//! offset that a stranger chose. So only those two pointers are followed, once each; only the tags in `WANTED` are
//! read; each is small. Chains of further directories, maker notes and previews are never touched, so nothing can
//! loop, overlap or grow.

use std::collections::BTreeMap;

use crate::bytes::Endian;
use crate::notes::Notes;
use crate::source::{Source, Window};

/// Entries looked at in one directory. Cameras write a few dozen.
pub(crate) const ENTRIES_MAX: u16 = 512;
/// The largest wanted value, in bytes. Longer texts are cut, longer lists are cut.
const VALUE_BYTES_MAX: u64 = 4096;
/// The size of a directory entry.
pub(crate) const ENTRY_BYTES: usize = 12;

/// Which directory of a block a tag stands in. The same number means different things in different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Directory {
    /// The picture itself.
    Main,
    /// How it was taken.
    Exif,
    /// Where it was taken.
    Gps,
}

/// A tag: its directory and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(pub(crate) Directory, pub(crate) u16);

macro_rules! tags {
    ($($name:ident = $directory:ident $number:literal,)*) => {
        impl Tag {
            $(pub(crate) const $name: Self = Self(Directory::$directory, $number);)*
        }

        /// The tags that are read; all others are passed over.
        const WANTED: &[Tag] = &[$(Tag::$name),*];
    };
}

tags! {
    SUBFILE_TYPE = Main 0x00fe,
    DESCRIPTION = Main 0x010e,
    MAKE = Main 0x010f,
    MODEL = Main 0x0110,
    ORIENTATION = Main 0x0112,
    RATING = Main 0x4746,
    XP_TITLE = Main 0x9c9b,
    XP_COMMENT = Main 0x9c9c,
    XP_KEYWORDS = Main 0x9c9e,
    EXIF_POINTER = Main 0x8769,
    GPS_POINTER = Main 0x8825,
    DNG_VERSION = Main 0xc612,
    EXPOSURE_TIME = Exif 0x829a,
    F_NUMBER = Exif 0x829d,
    ISO = Exif 0x8827,
    ISO_SPEED = Exif 0x8833,
    ORIGINAL = Exif 0x9003,
    DIGITIZED = Exif 0x9004,
    OFFSET_ORIGINAL = Exif 0x9011,
    OFFSET_DIGITIZED = Exif 0x9012,
    FOCAL_LENGTH = Exif 0x920a,
    SUBSECOND_ORIGINAL = Exif 0x9291,
    SUBSECOND_DIGITIZED = Exif 0x9292,
    LENS_MODEL = Exif 0xa434,
    LATITUDE_REF = Gps 0x0001,
    LATITUDE = Gps 0x0002,
    LONGITUDE_REF = Gps 0x0003,
    LONGITUDE = Gps 0x0004,
    ALTITUDE_REF = Gps 0x0005,
    ALTITUDE = Gps 0x0006,
}

/// A value as it stands in the block.
#[derive(Debug, Clone, PartialEq)]
struct Value {
    format: u16,
    bytes: Vec<u8>,
    endian: Endian,
}

impl Value {
    /// Its numbers. A fraction with a zero denominator is NaN or infinite, as the division says.
    fn numbers(&self) -> Vec<f64> {
        let size = bytes_per_component(self.format).unwrap_or(1);
        self.bytes
            .chunks_exact(size)
            .filter_map(|chunk| self.number(chunk))
            .collect()
    }

    fn number(&self, chunk: &[u8]) -> Option<f64> {
        let word = |at| self.endian.u32(chunk, at);
        Some(match self.format {
            1 | 7 => f64::from(*chunk.first()?),
            3 => f64::from(self.endian.u16(chunk, 0)?),
            4 => f64::from(word(0)?),
            5 => f64::from(word(0)?) / f64::from(word(4)?),
            6 => f64::from(chunk.first()?.cast_signed()),
            8 => f64::from(self.endian.u16(chunk, 0)?.cast_signed()),
            9 => f64::from(word(0)?.cast_signed()),
            10 => f64::from(word(0)?.cast_signed()) / f64::from(word(4)?.cast_signed()),
            11 => f64::from(f32::from_bits(word(0)?)),
            12 => f64::from_bits(self.endian.u64(chunk, 0)?),
            _ => return None,
        })
    }

    /// Its text up to the first zero. Bytes that are not UTF-8 are read as Latin-1, which is what old cameras wrote.
    fn text(&self) -> String {
        let text = self
            .bytes
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default();
        match str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            Err(_) => text.iter().copied().map(char::from).collect(),
        }
    }
}

pub(crate) fn bytes_per_component(format: u16) -> Option<usize> {
    Some(match format {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 => 4,
        5 | 10 | 12 => 8,
        _ => return None,
    })
}

/// The wanted values of one or more blocks. The first value of a tag stays.
#[derive(Debug, Default)]
pub(crate) struct Tags(BTreeMap<Tag, Value>);

impl Tags {
    /// Reads the block in `window` whose main directory is taken for `directory`: raw files of one maker keep the
    /// EXIF and GPS directories in blocks of their own.
    pub(crate) fn read(
        &mut self,
        source: &mut Source,
        window: Window,
        directory: Directory,
        notes: &mut Notes,
    ) {
        let Some((endian, main)) = read_header(source, window) else {
            notes.add("the EXIF block is broken: it has no TIFF header");
            return;
        };
        let mut block = Block {
            source,
            window,
            endian,
        };
        if !block.read_directory(main, directory, self) {
            notes.add("the EXIF block is broken: its first directory is cut short");
        }
        if directory != Directory::Main {
            return;
        }
        for (pointer, directory) in [
            (Tag::EXIF_POINTER, Directory::Exif),
            (Tag::GPS_POINTER, Directory::Gps),
        ] {
            let Some(at) = self.whole_number(pointer) else {
                continue;
            };
            if !block.read_directory(at, directory, self) {
                notes.add(format!(
                    "the EXIF block is broken: its {directory:?} directory is cut short"
                ));
            }
        }
    }

    /// All numbers of a tag.
    pub(crate) fn numbers(&self, tag: Tag) -> Option<Vec<f64>> {
        self.0.get(&tag).map(Value::numbers)
    }

    /// The first number of a tag.
    pub(crate) fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag)?.first().copied()
    }

    /// The first number of a tag, if it is whole and not negative.
    pub(crate) fn whole_number(&self, tag: Tag) -> Option<u32> {
        let number = self.number(tag)?;
        let whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
        whole.then_some(number as u32)
    }

    /// The text of a tag.
    pub(crate) fn text(&self, tag: Tag) -> Option<String> {
        self.0.get(&tag).map(Value::text)
    }

    /// The text of one of the tags that Windows writes in UTF-16, little end first, whatever the block says.
    pub(crate) fn utf16(&self, tag: Tag) -> Option<String> {
        let bytes = &self.0.get(&tag)?.bytes;
        let units = bytes
            .chunks_exact(2)
            .filter_map(|pair| Endian::Little.u16(pair, 0));
        let text: String = char::decode_utf16(units.take_while(|&unit| unit != 0))
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// True if the tag is there at all.
    pub(crate) fn has(&self, tag: Tag) -> bool {
        self.0.contains_key(&tag)
    }
}

struct Block<'a> {
    source: &'a mut Source,
    window: Window,
    endian: Endian,
}

impl Block<'_> {
    /// Reads the wanted values of the directory at `at`. False if the directory is not all there; what is there
    /// is taken.
    fn read_directory(&mut self, at: u32, directory: Directory, tags: &mut Tags) -> bool {
        let at = u64::from(at);
        let Some(count) = self
            .source
            .read(self.window, at, 2)
            .and_then(|bytes| self.endian.u16(&bytes, 0))
        else {
            return false;
        };
        let wanted_bytes = usize::from(count.min(ENTRIES_MAX)) * ENTRY_BYTES;
        let entries = self
            .source
            .read_up_to(self.window, at + 2, wanted_bytes)
            .unwrap_or_default();
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            self.read_entry(entry, directory, tags);
        }
        entries.len() == wanted_bytes
    }

    fn read_entry(&mut self, entry: &[u8], directory: Directory, tags: &mut Tags) -> Option<()> {
        let tag = Tag(directory, self.endian.u16(entry, 0)?);
        if !WANTED.contains(&tag) || tags.has(tag) {
            return None;
        }
        let format = self.endian.u16(entry, 2)?;
        let components = u64::from(self.endian.u32(entry, 4)?);
        let size = u64::try_from(bytes_per_component(format)?).ok()? * components;
        let bytes = if size <= 4 {
            entry.get(8..8 + usize::try_from(size).ok()?)?.to_vec()
        } else {
            let at = u64::from(self.endian.u32(entry, 8)?);
            let len = usize::try_from(size.min(VALUE_BYTES_MAX)).ok()?;
            self.source.read(self.window, at, len)?
        };
        tags.0.insert(
            tag,
            Value {
                format,
                bytes,
                endian: self.endian,
            },
        );
        Some(())
    }
}

/// The byte order and where the main directory lies. Some raw formats replace the number 42 by one of their own.
pub(crate) fn read_header(source: &mut Source, window: Window) -> Option<(Endian, u32)> {
    let header = source.read(window, 0, 8)?;
    let endian = match header.get(..2)? {
        b"II" => Endian::Little,
        b"MM" => Endian::Big,
        _ => return None,
    };
    let magic = endian.u16(&header, 2)?;
    let known = [42, 0x55, 0x4f52, 0x5352].contains(&magic);
    Some((endian, endian.u32(&header, 4)?)).filter(|_| known)
}
