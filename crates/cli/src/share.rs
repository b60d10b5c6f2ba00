//! `starling share`: links for people without an account.

use clap::builder::FalseyValueParser;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::library::listed;
use crate::output::{self, Format, list_at, text_at};
use crate::user;

/// Makes, lists and revokes links to files, albums and queries.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Share {
    /// Make a link and print it; it cannot be shown again
    Create(Create),
    /// List the shares of a library, also those that are over
    List(List),
    /// Let a link open nothing any more
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("of").required(true).args(["file", "album", "query"]))]
pub(crate) struct Create {
    /// What people call it
    #[arg(long, env = "STARLING_SHARE_TITLE")]
    title: String,

    /// A file, by its id
    #[arg(long, env = "STARLING_SHARE_FILE")]
    file: Option<String>,

    /// An album, by its id
    #[arg(long, env = "STARLING_SHARE_ALBUM")]
    album: Option<String>,

    /// Whatever a query finds
    #[arg(long, env = "STARLING_SHARE_QUERY")]
    query: Option<String>,

    /// Ask for a password beside the link; it is asked for here, or read from stdin
    #[arg(long, env = "STARLING_SHARE_PASSWORD", value_parser = FalseyValueParser::new())]
    password: bool,

    /// In how many days it ends; never if this is not given
    #[arg(long, env = "STARLING_SHARE_DAYS", value_name = "DAYS",
          value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: Option<u64>,

    /// Give originals out, and not only pictures made of them; takes --places
    #[arg(long, env = "STARLING_SHARE_DOWNLOAD", value_parser = FalseyValueParser::new(),
          requires = "places")]
    download: bool,

    /// Tell where files were taken
    #[arg(long, env = "STARLING_SHARE_PLACES", value_parser = FalseyValueParser::new())]
    places: bool,

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
pub(crate) struct Revoke {
    /// The share's id, as `starling share list` shows it
    id: String,

    #[command(flatten)]
    connection: Connection,
}

impl Share {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Create {
    fn body(&self) -> Result<Value, Failure> {
        let mut body = Map::new();
        body.insert("title".into(), json!(self.title));
        for (name, value) in [
            ("file", &self.file),
            ("album", &self.album),
            ("query", &self.query),
        ] {
            if let Some(value) = value {
                body.insert(name.into(), json!(value));
            }
        }
        if let Some(days) = self.days {
            body.insert("expiresIn".into(), json!(days * 24 * 3600));
        }
        if self.password {
            body.insert("password".into(), json!(user::new_password("the share")?));
        }
        body.insert("download".into(), json!(self.download));
        body.insert("places".into(), json!(self.places));
        Ok(Value::Object(body))
    }

    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::post("/shares", Body::Json(self.body()?));
        let answer = client.call(&call).await?;
        let node = answer.node.to_string();
        let made: Value = answer.read().await?;
        if self.format.json {
            return Ok(output::object(&made)?);
        }
        let link = format!("{}{}", node.trim_end_matches('/'), text_at(&made, "/path"));
        Ok(output::line(&link)?)
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let page: Value = client.json(&Call::get("/shares")).await?;
        let columns = ["id", "state", "expiresAt", "download", "title"];
        listed(self.format, list_at(&page, "/items"), &columns)
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::new(Method::DELETE, format!("/shares/{}", self.id));
        client.call(&call).await?;
        output::note(&format!("share {} opens nothing any more", self.id));
        Ok(())
    }
}
