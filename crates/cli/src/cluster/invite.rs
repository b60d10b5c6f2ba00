//! `starling cluster invite`: one word, with which one new node can join; the list of those that are good, and withdrawing
//! one.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::life;
use crate::output::{self, Format, list_at, text_at};

/// Makes an invite.
#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    /// The node follows and never votes
    #[arg(long, env = "STARLING_INVITE_LEARNER")]
    learner: bool,

    /// How long the invite is good: 90s, 30m, 24h, 7d
    #[arg(
        long,
        env = "STARLING_INVITE_EXPIRES",
        value_name = "TIME",
        default_value = "24h",
        value_parser = life::parse
    )]
    expires: Duration,

    /// List the invites that are good, without their secrets, instead of making one
    #[arg(long, env = "STARLING_INVITE_LIST", conflicts_with_all = ["learner", "expires"])]
    list: bool,

    /// Withdraw an invite that nobody has used, by its id (see --list), instead of making one
    #[arg(
        long,
        env = "STARLING_INVITE_WITHDRAW",
        value_name = "ID",
        conflicts_with_all = ["learner", "expires", "list"]
    )]
    withdraw: Option<String>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Invite {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        if self.list {
            return self.print_all(&client).await;
        }
        if let Some(id) = &self.withdraw {
            let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
            let call = Call::new(Method::DELETE, format!("/cluster/invites/{id}"));
            client.call(&call).await?;
            return Ok(());
        }
        let body = json!({ "votes": !self.learner, "expiresIn": self.expires.as_secs() });
        let made: Value = client
            .json(&Call::post("/cluster/invites", Body::Json(body)))
            .await?;
        if self.format.json {
            return Ok(output::object(&made)?);
        }
        output::line(&text_at(&made, "/invite"))?;
        output::note(&format!(
            "Good once, until {}. On the new machine: starling cluster join INVITE --folder DIR --name NAME. Whoever \
             has this word can join, so send it where others do not read.",
            text_at(&made, "/expires")
        ));
        Ok(())
    }

    async fn print_all(&self, client: &Client) -> Result<(), Failure> {
        let page: Value = client.json(&Call::get("/cluster/invites")).await?;
        let invites = list_at(&page, "/items");
        let columns = ["id", "votes", "used", "expires"];
        Ok(output::items(invites, &columns, self.format)?)
    }
}
