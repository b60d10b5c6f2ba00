//! A library as people have it, without its bytes: sessions of some hours at one place, a few tags that everybody uses and
//! many that hardly anybody does (Zipf), names as cameras give them, a title here and there.

use model::file::{Camera, Facts, Kind, LocalTime, Metadata, Place, Source, TakenAt};
use model::{BlobId, Digest, Payload};

/// Files of one session.
const SESSION: u64 = 120;
/// Between the beginnings of sessions, in seconds: 20 years for a million files.
const BETWEEN_SESSIONS: u64 = 75_000;
/// 2005-01-01.
const BEGIN: u64 = 1_104_537_600;
const TAGS: u64 = 5_000;
const PLACES: u64 = 3_000;
const WORDS: u64 = 20_000;

const COMMON_TAGS: [&str; 12] = [
    "family",
    "holiday",
    "beach",
    "people/anna",
    "people/ben",
    "places/uk/london",
    "garden",
    "food",
    "work",
    "people/carla",
    "snow",
    "birthday",
];
const COMMON_WORDS: [&str; 10] = [
    "summer", "boat", "the", "evening", "party", "old", "sea", "walk", "winter", "house",
];
const CAMERAS: [(&str, &str, Option<&str>); 6] = [
    ("Google", "Pixel 7", None),
    ("Apple", "iPhone 13 Pro", None),
    ("Canon", "Canon EOS 80D", Some("EF 50mm f/1.8")),
    ("Canon", "Canon EOS 80D", Some("EF-S 18-135mm")),
    ("SONY", "ILCE-7M3", Some("FE 28-70mm")),
    ("Panasonic", "DMC-TZ10", None),
];

/// Numbers that look like chance and are the same every time.
struct Drawn(Digest, usize);

impl Drawn {
    fn of(what: &str, number: u64) -> Self {
        Self(Digest::of(&[what.as_bytes(), &number.to_be_bytes()]), 0)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        if self.1 + 4 > self.0.0.len() {
            *self = Self(Digest::of(&[&self.0.0]), 0);
        }
        let bytes = self.0.0.get(self.1..self.1 + 4).unwrap_or_default();
        self.1 += 4;
        let number = bytes
            .iter()
            .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        f64::from(number) / 4_294_967_296.0
    }

    fn chance(&mut self, part: f64) -> bool {
        self.unit() < part
    }

