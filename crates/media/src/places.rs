//! What a point on the earth is called, without asking anybody: the nearest of 144,563 places.
//!
//! The table is [GeoNames](https://www.geonames.org)' list of places with at least 1,000 inhabitants (CC BY 4.0, to be
//! credited wherever names are shown: [`CREDIT`]), sorted from south to north and read where it lies in the program:
//! nothing is loaded. A search goes north and south from the point's own latitude until even a place straight ahead
//! would be further than the nearest one found.

use crate::bytes::Endian::Little;

/// Whose data the names are.
pub const CREDIT: &str = "Place names by GeoNames (geonames.org), CC BY 4.0";

/// Further away than this a name says nothing.
const DISTANCE_KM_MAX: f64 = 50.0;
/// One degree of latitude.
const KM_PER_DEGREE: f64 = 111.2;

static TABLE: &[u8] = include_bytes!("../assets/places.bin");

/// Bytes before the places, of one place, and places between two beginnings of names.
const HEADER: usize = 12;
const PLACE: usize = 9;
const BLOCK: usize = 64;

/// The nearest place.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// Its name.
    pub name: String,
    /// The state or province, empty if unknown.
    pub region: String,
    /// The country, as its two letters of ISO 3166.
    pub country: String,
    /// How far away its middle is.
    pub km: f64,
}

/// The nearest place within 50 km of a point in degrees.
pub fn nearest(latitude: f64, longitude: f64) -> Option<Near> {
    let valid = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    let count = number(4)?;
    let (start, mut best) = (first_north_of(latitude, count)?, None);
    let north = start..count;
    let south = (0..start).rev();
    if valid {
        search(north, latitude, longitude, &mut best);
        search(south, latitude, longitude, &mut best);
    }
    let (km, index) = best?;
    describe(index, count, km)
}

fn search(
    indices: impl Iterator<Item = usize>,
    latitude: f64,
    longitude: f64,
    best: &mut Option<(f64, usize)>,
) {
    let narrow = latitude.to_radians().cos();
    for index in indices {
        let Some((place_latitude, place_longitude)) = position(index) else {
            return;
        };
        let north = (place_latitude - latitude) * KM_PER_DEGREE;
        let nearest = best.map_or(DISTANCE_KM_MAX, |(km, _)| km);
        if north.abs() > nearest {
            return;
        }
        // The shorter way around the earth.
        let degrees = (place_longitude - longitude).abs();
        let east = degrees.min(360.0 - degrees) * narrow * KM_PER_DEGREE;
        let km = north.hypot(east);
        if km < nearest {
            *best = Some((km, index));
        }
    }
}

/// Halves the table until the first place at or north of a latitude is left.
fn first_north_of(latitude: f64, count: usize) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if position(middle)?.0 < latitude {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Some(low)
}

fn position(index: usize) -> Option<(f64, f64)> {
    let at = HEADER + index * PLACE;
    let degrees = |at| Some(f64::from(Little.u32(TABLE, at)? & 0x00ff_ffff) / 1e4);
    Some((degrees(at)? - 90.0, degrees(at + 3)? - 180.0))
}

fn describe(index: usize, count: usize, km: f64) -> Option<Near> {
    let length = |index: usize| {
        TABLE
            .get(HEADER + index * PLACE + 8)
            .copied()
            .map(usize::from)
    };
    let blocks = HEADER + count * PLACE;
    let names = blocks + count.div_ceil(BLOCK) * 4;
    let first = index - index % BLOCK;
    let before: usize = (first..index).filter_map(length).sum();
    let at = names + 4 + number(blocks + index / BLOCK * 4)? + before;
    let name = str::from_utf8(TABLE.get(at..at + length(index)?)?).ok()?;
    let regions = TABLE.get(names + 4 + number(names)?..)?;
    let region = Little.u16(TABLE, HEADER + index * PLACE + 6)?;
    let line = regions
        .split(|&byte| byte == b'\n')
        .nth(usize::from(region))?;
    let (region, country) = str::from_utf8(line).ok()?.split_once('\t')?;
    Some(Near {
        name: name.to_owned(),
        region: region.to_owned(),
        country: country.to_owned(),
        km,
    })
}

fn number(at: usize) -> Option<usize> {
    usize::try_from(Little.u32(TABLE, at)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(latitude: f64, longitude: f64) -> Option<(String, String)> {
        nearest(latitude, longitude).map(|near| (near.name, near.country))
    }

    fn is(found: Option<(String, String)>, name: &str, country: &str) {
        assert_eq!(found, Some((name.to_owned(), country.to_owned())));
    }

    #[test]
    fn points_have_the_name_of_the_nearest_place() {
        is(name(48.137, 11.575), "Munich", "DE");
        is(name(-33.8688, 151.2093), "Sydney", "AU");
        is(name(64.1466, -21.9426), "Reykjavik", "IS");
        let lisbon = nearest(38.7168, -9.1333);
        assert!(lisbon.is_some_and(|near| near.region == "Lisbon" && near.km < 2.0));
    }

    #[test]
    fn the_sea_the_poles_and_no_place_at_all_have_none() {
        for (latitude, longitude) in [
            (0.0, -30.0),
            (90.0, 0.0),
            (-90.0, 180.0),
            (f64::NAN, 0.0),
            (91.0, 0.0),
            (0.0, f64::INFINITY),
        ] {
            assert_eq!(
                nearest(latitude, longitude),
                None,
                "{latitude}, {longitude}"
            );
        }
    }

    #[test]
    fn the_date_line_is_no_border() {
        // The only place near it lies in Chukotka, west of it.
        let west = nearest(63.06, 179.95);
        let east = nearest(63.06, -179.95);
        let names = [west, east].map(|near| near.map(|near| near.name));
        assert!(
            names.first() == names.last() && names.first().is_some_and(Option::is_some),
            "{names:?}"
        );
    }

    #[test]
    fn every_place_is_nearest_to_itself() {
        let count = number(4).unwrap_or(0);
        assert!(count > 144_000);
        for index in (0..count).step_by(997) {
            let (latitude, longitude) = position(index).unwrap_or_default();
            let near = nearest(latitude, longitude);
            assert!(
                near.is_some_and(|near| near.km < 0.01 && !near.name.is_empty()),
                "{index}"
            );
        }
    }
}
