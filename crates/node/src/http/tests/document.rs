//! The OpenAPI document: complete, checked in, and true to what is sent.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use utoipa::PartialSchema as _;

use crate::http::problem::Code;
use crate::http::{routes, schema};

pub(super) fn document() -> String {
    let mut text = routes().to_openapi().to_pretty_json().unwrap();
    text.push('\n');
    text
}

/// `UPDATE_OPENAPI=1` writes the document instead.
#[test]
fn openapi_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let document = document();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, document).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == document,
        "openapi.json is stale: run the tests with UPDATE_OPENAPI=1"
    );
}

#[test]
fn every_code_and_every_call_is_described() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let listed = document["components"]["schemas"]["Code"].to_string();
    for code in Code::ALL {
        assert!(listed.contains(&format!("\"{code}\"")), "{code}");
    }
    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].to_string();
            assert!(ids.insert(id), "{method} {path} shares its name");
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(operation["responses"].is_object(), "{method} {path}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                references.insert(reference.clone());
            }
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

/// The names that a shape documents.
pub(super) fn documented_file() -> BTreeSet<String> {
    let schema = serde_json::to_value(schema::FileDocument::schema()).unwrap();
    schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}
