//! The language by example: every text in `query_vectors.json` has the canonical text and tree, or the error, that
//! stands beside it, and `docs/query-language.md` shows them all.
//!
//! `UPDATE_VECTORS=1 cargo test -p catalogue --test query_vectors` writes both anew; read the difference.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use catalogue::query::{DEPTH_MAX, QUERY_BYTES_MAX, QueryErrorKind, TERMS_MAX};
use catalogue::{Query, QueryError};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vector {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    canonical: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    tree: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    error: Option<Fault>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Fault {
    column: usize,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    suggestion: Option<String>,
}

impl Vector {
    fn of(text: &str) -> Self {
        let text = text.to_owned();
        match text.parse::<Query>() {
            Ok(query) => Self {
                canonical: Some(query.canonical()),
                tree: Some(serde_json::to_value(&query).unwrap()),
                error: None,
                text,
            },
            Err(QueryError {
                column,
                kind,
                suggestion,
            }) => {
                let error = Fault {
                    column,
                    message: kind.to_string(),
                    suggestion,
                };
                Self {
                    text,
                    canonical: None,
                    tree: None,
                    error: Some(error),
                }
            }
        }
    }
}

fn vectors_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/query_vectors.json")
}

fn docs_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/query-language.md")
}

const TABLES_START: &str = "<!-- vectors: written by the test -->\n";
const TABLES_END: &str = "<!-- end of vectors -->\n";

/// The vectors as the two tables of the document.
fn tables(vectors: &[Vector]) -> String {
    let cell = |text: &str| match text {
        "" => String::new(),
        text => format!("`{}`", text.replace('|', "\\|")),
    };
    let mut out = String::from(
        "\n| text | canonical text | tree (`filter`, and what else is set) |\n| --- | --- | --- |\n",
    );
    for vector in vectors {
        let (Some(canonical), Some(tree)) = (&vector.canonical, &vector.tree) else {
            continue;
        };
        let canonical = if *canonical == vector.text {
            "same".to_owned()
        } else {
            cell(canonical)
        };
        let mut shown = cell(&tree["filter"].to_string());
        for key in ["in", "library", "sort"] {
            let value = &tree[key];
            if !value.is_null() && value != "live" {
                write!(shown, " {}", cell(&format!("{key}: {value}"))).unwrap();
            }
        }
        writeln!(out, "| {} | {canonical} | {shown} |", cell(&vector.text)).unwrap();
    }
    out.push_str("\n| text | column | error | suggestion |\n| --- | --- | --- | --- |\n");
    for vector in vectors {
        let Some(fault) = &vector.error else { continue };
        let suggestion = fault
            .suggestion
            .as_deref()
            .unwrap_or_default()
            .replace('|', "\\|");
        let message = fault.message.replace('|', "\\|");
        let text = cell(&vector.text.escape_debug().to_string().replace("\\\"", "\""));
        writeln!(
            out,
            "| {text} | {} | {message} | {suggestion} |",
            fault.column
        )
        .unwrap();
    }
    out.push('\n');
    out
}

#[test]
fn every_vector_reads_as_written_down() {
    let stored: Vec<Vector> = serde_json::from_slice(&fs::read(vectors_path()).unwrap()).unwrap();
    let actual: Vec<Vector> = stored
        .iter()
        .map(|vector| Vector::of(&vector.text))
        .collect();
    let docs = fs::read_to_string(docs_path()).unwrap();
    let (head, rest) = docs
        .split_once(TABLES_START)
        .expect("the document marks its tables");
    let (shown, tail) = rest
        .split_once(TABLES_END)
        .expect("the document marks the tables' end");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let json = serde_json::to_string_pretty(&actual).unwrap() + "\n";
        fs::write(vectors_path(), json).unwrap();
        let docs = [head, TABLES_START, &tables(&actual), TABLES_END, tail].concat();
        fs::write(docs_path(), docs).unwrap();
        return;
    }
    assert!(actual.len() >= 100, "only {} vectors", actual.len());
    for (stored, actual) in stored.iter().zip(&actual) {
        assert_eq!(stored, actual);
    }
    assert_eq!(
        shown,
        tables(&actual),
        "docs/query-language.md is out of date"
    );
}

