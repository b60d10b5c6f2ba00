//! A network of Linux namespaces, for measurements and tests that need wires to break.
//!
//! Every host has a namespace of its own, with one interface at a bridge that stands in a further namespace; the machine
//! itself has a port there too, so programs outside reach all hosts. Nothing of the machine's own network is touched but
//! for that one interface, with an address from 198.18.0.0/15, which is set aside for measuring networks (RFC 2544).
//!
//! What the bridge passes on is decided by a classifier at each host's port (`filter`): a [`Network`] can lose any
//! share of the packets from one host to another, all of them, or everything that a host sends and gets. No packet is
//! refused and no interface goes down: they vanish, as on a wire that somebody has cut elsewhere.
//!
//! It takes root, Linux, and `ip` and `tc` (Debian: iproute2). A network is gone when it is dropped; what a killed
//! program has left is removed when the next network is made.

mod filter;
mod host;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

pub use host::Host;

/// All names of ours in the system begin with it; then comes our process.
const PREFIX: &str = "starling-";
/// The machine's address in its network.
const MACHINE: u8 = 254;

/// Why there is no network, or why it does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// `ip` or `tc` is not there.
    #[error("cannot run `{program}` (Debian: apt-get install iproute2)")]
    Missing {
        /// Which of them.
        program: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A command was refused, mostly for want of rights.
    #[error(
        "`{command}` failed, which takes root and a Linux with namespaces, bridges and cls_bpf: {said}"
    )]
    Refused {
        /// The whole command.
        command: String,
        /// What it complained of.
        said: String,
    },
    /// Every range of addresses is in use.
    #[error("all addresses 198.18.0.0 to 198.18.255.255 are taken")]
    Addresses,
}

/// Hosts around one bridge; counted from 0.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    switch: String,
    outside: String,
    /// Lost packets in per cent, by sender and receiver.
    losses: BTreeMap<(usize, usize), u8>,
    isolated: Vec<bool>,
}

impl Network {
    /// Makes a network of `count` hosts; nothing is lost in it.
    ///
    /// # Errors
    /// If a command fails.
    pub fn create(count: u8) -> Result<Self, NetworkError> {
        // Two at a time would choose the same range of addresses.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        remove_leftovers()?;
        let own = std::process::id();
        let range = free_range()?;
        let address = |last: u8| Ipv4Addr::new(198, 18, range, last);
        let hosts = (1..=count).map(|number| Host {
            namespace: format!("{PREFIX}{own}-{range}-{number}"),
            address: address(number),
        });
        // Made before anything exists, so that a half-made network is removed as well.
        let network = Self {
            hosts: hosts.collect(),
            switch: format!("{PREFIX}{own}-{range}-s"),
            outside: format!("sl{range}-{own}"),
            losses: BTreeMap::new(),
            isolated: vec![false; count.into()],
        };
        network.build(address(MACHINE))?;
        Ok(network)
    }

    fn build(&self, machine: Ipv4Addr) -> Result<(), NetworkError> {
        let switch = &self.switch;
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add bridge type bridge"))?;
        ip(&format!("-n {switch} link set bridge up"))?;
        let outside = &self.outside;
        ip(&format!(
            "link add {outside} type veth peer name outside netns {switch}"
        ))?;
        ip(&format!("-n {switch} link set outside master bridge up"))?;
        ip(&format!("address add {machine}/24 dev {outside}"))?;
        ip(&format!("link set {outside} up"))?;
        for (place, host) in self.hosts.iter().enumerate() {
            let (namespace, address, port) = (&host.namespace, host.address, port(place));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            ip(&format!(
                "-n {switch} link add {port} type veth peer name wire netns {namespace}"
            ))?;
            ip(&format!("-n {switch} link set {port} master bridge up"))?;
            ip(&format!("-n {namespace} address add {address}/24 dev wire"))?;
            ip(&format!("-n {namespace} link set wire up"))?;
            tc(&format!("-n {switch} qdisc add dev {port} clsact"))?;
            self.apply(place)?;
        }
        Ok(())
    }

    /// A host.
    ///
    /// # Panics
    /// If there is none of that number.
    #[must_use]
    pub fn host(&self, host: usize) -> &Host {
        self.hosts.get(host).expect("hosts are counted from 0")
    }

