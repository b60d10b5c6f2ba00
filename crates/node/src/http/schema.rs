//! The shapes of bodies that are made or read elsewhere, for the OpenAPI document.
//!
//! The catalogue makes the File and knows nothing of OpenAPI; edits are read by hand, member by member, so that every
//! fault can be named. A test holds these shapes against what is really sent.

#![expect(dead_code, reason = "only their shapes are used")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Octets(Vec<u8>);

/// What is known about a file in one library, at one version. Absent values are null.
#[derive(ToSchema)]
#[schema(as = File, rename_all = "camelCase")]
pub(crate) struct FileDocument {
    /// SHA-256 of its bytes.
    id: String,
    /// The library it is in.
    #[schema(example = "home")]
    library: String,
    /// Length in bytes.
    size: u64,
    /// By content, never by name.
    #[schema(example = "image/jpeg")]
    media_type: String,
    /// The coarse kind.
    kind: Kind,
    /// What it is called. Text, never a path.
    name: String,
    /// Everything it was ever called, first to last.
    names: Vec<String>,
    /// A heading.
    #[schema(required)]
    title: Option<String>,
    /// A text.
    #[schema(required)]
    description: Option<String>,
    /// Nested with `/`.
    tags: Vec<String>,
    /// 0 to 5.
    #[schema(required, minimum = 0, maximum = 5)]
    rating: Option<u8>,
    /// Marked.
    favourite: bool,
    /// When it was taken.
    #[schema(required)]
    taken_at: Option<TakenAt>,
    /// Where it was taken.
    #[schema(required)]
    place: Option<Place>,
    /// With what.
    #[schema(required)]
    camera: Option<Camera>,
    /// How the light fell.
    #[schema(required)]
    exposure: Option<Exposure>,
    /// Pixels across, as shown.
    #[schema(required)]
    width: Option<u32>,
    /// Pixels down, as shown.
    #[schema(required)]
    height: Option<u32>,
    /// EXIF orientation, 1 to 8.
    #[schema(required)]
    orientation: Option<u8>,
    /// Length of a video or sound.
    #[schema(required)]
    duration_ms: Option<u64>,
    /// A blurred miniature (ThumbHash) in base64.
    #[schema(required)]
    thumbhash: Option<String>,
    /// The user's own fields.
    #[schema(required)]
    fields: BTreeMap<String, Value>,
    /// Albums it is in.
    albums: Vec<String>,
    /// Where it is kept.
    state: State,
    /// Time of the block that added it.
    #[schema(format = DateTime)]
    added_at: String,
    /// The token that added it.
    added_by: String,
    /// Counts the file's changes, from 1.
    version: u64,
    /// It claims to be a picture and cannot be decoded.
    undecodable: bool,
    /// What was dropped from its metadata, and why.
    notes: Vec<String>,
    /// Whose word title, description, tags and rating are.
    sources: Sources,
    /// Names of the people to be seen, as the file tells them.
    people: Vec<String>,
    /// Where it was taken, in words, as the file tells it.
    #[schema(required)]
    location: Option<String>,
    /// The decoder that would show its picture and was missing; it is tried again when a node has it.
    #[schema(required, example = "libheif")]
    needs: Option<String>,
    /// Nearly the same for pictures that look the same: 16 hexadecimal digits.
    #[schema(required)]
    perceptual_hash: Option<String>,
    /// SHA-256 of the picture that a client supplied.
    #[schema(required)]
    preview: Option<String>,
}

/// Whose word values are that do not say so themselves.
#[derive(ToSchema)]
pub(crate) struct Sources {
    /// The heading.
    title: Source,
    /// The text.
    description: Source,
    /// The tags, if all are of one source; else the user's.
    tags: Source,
    /// The rating.
    rating: Source,
}

/// The coarse kind of a file.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum Kind {
    Photo,
    Video,
    Other,
}

/// Where a file is kept.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum State {
    Live,
    Archived,
    Trashed,
}

/// Whose word a value is. The user's wins over all others for ever.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum Source {
    User,
    Exif,
    Xmp,
    Rule,
    Model,
    Iptc,
    Sidecar,
    Name,
}

/// When a picture was taken, as its camera's clock showed it.
#[derive(ToSchema)]
pub(crate) struct TakenAt {
    /// What the clock showed, without a zone.
    #[schema(example = "2019-07-04T18:03:00.123")]
    local: String,
    /// East of UTC, if known.
    #[schema(required, example = "+01:00")]
    offset: Option<String>,
    /// Whose word it is.
    source: Source,
}

/// A point on the earth (WGS 84).
#[derive(ToSchema)]
pub(crate) struct Place {
    /// Degrees north.
    #[schema(minimum = -90, maximum = 90)]
    lat: f64,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
    /// Metres above the sea.
    #[schema(required)]
    altitude: Option<f64>,
    /// What it is called.
    #[schema(required)]
    name: Option<String>,
    /// Whose word it is.
    source: Source,
}

/// A device.
#[derive(ToSchema)]
pub(crate) struct Camera {
    /// `Google`.
    #[schema(required)]
    make: Option<String>,
    /// `Pixel 7`.
    #[schema(required)]
    model: Option<String>,
    /// `EF 50mm f/1.8`.
    #[schema(required)]
    lens: Option<String>,
}

/// How the light fell.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Exposure {
    /// Shutter, in seconds.
    #[schema(required)]
    seconds: Option<f64>,
    /// The f-number.
    #[schema(required)]
    aperture: Option<f64>,
    /// Sensitivity.
    #[schema(required)]
    iso: Option<u32>,
    /// Focal length, in millimetres.
    #[schema(required)]
    focal_mm: Option<f64>,
}

