//! What a client gets instead of what it asked for: `application/problem+json` (RFC 9457).
//!
//! Programs decide by `code`, which never changes its meaning; people read `detail`. The cause of a fault of ours
//! goes to the log and never into an answer.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::progress::Shown;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident $slug:literal;)*) => {
        /// Every reason for which a request is not answered as asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
        pub enum Code {
            $($(#[$doc])* #[schema(rename = $slug)] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in `code`.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug),* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> StatusCode {
                let status = match self { $(Self::$name => StatusCode::$status),* };
                // The one that has no name.
                let own = matches!(self, Self::ChecksumMismatch).then(|| StatusCode::from_u16(460).ok());
                own.flatten().unwrap_or(status)
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    InvalidJson = BAD_REQUEST "invalid_json";
    /// The body is JSON of the wrong shape, type or range; `errors` names the places.
    InvalidBody = BAD_REQUEST "invalid_body";
    /// The body is not well-formed `multipart/form-data`, or lacks a part.
    InvalidMultipart = BAD_REQUEST "invalid_multipart";
    /// A query parameter is unknown, repeated, or out of range.
    InvalidParameter = BAD_REQUEST "invalid_parameter";
    /// A request header is malformed.
    InvalidHeader = BAD_REQUEST "invalid_header";
    /// The search text does not parse; `errors` has the column.
    InvalidQuery = BAD_REQUEST "invalid_query";
    /// The cursor was not made by this list.
    InvalidCursor = BAD_REQUEST "invalid_cursor";
    /// No token, or one that is not accepted.
    Unauthenticated = UNAUTHORIZED "unauthenticated";
    /// The token's scope does not allow it.
    Forbidden = FORBIDDEN "forbidden";
    /// A page of another site may have sent it: `Starling-Csrf` is missing or wrong, or the origin is foreign.
    CsrfFailed = FORBIDDEN "csrf_failed";
    /// The link asks for a password, or the one sent is wrong.
    ShareLocked = FORBIDDEN "share_locked";
    /// There is no such thing, or the caller may not know of it.
    NotFound = NOT_FOUND "not_found";
    /// The file has no picture to show.
    NoThumbnail = NOT_FOUND "no_thumbnail";
    /// The path exists, the method does not.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed";
    /// The client sent nothing for too long.
    RequestTimeout = REQUEST_TIMEOUT "request_timeout";
    /// The command's bytes were pruned: no new receipt of it can be made. Those that were issued before stay valid.
    Pruned = GONE "pruned";
    /// The node is the cluster's last voter and cannot be removed.
    LastVoter = CONFLICT "last_voter";
    /// Without the node too few of the voters that would be left are heard to decide anything.
    RestNotHeard = CONFLICT "rest_not_heard";
    /// The bytes are not the next ones of the upload; `Upload-Offset` says how many have arrived.
    OffsetMismatch = CONFLICT "offset_mismatch";
    /// `Tus-Resumable` asks for another version of tus.
    TusVersion = PRECONDITION_FAILED "tus_version";
    /// The file has changed since the version the client saw.
    StaleVersion = PRECONDITION_FAILED "stale_version";
    /// `If-None-Match: *` was sent and the blob is there.
    AlreadyExists = PRECONDITION_FAILED "already_exists";
    /// The bytes sent do not have the checksum that was sent with them. tus 1.0 has status 460 for it.
    ChecksumMismatch = BAD_REQUEST "checksum_mismatch";
    /// The body is larger than `/api/v1/limits` allows.
    TooLarge = PAYLOAD_TOO_LARGE "too_large";
    /// The body's media type is not one this call takes.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type";
    /// The range begins behind the end.
    RangeNotSatisfiable = RANGE_NOT_SATISFIABLE "range_not_satisfiable";
    /// The bytes do not hash to the name they were given.
    HashMismatch = UNPROCESSABLE_ENTITY "hash_mismatch";
    /// The bytes are no picture that could be shown for a file.
    InvalidPreview = UNPROCESSABLE_ENTITY "invalid_preview";
    /// The bytes named were not put by this token and it may not read them.
    UnknownBlob = UNPROCESSABLE_ENTITY "unknown_blob";
    /// Another request was made under the same `Idempotency-Key`.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency_key_reused";
    /// The change was decided and refused on application, by every node alike.
    Refused = UNPROCESSABLE_ENTITY "refused";
    /// `If-Match` is required.
    PreconditionRequired = PRECONDITION_REQUIRED "precondition_required";
    /// Too much is waiting on this node: try again, or another node.
    Busy = TOO_MANY_REQUESTS "busy";
    /// Too many attempts to sign in; `Retry-After` says when the next may come.
    RateLimited = TOO_MANY_REQUESTS "rate_limited";
    /// A fault of ours.
    Internal = INTERNAL_SERVER_ERROR "internal";
    /// Too few voters can be reached. Certainly nothing was decided.
    NoQuorum = SERVICE_UNAVAILABLE "no_quorum";
    /// The height asked for is not applied on this node yet.
    Behind = SERVICE_UNAVAILABLE "behind";
    /// No snapshot is there that could take the place of what is to be pruned; one is being made.
    NoSnapshot = SERVICE_UNAVAILABLE "no_snapshot";
    /// Too few nodes could store the bytes. Certainly nothing was decided.
    TooFewCopies = SERVICE_UNAVAILABLE "too_few_copies";
    /// Files' bytes live in an object store, and it does not take these now. Certainly nothing was decided.
    StoreUnavailable = SERVICE_UNAVAILABLE "store_unavailable";
    /// A node cannot use the store that files' bytes were to be moved to. Nothing was changed.
    StoreUnproven = CONFLICT "store_unproven";
    /// No node that can be reached holds these bytes intact.
    BytesUnavailable = SERVICE_UNAVAILABLE "bytes_unavailable";
    /// The node has been started and does not serve yet; `progress` says how far it is. Ask another node.
    Starting = SERVICE_UNAVAILABLE "starting";
    /// The node takes no writes: it is shutting down or has stopped voting.
    Stopped = SERVICE_UNAVAILABLE "stopped";
    /// The cluster has removed this node: ask another.
    Removed = SERVICE_UNAVAILABLE "removed";
    /// This node's ledger is not the one that the cluster has certified: ask another.
    Forked = SERVICE_UNAVAILABLE "forked";
    /// It may still be decided: retry with the same `Idempotency-Key`.
    OutcomeUnknown = GATEWAY_TIMEOUT "outcome_unknown";
    /// The node's disk is full.
    DiskFull = INSUFFICIENT_STORAGE "disk_full";
    /// A flush of the node's ledger failed: it takes no writes until it is restarted. Reads go on.
    DiskFailed = INSUFFICIENT_STORAGE "disk_failed";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.slug())
    }
}

