//! How a word that is being typed may go on: keys of the language, tags, cameras, lenses, places and people that live files have.

use std::cmp::Reverse;

use model::file::State;
use roaring::RoaringBitmap;
use serde::Serialize;

use super::{Limit, Scene, SearchError};
use crate::file::Word;
use crate::index::fold;
use crate::index::posting::Posting;
use crate::query::{self, Expr, Extent, Pattern, Query, Term};

/// What a suggestion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuggestionKind {
    /// A key of the query language.
    Key,
    /// A tag.
    Tag,
    /// A place.
    Place,
    /// Make and model of a camera.
    Camera,
    /// A lens.
    Lens,
    /// Somebody in the picture.
    Person,
}

impl Word for SuggestionKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("key", Self::Key),
        ("tag", Self::Tag),
        ("place", Self::Place),
        ("camera", Self::Camera),
        ("lens", Self::Lens),
        ("person", Self::Person),
    ];
}

/// One way to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suggestion {
    /// `key`, `tag`, `place`, `camera`, `lens` or `person`.
    #[serde(with = "crate::file::words")]
    pub kind: SuggestionKind,
    /// As people write it.
    pub value: String,
    /// What to put in the place of what was typed.
    pub term: String,
    /// Live files that it finds; none for a key.
    pub count: Option<u64>,
}

/// All ways to go on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suggestions {
    /// The likeliest first.
    pub items: Vec<Suggestion>,
    /// The height the answer reflects.
    #[serde(skip)]
    pub height: model::Height,
}

/// Suggests.
pub(crate) fn suggest(
    scene: Scene<'_>,
    typed: &str,
    limit: Limit,
) -> Result<Suggestions, SearchError> {
    let home = Query::default();
    let library = scene.memory.library(scene.library_of(&home)?);
    let typed = typed.trim_start().trim_start_matches('-');
    let (only, wanted) = match typed.split_once(':') {
        Some((key, rest)) => (SuggestionKind::from_word(key), rest),
        None => (None, typed),
    };
    let wanted = fold::folded(wanted.trim_start_matches('"'));
    let live = library.states.get(State::Live as usize);
    let mut gathered = Gathered {
        wanted: &wanted,
        live,
        items: Vec::new(),
    };
    let asked = |kind| only.is_none_or(|only| only == kind);
    if only.is_none() {
        gathered.keys();
    }
    if asked(SuggestionKind::Tag) {
        for tag in library.tags.values() {
            gathered.add(SuggestionKind::Tag, tag.spelled(), tag.slots.as_ref());
        }
    }
    let values = [
        (SuggestionKind::Place, &library.texts.place),
        (SuggestionKind::Camera, &library.cameras),
        (SuggestionKind::Lens, &library.lenses),
        (SuggestionKind::Person, &library.texts.person),
    ];
    for (kind, values) in values.into_iter().filter(|(kind, _)| asked(*kind)) {
        for (text, slots) in values.iter() {
            gathered.add(kind, text, Some(slots));
        }
    }
    Ok(Suggestions {
        items: gathered.best(limit),
        height: scene.memory.height.unwrap_or_default(),
    })
}

/// Suggestions with how well they fit: 0 begins so, 1 has a word that does.
struct Gathered<'a> {
    wanted: &'a str,
    live: Option<&'a RoaringBitmap>,
    items: Vec<(u8, Suggestion)>,
}

impl Gathered<'_> {
    fn keys(&mut self) {
        for key in query::keys().filter(|key| key.starts_with(self.wanted)) {
            let suggestion = Suggestion {
                kind: SuggestionKind::Key,
                value: key.to_owned(),
                term: format!("{key}:"),
                count: None,
            };
            self.items.push((0, suggestion));
        }
    }

    fn add(&mut self, kind: SuggestionKind, value: &str, slots: Option<&Posting>) {
        let Some(fit) = fit(&fold::folded(value), self.wanted) else {
            return;
        };
        let count = slots.zip(self.live);
        let count = count.map_or(0, |(slots, live)| slots.count_in(live));
        if count > 0 {
            let suggestion = Suggestion {
                kind,
                value: value.to_owned(),
                term: term(kind, value),
                count: Some(count),
            };
            self.items.push((fit, suggestion));
        }
    }

    fn best(mut self, limit: Limit) -> Vec<Suggestion> {
        self.items.sort_by(|(fit, one), (other, two)| {
            let rank = |fit: &u8, item: &Suggestion| {
                let is_value = item.kind != SuggestionKind::Key;
                (*fit, is_value, Reverse(item.count), item.kind)
            };
            (rank(fit, one), &one.value).cmp(&(rank(other, two), &two.value))
        });
        self.items.truncate(limit.0 as usize);
        self.items.into_iter().map(|(_, item)| item).collect()
    }
}

/// How well a value goes on from what was typed.
fn fit(value: &str, wanted: &str) -> Option<u8> {
    if value.starts_with(wanted) {
        return Some(0);
    }
    let mut places = value.match_indices(wanted);
    let begins = |(at, _): (usize, &str)| {
        let before = value
            .get(..at)
            .and_then(|before| before.chars().next_back());
        before.is_some_and(|c| !c.is_alphanumeric())
    };
    places.any(begins).then_some(1)
}

fn term(kind: SuggestionKind, value: &str) -> String {
    let pattern = Pattern {
        text: value.to_owned(),
        extent: Extent::Whole,
    };
    let term = match kind {
        SuggestionKind::Tag => Term::Tag(pattern),
        SuggestionKind::Place => Term::Place(pattern),
        SuggestionKind::Camera | SuggestionKind::Lens => Term::Camera(pattern),
        SuggestionKind::Person => Term::Person(pattern),
        SuggestionKind::Key => Term::Text(pattern),
    };
    Expr::Term(term).to_string()
}
