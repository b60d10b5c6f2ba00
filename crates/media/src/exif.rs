//! What the EXIF tags say about a picture, with everything implausible dropped and noted.

use model::file::{Camera, Exposure, Facts, Place, Source as From, TakenAt};

use crate::described::{Moment, Words};
use crate::notes::{Notes, clean};
use crate::source::{Source, Window};
use crate::tiff::{Directory, Tag, Tags};
use crate::when;

/// The longest name of a camera or lens, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Nobody photographs deeper or higher than this, in metres.
pub(crate) const ALTITUDES: std::ops::RangeInclusive<f64> = -12_000.0..=100_000.0;

/// What cameras write as the description of every picture they take.
const PLACEHOLDERS: &[&str] = &[
    "OLYMPUS DIGITAL CAMERA",
    "MINOLTA DIGITAL CAMERA",
    "KONICA MINOLTA DIGITAL CAMERA",
    "DIGITAL CAMERA",
    "SAMSUNG",
    "SONY DSC",
    "DCIM",
    "DEFAULT",
    "ASCII",
    "DAV",
    "MDE",
];

/// Reads the EXIF blocks that were found in a file, each with the directory it holds, and gives back what people and
/// programs wrote into them.
pub(crate) fn read(
    blocks: &[(Directory, Window)],
    source: &mut Source,
    facts: &mut Facts,
    notes: &mut Notes,
) -> Words {
    let mut tags = Tags::default();
    for &(directory, window) in blocks {
        tags.read(source, window, directory, notes);
    }
    facts.orientation = orientation(&tags, notes);
    facts.camera = camera(&tags);
    facts.exposure = exposure(&tags, notes);
    if facts.media_type == "image/tiff"
        && let Some(media_type) = raw_media_type(&tags, facts.camera.as_ref())
    {
        media_type.clone_into(&mut facts.media_type);
    }
    Words {
        title: tags.utf16(Tag::XP_TITLE),
        description: description(&tags),
        keywords: keywords(&tags),
        rating: tags
            .whole_number(Tag::RATING)
            .and_then(|stars| u8::try_from(stars).ok())
            .filter(|stars| (1..=5).contains(stars)),
        times: times(&tags, notes),
        place: place(&tags, notes),
        ..Words::default()
    }
}

fn description(tags: &Tags) -> Option<String> {
    let text = tags.text(Tag::DESCRIPTION).filter(|text| {
        let text = text.trim();
        !text.is_empty() && !PLACEHOLDERS.contains(&text.to_ascii_uppercase().as_str())
    });
    text.or_else(|| tags.utf16(Tag::XP_COMMENT))
}

/// Windows keeps them in one text.
fn keywords(tags: &Tags) -> Vec<String> {
    let text = tags.utf16(Tag::XP_KEYWORDS).unwrap_or_default();
    text.split(';').map(str::to_owned).collect()
}

fn orientation(tags: &Tags, notes: &mut Notes) -> Option<u8> {
    let number = tags.number(Tag::ORIENTATION)?;
    let orientation = (1..=8).find(|&orientation| f64::from(orientation) == number);
    // Zero is how many programs say "not known".
    if orientation.is_none() && number != 0.0 {
        notes.add(format!(
            "orientation dropped: {number} is not between 1 and 8"
        ));
    }
    orientation
}

/// The moment of exposure and that of digitisation. The date of the last change of the file is neither.
fn times(tags: &Tags, notes: &mut Notes) -> Vec<(Moment, TakenAt)> {
    let exposure = (Tag::ORIGINAL, Tag::SUBSECOND_ORIGINAL, Tag::OFFSET_ORIGINAL);
    let creation = (
        Tag::DIGITIZED,
        Tag::SUBSECOND_DIGITIZED,
        Tag::OFFSET_DIGITIZED,
    );
    [(Moment::Exposure, exposure), (Moment::Creation, creation)]
        .into_iter()
        .filter_map(|(moment, (time, subsecond, offset))| {
            let text = tags.text(time).filter(|text| !when::is_blank(text))?;
            let Some(whole) = when::local_time(&text) else {
                notes.add(format!(
                    "capture time dropped: {:?} is not a date a picture can have",
                    clean(&text, 30)
                ));
                return None;
            };
            let micros = tags
                .text(subsecond)
                .and_then(|text| when::subsecond_micros(&text));
            let taken = TakenAt {
                local: when::with_micros(whole, micros.unwrap_or(0)),
                offset_min: offset_min(tags, offset, notes),
                source: From::Exif,
            };
            Some((moment, taken))
        })
        .collect()
}

fn offset_min(tags: &Tags, tag: Tag, notes: &mut Notes) -> Option<i16> {
    let text = tags.text(tag).filter(|text| !when::is_blank(text))?;
    let offset = when::offset_min(&text);
    if offset.is_none() {
        notes.add(format!(
            "time offset dropped: {:?} is not within 14 hours of UTC",
            clean(&text, 30)
        ));
    }
    offset
}

