//! The pictures of `starling demo`, which the program paints itself.
//!
//! A demonstration needs photos that are worth looking at, belong together, and carry what real ones carry: times
//! with offsets, positions, cameras, tags, some of them stored sideways. Nobody's private pictures serve for that, and
//! three dozen JPEGs would be larger than the program. So the program has a small painter's studio: `canvas` (a
//! surface and strokes), `noise` (repeatable chance), `light` (hours of the day), the scenes, `exif` (what a camera
//! writes) and `trip` (the journey: what, when, where, with which camera).
//!
//! The same program paints the same bytes every time, so the demo's files have the same ids wherever it runs.

mod canvas;
mod close;
mod crops;
mod exif;
mod land;
mod light;
mod night;
mod noise;
mod terrain;
mod town;
mod trip;
mod water;

use std::sync::mpsc::{self, Receiver};
use std::thread;

use image::{RgbImage, imageops};

use canvas::Canvas;
use exif::Exif;
use light::Light;
use noise::Dice;
use trip::{Held, SHOTS, Scene, Shot};

/// The long and the short side of a picture, in pixels.
const SIDES: (usize, usize) = (1600, 1067);
/// Pictures that are painted ahead of the reader, per thread.
const AHEAD: usize = 1;

/// A finished photo.
#[derive(Debug, Clone)]
pub(crate) struct Painted {
    /// `2019-07-04 Harbour at dusk.jpg`.
    pub(crate) name: String,
    /// `Harbour at dusk`.
    pub(crate) title: String,
    /// Nested with `/`.
    pub(crate) tags: Vec<String>,
    /// The bytes of the file.
    pub(crate) jpeg: Vec<u8>,
}

/// The photos of one journey, in the order they were taken.
///
/// They are painted on as many threads as the machine has processors (eight at most) while the caller takes them,
/// and no further once the caller stops.
pub(crate) fn trip() -> impl Iterator<Item = Painted> {
    let painters = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let easels: Vec<Receiver<Painted>> = (0..painters)
        .map(|first| paint_every(first, painters))
        .collect();
    (0..SHOTS.len())
        .zip((0..painters).cycle())
        .filter_map(move |(_, painter)| easels.get(painter)?.recv().ok())
}

/// Starts a thread that paints every so-manieth picture until nobody wants them.
fn paint_every(first: usize, step: usize) -> Receiver<Painted> {
    let (easel, viewer) = mpsc::sync_channel(AHEAD);
    thread::spawn(move || {
        for shot in SHOTS.iter().skip(first).step_by(step) {
            if easel.send(finish(shot)).is_err() {
                return;
            }
        }
    });
    viewer
}

/// Paints, stores as the camera was held, and signs.
fn finish(shot: &Shot) -> Painted {
    let (long, short) = SIDES;
    let (width, height) = match shot.held {
        Held::Wide | Held::UpsideDown => (long, short),
        Held::Tall | Held::TallTurnedRight | Held::TallTurnedLeft => (short, long),
    };
    let mut canvas = Canvas::new(width, height);
    paint(&mut canvas, shot.scene, shot.seed);
    let (stored, orientation) = store(canvas.develop(shot.seed), shot.held);
    let date: String = shot
        .taken
        .chars()
        .take(10)
        .map(|c| if c == ':' { '-' } else { c })
        .collect();
    let tags = [shot.stop.tag, trip::HOLIDAY]
        .into_iter()
        .chain(shot.tags.iter().copied());
    Painted {
        name: format!("{date} {}.jpg", shot.title),
        title: shot.title.to_owned(),
        tags: tags.map(str::to_owned).collect(),
        jpeg: exif::insert(&canvas::encode(&stored), &describe(shot, orientation)),
    }
}

fn paint(canvas: &mut Canvas, scene: Scene, seed: u64) {
    match scene {
        Scene::Sea(light, shore) => water::sea(canvas, light, shore, seed),
        Scene::Beach(light) => water::beach_from_above(canvas, light, seed),
        Scene::Hills(light, trees) => land::hills(canvas, light, trees, seed),
        Scene::Peaks(light) => land::peaks(canvas, light, false, seed),
        Scene::Lake(light) => land::peaks(canvas, light, true, seed),
        Scene::Dunes(light) => land::dunes(canvas, light, seed),
        Scene::Field(light, crop) => crops::field(canvas, light, crop, seed),
        Scene::Forest(light) => land::forest(canvas, light, seed),
        Scene::Harbour(light) => town::harbour(canvas, light, false, seed),
        Scene::City(light) => town::skyline(canvas, light, seed),
        Scene::Bridge(light) => town::harbour(canvas, light, true, seed),
        Scene::Stars => night::stars(canvas, false, seed),
        Scene::Moon => night::stars(canvas, true, seed),
        Scene::Fireworks => night::fireworks(canvas, seed),
        Scene::Tiles => close::tiles(canvas, seed),
        Scene::Rain => close::rain(canvas, seed),
    }
}