/// One place in a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// A JSON pointer (RFC 6901) into the body; `?name` for a query parameter; a header's name for a header.
    #[schema(example = "/takenAt/local")]
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Fault {
    /// Something wrong at `pointer`.
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

/// A refusal on its way to the client. Small, because every handler's result carries room for one.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    code: Code,
    detail: String,
    errors: Vec<Fault>,
    progress: Option<Shown>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A refusal for people and programs.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let parts = Parts {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            progress: None,
            headers: Vec::new(),
        };
        Self(Box::new(parts)).with_usual_headers()
    }

    /// A refusal that names the places.
    pub(crate) fn at(code: Code, errors: Vec<Fault>) -> Self {
        let detail = match errors.len() {
            1 => "the request is wrong in one place".to_owned(),
            many => format!("the request is wrong in {many} places"),
        };
        let mut problem = Self::new(code, detail);
        problem.0.errors = errors;
        problem
    }

    /// A wrong query parameter.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::at(
            Code::InvalidParameter,
            vec![Fault::new(format!("?{name}"), detail)],
        )
    }

    /// A wrong header.
    pub(crate) fn header(name: &HeaderName, detail: impl Into<String>) -> Self {
        Self::at(Code::InvalidHeader, vec![Fault::new(name.as_str(), detail)])
    }

    /// Nothing there, or nothing the caller may know of.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// A fault of ours: the cause goes to the log, the client learns only that there was one.
    pub(crate) fn internal(doing: &str, cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "failed {doing}");
        Self::new(
            Code::Internal,
            format!("failed {doing}; the node's log has the cause"),
        )
    }

    /// Says how far the start is that the client has to wait for.
    pub(crate) fn with_progress(mut self, progress: Shown) -> Self {
        self.0.progress = Some(progress);
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says when to try again.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))
    }

    /// Says which methods a path has.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            Code::MethodNotAllowed,
            "the path exists, but not with this method",
        )
    }

    /// What happened, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What it is.
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    fn with_usual_headers(self) -> Self {
        match self.0.code.status() {
            StatusCode::UNAUTHORIZED => self.with_header(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"starling\""),
            ),
            StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::INSUFFICIENT_STORAGE => self.retry_after(Duration::from_secs(1)),
            _ => self,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)?;
        self.0
            .errors
            .iter()
            .try_for_each(|fault| write!(f, "; {}: {}", fault.pointer, fault.detail))
    }
}

