//! The fields that a file may have or lack, for `has:` and `missing:`.

use crate::file::Word;

/// A field that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// A capture time.
    Taken,
    /// The capture time's offset from UTC.
    Offset,
    /// A position.
    Gps,
    /// The position's height.
    Altitude,
    /// A heading.
    Title,
    /// A text.
    Description,
    /// At least one tag.
    Tag,
    /// A rating.
    Rating,
    /// The camera.
    Camera,
    /// The camera's lens.
    Lens,
    /// The exposure.
    Exposure,
    /// Pixels across.
    Width,
    /// Pixels down.
    Height,
    /// EXIF orientation.
    Orientation,
    /// Length of a video or sound.
    Duration,
    /// A blurred miniature.
    Thumbhash,
}

impl Field {
    /// All of them, in the order of their bits, which the schema fixes.
    pub(crate) const ALL: [Self; 16] = [
        Self::Taken,
        Self::Offset,
        Self::Gps,
        Self::Altitude,
        Self::Title,
        Self::Description,
        Self::Tag,
        Self::Rating,
        Self::Camera,
        Self::Lens,
        Self::Exposure,
        Self::Width,
        Self::Height,
        Self::Orientation,
        Self::Duration,
        Self::Thumbhash,
    ];

    /// Its bit in the `fields` column.
    pub(crate) fn bit(self) -> i64 {
        1 << self as u8
    }
}

impl Word for Field {
    /// The first word of a field is its canonical one.
    const WORDS: &'static [(&'static str, Self)] = &[
        ("taken", Self::Taken),
        ("offset", Self::Offset),
        ("gps", Self::Gps),
        ("altitude", Self::Altitude),
        ("title", Self::Title),
        ("description", Self::Description),
        ("tag", Self::Tag),
        ("rating", Self::Rating),
        ("camera", Self::Camera),
        ("lens", Self::Lens),
        ("exposure", Self::Exposure),
        ("width", Self::Width),
        ("height", Self::Height),
        ("orientation", Self::Orientation),
        ("duration", Self::Duration),
        ("thumbhash", Self::Thumbhash),
        ("place", Self::Gps),
        ("tags", Self::Tag),
        ("date", Self::Taken),
    ];
}
