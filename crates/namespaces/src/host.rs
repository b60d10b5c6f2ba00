//! One host of the network.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;

/// A namespace with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub(crate) namespace: String,
    pub(crate) address: Ipv4Addr,
}

impl Host {
    /// Where it is reached, by all other hosts and by the machine.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A command that runs a program there. The process that it starts is the program's own, so signals reach it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program);
        command
    }
}
