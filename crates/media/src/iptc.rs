//! IPTC-IIM: what press agencies wrote before XMP, and what many programs still write beside it.
//!
//! It lies in a Photoshop resource (`8BIM`, number 0x0404) as a flat list of numbered texts, without any word on their
//! encoding in old files and with one in new ones.

use model::file::TakenAt;

use crate::bytes::Endian::Big;
use crate::described::{Location, Moment, Origin, Words};
use crate::notes::{Notes, clean};
use crate::when;

/// The largest block read, in bytes.
pub(crate) const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Resources and datasets looked at.
const ENTRIES_MAX: usize = 2048;
/// The Photoshop resource that holds IPTC.
const RESOURCE: u16 = 0x0404;
/// How a block says that its texts are UTF-8.
const UTF8: &[u8] = b"\x1b%G";

/// A dataset: its record and number.
type Number = (u8, u8);

/// The name of the work.
const TITLE: Number = (2, 5);
/// What is to be seen.
const CAPTION: Number = (2, 120);
/// One per dataset.
const KEYWORD: Number = (2, 25);
/// The day it was taken.
const DATE: Number = (2, 55);
/// The time of that day.
const TIME: Number = (2, 60);
/// A place in a city.
const SUBLOCATION: Number = (2, 92);
/// The city.
const CITY: Number = (2, 90);
/// The state or province.
const STATE: Number = (2, 95);
/// The country.
const COUNTRY: Number = (2, 101);

const CHARSET: Number = (1, 90);

/// The texts of a block.
#[derive(Debug, Default)]
struct Texts(Vec<(Number, String)>);

impl Texts {
    /// Reads a block, as far as it can be read.
    fn read(block: &[u8]) -> Self {
        let datasets = datasets(block);
        let utf8 = datasets
            .iter()
            .any(|&(number, bytes)| number == CHARSET && bytes == UTF8);
        let texts = datasets
            .into_iter()
            .filter(|((record, _), _)| *record == 2)
            .map(|(number, bytes)| (number, text(bytes, utf8)));
        Self(texts.filter(|(_, text)| !text.is_empty()).collect())
    }

    /// The texts with that number.
    fn all(&self, number: Number) -> impl Iterator<Item = &str> {
        let wanted = self.0.iter().filter(move |(found, _)| *found == number);
        wanted.map(|(_, text)| text.as_str())
    }

    /// The first text with that number.
    fn first(&self, number: Number) -> Option<&str> {
        self.all(number).next()
    }
}

/// Reads what people and programs wrote.
pub(crate) fn words(block: &[u8], notes: &mut Notes) -> Words {
    let texts = Texts::read(block);
    let text = |number| texts.first(number).map(str::to_owned);
    Words {
        title: text(TITLE),
        description: text(CAPTION),
        keywords: texts.all(KEYWORD).map(str::to_owned).collect(),
        location: Location {
            sublocation: text(SUBLOCATION),
            city: text(CITY),
            state: text(STATE),
            country: text(COUNTRY),
        },
        times: taken_at(&texts, notes).into_iter().collect(),
        ..Words::default()
    }
}

fn taken_at(texts: &Texts, notes: &mut Notes) -> Option<(Moment, TakenAt)> {
    let date = texts.first(DATE)?;
    let Some((local, offset_min)) = when::iptc_time(date, texts.first(TIME)) else {
        notes.add(format!(
            "IPTC time dropped: {:?} is not a date a picture can have",
            clean(date, 30)
        ));
        return None;
    };
    let taken = TakenAt {
        local,
        offset_min,
        source: Origin::Iptc.source(),
    };
    Some((Moment::Exposure, taken))
}

/// Finds the IPTC block among Photoshop's resources.
pub(crate) fn in_resources(resources: &[u8]) -> Option<&[u8]> {
    let mut rest = resources;
    for _ in 0..ENTRIES_MAX {
        let number = Big.u16(rest.strip_prefix(b"8BIM")?, 0)?;
        // A name of up to 255 letters, and its length; together an even number of bytes.
        let name = 1 + usize::from(*rest.get(6)?);
        let at = 6 + name.next_multiple_of(2);
        let size = usize::try_from(Big.u32(rest, at)?).ok()?;
        let start = at + 4;
        let end = start.checked_add(size)?;
        if number == RESOURCE {
            // Cut off at the end of a segment, it is still worth reading.
            return rest.get(start..end.min(rest.len()));
        }
        rest = rest.get(end.checked_next_multiple_of(2)?..)?;
    }
    None
}

fn datasets(mut rest: &[u8]) -> Vec<(Number, &[u8])> {
    let mut found = Vec::new();
    while let Some((number, bytes, after)) = dataset(rest) {
        found.push((number, bytes));
        rest = after;
        if found.len() == ENTRIES_MAX {
            break;
        }
    }
    found
}

fn dataset(rest: &[u8]) -> Option<(Number, &[u8], &[u8])> {
    let &[0x1c, record, number] = rest.get(..3)? else {
        return None;
    };
    // A length beyond 32,767 has another form, for pictures in the block; no text needs it.
    let size = usize::from(Big.u16(rest, 3)?);
    let bytes = rest.get(5..5 + size)?;
    Some(((record, number), bytes, rest.get(5 + size..)?))
}

/// What does not say that it is UTF-8 often is; the rest is read as Latin-1.
fn text(bytes: &[u8], utf8: bool) -> String {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) if utf8 => String::from_utf8_lossy(bytes).into_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset((record, number): Number, bytes: &[u8]) -> Vec<u8> {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[0x1c, record, number][..], &len, bytes].concat()
    }

    #[test]
    fn texts_are_read_in_both_encodings() {
        let old = [dataset(KEYWORD, b"M\xfcnchen"), dataset(KEYWORD, b"b\0")].concat();
        let texts = Texts::read(&old);
        assert_eq!(texts.all(KEYWORD).collect::<Vec<_>>(), ["München", "b"]);
        let new = [dataset(CHARSET, UTF8), dataset(CITY, "München".as_bytes())].concat();
        assert_eq!(Texts::read(&new).first(CITY), Some("München"));
    }

    #[test]
    fn the_block_is_found_among_other_resources() {
        let block = dataset(CAPTION, b"hello");
        let resource = |number: u16, name: &[u8], body: &[u8]| {
            let mut bytes = [b"8BIM", &number.to_be_bytes()[..], name].concat();
            bytes.extend(u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
            bytes.extend(body);
            bytes.extend(vec![0; body.len() % 2]);
            bytes
        };
        let all = [
            resource(0x03ed, b"\0\0", b"odd"),
            resource(RESOURCE, b"\x03abc", &block),
        ]
        .concat();
        assert_eq!(in_resources(&all), Some(&block[..]));
        for len in 0..all.len() {
            let cut = all.get(..len).unwrap_or_default();
            assert!(Texts::read(in_resources(cut).unwrap_or_default()).0.len() <= 1);
        }
    }

    #[test]
    fn lengths_beyond_the_block_end_the_reading() {
        let whole = dataset(TITLE, b"a");
        let beyond = [&whole[..], b"\x1c\x02\x05\xff\xffrest"].concat();
        assert_eq!(Texts::read(&beyond).0.len(), 1);
        assert_eq!(
            in_resources(b"8BIM\x04\x04\0\0\xff\xff\xff\xffabc"),
            Some(&b"abc"[..])
        );
    }
}
