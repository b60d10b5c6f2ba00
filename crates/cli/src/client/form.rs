//! The form in which a file is added: `multipart/form-data`, written here because a file must keep its name.
//!
//! RFC 7578 leaves open how quotes, backslashes and line breaks in a name are written, and every library does it in
//! its own way. So the name is also given in the notation of RFC 8187 (`filename*`), which leaves nothing open.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use tokio_util::io::ReaderStream;

use super::{CallError, Moved, READ_BYTES, Source, Upload};

/// What RFC 8187 wants encoded, and a little more.
const ALL_BUT_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// Makes `upload` the body of `request`; `moved` hears of every chunk read.
pub(super) async fn attach(
    request: reqwest::RequestBuilder,
    upload: &Upload,
    moved: &Moved,
) -> Result<reqwest::RequestBuilder, CallError> {
    let boundary = boundary();
    let head = head(&boundary, upload);
    let head = match &upload.sidecar {
        Some(sidecar) => [
            beside(&boundary).as_bytes(),
            sidecar,
            b"\r\n",
            head.as_bytes(),
        ]
        .concat(),
        None => head.into_bytes(),
    };
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = head.len() as u64 + upload.size + tail.len() as u64;
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let content_type = HeaderValue::try_from(content_type).expect("hexadecimal digits are ASCII");
    let body = match &upload.source {
        Source::Memory(bytes) => {
            let whole = [&head[..], bytes, tail.as_bytes()].concat();
            reqwest::Body::from(whole)
        }
        Source::Path(path) => {
            let opened = tokio::fs::File::open(path).await;
            let file = opened.map_err(|source| CallError::Local {
                path: path.clone(),
                source,
            })?;
            let moved = moved.clone();
            let chunks = ReaderStream::with_capacity(file, READ_BYTES);
            let chunks = chunks.inspect_ok(move |_| moved.note());
            let around = |bytes: Vec<u8>| stream::iter([Ok(Bytes::from(bytes))]);
            let tail = around(tail.into_bytes());
            reqwest::Body::wrap_stream(around(head).chain(chunks).chain(tail))
        }
    };
    Ok(request
        .header(CONTENT_TYPE, content_type)
        .header(CONTENT_LENGTH, length)
        .body(body))
}

/// What stands before a sidecar.
fn beside(boundary: &str) -> String {
    format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"sidecar\"\r\nContent-Type: application/rdf+xml\r\n\r\n"
    )
}

/// Everything before the file's bytes.
fn head(boundary: &str, upload: &Upload) -> String {
    format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"metadata\"\r\nContent-Type: application/json\r\n\r\n\
         {}\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''{}\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        upload.metadata,
        encoded(&upload.name)
    )
}

/// In the extended notation of RFC 8187.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, ALL_BUT_SAFE).to_string()
}

/// No file holds it but by a chance of one in 2^128.
fn boundary() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    format!("{:032x}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_ascii_on_the_wire() {
        assert_eq!(encoded("IMG_1.jpg"), "IMG_1.jpg");
        assert_eq!(encoded("a\\b\"c\nd ü%"), "a%5Cb%22c%0Ad%20%C3%BC%25");
    }
}
