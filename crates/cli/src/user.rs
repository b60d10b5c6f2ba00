//! `starling user`: who may sign in, and as what.
//!
//! A password comes from the terminal, without being shown, or from stdin; never from an argument or a variable, which
//! other processes and logs can see.

use std::io::{self, BufRead as _, IsTerminal as _};

use model::UserId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, list_at, text_at};

/// Manages users. An administrator's token does all of it; a user's own sets the user's own password.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum User {
    /// Add somebody; their password is asked for, or read from stdin
    Add(Add),
    /// List the users
    List(List),
    /// Let somebody do more, or less
    Role(Change<Role>),
    /// Call somebody something else
    Rename(Change<Name>),
    /// Set a password; the new one is asked for (one's own old one first), or read from stdin line by line
    Password(One),
    /// Let somebody in no more for now: their sessions end, their tokens wait
    Disable(One),
    /// Let somebody in again
    Enable(One),
    /// Take somebody out for good: their tokens and sessions end, their password is erased, their name stays theirs
    Remove(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The name they sign in with: 1 to 63 of a-z, 0-9, ., _ and -, a letter first
    id: UserId,

    /// What people call them, default the name they sign in with
    #[arg(long, env = "STARLING_USER_NAME")]
    name: Option<String>,

    /// What they may do; each role includes the ones before it
    #[arg(long, env = "STARLING_USER_ROLE", default_value = "editor")]
    role: RoleName,

    /// Set no password yet: they cannot sign in, and may have tokens
    #[arg(long, env = "STARLING_USER_NO_PASSWORD")]
    no_password: bool,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RoleName {
    /// See everything
    Viewer,
    /// Change files
    Editor,
    /// Manage the cluster, its users and tokens
    Admin,
}

impl RoleName {
    fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Change<To: clap::Args> {
    #[command(flatten)]
    one: One,

    #[command(flatten)]
    to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Role {
    /// What they may do from now on
    role: RoleName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Name {
    /// What people call them from now on
    name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The name they sign in with
    id: UserId,

    #[command(flatten)]
    connection: Connection,
}

impl User {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Role(Change { one, to }) => {
                let role = to.role.word();
                let told = format!("{} is {role} now", one.id);
                one.change(json!({ "role": role }), &told).await
            }
            Self::Rename(Change { one, to }) => {
                let told = format!("{} has another name now", one.id);
                one.change(json!({ "name": to.name }), &told).await
            }
            Self::Disable(one) => {
                let told = format!("{} is not let in", one.id);
                one.change(json!({ "disabled": true }), &told).await
            }
            Self::Enable(one) => {
                let told = format!("{} is let in again", one.id);
                one.change(json!({ "disabled": false }), &told).await
            }
            Self::Password(one) => one.set_password().await,
            Self::Remove(one) => one.remove().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let password = match self.no_password {
            true => None,
            false => Some(new_password(self.id.as_str())?),
        };
        let body = json!({
            "id": self.id.as_str(),
            "name": self.name,
            "role": self.role.word(),
            "password": password,
        });
        let made: Value = client.json(&Call::post("/users", Body::Json(body))).await?;
        if self.format.json {
            return Ok(output::object(&made)?);
        }
        let role = text_at(&made, "/role");
        output::note(&format!("{} may sign in as {role}", self.id));
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let page: Value = client.json(&Call::get("/users")).await?;
        let columns = ["id", "role", "state", "name"];
        Ok(output::items(
            list_at(&page, "/items"),
            &columns,
            self.format,
        )?)
    }
}

impl One {
    fn path(&self) -> String {
        format!("/users/{}", self.id)
    }

    async fn change(self, body: Value, told: &str) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::patch(self.path(), body);
        client.call(&call).await?;
        output::note(told);
        Ok(())
    }

    async fn set_password(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let me: Value = client.json(&Call::get("/me")).await?;
        let current = match text_at(&me, "/user/id") == self.id.as_str() {
            true => Some(secret("Your password until now: ")?),
            false => None,
        };
        let body = json!({ "current": current, "password": new_password(self.id.as_str())? });
        let call = Call::put(format!("{}/password", self.path()), body);
        client.call(&call).await?;
        output::note(&format!(
            "{} has a new password; their sessions ended",
            self.id
        ));
        Ok(())
    }

    async fn remove(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        client.call(&Call::new(Method::DELETE, self.path())).await?;
        output::note(&format!("{} is gone", self.id));
        Ok(())
    }
}

/// A password of somebody or something, typed twice, or the next line of stdin.
pub(crate) fn new_password(of: &str) -> Result<String, Failure> {
    let password = secret(&format!("New password of {of}: "))?;
    if io::stdin().is_terminal() && secret("The same again: ")? != password {
        return Err(Failure::Usage(
            "the two passwords are not the same".to_owned(),
        ));
    }
    Ok(password)
}

/// What somebody types without it being shown, or the next line of stdin if that is no terminal.
fn secret(prompt: &str) -> io::Result<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
