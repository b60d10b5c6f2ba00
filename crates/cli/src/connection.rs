//! Which nodes to talk to, as whom, and whom to trust: the flags that every client command shares.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;

/// Where a demo keeps everything, below the user's data folder.
const DEMO_FOLDER: &str = "starling/demo";
/// The file with the administrator's token in a demo's folder.
pub(crate) const TOKEN_FILE: &str = "token";

/// How to reach the cluster.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Connection {
    /// A node's address; several, separated by commas, are tried in turn
    #[arg(
        long = "url",
        env = "STARLING_URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7700",
        value_parser = parse_url,
        help_heading = "Connection"
    )]
    pub(crate) urls: Vec<Url>,

    /// The token to sign in with
    ///
    /// If neither this nor --token-file is given and the url is a loopback address, the token of the demo in the
    /// default folder is used.
    #[arg(
        long,
        env = "STARLING_TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file",
        help_heading = "Connection"
    )]
    pub(crate) token: Option<String>,

    /// A file that holds the token
    #[arg(
        long,
        env = "STARLING_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) token_file: Option<PathBuf>,

    /// The library to speak about, instead of the token's own
    #[arg(
        long,
        env = "STARLING_LIBRARY",
        value_name = "ID",
        help_heading = "Connection"
    )]
    pub(crate) library: Option<String>,

    /// The certificate authority to trust instead of the system's, in PEM
    #[arg(
        long,
        env = "STARLING_CA",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) ca: Option<PathBuf>,
}

/// Why the flags do not add up to a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// A file that was named cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The token cannot stand in a header.
    #[error("the token holds characters that no token has")]
    Token,
    /// The certificate authority cannot be used, or the system has none.
    #[error("preparing TLS")]
    Tls(#[source] reqwest::Error),
}

impl Connection {
    /// The token to send, if any.
    pub(crate) fn bearer(&self) -> Result<Option<String>, ConnectionError> {
        if let Some(token) = &self.token {
            return Ok(Some(token.trim().to_owned()));
        }
        if let Some(path) = &self.token_file {
            return read_token(path).map(Some);
        }
        if !self.urls.iter().all(is_loopback) {
            return Ok(None);
        }
        let demo = demo_folder().map(|folder| folder.join(TOKEN_FILE));
        Ok(demo.and_then(|path| read_token(&path).ok()))
    }
}

/// Where `starling demo` keeps its nodes unless it is told otherwise; nothing without a home.
pub(crate) fn demo_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = set("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    data.map(|folder| folder.join(DEMO_FOLDER))
}

/// Whether only this machine is meant.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

pub(crate) fn read_token(path: &Path) -> Result<String, ConnectionError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConnectionError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim().to_owned())
}

/// Accepts what people type for a node: scheme, host and port.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|error| format!("{error}; an address is written http://host:port"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("an address is written http://host:port or https://host:port".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_rest() {
        let loopback = |text| is_loopback(&parse_url(text).unwrap());
        assert!(loopback("http://127.0.0.1:7700"));
        assert!(loopback("http://[::1]:7700"));
        assert!(loopback("http://localhost:7700"));
        assert!(!loopback("http://10.0.0.1:7700"));
        assert!(!loopback("https://127.0.0.1.example.org"));
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        assert!(parse_url("127.0.0.1:7700").is_err());
        assert!(parse_url("ftp://nas").is_err());
        assert!(parse_url("nas:7700").is_err());
    }
}
