//! `starling token`: who may sign in.

use std::time::Duration;

use model::{TokenId, UserId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::life;
use crate::output::{self, Format, list_at, text_at};

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

    /// Whose it is: it never may more than they, and ends with them. Default the user of the token that makes it
    #[arg(long, env = "STARLING_TOKEN_OWNER")]
    owner: Option<UserId>,

    /// How long it is good: 90s, 30m, 24h, 90d. Without it, until it is revoked
    #[arg(long, env = "STARLING_TOKEN_EXPIRES", value_name = "TIME", value_parser = life::parse)]
    expires: Option<Duration>,

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
        let life = self.expires.map(|life| life.as_secs());
        let mut body = json!({ "name": self.name, "scope": scope, "expiresIn": life });
        // Absent is the caller's own, null would be nobody's.
        if let (Some(owner), Some(body)) = (self.owner, body.as_object_mut()) {
            body.insert("owner".to_owned(), json!(owner.as_str()));
        }
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
        let columns = [
            "id",
            "scope",
            "owner",
            "revoked",
            "expiresAt",
            "lastUsedAt",
            "name",
        ];
        Ok(output::items(tokens, &columns, self.format)?)
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