/// The parts of an upload.
#[derive(ToSchema)]
pub(crate) struct UploadForm {
    /// The bytes. The part's file name is the file's name.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// What the uploader says of it.
    metadata: Option<Metadata>,
    /// An XMP file beside it, of at most `sidecarBytes`.
    #[schema(value_type = Option<String>, format = Binary)]
    sidecar: Option<Vec<u8>>,
}

/// A file made of bytes that are here already.
#[derive(ToSchema)]
pub(crate) struct AddFile {
    /// SHA-256 of the bytes, put before with `PUT /blobs/sha256:{hex}` or readable as part of a file.
    sha256: String,
    /// What the file is called. Text, never a path.
    name: String,
    /// What is said of it.
    metadata: Option<Metadata>,
}

/// What an uploader says of a file. Absent and null mean "nothing said".
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Metadata {
    /// A heading.
    title: Option<String>,
    /// A text.
    description: Option<String>,
    /// Nested with `/`.
    tags: Option<Vec<String>>,
    /// 0 to 5.
    #[schema(minimum = 0, maximum = 5)]
    rating: Option<u8>,
    /// Marked.
    favourite: Option<bool>,
    /// When it was taken, if the file does not know or is wrong.
    taken_at: Option<TakenAtEdit>,
    /// Where it was taken, if the file does not know or is wrong.
    place: Option<PlaceEdit>,
}

/// A merge patch of a file: null clears, what is absent stays.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FilePatch {
    /// What it is called; cannot be cleared.
    #[schema(nullable = false)]
    name: Option<String>,
    /// A heading.
    title: Option<String>,
    /// A text.
    description: Option<String>,
    /// Replaces all tags.
    tags: Option<Vec<String>>,
    /// 0 to 5.
    #[schema(minimum = 0, maximum = 5)]
    rating: Option<u8>,
    /// Marked.
    favourite: Option<bool>,
    /// When it was taken; members that are absent stay.
    taken_at: Option<TakenAtEdit>,
    /// Where it was taken; members that are absent stay.
    place: Option<PlaceEdit>,
    /// Where it is kept; cannot be cleared.
    #[schema(nullable = false)]
    state: Option<State>,
    /// Values of the user's own fields by name; null clears one, what is absent stays.
    #[schema(nullable = false)]
    fields: Option<BTreeMap<String, Value>>,
    /// Replaces all albums that it was put into, by their ids.
    albums: Option<Vec<String>>,
}

/// A capture time as a user gives it.
#[derive(ToSchema)]
pub(crate) struct TakenAtEdit {
    /// What the clock showed, years 1 to 9999.
    #[schema(example = "2019-07-04T18:03:00.123")]
    local: String,
    /// East of UTC, within 14 hours.
    #[schema(example = "+01:00")]
    offset: Option<String>,
    /// Taken and not looked at: what a user sends is the user's word.
    source: Option<Source>,
}

/// A place as a user gives it.
#[derive(ToSchema)]
pub(crate) struct PlaceEdit {
    /// Degrees north.
    #[schema(minimum = -90, maximum = 90)]
    lat: f64,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
    /// Metres above the sea.
    altitude: Option<f64>,
    /// What it is called.
    name: Option<String>,
    /// Taken and not looked at: what a user sends is the user's word.
    source: Option<Source>,
}

/// One change of one file.
#[derive(ToSchema)]
#[schema(as = HistoryEntry, rename_all = "camelCase")]
pub(crate) struct HistoryDocument {
    /// Height of the block that holds the command.
    height: u64,
    /// The command's place in it.
    index: u32,
    /// The block's time.
    #[schema(format = DateTime)]
    time: String,
    /// The token that acted.
    actor: String,
    /// Whose token it is; null if it is nobody's.
    #[schema(required)]
    user: Option<String>,
    /// What was done.
    kind: HistoryKind,
    /// The file's version after it.
    version: u64,
    /// Property by property.
    changes: Vec<FieldChange>,
    /// The operation over many files that it was part of.
    #[schema(required)]
    operation: Option<String>,
}

/// What was done to a file.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum HistoryKind {
    Added,
    AddedAgain,
    Edited,
    Pictured,
    Imported,
}

/// The change of one property.
#[derive(ToSchema)]
pub(crate) struct FieldChange {
    /// The property, as the File calls it; of a user's own field `fields.` and its name.
    field: String,
    /// Its value before; null if it had none.
    #[schema(required)]
    from: Value,
    /// Its value after.
    #[schema(required)]
    to: Value,
    /// Whose word the new value is.
    source: Source,
}

/// A token, without its secret.
#[derive(ToSchema)]
#[schema(as = Token, rename_all = "camelCase")]
pub(crate) struct TokenDocument {
    /// Its public half.
    id: String,
    /// The library its requests address unless they say otherwise.
    library: String,
    /// What people call it.
    name: String,
    /// What it may do.
    scope: Scope,
    /// When it was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// The token that created it.
    created_by: String,
    /// It is no longer accepted.
    revoked: bool,
    /// Whose it is; null for nobody's.
    #[schema(required)]
    owner: Option<String>,
    /// Until when it is accepted, in block time; a session longer if it is used.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// When it was used last: on the node that is asked at once, on others within the hour.
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    /// Whether it was made by a sign-in.
    session: bool,
}

/// What a token may do: each includes the ones before it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum Scope {
    Read,
    Write,
    Admin,
}

/// A tag and how many live files carry it.
#[derive(ToSchema)]
#[schema(as = Tag)]
pub(crate) struct TagDocument {
    /// As it is spelled.
    tag: String,
    /// Files with it or a tag below it: what a search for it finds.
    count: u64,
    /// Files with the tag itself.
    direct: u64,
}
