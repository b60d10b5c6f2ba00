//! Clusters of real processes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use namespaces::{Host, Network};
use serde_json::Value;
use tempfile::TempDir;

use crate::api::Api;
use crate::proxy::Link;

/// Far beyond what anything takes that works, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What is tested.
const PROGRAM: &str = env!("CARGO_BIN_EXE_starling");
/// Between two looks at a condition.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Some nodes on loopback or in a network of their own, stopped and removed at the end of the test.
pub(crate) struct Cluster {
    // Dropped in this order: nodes end before their network and folders vanish.
    nodes: Vec<Node>,
    network: Option<Network>,
    token: String,
    links: Vec<Link>,
    small_disks: Vec<SmallDisk>,
    folder: TempDir,
}

/// Where a node is to be.
struct Seat {
    http: String,
    peer: String,
    host: Option<Host>,
}

/// A file system of a few megabytes in memory, mounted over a node's folder.
struct SmallDisk {
    folder: PathBuf,
}

/// One node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) config: PathBuf,
    peer_address: String,
    host: Option<Host>,
    process: Option<Child>,
    environment: Vec<(String, String)>,
}

/// How a cluster differs from the usual one.
#[derive(Default)]
pub(crate) struct Setup {
    /// Peers reach each other through proxies that can be cut.
    pub(crate) proxied: bool,
    /// Set for every node.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Cluster {
    /// Starts `count` nodes and waits until they take writes.
    pub(crate) async fn start(count: usize) -> Self {
        Self::start_with(count, Setup::default()).await
    }

    /// The same, with a difference.
    pub(crate) async fn start_with(count: usize, setup: Setup) -> Self {
        Self::create(count).started(setup).await
    }

    /// Starts the nodes of a cluster that was only made, and waits until they take writes.
    pub(crate) async fn started(mut self, setup: Setup) -> Self {
        if setup.proxied {
            self.put_proxies_between().await;
        }
        for node in 0..self.len() {
            for (name, value) in &setup.environment {
                self.set(node, name, value);
            }
            self.spawn(node);
        }
        for node in 0..self.len() {
            self.until_ready(node).await;
        }
        self.until_writable().await;
        self
    }

    /// Makes the folders of `count` nodes.
    pub(crate) fn create(count: usize) -> Self {
        let ports = free_ports(2 * count);
        let address = |place: usize| format!("127.0.0.1:{}", ports[place]);
        let seats = (0..count).map(|place| Seat {
            http: address(place),
            peer: address(count + place),
            host: None,
        });
        Self::create_at(seats.collect(), None)
    }

    /// The same with a namespace for each node, whose wires can be broken.
    pub(crate) fn create_in(network: Network, count: usize) -> Self {
        let seats = (0..count).map(|place| {
            let host = network.host(place).clone();
            Seat {
                http: format!("{}:7700", host.address()),
                peer: format!("{}:7800", host.address()),
                host: Some(host),
            }
        });
        let mut cluster = Self::create_at(seats.collect(), Some(network));
        for node in 0..count {
            // Others could only be in the same network.
            cluster.set(node, "STARLING_HTTP_INSECURE", "true");
        }
        cluster
    }

    fn create_at(seats: Vec<Seat>, network: Option<Network>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = starling(["cluster", "init", "--json", "--http", "plain", "--out"]);
        command.arg(folder.path().join("cluster"));
        for (place, seat) in seats.iter().enumerate() {
            let node = format!("n{}={},{}", place + 1, seat.http, seat.peer);
            command.args(["--node", &node]);
        }
        let created = json(&succeed(command));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let made = created["nodes"].as_array().expect("nodes");
        let nodes = made.iter().zip(seats).map(|(node, seat)| Node {
            name: text(&node["name"]),
            id: text(&node["id"]),
            url: text(&node["url"]),
            config: text(&node["config"]).into(),
            peer_address: seat.peer,
            host: seat.host,
            process: None,
            environment: Vec::new(),
        });
        Self {
            nodes: nodes.collect(),
            network,
            token: text(&created["token"]),
            links: Vec::new(),
            small_disks: Vec::new(),
            folder,
        }
    }

    /// Moves the folder of a node that does not run to a disk of `megabytes`. False if that takes rights we lack.
    pub(crate) fn put_on_small_disk(&mut self, node: usize, megabytes: u32) -> bool {
        let disk = SmallDisk::mount_over(&self.nodes[node].folder(), megabytes);
        let mounted = disk.is_some();
        self.small_disks.extend(disk);
        mounted
    }

