//! Messages coming in from one peer.

use std::error::Error as _;

use consensus::Message;
use model::{ChainId, NodeId};
use tonic::{Code, Status, Streaming};

use super::generated::Frame;
use super::wire::{self, Refusal};

/// Takes every message with its sender.
pub(super) type Inbound = dyn Fn(NodeId, Message) + Send + Sync;

/// Why a stream of messages ended before its sender ended it.
pub(super) enum Interruption {
    /// Something in it must not be believed.
    Refused(Refusal),
    /// The connection broke.
    Broken(Status),
}

impl From<Refusal> for Interruption {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Hands on every message until the stream ends. Those before one that is refused have been handed on. A message of a
/// kind that is not known is passed over: it comes from a newer program, in an upgrade of one node after the other, and
/// whoever sends it has to live with nodes that do not know it.
pub(super) async fn receive(
    mut frames: Streaming<Frame>,
    chain: ChainId,
    from: NodeId,
    inbound: &Inbound,
    passed_over: &(dyn Fn(&Refusal) + Send + Sync),
) -> Result<(), Interruption> {
    while let Some(frame) = frames.message().await.map_err(interruption)? {
        for message in wire::messages(chain, &frame)? {
            match message {
                Err(newer @ Refusal::UnknownMessage(_)) => passed_over(&newer),
                message => inbound(from, message?),
            }
        }
    }
    Ok(())
}

/// A frame that is too large or is no protobuf shows as a status that tonic made itself, without a cause.
fn interruption(status: Status) -> Interruption {
    let malformed = matches!(status.code(), Code::OutOfRange | Code::Internal);
    if malformed && status.source().is_none() {
        Interruption::Refused(Refusal::Frame(status.message().to_owned()))
    } else {
        Interruption::Broken(status)
    }
}
