//! A node's private key.

use std::fmt;

use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use model::{Ed25519, NodeId, Signature};
use rcgen::KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

/// What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why text is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or not of a private key.
    #[error("no private key in PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// A private key of another kind.
    #[error("the private key is not Ed25519 in PKCS#8")]
    Kind(#[source] ed25519_dalek::pkcs8::Error),
}

/// An Ed25519 private key.
#[derive(Clone)]
pub struct NodeKey {
    seed: [u8; 32],
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey of {:?}", self.node())
    }
}

impl NodeKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self { seed })
    }

    pub(super) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(KeyError::Pem)?;
        let key = SigningKey::from_pkcs8_der(der.secret_pkcs8_der()).map_err(KeyError::Kind)?;
        Ok(Self {
            seed: key.to_bytes(),
        })
    }

    pub(super) fn to_pem(&self) -> String {
        self.pair().serialize_pem()
    }

    /// The public key.
    pub fn node(&self) -> NodeId {
        self.signatures().node()
    }

    /// Makes the node's signatures.
    pub fn signatures(&self) -> Ed25519 {
        Ed25519::new(&self.seed)
    }

    /// The node's signature under bytes that begin with a label of their own. What members sign about blocks is made by
    /// [`NodeKey::signatures`].
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(SigningKey::from_bytes(&self.seed).sign(bytes).to_bytes())
    }

    pub(super) fn pkcs8(&self) -> PrivatePkcs8KeyDer<'static> {
        let der = [PKCS8_PREFIX.as_slice(), &self.seed].concat();
        PrivatePkcs8KeyDer::from(der)
    }

    pub(super) fn pair(&self) -> KeyPair {
        KeyPair::try_from(&self.pkcs8()).expect("an Ed25519 key in PKCS#8 is well formed")
    }
}
