//! Where the system lets us: packets pass, are lost in one direction, and pass again.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use namespaces::{Network, NetworkError};

/// Listens on port 7 of a host until it is dropped. Any program that listens would do.
struct Listener(Child);

impl Listener {
    fn start(network: &Network, host: usize) -> Self {
        let program = "import socket, sys\n\
                       s = socket.create_server(('', 7), backlog=64)\n\
                       print('ready', flush=True)\n\
                       sys.stdin.read()";
        let mut command = network.host(host).command("python3");
        command.args(["-c", program]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Long enough for a packet that was lost by chance, not for all.
const PATIENCE: Duration = Duration::from_millis(500);

fn connects(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, PATIENCE).is_ok()
}

/// Whether a program on a host gets through to another.
fn connects_from(network: &Network, from: usize, to: SocketAddr) -> bool {
    let program = format!(
        "import socket; socket.create_connection(('{}', {}), 0.3)",
        to.ip(),
        to.port()
    );
    let mut command = network.host(from).command("python3");
    command.args(["-c", &program]).stderr(Stdio::null());
    command.status().unwrap().success()
}

/// None where the system does not let us.
fn network(hosts: u8) -> Option<Network> {
    match Network::create(hosts) {
        Ok(network) => Some(network),
        Err(error @ (NetworkError::Missing { .. } | NetworkError::Refused { .. })) => {
            eprintln!("not tested here: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_host_that_is_isolated_is_not_reached_until_it_joins_again() {
    let Some(mut network) = network(2) else {
        return;
    };
    let _listeners = [0, 1].map(|host| Listener::start(&network, host));
    let address = |host: usize| SocketAddr::from((network.host(host).address(), 7));
    let (first, second) = (address(0), address(1));
    assert!(connects(first) && connects(second));
    network.isolate(0).unwrap();
    assert!(!connects(first));
    assert!(connects(second));
    network.join(0).unwrap();
    assert!(connects(first));
}

#[test]
fn a_wire_that_is_cut_in_one_direction_concerns_nobody_else() {
    let Some(mut network) = network(3) else {
        return;
    };
    let _listener = Listener::start(&network, 1);
    let address = SocketAddr::from((network.host(1).address(), 7));
    assert!(connects_from(&network, 0, address));
    network.lose(0, 1, 100).unwrap();
    assert!(!connects_from(&network, 0, address));
    assert!(connects_from(&network, 2, address));
    network.lose(0, 1, 0).unwrap();
    network.lose(1, 2, 100).unwrap();
    assert!(connects_from(&network, 0, address));
    assert!(!connects_from(&network, 2, address));
}
