//! What this node takes at most, published so that a client need not find out by being refused.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use catalogue::rules;
use model::limits;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::rates::{PER_ADDRESS, PER_USER};
use super::{Api, params, reply, server, uses};

/// A file's bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 30;
/// A JSON body; longer than any command it could become.
pub(crate) const JSON_BYTES_MAX: usize = limits::COMMAND_BYTES_MAX;
/// An XMP file beside an upload.
pub(crate) const SIDECAR_BYTES_MAX: usize = media::SIDECAR_BYTES_MAX;
/// A picture that a client supplies.
pub(crate) const PREVIEW_BYTES_MAX: u64 = 16 << 20;
/// Files asked about in one check.
pub(crate) const CHECK_FILES_MAX: usize = 1000;

/// A password, in bytes.
pub(crate) const PASSWORD_BYTES: RangeInclusive<usize> = 8..=1024;
/// A session that is not used for so long is over.
pub(crate) const SESSION_IDLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// A session is over after so long, used or not.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(read))
}

/// What is taken at most. Bytes unless said otherwise.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Limits {
    /// A file, and a blob.
    file_bytes: u64,
    /// A JSON body.
    json_bytes: usize,
    /// An XMP file beside an upload.
    sidecar_bytes: usize,
    /// A picture that a client supplies.
    preview_bytes: u64,
    /// A raw record.
    record_bytes: usize,
    /// A block's commands.
    block_bytes: usize,
    /// A block's commands, in number.
    block_commands: usize,
    /// A change with all its values.
    command_bytes: usize,
    /// A file's name, a title, the name of a place.
    name_bytes: usize,
    /// A description.
    description_bytes: usize,
    /// A tag.
    tag_bytes: usize,
    /// Tags of one file, in number.
    tags: usize,
    /// A search text.
    query_bytes: usize,
    /// Items of a page, in number.
    page_items: u32,
    /// Files of one check, in number.
    check_files: usize,
    /// An idempotency key, in characters.
    idempotency_key_characters: usize,
    /// How long an idempotency key is kept, in seconds of block time.
    idempotency_key_seconds: u64,
    /// Uploads of one token that are not over, in number.
    uploads: usize,
    /// How long an upload is kept of which no more bytes come, in seconds of block time.
    upload_seconds: u64,
    /// The head of a request.
    request_head_bytes: usize,
    /// A password, at least.
    password_bytes_min: usize,
    /// A password.
    password_bytes: usize,
    /// Attempts to sign in under one name that may come at once, in number, on each node.
    sign_in_attempts: u32,
    /// After how many seconds one more may come under that name.
    sign_in_seconds: u64,
    /// Attempts to sign in from one address (of IPv6: one network of 64 bits) that may come at once, in number, on each node.
    sign_in_address_attempts: u32,
    /// After how many seconds one more may come from that address.
    sign_in_address_seconds: u64,
    /// After how many seconds without use a session is over, in block time.
    session_idle_seconds: u64,
    /// After how many seconds a session is over, used or not, in block time.
    session_seconds: u64,
    /// How old the last use of a token may be that other nodes know, in seconds.
    token_use_seconds: u64,
}

/// Read the limits
///
/// Public: no token is needed.
#[utoipa::path(
    get, path = "/api/v1/limits", operation_id = "getLimits", tag = "node", security(()),
    responses((status = 200, description = "What is taken at most", body = Limits)),
)]
async fn read() -> Response {
    reply::json(
        StatusCode::OK,
        &Limits {
            file_bytes: FILE_BYTES_MAX,
            json_bytes: JSON_BYTES_MAX,
            sidecar_bytes: SIDECAR_BYTES_MAX,
            preview_bytes: PREVIEW_BYTES_MAX,
            record_bytes: limits::RECORD_BYTES_MAX,
            block_bytes: limits::BLOCK_BYTES_MAX,
            block_commands: limits::BLOCK_COMMANDS_MAX,
            command_bytes: limits::COMMAND_BYTES_MAX,
            name_bytes: rules::NAME_BYTES_MAX,
            description_bytes: rules::DESCRIPTION_BYTES_MAX,
            tag_bytes: rules::TAG_BYTES_MAX,
            tags: rules::TAGS_MAX,
            query_bytes: catalogue::query::QUERY_BYTES_MAX,
            page_items: params::LIMIT_MAX,
            check_files: CHECK_FILES_MAX,
            idempotency_key_characters: limits::KEY_BYTES_MAX,
            idempotency_key_seconds: limits::KEYED_WINDOW.as_secs(),
            uploads: limits::UPLOADS_MAX,
            upload_seconds: limits::UPLOAD_LIFE.as_secs(),
            request_head_bytes: server::HEAD_BYTES_MAX,
            password_bytes_min: *PASSWORD_BYTES.start(),
            password_bytes: *PASSWORD_BYTES.end(),
            sign_in_attempts: PER_USER.burst,
            sign_in_seconds: PER_USER.every.as_secs(),
            sign_in_address_attempts: PER_ADDRESS.burst,
            sign_in_address_seconds: PER_ADDRESS.every.as_secs(),
            session_idle_seconds: SESSION_IDLE.as_secs(),
            session_seconds: SESSION_LIFE.as_secs(),
            token_use_seconds: uses::TOLD_FOR.as_secs(),
        },
    )
}