/// Turns the picture the way the sensor saw it, with the EXIF orientation that turns it back.
fn store(upright: RgbImage, held: Held) -> (RgbImage, u16) {
    match held {
        Held::Wide | Held::Tall => (upright, 1),
        Held::UpsideDown => (imageops::rotate180(&upright), 3),
        Held::TallTurnedRight => (imageops::rotate270(&upright), 6),
        Held::TallTurnedLeft => (imageops::rotate90(&upright), 8),
    }
}

/// What the camera writes: plausible for its lens and the light.
fn describe(shot: &Shot, orientation: u16) -> Exif {
    let mut dice = Dice::new(shot.seed ^ 0xca3e7a);
    let (focal_mm, aperture_tenths) = match shot.camera.model {
        "Pixel 7" => (7, 18),
        "X100V" => (23, dice.pick(&[28, 40, 56]).unwrap_or(40)),
        _ => (
            dice.pick(&[24, 35, 50, 70, 105]).unwrap_or(35),
            dice.pick(&[40, 56, 80]).unwrap_or(56),
        ),
    };
    let (shutter, iso) = match brightness(shot.scene) {
        Brightness::Day => (dice.pick(&[250, 320, 500, 800]).unwrap_or(250), 100),
        Brightness::Low => (dice.pick(&[60, 80, 125]).unwrap_or(60), 400),
        Brightness::Dark => (dice.pick(&[4, 8, 15]).unwrap_or(8), 3200),
    };
    let mut wander = || f64::from(dice.between(-0.004, 0.004));
    let (latitude, longitude) = (
        shot.stop.latitude + wander(),
        shot.stop.longitude + wander(),
    );
    Exif {
        taken: shot.taken.to_owned(),
        subsecond: format!("{:03}", (dice.unit() * 999.0) as u32),
        offset: shot.stop.offset,
        camera: shot.camera,
        shutter,
        aperture_tenths,
        iso,
        focal_mm,
        latitude,
        longitude,
        altitude_m: shot.stop.altitude_m,
        orientation,
    }
}

enum Brightness {
    Day,
    Low,
    Dark,
}

fn brightness(scene: Scene) -> Brightness {
    let light = match scene {
        Scene::Sea(light, _) | Scene::Hills(light, _) | Scene::Field(light, _) => light,
        Scene::Beach(light) | Scene::Peaks(light) | Scene::Lake(light) | Scene::Dunes(light) => {
            light
        }
        Scene::Forest(_) | Scene::Tiles => Light::Dawn,
        Scene::Harbour(light) | Scene::City(light) | Scene::Bridge(light) => light,
        Scene::Rain => Light::Sunset,
        Scene::Stars | Scene::Moon | Scene::Fireworks => Light::Night,
    };
    match light {
        Light::Day | Light::Soft | Light::Gold => Brightness::Day,
        Light::Dawn | Light::Sunset | Light::Storm => Brightness::Low,
        Light::Blue | Light::Night => Brightness::Dark,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;

    use super::*;

    #[test]
    fn every_picture_has_its_own_name_and_is_not_flat() {
        let mut names = BTreeSet::new();
        for shot in SHOTS {
            let mut canvas = Canvas::new(150, 100);
            paint(&mut canvas, shot.scene, shot.seed);
            let picture = canvas.develop(shot.seed);
            let (dark, bright) = picture.iter().fold((255, 0), |(dark, bright), &part| {
                (part.min(dark), part.max(bright))
            });
            assert!(bright - dark > 60, "{} is flat", shot.title);
            assert!(names.insert((shot.taken, shot.title)));
        }
        assert_eq!(names.len(), 36);
    }

    #[test]
    fn the_same_picture_is_painted_every_time() {
        let scene = Scene::Harbour(Light::Gold);
        let [first, second] = [1, 2].map(|_| {
            let mut canvas = Canvas::new(90, 60);
            paint(&mut canvas, scene, 7);
            canvas::encode(&canvas.develop(7))
        });
        assert_eq!(first, second);
    }

    #[test]
    fn what_the_camera_writes_is_what_is_read() {
        for shot in SHOTS {
            let upright = match shot.held {
                Held::Wide | Held::UpsideDown => RgbImage::new(48, 32),
                _ => RgbImage::new(32, 48),
            };
            let shown = (Some(upright.width()), Some(upright.height()));
            let (stored, orientation) = store(upright, shot.held);
            let jpeg = exif::insert(&canvas::encode(&stored), &describe(shot, orientation));
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            file.write_all(&jpeg).expect("writing a temporary file");
            let facts = media::examine(file.path()).facts;
            assert_eq!(facts.notes, Vec::<String>::new(), "{}", shot.title);
            assert_eq!((facts.width, facts.height), shown, "{}", shot.title);
            assert_eq!(facts.orientation.map(u16::from), Some(orientation));
            let offset_min = if shot.stop.offset == "+01:00" {
                60
            } else {
                120
            };
            assert_eq!(facts.taken_at.expect("a date").offset_min, Some(offset_min));
            let place = facts.place.expect("a position");
            assert!((place.latitude() - shot.stop.latitude).abs() < 0.005);
            assert!((place.longitude() - shot.stop.longitude).abs() < 0.005);
            assert_eq!(
                facts.camera.expect("a camera").lens.as_deref(),
                Some(shot.camera.lens)
            );
            assert!(facts.exposure.expect("an exposure").iso.is_some());
        }
    }
}
