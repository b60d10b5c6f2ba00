//! What a node has to be told before it starts: `node.toml`, and `STARLING_…` variables that override it.
//!
//! The file is strict. An unknown key, a wrong type or an address that cannot be listened on stops the start with an
//! error that names file and key, because a misspelt setting that is silently ignored is found at the worst time.
//! Paths are relative to the file, so that a node's folder may be moved as a whole.
//!
//! `members` is only the address book: who belongs to the cluster, and where, is decided in the ledger. The book says
//! where to ask first, and where a node is that the ledger says nothing of. An entry that is `pinned` goes before the
//! ledger, for a node that is reached from here at another address than from elsewhere.

mod access;
mod blobs;
mod checker;
mod media;
mod scrub;
mod trash;
mod written;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Addresses, NodeId};

pub use self::access::AccessConfig;
pub use self::blobs::BlobsConfig;
use self::checker::Checker;
pub use self::media::MediaConfig;
pub use self::scrub::ScrubConfig;
pub use self::trash::TRASH_KEEP;
use self::written::Written;

/// The name of the file in a node's folder.
pub const FILE_NAME: &str = "node.toml";

/// The variables that override a key of the file.
pub const OVERRIDES: [&str; 17] = [
    "STARLING_FOLDER",
    "STARLING_HTTP_ADDRESS",
    "STARLING_HTTP_URL",
    "STARLING_HTTP_INSECURE",
    "STARLING_HTTP_TLS_CERTIFICATE",
    "STARLING_HTTP_TLS_KEY",
    "STARLING_PEER_ADDRESS",
    "STARLING_NAME",
    "STARLING_ARCHIVE_URL",
    "STARLING_DEAD_AFTER",
    "STARLING_BLOBS_SURVEY_EVERY",
    "STARLING_BLOBS_CACHE_BYTES",
    "STARLING_TRASH_KEEP",
    "STARLING_SCRUB_BYTES_PER_SECOND",
    "STARLING_SCRUB_PAUSE",
    "STARLING_MEDIA_DECODERS",
    "STARLING_MEDIA_LOOK_EVERY",
];

/// How long a voter must be silent before it is pruned, unless the file says otherwise: a laptop may sleep over night.
pub const DEAD_AFTER: Duration = Duration::from_secs(24 * 3600);

/// One node's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The node's name in `members`.
    pub name: String,
    /// Where everything the node keeps lies.
    pub folder: PathBuf,
    /// Where people reach it.
    pub http: HttpConfig,
    /// Where peers reach it.
    pub peer: PeerConfig,
    /// Where sealed segments go, if anywhere: the URL of a folder or a bucket. Credentials are in the environment.
    pub archive_url: Option<String>,
    /// How long a voter must be silent before this node says so in the ledger; none for never.
    pub dead_after: Option<Duration>,
    /// Copies of files' bytes.
    pub blobs: BlobsConfig,
    /// How long a file stays in the trash, in block time, before this node purges it; none for ever.
    pub trash_keep: Option<Duration>,
    /// How the node looks for damage on its own disk.
    pub scrub: ScrubConfig,
    /// How it gets pictures of what it cannot decode itself.
    pub media: MediaConfig,
    /// How people and programs are let in. Nothing of it is in the file.
    pub access: AccessConfig,
    /// How to reach every member, this node among them.
    pub members: Vec<MemberConfig>,
}

/// The HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens. Anything but loopback needs `tls` or `insecure`.
    pub address: SocketAddr,
    /// Key and certificate; none for plain HTTP.
    pub tls: Option<TlsConfig>,
    /// What people type: scheme, host and port, without a slash at the end.
    pub public_url: String,
    /// Whether plain HTTP is wanted on an address that others can reach.
    pub insecure: bool,
}

/// What an HTTPS listener shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The chain in PEM, the node's own certificate first.
    pub certificate: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// The listener for peers. Always mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Where it listens.
    pub address: SocketAddr,
}

/// An entry of the address book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberConfig {
    /// What people call it.
    pub name: String,
    /// Its identity.
    pub id: NodeId,
    /// `host:port` to call it at; the host may be a name.
    pub peer_address: String,
    /// Where people reach it.
    pub url: String,
    /// Whether this goes before what the ledger says.
    pub pinned: bool,
}

impl MemberConfig {
    /// As the ledger has them.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            peer: self.peer_address.clone(),
            url: self.url.clone(),
        }
    }
}

