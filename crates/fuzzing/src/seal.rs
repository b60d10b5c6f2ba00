//! Makes the checksums of a folder right, so that what they protect is reached.
//!
//! An honest checksum stops a fuzzer at the first byte it changes. Behind it stand the questions that somebody with
//! access to the disk can ask: records that are intact and say absurd things. Offsets are those of
//! `docs/ledger-format.md`; sharing them with the ledger would share its mistakes.

use crate::folder::Files;
use crate::image::file_number;

const MAGIC: &[u8] = b"STRL";
const HEADER: usize = 64;
const HEADER_V2: usize = 128;
const VERSION: usize = 8;
const NONCE: std::ops::Range<usize> = 32..48;
const SECTOR: usize = 4096;
const DOUBLED_ROOM: usize = 256;
const HEAD: usize = 48;
const KIND: usize = 4;
const OFFSET: usize = 24;
const LINK: usize = 28;
const META_LENGTH: usize = 32;
const BODY_LENGTH: usize = 36;
const BODY_CRC: usize = 40;
const CRC: usize = 44;

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_be_bytes()
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*word)).ok()
}

fn put(bytes: &mut [u8], at: usize, word: [u8; 4]) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&word);
    }
}

/// Every checksum and every link of every file.
pub(crate) fn seal(files: &mut Files) {
    let mut link = [0; 4];
    for (name, bytes) in files {
        let Some(number) = file_number(name) else {
            continue;
        };
        for copy in [0, SECTOR] {
            let second = word(bytes, copy + VERSION) == Some(2);
            for length in [HEADER, HEADER_V2]
                .into_iter()
                .take(1 + usize::from(second))
            {
                let fields = bytes.get(copy..copy + length - 4);
                if let Some(sum) = fields.map(|fields| crc(&[fields])) {
                    put(bytes, copy + length - 4, sum);
                }
            }
        }
        let nonce = bytes.get(NONCE).unwrap_or_default().to_vec();
        let mut first = None;
        for at in heads(bytes) {
            let copied = first.is_some_and(|first| word(bytes, at + OFFSET) == Some(first));
            if !copied {
                put(bytes, at + LINK, link);
                first = Some(at);
            } else if let Some(first) = first {
                copy_word(bytes, first + LINK, at + LINK);
            }
            link = seal_head(bytes, at, number, &nonce).unwrap_or(link);
        }
    }
}

fn heads(bytes: &[u8]) -> Vec<usize> {
    let fours = bytes.windows(MAGIC.len()).enumerate();
    let hits = fours.filter(|(_, four)| *four == MAGIC);
    hits.map(|(at, _)| at).collect()
}

fn copy_word(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(word) = word(bytes, from).and_then(|word| u32::try_from(word).ok()) {
        put(bytes, to, word.to_be_bytes());
    }
}

/// Seals the head at `at` and gives the checksum that the next one repeats.
fn seal_head(bytes: &mut [u8], at: usize, number: u32, nonce: &[u8]) -> Option<[u8; 4]> {
    let meta = word(bytes, at + META_LENGTH)?;
    let doubled = matches!(bytes.get(at + KIND)?, 1 | 2);
    let last_copy = if doubled {
        let offset = word(bytes, at + OFFSET)?;
        offset.checked_add(DOUBLED_ROOM)?.next_multiple_of(SECTOR)
    } else {
        at
    };
    let body = last_copy.checked_add(HEAD)?.checked_add(meta)?;
    let body_end = body.checked_add(word(bytes, at + BODY_LENGTH)?)?;
    if let Some(sum) = bytes.get(body..body_end).map(|body| crc(&[body])) {
        put(bytes, at + BODY_CRC, sum);
    }
    let fields = bytes.get(at..at + CRC)?;
    let meta = bytes.get(at + HEAD..at.checked_add(HEAD)?.checked_add(meta)?)?;
    let sum = crc(&[nonce, &number.to_be_bytes(), fields, meta]);
    put(bytes, at + CRC, sum);
    Some(sum)
}
