//! How often each value of a property occurs among the files that meet a query.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use model::file::{Kind, State};
use roaring::RoaringBitmap;
use serde::Serialize;

use super::{Answered, Limit, Scene, SearchError, own_facets};
use crate::fields::is_field_name;
use crate::file::Word;
use crate::index::library::Library;
use crate::index::values::Values;
use crate::query::{Comparison, Expr, Extent, Pattern, Query, Term, Within};
use crate::time;

/// A property to count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FacetKey {
    /// Tags, each with those below it.
    Tag,
    /// Make and model.
    Camera,
    /// The camera's lens.
    Lens,
    /// The place's name.
    Place,
    /// People in the picture.
    Person,
    /// Year of capture.
    Year,
    /// Month of capture.
    Month,
    /// Kind of file.
    Type,
    /// 0 to 5.
    Rating,
    /// Marked or not.
    Favourite,
    /// Live, archived or in the trash.
    State,
}

/// What to count by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FacetBy {
    /// What every file may have.
    Key(FacetKey),
    /// A user's own field, of this name.
    Own(String),
}

impl FacetBy {
    /// What a word like `camera` or `field.colour` means.
    pub fn read(word: &str) -> Option<Self> {
        match word.strip_prefix("field.") {
            Some(field) => is_field_name(field).then(|| Self::Own(field.to_owned())),
            None => FacetKey::from_word(word).map(Self::Key),
        }
    }
}

impl fmt::Display for FacetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key.word()),
            Self::Own(field) => write!(f, "field.{field}"),
        }
    }
}

impl Word for FacetKey {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tag", Self::Tag),
        ("camera", Self::Camera),
        ("lens", Self::Lens),
        ("place", Self::Place),
        ("person", Self::Person),
        ("year", Self::Year),
        ("month", Self::Month),
        ("type", Self::Type),
        ("rating", Self::Rating),
        ("favourite", Self::Favourite),
        ("state", Self::State),
    ];
}

/// A value and how often it occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FacetValue {
    /// As people write it.
    pub value: String,
    /// Files with it.
    pub count: u64,
    /// The term that finds them.
    pub term: String,
}

/// A property's values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facet {
    /// How many different values there are.
    pub distinct: u64,
    /// Those that occur most, most often first; months and years newest first.
    pub values: Vec<FacetValue>,
}

/// The properties asked about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facets {
    /// Of what.
    #[serde(flatten)]
    pub answered: Answered,
    /// By the property's word.
    pub facets: BTreeMap<String, Facet>,
}

/// Counts.
pub(crate) fn count(
    scene: Scene<'_>,
    query: &Query,
    by: &[FacetBy],
    limit: Limit,
) -> Result<Facets, SearchError> {
    let found = scene.find(query)?;
    let mut facets = BTreeMap::new();
    for by in by {
        let facet = match by {
            FacetBy::Key(key) => best(*key, values(found.library, *key, &found.files), limit),
            FacetBy::Own(field) => {
                own_facets::count(found.rows(scene), field, &found.files, limit)?
            }
        };
        facets.insert(by.to_string(), facet);
    }
    Ok(Facets {
        answered: scene.answered(query, &found.files),
        facets,
    })
}

/// A value before it is known whether it is among the most frequent.
struct Counted {
    value: String,
    count: u64,
    /// Orders what is not ordered by count.
    rank: i32,
}

fn best(key: FacetKey, mut counted: Vec<Counted>, limit: Limit) -> Facet {
    counted.retain(|value| value.count > 0);
    let distinct = counted.len() as u64;
    let in_time = matches!(key, FacetKey::Year | FacetKey::Month | FacetKey::Rating);
    counted.sort_by(|one, two| {
        let rank = |value: &Counted| (in_time.then_some(Reverse(value.rank)), Reverse(value.count));
        (rank(one), &one.value).cmp(&(rank(two), &two.value))
    });
    counted.truncate(limit.0 as usize);
    let shown = |counted: Counted| FacetValue {
        term: term(key, &counted.value),
        value: counted.value,
        count: counted.count,
    };
    Facet {
        distinct,
        values: counted.into_iter().map(shown).collect(),
    }
}

