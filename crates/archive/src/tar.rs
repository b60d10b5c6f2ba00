//! An archive in one file: the tar format of POSIX.1-1988 (ustar), with the same names that a store would have.
//!
//! Any `tar` lists and unpacks it. Of what others may have written only plain files in plain folders are taken.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use objects::OBJECT_MAX;

const BLOCK: usize = 512;

/// Why a file could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is no tar file, or is damaged.
    #[error("it is not a tar file, or damaged: {0}")]
    Damaged(&'static str),
    /// It holds something that is no plain file in a plain folder below it.
    #[error("it holds {name:?}, which is not a file that belongs into an archive")]
    Strange {
        /// What it is called there.
        name: String,
    },
    /// The file system said no.
    #[error("reading it, or writing what is in it")]
    Io(#[from] io::Error),
}

/// Writes one file after the other into a tar file.
#[derive(Debug)]
pub struct Packer<W> {
    out: W,
}

impl<W: Write> Packer<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Appends a file.
    ///
    /// # Errors
    /// If it cannot be written, or its name is longer than tar can say.
    pub fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "the name is too long");
        let header = header(name, bytes.len() as u64).ok_or_else(too_long)?;
        self.out.write_all(&header)?;
        self.out.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        self.out.write_all(&vec![0; padding])
    }

    /// Writes the end, without which the file is not whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A header; nothing if the name does not fit.
fn header(name: &str, length: u64) -> Option<[u8; BLOCK]> {
    // A long name is split at a slash into a prefix and a name.
    let (prefix, name) = if name.len() <= 100 {
        ("", name)
    } else {
        let mut slashes = name.match_indices('/').map(|(at, _)| name.split_at(at));
        let (prefix, name) = slashes.find(|(_, name)| name.len() <= 101)?;
        (prefix, name.get(1..)?)
    };
    let length = format!("{length:011o}\0");
    let fields: [(usize, usize, &[u8]); 8] = [
        (0, 100, name.as_bytes()),
        (100, 8, b"0000644\0"),
        (108, 8, b"0000000\0"),
        (116, 8, b"0000000\0"),
        (124, 12, length.as_bytes()),
        (136, 12, b"00000000000\0"),
        (156, 1, b"0"),
        (257, 8, b"ustar\x0000"),
    ];
    let mut header = [0; BLOCK];
    let fields = fields.into_iter().chain([(345, 155, prefix.as_bytes())]);
    for (at, room, value) in fields {
        if value.len() > room {
            return None;
        }
        header.get_mut(at..at + value.len())?.copy_from_slice(value);
    }
    let sum = format!("{:06o}\0 ", checksum(&header));
    header.get_mut(148..156)?.copy_from_slice(sum.as_bytes());
    Some(header)
}

/// The sum of all bytes, those of the sum itself counted as spaces.
fn checksum(header: &[u8; BLOCK]) -> u64 {
    let bytes = header.iter().enumerate();
    let bytes = bytes.map(|(at, byte)| {
        if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        }
    });
    bytes.map(u64::from).sum()
}

/// Unpacks a tar file into a folder.
///
/// # Errors
/// An [`UnpackError`]; the folder then holds a part of it.
pub fn unpack(mut tar: impl Read, into: &Path) -> Result<(), UnpackError> {
    loop {
        let mut header = [0; BLOCK];
        let whole = tar.read_exact(&mut header);
        whole.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => UnpackError::Damaged("it is cut short"),
            _ => error.into(),
        })?;
        if header == [0; BLOCK] {
            return Ok(());
        }
        let entry = Entry::parse(&header)?;
        let path = entry.path_in(into)?;
        if entry.kind == b'5' {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let padded = entry.length.next_multiple_of(BLOCK as u64);
        let mut bytes = (&mut tar).take(entry.length);
        let copied = io::copy(&mut bytes, &mut File::create(path)?)?;
        let mut padding = (&mut tar).take(padded - entry.length);
        let skipped = io::copy(&mut padding, &mut io::sink())?;
        if copied + skipped != padded {
            return Err(UnpackError::Damaged("it is cut short"));
        }
    }
}

struct Entry {
    name: String,
    length: u64,
    kind: u8,
}

impl Entry {
    fn parse(header: &[u8; BLOCK]) -> Result<Self, UnpackError> {
        let text = |at: usize, room: usize| {
            let field = header.get(at..at + room).unwrap_or_default();
            let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(field).into_owned()
        };
        let number = |at, room| {
            u64::from_str_radix(text(at, room).trim(), 8)
                .map_err(|_| UnpackError::Damaged("a number in it is none"))
        };
        if number(148, 8)? != checksum(header) {
            return Err(UnpackError::Damaged("a checksum does not match"));
        }
        let (prefix, name) = (text(345, 155), text(0, 100));
        let name = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        let length = number(124, 12)?;
        let [kind, ..] = header
            .get(156..)
            .and_then(|rest| rest.first_chunk::<1>())
            .copied()
            .unwrap_or_default();
        Ok(Self { name, length, kind })
    }

    /// Where it goes, if it is a plain file or a folder and stays below `into`.
    fn path_in(&self, into: &Path) -> Result<PathBuf, UnpackError> {
        let name = Path::new(&self.name);
        let mut parts = name.components();
        let plain = parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let kind = matches!(self.kind, b'0' | 0 | b'5');
        if plain && kind && self.length <= OBJECT_MAX {
            return Ok(into.join(name));
        }
        let name = self.name.clone();
        Err(UnpackError::Strange { name })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
mod tests {
    use std::process::Command;

    use super::{BLOCK, Packer, UnpackError, checksum, header, unpack};

    fn long() -> String {
        format!("{}/segments/{}", "c".repeat(32), "s".repeat(95))
    }

    fn packed() -> Vec<u8> {
        let mut packer = Packer::new(Vec::new());
        packer.append("probe", b"hello").unwrap();
        packer.append(&long(), &[7; 1024]).unwrap();
        packer.append("empty", b"").unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        unpack(&packed()[..], folder.path()).unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("probe"), b"hello");
        assert_eq!(read(&long()), [7; 1024]);
        assert_eq!(read("empty"), b"");
    }

    #[test]
    fn tar_itself_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("export.tar");
        std::fs::write(&file, packed()).unwrap();
        let listed = Command::new("tar").arg("tf").arg(&file).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(listed, format!("probe\n{}\nempty\n", long()));
    }

    #[test]
    fn nothing_is_written_outside_the_folder() {
        for name in ["../evil", "/evil", "a/../../evil"] {
            let mut packer = Packer::new(Vec::new());
            packer.append(name, b"x").unwrap();
            let folder = tempfile::tempdir().unwrap();
            let error = unpack(&packer.finish().unwrap()[..], folder.path()).unwrap_err();
            assert!(matches!(error, UnpackError::Strange { .. }), "{error}");
        }
        let mut link = header("link", 0).unwrap();
        link[156] = b'2';
        let sum = format!("{:06o}\0 ", checksum(&link));
        link[148..156].copy_from_slice(sum.as_bytes());
        let folder = tempfile::tempdir().unwrap();
        assert!(unpack(&link[..], folder.path()).is_err());
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let whole = packed();
        let folder = tempfile::tempdir().unwrap();
        for length in [0, BLOCK, BLOCK + 3, whole.len() - 2 * BLOCK] {
            let error = unpack(&whole[..length], folder.path()).unwrap_err();
            assert!(
                matches!(error, UnpackError::Damaged(_)),
                "{length}: {error}"
            );
        }
        let mut changed = whole;
        changed[3] ^= 1;
        assert!(unpack(&changed[..], folder.path()).is_err());
    }
}
