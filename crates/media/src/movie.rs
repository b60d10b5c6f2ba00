//! MP4 and QuickTime: when, where, how long and how large, from the film's header alone.

use model::file::{Camera, Facts, LocalTime, Place, Source as From, TakenAt};

use crate::boxes;
use crate::bytes::Endian::Big;
use crate::described::{Moment, Words};
use crate::exif;
use crate::notes::{Notes, clean};
use crate::source::{Source, Window};
use crate::when;

/// The longest text read from a film's header, in bytes.
const TEXT_BYTES_MAX: usize = 2048;
/// No film is longer than a year; more is a broken header.
const DURATION_MS_MAX: u64 = 366 * 24 * 3600 * 1000;

/// Reads the film's header into `facts`, and gives back what it says in words.
pub(crate) fn read(source: &mut Source, facts: &mut Facts, notes: &mut Notes) -> Words {
    let whole = source.whole();
    let Some(movie) = boxes::find(source, whole, b"moov") else {
        notes.add("the film has no header, so nothing is known about it");
        return Words::default();
    };
    let clock = boxes::find(source, movie, b"mvhd").and_then(|body| read_clock(source, body));
    facts.duration_ms = clock.as_ref().and_then(|clock| clock.duration_ms);
    if let Some((width, height)) = dimensions(source, movie) {
        facts.width = Some(width);
        facts.height = Some(height);
    }
    let texts = Texts::read(source, movie);
    facts.camera = texts.camera();
    Words {
        times: times(&texts, clock.and_then(|clock| clock.created), notes),
        place: place(&texts, notes),
        title: texts.title,
        description: texts.description,
        ..Words::default()
    }
}

struct Clock {
    /// Seconds since 1904, UTC.
    created: Option<u64>,
    duration_ms: Option<u64>,
}

fn read_clock(source: &mut Source, body: Window) -> Option<Clock> {
    let header = source.read_up_to(body, 0, 32)?;
    let (created, scale, duration) = match header.first()? {
        0 => (
            u64::from(Big.u32(&header, 4)?),
            Big.u32(&header, 12)?,
            // All ones: the writer did not know.
            Some(Big.u32(&header, 16)?)
                .filter(|&duration| duration != u32::MAX)
                .map(u64::from),
        ),
        1 => (
            Big.u64(&header, 4)?,
            Big.u32(&header, 20)?,
            Some(Big.u64(&header, 24)?).filter(|&duration| duration != u64::MAX),
        ),
        _ => return None,
    };
    let duration_ms = duration
        .and_then(|duration| duration.checked_mul(1000)?.checked_div(u64::from(scale)))
        .filter(|&duration_ms| duration_ms <= DURATION_MS_MAX);
    Some(Clock {
        created: Some(created),
        duration_ms,
    })
}

/// The first track that has a size, as shown: turned if its matrix says so.
fn dimensions(source: &mut Source, movie: Window) -> Option<(u32, u32)> {
    let children = boxes::children(source, movie);
    let tracks = children.into_iter().filter(|(name, _)| name == b"trak");
    tracks.into_iter().find_map(|(_, track)| {
        let body = boxes::find(source, track, b"tkhd")?;
        let header = source.read_up_to(body, 0, 96)?;
        let matrix = if *header.first()? == 0 { 40 } else { 52 };
        // Sizes are in 1/65536 pixel.
        let width = Big.u32(&header, matrix + 36)? >> 16;
        let height = Big.u32(&header, matrix + 40)? >> 16;
        let turned = Big.u32(&header, matrix)? == 0 && Big.u32(&header, matrix + 4)? != 0;
        let shown = if turned {
            (height, width)
        } else {
            (width, height)
        };
        (width > 0 && height > 0).then_some(shown)
    })
}

/// What the writer says in words, either in Apple's list of named values or in the older user data.
#[derive(Default)]
struct Texts {
    created: Option<String>,
    location: Option<String>,
    make: Option<String>,
    model: Option<String>,
    title: Option<String>,
    description: Option<String>,
}

