//! What is known about a file: facts read from its bytes, and what people say of it.

use std::fmt;

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::field::FieldValue;
use crate::id::AlbumId;
use crate::{codec_enum, codec_struct};

/// What the bytes say of themselves. Read once, by the node that took the upload, so that every node has the same.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// By content, never by name: `image/jpeg`, or `application/octet-stream` if unknown.
    pub media_type: String,
    /// The coarse kind.
    pub kind: Kind,
    /// Pixels across, as shown (after orientation).
    pub width: Option<u32>,
    /// Pixels down, as shown (after orientation).
    pub height: Option<u32>,
    /// EXIF orientation, 1 to 8.
    pub orientation: Option<u8>,
    /// Length of a video or sound.
    pub duration_ms: Option<u64>,
    /// When it was taken.
    pub taken_at: Option<TakenAt>,
    /// Where it was taken.
    pub place: Option<Place>,
    /// With what.
    pub camera: Option<Camera>,
    /// How.
    pub exposure: Option<Exposure>,
    /// A blurred miniature (ThumbHash), about 25 bytes; empty if there is none.
    pub thumbhash: Vec<u8>,
    /// It claims to be a picture and cannot be decoded.
    pub undecodable: bool,
    /// What was dropped and why, for people.
    pub notes: Vec<String>,
}

codec_struct!(Facts {
    media_type,
    kind,
    width,
    height,
    orientation,
    duration_ms,
    taken_at,
    place,
    camera,
    exposure,
    thumbhash,
    undecodable,
    notes,
});

/// The coarse kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// A still picture.
    Photo,
    /// A moving one.
    Video,
    /// Anything else.
    #[default]
    Other,
}

codec_enum!(Kind, "kind" { 0 => Photo, 1 => Video, 2 => Other });

/// Who a value comes from. The user's wins over all others for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A person.
    User,
    /// The file's EXIF block.
    Exif,
    /// The file's XMP packet.
    Xmp,
    /// A rule.
    Rule,
    /// A model.
    Model,
    /// The file's IPTC block.
    Iptc,
    /// An XMP file beside it.
    Sidecar,
    /// The file's name.
    Name,
}

codec_enum!(Source, "source" {
    0 => User, 1 => Exif, 2 => Xmp, 3 => Rule, 4 => Model, 5 => Iptc, 6 => Sidecar, 7 => Name,
});

/// A wall-clock reading without a zone: microseconds since 1970-01-01T00:00:00 on that same clock.
///
/// Invariant: between the years 1 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime(i64);

impl LocalTime {
    /// 0001-01-01T00:00:00.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From microseconds since 1970 on the local clock; nothing outside the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        let time = Self(micros);
        (Self::MIN..=Self::MAX).contains(&time).then_some(time)
    }

    /// Microseconds since 1970 on the local clock.
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl Encode for LocalTime {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for LocalTime {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let micros = i64::decode(input)?;
        Self::from_micros(micros).ok_or(DecodeError::Invalid {
            what: "local time",
            value: micros.cast_unsigned(),
        })
    }
}

/// When a picture was taken, as its camera's clock showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenAt {
    /// What the clock showed.
    pub local: LocalTime,
    /// East of UTC, in minutes, within ± 14 hours, if known.
    pub offset_min: Option<i16>,
    /// Who says so.
    pub source: Source,
}

codec_struct!(TakenAt {
    local,
    offset_min,
    source
});

/// A point on the earth (WGS 84).
///
/// Invariant: latitude within ± 90, longitude within ± 180, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    latitude: f64,
    longitude: f64,
    /// Metres above the sea.
    pub altitude: Option<f64>,
    /// What it is called.
    pub name: Option<String>,
    /// Who says so.
    pub source: Source,
}

impl Place {
    /// A point in degrees; nothing if it is not on the earth.
    pub fn new(latitude: f64, longitude: f64, source: Source) -> Option<Self> {
        let valid = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        valid.then_some(Self {
            latitude,
            longitude,
            altitude: None,
            name: None,
            source,
        })
    }

