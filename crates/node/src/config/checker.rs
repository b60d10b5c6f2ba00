//! From what is written, in the file and in the environment, to what is meant. Everything that can be wrong with one value
//! is found here, and named by its key.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::limits;

use super::written::{Written, WrittenCluster, WrittenHttp, WrittenMember, WrittenTls};
use super::{
    AccessConfig, ConfigError, DEAD_AFTER, HttpConfig, MemberConfig, NodeConfig, Origin,
    PeerConfig, TlsConfig, check_name, duration, media, port, scrub, trash,
};

/// A shorter time would take a slow restart for a death.
const DEAD_AFTER_MIN: Duration = Duration::from_secs(10);
/// Entries of the address book.
const MEMBERS_MAX: usize = limits::VOTERS_MAX + limits::LEARNERS_MAX;

/// A value and where it comes from, so that an error can say so.
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

impl<T> Sourced<T> {
    pub(super) fn wrong(&self, key: &str, detail: impl fmt::Display) -> ConfigError {
        ConfigError::Value {
            origin: self.origin.clone(),
            key: key.to_owned(),
            detail: detail.to_string(),
        }
    }
}

/// Turns what is written into what is meant.
pub(super) struct Checker<'a, F> {
    pub(super) path: &'a Path,
    pub(super) overrides: F,
}

