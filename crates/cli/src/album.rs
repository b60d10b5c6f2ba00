//! `starling album`: files side by side, by hand or by a rule.
//!
//! An album is named by its id, or by its name with those of the albums that it lies in before it: `Family/Wedding`.

use anyhow::anyhow;
use model::BlobId;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::operation::{Waiting, note_missing, selection};
use crate::output::{self, Format, at, list_at, shown, text_at};

/// Works with albums. One is named by its id, or by its name with those it lies in: Family/Wedding.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Album {
    /// List all albums
    List(List),
    /// Make an album
    Create(Create),
    /// Put files into an album, behind those that are there
    Add(Fill),
    /// Take files out of an album; the files stay
    Remove(Fill),
    /// Lay an album into another one, or call it something else
    Move(Move),
    /// Take an album away; its files stay, albums in it lie then where it lay
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What it is called
    name: String,

    /// The album that it lies in
    #[arg(long = "in", env = "STARLING_ALBUM_IN", value_name = "ALBUM")]
    within: Option<String>,

    /// A text
    #[arg(long, env = "STARLING_ALBUM_DESCRIPTION", default_value = "")]
    description: String,

    /// A query by which its files are found, whenever it is looked at; without, they are put into it
    #[arg(long, env = "STARLING_ALBUM_RULE", value_name = "QUERY")]
    rule: Option<String>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fill {
    /// The album
    album: String,

    /// Ids of files
    #[arg(required_unless_present = "query", conflicts_with = "query")]
    ids: Vec<BlobId>,

    /// All files that this finds instead, 'tag:beach after:2019' for instance
    #[arg(long, env = "STARLING_ALBUM_QUERY", allow_hyphen_values = true)]
    query: Option<String>,

    #[command(flatten)]
    waiting: Waiting,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// The album
    album: String,

    /// The album that it is to lie in
    #[arg(
        long = "in",
        env = "STARLING_ALBUM_IN",
        value_name = "ALBUM",
        conflicts_with = "top"
    )]
    within: Option<String>,

    /// It is to lie in no other
    #[arg(long)]
    top: bool,

    /// What it is to be called
    #[arg(long, env = "STARLING_ALBUM_RENAME", value_name = "NAME")]
    rename: Option<String>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The album
    album: String,

    #[command(flatten)]
    connection: Connection,
}

impl Album {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run().await,
            Self::Create(create) => create.run().await,
            Self::Add(fill) => fill.run("addToAlbum").await,
            Self::Remove(fill) => fill.run("removeFromAlbum").await,
            Self::Move(moving) => moving.run().await,
            Self::Delete(delete) => delete.run().await,
        }
    }
}

/// All albums of a library.
struct Albums(Vec<Value>);

impl Albums {
    async fn read(client: &Client) -> Result<Self, Failure> {
        let page: Value = client.json(&Call::get("/albums")).await?;
        Ok(Self(list_at(&page, "/items").to_vec()))
    }

    fn by_id(&self, id: &str) -> Option<&Value> {
        self.0.iter().find(|album| at(album, "/id") == id)
    }

    /// Its name with those of the albums that it lies in.
    fn path(&self, album: &Value) -> String {
        let mut path = at(album, "/name").as_str().unwrap_or_default().to_owned();
        let mut above = at(album, "/parent").as_str();
        // A circle, which no library has, ends as well.
        for _ in 0..self.0.len() {
            let Some(parent) = above.and_then(|id| self.by_id(id)) else {
                break;
            };
            path = format!(
                "{}/{path}",
                at(parent, "/name").as_str().unwrap_or_default()
            );
            above = at(parent, "/parent").as_str();
        }
        path
    }

    /// The album that somebody means.
    fn find(&self, named: &str) -> Result<&Value, Failure> {
        if let Some(album) = self.by_id(named) {
            return Ok(album);
        }
        let meant: Vec<&Value> = self
            .0
            .iter()
            .filter(|album| self.path(album) == named || at(album, "/name") == named)
            .collect();
        match meant.as_slice() {
            [album] => Ok(album),
            [] => Err(Failure::NotFound(anyhow!(
                "there is no album {}",
                shown(named)
            ))),
            several => {
                let ids: Vec<String> = several.iter().map(|album| text_at(album, "/id")).collect();
                let named = shown(named);
                let said = format!("{named} may be any of {}: say which", ids.join(", "));
                Err(Failure::Usage(said))
            }
        }
    }

    fn id(&self, named: &str) -> Result<String, Failure> {
        self.find(named).map(|album| text_at(album, "/id"))
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let albums = Albums::read(&client).await?;
        if self.format.json {
            for album in &albums.0 {
                output::object(album)?;
            }
            return Ok(());
        }
        let mut rows: Vec<Vec<String>> = albums.0.iter().map(|album| row(&albums, album)).collect();
        rows.sort();
        Ok(output::table(&["ALBUM", "FILES", "ID", "RULE"], &rows)?)
    }
}

fn row(albums: &Albums, album: &Value) -> Vec<String> {
    let files = match at(album, "/query") {
        Value::Null => at(album, "/files").to_string(),
        _ => "-".to_owned(),
    };
    vec![
        shown(&albums.path(album)),
        files,
        text_at(album, "/id"),
        text_at(album, "/query"),
    ]
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        body.insert("description".to_owned(), json!(self.description));
        body.insert("query".to_owned(), json!(self.rule));
        if let Some(within) = &self.within {
            let parent = Albums::read(&client).await?.id(within)?;
            body.insert("parent".to_owned(), json!(parent));
        }
        let call = Call::post("/albums", Body::Json(Value::Object(body)));
        show(&client.json(&call).await?, self.format)
    }
}

impl Fill {
    async fn run(self, op: &str) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let album = Albums::read(&client).await?.id(&self.album)?;
        let select = selection(&self.ids, self.query.as_deref());
        let body = json!({ "select": select, "ops": [{ "op": op, "album": album }] });
        let begun: Value = client.json(&Call::post("/bulk", Body::Json(body))).await?;
        note_missing(&begun);
        self.waiting.show(&client, begun, &self.format).await
    }
}

impl Move {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let albums = Albums::read(&client).await?;
        let album = albums.find(&self.album)?;
        let parent = match &self.within {
            Some(within) => json!(albums.id(within)?),
            None if self.top => Value::Null,
            None => at(album, "/parent").clone(),
        };
        let body = json!({
            "name": self.rename.as_ref().map_or_else(|| at(album, "/name").clone(), |name| json!(name)),
            "parent": parent,
            "description": at(album, "/description"),
            "query": at(album, "/query"),
        });
        let call = Call::put(format!("/albums/{}", text_at(album, "/id")), body);
        show(&client.json(&call).await?, self.format)
    }
}

impl Delete {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let id = Albums::read(&client).await?.id(&self.album)?;
        client
            .call(&Call::new(Method::DELETE, format!("/albums/{id}")))
            .await?;
        output::note(&format!("{} is gone; its files stay", shown(&self.album)));
        Ok(())
    }
}

fn show(album: &Value, format: Format) -> Result<(), Failure> {
    if format.json {
        return Ok(output::object(album)?);
    }
    let (id, name) = (text_at(album, "/id"), text_at(album, "/name"));
    Ok(output::line(&format!("{id}  {name}"))?)
}
