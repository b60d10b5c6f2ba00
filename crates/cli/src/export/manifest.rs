//! The manifest of an export: a line that says of what it is, then a line for each field, album and file.
//!
//! A line holds the record that the node gave, where the file's original is, and the SHA-256 of the record's text: so a line
//! that was changed is named. The first line holds the metadata digest, the SHA-256 of all records' texts, each with a line
//! feed. A record is written as it is read again: keys in order, no space, no number with a fraction.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Lines};
use std::path::Path;

use model::{BlobId, Digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::names::stays_below;
use crate::output::at;

/// The manifest's name in an export's folder.
pub(crate) const MANIFEST: &str = "manifest.ndjson";
/// What its first line says that it is.
pub(super) const KIND: &str = "starling-export";
/// The form of manifest that this program writes and reads.
pub(super) const FORMAT: u64 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    /// `starling-export`.
    pub(crate) kind: String,
    /// 1.
    pub(crate) format: u64,
    /// The chain that it comes from.
    pub(crate) chain_id: String,
    /// The height at which the records were read.
    pub(crate) height: u64,
    /// The library that it comes from; none for the token's own.
    pub(crate) library: Option<String>,
    /// Which files it has; none for all.
    pub(crate) query: Option<String>,
    /// SHA-256 of all records.
    pub(crate) metadata_digest: String,
    /// Lines of each kind.
    pub(crate) fields: u64,
    /// Lines of each kind.
    pub(crate) albums: u64,
    /// Lines of each kind.
    pub(crate) files: u64,
    /// Bytes of all originals.
    pub(crate) bytes: u64,
}

/// A line behind the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Where the original is, below the folder, with slashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// What the node said.
    pub(crate) record: Value,
    /// SHA-256 of the record's text.
    pub(crate) sha256: String,
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    /// It cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is none.
    #[error("{path} is no manifest of an export: {why}")]
    NotOne {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// A line is not what it was.
    #[error("line {number} of the manifest was changed or damaged{what}: {why}")]
    Line {
        /// Counted from 1.
        number: u64,
        /// What it is about.
        what: String,
        /// How it is known.
        why: String,
    },
    /// Lines are missing, new or in another order.
    #[error("the manifest is not whole: {0}")]
    NotWhole(String),
}

impl Line {
    /// A line of a record.
    pub(crate) fn of(record: Value, path: Option<String>) -> Self {
        let sha256 = hash_text(&record.to_string());
        Self {
            path,
            record,
            sha256,
        }
    }

    /// `file`, `field` or `album`.
    pub(crate) fn kind(&self) -> &str {
        at(&self.record, "/kind").as_str().unwrap_or_default()
    }

    /// The file's id and size, if it is a file's line.
    pub(crate) fn file(&self) -> Option<(BlobId, u64)> {
        let id = at(&self.record, "/id").as_str()?.parse().ok()?;
        (self.kind() == "file").then_some((id, at(&self.record, "/size").as_u64()?))
    }

    /// What people would call it by.
    pub(crate) fn called(&self) -> String {
        let name = crate::output::text_at(&self.record, "/name");
        match &self.path {
            Some(path) => crate::output::shown(path),
            None => format!("the {} {name}", crate::output::shown(self.kind())),
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.sha256 != hash_text(&self.record.to_string()) {
            return Err("its record does not hash to what it says");
        }
        match (self.kind(), self.file(), &self.path) {
            ("field" | "album", _, None) => Ok(()),
            ("file", Some(_), Some(path)) if stays_below(path) => Ok(()),
            ("file", Some(_), _) => Err("its path does not lead below the folder"),
            _ => Err("it is no record of this format"),
        }
    }
}

/// Sums records up.
#[derive(Clone, Default)]
pub(crate) struct Summing(Sha256);

impl Summing {
    /// One more.
    pub(crate) fn add(&mut self, record: &Value) {
        self.0.update(record.to_string());
        self.0.update(b"\n");
    }

    /// The metadata digest.
    pub(crate) fn digest(self) -> String {
        Digest(self.0.finalize().into()).to_string()
    }
}

fn hash_text(text: &str) -> String {
    Digest::of(&[text.as_bytes()]).to_string()
}

/// A manifest that is read line by line.
pub(crate) struct Manifest {
    /// Its first line.
    pub(crate) header: Header,
    path: String,
    lines: Lines<BufReader<File>>,
    number: u64,
}

impl Manifest {
    /// Opens the manifest of an export.
    pub(crate) fn open(path: &Path) -> Result<Self, ManifestError> {
        let shown = path.display().to_string();
        let read = |source| ManifestError::Read {
            path: shown.clone(),
            source,
        };
        let mut lines = BufReader::new(File::open(path).map_err(read)?).lines();
        let first = lines.next().transpose().map_err(read)?.unwrap_or_default();
        let not_one = |why: String| ManifestError::NotOne {
            path: shown.clone(),
            why,
        };
        let header: Header = serde_json::from_str(&first)
            .map_err(|error| not_one(format!("its first line: {error}")))?;
        if header.kind != KIND {
            return Err(not_one(format!("it says that it is {:?}", header.kind)));
        }
        if header.format != FORMAT {
            let theirs = header.format;
            return Err(not_one(format!(
                "it has format {theirs}, this program reads {FORMAT}"
            )));
        }
        Ok(Self {
            header,
            path: shown,
            lines,
            number: 1,
        })
    }

