//! The query language, which anybody with a token may write: any text is a query or an error inside it, and whatever is
//! a query can be asked.
//!
//! An input is a query's text, and behind a zero byte a cursor, if there is one. Queries are put to a catalogue that holds
//! one file, since half of what can be wrong with a query is noticed only then.

use catalogue::query::QUERY_BYTES_MAX;
use catalogue::{BlockInput, Catalogue, Limit, Page, Query, Reader, SearchError};
use model::{BlockHash, Command, Height, LibraryId, Payload, Timestamp};
use tempfile::TempDir;

use crate::Seed;
use crate::values;

/// A catalogue to ask, one for each thread since a connection has one owner.
struct Shelf {
    _folder: TempDir,
    reader: Reader,
}

thread_local! {
    static SHELF: Shelf = Shelf::new();
}

impl Shelf {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("catalogue.sqlite");
        let mut catalogue = Catalogue::open(&path).expect("an empty catalogue");
        catalogue.apply(&blocks()).expect("a new disk");
        Self {
            reader: Reader::open(&path).expect("it was just made"),
            _folder: folder,
        }
    }
}

/// A block for each command.
pub(crate) fn blocks() -> Vec<BlockInput> {
    (0..).zip(commands()).map(block).collect()
}

/// Genesis, a file and what was done to it.
fn commands() -> impl Iterator<Item = Command> {
    values::commands()
        .into_iter()
        .filter(|command| !matches!(command.payload, Payload::SetState { .. }))
        .map(|command| Command {
            key: None,
            ..command
        })
}

fn block((height, command): (u64, Command)) -> BlockInput {
    BlockInput {
        height: Height(height),
        time: Timestamp(1_700_000_000_000_000 + height),
        hash: BlockHash::of(&[&height.to_be_bytes()]),
        commands: vec![(0, command)],
        mentions: Vec::new(),
    }
}

/// Reads a query, writes it down, reads that again, and asks it.
///
/// # Panics
/// If a property is broken.
pub fn run(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let mut part = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let Some(text) = part() else { return };
    let cursor = part().map(str::to_owned);
    match text.parse::<Query>() {
        Ok(query) => {
            check_canonical(&query);
            SHELF.with(|shelf| ask(&shelf.reader, &query, cursor));
        }
        Err(error) => {
            let columns = 1..=text.chars().count() + 1;
            assert!(columns.contains(&error.column), "{error} in {text:?}");
            assert!(!error.kind.to_string().is_empty());
        }
    }
}

fn check_canonical(query: &Query) {
    let canonical = query.canonical();
    assert!(canonical.len() <= QUERY_BYTES_MAX, "{canonical:?} grows");
    let again = canonical.parse::<Query>();
    assert_eq!(again.as_ref(), Ok(query), "{canonical:?} is another query");
    let tree = serde_json::to_value(query).expect("a tree has no odd keys");
    let again = Query::from_tree(&tree);
    assert_eq!(again.as_ref(), Ok(query), "{tree} is another query");
}

/// A first page, the one behind it, and the one behind a cursor that a stranger made.
fn ask(reader: &Reader, query: &Query, cursor: Option<String>) {
    let library = LibraryId::home();
    let page = |cursor| Page {
        limit: Limit::new(1).expect("1 is a limit"),
        cursor,
        sort: None,
    };
    match reader.search(&library, query, &page(None)) {
        Ok(found) => {
            assert_eq!(found.canonical, query.canonical());
            if found.next_cursor.is_some() {
                let next = reader.search(&library, query, &page(found.next_cursor));
                assert!(next.is_ok(), "{next:?} behind the first page");
            }
        }
        // What is well said and not there.
        Err(
            SearchError::UnknownLibrary(_)
            | SearchError::OwnField { .. }
            | SearchError::Album(_)
            | SearchError::NoSuchFile(_),
        ) => return,
        Err(error) => panic!("{error:?} from {}", query.canonical()),
    }
    if cursor.is_none() {
        return;
    }
    match reader.search(&library, query, &page(cursor)) {
        Ok(_) | Err(SearchError::Cursor | SearchError::ForeignCursor) => {}
        Err(error) => panic!("{error:?} from a cursor"),
    }
}

/// Texts that use every key and every operator, and some that are nearly right.
const TEXTS: &[(&str, &str)] = &[
    ("empty", ""),
    (
        "words",
        "a b AND c OR d \"ice cream\" sand* -work NOT NOT e",
    ),
    (
        "quotes",
        r#""say \"hi\"" "back\\slash" camera:"Pixel 7" "Ice Cream"*"#,
    ),
    ("groups", "a -(b -(c OR (d e))) (f OR g) NOT (h)"),
    (
        "tags",
        "tag:places/uk/* OR tag:bea* OR -tag:\"New York\" OR tag:c++",
    ),
    (
        "names",
        "name:IMG_* title:\"first day\"* camera:EOS* type:photo",
    ),
    (
        "times",
        "taken:2019-07-04T18:03:07.5..2021 after:2019 before:2020-02-29",
    ),
    (
        "open-times",
        "taken:2019.. OR taken:..2021-06 OR missing:taken",
    ),
    ("near", "near:+51.5,-0.10,1500m sort:-taken"),
    ("bbox", "bbox:170,-20,-170,20 has:gps"),
    (
        "amounts",
        "size>1.5MB width:1000.. duration<=90s height=2160",
    ),
    ("arrival", "uploaded:7d OR uploaded:2024-07..2025"),
    (
        "area",
        "within:POLYGON((0 0, 1 1,1 0)) OR within:0,0,1,1,0,1.5",
    ),
    ("more-words", "description:\"a b\" place:lon*"),
    ("numbers", "rating>=4 rating<5 OR rating=0 favourite:true"),
    ("presence", "has:place missing:tags has:thumbhash in:all"),
    (
        "people-and-fields",
        "person:Ann* -like:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef field.spot:51.5,-0.1,1km sort:-field.price",
    ),
    ("order-name", "in:trash library:home sort:name"),
    ("order-size", "sort:-size in:archive beach"),
    ("order-rating", "sort:rating"),
    ("order-added", "sort:-added in:all"),
    ("words-of-other-languages", "日本 été é"),
    ("nearly", "a!b 12:30 IMG(1).jpg - ? a*b"),
    ("wrong-key", "tgas:beach"),
    ("wrong-value", "near:91,0,1km"),
    ("unclosed", "(a \"b"),
    ("cursor", "sort:name\0eyJ2IjoxfQ"),
];

/// Texts, and a query with a cursor of its own.
pub fn seeds() -> Vec<Seed> {
    let seeds = TEXTS
        .iter()
        .map(|(name, text)| Seed::new(*name, text.as_bytes().to_vec()));
    seeds.collect()
}