    /// Degrees north.
    pub fn latitude(&self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    pub fn longitude(&self) -> f64 {
        self.longitude
    }
}

impl Encode for Place {
    fn encode(&self, out: &mut Vec<u8>) {
        self.latitude.encode(out);
        self.longitude.encode(out);
        self.altitude.encode(out);
        self.name.encode(out);
        self.source.encode(out);
    }
}

impl Decode for Place {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (latitude, longitude) = <(f64, f64)>::decode(input)?;
        let altitude = Decode::decode(input)?;
        let name = Decode::decode(input)?;
        let source = Decode::decode(input)?;
        let place = Self::new(latitude, longitude, source).ok_or(DecodeError::Invalid {
            what: "place",
            value: latitude.to_bits(),
        })?;
        Ok(Self {
            altitude,
            name,
            ..place
        })
    }
}

/// The device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Camera {
    /// `Google`.
    pub make: Option<String>,
    /// `Pixel 7`.
    pub model: Option<String>,
    /// `EF 50mm f/1.8`.
    pub lens: Option<String>,
}

codec_struct!(Camera { make, model, lens });

/// How the light fell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exposure {
    /// Shutter, in seconds.
    pub seconds: Option<f64>,
    /// The f-number.
    pub aperture: Option<f64>,
    /// Sensitivity.
    pub iso: Option<u32>,
    /// Focal length, in millimetres.
    pub focal_mm: Option<f64>,
}

codec_struct!(Exposure {
    seconds,
    aperture,
    iso,
    focal_mm
});

/// Where a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Among the others.
    #[default]
    Live,
    /// Out of sight, on purpose.
    Archived,
    /// Thrown away, not yet destroyed.
    Trashed,
}

codec_enum!(State, "state" { 0 => Live, 1 => Archived, 2 => Trashed });

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Archived => "archived",
            Self::Trashed => "trashed",
        })
    }
}

/// What an uploader says of a new file. Absent means "nothing said".
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// A heading.
    pub title: Option<String>,
    /// A text.
    pub description: Option<String>,
    /// Nested with `/`.
    pub tags: Vec<String>,
    /// 0 to 5.
    pub rating: Option<u8>,
    /// Marked.
    pub favourite: bool,
    /// When it was taken, if the file does not know or is wrong.
    pub taken_at: Option<TakenAt>,
    /// Where it was taken, if the file does not know or is wrong.
    pub place: Option<Place>,
}

codec_struct!(Metadata {
    title,
    description,
    tags,
    rating,
    favourite,
    taken_at,
    place
});

/// One edit of one property.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Calls the file something else.
    Name(String),
    /// Sets or clears the heading.
    Title(Option<String>),
    /// Sets or clears the text.
    Description(Option<String>),
    /// Replaces all tags.
    Tags(Vec<String>),
    /// Sets (0 to 5) or clears the rating.
    Rating(Option<u8>),
    /// Marks or unmarks.
    Favourite(bool),
    /// Sets or clears the capture time.
    TakenAt(Option<TakenAt>),
    /// Sets or clears the place.
    Place(Option<Place>),
    /// Moves it between live, archived and trashed.
    State(State),
    /// Adds a tag, whatever others there are.
    AddTag(String),
    /// Takes a tag away, in whatever case it is written.
    RemoveTag(String),
    /// Sets the values of a user's own field; none clears it.
    Field {
        /// The field's number.
        field: u32,
        /// Its values: one, or several if it is a list.
        values: Vec<FieldValue>,
    },
    /// Moves the capture time by so many microseconds; does nothing where there is none.
    ShiftTaken(i64),
    /// Says in which zone the camera's clock was; does nothing where there is no capture time.
    Zone(Option<i16>),
    /// Puts it into an album.
    AddToAlbum {
        /// Which.
        album: AlbumId,
        /// Its place, lowest first; none for the last.
        rank: Option<u64>,
    },
    /// Takes it out of an album.
    RemoveFromAlbum(AlbumId),
    /// Puts it into these albums and no others.
    Albums(Vec<AlbumId>),
    /// Has it stand for an album that it is in.
    Cover {
        /// Which.
        album: AlbumId,
        /// Since when, as the number of the command; given where the command is applied.
        at: Option<u64>,
    },
}

codec_enum!(Change, "change" {
    0 => Name(value),
    1 => Title(value),
    2 => Description(value),
    3 => Tags(value),
    4 => Rating(value),
    5 => Favourite(value),
    6 => TakenAt(value),
    7 => Place(value),
    8 => State(value),
    9 => AddTag(value),
    10 => RemoveTag(value),
    11 => Field { field, values },
    12 => ShiftTaken(value),
    13 => Zone(value),
    14 => AddToAlbum { album, rank },
    15 => RemoveFromAlbum(album),
    16 => Albums(albums),
    17 => Cover { album, at },
});
