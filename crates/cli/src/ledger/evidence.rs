//! `starling ledger evidence`: whether a node has signed what contradicts itself, offline.

use std::path::PathBuf;

use anyhow::Context as _;
use model::{Decode as _, Domain, Ed25519, Evidence};
use serde_json::json;

use super::proof;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Checks evidence against a node without any node.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The file, from `evidence/` in a node's folder
    #[arg(env = "STARLING_EVIDENCE", value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    format: Format,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = self.file.display();
        let bytes = proof::read(&self.file)?;
        let evidence =
            Evidence::from_bytes(&bytes).with_context(|| format!("{file} is no evidence"))?;
        // To check signatures takes no key of ours.
        let verdict = evidence.verify(&Ed25519::new(&[0; 32]));
        verdict.with_context(|| format!("{file} proves nothing"))?;
        Ok(show(&evidence, self.format)?)
    }
}

fn show(evidence: &Evidence, format: Format) -> std::io::Result<()> {
    let did = match evidence.domain {
        Domain::Propose => "proposed",
        Domain::Accepted => "accepted",
    };
    let blocks = evidence.signed.map(|(hash, _)| hash.to_string());
    if format.json {
        return output::object(&json!({
            "node": evidence.node.to_string(),
            "chainId": evidence.chain.to_string(),
            "height": evidence.height.0,
            "statement": did,
            "blocks": blocks,
        }));
    }
    output::line(&format!("node    {}", evidence.node))?;
    output::line(&format!("chain   {}", evidence.chain))?;
    let height = evidence.height;
    output::line(&format!(
        "signed  that it {did} two blocks at height {height}, at one ballot"
    ))?;
    for block in blocks {
        output::line(&format!("block   {block}"))?;
    }
    Ok(())
}