/// The document of RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    /// A URI that stands for the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:starling:problem:no_quorum")]
    kind: String,
    /// The status in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened, for people.
    detail: &'a str,
    /// What happened, for programs.
    code: Code,
    /// Where the request is wrong, when it is.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
    /// How far the node's start is, when it is starting.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a Shown>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let parts = *self.0;
        let status = parts.code.status();
        let document = Document {
            kind: format!("urn:starling:problem:{}", parts.code),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &parts.detail,
            code: parts.code,
            errors: &parts.errors,
            progress: parts.progress.as_ref(),
        };
        let body = serde_json::to_vec(&document).expect("a problem has no map with odd keys");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in parts.headers {
            headers.insert(name, value);
        }
        response
    }
}

/// For the OpenAPI document: the refusals of any call that needs a token and reads.
pub(crate) struct ReadProblems;
/// For the OpenAPI document: the refusals of any call that changes something.
pub(crate) struct WriteProblems;
/// For the OpenAPI document: what may be wrong with a JSON body.
pub(crate) struct JsonProblems;
/// For the OpenAPI document: the refusals of a sign-in.
pub(crate) struct SignInProblems;
/// For the OpenAPI document: the item may be missing.
pub(crate) struct ItemProblems;
/// For the OpenAPI document: there may be no snapshot.
pub(crate) struct PruneProblems;
/// For the OpenAPI document: the item may be missing, or pruned.
pub(crate) struct ProofProblems;
/// For the OpenAPI document: what may go wrong when bytes are stored.
pub(crate) struct BytesInProblems;
/// For the OpenAPI document: what may go wrong with an upload that may be interrupted.
pub(crate) struct UploadProblems;
/// For the OpenAPI document: what may go wrong when a picture of a file is stored.
pub(crate) struct PreviewProblems;
/// For the OpenAPI document: what may go wrong when bytes are read.
pub(crate) struct BytesOutProblems;
/// For the OpenAPI document: the refusals of a change to one version of a file.
pub(crate) struct VersionProblems;
/// For the OpenAPI document: the refusals of a search.
pub(crate) struct SearchProblems;
/// For the OpenAPI document: the refusals of a search by a tree.
pub(crate) struct TreeProblems;
/// For the OpenAPI document: the refusals of a look at what is shared.
pub(crate) struct SharedProblems;
/// For the OpenAPI document: the refusals of a share's password.
pub(crate) struct UnlockProblems;

const READ: &[Code] = &[
    Code::InvalidParameter,
    Code::InvalidHeader,
    Code::InvalidCursor,
    Code::Unauthenticated,
    Code::Forbidden,
    Code::CsrfFailed,
    Code::Busy,
    Code::Internal,
    Code::NoQuorum,
    Code::Behind,
    Code::Starting,
    Code::Removed,
    Code::Forked,
];
const WRITE: &[Code] = &[
    Code::InvalidParameter,
    Code::InvalidHeader,
    Code::Unauthenticated,
    Code::Forbidden,
    Code::CsrfFailed,
    Code::RequestTimeout,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::IdempotencyKeyReused,
    Code::Refused,
    Code::Busy,
    Code::Internal,
    Code::NoQuorum,
    Code::Behind,
    Code::Starting,
    Code::Stopped,
    Code::Removed,
    Code::Forked,
    Code::OutcomeUnknown,
    Code::DiskFull,
    Code::DiskFailed,
];