/// Why a node's settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, has a key that does not exist, lacks one or holds a value of another type.
    #[error("in the configuration {path}: {detail}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what, as the parser says it.
        detail: String,
    },
    /// A value cannot be used.
    #[error("in the configuration {origin}: {key} {detail}")]
    Value {
        /// The file or the variable it comes from.
        origin: Origin,
        /// The key, dotted.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// An environment variable, or the flag that stands for it.
    Variable(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

impl NodeConfig {
    /// Reads the file and applies the overrides of the environment.
    ///
    /// # Errors
    /// A [`ConfigError`] that names file and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, |name| std::env::var(name).ok())
    }

    /// Reads the file and applies `overrides`, asked for the names in [`OVERRIDES`].
    ///
    /// # Errors
    /// A [`ConfigError`] that names file and key.
    pub fn load_with(
        path: &Path,
        overrides: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let written: Written = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            detail: error.to_string().trim_end().to_owned(),
        })?;
        Checker { path, overrides }.check(written)
    }

    /// The node's own entry in the address book.
    ///
    /// # Panics
    /// Never for a loaded configuration: loading refuses one without it.
    pub fn me(&self) -> &MemberConfig {
        self.members
            .iter()
            .find(|member| member.name == self.name)
            .expect("a configuration names its own node among the members")
    }

    /// Key, certificates and the chain's id.
    pub fn identity_folder(&self) -> PathBuf {
        self.folder.join("identity")
    }

    /// The write-ahead log.
    pub fn ledger_folder(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// The catalogue's database.
    pub fn catalogue_path(&self) -> PathBuf {
        self.folder.join("catalogue.sqlite")
    }

    /// The blobs.
    pub fn blobs_folder(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// Files that mean nothing after a restart.
    pub fn temporary_folder(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// The file that [`NodeConfig::load`] reads back, with every path relative to `folder`.
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "# A Starling node. Paths are relative to this file; variables named STARLING_… override it.\n\
             name = {}\n\n\
             [http]\naddress = \"{}\"\nurl = {}\n",
            quoted(&self.name),
            self.http.address,
            quoted(&self.http.public_url),
        );
        if self.http.insecure {
            text += "insecure = true\n";
        }
        if let Some(tls) = &self.http.tls {
            text += &format!(
                "\n[http.tls]\ncertificate = {}\nkey = {}\n",
                self.relative(&tls.certificate),
                self.relative(&tls.key)
            );
        }
        text += &format!("\n[peer]\naddress = \"{}\"\n", self.peer.address);
        if let Some(url) = &self.archive_url {
            text += &format!("\n[archive]\nurl = {}\n", quoted(url));
        }
        if self.dead_after != Some(DEAD_AFTER) {
            let seconds = self.dead_after.map_or(0, |after| after.as_secs());
            text += &format!("\n[cluster]\ndead_after = \"{seconds}s\"\n");
        }
        text += &self.blobs.to_toml();
        text += &trash::written(self.trash_keep);
        text += &self.scrub.to_toml();
        text += &self.media.to_toml();
        for member in &self.members {
            text += &format!(
                "\n[[members]]\nname = {}\nid = \"{}\"\npeer_address = {}\nurl = {}\n",
                quoted(&member.name),
                member.id,
                quoted(&member.peer_address),
                quoted(&member.url)
            );
            if member.pinned {
                text += "pinned = true\n";
            }
        }
        text
    }

    fn relative(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.folder).unwrap_or(path);
        quoted(&path.to_string_lossy())
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What makes a node's name: it appears in logs, folders and certificates.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let valid = (1..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if valid {
        Ok(())
    } else {
        Err("is not 1 to 63 of a-z, 0-9 and -, a letter first")
    }
}

/// A time as people write it: a whole number of `s`, `m`, `h` or `d`; a bare 0 is no time at all.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    let count: u64 = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())??;
    count.checked_mul(seconds).map(Duration::from_secs)
}

