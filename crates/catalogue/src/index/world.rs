//! Where a position lies on the web's usual map (spherical Mercator), as two numbers of 32 bits: whole numbers add up to
//! the same sum in whatever order, so that every node puts the middle of a cluster at the same place.

use std::f64::consts::PI;

/// Farther from the equator the map does not go.
const LAT_MAX: f64 = 85.051_128_779_806_59;
const SIDE: f64 = 4_294_967_296.0;

/// The place of a position in degrees, from the map's upper left corner; nowhere in particular if there is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates, which is what the map's edges do"
)]
pub(crate) fn at(lat: f64, lon: f64) -> (u32, u32) {
    let phi = lat.clamp(-LAT_MAX, LAT_MAX).to_radians();
    let x = (lon + 180.0) / 360.0;
    let y = (1.0 - phi.tan().asinh() / PI) / 2.0;
    ((x * SIDE) as u32, (y * SIDE) as u32)
}

/// The position of a place on the map, to six decimals of a degree.
pub(crate) fn position(x: f64, y: f64) -> (f64, f64) {
    let lon = x / SIDE * 360.0 - 180.0;
    let lat = (PI * (1.0 - 2.0 * y / SIDE)).sinh().atan().to_degrees();
    let rounded = |degrees: f64| (degrees * 1e6).round() / 1e6 + 0.0;
    (rounded(lat), rounded(lon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_within_a_millionth_of_a_degree() {
        for (lat, lon) in [(0.0, 0.0), (51.5, -0.1), (-33.9, 151.2), (85.0, 179.9)] {
            let (x, y) = at(lat, lon);
            let (again, across) = position(f64::from(x), f64::from(y));
            assert!((lat - again).abs() < 2e-6 && (lon - across).abs() < 2e-6);
        }
    }

    #[test]
    fn the_poles_lie_on_the_edges() {
        assert_eq!(at(90.0, 180.0).0, u32::MAX);
        assert!(at(90.0, 0.0).1 < 1_000);
        assert!(at(-90.0, 0.0).1 > u32::MAX - 1_000);
    }
}