    /// Below `count`, all alike.
    fn below(&mut self, count: u64) -> u64 {
        Self::floor(self.unit() * f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// Below `count`, each rank half as often as one half as high (Zipf).
    fn rank(&mut self, count: u64) -> u64 {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        Self::floor((self.unit() * (count + 1.0).ln()).exp()) - 1
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and not negative"
    )]
    fn floor(number: f64) -> u64 {
        number as u64
    }
}

/// The file with this number.
pub(crate) fn file(number: u64) -> Payload {
    let session = number / SESSION;
    let mut drawn = Drawn::of("file", number);
    let Digest(id) = Digest::of(&[b"library", &number.to_be_bytes()]);
    let video = drawn.chance(0.05);
    let facts = facts(session, number, video, &mut drawn);
    let metadata = Metadata {
        title: drawn
            .chance(0.1)
            .then(|| sentence(&mut Drawn::of("title", session), 3)),
        description: drawn.chance(0.05).then(|| sentence(&mut drawn, 8)),
        tags: tags(session, &mut drawn),
        rating: drawn
            .chance(0.15)
            .then(|| u8::try_from(drawn.below(6)).unwrap_or_default()),
        favourite: drawn.chance(0.03),
        ..Metadata::default()
    };
    Payload::AddFile {
        file: BlobId(id),
        size: 1_000_000 + drawn.below(if video { 400_000_000 } else { 9_000_000 }),
        name: name(number, video, &mut drawn),
        facts,
        metadata,
        restore: false,
    }
}

fn facts(session: u64, number: u64, video: bool, drawn: &mut Drawn) -> Facts {
    let mut there = Drawn::of("session", session);
    let located = there.chance(0.75);
    let place = place(there.rank(PLACES), drawn).filter(|_| located);
    let (make, model, lens) = *usize::try_from(there.rank(6))
        .ok()
        .and_then(|rank| CAMERAS.get(rank))
        .unwrap_or(&CAMERAS[0]);
    // Some sessions are of old pictures that somebody has found.
    let when = if there.chance(0.1) {
        there.below(session.max(1))
    } else {
        session
    };
    let seconds = BEGIN + when * BETWEEN_SESSIONS + number % SESSION * 40;
    let micros = i64::try_from(seconds * 1_000_000 + drawn.below(1_000) * 1_000);
    let local = micros.ok().and_then(LocalTime::from_micros);
    let dated = !drawn.chance(0.02);
    Facts {
        media_type: if video { "video/mp4" } else { "image/jpeg" }.to_owned(),
        kind: if video { Kind::Video } else { Kind::Photo },
        width: Some(4032),
        height: Some(if drawn.chance(0.2) { 2268 } else { 3024 }),
        orientation: Some(1),
        duration_ms: video.then(|| 1_000 + drawn.below(120_000)),
        taken_at: local.filter(|_| dated).map(|local| TakenAt {
            local,
            offset_min: Some(60),
            source: Source::Exif,
        }),
        place,
        camera: Some(Camera {
            make: Some(make.to_owned()),
            model: Some(model.to_owned()),
            lens: lens.map(str::to_owned),
        }),
        thumbhash: Drawn::of("hash", number)
            .0
            .0
            .get(..25)
            .unwrap_or_default()
            .to_vec(),
        ..Facts::default()
    }
}

/// Near the middle of one of the towns.
fn place(town: u64, drawn: &mut Drawn) -> Option<Place> {
    let mut middle = Drawn::of("town", town);
    let lat = middle.unit() * 110.0 - 50.0 + drawn.unit() * 0.1;
    let lon = middle.unit() * 350.0 - 175.0 + drawn.unit() * 0.1;
    let mut place = Place::new(lat, lon, Source::Exif)?;
    place.name = Some(format!("Town {town}"));
    Some(place)
}

/// Two of the session and some of the picture's own.
fn tags(session: u64, drawn: &mut Drawn) -> Vec<String> {
    let mut there = Drawn::of("tags", session);
    let mut ranks = vec![there.rank(TAGS), there.rank(TAGS)];
    while drawn.chance(0.6) && ranks.len() < 9 {
        ranks.push(drawn.rank(TAGS));
    }
    ranks.sort_unstable();
    ranks.dedup();
    ranks.into_iter().map(tag).collect()
}

fn tag(rank: u64) -> String {
    let common = usize::try_from(rank)
        .ok()
        .and_then(|rank| COMMON_TAGS.get(rank));
    match common {
        Some(tag) => (*tag).to_owned(),
        None if rank.is_multiple_of(3) => format!("topic/{}/tag {rank}", rank % 40),
        None => format!("tag {rank}"),
    }
}

fn sentence(drawn: &mut Drawn, words: usize) -> String {
    let word = |rank: u64| {
        let common = usize::try_from(rank)
            .ok()
            .and_then(|rank| COMMON_WORDS.get(rank));
        common.map_or_else(|| format!("word{rank}"), |word| (*word).to_owned())
    };
    let words: Vec<String> = (0..words).map(|_| word(drawn.rank(WORDS))).collect();
    words.join(" ")
}

fn name(number: u64, video: bool, drawn: &mut Drawn) -> String {
    let end = if video { "mp4" } else { "jpg" };
    match drawn.below(10) {
        0..6 => format!("IMG_{:04}.{end}", number % 10_000),
        6..9 => format!(
            "PXL_20{:02}0704_{:09}.{end}",
            number % 25,
            number * 7_919 % 1_000_000_000
        ),
        _ => format!("DSC{:05}.{end}", number % 100_000),
    }
}