/// The port of `host:port`.
pub(crate) fn port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    if host.is_empty() || host.contains('/') {
        return None;
    }
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(folder: &Path) -> NodeConfig {
        let member = |n: u8| MemberConfig {
            name: format!("n{n}"),
            id: NodeId([n; 32]),
            peer_address: format!("127.0.0.1:{}", 7800 + u16::from(n)),
            url: format!("http://127.0.0.1:{}", 7700 + u16::from(n)),
            pinned: n == 3,
        };
        NodeConfig {
            name: "n1".into(),
            folder: folder.to_owned(),
            http: HttpConfig {
                address: "127.0.0.1:7701".parse().unwrap(),
                tls: None,
                public_url: "http://127.0.0.1:7701".into(),
                insecure: false,
            },
            peer: PeerConfig {
                address: "127.0.0.1:7801".parse().unwrap(),
            },
            archive_url: Some("s3://bucket/prefix".into()),
            dead_after: Some(Duration::from_secs(90)),
            blobs: BlobsConfig::default(),
            trash_keep: Some(Duration::from_secs(7)),
            media: MediaConfig {
                decoders: Some("/usr/bin:/opt/bin".to_owned()),
                look_every: Duration::from_secs(5),
            },
            scrub: ScrubConfig {
                bytes_per_second: 1 << 20,
                pause: Duration::from_secs(60),
            },
            access: AccessConfig::default(),
            members: vec![member(1), member(2), member(3)],
        }
    }

    fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn load(path: &Path, overrides: &[(&str, &str)]) -> Result<NodeConfig, ConfigError> {
        NodeConfig::load_with(path, |name| {
            let found = overrides.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn sample_text() -> String {
        sample(Path::new("")).to_toml()
    }

    fn refused(text: &str, overrides: &[(&str, &str)]) -> String {
        let (_folder, path) = write(text);
        load(&path, overrides).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (folder, path) = write(&sample_text());
        assert_eq!(load(&path, &[]).unwrap(), sample(folder.path()));
    }

    #[test]
    fn tls_paths_are_relative_to_the_file() {
        let mut config = sample(Path::new("/somewhere"));
        config.http.tls = Some(TlsConfig {
            certificate: "/somewhere/identity/http.pem".into(),
            key: "/somewhere/identity/http-key.pem".into(),
        });
        let (folder, path) = write(&config.to_toml());
        let tls = load(&path, &[]).unwrap().http.tls.unwrap();
        assert_eq!(tls.certificate, folder.path().join("identity/http.pem"));
        assert_eq!(tls.key, folder.path().join("identity/http-key.pem"));
    }

    #[test]
    fn a_variable_overrides_the_file() {
        let (_folder, path) = write(&sample_text());
        let config = load(&path, &[("STARLING_HTTP_ADDRESS", "127.0.0.1:9")]).unwrap();
        assert_eq!(config.http.address.port(), 9);
        assert_eq!(config.http.public_url, "http://127.0.0.1:7701");
    }

    #[test]
    fn an_empty_variable_turns_the_archive_off() {
        let (_folder, path) = write(&sample_text());
        let archive = |value| {
            load(&path, &[("STARLING_ARCHIVE_URL", value)])
                .unwrap()
                .archive_url
        };
        assert_eq!(archive("file:///mnt/a").as_deref(), Some("file:///mnt/a"));
        assert_eq!(archive(""), None);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file() {
        let error = refused(&sample_text().replace("[peer]", "[peer]\nadress = 1"), &[]);
        assert!(
            error.contains("adress") && error.contains(FILE_NAME),
            "{error}"
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_key() {
        let error = refused(&sample_text().replace("127.0.0.1:7802", "nowhere"), &[]);
        assert!(error.contains("members[1].peer_address"), "{error}");
        let error = refused(&sample_text(), &[("STARLING_PEER_ADDRESS", "x")]);
        assert!(error.contains("variable STARLING_PEER_ADDRESS"), "{error}");
    }

    #[test]
    fn plain_http_stays_on_loopback_unless_asked_for() {
        let text =
            sample_text().replace("address = \"127.0.0.1:7701\"", "address = \"0.0.0.0:7701\"");
        let error = refused(&text, &[]);
        assert!(
            error.contains("http.address") && error.contains("--insecure-http"),
            "{error}"
        );
        let (_folder, path) = write(&text);
        assert!(load(&path, &[("STARLING_HTTP_INSECURE", "true")]).is_ok());
    }

    #[test]
    fn a_node_is_among_its_members() {
        let error = refused(
            &sample_text().replacen("name = \"n1\"", "name = \"n9\"", 1),
            &[],
        );
        assert!(error.contains("\"n9\""), "{error}");
        let error = refused(
            &sample_text().replace("name = \"n3\"", "name = \"n2\""),
            &[],
        );
        assert!(error.contains("twice"), "{error}");
    }

    #[test]
    fn a_time_after_which_a_node_is_dead_is_read() {
        let (_folder, path) = write(&sample_text());
        let dead_after = |text| load(&path, &[("STARLING_DEAD_AFTER", text)]);
        assert_eq!(dead_after("0").unwrap().dead_after, None);
        assert_eq!(dead_after("1d").unwrap().dead_after, Some(DEAD_AFTER));
        for wrong in [
            "9s",
            "",
            "h",
            "24",
            "-1h",
            "1w",
            "99999999999999999999d",
            "1µ",
        ] {
            let error = dead_after(wrong).expect_err("refused").to_string();
            assert!(error.contains("cluster.dead_after"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Path::new("nowhere/node.toml"), &[]).expect_err("refused");
        assert!(error.to_string().contains("nowhere/node.toml"));
    }
}