    /// Sets a variable for a node's next start.
    pub(crate) fn set(&mut self, node: usize, name: &str, value: &str) {
        let environment = &mut self.nodes[node].environment;
        environment.retain(|(known, _)| known != name);
        environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts a node's process.
    pub(crate) fn spawn(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let log = File::options()
            .create(true)
            .append(true)
            .open(node.log())
            .expect("a log file");
        let mut command = match &node.host {
            Some(host) => prepared(host.command(PROGRAM)),
            None => prepared(Command::new(PROGRAM)),
        };
        command
            .args(["serve", "--config"])
            .arg(&node.config)
            .envs(node.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        node.process = Some(command.spawn().expect("a process"));
    }

    /// Starts a node that was stopped and waits until it serves.
    pub(crate) async fn restart(&mut self, node: usize) {
        self.spawn(node);
        self.until_ready(node).await;
    }

    /// Stops a node, and starts it again.
    pub(crate) async fn restart_after_stop(&mut self, node: usize) {
        self.stop(node).await;
        self.restart(node).await;
    }

    /// Ends a node the hard way.
    pub(crate) fn kill(&mut self, node: usize) {
        let process = self.nodes[node].process.as_mut().expect("a running node");
        process.kill().expect("killed");
        process.wait().expect("ended");
        self.nodes[node].process = None;
    }

    /// Asks a node to stop and waits until it has.
    pub(crate) async fn stop(&mut self, node: usize) {
        self.signal(node, "TERM");
        let name = self.nodes[node].name.clone();
        let process = self.nodes[node].process.as_mut().expect("a running node");
        let status = until(&format!("{name} stops"), async || {
            process.try_wait().expect("watched")
        })
        .await;
        assert!(status.success(), "{name} stops cleanly, not with {status}");
        self.nodes[node].process = None;
    }

    /// Waits until a node's process ends by itself and gives its exit code.
    pub(crate) async fn ended(&mut self, node: usize) -> Option<i32> {
        let process = self.nodes[node].process.as_mut().expect("a running node");
        let status = until("the node ends", async || {
            process.try_wait().expect("watched")
        })
        .await;
        self.nodes[node].process = None;
        status.code()
    }

    /// Whether a node's process has ended by itself.
    pub(crate) fn has_ended(&mut self, node: usize) -> bool {
        let process = self.nodes[node].process.as_mut().expect("a running node");
        let ended = process.try_wait().expect("watched").is_some();
        if ended {
            self.nodes[node].process = None;
        }
        ended
    }

    /// Stops a node's time.
    pub(crate) fn freeze(&self, node: usize) {
        self.signal(node, "STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self, node: usize) {
        self.signal(node, "CONT");
    }

    fn signal(&self, node: usize, signal: &str) {
        send_signal(self.pid(node), signal);
    }

    /// The wires of a cluster that was made in a network.
    pub(crate) fn network(&mut self) -> Option<&mut Network> {
        self.network.as_mut()
    }

    /// Cuts every connection between `node` and its peers, in both directions.
    pub(crate) fn isolate(&self, node: usize) {
        self.links_of(node).for_each(Link::cut);
    }

    /// Lets a node's connections be made again.
    pub(crate) fn heal(&self, node: usize) {
        self.links_of(node).for_each(Link::heal);
    }

    /// The link that carries what `from` sends to `to`.
    pub(crate) fn link(&self, from: usize, to: usize) -> &Link {
        let mut links = self.links.iter();
        links
            .find(|link| link.from == from && link.to == to)
            .expect("a proxied cluster")
    }

    fn links_of(&self, node: usize) -> impl Iterator<Item = &Link> {
        self.links
            .iter()
            .filter(move |link| link.from == node || link.to == node)
    }

    /// Gives every node its own address book, in which every peer is behind a proxy.
    async fn put_proxies_between(&mut self) {
        for from in 0..self.nodes.len() {
            let config = self.nodes[from].config.clone();
            let text = std::fs::read_to_string(&config).expect("a configuration");
            let mut table: toml::Table = text.parse().expect("TOML");
            let members = table["members"].as_array_mut().expect("members");
            for (to, member) in members.iter_mut().enumerate().filter(|(to, _)| *to != from) {
                let link = Link::open(from, to, &self.nodes[to].peer_address).await;
                member["peer_address"] = link.address.clone().into();
                let member = member.as_table_mut().expect("a table");
                member.insert("pinned".to_owned(), true.into());
                self.links.push(link);
            }
            std::fs::write(&config, table.to_string()).expect("written");
        }
    }

    /// Makes an invite.
    pub(crate) fn invite(&self, arguments: &[&str]) -> String {
        let mut command = self.client(["cluster", "invite"]);
        command.args(arguments);
        succeed(command).trim().to_owned()
    }

    /// The command with which a node of this name joins.
    pub(crate) fn join_command(&self, name: &str, invite: &str) -> Command {
        let ports = free_ports(2);
        let mut command = starling(["cluster", "join", "--json", invite, "--name", name]);
        command
            .arg("--folder")
            .arg(self.scratch().join("joined").join(name))
            .args(["--http", &format!("127.0.0.1:{}", ports[0])])
            .args(["--peer", &format!("127.0.0.1:{}", ports[1])]);
        command
    }

    /// Takes a node up that `cluster join` has made, as the next place.
    pub(crate) fn adopt(&mut self, joined: &Value) -> usize {
        let text = |name: &str| joined[name].as_str().expect("a text").to_owned();
        let config = PathBuf::from(text("config"));
        let table = std::fs::read_to_string(&config).expect("a configuration");
        let table: toml::Table = table.parse().expect("TOML");
        self.nodes.push(Node {
            name: text("name"),
            id: text("id"),
            url: text("url"),
            config,
            peer_address: table["peer"]["address"]
                .as_str()
                .expect("a text")
                .to_owned(),
            host: None,
            process: None,
            environment: Vec::new(),
        });
        self.nodes.len() - 1
    }

    /// Has a new node join, starts it, and gives its place.
    pub(crate) fn join(&mut self, name: &str) -> usize {
        let invite = self.invite(&[]);
        let joined = json(&succeed(self.join_command(name, &invite)));
        let place = self.adopt(&joined);
        self.spawn(place);
        place
    }

    /// Lets a node that does not run be somewhere else at its next start.
    pub(crate) fn relocate(&mut self, node: usize) {
        let ports = free_ports(2);
        let (http, peer) = (
            format!("127.0.0.1:{}", ports[0]),
            format!("127.0.0.1:{}", ports[1]),
        );
        let node = &mut self.nodes[node];
        let text = std::fs::read_to_string(&node.config).expect("a configuration");
        let text = text
            .replace(&node.peer_address, &peer)
            .replace(node.url.trim_start_matches("http://"), &http);
        std::fs::write(&node.config, text).expect("written");
        node.url = format!("http://{http}");
        node.peer_address = peer;
    }

    /// What a node says of a node in `/cluster`, null if nothing.
    pub(crate) async fn seen(&self, by: usize, name: &str) -> Value {
        let answer = self.api(by).get("/cluster").await.expect(200, "").json();
        let mut nodes = answer["nodes"].as_array().expect("nodes").iter();
        let found = nodes.find(|node| node["name"] == name);
        found.cloned().unwrap_or_default()
    }

    /// Waits until a node sees another one in this role.
    pub(crate) async fn until_role(&self, by: usize, name: &str, role: &str) {
        until(&format!("{name} is a {role}"), async || {
            (self.seen(by, name).await["role"] == role).then_some(())
        })
        .await;
    }

    /// Waits until a node serves reads.
    pub(crate) async fn until_ready(&self, node: usize) {
        let api = self.api(node);
        until(&format!("{} is ready", self.nodes[node].name), async || {
            api.is_ready().await.then_some(())
        })
        .await;
    }

    /// Waits until every running node takes writes.
    pub(crate) async fn until_writable(&self) {
        for node in self.running() {
            let api = self.api(node);
            until(
                &format!("{} takes writes", self.nodes[node].name),
                async || api.append("warming up", None).await.ok(),
            )
            .await;
        }
    }

    /// Waits until all running nodes have the same head and have applied it, and gives its height and hash.
    pub(crate) async fn until_heads_equal(&self) -> (u64, String) {
        let (height, hash) = until("all heads are equal", async || {
            let mut heads = Vec::new();
            for node in self.running() {
                heads.push(self.api(node).head().await?);
            }
            let first = heads.first().expect("a running node").clone();
            heads.iter().all(|head| *head == first).then_some(first)
        })
        .await;
        for node in self.running() {
            self.api(node).until_applied(height).await;
        }
        (height, hash)
    }

    /// The nodes that run, frozen or not.
    pub(crate) fn running(&self) -> impl Iterator<Item = usize> {
        let running = |node: &Node| node.process.is_some();
        (0..self.nodes.len()).filter(move |place| running(&self.nodes[*place]))
    }

    /// The number of a node's process.
    pub(crate) fn pid(&self, node: usize) -> u32 {
        let process = self.nodes[node].process.as_ref();
        process.expect("a running node").id()
    }

    /// A client of one node, signed in as the administrator.
    pub(crate) fn api(&self, node: usize) -> Api {
        Api::new(&self.nodes[node].url, &self.token)
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The most memory a node has had resident, in bytes.
    pub(crate) fn peak_memory(&self, node: usize) -> u64 {
        let pid = self.pid(node);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kibibytes
            .and_then(|text| text.trim().parse().ok())
            .map_or(0, |count: u64| count << 10)
    }

    /// A folder for the test's own files.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The program, as a client of all nodes.
    pub(crate) fn client<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let urls: Vec<&str> = self.nodes.iter().map(|node| node.url.as_str()).collect();
        let mut command = starling(arguments);
        command
            .env("STARLING_URL", urls.join(","))
            .env("STARLING_TOKEN", &self.token);
        command
    }
}

impl Node {
    /// Where everything it keeps lies.
    pub(crate) fn folder(&self) -> PathBuf {
        self.config.parent().expect("a file in a folder").to_owned()
    }

    /// What it says; beside its folder, whose disk may be full.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder().with_extension("log")
    }

    /// Where people are served.
    pub(crate) fn http_address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Where its peers call it.
    pub(crate) fn peer_address(&self) -> &str {
        &self.peer_address
    }

    /// The ledger's folder.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder().join("ledger")
    }
}

impl SmallDisk {
    fn mount_over(folder: &Path, megabytes: u32) -> Option<Self> {
        let aside = folder.with_extension("aside");
        std::fs::rename(folder, &aside).expect("set aside");
        std::fs::create_dir(folder).expect("an empty folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(folder)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            std::fs::remove_dir(folder).expect("still empty");
            std::fs::rename(&aside, folder).expect("back in place");
            return None;
        }
        let disk = Self {
            folder: folder.to_owned(),
        };
        let copied = Command::new("cp")
            .arg("-a")
            .arg(aside.join("."))
            .arg(folder)
            .status();
        assert!(copied.expect("cp runs").success(), "the folder is copied");
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.folder).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.folder.display());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- the end of {}'s log ---\n{}", self.name, end.join("\n"));
        }
    }
}

