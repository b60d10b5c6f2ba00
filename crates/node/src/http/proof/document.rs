//! What proofs say, for people and for programs that do not check them. Each holds the bytes that can be checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalogue::time::format_timestamp;
use model::codec::Encode;
use model::receipt::{Change, Opening, Step};
use model::{Certificate, Checkpoint, Consistency, Header, Height, Receipt};
use serde::Serialize;
use utoipa::ToSchema;

/// Proof that a command stands in the chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Receipt)]
pub(crate) struct ReceiptDocument {
    /// The chain's name.
    chain_id: String,
    /// Where it begins: good for who trusts this block, or a later one up to the command's.
    anchor: Mark,
    /// The blocks that changed the voters, from there on and below the command's block.
    changes: Vec<ProvenBlock>,
    /// The command's block.
    block: ProvenBlock,
    /// Its length in bytes.
    size: usize,
    /// The receipt itself, in base64.
    #[schema(content_encoding = "base64")]
    receipt: String,
}

/// A block by its name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlockMark)]
pub(crate) struct Mark {
    /// Its height.
    height: u64,
    /// Its hash.
    hash: String,
}

/// A header, the signatures under it, and one command of its block.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProvenBlock {
    /// Its height.
    height: u64,
    /// SHA-256 of its header.
    hash: String,
    /// The hash of the block before it; null for genesis.
    parent: Option<String>,
    /// The hash of the membership that decided it.
    membership: String,
    /// Its time, RFC 3339 in UTC.
    #[schema(format = "date-time")]
    time: String,
    /// Root of the Merkle tree over its commands (RFC 9162).
    merkle_root: String,
    /// How many commands it holds.
    commands: u32,
    /// The signatures of the voters; none under genesis.
    signatures: Vec<Signature>,
    /// The command that is proven to stand in it.
    command: ProvenCommand,
}

/// A voter's Ed25519 signature.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlacedSignature)]
pub(crate) struct Signature {
    /// The voter's place in the ring, from 0.
    voter: u32,
    /// The signature, in hexadecimal digits.
    signature: String,
}

/// A command with what ties it to its block.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProvenCommand {
    /// Its place, from 0.
    index: u32,
    /// What kind of change; null if it is not one.
    #[schema(example = "addFile")]
    kind: Option<&'static str>,
    /// The library; null if it is not a command.
    library: Option<String>,
    /// The token that acted; null if it is not a command.
    actor: Option<String>,
    /// Its leaf of the Merkle tree: SHA-256 of 0x00, salt and bytes.
    leaf: String,
    /// What hides it once it is erased, in hexadecimal digits.
    salt: String,
    /// The subtrees beside the way up, lowest first (RFC 9162, section 2.1.3).
    path: Vec<String>,
    /// Its bytes, in base64.
    #[schema(content_encoding = "base64")]
    bytes: String,
}

/// A block to trust.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Checkpoint)]
pub(crate) struct CheckpointDocument {
    /// The chain's name.
    chain_id: String,
    /// The block's height.
    height: u64,
    /// The block's hash.
    hash: String,
    /// The height of the block that made its voters.
    epoch: u64,
    /// Who decided it, in ring order.
    voters: Vec<Voter>,
    /// The checkpoint itself, in base64.
    #[schema(content_encoding = "base64")]
    checkpoint: String,
}

/// A voter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Voter {
    /// Its name.
    name: String,
    /// Its id: its Ed25519 public key.
    node: String,
}

/// Proof that history was only appended to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Consistency)]
pub(crate) struct ConsistencyDocument {
    /// The chain's name.
    chain_id: String,
    /// The block it begins at, which its reader trusts.
    from: Mark,
    /// The block it leads to.
    to: Mark,
    /// Where to go on from; null if this leads all the way.
    next: Option<u64>,
    /// The heights of the blocks that changed the voters.
    changes: Vec<u64>,
    /// The proof itself, in base64.
    #[schema(content_encoding = "base64")]
    proof: String,
}

impl ReceiptDocument {
    pub(super) fn of(receipt: &Receipt) -> Self {
        let bytes = receipt.to_bytes();
        let changes = receipt.links.iter().map(|link| {
            let Change {
                certificate,
                opening,
            } = &link.change;
            ProvenBlock::of(&link.header, Some(certificate), opening)
        });
        let (header, opening) = (&receipt.header, &receipt.opening);
        Self {
            chain_id: header.chain.to_string(),
            anchor: Mark {
                height: receipt.anchor.height.0,
                hash: receipt.anchor.hash.to_string(),
            },
            changes: changes.collect(),
            block: ProvenBlock::of(header, receipt.certificate.as_ref(), opening),
            size: bytes.len(),
            receipt: STANDARD.encode(bytes),
        }
    }
}

impl Mark {
    fn of(header: &Header) -> Self {
        Self {
            height: header.height.0,
            hash: header.hash().to_string(),
        }
    }
}

impl ProvenBlock {
    fn of(header: &Header, certificate: Option<&Certificate>, opening: &Opening) -> Self {
        Self {
            height: header.height.0,
            hash: header.hash().to_string(),
            parent: header.parent.map(|parent| parent.to_string()),
            membership: header.membership.to_string(),
            time: format_timestamp(header.time),
            merkle_root: header.root.to_string(),
            commands: header.commands,
            signatures: certificate.map(signatures).unwrap_or_default(),
            command: ProvenCommand::of(opening),
        }
    }
}

fn signatures(certificate: &Certificate) -> Vec<Signature> {
    let voters = (0..u16::BITS).filter(|place| certificate.voters & 1 << place != 0);
    let signed = voters.zip(&certificate.signatures);
    signed
        .map(|(voter, signature)| Signature {
            voter,
            signature: hex(&signature.0),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ProvenCommand {
    fn of(opening: &Opening) -> Self {
        let sealed = &opening.command;
        let command = sealed.open().ok();
        let command = command.as_ref();
        Self {
            index: opening.index,
            kind: command.map(|command| command.payload.kind()),
            library: command.map(|command| command.library.to_string()),
            actor: command.map(|command| command.actor.to_string()),
            leaf: sealed.leaf().to_string(),
            salt: hex(sealed.salt()),
            path: opening.path.iter().map(ToString::to_string).collect(),
            bytes: STANDARD.encode(sealed.bytes()),
        }
    }
}

impl CheckpointDocument {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        let voters = checkpoint.voters.voters().iter().map(|member| Voter {
            name: member.name.clone(),
            node: member.id.to_string(),
        });
        Self {
            chain_id: checkpoint.chain.to_string(),
            height: checkpoint.height.0,
            hash: checkpoint.hash.to_string(),
            epoch: checkpoint.epoch.0,
            voters: voters.collect(),
            checkpoint: STANDARD.encode(checkpoint.to_bytes()),
        }
    }
}

impl ConsistencyDocument {
    pub(super) fn of(proof: &Consistency, wanted: Height) -> Self {
        let reached = proof.height();
        let last = proof.steps.last().map_or(&proof.base, |step| &step.header);
        let changed = |step: &Step| Some(step.change.as_ref()?.certificate.height.0);
        Self {
            chain_id: proof.base.chain.to_string(),
            from: Mark::of(&proof.base),
            to: Mark::of(last),
            next: (reached < wanted).then_some(reached.0),
            changes: proof.steps.iter().filter_map(changed).collect(),
            proof: STANDARD.encode(proof.to_bytes()),
        }
    }
}
