//! What people and their programs wrote into a file in words, and whose word counts.
//!
//! The same thing may be said four times: in a sidecar, in EXIF, in an XMP packet, in IPTC. The order is the one of the
//! Metadata Working Group's guidelines, with a sidecar before all, because that is where programs put what was changed
//! after the picture was taken:
//!
//! | value | order |
//! | --- | --- |
//! | description, capture time, place | sidecar, EXIF, XMP, IPTC |
//! | title, rating, location in words | sidecar, XMP, IPTC, EXIF |
//! | tags, people | all together, each once |
//!
//! A time of digitisation, and of creation of the document, counts only if nobody gives the moment of exposure. Each
//! value keeps where it came from.

use std::collections::BTreeSet;

use model::file::{Facts, Place, Source, TakenAt};

use crate::notes::clean;
use crate::packet::cut;

/// The longest title, in bytes.
const TITLE_BYTES_MAX: usize = 1000;
/// The longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;
/// The longest tag or name of a person, in bytes.
const TAG_BYTES_MAX: usize = 255;
/// The most tags, and the most people, of one file.
const TAGS_MAX: usize = 500;

/// Who says something about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// An XMP file beside it.
    Sidecar,
    /// Its EXIF block.
    Exif,
    /// Its XMP packet.
    Xmp,
    /// Its IPTC block.
    Iptc,
}

impl Origin {
    /// The source that a value of this origin has in the ledger.
    pub fn source(self) -> Source {
        match self {
            Self::Sidecar => Source::Sidecar,
            Self::Exif => Source::Exif,
            Self::Xmp => Source::Xmp,
            Self::Iptc => Source::Iptc,
        }
    }
}

/// A value and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T> {
    /// What was said.
    pub value: T,
    /// By whom.
    pub origin: Origin,
}

/// Where a picture was taken, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// A part of the city, or a place outside cities.
    pub sublocation: Option<String>,
    /// The city.
    pub city: Option<String>,
    /// The state or province.
    pub state: Option<String>,
    /// The country.
    pub country: Option<String>,
}

/// What people and their programs say about a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Described {
    /// A heading.
    pub title: Option<Told<String>>,
    /// A text.
    pub description: Option<Told<String>>,
    /// Tags, nested with `/`, in the form that the ledger takes.
    pub tags: Vec<Told<String>>,
    /// Names of the people to be seen.
    pub people: Vec<Told<String>>,
    /// 0 to 5.
    pub rating: Option<Told<u8>>,
    /// Where, in words.
    pub location: Option<Told<Location>>,
    /// When it was taken.
    pub taken_at: Option<Told<TakenAt>>,
    /// Where it was taken.
    pub place: Option<Told<Place>>,
}

/// How near a time is to the moment of exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// The shutter.
    Exposure,
    /// A scanner, or the program that made the document.
    Creation,
}

/// What one of them says.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    /// Ways of a tree, outermost first.
    pub(crate) trees: Vec<Vec<String>>,
    /// Tags without a tree.
    pub(crate) keywords: Vec<String>,
    pub(crate) people: Vec<String>,
    pub(crate) rating: Option<u8>,
    pub(crate) location: Location,
    pub(crate) times: Vec<(Moment, TakenAt)>,
    pub(crate) place: Option<Place>,
}

/// Puts together what all of them say.
pub(crate) fn merge(said: &[(Origin, Words)]) -> Described {
    let mut ranked: Vec<&(Origin, Words)> = said.iter().collect();
    ranked.sort_by_key(|(origin, _)| *origin);
    let mut in_words = ranked.clone();
    in_words.sort_by_key(|(origin, _)| (*origin == Origin::Exif, *origin));
    Described {
        title: first(&in_words, title),
        description: first(&ranked, description),
        tags: tags(&ranked),
        people: people(&ranked),
        rating: first(&in_words, |words| words.rating),
        location: first(&in_words, |words| location(&words.location)),
        taken_at: taken_at(&ranked),
        place: first(&ranked, |words| words.place.clone()),
    }
}

