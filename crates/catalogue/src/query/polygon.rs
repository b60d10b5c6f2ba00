//! Areas with straight edges on a map of degrees.

use std::fmt;

use serde::Serialize;

/// Corners at most.
const CORNERS_MAX: usize = 100;

/// An area, by its corners: degrees north and east. Its edges are straight on a map of degrees and do not cross the date
/// line. Where they cross each other, what is enclosed twice is outside.
///
/// Invariant: 3 to 100 corners on the earth.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Polygon(Vec<[f64; 2]>);

impl Polygon {
    /// An area; nothing if these are no corners of one.
    pub(super) fn new(corners: Vec<[f64; 2]>) -> Option<Self> {
        let on_earth = |[lat, lon]: &[f64; 2]| lat.abs() <= 90.0 && lon.abs() <= 180.0;
        let valid = (3..=CORNERS_MAX).contains(&corners.len()) && corners.iter().all(on_earth);
        valid.then_some(Self(corners))
    }

    /// Reads `51.4,-0.2,51.6,-0.2,51.5,0.1`: latitude and longitude of each corner.
    pub(super) fn of_pairs(numbers: &[f64]) -> Option<Self> {
        let (pairs, []) = numbers.as_chunks::<2>() else {
            return None;
        };
        Self::new(pairs.to_vec())
    }

    /// Reads well-known text, `POLYGON((-0.2 51.4, …))`: longitude before latitude, the first corner again at the end.
    pub(super) fn of_wkt(text: &str, decimal: impl Fn(&str) -> Option<f64>) -> Option<Self> {
        let inner = text
            .get(..7)
            .filter(|word| word.eq_ignore_ascii_case("polygon"));
        let inner = inner.and_then(|_| text.get(7..))?.trim();
        let inner = inner.strip_prefix('(')?.trim().strip_prefix('(')?;
        let inner = inner.strip_suffix(')')?.trim().strip_suffix(')')?;
        let corner = |pair: &str| {
            let mut numbers = pair.split_whitespace().map(&decimal);
            let (lon, lat) = (numbers.next()??, numbers.next()??);
            numbers.next().is_none().then_some([lat, lon])
        };
        let mut corners = inner.split(',').map(corner).collect::<Option<Vec<_>>>()?;
        if corners.first() == corners.last() {
            corners.pop();
        }
        Self::new(corners)
    }

    /// Whether a point is inside: whether a line from it to the east crosses the edge an odd number of times.
    pub(crate) fn contains(&self, lat: f64, lon: f64) -> bool {
        let next = self.0.iter().cycle().skip(1);
        let crossed = self
            .0
            .iter()
            .zip(next)
            .filter(|([lat1, lon1], [lat2, lon2])| {
                (*lat1 > lat) != (*lat2 > lat)
                    && lon < (lon2 - lon1) * (lat - lat1) / (lat2 - lat1) + lon1
            });
        crossed.count() % 2 == 1
    }
}

impl fmt::Display for Polygon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, [lat, lon]) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{lat},{lon}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_what_the_edges_enclose() {
        let triangle = Polygon::of_pairs(&[0.0, 0.0, 0.0, 10.0, 10.0, 0.0]).unwrap();
        assert!(triangle.contains(2.0, 2.0));
        assert!(!triangle.contains(6.0, 6.0));
        assert!(!triangle.contains(-1.0, 2.0));
        assert!(!triangle.contains(f64::NAN, f64::NAN));
    }

    #[test]
    fn well_known_text_is_the_same_area() {
        let read = |text| Polygon::of_wkt(text, |number| number.parse().ok());
        let area = read("POLYGON((0 0, 10 0, 0 10, 0 0))").unwrap();
        assert_eq!(
            area,
            Polygon::of_pairs(&[0.0, 0.0, 0.0, 10.0, 10.0, 0.0]).unwrap()
        );
        assert_eq!(area.to_string(), "0,0,0,10,10,0");
        for text in [
            "POLYGON((0 0,1 1))",
            "POLYGON((0 0,1 1,1 0)",
            "LINE((0 0,1 1,1 0))",
            "POLYGON",
            "pölygon((0 0))",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
