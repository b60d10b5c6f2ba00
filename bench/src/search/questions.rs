//! What is asked: kinds of questions in turn, each time with another tag, word, year or town, common ones more often.

use std::fmt::Write as _;

use super::naive::Sql;

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Search,
    Facets,
    Timeline,
    Bucket,
    Map,
    Suggest,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Search => "search with total",
            Self::Facets => "facets",
            Self::Timeline => "timeline",
            Self::Bucket => "timeline bucket",
            Self::Map => "map",
            Self::Suggest => "suggestions",
        }
    }
}

impl Kind {
    /// What we promise for a million files: the median and the 99th percentile in milliseconds.
    pub(super) fn aim(self) -> &'static str {
        match self {
            Self::Search => "2, 25",
            Self::Facets | Self::Timeline | Self::Map => "-, 50",
            Self::Bucket | Self::Suggest => "-",
        }
    }
}

/// The same question to both.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) path: String,
    pub(super) sql: Sql,
}

/// Draws questions, the same in every run.
#[derive(Debug, Default)]
pub(super) struct Questions {
    drawn: u64,
}

/// A condition in both languages.
struct Condition {
    q: String,
    sql: String,
}

const SHOWN: &str =
    "id, name, title, kind, taken, lat, lon, place, camera, rating, favourite, width, height";

impl Questions {
    /// One of each kind, and searches of many kinds.
    pub(super) fn round(&mut self) -> Vec<Question> {
        let mut round: Vec<Question> = self.conditions().iter().map(search).collect();
        let tag = self.tag();
        let year = 2005 + self.below(8);
        let month = 1 + self.below(12);
        let everything = Condition {
            q: String::new(),
            sql: "TRUE".to_owned(),
        };
        for condition in [&tag, &everything] {
            round.push(facets(condition));
            round.push(timeline(condition));
            round.push(map(condition));
        }
        round.push(bucket(&format!("{year}-{month:02}")));
        round.push(suggest(&format!("tag {}", self.below(90) + 10)));
        round
    }

    fn conditions(&mut self) -> Vec<Condition> {
        let year = 2005 + self.below(8);
        let (tag, other, word) = (self.tag(), self.tag(), self.word());
        let lat = f64::from(u32::try_from(self.below(80)).unwrap_or_default()) - 40.0;
        let lon = f64::from(u32::try_from(self.below(300)).unwrap_or_default()) - 150.0;
        let both = |one: &Condition, two: &Condition| Condition {
            q: format!("{} {}", one.q, two.q),
            sql: format!("{} AND {}", one.sql, two.sql),
        };
        let taken = Condition {
            q: format!("taken:{year}"),
            sql: format!("taken >= '{year}' AND taken < '{}'", year + 1),
        };
        let rated = Condition {
            q: "rating>=4".to_owned(),
            sql: "rating >= 4".to_owned(),
        };
        // As many files as names: what a camera calls them.
        let named = Condition {
            q: "img".to_owned(),
            sql: "name LIKE '%img%'".to_owned(),
        };
        let large = Condition {
            q: "size>5MB".to_owned(),
            sql: "size > 5000000".to_owned(),
        };
        let videos = Condition {
            q: "type:video duration>30s".to_owned(),
            sql: "kind = 'video' AND duration > 30000".to_owned(),
        };
        let here = Condition {
            q: format!("bbox:{lon},{lat},{},{}", lon + 10.0, lat + 10.0),
            sql: format!(
                "lat BETWEEN {lat} AND {} AND lon BETWEEN {lon} AND {}",
                lat + 10.0,
                lon + 10.0
            ),
        };
        let everything = Condition {
            q: String::new(),
            sql: "TRUE".to_owned(),
        };
        vec![
            both(&tag, &taken),
            both(&tag, &other),
            both(&word, &taken),
            both(&here, &rated),
            tag,
            word,
            taken,
            rated,
            named,
            large,
            videos,
            here,
            everything,
        ]
    }

    /// A tag that stands for itself alone.
    fn tag(&mut self) -> Condition {
        let common = [
            "family", "holiday", "beach", "garden", "food", "work", "snow", "birthday",
        ];
        let rank = self.rank(3_000);
        let named = usize::try_from(rank).ok().and_then(|rank| common.get(rank));
        let tag = named.map_or_else(|| format!("tag {}", rank * 3 + 13), |tag| (*tag).to_owned());
        Condition {
            q: format!("tag:\"{tag}\""),
            sql: format!("id IN (SELECT photo FROM photo_tags WHERE tag = '{tag}')"),
        }
    }