/// Ports that nobody listens on and no other test is given, one after the other. They are below those that the system
/// gives to outgoing connections: one of those could be in use again by the time a node is restarted.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    const PORTS: std::ops::Range<u16> = 12_000..32_000;
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().expect("no holder panics");
    // Test programs that run at the same time begin at different places.
    let first = || PORTS.start + u16::try_from(std::process::id() * 613 % 20_000).expect("small");
    let mut port = next.unwrap_or_else(first);
    let mut found = Vec::new();
    while found.len() < count {
        port += 1;
        if !PORTS.contains(&port) {
            port = PORTS.start;
            found.clear();
        }
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => found.push(port),
            Err(_) => found.clear(),
        }
    }
    *next = Some(port);
    found
}

/// The program, untouched by the variables of whoever runs the tests.
pub(crate) fn starling<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = prepared(Command::new(PROGRAM));
    command.args(arguments);
    command
}

fn prepared(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STARLING_") {
            command.env_remove(name);
        }
    }
    command.env("STARLING_LOG", "info");
    command
}

/// Runs a command that has to succeed.
pub(crate) fn succeed(command: Command) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().expect("a process")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one object that a command printed.
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

/// The objects that a command printed, one a line.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

/// Sends a signal by name.
pub(crate) fn send_signal(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status()
        .expect("kill");
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Takes every byte that is left on a folder's disk; gives the file that holds them.
pub(crate) fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("ballast");
    let mut file = File::create(&path).expect("a file");
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
    path
}

/// Whether a process exists. One that has ended and was not waited for does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

/// Looks at a condition again and again until it gives something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "waited {PATIENCE:?} until {what}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// As in `main`: a TLS provider has to be chosen once.
pub(crate) fn choose_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let chosen = rustls::crypto::ring::default_provider().install_default();
        chosen.expect("nothing else has chosen one");
    });
}
