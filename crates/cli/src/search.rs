//! `starling search`: files, one a line; or how many there are, in all or by property.

use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, at, list_at, shown, text_at};

/// The most that one page holds.
const PAGE_MAX: u64 = 1000;

/// Finds files.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// What to look for, 'tag:beach after:2019 "ice cream"' for instance; everything if left out
    ///
    /// Put it in quotes. If it begins with a minus, put -- before it.
    query: Vec<String>,

    /// How many files at most
    #[arg(
        long,
        env = "STARLING_SEARCH_LIMIT",
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    limit: u64,

    /// In which order, `-taken` or `name` for instance
    #[arg(
        long,
        env = "STARLING_SEARCH_SORT",
        value_name = "KEY",
        allow_hyphen_values = true
    )]
    sort: Option<String>,

    /// Show how many files there are instead
    #[arg(long, env = "STARLING_SEARCH_COUNT", conflicts_with = "facets")]
    count: bool,

    /// Show how often each value of some properties occurs instead, `tag,year` for instance
    #[arg(long, env = "STARLING_SEARCH_FACETS", value_name = "KEYS")]
    facets: Option<String>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Search {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        if let Some(keys) = &self.facets {
            return self.count_by(&client, keys).await;
        }
        if self.count {
            return self.count(&client).await;
        }
        let mut left = self.limit;
        let mut cursor: Option<String> = None;
        loop {
            let page: Value = client.json(&self.page(left, cursor.as_deref())).await?;
            let items = list_at(&page, "/items");
            for file in items {
                self.print(file)?;
            }
            left = left.saturating_sub(items.len() as u64);
            cursor = at(&page, "/nextCursor").as_str().map(str::to_owned);
            if left == 0 || cursor.is_none() {
                self.say_what_is_left(&page, cursor.is_some());
                return Ok(());
            }
        }
    }

    async fn count(&self, client: &Client) -> Result<(), Failure> {
        let page: Value = client.json(&self.page(1, None)).await?;
        let total = at(&page, "/total").as_u64().unwrap_or_default();
        if self.format.json {
            output::object(&json!({"total": total, "query": text_at(&page, "/query")}))?;
        } else {
            output::line(&total.to_string())?;
        }
        Ok(())
    }

    /// One value a line: property, how often, and the term that finds it.
    async fn count_by(&self, client: &Client, keys: &str) -> Result<(), Failure> {
        let call = self.asking("/facets").query("by", keys);
        let call = call.query("limit", self.limit.min(PAGE_MAX));
        let answer: Value = client.json(&call).await?;
        for key in keys.split(',') {
            for value in list_at(&answer, &format!("/facets/{key}/values")) {
                if self.format.json {
                    let mut object = value.clone();
                    if let Some(members) = object.as_object_mut() {
                        members.insert("facet".to_owned(), Value::from(key));
                    }
                    output::object(&object)?;
                } else {
                    let count = at(value, "/count").as_u64().unwrap_or_default();
                    output::line(&format!("{count:>9}  {}", text_at(value, "/term")))?;
                }
            }
        }
        Ok(())
    }

    /// A call about the files that the query finds.
    fn asking(&self, path: &str) -> Call {
        let query = self.query.join(" ");
        match query.as_str() {
            "" => Call::get(path),
            _ => Call::get(path).query("q", query),
        }
    }

    fn page(&self, left: u64, cursor: Option<&str>) -> Call {
        let mut call = self.asking("/files").query("limit", left.min(PAGE_MAX));
        if let Some(sort) = &self.sort {
            call = call.query("sort", sort);
        }
        match cursor {
            Some(cursor) => call.query("cursor", cursor),
            None => call,
        }
    }

    fn print(&self, file: &Value) -> std::io::Result<()> {
        if self.format.json {
            return output::object(file);
        }
        let tags = list_at(file, "/tags").iter().filter_map(Value::as_str);
        let tags: Vec<String> = tags.map(|tag| format!("#{}", shown(tag))).collect();
        let taken = text_at(file, "/takenAt/local");
        let line = format!(
            "{}  {:16}  {}  {}",
            text_at(file, "/id"),
            taken.get(..16).unwrap_or("-"),
            text_at(file, "/name"),
            tags.join(" ")
        );
        output::line(line.trim_end())
    }

    fn say_what_is_left(&self, page: &Value, more: bool) {
        if let (true, Some(total)) = (more, at(page, "/total").as_u64()) {
            output::note(&format!("{} of {total}; --limit shows more", self.limit));
        }
    }
}
