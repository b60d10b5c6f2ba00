//! `starling ledger check`: what a receipt proves, offline.

use std::path::PathBuf;

use model::Receipt;

use super::{checker, output, read, trusted};
use crate::failure::Failure;
use crate::output::Format;

/// Checks a receipt without any node.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The receipt
    #[arg(env = "STARLING_CHECK_RECEIPT", value_name = "RECEIPT")]
    receipt: PathBuf,

    /// What to believe: a checkpoint (`starling ledger checkpoint --out`), the genesis block, or a `ledger` folder that begins
    /// with it
    #[arg(long, env = "STARLING_CHECK_TRUST", value_name = "FILE|DIR")]
    trust: PathBuf,

    #[command(flatten)]
    format: Format,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let trust = trusted(&self.trust)?;
        let bytes = read(&self.receipt)?;
        let checked = Receipt::read(&bytes).and_then(|receipt| receipt.verify(&trust, &checker()));
        match checked {
            Ok(proven) => output::proven(&proven, &trust, self.format),
            Err(error) => {
                output::refused(&error, self.format)?;
                let what = format!("{} proves nothing", self.receipt.display());
                Err(anyhow::Error::new(error).context(what).into())
            }
        }
    }
}
