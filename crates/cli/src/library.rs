//! `starling library`: who sees and changes which files.

use clap::builder::FalseyValueParser;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, at, list_at, shown, text_at};

/// Manages libraries and who is in them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Library {
    /// Make a library and print its name; you are its first owner
    Create(Create),
    /// List the libraries that you may see
    List(List),
    /// Show a library and who is in it
    Show(One),
    /// Say anew what a library is called, and who sees it
    Describe(Describe),
    /// Let somebody in, or give a member another role
    Member(Member),
    /// Take a member out
    RemoveMember(RemoveMember),
    /// Show every change of a library and of its members
    History(One),
    /// Show a library to nobody, until it is restored
    Retire(Retire),
    /// Take back that a library was retired
    Restore(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What people call it
    title: String,

    /// Every user of the cluster is in it
    #[arg(long, env = "STARLING_LIBRARY_SHARED", value_parser = FalseyValueParser::new())]
    shared: bool,

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
pub(crate) struct One {
    /// The library's name, as `starling library list` shows it
    id: String,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// The library's name
    id: String,

    /// What people call it from now on
    #[arg(long, env = "STARLING_LIBRARY_TITLE")]
    title: String,

    /// Every user of the cluster is in it from now on; without this only members are
    #[arg(long, env = "STARLING_LIBRARY_SHARED", value_parser = FalseyValueParser::new())]
    shared: bool,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Member {
    /// The library's name
    id: String,

    /// A user, or `token:` and the id of a token that is no user's
    member: String,

    /// What they may do
    #[arg(long, env = "STARLING_LIBRARY_ROLE", default_value = "viewer")]
    role: Role,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Role {
    /// Look
    Viewer,
    /// Change files, and share them
    Editor,
    /// Say who is a member, define fields, purge
    Owner,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveMember {
    /// The library's name
    id: String,

    /// A user, or `token:` and the id of a token that is no user's
    member: String,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Retire {
    /// The library's name
    id: String,

    /// Also if there are files in it
    #[arg(long, env = "STARLING_LIBRARY_CONFIRM", value_parser = FalseyValueParser::new())]
    confirm: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Library {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Show(one) => one.show().await,
            Self::Describe(describe) => describe.run().await,
            Self::Member(member) => member.run().await,
            Self::RemoveMember(remove) => remove.run().await,
            Self::History(one) => one.history().await,
            Self::Retire(retire) => retire.run().await,
            Self::Restore(one) => one.restore().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let body = json!({ "title": self.title, "shared": self.shared });
        let call = Call::post("/libraries", Body::Json(body));
        let made: Value = client.json(&call).await?;
        if self.format.json {
            return Ok(output::object(&made)?);
        }
        Ok(output::line(&text_at(&made, "/id"))?)
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let page: Value = client.json(&Call::get("/libraries")).await?;
        let columns = ["id", "role", "shared", "retired", "title"];
        listed(self.format, list_at(&page, "/items"), &columns)
    }
}

impl One {
    async fn show(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::get(format!("/libraries/{}", self.id));
        let library: Value = client.json(&call).await?;
        if self.format.json {
            return Ok(output::object(&library)?);
        }
        output::note(&format!("{} ({})", text_at(&library, "/title"), self.id));
        listed(
            self.format,
            list_at(&library, "/members"),
            &["member", "role"],
        )
    }

    async fn history(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::get(format!("/libraries/{}/history", self.id));
        let page: Value = client.json(&call).await?;
        let columns = ["time", "actor", "kind", "member", "role", "title"];
        listed(self.format, list_at(&page, "/items"), &columns)
    }

    async fn restore(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let path = format!("/libraries/{}/restore", self.id);
        client.call(&Call::post(path, Body::Empty)).await?;
        output::note(&format!("library {} is restored", self.id));
        Ok(())
    }
}

impl Describe {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let body = json!({ "title": self.title, "shared": self.shared });
        let call = Call::put(format!("/libraries/{}", self.id), body);
        client.call(&call).await?;
        output::note(&format!("library {} is called {}", self.id, self.title));
        Ok(())
    }
}

impl Member {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let role = match self.role {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Owner => "owner",
        };
        let path = format!("/libraries/{}/members/{}", self.id, self.member);
        client
            .call(&Call::put(path, json!({ "role": role })))
            .await?;
        output::note(&format!("{} is {role} of {}", self.member, self.id));
        Ok(())
    }
}

impl RemoveMember {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let path = format!("/libraries/{}/members/{}", self.id, self.member);
        client.call(&Call::new(Method::DELETE, path)).await?;
        output::note(&format!("{} is no member of {}", self.member, self.id));
        Ok(())
    }
}

impl Retire {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::new(Method::DELETE, format!("/libraries/{}", self.id));
        client.call(&call.query("confirm", self.confirm)).await?;
        output::note(&format!("library {} is retired", self.id));
        Ok(())
    }
}

/// Objects as a table, or as they are.
pub(crate) fn listed(format: Format, items: &[Value], columns: &[&str]) -> Result<(), Failure> {
    if format.json {
        return Ok(items.iter().try_for_each(output::object)?);
    }
    let cell = |value: &Value| match value {
        Value::String(text) => shown(text),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let row = |item| {
        let cells = columns
            .iter()
            .map(|column| cell(at(item, &format!("/{column}"))));
        cells.collect()
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    Ok(output::table(columns, &rows)?)
}