fn place(tags: &Tags, notes: &mut Notes) -> Option<Place> {
    if !tags.has(Tag::LATITUDE) && !tags.has(Tag::LONGITUDE) {
        return None;
    }
    let latitude = degrees(tags, Tag::LATITUDE, Tag::LATITUDE_REF, ["N", "S"]);
    let longitude = degrees(tags, Tag::LONGITUDE, Tag::LONGITUDE_REF, ["E", "W"]);
    let (Some(latitude), Some(longitude)) = (latitude, longitude) else {
        notes.add("GPS position dropped: it is incomplete or not a number");
        return None;
    };
    if latitude == 0.0 && longitude == 0.0 {
        notes.add("GPS position dropped: exactly 0, 0 is what a receiver without a fix writes");
        return None;
    }
    let Some(mut place) = Place::new(latitude, longitude, From::Exif) else {
        notes.add(format!(
            "GPS position dropped: {latitude}, {longitude} is not on the earth"
        ));
        return None;
    };
    place.altitude = altitude(tags, notes);
    Some(place)
}

/// Degrees, minutes and seconds with a letter for the half of the earth; nothing unless all are numbers.
fn degrees(tags: &Tags, value: Tag, half: Tag, [positive, negative]: [&str; 2]) -> Option<f64> {
    let parts = tags
        .numbers(value)
        .filter(|parts| (1..=3).contains(&parts.len()))?;
    let degrees: f64 = parts
        .iter()
        .zip([1.0, 60.0, 3600.0])
        .map(|(part, unit)| part / unit)
        .sum();
    let letter = tags.text(half)?.trim().to_ascii_uppercase();
    let sign = if letter == positive {
        1.0
    } else if letter == negative {
        -1.0
    } else {
        return None;
    };
    degrees.is_finite().then_some(sign * degrees)
}

fn altitude(tags: &Tags, notes: &mut Notes) -> Option<f64> {
    let metres = tags.number(Tag::ALTITUDE)?;
    let below = tags
        .whole_number(Tag::ALTITUDE_REF)
        .is_some_and(|reference| reference % 2 == 1);
    let metres = if below { -metres } else { metres };
    let plausible = ALTITUDES.contains(&metres);
    if !plausible {
        notes.add("GPS altitude dropped: it is not a height on the earth");
    }
    plausible.then_some(metres)
}

fn camera(tags: &Tags) -> Option<Camera> {
    let name = |tag| {
        let name = clean(&tags.text(tag)?, NAME_CHARS_MAX);
        (!name.is_empty()).then_some(name)
    };
    let camera = Camera {
        make: name(Tag::MAKE),
        model: name(Tag::MODEL),
        lens: name(Tag::LENS_MODEL),
    };
    (camera != Camera::default()).then_some(camera)
}

fn exposure(tags: &Tags, notes: &mut Notes) -> Option<Exposure> {
    let mut plausible = |tag, name, most: f64| {
        // A lens that does not talk to its camera has the aperture and the focal length 0.
        let number = tags.number(tag).filter(|&number| number != 0.0)?;
        let plausible = number > 0.0 && number <= most;
        if !plausible {
            notes.add(format!("{name} dropped: {number} is not possible"));
        }
        plausible.then_some(number)
    };
    let iso = match plausible(Tag::ISO, "sensitivity", 1e9) {
        // The field has two bytes: at its end the real value stands elsewhere.
        Some(65_535.0) => plausible(Tag::ISO_SPEED, "sensitivity", 1e9),
        iso => iso,
    };
    let exposure = Exposure {
        seconds: plausible(Tag::EXPOSURE_TIME, "exposure time", 1e6),
        aperture: plausible(Tag::F_NUMBER, "aperture", 1e4),
        iso: iso.map(|iso| iso as u32),
        focal_mm: plausible(Tag::FOCAL_LENGTH, "focal length", 1e5),
    };
    (exposure != Exposure::default()).then_some(exposure)
}

/// Raw files that look like any TIFF from outside: their first picture is a preview, and the maker says the rest.
fn raw_media_type(tags: &Tags, camera: Option<&Camera>) -> Option<&'static str> {
    if tags.has(Tag::DNG_VERSION) {
        return Some("image/x-adobe-dng");
    }
    let preview = tags.whole_number(Tag::SUBFILE_TYPE) == Some(1);
    let make = camera?
        .make
        .as_deref()
        .filter(|_| preview)?
        .to_ascii_uppercase();
    let makers = [
        ("NIKON", "image/x-nikon-nef"),
        ("SONY", "image/x-sony-arw"),
        ("PENTAX", "image/x-pentax-pef"),
        ("SAMSUNG", "image/x-samsung-srw"),
        ("HASSELBLAD", "image/x-hasselblad-3fr"),
        ("PHASE ONE", "image/x-phaseone-iiq"),
        ("SEIKO EPSON", "image/x-epson-erf"),
        ("KODAK", "image/x-kodak-dcr"),
        ("EASTMAN KODAK", "image/x-kodak-dcr"),
    ];
    let (_, media_type) = makers
        .into_iter()
        .find(|(maker, _)| make.starts_with(maker))?;
    Some(media_type)
}
