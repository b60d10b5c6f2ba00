//! An invented journey: four people, three cameras, three weeks of July, from Lisbon to the Dolomites.

use super::crops::Crop;
use super::land::Trees;
use super::light::Light;
use super::water::Shore;

/// A camera, as it signs its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Camera {
    pub(super) make: &'static str,
    pub(super) model: &'static str,
    pub(super) lens: &'static str,
}

/// In a pocket.
pub(super) const PHONE: Camera = Camera {
    make: "Google",
    model: "Pixel 7",
    lens: "Pixel 7 back camera 6.81mm f/1.85",
};
/// On a strap.
pub(super) const CANON: Camera = Camera {
    make: "Canon",
    model: "Canon EOS R8",
    lens: "RF24-105mm F4 L IS USM",
};
/// In a jacket.
pub(super) const FUJI: Camera = Camera {
    make: "FUJIFILM",
    model: "X100V",
    lens: "FUJINON 23mm F2",
};

/// A place on the way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// Degrees north and east.
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    /// Metres above the sea.
    pub(super) altitude_m: u32,
    /// What the clocks there show in July.
    pub(super) offset: &'static str,
    pub(super) tag: &'static str,
}

const fn stop(
    latitude: f64,
    longitude: f64,
    altitude_m: u32,
    offset: &'static str,
    tag: &'static str,
) -> Stop {
    Stop {
        latitude,
        longitude,
        altitude_m,
        offset,
        tag,
    }
}

const WEST: &str = "+01:00";
const CENTRAL: &str = "+02:00";

const LISBON: Stop = stop(38.7117, -9.1300, 62, WEST, "places/portugal/lisbon");
const CAPE: Stop = stop(38.7804, -9.4989, 140, WEST, "places/portugal/cabo da roca");
const SINTRA: Stop = stop(38.7876, -9.3906, 450, WEST, "places/portugal/sintra");
const ALGARVE: Stop = stop(37.0870, -8.6690, 35, WEST, "places/portugal/algarve");
const PORTO: Stop = stop(41.1403, -8.6110, 20, WEST, "places/portugal/porto");
const DOURO: Stop = stop(41.1620, -7.7890, 180, WEST, "places/portugal/douro");
const BILBAO: Stop = stop(43.2630, -2.9350, 19, CENTRAL, "places/spain/bilbao");
const GAZTELUGATXE: Stop = stop(43.4470, -2.7850, 60, CENTRAL, "places/spain/gaztelugatxe");
const PILAT: Stop = stop(
    44.5890,
    -1.2140,
    101,
    CENTRAL,
    "places/france/dune du pilat",
);
const GAVARNIE: Stop = stop(
    42.7350,
    -0.0110,
    1380,
    CENTRAL,
    "places/france/pyrenees/gavarnie",
);
const GAUBE: Stop = stop(
    42.8310,
    -0.1410,
    1725,
    CENTRAL,
    "places/france/pyrenees/lac de gaube",
);
const VALENSOLE: Stop = stop(
    43.8370,
    5.9830,
    570,
    CENTRAL,
    "places/france/provence/valensole",
);
const LUBERON: Stop = stop(
    43.8330,
    5.3700,
    320,
    CENTRAL,
    "places/france/provence/luberon",
);
const CASSIS: Stop = stop(43.2140, 5.5380, 5, CENTRAL, "places/france/provence/cassis");
const CAMOGLI: Stop = stop(44.3490, 9.1550, 12, CENTRAL, "places/italy/liguria/camogli");
const GENOA: Stop = stop(44.4040, 8.9050, 40, CENTRAL, "places/italy/liguria/genoa");
const BRAIES: Stop = stop(
    46.6940,
    12.0850,
    1496,
    CENTRAL,
    "places/italy/dolomites/lago di braies",
);
const SECEDA: Stop = stop(
    46.6000,
    11.7240,
    2450,
    CENTRAL,
    "places/italy/dolomites/seceda",
);

