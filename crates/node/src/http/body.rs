//! Request bodies: bounded in length, bounded in silence, and never left half read.
//!
//! A server that closes a connection with unread bytes in its socket resets it, and the reset may overtake the answer:
//! the client then sees a broken connection instead of "413". So what a handler did not read is read and thrown away,
//! up to a limit, while the answer goes out.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, request};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::problem::{Code, Problem};

/// A client that sends nothing for so long has gone away.
pub(crate) const IDLE: Duration = Duration::from_secs(30);
/// How long an unread body is read after its request was answered.
const LINGER: Duration = Duration::from_secs(5);
/// How much of it.
const LINGER_BYTES: usize = 16 << 20;

/// The client stopped sending in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("the client sent nothing for too long")]
struct Silent;

/// A body that fails when nothing comes for a time, and lingers when it is dropped unread.
pub(crate) struct Guarded {
    inner: Body,
    patience: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    lingers: bool,
}

impl Guarded {
    /// Guards the body of `request`; `patience` is how long a client may send nothing.
    pub(crate) fn guard(request: Request, patience: Duration) -> Request {
        let (parts, body) = request.into_parts();
        if body.is_end_stream() {
            return Request::from_parts(parts, body);
        }
        // A client that waits for leave to send has nothing under way.
        let lingers = !parts.headers.contains_key(EXPECT);
        Request::from_parts(
            parts,
            Body::new(Self {
                inner: body,
                patience,
                idle: None,
                lingers,
            }),
        )
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.lingers = true;
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.idle = None;
            self.lingers = matches!(frame, Some(Ok(_)));
            return Poll::Ready(frame);
        }
        let patience = self.patience;
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(idle.as_mut().poll(context));
        self.lingers = false;
        Poll::Ready(Some(Err(axum::Error::new(Silent))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if !self.lingers || self.inner.is_end_stream() {
            return;
        }
        if let Ok(runtime) = runtime {
            runtime.spawn(drain(std::mem::take(&mut self.inner)));
        }
    }
}

/// Reads and forgets. Whether it ends well or not is no longer anybody's concern.
async fn drain(mut body: Body) {
    let deadline = Instant::now() + LINGER;
    let mut left = LINGER_BYTES;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(deadline, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// Refuses a body that says it is too long, before any of it is read.
pub(crate) fn check_declared(headers: &HeaderMap, limit: u64) -> Result<(), Problem> {
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let declared: Option<u64> = declared.and_then(|text| text.parse().ok());
    match declared {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// The next bytes of `body`; nothing at its end.
pub(crate) async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| interrupted(&error))?.into_data() {
            Ok(chunk) if !chunk.is_empty() => return Ok(Some(chunk)),
            // Trailers say nothing to us.
            _ => {}
        }
    }
    Ok(None)
}

/// The whole body, if it has at most `limit` bytes.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    let Some(first) = next_chunk(&mut body).await? else {
        return Ok(Bytes::new());
    };
    let mut whole = Whole::One(first);
    loop {
        if whole.len() > limit {
            return Err(too_large(limit as u64));
        }
        let Some(chunk) = next_chunk(&mut body).await? else {
            return Ok(whole.into_bytes());
        };
        whole = whole.and(&chunk);
    }
}

/// Most bodies come in one piece, which need not be copied.
enum Whole {
    One(Bytes),
    Many(BytesMut),
}

impl Whole {
    fn len(&self) -> usize {
        match self {
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn and(self, chunk: &[u8]) -> Self {
        let mut bytes = match self {
            Self::One(bytes) => BytesMut::from(bytes),
            Self::Many(bytes) => bytes,
        };
        bytes.extend_from_slice(chunk);
        Self::Many(bytes)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

/// The whole JSON body.
pub(crate) async fn json(
    request: Request,
    media_types: &[&str],
    limit: usize,
) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    require_media_type(&parts, media_types)?;
    check_declared(&parts.headers, limit as u64)?;
    read(body, limit).await
}

/// The media type of a request's body, in lower case and without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase(),
    )
}

fn require_media_type(parts: &request::Parts, allowed: &[&str]) -> Result<(), Problem> {
    match media_type(&parts.headers) {
        Some(given) if !allowed.contains(&given.as_str()) => Err(unsupported(&given, allowed)),
        _ => Ok(()),
    }
}

/// A body of another kind than the call takes.
pub(crate) fn unsupported(given: &str, allowed: &[&str]) -> Problem {
    let detail = format!(
        "the body is {given}; this call takes {}",
        allowed.join(" or ")
    );
    Problem::new(Code::UnsupportedMediaType, detail)
}

/// A body, or a part of one, over its limit.
pub(crate) fn too_large(limit: u64) -> Problem {
    let detail = format!("at most {limit} bytes are taken here; see /api/v1/limits");
    Problem::new(Code::TooLarge, detail)
}

/// A body that ended before its end.
pub(crate) fn interrupted(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if current.is::<Silent>() {
            return Problem::new(Code::RequestTimeout, Silent.to_string());
        }
        cause = current.source();
    }
    Problem::new(Code::InvalidBody, "the body ended before its end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Ok::<_, Silent>(vec![7_u8; *size]))
            .collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        assert_eq!(read(chunks(&[]), 4).await.unwrap().len(), 0);
        assert_eq!(read(chunks(&[4]), 4).await.unwrap().len(), 4);
        assert_eq!(read(chunks(&[1, 2, 1]), 4).await.unwrap().len(), 4);
        let problem = read(chunks(&[1, 2, 2]), 4).await.unwrap_err();
        assert_eq!(problem.code(), Code::TooLarge);
    }

    #[tokio::test]
    async fn a_declared_length_is_refused_unread() {
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, 5.into())]);
        assert_eq!(
            check_declared(&headers, 4).unwrap_err().code(),
            Code::TooLarge
        );
        assert!(check_declared(&headers, 5).is_ok());
    }

    #[tokio::test]
    async fn a_silent_client_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, Silent>>());
        let request = Guarded::guard(Request::new(body), Duration::from_millis(1));
        let problem = read(request.into_body(), 4).await.unwrap_err();
        assert_eq!(problem.code(), Code::RequestTimeout);
    }

    #[test]
    fn media_types_are_compared_without_parameters() {
        let value = "Application/JSON; charset=utf-8".parse().unwrap();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
        assert_eq!(media_type(&headers).as_deref(), Some("application/json"));
    }
}