const SHARED: &[Code] = &[
    Code::InvalidParameter,
    Code::InvalidCursor,
    Code::Forbidden,
    Code::ShareLocked,
    Code::NotFound,
    Code::NoThumbnail,
    Code::RangeNotSatisfiable,
    Code::Internal,
    Code::Behind,
    Code::BytesUnavailable,
    Code::Removed,
    Code::Forked,
];

macro_rules! documented {
    ($($type:ty: $($codes:expr),+;)*) => {$(
        impl IntoResponses for $type {
            fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
                document(&<[&[Code]]>::concat(&[$($codes),+]))
            }
        }
    )*};
}

documented! {
    ReadProblems: READ;
    WriteProblems: WRITE;
    JsonProblems: WRITE, &[Code::InvalidJson, Code::InvalidBody];
    ItemProblems: READ, &[Code::NotFound];
    SignInProblems: WRITE, &[Code::InvalidJson, Code::InvalidBody, Code::RateLimited];
    PruneProblems: WRITE, &[Code::InvalidJson, Code::InvalidBody, Code::NoSnapshot];
    ProofProblems: READ, &[Code::NotFound, Code::Pruned];
    BytesInProblems: WRITE, &[
        Code::InvalidJson, Code::InvalidBody, Code::InvalidMultipart, Code::HashMismatch,
        Code::UnknownBlob, Code::AlreadyExists, Code::TooFewCopies, Code::StoreUnavailable,
    ];
    UploadProblems: WRITE, &[
        Code::InvalidJson, Code::InvalidBody, Code::NotFound, Code::OffsetMismatch, Code::TusVersion,
        Code::ChecksumMismatch, Code::TooFewCopies, Code::StoreUnavailable, Code::BytesUnavailable,
    ];
    PreviewProblems: WRITE, &[
        Code::NotFound, Code::InvalidPreview, Code::TooFewCopies, Code::StoreUnavailable,
    ];
    BytesOutProblems: READ, &[
        Code::NotFound, Code::NoThumbnail, Code::RangeNotSatisfiable, Code::BytesUnavailable,
    ];
    VersionProblems: WRITE, &[
        Code::InvalidJson, Code::InvalidBody, Code::NotFound, Code::StaleVersion,
        Code::PreconditionRequired,
    ];
    SharedProblems: SHARED;
    UnlockProblems: SHARED, &[
        Code::InvalidJson, Code::InvalidBody, Code::RequestTimeout, Code::TooLarge,
        Code::UnsupportedMediaType, Code::Busy, Code::RateLimited,
    ];
    SearchProblems: READ, &[Code::InvalidQuery, Code::NotFound];
    TreeProblems: READ, &[
        Code::InvalidJson, Code::InvalidBody, Code::NotFound, Code::RequestTimeout, Code::TooLarge,
        Code::UnsupportedMediaType,
    ];
}

/// One documented response per status, naming the codes it may carry.
fn document(codes: &[Code]) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes {
        by_status
            .entry(code.status().as_u16())
            .or_default()
            .push(code.slug());
    }
    let response = |slugs: Vec<&str>| {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        ResponseBuilder::new()
            .description(format!("`{}`", slugs.join("`, `")))
            .content("application/problem+json", content)
            .build()
    };
    by_status
        .into_iter()
        .map(|(status, slugs)| (status.to_string(), RefOr::T(response(slugs))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_a_word_of_its_own() {
        let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.slug()).collect();
        assert_eq!(words.len(), Code::ALL.len());
    }

    #[tokio::test]
    async fn a_problem_is_the_document_of_the_rfc() {
        let problem = Problem::at(Code::InvalidBody, vec![Fault::new("/rating", "0 to 5")]);
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 4096)
            .await
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:starling:problem:invalid_body",
                "title": "Bad Request",
                "status": 400,
                "detail": "the request is wrong in one place",
                "code": "invalid_body",
                "errors": [{"pointer": "/rating", "detail": "0 to 5"}],
            })
        );
    }

    #[test]
    fn what_passes_by_itself_says_when_to_try_again() {
        let response = Problem::new(Code::NoQuorum, "2 of 3 voters are away").into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}