/// What is seen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scene {
    /// The open sea.
    Sea(Light, Shore),
    /// A beach from straight above.
    Beach(Light),
    /// Layers of hills.
    Hills(Light, Trees),
    /// Mountains over a meadow.
    Peaks(Light),
    /// Mountains in a lake.
    Lake(Light),
    /// Sand.
    Dunes(Light),
    /// Rows of a crop.
    Field(Light, Crop),
    /// Trunks in mist.
    Forest(Light),
    /// Houses, boats and their reflections.
    Harbour(Light),
    /// A city across the water.
    City(Light),
    /// Houses on a river under an iron bridge.
    Bridge(Light),
    /// The Milky Way over a tent.
    Stars,
    /// The moon over a ridge.
    Moon,
    /// Fireworks over the water.
    Fireworks,
    /// A wall of painted tiles.
    Tiles,
    /// Rain on a window.
    Rain,
}

/// How the camera was held. It stores what its sensor saw and notes which side was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// A wide picture.
    Wide,
    /// A tall one, stored upright.
    Tall,
    /// A tall one, stored on its left side (EXIF orientation 6).
    TallTurnedRight,
    /// A tall one, stored on its right side (EXIF orientation 8).
    TallTurnedLeft,
    /// A wide one, taken upside down (EXIF orientation 3).
    UpsideDown,
}

/// One picture of the journey.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shot {
    /// `2019:07:04 21:18:32` on the clock of the place.
    pub(super) taken: &'static str,
    pub(super) title: &'static str,
    /// Beside the place and the holiday.
    pub(super) tags: &'static [&'static str],
    pub(super) stop: Stop,
    pub(super) camera: Camera,
    pub(super) held: Held,
    pub(super) scene: Scene,
    pub(super) seed: u64,
}

/// On every picture.
pub(super) const HOLIDAY: &str = "family/holiday 2019";

macro_rules! shots {
    ($($taken:literal $title:literal $tags:tt, $stop:ident $camera:ident $held:ident $scene:expr, $seed:literal;)*) => {
        &[$(Shot {
            taken: $taken,
            title: $title,
            tags: &$tags,
            stop: $stop,
            camera: $camera,
            held: Held::$held,
            scene: $scene,
            seed: $seed,
        }),*]
    };
}