fn values(library: &Library, key: FacetKey, files: &RoaringBitmap) -> Vec<Counted> {
    match key {
        FacetKey::Tag => tags(library, files),
        FacetKey::Camera => texts(&library.cameras, files),
        FacetKey::Lens => texts(&library.lenses, files),
        FacetKey::Place => texts(&library.texts.place, files),
        FacetKey::Person => texts(&library.texts.person, files),
        FacetKey::Month => months(library, files),
        FacetKey::Year => years(months(library, files)),
        FacetKey::Type => words::<Kind>(files, |kind| library.kinds.get(kind as usize)),
        FacetKey::State => words::<State>(files, |state| library.states.get(state as usize)),
        FacetKey::Rating => {
            let counted = |(rating, with): (i32, &RoaringBitmap)| Counted {
                value: rating.to_string(),
                count: with.intersection_len(files),
                rank: rating,
            };
            (0..).zip(&library.ratings).map(counted).collect()
        }
        FacetKey::Favourite => {
            let marked = library.favourites.intersection_len(files);
            let counts = [("true", marked), ("false", files.len() - marked)];
            counts.map(|(value, count)| plain(value, count)).into()
        }
    }
}

fn plain(value: &str, count: u64) -> Counted {
    Counted {
        value: value.to_owned(),
        count,
        rank: 0,
    }
}

fn tags(library: &Library, files: &RoaringBitmap) -> Vec<Counted> {
    let tags = library.tags.values();
    let counted = tags.filter_map(|tag| {
        let count = tag.slots.as_ref()?.count_in(files);
        (count > 0).then(|| plain(tag.spelled(), count))
    });
    counted.collect()
}

fn texts(values: &Values, files: &RoaringBitmap) -> Vec<Counted> {
    let counted = values.iter().filter_map(|(text, slots)| {
        let count = slots.count_in(files);
        (count > 0).then(|| plain(text, count))
    });
    counted.collect()
}

fn months(library: &Library, files: &RoaringBitmap) -> Vec<Counted> {
    let counted = |(month, with): (&i32, &RoaringBitmap)| Counted {
        value: time::format_month(*month),
        count: with.intersection_len(files),
        rank: *month,
    };
    library.months.iter().map(counted).collect()
}

fn years(months: Vec<Counted>) -> Vec<Counted> {
    let mut years: BTreeMap<i32, u64> = BTreeMap::new();
    for month in months {
        *years.entry(month.rank.div_euclid(12)).or_default() += month.count;
    }
    let counted = |(year, count)| Counted {
        value: format!("{year:04}"),
        count,
        rank: year,
    };
    years.into_iter().map(counted).collect()
}

fn words<'a, T: Word>(
    files: &RoaringBitmap,
    with: impl Fn(T) -> Option<&'a RoaringBitmap>,
) -> Vec<Counted> {
    let counted = |(word, value): &(&'static str, T)| {
        let count = with(*value).map_or(0, |with| with.intersection_len(files));
        plain(word, count)
    };
    T::WORDS.iter().map(counted).collect()
}

/// What finds the files with a value.
fn term(key: FacetKey, value: &str) -> String {
    let pattern = || Pattern {
        text: value.to_owned(),
        extent: Extent::Whole,
    };
    let said = |key: &str| format!("{key}:{value}");
    match key {
        FacetKey::Tag => Expr::Term(Term::Tag(pattern())).to_string(),
        FacetKey::Camera | FacetKey::Lens => Expr::Term(Term::Camera(pattern())).to_string(),
        FacetKey::Place => Expr::Term(Term::Place(pattern())).to_string(),
        FacetKey::Person => Expr::Term(Term::Person(pattern())).to_string(),
        FacetKey::Year | FacetKey::Month => said("taken"),
        FacetKey::Type => said("type"),
        FacetKey::Favourite => said("favourite"),
        FacetKey::Rating => {
            let (is, value) = (Comparison::Equal, value.parse().unwrap_or_default());
            Expr::Term(Term::Rating { is, value }).to_string()
        }
        FacetKey::State => {
            let within = match value {
                "trashed" => Within::Trash,
                "archived" => Within::Archive,
                _ => Within::Live,
            };
            let query = Query {
                within,
                ..Query::default()
            };
            query.canonical()
        }
    }
}
