//! What the properties of an XMP packet mean.

use model::file::{Camera, Exposure, Place, TakenAt};

use crate::described::{Location, Moment, Origin, Words};
use crate::exif::ALTITUDES;
use crate::notes::{Notes, clean};
use crate::packet::Packet;
use crate::when;

const REGIONS: &str = "mwg-rs:Regions/mwg-rs:RegionList";

/// Reads what people and programs wrote.
pub(crate) fn words(packet: &Packet, origin: Origin, notes: &mut Notes) -> Words {
    if packet.broken {
        notes.add("the XMP packet is broken: it ends too early or is too large");
    }
    let text = |ways: &[&str]| {
        ways.iter()
            .find_map(|way| packet.first(way))
            .map(str::to_owned)
    };
    Words {
        title: text(&["dc:title", "photoshop:Headline"]),
        description: text(&["dc:description"]),
        trees: trees(packet),
        keywords: packet.all("dc:subject").map(str::to_owned).collect(),
        people: people(packet),
        rating: rating(packet),
        location: Location {
            sublocation: text(&["Iptc4xmpCore:Location"]),
            city: text(&["photoshop:City"]),
            state: text(&["photoshop:State"]),
            country: text(&["photoshop:Country"]),
        },
        times: times(packet, origin, notes),
        place: place(packet, origin, notes),
    }
}

/// Lightroom parts its trees with `|`, digiKam and Microsoft with `/`.
fn trees(packet: &Packet) -> Vec<Vec<String>> {
    let lists = [
        ("lr:hierarchicalSubject", '|'),
        ("digiKam:TagsList", '/'),
        ("MicrosoftPhoto:LastKeywordXMP", '/'),
    ];
    lists
        .iter()
        .flat_map(|&(way, between)| {
            let texts = packet.all(way);
            texts.map(move |text| text.split(between).map(str::to_owned).collect())
        })
        .collect()
}

/// Names beside faces, and names without a place in the picture.
fn people(packet: &Packet) -> Vec<String> {
    let (name, kind) = (
        format!("{REGIONS}/mwg-rs:Name"),
        format!("{REGIONS}/mwg-rs:Type"),
    );
    let named = packet.values_of(&name).filter(|name| {
        let mut kinds = packet.values_of(&kind);
        // A region is a face unless it says that it is a pet, a bar code or what the lens was set to.
        kinds
            .find(|kind| kind.entry == name.entry)
            .is_none_or(|kind| kind.text == "Face")
    });
    let named = named.map(|name| name.text.as_str());
    let others = [
        "Iptc4xmpExt:PersonInImage",
        "MP:RegionInfo/MPRI:Regions/MPReg:PersonDisplayName",
    ];
    let others = others.iter().flat_map(|way| packet.all(way));
    named.chain(others).map(str::to_owned).collect()
}

/// Stars; "rejected", which is −1, is not a number of stars.
fn rating(packet: &Packet) -> Option<u8> {
    let stars: f64 = packet.first("xmp:Rating")?.parse().ok()?;
    (0.0..=5.0).contains(&stars).then(|| stars.round() as u8)
}

fn times(packet: &Packet, origin: Origin, notes: &mut Notes) -> Vec<(Moment, TakenAt)> {
    let ways = [
        (Moment::Exposure, "exif:DateTimeOriginal"),
        (Moment::Exposure, "photoshop:DateCreated"),
        (Moment::Creation, "xmp:CreateDate"),
        (Moment::Creation, "exif:DateTimeDigitized"),
    ];
    let mut times = Vec::new();
    for (moment, way) in ways {
        let Some(text) = packet.first(way) else {
            continue;
        };
        match when::iso_time(text) {
            Some((local, offset_min)) => times.push((
                moment,
                TakenAt {
                    local,
                    offset_min,
                    source: origin.source(),
                },
            )),
            None => notes.add(format!(
                "XMP time dropped: {:?} is not a date a picture can have",
                clean(text, 30)
            )),
        }
    }
    times
}