impl<F: Fn(&str) -> Option<String>> Checker<'_, F> {
    pub(super) fn check(&self, written: Written) -> Result<NodeConfig, ConfigError> {
        let base = self.path.parent().unwrap_or(Path::new(""));
        let name = self.text("STARLING_NAME", written.name).value;
        let folder = self
            .variable("STARLING_FOLDER")
            .map(PathBuf::from)
            .or_else(|| written.folder.map(|folder| base.join(folder)))
            .unwrap_or_else(|| base.to_owned());
        let members = written
            .members
            .into_iter()
            .enumerate()
            .map(|(at, member)| self.member(at, member))
            .collect::<Result<Vec<_>, _>>()?;
        self.check_members(&name, &members)?;
        Ok(NodeConfig {
            http: self.http(base, written.http)?,
            peer: PeerConfig {
                address: address(
                    "peer.address",
                    &self.text("STARLING_PEER_ADDRESS", written.peer.address),
                )?,
            },
            archive_url: self
                .variable("STARLING_ARCHIVE_URL")
                .or_else(|| written.archive.map(|archive| archive.url))
                .filter(|url| !url.is_empty()),
            dead_after: self.dead_after(written.cluster)?,
            blobs: self.blobs(written.blobs)?,
            trash_keep: trash::read(self, written.trash)?,
            scrub: scrub::read(self, written.scrub)?,
            media: media::read(self, written.media)?,
            access: AccessConfig::default(),
            name,
            folder,
            members,
        })
    }

    fn dead_after(&self, written: WrittenCluster) -> Result<Option<Duration>, ConfigError> {
        let in_file = written.dead_after.map(|text| self.in_file(text));
        let variable = self.variable("STARLING_DEAD_AFTER").map(|value| Sourced {
            value,
            origin: Origin::Variable("STARLING_DEAD_AFTER"),
        });
        let Some(text) = variable.or(in_file) else {
            return Ok(Some(DEAD_AFTER));
        };
        match duration(&text.value) {
            Some(Duration::ZERO) => Ok(None),
            Some(after) if after >= DEAD_AFTER_MIN => Ok(Some(after)),
            _ => Err(text.wrong(
                "cluster.dead_after",
                format_args!(
                    "is {:?}, neither 0 (never) nor a time of 10s or more, such as 90s, 30m, 24h or 7d",
                    text.value
                ),
            )),
        }
    }

    fn http(&self, base: &Path, written: WrittenHttp) -> Result<HttpConfig, ConfigError> {
        let listen = self.text("STARLING_HTTP_ADDRESS", written.address);
        let address = address("http.address", &listen)?;
        let tls = self.tls(base, written.tls)?;
        let insecure = self.switch("STARLING_HTTP_INSECURE", written.insecure)?;
        if !address.ip().is_loopback() && tls.is_none() && !insecure {
            return Err(listen.wrong(
                "http.address",
                format_args!(
                    "is {address}, which others can reach: it needs http.tls, or `--insecure-http` if something \
                     in front of it encrypts"
                ),
            ));
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = written
            .url
            .unwrap_or_else(|| format!("{scheme}://{address}"));
        let url = self.text("STARLING_HTTP_URL", url);
        Ok(HttpConfig {
            address,
            tls,
            public_url: web_address("http.url", &url)?,
            insecure,
        })
    }

    fn tls(
        &self,
        base: &Path,
        written: Option<WrittenTls>,
    ) -> Result<Option<TlsConfig>, ConfigError> {
        let (certificate, key) = written.map_or((None, None), |tls| {
            (Some(base.join(tls.certificate)), Some(base.join(tls.key)))
        });
        let certificate = self
            .variable("STARLING_HTTP_TLS_CERTIFICATE")
            .map(PathBuf::from)
            .or(certificate);
        let key = self
            .variable("STARLING_HTTP_TLS_KEY")
            .map(PathBuf::from)
            .or(key);
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsConfig { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.wrong("http.tls.key", "is missing")),
            (None, Some(_)) => Err(self.wrong("http.tls.certificate", "is missing")),
        }
    }

    fn member(&self, at: usize, written: WrittenMember) -> Result<MemberConfig, ConfigError> {
        let key = |field: &str| format!("members[{at}].{field}");
        check_name(&written.name).map_err(|detail| self.wrong(&key("name"), detail))?;
        let id = written
            .id
            .parse()
            .map_err(|error| self.wrong(&key("id"), format_args!("cannot be read: {error}")))?;
        if port(&written.peer_address).is_none() {
            let detail = format!("is {:?}, not host:port", written.peer_address);
            return Err(self.wrong(&key("peer_address"), detail));
        }
        Ok(MemberConfig {
            name: written.name,
            id,
            peer_address: written.peer_address,
            url: web_address(&key("url"), &self.in_file(written.url))?,
            pinned: written.pinned,
        })
    }

    fn check_members(&self, name: &str, members: &[MemberConfig]) -> Result<(), ConfigError> {
        if members.len() > MEMBERS_MAX {
            let detail = format!("are more than {MEMBERS_MAX}");
            return Err(self.wrong("members", detail));
        }
        for (at, one) in members.iter().enumerate() {
            let mut rest = members.iter().skip(at + 1);
            if rest.any(|other| other.name == one.name || other.id == one.id) {
                return Err(self.wrong("members", format_args!("name {} twice", one.name)));
            }
        }
        if members.iter().any(|member| member.name == name) {
            Ok(())
        } else {
            Err(self.wrong(
                "name",
                format_args!("is {name:?}, which is not among the members"),
            ))
        }
    }

    pub(super) fn variable(&self, name: &'static str) -> Option<String> {
        (self.overrides)(name)
    }

    pub(super) fn text(&self, name: &'static str, written: String) -> Sourced<String> {
        match self.variable(name) {
            Some(value) => Sourced {
                value,
                origin: Origin::Variable(name),
            },
            None => self.in_file(written),
        }
    }

    fn switch(&self, name: &'static str, written: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.variable(name) else {
            return Ok(written);
        };
        value.parse().map_err(|_| ConfigError::Value {
            origin: Origin::Variable(name),
            key: "http.insecure".to_owned(),
            detail: format!("is {value:?}, neither true nor false"),
        })
    }

    pub(super) fn in_file<T>(&self, value: T) -> Sourced<T> {
        Sourced {
            value,
            origin: Origin::File(self.path.to_owned()),
        }
    }

    pub(super) fn wrong(&self, key: &str, detail: impl fmt::Display) -> ConfigError {
        self.in_file(()).wrong(key, detail)
    }
}

fn address(key: &str, text: &Sourced<String>) -> Result<SocketAddr, ConfigError> {
    text.value.parse().map_err(|_| {
        text.wrong(
            key,
            format_args!("is {:?}, not an IP address and port", text.value),
        )
    })
}

fn web_address(key: &str, text: &Sourced<String>) -> Result<String, ConfigError> {
    let url = text.value.trim_end_matches('/');
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => {
            Ok(url.to_owned())
        }
        _ => Err(text.wrong(
            key,
            format_args!("is {:?}, not http:// or https:// and a host", text.value),
        )),
    }
}
