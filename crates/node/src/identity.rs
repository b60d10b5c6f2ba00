//! Who this node is, and how it proves it.
//!
//! A node *is* its Ed25519 key: the membership in the ledger names public keys, and nothing else decides who counts.
//! TLS needs a certificate around the key, so there is one, issued by the cluster's authority; it serves people who
//! look at a connection. Between peers neither the authority, nor the names, nor the dates in a certificate are asked
//! (a machine without a clock battery may start in 1970): see `tls`.
//!
//! ```text
//! identity/key.pem          Ed25519, PKCS#8, mode 0600; never leaves this folder
//! identity/certificate.pem  the same key in a certificate
//! identity/ca.pem           the authority's certificate, which HTTPS clients trust
//! identity/chain            the chain's id in hexadecimal
//! ```
//!
//! The chain id lies here, and not only in the ledger, so that a node whose ledger was lost or swapped notices.

mod authority;
mod key;
pub(crate) mod tls;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use model::{ChainId, NodeId};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

pub use self::authority::{Ca, HttpsCertificate, IssueError, create_ca};
pub use self::key::{KeyError, NodeKey};

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const AUTHORITY: &str = "ca.pem";
const CHAIN: &str = "chain";

/// Why an identity could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or cannot be read.
    #[error("reading {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no key in the file.
    #[error("{path} holds no Ed25519 key")]
    Key {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// There is no certificate in the file.
    #[error("{path} holds no certificate")]
    Certificate {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// Files of two nodes were mixed up.
    #[error("{path} is a certificate for another key than this node's")]
    ForeignCertificate {
        /// Which.
        path: PathBuf,
    },
    /// The chain id cannot be read.
    #[error("{path} holds no chain id")]
    Chain {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: model::id::ParseIdError,
    },
}

/// Why an identity could not be saved.
#[derive(Debug, thiserror::Error)]
#[error("writing {path}")]
pub struct SaveError {
    path: PathBuf,
    source: io::Error,
}

/// A node's key with everything that goes with it.
#[derive(Debug, Clone)]
pub struct Identity {
    chain: ChainId,
    key: NodeKey,
    certificate_pem: String,
    ca_pem: String,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// Reads what [`Identity::save`] wrote.
    ///
    /// # Errors
    /// If a file is missing, is not what it should be, or belongs to another node.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join(KEY);
        let key =
            NodeKey::from_pem(&read(&path)?).map_err(|source| LoadError::Key { path, source })?;

        let path = folder.join(CERTIFICATE);
        let certificate_pem = read(&path)?;
        let certificate = parse_certificate(&certificate_pem, &path)?;
        if tls::node_of(&certificate) != Some(key.node()) {
            return Err(LoadError::ForeignCertificate { path });
        }

        let path = folder.join(AUTHORITY);
        let ca_pem = read(&path)?;
        parse_certificate(&ca_pem, &path)?;

        let path = folder.join(CHAIN);
        let chain = read(&path)?
            .trim_end()
            .parse()
            .map_err(|source| LoadError::Chain { path, source })?;
        Ok(Self {
            chain,
            key,
            certificate_pem,
            ca_pem,
            certificate,
        })
    }

    /// Writes the identity into `folder`, which is made if missing, and flushes it. An identity that is already
    /// there is never overwritten.
    ///
    /// # Errors
    /// If a file exists or cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), SaveError> {
        let error = |source| SaveError {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(error)?;
        let chain = format!("{}\n", self.chain);
        for (name, text, mode) in [
            (KEY, self.key.to_pem().as_str(), 0o600),
            (CERTIFICATE, &self.certificate_pem, 0o644),
            (AUTHORITY, &self.ca_pem, 0o644),
            (CHAIN, &chain, 0o644),
        ] {
            let path = folder.join(name);
            write(&path, text, mode).map_err(|source| SaveError { path, source })?;
        }
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(error)
    }

    /// The chain the node belongs to.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// The public key.
    pub fn node(&self) -> NodeId {
        self.key.node()
    }

    /// The private key.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    /// The certificate of the cluster's authority, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    fs::read_to_string(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })
}

fn parse_certificate(pem: &str, path: &Path) -> Result<CertificateDer<'static>, LoadError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|source| LoadError::Certificate {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
