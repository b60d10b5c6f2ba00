//! How a command ends when it does not end well: one sentence on stderr and an exit code for scripts.

use std::process::ExitCode;

use crate::client::CallError;
use crate::connection::ConnectionError;
use crate::export::manifest::ManifestError;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Anything without a code of its own. Code 1.
    Other(anyhow::Error),
    /// The command line asks for something that makes no sense. Code 2, as for the parser's own complaints.
    Usage(String),
    /// What was named does not exist. Code 3.
    NotFound(anyhow::Error),
    /// Some files could not be transferred; each has been reported. Code 4.
    SomeFiles,
    /// It may work later: no node, no quorum, too much work. Code 5.
    Temporary(anyhow::Error),
    /// A node cannot run. Code 7.
    Fatal(anyhow::Error),
    /// Whoever read the results has closed the pipe: nobody is left to tell.
    Unread,
}

impl Failure {
    /// Says what happened and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (code, error) = match self {
            Self::Other(error) => (1, error),
            Self::Usage(sentence) => (2, anyhow::Error::msg(sentence)),
            Self::NotFound(error) => (3, error),
            Self::SomeFiles => return ExitCode::from(4),
            Self::Temporary(error) => (5, error),
            Self::Fatal(error) => (7, error),
            Self::Unread => return ExitCode::SUCCESS,
        };
        crate::output::note(&format!("starling: {}", in_one_line(&error)));
        ExitCode::from(code)
    }
}

/// An error with its causes, each said once.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line += ": ";
        }
        line += &cause;
    }
    line
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        if error.is_not_found() {
            Self::NotFound(error.into())
        } else if error.is_temporary() {
            Self::Temporary(error.into())
        } else {
            Self::Other(error.into())
        }
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Other(error.into())
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Self::Other(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// Only for what is written to stdout: other I/O names what it was about.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Unread
        } else {
            Self::Other(anyhow::Error::new(error).context("writing the result"))
        }
    }
}