impl Described {
    /// What a sidecar says goes before what the file says; tags and people of both stay.
    #[must_use]
    pub fn under(self, sidecar: Self) -> Self {
        Self {
            title: sidecar.title.or(self.title),
            description: sidecar.description.or(self.description),
            tags: together(sidecar.tags, self.tags),
            people: together(sidecar.people, self.people),
            rating: sidecar.rating.or(self.rating),
            location: sidecar.location.or(self.location),
            taken_at: sidecar.taken_at.or(self.taken_at),
            place: sidecar.place.or(self.place),
        }
    }

    /// Puts the time and the place among the facts that every node has.
    pub fn settle(&self, facts: &mut Facts) {
        if let Some(taken) = &self.taken_at {
            facts.taken_at = Some(taken.value);
        }
        if let Some(place) = &self.place {
            facts.place = Some(place.value.clone());
        }
    }
}

fn first<T>(ranked: &[&(Origin, Words)], value: impl Fn(&Words) -> Option<T>) -> Option<Told<T>> {
    ranked.iter().find_map(|(origin, words)| {
        Some(Told {
            value: value(words)?,
            origin: *origin,
        })
    })
}

fn title(words: &Words) -> Option<String> {
    let title = clean(words.title.as_ref()?, TITLE_BYTES_MAX);
    let title = cut(&title, TITLE_BYTES_MAX).trim().to_owned();
    (!title.is_empty()).then_some(title)
}

/// A text may have several lines; of control characters nothing else is kept.
fn description(words: &Words) -> Option<String> {
    let text = words.description.as_ref()?;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let kept: String = text
        .chars()
        .filter(|&c| c == '\n' || c == '\t' || !c.is_control())
        .collect();
    let text = cut(kept.trim(), DESCRIPTION_BYTES_MAX)
        .trim_end()
        .to_owned();
    (!text.is_empty()).then_some(text)
}

impl Location {
    /// On one line, the nearest first.
    pub fn line(&self) -> String {
        let parts = [&self.sublocation, &self.city, &self.state, &self.country];
        let parts: Vec<&str> = parts
            .into_iter()
            .filter_map(|part| part.as_deref())
            .collect();
        clean(&parts.join(", "), TITLE_BYTES_MAX / 4)
    }
}

fn location(location: &Location) -> Option<Location> {
    (*location != Location::default()).then(|| location.clone())
}

fn taken_at(ranked: &[&(Origin, Words)]) -> Option<Told<TakenAt>> {
    [Moment::Exposure, Moment::Creation]
        .into_iter()
        .find_map(|wanted| {
            first(ranked, |words| {
                let mut times = words.times.iter();
                times
                    .find(|(moment, _)| *moment == wanted)
                    .map(|(_, time)| *time)
            })
        })
}

/// All tags, each once. Programs that keep a tree write every name on the way also as a keyword of its own, for those
/// that know no trees; such a keyword says nothing more.
fn tags(ranked: &[&(Origin, Words)]) -> Vec<Told<String>> {
    let mut on_the_way = BTreeSet::new();
    let mut tags = Vec::new();
    for (origin, words) in ranked {
        let trees: BTreeSet<Vec<String>> = words.trees.iter().map(parts).collect();
        for way in &trees {
            on_the_way.extend(way.iter().map(|name| name.to_lowercase()));
            let is_inner = trees
                .iter()
                .any(|longer| longer.len() > way.len() && longer.starts_with(way));
            if !way.is_empty() && !is_inner {
                tags.push((*origin, way.join("/")));
            }
        }
    }
    for (origin, words) in ranked {
        for keyword in &words.keywords {
            let way = parts(keyword.split('/'));
            let known =
                matches!(way.as_slice(), [name] if on_the_way.contains(&name.to_lowercase()));
            if !way.is_empty() && !known {
                tags.push((*origin, way.join("/")));
            }
        }
    }
    once(tags)
}

fn parts<T: AsRef<str>>(way: impl IntoIterator<Item = T>) -> Vec<String> {
    way.into_iter()
        .map(|name| clean(name.as_ref(), TAG_BYTES_MAX).replace('/', "-"))
        .filter(|name| !name.is_empty())
        .collect()
}

