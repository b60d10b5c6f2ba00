//! `starling field`: fields of your own.

use clap::builder::FalseyValueParser;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, list_at, text_at};

/// Manages the fields that you give files. To change them takes an administrator's token.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Field {
    /// Make a field, or say anew what one is
    Define(Define),
    /// List the fields, retired ones too
    List(List),
    /// Let a field take no more values, and be shown no more
    Retire(Retire),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Define {
    /// What it is called: a letter a to z, and up to 62 more of a to z, 0 to 9 and _
    name: String,

    /// What its values are; never changes
    #[arg(long, env = "STARLING_FIELD_TYPE", value_name = "TYPE",
          value_parser = ["text", "keyword", "integer", "number", "boolean", "date", "datetime", "geo"])]
    r#type: String,

    /// A file may have several values; never changes
    #[arg(long, env = "STARLING_FIELD_LIST", value_parser = FalseyValueParser::new())]
    list: bool,

    /// What it is for
    #[arg(long, env = "STARLING_FIELD_DESCRIPTION", default_value = "")]
    description: String,

    /// What a number counts, EUR for instance
    #[arg(long, env = "STARLING_FIELD_UNIT", default_value = "")]
    unit: String,

    /// A value that it may have; once given, there are no others
    #[arg(long, env = "STARLING_FIELD_ALLOW", value_name = "VALUE")]
    allow: Vec<String>,

    /// What it is called from now on
    #[arg(long, env = "STARLING_FIELD_RENAME", value_name = "NAME")]
    rename: Option<String>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Retire {
    /// What it is called
    name: String,

    #[command(flatten)]
    connection: Connection,
}

impl Field {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Define(define) => define.run().await,
            Self::List(list) => list.run().await,
            Self::Retire(retire) => retire.run().await,
        }
    }
}

impl Define {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let as_text = matches!(
            self.r#type.as_str(),
            "text" | "keyword" | "date" | "datetime"
        );
        let value = |text: &String| match as_text {
            true => json!(text),
            false => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        };
        let allowed: Vec<Value> = self.allow.iter().map(value).collect();
        let body = json!({
            "name": self.rename,
            "type": self.r#type,
            "list": self.list,
            "description": self.description,
            "unit": self.unit,
            "allowed": allowed,
        });
        let path = format!("/fields/{}", self.name);
        let call = Call::put(path, body);
        let field: Value = client.json(&call).await?;
        if self.format.json {
            return Ok(output::object(&field)?);
        }
        let (name, kind) = (text_at(&field, "/name"), text_at(&field, "/type"));
        output::note(&format!("field {name} is of type {kind}"));
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let page: Value = client.json(&Call::get("/fields")).await?;
        let fields = list_at(&page, "/items");
        let columns = ["name", "type", "list", "unit", "retired", "description"];
        Ok(output::items(fields, &columns, self.format)?)
    }
}

impl Retire {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::new(Method::DELETE, format!("/fields/{}", self.name));
        client.call(&call).await?;
        output::note(&format!("field {} takes no more values", self.name));
        Ok(())
    }
}
