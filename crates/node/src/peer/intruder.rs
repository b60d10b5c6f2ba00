//! A member that says what it likes, for tests: a client with a member's own certificate and no node behind it.

use bytes::Bytes;
use consensus::Message;
use futures::stream;
use model::{Encode as _, NodeId};

use super::client::Dialer;
use super::generated::Frame;
use super::generated::peer_client::PeerClient;
use crate::identity::Identity;

/// A client of the node `to` at `address`, with the certificate of `identity`.
pub(crate) async fn connect(
    identity: &Identity,
    to: NodeId,
    address: &str,
) -> PeerClient<tonic::transport::Channel> {
    let tls = identity.client_config(to).unwrap();
    PeerClient::new(Dialer::new(address, tls).connect().await.unwrap())
}

/// Says `messages` to the node `to`, in one session.
pub(crate) async fn say(identity: &Identity, to: NodeId, address: &str, messages: &[Message]) {
    let frame = Frame {
        chain_id: Bytes::copy_from_slice(&identity.chain().0),
        messages: messages.iter().map(|one| one.to_bytes().into()).collect(),
    };
    let mut client = connect(identity, to, address).await;
    client.deliver(stream::iter([frame])).await.unwrap();
}
