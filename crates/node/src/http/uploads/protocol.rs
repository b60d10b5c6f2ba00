//! The headers of tus 1.0 (<https://tus.io/protocols/resumable-upload>): what they may say, and what is said back.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::file::Metadata;
use model::limits;
use ring::digest;

use super::super::json;
use super::super::json::Node;
use super::super::metadata;
use super::super::problem::{Code, Problem};

/// The one version spoken.
pub(super) const VERSION: &str = "1.0.0";
/// What of the protocol's options is offered.
pub(super) const EXTENSIONS: &str = "creation,creation-with-upload,checksum,expiration,termination";
/// What bodies may be checked with.
pub(super) const ALGORITHMS: &str = "sha1,sha256";
/// The media type of bytes on their way.
pub(super) const MEDIA_TYPE: &str = "application/offset+octet-stream";

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const TUS_CHECKSUM_ALGORITHM: HeaderName =
    HeaderName::from_static("tus-checksum-algorithm");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub(super) const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
/// Which file became of an upload.
pub(super) const STARLING_FILE: HeaderName = HeaderName::from_static("starling-file");

/// Refuses another version than ours.
pub(super) fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(TUS_RESUMABLE);
    if given.is_some_and(|given| given == VERSION) {
        return Ok(());
    }
    let detail = format!("the header Tus-Resumable must say {VERSION}");
    let problem = Problem::new(Code::TusVersion, detail);
    Err(problem.with_header(TUS_VERSION, HeaderValue::from_static(VERSION)))
}

/// A header that is a count of bytes.
pub(super) fn count(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let digits = value.to_str().ok();
    let digits = digits.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok());
    number
        .map(Some)
        .ok_or_else(|| Problem::header(name, "a number of bytes"))
}

/// The same where it has to be there.
pub(super) fn required(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Problem> {
    count(headers, name)?.ok_or_else(|| Problem::header(name, "is required"))
}

/// What a client says of a file it is going to send.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Description {
    /// What it is called.
    pub(super) name: Option<String>,
    /// What is said of it.
    pub(super) metadata: Metadata,
    /// Take it out of the trash if it is there.
    pub(super) restore: bool,
}

/// `Upload-Metadata` as it was sent.
pub(super) fn described(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get(UPLOAD_METADATA) else {
        return Ok(String::new());
    };
    let limit = limits::UPLOAD_DESCRIPTION_BYTES_MAX;
    let text = value.to_str().ok().filter(|text| text.len() <= limit);
    let text = text.ok_or_else(|| {
        Problem::header(
            &UPLOAD_METADATA,
            format!("printable ASCII, at most {limit} bytes"),
        )
    })?;
    Ok(text.to_owned())
}

impl Description {
    /// Reads `Upload-Metadata`: pairs of a key and, behind a space, a value in Base64, parted by commas. `filename`
    /// (or `name`) is the file's name, `metadata` the JSON that `POST /files` takes, `restore` is `true` or `false`.
    /// Clients put what they like under other keys, and get it back.
    pub(super) fn read(described: &str) -> Result<Self, Problem> {
        let mut read = Self::default();
        let pairs = described.split(',').map(str::trim);
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            match key {
                "filename" | "name" if read.name.is_none() => {
                    let name = text(key, value)?;
                    read.name = Some(name).filter(|name| !name.is_empty());
                }
                "metadata" => {
                    let text = text(key, value)?;
                    let value = json::parse(text.as_bytes())?;
                    read.metadata = metadata::upload(&Node::at(&value, "/metadata"))?;
                }
                "restore" => read.restore = text(key, value)? == "true",
                _ => {}
            }
        }
        let limit = catalogue::rules::NAME_BYTES_MAX;
        if read.name.as_ref().is_some_and(|name| name.len() > limit) {
            let detail = format!("the file's name has more than {limit} bytes");
            return Err(Problem::header(&UPLOAD_METADATA, detail));
        }
        Ok(read)
    }
}

