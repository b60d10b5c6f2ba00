//! A folder as a few bytes that a fuzzer can change one by one.
//!
//! Log files are mostly filler: a record of two hundred bytes takes two sectors. An image is a list of instructions,
//! so that nearly every bit of it matters: `0 n` begins the file of number n, `1 length(16) bytes` appends bytes,
//! `2 byte length(16)` appends a run of one byte, and any other instruction is that of its value modulo 3. Every input
//! is an image of something; what is cut off at its end is left out.

use crate::folder::Files;

/// No file grows beyond this, so that a few instructions cannot make a slow input.
const FILE_BYTES_MAX: usize = 256 << 10;
/// No folder has more files than this.
const FILES_MAX: usize = 6;
/// Runs that are shorter are cheaper as they are.
const RUN_MIN: usize = 12;

const FILE: u8 = 0;
const BYTES: u8 = 1;
const RUN: u8 = 2;

fn file_name(number: u32) -> String {
    format!("{number:08}.log")
}

/// The number in the name of a log file.
pub(crate) fn file_number(name: &str) -> Option<u32> {
    name.strip_suffix(".log")?.parse().ok()
}

/// The folder of an image.
pub fn unpack(image: &[u8]) -> Files {
    let mut files = Files::new();
    let mut current = file_name(0);
    let mut rest = image.iter().copied();
    while let Some(instruction) = rest.next() {
        if instruction % 3 == FILE {
            let Some(number) = rest.next() else { break };
            current = file_name(number.into());
            continue;
        }
        let filler = if instruction % 3 == RUN {
            let Some(byte) = rest.next() else { break };
            Some(byte)
        } else {
            None
        };
        let (Some(high), Some(low)) = (rest.next(), rest.next()) else {
            break;
        };
        if !files.contains_key(&current) && files.len() == FILES_MAX {
            break;
        }
        let file = files.entry(current.clone()).or_default();
        let length = usize::from(u16::from_be_bytes([high, low]));
        let length = length.min(FILE_BYTES_MAX - file.len());
        match filler {
            Some(byte) => file.resize(file.len() + length, byte),
            None => file.extend(rest.by_ref().take(length)),
        }
    }
    files
}

/// An image of a folder, the zeros at the ends of its files cut down to what stands for all of them.
pub fn pack(files: &Files) -> Vec<u8> {
    const ZEROS_KEPT: usize = 600;
    let mut image = Vec::new();
    for (name, bytes) in files {
        let Some(number) = file_number(name) else {
            continue;
        };
        image.extend([FILE, u8::try_from(number).expect("few files")]);
        let used = bytes.iter().rposition(|byte| *byte != 0);
        let kept = used.map_or(0, |at| at + 1 + ZEROS_KEPT).min(bytes.len());
        pack_file(bytes.get(..kept).unwrap_or_default(), &mut image);
    }
    image
}

fn pack_file(bytes: &[u8], image: &mut Vec<u8>) {
    let mut plain = Vec::new();
    let runs = bytes.chunk_by(|left, right| left == right);
    for run in runs {
        if run.len() < RUN_MIN {
            plain.extend_from_slice(run);
            continue;
        }
        pack_plain(&mut plain, image);
        let byte = run.first().copied().unwrap_or_default();
        for part in run.chunks(u16::MAX.into()) {
            image.extend([RUN, byte]);
            image.extend(short(part.len()));
        }
    }
    pack_plain(&mut plain, image);
}

fn pack_plain(plain: &mut Vec<u8>, image: &mut Vec<u8>) {
    for part in plain.chunks(u16::MAX.into()) {
        image.push(BYTES);
        image.extend(short(part.len()));
        image.extend_from_slice(part);
    }
    plain.clear();
}

fn short(length: usize) -> [u8; 2] {
    let length = u16::try_from(length).expect("parts are cut to fit");
    length.to_be_bytes()
}