    /// A word of titles and descriptions. `LIKE` also finds it within others, so these stand within none.
    fn word(&mut self) -> Condition {
        let common = ["summer", "boat", "evening", "party", "walk", "winter"];
        let rank = usize::try_from(self.rank(6)).unwrap_or_default();
        let word = common.get(rank).copied().unwrap_or("house");
        Condition {
            q: word.to_owned(),
            sql: format!(
                "(title LIKE '%{word}%' OR description LIKE '%{word}%' OR name LIKE '%{word}%'
                  OR place LIKE '%{word}%' OR camera LIKE '%{word}%')"
            ),
        }
    }

    /// Below `count`, low ones more often.
    fn rank(&mut self, count: u64) -> u64 {
        let bound = self.below(count) + 1;
        let bound = self.below(bound) + 1;
        self.below(bound)
    }

    fn below(&mut self, count: u64) -> u64 {
        // The increment and multiplier of Knuth's MMIX generator.
        self.drawn = self
            .drawn
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.drawn >> 33) % count
    }
}

fn search(condition: &Condition) -> Question {
    let Condition { q, sql } = condition;
    Question {
        kind: Kind::Search,
        path: format!("/api/v1/files?limit=50&q={}", encoded(q)),
        sql: Sql {
            rows: format!(
                "SELECT {SHOWN}, (SELECT group_concat(tag) FROM photo_tags WHERE photo = id) FROM photos
                 WHERE state = 'live' AND {sql} ORDER BY taken DESC LIMIT 50"
            ),
            count: Some(format!("SELECT count(*) FROM photos WHERE state = 'live' AND {sql}")),
        },
    }
}

fn facets(condition: &Condition) -> Question {
    let Condition { q, sql } = condition;
    Question {
        kind: Kind::Facets,
        path: format!("/api/v1/facets?by=tag,camera,year&q={}", encoded(q)),
        sql: Sql {
            rows: format!(
                "SELECT * FROM (SELECT tag, count(*) n FROM photo_tags JOIN photos ON photo = id
                   WHERE state = 'live' AND {sql} GROUP BY tag ORDER BY n DESC LIMIT 100)
                 UNION ALL SELECT * FROM (SELECT camera, count(*) n FROM photos
                   WHERE state = 'live' AND {sql} GROUP BY camera ORDER BY n DESC LIMIT 100)
                 UNION ALL SELECT substr(taken, 1, 4), count(*) FROM photos
                   WHERE state = 'live' AND {sql} GROUP BY 1"
            ),
            count: None,
        },
    }
}

fn timeline(condition: &Condition) -> Question {
    let Condition { q, sql } = condition;
    Question {
        kind: Kind::Timeline,
        path: format!("/api/v1/timeline?q={}", encoded(q)),
        sql: Sql {
            rows: format!(
                "SELECT substr(taken, 1, 10), count(*) FROM photos WHERE state = 'live' AND {sql} GROUP BY 1"
            ),
            count: None,
        },
    }
}

fn bucket(month: &str) -> Question {
    Question {
        kind: Kind::Bucket,
        path: format!("/api/v1/timeline/{month}?limit=1000"),
        sql: Sql {
            rows: format!(
                "SELECT id, kind, width, height, taken, duration, favourite FROM photos
                 WHERE state = 'live' AND taken LIKE '{month}%' ORDER BY taken DESC LIMIT 1000"
            ),
            count: None,
        },
    }
}

fn map(condition: &Condition) -> Question {
    let Condition { q, sql } = condition;
    Question {
        kind: Kind::Map,
        path: format!("/api/v1/map?zoom=4&bbox=-20,35,40,65&q={}", encoded(q)),
        sql: Sql {
            rows: format!(
                "SELECT round(lat), round(lon), count(*), max(id) FROM photos
                 WHERE state = 'live' AND lat BETWEEN 35 AND 65 AND lon BETWEEN -20 AND 40 AND {sql}
                 GROUP BY 1, 2"
            ),
            count: None,
        },
    }
}

fn suggest(prefix: &str) -> Question {
    Question {
        kind: Kind::Suggest,
        path: format!("/api/v1/suggest?limit=10&prefix={}", encoded(prefix)),
        sql: Sql {
            rows: format!(
                "SELECT tag, count(*) n FROM photo_tags WHERE tag LIKE '{prefix}%' GROUP BY tag ORDER BY n DESC LIMIT 10"
            ),
            count: None,
        },
    }
}

/// Percent-encoded for a query string.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:,".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes any text");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_asks_the_same() {
        let paths = || -> Vec<String> {
            let round = Questions::default().round();
            round.into_iter().map(|question| question.path).collect()
        };
        assert_eq!(paths(), paths());
        assert_eq!(encoded("a >\"ü"), "a%20%3E%22%C3%BC");
    }
}
