//! `starling completions`: what a shell needs to complete commands and flags.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Cli;
use crate::failure::Failure;
use crate::output;

/// Prints what a shell needs. In bash: source <(starling completions bash)
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "starling", &mut script);
        let script = String::from_utf8_lossy(&script);
        Ok(output::line(script.trim_end())?)
    }
}