fn people(ranked: &[&(Origin, Words)]) -> Vec<Told<String>> {
    let names = ranked.iter().flat_map(|(origin, words)| {
        let names = words.people.iter();
        names.map(|name| (*origin, clean(name, TAG_BYTES_MAX)))
    });
    once(names)
}

/// Each text once, in any case of letters, as its first teller spells it; none that is too long.
fn once(texts: impl IntoIterator<Item = (Origin, String)>) -> Vec<Told<String>> {
    let mut seen = BTreeSet::new();
    texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty() && text.len() <= TAG_BYTES_MAX)
        .filter(|(_, text)| seen.insert(text.to_lowercase()))
        .take(TAGS_MAX)
        .map(|(origin, value)| Told { value, origin })
        .collect()
}

fn together(before: Vec<Told<String>>, after: Vec<Told<String>>) -> Vec<Told<String>> {
    once(
        before
            .into_iter()
            .chain(after)
            .map(|told| (told.origin, told.value)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(title: &str) -> Words {
        Words {
            title: Some(title.to_owned()),
            description: Some(title.to_owned()),
            ..Words::default()
        }
    }

    fn values(told: &[Told<String>]) -> Vec<&str> {
        told.iter().map(|told| told.value.as_str()).collect()
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn the_order_of_tellers_depends_on_what_is_told() {
        let all = [
            (Origin::Iptc, words("iptc")),
            (Origin::Xmp, words("xmp")),
            (Origin::Exif, words("exif")),
        ];
        let described = merge(&all);
        let told = |value: &Option<Told<String>>| value.as_ref().map(|told| told.origin);
        assert_eq!(told(&described.title), Some(Origin::Xmp));
        assert_eq!(told(&described.description), Some(Origin::Exif));
        let sidecar = merge(&[(Origin::Sidecar, words("beside"))]);
        let both = described.under(sidecar);
        assert_eq!(told(&both.title), Some(Origin::Sidecar));
        assert_eq!(told(&both.description), Some(Origin::Sidecar));
    }

    #[test]
    fn trees_swallow_the_keywords_that_repeat_them() {
        let xmp = Words {
            trees: vec![
                strings(&["Places", "UK", "London"]),
                strings(&["Places", "UK"]),
            ],
            keywords: strings(&["london", "UK", "Places", "beach", "a/b", "BEACH", " "]),
            ..Words::default()
        };
        let iptc = Words {
            keywords: strings(&["beach", "only here"]),
            ..Words::default()
        };
        let described = merge(&[(Origin::Iptc, iptc), (Origin::Xmp, xmp)]);
        assert_eq!(
            values(&described.tags),
            ["Places/UK/London", "beach", "a/b", "only here"]
        );
        let last = described.tags.last().map(|told| told.origin);
        assert_eq!(last, Some(Origin::Iptc));
    }

    #[test]
    fn tags_come_out_in_the_form_that_the_ledger_takes() {
        let odd = Words {
            trees: vec![strings(&["a/b", " ", "c\nd"])],
            keywords: vec!["/x//y/".to_owned(), "z".repeat(300), "\u{7}".to_owned()],
            people: vec!["Jane\0 Doe".to_owned()],
            ..Words::default()
        };
        let described = merge(&[(Origin::Xmp, odd)]);
        let tags = values(&described.tags);
        assert_eq!(tags.first(), Some(&"a-b/c d"));
        assert_eq!(tags.get(1), Some(&"x/y"));
        assert!(tags.iter().all(|tag| tag.len() <= TAG_BYTES_MAX));
        assert_eq!(values(&described.people), ["Jane Doe"]);
    }

    #[test]
    fn a_text_keeps_its_lines_and_loses_the_rest() {
        let described = merge(&[(Origin::Xmp, words(" a\r\nb\u{0}\u{1b}[31m "))]);
        let text = described.description.map(|told| told.value);
        assert_eq!(text.as_deref(), Some("a\nb[31m"));
        assert_eq!(merge(&[(Origin::Xmp, words(" \n"))]), Described::default());
    }
}
