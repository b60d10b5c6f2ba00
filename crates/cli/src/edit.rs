//! `starling edit`: says something of many files at once.

use anyhow::anyhow;
use clap::builder::FalseyValueParser;
use model::BlobId;
use serde_json::{Map, Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::operation::{Waiting, note_missing, selection};
use crate::output::{self, Format, at, list_at, text_at};

/// Changes what is known of files: those of some ids, or all that a query finds. It can be taken back with `undo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// Ids of files
    #[arg(required_unless_present = "query", conflicts_with = "query")]
    ids: Vec<BlobId>,

    /// All files that this finds instead, 'tag:beach after:2019' for instance; '' for all
    #[arg(long, env = "STARLING_EDIT_QUERY", allow_hyphen_values = true)]
    query: Option<String>,

    /// Add a tag
    #[arg(long, env = "STARLING_EDIT_ADD_TAG", value_name = "TAG")]
    add_tag: Vec<String>,

    /// Take a tag away
    #[arg(long, env = "STARLING_EDIT_REMOVE_TAG", value_name = "TAG")]
    remove_tag: Vec<String>,

    /// Set a property (title, description, rating, favourite, state) or a field of your own
    ///
    /// The value is JSON, or text if it is no JSON: rating=4, title=Summer, price=12.5, colour='["red"]'.
    #[arg(long, env = "STARLING_EDIT_SET", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, Value)>,

    /// Clear a property or a field of your own
    #[arg(long, env = "STARLING_EDIT_CLEAR", value_name = "NAME")]
    clear: Vec<String>,

    /// Move capture times by so many seconds, earlier if it is negative
    #[arg(
        long,
        env = "STARLING_EDIT_SHIFT_TAKEN",
        value_name = "SECONDS",
        allow_hyphen_values = true
    )]
    shift_taken: Option<f64>,

    /// Say in which zone the cameras' clocks were, +01:00 for instance
    #[arg(
        long,
        env = "STARLING_EDIT_SET_ZONE",
        value_name = "OFFSET",
        allow_hyphen_values = true
    )]
    set_zone: Option<String>,

    /// Only show which files it would be about
    #[arg(long, env = "STARLING_EDIT_DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,

    #[command(flatten)]
    waiting: Waiting,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

/// What a file has of itself; every other name is a field of the user's.
const PROPERTIES: [&str; 6] = [
    "name",
    "title",
    "description",
    "rating",
    "favourite",
    "state",
];

fn assignment(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write a name, = and a value".to_owned())?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok((name.to_owned(), value))
}

impl Edit {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let ops = self.ops();
        if ops.is_empty() {
            return Err(anyhow!("say what is to be changed, with --add-tag for instance").into());
        }
        let client = Client::new(&self.connection)?;
        let select = selection(&self.ids, self.query.as_deref());
        let body = json!({ "select": select, "ops": ops, "dryRun": self.dry_run });
        let answer: Value = client.json(&Call::post("/bulk", Body::Json(body))).await?;
        if self.dry_run {
            return self.show_dry_run(&answer);
        }
        note_missing(&answer);
        self.waiting.show(&client, answer, &self.format).await
    }

    fn ops(&self) -> Vec<Value> {
        let mut ops = Vec::new();
        if !self.add_tag.is_empty() {
            ops.push(json!({ "op": "addTags", "tags": self.add_tag }));
        }
        if !self.remove_tag.is_empty() {
            ops.push(json!({ "op": "removeTags", "tags": self.remove_tag }));
        }
        let values = self.values();
        if !values.is_empty() {
            ops.push(json!({ "op": "set", "values": values }));
        }
        let shift = self.shift_taken;
        ops.extend(shift.map(|seconds| json!({ "op": "shiftTaken", "seconds": seconds })));
        let zone = self.set_zone.as_ref();
        ops.extend(zone.map(|offset| json!({ "op": "setZone", "offset": offset })));
        ops
    }

    /// As in a merge patch of one file.
    fn values(&self) -> Map<String, Value> {
        let cleared = self.clear.iter().map(|name| (name.clone(), Value::Null));
        let (mut values, mut fields) = (Map::new(), Map::new());
        for (name, value) in self.set.iter().cloned().chain(cleared) {
            let of = if PROPERTIES.contains(&name.as_str()) {
                &mut values
            } else {
                &mut fields
            };
            of.insert(name, value);
        }
        if !fields.is_empty() {
            values.insert("fields".to_owned(), Value::Object(fields));
        }
        values
    }

    fn show_dry_run(&self, answer: &Value) -> Result<(), Failure> {
        if self.format.json {
            return Ok(output::object(answer)?);
        }
        for id in list_at(answer, "/ids") {
            output::line(id.as_str().unwrap_or_default())?;
        }
        let (would, of) = (at(answer, "/wouldChange"), at(answer, "/selected"));
        output::note(&format!("would change {would} of {of} files"));
        note_missing(answer);
        Ok(())
    }
}

/// Calls a tag something else on every file, with all tags below it.
#[derive(Debug, clap::Args)]
pub(crate) struct RenameTag {
    /// What it is called until now
    from: String,

    /// What it is called from now on; if there is such a tag, the two become one
    to: String,

    #[command(flatten)]
    connection: Connection,
}

impl RenameTag {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let body = json!({ "from": self.from, "to": self.to });
        let done: Value = client
            .json(&Call::post("/tags/rename", Body::Json(body)))
            .await?;
        output::note(&format!(
            "{} is now {}",
            text_at(&done, "/from"),
            text_at(&done, "/to")
        ));
        Ok(())
    }
}