    /// Loses so many per cent of what `from` sends to `to`; 100 cuts the wire in that direction, 0 mends it.
    ///
    /// # Errors
    /// If a command fails.
    pub fn lose(&mut self, from: usize, to: usize, percent: u8) -> Result<(), NetworkError> {
        self.losses.insert((from, to), percent.min(100));
        self.apply(to)
    }

    /// Cuts a host off from all others and from the machine, in both directions.
    ///
    /// # Errors
    /// If a command fails.
    pub fn isolate(&mut self, host: usize) -> Result<(), NetworkError> {
        self.set_isolated(host, true)
    }

    /// Undoes [`isolate`](Self::isolate).
    ///
    /// # Errors
    /// If a command fails.
    pub fn join(&mut self, host: usize) -> Result<(), NetworkError> {
        self.set_isolated(host, false)
    }

    fn set_isolated(&mut self, host: usize, isolated: bool) -> Result<(), NetworkError> {
        if let Some(entry) = self.isolated.get_mut(host) {
            *entry = isolated;
        }
        self.apply(host)
    }

    /// Puts the classifiers of a host's port in place of the old ones.
    fn apply(&self, host: usize) -> Result<(), NetworkError> {
        let isolated = self.isolated.get(host).copied().unwrap_or_default();
        let (towards, from) = if isolated {
            (filter::drop_all(), filter::drop_all())
        } else {
            (
                filter::losing(&self.losses_towards(host)),
                filter::pass_all(),
            )
        };
        for (direction, program) in [("egress", towards), ("ingress", from)] {
            let (switch, port) = (&self.switch, port(host));
            let place =
                format!("-n {switch} filter replace dev {port} {direction} pref 1 handle 1");
            let mut words: Vec<&str> = place.split(' ').collect();
            words.extend(["bpf", "direct-action", "bytecode", &program]);
            run("tc", &words)?;
        }
        Ok(())
    }

    fn losses_towards(&self, host: usize) -> Vec<(Ipv4Addr, u8)> {
        let towards = self.losses.iter().filter(|((_, to), _)| *to == host);
        towards
            .map(|((from, _), percent)| (self.host(*from).address, *percent))
            .collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let namespaces = self.hosts.iter().map(|host| host.namespace.as_str());
        remove(namespaces.chain([self.switch.as_str()]));
        // Its peer is gone with the namespace, though maybe not yet.
        let _ = ip(&format!("link delete {}", self.outside));
    }
}

/// A host's interface at the bridge.
fn port(host: usize) -> String {
    format!("port{host}")
}

/// Namespaces that do not exist were not made, or are gone.
fn remove<'a>(namespaces: impl IntoIterator<Item = &'a str>) {
    for namespace in namespaces {
        let _ = ip(&format!("netns delete {namespace}"));
    }
}

/// Removes the namespaces of programs of ours that are gone, and with them their interfaces.
fn remove_leftovers() -> Result<(), NetworkError> {
    let listed = ip("netns list")?;
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    remove(names.filter(|name| owner(name).is_some_and(|pid| !is_alive(pid))));
    Ok(())
}

/// The process that made a namespace, if the name is one of ours.
fn owner(namespace: &str) -> Option<u32> {
    let (pid, _) = namespace.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

/// The third number of the first range 198.18.x.0/24 in which the machine has no address.
fn free_range() -> Result<u8, NetworkError> {
    let used = ip("-oneline -4 address")?;
    (0..=u8::MAX)
        .find(|range| !used.contains(&format!(" 198.18.{range}.")))
        .ok_or(NetworkError::Addresses)
}

fn ip(words: &str) -> Result<String, NetworkError> {
    run("ip", &words.split(' ').collect::<Vec<_>>())
}

fn tc(words: &str) -> Result<String, NetworkError> {
    run("tc", &words.split(' ').collect::<Vec<_>>())
}

fn run(program: &'static str, words: &[&str]) -> Result<String, NetworkError> {
    let output = Command::new(program)
        .args(words)
        .output()
        .map_err(|source| NetworkError::Missing { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(NetworkError::Refused {
        command: format!("{program} {}", words.join(" ")),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_tells_its_process_and_others_are_nobody_s() {
        assert_eq!(owner("starling-4711-0-s"), Some(4711));
        assert_eq!(owner("starling-of-somebody"), None);
        assert_eq!(owner("else-4711-0"), None);
    }
}