/// The pictures in the order they were taken.
#[rustfmt::skip]
pub(super) const SHOTS: &[Shot] = shots! {
    "2019:06:28 17:12:44" "Tiles in Alfama" ["detail", "blue"], LISBON FUJI Wide Scene::Tiles, 3;
    "2019:06:28 20:31:09" "Alfama in the last sun" ["town", "river"], LISBON CANON Wide Scene::Harbour(Light::Gold), 11;
    "2019:06:28 21:03:51" "Sunset over the Tagus" ["sunset", "water"], LISBON PHONE Wide Scene::Sea(Light::Sunset, Shore::Open), 21;
    "2019:06:29 08:05:27" "Mist in the woods of Sintra" ["forest", "mist"], SINTRA CANON TallTurnedRight Scene::Forest(Light::Dawn), 5;
    "2019:06:29 08:40:02" "Moors' path" ["forest", "walk"], SINTRA FUJI Wide Scene::Forest(Light::Soft), 9;
    "2019:06:29 20:44:18" "Lighthouse at the end of Europe" ["lighthouse", "sea"], CAPE CANON Wide Scene::Sea(Light::Sunset, Shore::Lighthouse), 41;
    "2019:06:30 11:26:33" "Red umbrellas from the cliff" ["beach", "swimming"], ALGARVE PHONE Wide Scene::Beach(Light::Day), 17;
    "2019:06:30 17:58:40" "Golden cliffs" ["beach", "cliffs"], ALGARVE CANON Wide Scene::Sea(Light::Gold, Shore::Cliffs), 52;
    "2019:07:01 06:41:15" "Calm before breakfast" ["sea", "sunrise"], ALGARVE FUJI UpsideDown Scene::Sea(Light::Dawn, Shore::Open), 63;
    "2019:07:02 19:49:56" "Terraces of the Douro" ["vineyard", "hills"], DOURO CANON Wide Scene::Field(Light::Gold, Crop::Vines), 14;
    "2019:07:03 12:08:21" "Blue tiles of São Bento" ["detail", "blue"], PORTO PHONE TallTurnedRight Scene::Tiles, 8;
    "2019:07:03 21:37:12" "The bridge lights up" ["bridge", "evening"], PORTO CANON Wide Scene::Bridge(Light::Blue), 33;
    "2019:07:04 21:29:05" "Harbour at dusk" ["harbour", "evening", "boats"], PORTO FUJI Wide Scene::Harbour(Light::Blue), 27;
    "2019:07:06 16:20:48" "Rain on the tram window" ["rain", "city"], BILBAO PHONE Tall Scene::Rain, 4;
    "2019:07:06 22:51:30" "Bilbao by night" ["city", "night", "river"], BILBAO CANON Wide Scene::City(Light::Night), 45;
    "2019:07:07 18:33:07" "Storm coming in" ["storm", "sea"], GAZTELUGATXE CANON Wide Scene::Sea(Light::Storm, Shore::Lighthouse), 71;
    "2019:07:08 19:14:26" "The great dune" ["dune", "walk"], PILAT FUJI Wide Scene::Dunes(Light::Gold), 6;
    "2019:07:08 20:40:53" "Shadows on the sand" ["dune", "sunset"], PILAT PHONE TallTurnedLeft Scene::Dunes(Light::Sunset), 19;
    "2019:07:09 10:22:39" "First snow fields" ["mountains", "hike"], GAVARNIE CANON Wide Scene::Peaks(Light::Day), 24;
    "2019:07:09 16:05:11" "Valley of pines" ["hills", "forest", "hike"], GAVARNIE FUJI Wide Scene::Hills(Light::Soft, Trees::Pines), 37;
    "2019:07:10 09:17:45" "Lac de Gaube" ["lake", "mountains", "hike"], GAUBE CANON Wide Scene::Lake(Light::Day), 12;
    "2019:07:10 23:48:02" "Milky Way above the tent" ["night", "stars", "camping"], GAUBE CANON Tall Scene::Stars, 7;
    "2019:07:11 06:32:58" "Morning fog in the valleys" ["mist", "sunrise", "hills"], GAVARNIE CANON Wide Scene::Hills(Light::Dawn, Trees::Pines), 58;
    "2019:07:12 19:55:34" "Lavender in bloom" ["lavender", "evening"], VALENSOLE CANON Wide Scene::Field(Light::Gold, Crop::Lavender), 2;
    "2019:07:12 20:58:17" "Last light on the plateau" ["lavender", "sunset"], VALENSOLE PHONE TallTurnedRight Scene::Field(Light::Sunset, Crop::Lavender), 16;
    "2019:07:13 10:40:23" "Sunflowers" ["sunflowers", "summer"], LUBERON FUJI Wide Scene::Field(Light::Day, Crop::Sunflowers), 29;
    "2019:07:13 20:12:49" "Cypress hills" ["hills", "evening"], LUBERON CANON Wide Scene::Hills(Light::Gold, Trees::Cypresses), 43;
    "2019:07:14 15:03:36" "Swimming at the calanque" ["beach", "swimming"], CASSIS PHONE Tall Scene::Beach(Light::Day), 38;
    "2019:07:14 22:34:10" "Fireworks for the fourteenth" ["fireworks", "night"], CASSIS CANON Wide Scene::Fireworks, 13;
    "2019:07:15 11:51:28" "Painted houses of Camogli" ["harbour", "boats", "town"], CAMOGLI FUJI Wide Scene::Harbour(Light::Day), 61;
    "2019:07:15 16:44:55" "Sails off the coast" ["sea", "boats"], CAMOGLI PHONE Wide Scene::Sea(Light::Day, Shore::Open), 84;
    "2019:07:16 21:22:41" "The Lanterna" ["lighthouse", "evening", "harbour"], GENOA CANON Tall Scene::Sea(Light::Blue, Shore::Lighthouse), 92;
    "2019:07:18 06:02:14" "Braies before anyone is up" ["lake", "sunrise", "mountains"], BRAIES CANON Wide Scene::Lake(Light::Dawn), 31;
    "2019:07:18 20:48:37" "Alpenglow" ["mountains", "sunset"], SECEDA FUJI Wide Scene::Peaks(Light::Sunset), 18;
    "2019:07:18 22:57:20" "Moon over the ridge" ["night", "moon"], SECEDA CANON TallTurnedLeft Scene::Moon, 15;
    "2019:07:19 09:36:08" "Alpine meadow" ["mountains", "hike", "flowers"], SECEDA PHONE Wide Scene::Peaks(Light::Gold), 66;
};
