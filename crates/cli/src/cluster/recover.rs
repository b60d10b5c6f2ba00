//! `starling cluster recover`: goes on with what survives, when most voters are lost for good.
//!
//! Reads the folders of stopped nodes and talks to nobody. Says what is kept and what may be lost before it does anything.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::builder::FalseyValueParser;
use node::LockError;
use node::recover::{Findings, RecoverError, Succeeded, find, resume};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Format};

/// How much of the chain's id has to be typed.
const TYPED: usize = 8;

/// Goes on with what survives when most voters are lost for good. The nodes must be stopped.
///
/// The survivors become a cluster of their own, on a new chain that goes on above the last proven block. Nodes of the old
/// chain are refused from then on, so make sure that the others will never decide anything again: that they are destroyed,
/// or stopped for good.
#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// The folders of the nodes that survive, as many as are on this machine
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,

    /// Which of them go on, by name; the others are only read. All, if nothing is said
    #[arg(
        long,
        env = "STARLING_CLUSTER_KEEP",
        value_name = "NAME",
        value_delimiter = ','
    )]
    keep: Vec<String>,

    /// Say what would be kept and what may be lost, and do nothing
    #[arg(long, env = "STARLING_DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,

    /// Do not ask
    #[arg(long, env = "STARLING_YES", value_parser = FalseyValueParser::new())]
    yes: bool,

    #[command(flatten)]
    format: Format,
}

impl Recover {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.go_on()? {
            return Ok(());
        }
        let survey = find(&self.folders, &self.keep).map_err(failure)?;
        let findings = survey.findings();
        if self.dry_run && self.format.json {
            return Ok(output::object(&to_json(&findings))?);
        }
        for line in lines(&findings) {
            if self.dry_run {
                output::line(&line)?;
            } else {
                output::note(&line);
            }
        }
        if self.dry_run {
            return Ok(());
        }
        if !self.yes {
            confirm(&findings)?;
        }
        let bar = output::progress();
        bar.set_length(findings.height.0);
        let made = survey.succeed(&mut |height| bar.set_position(height.0));
        bar.finish_and_clear();
        self.report(&findings, &made.map_err(failure)?)
    }

    /// Puts in place what an interrupted attempt has made whole. True if there was something.
    fn go_on(&self) -> Result<bool, Failure> {
        if self.dry_run {
            return Ok(false);
        }
        let mut found = false;
        for folder in &self.folders {
            let aside = resume(folder).map_err(|error| Failure::Other(error.into()))?;
            if let Some(aside) = aside {
                found = true;
                output::note(&format!(
                    "{} had a successor waiting: it is in place now, and what was there before is in {}. Start the node, or \
                     give this command again for the others.",
                    folder.display(),
                    aside.display()
                ));
            }
        }
        Ok(found)
    }

    fn report(&self, findings: &Findings, made: &Succeeded) -> Result<(), Failure> {
        if self.format.json {
            let mut object = to_json(findings);
            if let Value::Object(fields) = &mut object {
                fields.insert("newChainId".to_owned(), made.chain.to_string().into());
                fields.insert("newHeight".to_owned(), made.height.0.into());
                fields.insert("newHash".to_owned(), made.hash.to_string().into());
                fields.insert("configs".to_owned(), json!(made.configs));
                fields.insert("aside".to_owned(), json!(made.aside));
            }
            return Ok(output::object(&object)?);
        }
        output::line(&format!("chain {} from height {}", made.chain, made.height))?;
        for config in &made.configs {
            output::line(&format!("starling serve --config {}", config.display()))?;
        }
        for aside in &made.aside {
            let aside = aside.display();
            output::note(&format!("What was there before is in {aside}."));
        }
        output::note(
            "Start what goes on, then add nodes with `starling cluster invite` and `starling cluster join`, each with a \
             name that was never used. Tokens stay as they were.",
        );
        Ok(())
    }
}

fn lines(found: &Findings) -> Vec<String> {
    let proven = match found.signers.join(", ") {
        signers if signers.is_empty() => "the chain's first block".to_owned(),
        signers => format!("signed by {signers}"),
    };
    let mut lines = vec![
        format!("chain    {}", found.chain),
        format!(
            "proven   height {}, hash {}, {proven}",
            found.height, found.hash
        ),
    ];
    for (name, height, keeps) in &found.nodes {
        let what = if *keeps { "goes on" } else { "is only read" };
        lines.push(format!("{name:8} has height {height} and {what}"));
    }
    for member in &found.left {
        let what = "does not belong to the new chain; its name is not given again";
        lines.push(format!("{:8} {what}", output::shown(&member.name)));
    }
    lines.push(found.note.clone());
    lines
}

fn to_json(found: &Findings) -> Value {
    let nodes = found
        .nodes
        .iter()
        .map(|(name, height, keeps)| json!({ "name": name, "height": height.0, "goesOn": keeps }));
    json!({
        "chainId": found.chain.to_string(),
        "height": found.height.0,
        "hash": found.hash.to_string(),
        "signers": found.signers,
        "nodes": nodes.collect::<Vec<_>>(),
        "left": found.left.iter().map(|member| &member.name).collect::<Vec<_>>(),
        "carried": found.carried,
        "note": found.note,
    })
}

/// Nobody does this by mistake.
fn confirm(found: &Findings) -> Result<(), Failure> {
    let chain = found.chain.to_string();
    let wanted = chain.get(..TYPED).unwrap_or(&chain);
    let mut stderr = std::io::stderr().lock();
    // That nobody reads the question is no reason to stop: the answer will be missing.
    let _ = write!(
        stderr,
        "The nodes that do not go on must never decide anything again. Type the first {TYPED} characters of the old chain's \
         id to go on: "
    );
    let _ = stderr.flush();
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    read.context("reading the answer")?;
    if typed.trim() == wanted {
        return Ok(());
    }
    Err(anyhow!("nothing was changed").into())
}

fn failure(error: RecoverError) -> Failure {
    match error {
        RecoverError::Nobody | RecoverError::Unknown(_) | RecoverError::Quorum { .. } => {
            Failure::Usage(error.to_string())
        }
        RecoverError::Running { .. } | RecoverError::Locked(LockError::InUse { .. }) => {
            Failure::Temporary(error.into())
        }
        other => Failure::Other(other.into()),
    }
}
