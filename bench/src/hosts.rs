//! Where the members of a cluster run: all on loopback, or each behind a wire of its own that can be broken.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use namespaces::{Host, Network};

use crate::cluster::MEMBERS;

/// Places for [`MEMBERS`].
#[derive(Debug)]
pub(crate) enum Hosts {
    /// They share the machine's loopback.
    Loopback,
    /// Each has a network namespace.
    Namespaces(Network),
}

/// Where one member runs, before and after a restart.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    host: Option<Host>,
    /// Where clients reach it.
    pub(crate) client: SocketAddr,
    /// Where the other members reach it.
    pub(crate) peer: SocketAddr,
}

impl Hosts {
    /// A namespace for each member.
    pub(crate) fn namespaces() -> Result<Self> {
        Ok(Self::Namespaces(Network::create(u8::try_from(MEMBERS)?)?))
    }

    /// A seat for each member.
    pub(crate) fn seats(&self) -> Result<Vec<Seat>> {
        match self {
            Self::Loopback => {
                let first = free_ports(2 * u16::try_from(MEMBERS)?)?;
                let ports = (first..).step_by(2).take(MEMBERS);
                Ok(ports.map(Seat::on_loopback).collect())
            }
            Self::Namespaces(network) => {
                let hosts = (0..MEMBERS).map(|member| network.host(member).clone());
                Ok(hosts.map(Seat::on).collect())
            }
        }
    }

    /// A seat for one more on loopback.
    pub(crate) fn another(&self) -> Result<Seat> {
        match self {
            Self::Loopback => Ok(Seat::on_loopback(free_ports(2)?)),
            Self::Namespaces(_) => bail!("every namespace has its member"),
        }
    }

    /// The wires.
    pub(crate) fn network(&mut self) -> Result<&mut Network> {
        match self {
            Self::Namespaces(network) => Ok(network),
            Self::Loopback => bail!("loopback has no wires to break"),
        }
    }
}

impl Seat {
    fn on_loopback(port: u16) -> Self {
        Self {
            host: None,
            client: (Ipv4Addr::LOCALHOST, port).into(),
            peer: (Ipv4Addr::LOCALHOST, port + 1).into(),
        }
    }

    fn on(host: Host) -> Self {
        Self {
            client: (host.address(), 7700).into(),
            peer: (host.address(), 7800).into(),
            host: Some(host),
        }
    }

    /// A command that runs a program there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        match &self.host {
            Some(host) => host.command(program),
            None => Command::new(program),
        }
    }
}

/// `count` consecutive loopback ports nobody listens on.
fn free_ports(count: u16) -> Result<u16> {
    for _ in 0..100 {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let Some(end) = first.checked_add(count) else {
            continue;
        };
        let all: std::io::Result<Vec<TcpListener>> = (first..end)
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
            .collect();
        if all.is_ok() {
            return Ok(first);
        }
    }
    bail!("no {count} consecutive free ports")
}
