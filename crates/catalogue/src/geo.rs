//! Distances on the earth, taken as a sphere.

use crate::query::{BoundingBox, Circle};

/// The earth's mean radius (IUGG), in metres.
const EARTH_M: f64 = 6_371_008.8;

/// The great-circle distance between two points in degrees, in metres (haversine formula).
pub(crate) fn distance_m(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> f64 {
    let (phi1, phi2) = (lat1.to_radians(), lat2.to_radians());
    let half_phi = (phi2 - phi1) / 2.0;
    let half_lambda = (lon2 - lon1).to_radians() / 2.0;
    let a = half_phi.sin().powi(2) + phi1.cos() * phi2.cos() * half_lambda.sin().powi(2);
    2.0 * EARTH_M * a.sqrt().min(1.0).asin()
}

/// A box around a circle: a little larger, so that rounding leaves nothing out.
pub(crate) fn around(circle: &Circle) -> BoundingBox {
    const MARGIN: f64 = 1.000_001;
    let angle = circle.radius_m / EARTH_M * MARGIN;
    let lat_span = angle.to_degrees() + 1e-9;
    let (south, north) = (circle.lat - lat_span, circle.lat + lat_span);
    let sine = angle.sin() / circle.lat.to_radians().cos();
    if south <= -90.0 || north >= 90.0 || angle >= std::f64::consts::FRAC_PI_2 || sine >= 1.0 {
        let (west, east) = (-180.0, 180.0);
        return BoundingBox {
            west,
            south: south.max(-90.0),
            east,
            north: north.min(90.0),
        };
    }
    let lon_span = sine.asin().to_degrees() * MARGIN + 1e-9;
    let wrap = |lon: f64| {
        if lon < -180.0 {
            lon + 360.0
        } else if lon > 180.0 {
            lon - 360.0
        } else {
            lon
        }
    };
    BoundingBox {
        west: wrap(circle.lon - lon_span),
        south,
        east: wrap(circle.lon + lon_span),
        north,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn london_to_paris_is_343_kilometres() {
        let metres = distance_m(51.5074, -0.1278, 48.8566, 2.3522);
        assert!((metres - 343_556.0).abs() < 500.0, "{metres}");
        assert!(distance_m(0.0, 179.9, 0.0, -179.9) < 23_000.0);
    }

    proptest! {
        #[test]
        fn whatever_is_in_the_circle_is_in_the_box(
            lat in -90.0..=90.0_f64, lon in -180.0..=180.0_f64, radius_m in 1.0..=20_000_000.0_f64,
            other_lat in -90.0..=90.0_f64, other_lon in -180.0..=180.0_f64, near in any::<bool>(),
        ) {
            let (other_lat, other_lon) = if near {
                ((lat + other_lat / 1000.0).clamp(-90.0, 90.0), (lon + other_lon / 1000.0).clamp(-180.0, 180.0))
            } else {
                (other_lat, other_lon)
            };
            let b = around(&Circle { lat, lon, radius_m });
            if distance_m(lat, lon, other_lat, other_lon) <= radius_m {
                prop_assert!(b.south <= other_lat && other_lat <= b.north);
                let between = if b.west <= b.east {
                    b.west <= other_lon && other_lon <= b.east
                } else {
                    other_lon >= b.west || other_lon <= b.east
                };
                prop_assert!(between, "{b:?}");
            }
        }
    }
}
