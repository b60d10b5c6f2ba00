//! `starling token`: who may sign in.

use model::TokenId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, at, list_at, shown, text_at};

/// Manages tokens. All of it needs an administrator's token.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Token {
    /// Make a token and print it; it cannot be shown again
    Create(Create),
    /// List the tokens, without their secrets
    List(List),
    /// Stop a token from being accepted
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What the token is for
    #[arg(long, env = "STARLING_TOKEN_NAME")]
    name: String,

    /// What it may do; each scope includes the ones before it
    #[arg(long, env = "STARLING_TOKEN_SCOPE", default_value = "write")]
    scope: Scope,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Scope {
    /// See everything
    Read,
    /// Change files and append records
    Write,
    /// Manage the cluster and its tokens
    Admin,
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
    /// The token's id: the 16 digits after `stl_`
    id: TokenId,

    #[command(flatten)]
    connection: Connection,
}

impl Token {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let scope = match self.scope {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        };
        let body = json!({ "name": self.name, "scope": scope });
        let made: Value = client
            .json(&Call::post("/tokens", Body::Json(body)))
            .await?;
        if self.format.json {
            return Ok(output::object(&made)?);
        }
        Ok(output::line(&text_at(&made, "/token"))?)
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let page: Value = client.json(&Call::get("/tokens")).await?;
        let tokens = list_at(&page, "/items");
        if self.format.json {
            return Ok(tokens.iter().try_for_each(output::object)?);
        }
        let columns = ["id", "scope", "revoked", "name"];
        let cell = |value: &Value| match value {
            Value::String(text) => shown(text),
            other => other.to_string(),
        };
        let row = |token| {
            let cells = columns
                .iter()
                .map(|column| cell(at(token, &format!("/{column}"))));
            cells.collect()
        };
        let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
        Ok(output::table(&columns, &rows)?)
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::new(Method::DELETE, format!("/tokens/{}", self.id));
        client.call(&call).await?;
        output::note(&format!("token {} is no longer accepted", self.id));
        Ok(())
    }
}