fn place(packet: &Packet, origin: Origin, notes: &mut Notes) -> Option<Place> {
    let latitude = packet.first("exif:GPSLatitude")?;
    let longitude = packet.first("exif:GPSLongitude")?;
    let place = degrees(latitude, ['N', 'S'])
        .zip(degrees(longitude, ['E', 'W']))
        .filter(|&(latitude, longitude)| latitude != 0.0 || longitude != 0.0)
        .and_then(|(latitude, longitude)| Place::new(latitude, longitude, origin.source()));
    let Some(mut place) = place else {
        notes.add("XMP position dropped: it is not a place on the earth");
        return None;
    };
    let metres = packet.first("exif:GPSAltitude").and_then(fraction);
    let below = packet.first("exif:GPSAltitudeRef") == Some("1");
    place.altitude = metres
        .map(|metres| if below { -metres } else { metres })
        .filter(|metres| ALTITUDES.contains(metres));
    Some(place)
}

/// `38,42.462N` or `38,42,27.72N`.
fn degrees(text: &str, [positive, negative]: [char; 2]) -> Option<f64> {
    let (numbers, sign) = match text.strip_suffix(positive) {
        Some(numbers) => (numbers, 1.0),
        None => (text.strip_suffix(negative)?, -1.0),
    };
    let parts: Option<Vec<f64>> = numbers.split(',').map(|part| part.parse().ok()).collect();
    let parts = parts.filter(|parts| parts.len() <= 3)?;
    let within = parts.iter().all(|part: &f64| (0.0..=180.0).contains(part));
    let units = [1.0, 60.0, 3600.0];
    let degrees: f64 = parts
        .iter()
        .zip(units)
        .map(|(part, unit)| part / unit)
        .sum();
    within.then_some(sign * degrees)
}

/// `125/10` or `12.5`.
fn fraction(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/').unwrap_or((text, "1"));
    let (over, under): (f64, f64) = (over.trim().parse().ok()?, under.trim().parse().ok()?);
    Some(over / under).filter(|number| number.is_finite())
}

/// The camera, for files that lost their EXIF block on the way.
pub(crate) fn camera(packet: &Packet) -> Option<Camera> {
    let name = |ways: &[&str]| {
        let text = ways.iter().find_map(|way| packet.first(way))?;
        Some(clean(text, 100)).filter(|name| !name.is_empty())
    };
    let camera = Camera {
        make: name(&["tiff:Make"]),
        model: name(&["tiff:Model"]),
        lens: name(&["exifEX:LensModel", "aux:Lens"]),
    };
    (camera != Camera::default()).then_some(camera)
}

/// The exposure, for the same files.
pub(crate) fn exposure(packet: &Packet) -> Option<Exposure> {
    let number = |way, most| {
        let number = packet.first(way).and_then(fraction)?;
        (number > 0.0 && number <= most).then_some(number)
    };
    let iso = ["exifEX:PhotographicSensitivity", "exif:ISOSpeedRatings"];
    let exposure = Exposure {
        seconds: number("exif:ExposureTime", 1e6),
        aperture: number("exif:FNumber", 1e4),
        iso: iso
            .iter()
            .find_map(|way| number(way, 1e9))
            .map(|iso| iso as u32),
        focal_mm: number("exif:FocalLength", 1e5),
    };
    (exposure != Exposure::default()).then_some(exposure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_read_with_minutes_and_with_seconds() {
        let near =
            |left: Option<f64>, right: f64| left.is_some_and(|left| (left - right).abs() < 1e-9);
        assert!(near(degrees("38,42.462N", ['N', 'S']), 38.7077));
        assert!(near(degrees("9,8,11.4W", ['E', 'W']), -9.1365));
        for text in [
            "", "N", "38", "38,NaNN", "1e99N", "-3,1N", "1,2,3,4N", "infN",
        ] {
            assert_eq!(degrees(text, ['N', 'S']), None, "{text}");
        }
    }

    #[test]
    fn fractions_are_numbers_or_nothing() {
        assert_eq!(fraction("125/10"), Some(12.5));
        assert_eq!(fraction("12.5"), Some(12.5));
        for text in ["1/0", "", "/", "a/b", "NaN", "inf"] {
            assert_eq!(fraction(text), None, "{text}");
        }
    }
}