fn text(key: &str, value: &str) -> Result<String, Problem> {
    let bytes = STANDARD.decode(value.trim()).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| {
        Problem::header(
            &UPLOAD_METADATA,
            format!("the value of {key} is UTF-8 in Base64"),
        )
    })
}

/// What the bytes of a request must hash to.
pub(super) struct Checksum {
    so_far: digest::Context,
    expected: Vec<u8>,
}

impl Checksum {
    /// The one that `Upload-Checksum` asks for, if it does.
    pub(super) fn asked(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(UPLOAD_CHECKSUM) else {
            return Ok(None);
        };
        let wrong = || {
            let detail = format!("one of {ALGORITHMS}, a space, and the checksum in Base64");
            Problem::header(&UPLOAD_CHECKSUM, detail)
        };
        let (name, expected) = value
            .to_str()
            .ok()
            .and_then(|text| text.trim().split_once(' '))
            .ok_or_else(wrong)?;
        let algorithm = match name {
            // What the protocol asks every server for. Nothing here rests on it.
            "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "sha256" => &digest::SHA256,
            _ => return Err(wrong()),
        };
        let expected = STANDARD.decode(expected.trim()).map_err(|_| wrong())?;
        Ok(Some(Self {
            so_far: digest::Context::new(algorithm),
            expected,
        }))
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.so_far.update(bytes);
    }

    /// Whether it was these bytes.
    pub(super) fn check(self) -> Result<(), Problem> {
        if self.so_far.finish().as_ref() == self.expected {
            return Ok(());
        }
        let detail = "the bytes are not the ones that the checksum is of; nothing of them is kept";
        Err(Problem::new(Code::ChecksumMismatch, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.clone(), value.parse().unwrap())])
    }

    #[test]
    fn a_description_is_read() {
        let json = STANDARD.encode(r#"{"tags":["sea"]}"#);
        let name = STANDARD.encode("Straße.jpg");
        let text =
            format!("filename {name},filetype aW1hZ2U=, metadata {json},restore dHJ1ZQ==,odd");
        let read = Description::read(&text).unwrap();
        assert_eq!(read.name.as_deref(), Some("Straße.jpg"));
        assert_eq!(read.metadata.tags, ["sea"]);
        assert!(read.restore);
        assert_eq!(Description::read("").unwrap(), Description::default());
    }

    #[test]
    fn a_description_that_is_none_is_refused() {
        let long = STANDARD.encode("x".repeat(catalogue::rules::NAME_BYTES_MAX + 1));
        for text in [
            "filename *".to_owned(),
            "filename /w==".to_owned(),
            format!("filename {long}"),
            format!("metadata {}", STANDARD.encode("{")),
            format!("metadata {}", STANDARD.encode(r#"{"rating":9}"#)),
        ] {
            assert!(Description::read(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_digits() {
        assert_eq!(
            count(&headers(&UPLOAD_OFFSET, "17"), &UPLOAD_OFFSET).unwrap(),
            Some(17)
        );
        for text in ["", "-1", "+1", "1.0", "x", "99999999999999999999"] {
            assert!(
                count(&headers(&UPLOAD_OFFSET, text), &UPLOAD_OFFSET).is_err(),
                "{text}"
            );
        }
        assert!(required(&HeaderMap::new(), &UPLOAD_OFFSET).is_err());
    }

    #[test]
    fn a_checksum_tells_other_bytes() {
        // SHA-1 and SHA-256 of "abc", FIPS 180-2.
        for text in [
            "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
            "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
        ] {
            let asked = || {
                Checksum::asked(&headers(&UPLOAD_CHECKSUM, text))
                    .unwrap()
                    .unwrap()
            };
            let mut right = asked();
            right.update(b"ab");
            right.update(b"c");
            assert!(right.check().is_ok());
            let mut wrong = asked();
            wrong.update(b"abd");
            assert_eq!(wrong.check().unwrap_err().code(), Code::ChecksumMismatch);
        }
        for text in ["md5 AA==", "sha1", "sha1 *"] {
            assert!(
                Checksum::asked(&headers(&UPLOAD_CHECKSUM, text)).is_err(),
                "{text}"
            );
        }
    }
}