impl Texts {
    fn read(source: &mut Source, movie: Window) -> Self {
        let mut texts = Self::default();
        for (key, text) in named_values(source, movie).unwrap_or_default() {
            match key.as_str() {
                "com.apple.quicktime.creationdate" => texts.created = Some(text),
                "com.apple.quicktime.location.ISO6709" => texts.location = Some(text),
                "com.apple.quicktime.make" => texts.make = Some(text),
                "com.apple.quicktime.model" => texts.model = Some(text),
                "com.apple.quicktime.title" => texts.title = Some(text),
                "com.apple.quicktime.description" => texts.description = Some(text),
                _ => {}
            }
        }
        if texts.location.is_none() {
            texts.location = boxes::find_path(source, movie, &[b"udta", b"\xa9xyz"])
                .and_then(|body| text(source, body.after(4)?));
        }
        texts
    }

    fn camera(&self) -> Option<Camera> {
        let name = |text: &Option<String>| {
            Some(clean(text.as_ref()?, 100)).filter(|name| !name.is_empty())
        };
        let camera = Camera {
            make: name(&self.make),
            model: name(&self.model),
            lens: None,
        };
        (camera != Camera::default()).then_some(camera)
    }
}

/// Apple's `meta` box: `keys` lists the names, `ilst` the values, each under the number of its name.
fn named_values(source: &mut Source, movie: Window) -> Option<Vec<(String, String)>> {
    let meta = boxes::find(source, movie, b"meta")?;
    let keys = boxes::find(source, meta, b"keys")?.after(8)?;
    let keys = boxes::children(source, keys);
    let values = boxes::find(source, meta, b"ilst")?;
    let values = boxes::children(source, values);
    let pairs = values.into_iter().filter_map(|(number, body)| {
        let index = usize::try_from(u32::from_be_bytes(number))
            .ok()?
            .checked_sub(1)?;
        let key = text(source, keys.get(index)?.1)?;
        let data = boxes::find(source, body, b"data")?.after(8)?;
        Some((key, text(source, data)?))
    });
    Some(pairs.collect())
}

fn text(source: &mut Source, body: Window) -> Option<String> {
    let bytes = source.read_up_to(body, 0, TEXT_BYTES_MAX)?;
    String::from_utf8(bytes).ok()
}

/// The local time, if the writer gives it, and the header's clock, which is UTC and may be that of a converter.
fn times(texts: &Texts, created: Option<u64>, notes: &mut Notes) -> Vec<(Moment, TakenAt)> {
    let mut times = Vec::new();
    if let Some(text) = &texts.created {
        match when::local_time_and_offset(text) {
            Some((local, offset_min)) => {
                times.push((Moment::Exposure, taken_at(local, offset_min)))
            }
            None => notes.add(format!(
                "capture time dropped: {:?} is not a date",
                clean(text, 30)
            )),
        }
    }
    match created.filter(|&seconds| seconds != 0).map(when::from_1904) {
        Some(Some(local)) => times.push((Moment::Creation, taken_at(local, Some(0)))),
        Some(None) if times.is_empty() => {
            notes.add("capture time dropped: the film's clock was never set");
        }
        _ => {}
    }
    times
}

fn taken_at(local: LocalTime, offset_min: Option<i16>) -> TakenAt {
    TakenAt {
        local,
        offset_min,
        source: From::Exif,
    }
}

/// Reads ISO 6709, `+38.7077-009.1365+010.0/`.
fn place(texts: &Texts, notes: &mut Notes) -> Option<Place> {
    let text = texts.location.as_ref()?;
    let numbers = signed_numbers(text.trim().trim_end_matches('/'));
    let place = match *numbers.as_slice() {
        [latitude, longitude] => Place::new(latitude, longitude, From::Exif),
        [latitude, longitude, altitude] => {
            Place::new(latitude, longitude, From::Exif).map(|mut place| {
                place.altitude =
                    Some(altitude).filter(|altitude| exif::ALTITUDES.contains(altitude));
                place
            })
        }
        _ => None,
    };
    let place = place.filter(|place| place.latitude() != 0.0 || place.longitude() != 0.0);
    if place.is_none() {
        notes.add(format!(
            "GPS position dropped: {:?} is not a place on the earth",
            clean(text, 40)
        ));
    }
    place
}

/// Numbers that each begin with their sign; nothing at all if one of them is none.
fn signed_numbers(text: &str) -> Vec<f64> {
    let starts: Vec<usize> = text.match_indices(['+', '-']).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let numbers: Option<Vec<f64>> = starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| {
            text.get(start..end)?
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
        })
        .collect();
    numbers
        .filter(|_| starts.first() == Some(&0))
        .unwrap_or_default()
}
