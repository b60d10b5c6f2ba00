//! Who put which segment into the archive, under that node's signature.
//!
//! A segment proves itself, block by block. The manifest beside it says what the store ought to hold: with it, bytes that
//! rotted in the store are told from bytes that were wrong from the beginning, and whoever brought those has a name.
//!
//! ```text
//! signed = u8 length of label ‖ label "starling/archive/v1" ‖ ChainId ‖ Height from ‖ Height to ‖ BlockHash head
//!        ‖ Digest sha256 ‖ u64 length ‖ NodeId node
//! ```

use model::{BlockHash, ChainId, Digest, Encode as _, Height, NodeId, Signature};
use serde::{Deserialize, Serialize};

use crate::SegmentName;

const LABEL: &[u8] = b"starling/archive/v1";
const VERSION: u32 = 1;

/// Makes a node's signatures under manifests.
pub trait Signer: Send + Sync {
    /// Whose they are.
    fn node(&self) -> NodeId;

    /// The node's Ed25519 signature under these bytes.
    fn sign(&self, bytes: &[u8]) -> Signature;
}

/// What the archive ought to hold under one key, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The chain.
    pub chain: ChainId,
    /// Which blocks.
    pub name: SegmentName,
    /// The SHA-256 of the object.
    pub sha256: Digest,
    /// Its length in bytes.
    pub length: u64,
    /// Who says so.
    pub node: NodeId,
    /// Under all of it.
    pub signature: Signature,
}

/// Why a manifest is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON, or has other fields.
    #[error("the manifest is malformed: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It is of a version that is not known here.
    #[error("the manifest is of version {0}, which this version of Starling does not know")]
    Version(u32),
    /// A value is none of its kind.
    #[error("the manifest has no valid {0}")]
    Value(&'static str),
    /// The signature is not the node's.
    #[error("the manifest is not signed by the node that it names, {0}")]
    Signature(NodeId),
    /// It is about something else.
    #[error("the manifest is about another segment, or another chain")]
    Other,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    chain: String,
    from: u64,
    to: u64,
    head: String,
    sha256: String,
    length: u64,
    node: String,
    signature: String,
}

impl Manifest {
    /// Signs what is known about an object.
    pub fn sign(
        chain: ChainId,
        name: SegmentName,
        (sha256, length): (Digest, u64),
        signer: &dyn Signer,
    ) -> Self {
        let mut manifest = Self {
            chain,
            name,
            sha256,
            length,
            node: signer.node(),
            signature: Signature([0; 64]),
        };
        manifest.signature = signer.sign(&manifest.signed());
        manifest
    }

    fn signed(&self) -> Vec<u8> {
        let mut out = vec![u8::try_from(LABEL.len()).expect("the label is short")];
        out.extend_from_slice(LABEL);
        self.chain.encode(&mut out);
        self.name.from().encode(&mut out);
        self.name.to().encode(&mut out);
        self.name.head().encode(&mut out);
        self.sha256.encode(&mut out);
        self.length.encode(&mut out);
        self.node.encode(&mut out);
        out
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        let written = Written {
            version: VERSION,
            chain: self.chain.to_string(),
            from: self.name.from().0,
            to: self.name.to().0,
            head: self.name.head().to_string(),
            sha256: self.sha256.to_string(),
            length: self.length,
            node: self.node.to_string(),
            signature: hex(&self.signature.0),
        };
        let mut text = serde_json::to_string(&written).expect("it is all text and numbers");
        text.push('\n');
        text
    }

    /// Reads a manifest and checks its signature, and that it is about this segment. Whether its node may say anything is
    /// for the caller to judge: the members change with the chain.
    ///
    /// # Errors
    /// A [`ManifestError`].
    pub fn check(json: &[u8], chain: ChainId, name: SegmentName) -> Result<Self, ManifestError> {
        let written: Written = serde_json::from_slice(json)?;
        if written.version != VERSION {
            return Err(ManifestError::Version(written.version));
        }
        let head: BlockHash = parse(&written.head, "head")?;
        let manifest = Self {
            chain: parse(&written.chain, "chain")?,
            name: SegmentName::new(Height(written.from), Height(written.to), head)
                .ok_or(ManifestError::Value("range"))?,
            sha256: parse(&written.sha256, "sha256")?,
            length: written.length,
            node: parse(&written.node, "node")?,
            signature: Signature(
                unhex(&written.signature).ok_or(ManifestError::Value("signature"))?,
            ),
        };
        if (manifest.chain, manifest.name) != (chain, name) {
            return Err(ManifestError::Other);
        }
        manifest.check_signature()?;
        Ok(manifest)
    }

    fn check_signature(&self) -> Result<(), ManifestError> {
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature.0);
        ed25519_dalek::VerifyingKey::from_bytes(&self.node.0)
            .and_then(|key| key.verify_strict(&self.signed(), &signature))
            .map_err(|_| ManifestError::Signature(self.node))
    }
}

fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, ManifestError> {
    text.parse().map_err(|_| ManifestError::Value(what))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 64]> {
    let mut bytes = [0; 64];
    if text.len() != 128 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}
