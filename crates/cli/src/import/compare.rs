//! What an export says and what the library says now, line by line.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::{AT_ONCE, Target};
use crate::client::{Body, Call};
use crate::export::manifest::{Line, Manifest, Summing};
use crate::failure::Failure;
use crate::output::{at, list_at, text_at};

/// That something else is said here.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    /// Where the original is, or what the definition is called.
    of: String,
    /// What differs; nothing if it is not there at all.
    differs: Vec<String>,
    /// What the export says, by property.
    exported: BTreeMap<String, Value>,
    /// What is said here.
    here: BTreeMap<String, Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.differs.is_empty() {
            return write!(f, "{}: it is not here", self.of);
        }
        write!(f, "{}: {}", self.of, self.differs.join(", "))
    }
}

/// Tells every difference, and gives the digest of what is said here of what the export has.
pub(super) async fn with(
    target: &Target,
    manifest: Manifest,
    mut tell: impl FnMut(&Difference) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let call = target.seeing(Call::get("/export/definitions"));
    let here: Value = target.client.json(&call).await?;
    let definitions = by_key(&here);
    let mut sum = Summing::default();
    let mut lines = Vec::with_capacity(AT_ONCE);
    let mut judge = |line: &Line, here: Option<&Value>| {
        if let Some(here) = here {
            sum.add(here);
        }
        difference(line, here).map_or(Ok(()), |it| tell(&it))
    };
    for line in manifest {
        let line = line?;
        if line.file().is_none() {
            judge(&line, definitions.get(&key(&line.record)).copied())?;
            continue;
        }
        lines.push(line);
        if lines.len() == AT_ONCE {
            files(target, &std::mem::take(&mut lines), &mut judge).await?;
        }
    }
    files(target, &lines, &mut judge).await?;
    Ok(sum.digest())
}

async fn files(
    target: &Target,
    lines: &[Line],
    judge: &mut impl FnMut(&Line, Option<&Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let ids: Vec<&Value> = lines.iter().map(|line| at(&line.record, "/id")).collect();
    let call = Call::post("/export/files", Body::Json(json!({ "ids": ids })));
    let here: Value = target.client.json(&target.seeing(call)).await?;
    let here = by_key(&here);
    lines
        .iter()
        .try_for_each(|line| judge(line, here.get(&key(&line.record)).copied()))
}

fn by_key(page: &Value) -> BTreeMap<(String, String), &Value> {
    let items = list_at(page, "/items").iter();
    items.map(|record| (key(record), record)).collect()
}

/// Fields are known by their names, the others by their ids.
fn key(record: &Value) -> (String, String) {
    let kind = text_at(record, "/kind");
    let name = if kind == "field" { "/name" } else { "/id" };
    (kind, text_at(record, name))
}

fn difference(line: &Line, here: Option<&Value>) -> Option<Difference> {
    let nothing = json!({});
    let exported = line.record.as_object()?;
    let known = here.unwrap_or(&nothing).as_object()?;
    let mut found = Difference {
        of: line.called(),
        differs: Vec::new(),
        exported: BTreeMap::new(),
        here: BTreeMap::new(),
    };
    for (name, value) in exported {
        let now = known.get(name).unwrap_or(&Value::Null);
        if now != value && here.is_some() {
            found.differs.push(name.clone());
            found.exported.insert(name.clone(), value.clone());
            found.here.insert(name.clone(), now.clone());
        }
    }
    (here.is_none() || !found.differs.is_empty()).then_some(found)
}