    /// Reads all of it, checks it against itself, and keeps nothing.
    pub(crate) fn check(mut self) -> Result<Header, ManifestError> {
        let mut sum = Summing::default();
        let (mut fields, mut albums, mut files) = (0, 0, 0);
        let mut before = String::new();
        for line in self.by_ref() {
            let line = line?;
            sum.add(&line.record);
            match line.kind() {
                "field" => fields += 1,
                "album" => albums += 1,
                _ => {
                    files += 1;
                    let id = at(&line.record, "/id").as_str().unwrap_or_default();
                    if id <= before.as_str() {
                        let what = "its files are not each there once, in the order of their ids";
                        return Err(ManifestError::NotWhole(what.to_owned()));
                    }
                    id.clone_into(&mut before);
                }
            }
        }
        let header = self.header;
        let (found, said) = ((fields, albums, files), &header);
        if found != (said.fields, said.albums, said.files) {
            let what = format!("{} lines are expected, {files} are there", said.files);
            return Err(ManifestError::NotWhole(format!("of files, {what}")));
        }
        if sum.digest() != header.metadata_digest {
            let what = "its records do not sum up to the digest in its first line";
            return Err(ManifestError::NotWhole(what.to_owned()));
        }
        Ok(header)
    }

    fn read(&mut self, text: &str) -> Result<Line, ManifestError> {
        let number = self.number;
        let wrong = |what: String, why: String| ManifestError::Line { number, what, why };
        let line: Line =
            serde_json::from_str(text).map_err(|error| wrong(String::new(), error.to_string()))?;
        let checked = line.check();
        checked.map_err(|why| wrong(format!(", of {}", line.called()), why.to_owned()))?;
        Ok(line)
    }
}

impl Iterator for Manifest {
    type Item = Result<Line, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.number += 1;
        Some(match self.lines.next()? {
            Ok(text) => self.read(&text),
            Err(source) => Err(ManifestError::Read {
                path: self.path.clone(),
                source,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(lines: &[String]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n") + "\n").unwrap();
        file
    }

    fn lines() -> Vec<String> {
        let records = [
            json!({"kind": "field", "name": "price"}),
            json!({"kind": "file", "id": "0a".repeat(32), "size": 3, "name": "a"}),
            json!({"kind": "file", "id": "0b".repeat(32), "size": 4, "name": "b"}),
        ];
        let mut sum = Summing::default();
        records.iter().for_each(|record| sum.add(record));
        let header = Header {
            kind: KIND.to_owned(),
            format: FORMAT,
            chain_id: "c".to_owned(),
            height: 7,
            library: None,
            query: None,
            metadata_digest: sum.digest(),
            fields: 1,
            albums: 0,
            files: 2,
            bytes: 7,
        };
        let mut lines = vec![serde_json::to_string(&header).unwrap()];
        for record in records {
            let path = (record["kind"] == "file").then(|| format!("undated/{}", record["name"]));
            let path = path.map(|path| path.replace('"', ""));
            lines.push(serde_json::to_string(&Line::of(record, path)).unwrap());
        }
        lines
    }

    fn checked(lines: &[String]) -> Result<Header, String> {
        let file = written(lines);
        let manifest = Manifest::open(file.path()).map_err(|error| error.to_string())?;
        manifest.check().map_err(|error| error.to_string())
    }

    #[test]
    fn a_manifest_that_is_whole_is_read() {
        assert_eq!(checked(&lines()).unwrap().files, 2);
    }

    #[test]
    fn a_changed_line_is_named() {
        let mut lines = lines();
        lines[3] = lines[3].replace("\"size\":4", "\"size\":5");
        let error = checked(&lines).unwrap_err();
        assert!(
            error.contains("line 4") && error.contains("undated/b"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_a_repeated_and_a_moved_line_are_seen() {
        let whole = lines();
        let without = [&whole[..2], &whole[3..]].concat();
        let twice = [&whole[..], &whole[3..]].concat();
        let mut moved = whole.clone();
        moved.swap(2, 3);
        for lines in [without, twice, moved] {
            assert!(checked(&lines).unwrap_err().contains("not whole"));
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let mut lines = lines();
        lines[2] = lines[2].replace("undated/a", "../a");
        assert!(checked(&lines).unwrap_err().contains("does not lead below"));
    }

    #[test]
    fn another_format_is_refused() {
        let mut lines = lines();
        lines[0] = lines[0].replace("\"format\":1", "\"format\":2");
        assert!(checked(&lines).unwrap_err().contains("format 2"));
        assert!(
            checked(&["{}".to_owned()])
                .unwrap_err()
                .contains("no manifest")
        );
    }
}