#[test]
fn a_canonical_text_is_its_own_canonical_text() {
    let stored: Vec<Vector> = serde_json::from_slice(&fs::read(vectors_path()).unwrap()).unwrap();
    for canonical in stored
        .iter()
        .filter_map(|vector| vector.canonical.as_deref())
    {
        let again: Query = canonical.parse().unwrap();
        assert_eq!(again.canonical(), canonical);
    }
}

fn kind(text: &str) -> QueryErrorKind {
    text.parse::<Query>().unwrap_err().kind
}

#[test]
fn length_depth_and_number_of_terms_are_bounded() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(nested(DEPTH_MAX).parse::<Query>().is_ok());
    assert_eq!(kind(&nested(DEPTH_MAX + 1)), QueryErrorKind::TooDeep);
    assert_eq!(
        kind(&format!("{}a", "NOT ".repeat(DEPTH_MAX + 1))),
        QueryErrorKind::TooDeep
    );
    assert_eq!(kind(&"(".repeat(QUERY_BYTES_MAX)), QueryErrorKind::TooDeep);
    assert!("a ".repeat(TERMS_MAX).parse::<Query>().is_ok());
    assert_eq!(
        kind(&"a ".repeat(TERMS_MAX + 1)),
        QueryErrorKind::TooManyTerms
    );
    assert!("x".repeat(QUERY_BYTES_MAX).parse::<Query>().is_ok());
    assert_eq!(
        kind(&"x".repeat(QUERY_BYTES_MAX + 1)),
        QueryErrorKind::TooLong
    );
    let doubled = format!("\"{}x\"", "\\a".repeat(QUERY_BYTES_MAX / 3));
    assert_eq!(
        kind(&doubled),
        QueryErrorKind::TooLong,
        "its canonical text would be too long"
    );
}

/// Pieces of the language, put together with no regard for its grammar.
fn anything_like_a_query() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("tag:"),
        Just("beach"),
        Just("places/uk"),
        Just("*"),
        Just("-"),
        Just("\""),
        Just("\\"),
        Just(" "),
        Just(" "),
        Just(" "),
        Just("("),
        Just(")"),
        Just("OR"),
        Just(" OR "),
        Just("NOT "),
        Just("AND "),
        Just("rating"),
        Just(">="),
        Just("=4"),
        Just("near:51.5,-0.10,10km"),
        Just("bbox:-0.2,51.4,0.1,51.60"),
        Just("taken:2019..2021-06"),
        Just("after:2019-07-04T18"),
        Just("type:photo"),
        Just("has:place"),
        Just("sort:-taken"),
        Just("in:trash"),
        Just("library:home"),
        Just("camera:\"Pixel 7\""),
        Just("favourite:true"),
        Just("size>1.5MB"),
        Just("duration:1m..90s"),
        Just("width<=4000"),
        Just("uploaded:7d"),
        Just("uploaded:2024..2025-02"),
        Just("within:51.4,-0.20,51.6,-0.2,51.5,0.1"),
        Just("within:POLYGON((0 0, 1.50 1,1 0))"),
        Just("description:x"),
        Just("place:Oslo"),
        Just("field.price>=2.5"),
        Just("field.invoice_no:A*"),
        Just("field.a=\"x y\""),
        Just("has:field.due"),
        Just("missing:field.due"),
        Just("album:Wedding"),
        Just("é"),
        Just("a:b"),
        Just("name:IMG_1*"),
        Just("\u{1}"),
        Just("x!=1"),
        Just("日本"),
        Just("..")
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_text_is_a_query_with_a_fixed_point_or_an_error_inside_it(
        text in prop_oneof![3 => anything_like_a_query(), 1 => any::<String>()],
    ) {
        match text.parse::<Query>() {
            Ok(query) => {
                let tree = serde_json::to_value(&query).unwrap();
                let from_tree = Query::from_tree(&tree);
                prop_assert_eq!(from_tree.as_ref(), Ok(&query), "{}", tree);
                let canonical = query.canonical();
                let again: Query = canonical.parse().expect("canonical text is a query");
                prop_assert_eq!(&again, &query);
                prop_assert_eq!(again.canonical(), canonical);
            }
            Err(error) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{}", error);
            }
        }
    }
}
