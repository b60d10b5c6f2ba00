//! Decided blocks in bulk: given to whoever is known, and asked of others by a node whose own are damaged.
//!
//! Nothing depends on the engine here: a node that mends its ledger before it starts asks the same way as one that
//! serves. Who answers is not believed; blocks prove themselves, and who gave one that does not is not asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use ledger::Reader;
use model::{Block, Certificate, ChainId, Decided, Decode as _, Encode as _, Height, NodeId};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::client::Dialer;
use super::directory::Acquaintance;
use super::generated::peer_client::PeerClient;
use super::generated::{BlocksRequest, DecidedBlock};
use super::storage::{Denied, blocking};
use super::wire;
use crate::identity::Identity;

/// One answer ends behind the block with which it comes to this many bytes, or to so many blocks.
const ANSWER_BYTES: usize = 8 << 20;
const ANSWER_BLOCKS: u64 = 512;
/// How long one node may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Blocks on their way to a peer.
pub(super) type Blocks = Pin<Box<dyn Stream<Item = Result<DecidedBlock, Status>> + Send>>;

/// What this node gives.
pub(super) struct History {
    pub(super) chain: ChainId,
    pub(super) reader: Option<Reader>,
}

impl History {
    /// The blocks that are asked for, as far as they go into one answer.
    pub(super) fn give(&self, request: &BlocksRequest) -> Result<Blocks, Denied> {
        wire::check_chain(self.chain, &request.chain_id)?;
        let reader = self.reader.clone();
        let reader = reader.ok_or_else(|| Status::unavailable("this node has no ledger open"))?;
        let last = request.from_height.saturating_add(ANSWER_BLOCKS - 1);
        let answer = Answer {
            reader,
            next: Height(request.from_height.max(1)),
            last: Height(request.to_height.min(last)),
            bytes: 0,
        };
        Ok(stream::try_unfold(answer, Answer::next).boxed())
    }
}

struct Answer {
    reader: Reader,
    next: Height,
    last: Height,
    bytes: usize,
}

impl Answer {
    async fn next(self) -> Result<Option<(DecidedBlock, Self)>, Status> {
        if self.next > self.last || self.bytes >= ANSWER_BYTES {
            return Ok(None);
        }
        blocking(move || self.read()).await?
    }

    fn read(mut self) -> Result<Option<(DecidedBlock, Self)>, Status> {
        let read = self.reader.block(self.next);
        let Some(decided) = read.map_err(|error| Status::data_loss(error.to_string()))? else {
            return Ok(None);
        };
        let Some(certificate) = decided.certificate else {
            return Ok(None);
        };
        let (block, certificate) = (decided.block.to_bytes(), certificate.to_bytes());
        self.bytes += block.len() + certificate.len();
        self.next = self.next.next();
        let answer = DecidedBlock {
            block: block.into(),
            certificate: certificate.into(),
        };
        Ok(Some((answer, self)))
    }
}

/// Asks other nodes for decided blocks, one after the other. For threads that may block.
pub(crate) struct Inquiry {
    identity: Identity,
    runtime: Handle,
    /// Ends every wait.
    closing: CancellationToken,
    whom: Vec<Acquaintance>,
    calls: BTreeMap<NodeId, PeerClient<Channel>>,
    /// Who gave something that proves nothing, and is not asked again.
    liars: BTreeSet<NodeId>,
    /// Who answered last.
    last: Option<NodeId>,
}

/// An answer.
struct Said {
    client: PeerClient<Channel>,
    blocks: Vec<Decided>,
    /// Whether that is all there is.
    is_all: bool,
}

impl Inquiry {
    /// To be answered by these nodes, on this runtime. Nobody is waited for once it is `closing`.
    pub(crate) fn new(
        identity: Identity,
        runtime: Handle,
        closing: CancellationToken,
        whom: Vec<Acquaintance>,
    ) -> Self {
        let me = identity.node();
        Self {
            identity,
            runtime,
            closing,
            whom: whom.into_iter().filter(|who| who.id != me).collect(),
            calls: BTreeMap::new(),
            liars: BTreeSet::new(),
            last: None,
        }
    }

    /// Whether there is anybody to ask.
    pub(crate) fn knows_anybody(&self) -> bool {
        self.whom.iter().any(|who| !self.liars.contains(&who.id))
    }

    /// The name of the node that answered last.
    pub(crate) fn source(&self) -> Option<&str> {
        let last = self.whom.iter().find(|who| Some(who.id) == self.last);
        last.map(|who| who.name.as_str())
    }

    async fn ask(&self, who: &Acquaintance, from: Height, to: Height) -> Result<Said, String> {
        let mut client = match self.calls.get(&who.id) {
            Some(client) => client.clone(),
            None => self.call(who).await?,
        };
        let request = BlocksRequest {
            chain_id: wire::chain_bytes(self.identity.chain()),
            from_height: from.0,
            to_height: to.0,
        };
        let answer = client.get_blocks(request).await;
        let mut answer = answer
            .map_err(|status| status.message().to_owned())?
            .into_inner();
        let (mut blocks, mut bytes, mut is_all) = (Vec::new(), 0, false);
        while bytes < ANSWER_BYTES {
            let next = match answer.message().await {
                Ok(Some(next)) => next,
                Ok(None) => {
                    is_all = (blocks.len() as u64) < ANSWER_BLOCKS;
                    break;
                }
                // What came before an answer broke is as good as the rest.
                Err(_) => break,
            };
            bytes += next.block.len() + next.certificate.len();
            let decided = decided(&next).ok_or("a block is malformed")?;
            blocks.push(decided);
        }
        Ok(Said {
            client,
            blocks,
            is_all,
        })
    }

    /// Up to which height a node has decided blocks, of a chain that is known up to `top`. Nothing if it does not answer, or
    /// has more than it gives at once.
    pub(crate) fn tip_of(&mut self, node: NodeId, top: Height) -> Option<Height> {
        let who = self.whom.iter().find(|who| who.id == node)?.clone();
        let said = self.wait_for(&who, top.next(), Height(u64::MAX))?;
        let Ok(said) = said else {
            self.calls.remove(&node);
            return None;
        };
        self.calls.insert(node, said.client);
        let last = said.blocks.last().map(|decided| decided.block.height());
        said.is_all.then(|| last.unwrap_or(top))
    }

    /// What a node says in time; nothing if it is closing.
    fn wait_for(
        &self,
        who: &Acquaintance,
        from: Height,
        to: Height,
    ) -> Option<Result<Said, String>> {
        // The clock of a timeout is the runtime's, so it is made there.
        let answer = self.closing.run_until_cancelled(async {
            let ask = self.ask(who, from, to);
            tokio::time::timeout(ANSWER_TIMEOUT, ask).await
        });
        let answer = self.runtime.block_on(answer)?;
        Some(answer.unwrap_or_else(|_| Err("it took too long".to_owned())))
    }

    async fn call(&self, who: &Acquaintance) -> Result<PeerClient<Channel>, String> {
        let address = who.address.as_deref().ok_or("its address is not known")?;
        let tls = self.identity.client_config(who.id);
        let tls = tls.map_err(|error| error.to_string())?;
        let channel = Dialer::new(address, tls).connect().await;
        let channel = channel.map_err(|error| super::chain_of_causes(&error))?;
        Ok(PeerClient::new(channel).max_decoding_message_size(wire::FRAME_BYTES_MAX))
    }
}

fn decided(answer: &DecidedBlock) -> Option<Decided> {
    Some(Decided {
        block: Block::from_bytes(&answer.block).ok()?.into(),
        certificate: Some(Certificate::from_bytes(&answer.certificate).ok()?),
    })
}

impl ledger::Supply for Inquiry {
    fn blocks(&mut self, from: Height, to: Height) -> Vec<Decided> {
        let mut whom = self.whom.clone();
        // Who answered last goes first.
        whom.sort_by_key(|who| Some(who.id) != self.last);
        for who in whom.into_iter().filter(|who| !self.liars.contains(&who.id)) {
            let Some(answer) = self.wait_for(&who, from, to) else {
                break;
            };
            match answer {
                Ok(said) if !said.blocks.is_empty() => {
                    self.calls.insert(who.id, said.client);
                    self.last = Some(who.id);
                    return said.blocks;
                }
                Ok(_) => {}
                Err(error) => {
                    self.calls.remove(&who.id);
                    tracing::info!(peer = who.name, error, "asking for decided blocks");
                }
            }
        }
        Vec::new()
    }

    fn refuse(&mut self, height: Height, what: &str) {
        let peer = self.source().unwrap_or_default().to_owned();
        tracing::warn!(peer, %height, what, "a block from a peer proves nothing");
        self.liars.extend(self.last.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{NodeKey, create_ca};
    use crate::peer::Standing;
    use ledger::Supply as _;
    use tokio::net::TcpListener;

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_is_waited_for_once_it_is_closing() {
        let ca = create_ca(ChainId([7; 16])).unwrap();
        let identity = |name: &str| {
            let issued = ca.issue_identity(NodeKey::generate().unwrap(), name);
            issued.unwrap()
        };
        // Both take the connection and say nothing.
        let mut silent = Vec::new();
        let mut whom = Vec::new();
        for name in ["n2", "n3"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            whom.push(Acquaintance {
                id: identity(name).node(),
                name: name.to_owned(),
                address: Some(listener.local_addr().unwrap().to_string()),
                pinned: false,
                standing: Standing::Member,
            });
            silent.push(listener);
        }
        let closing = CancellationToken::new();
        let runtime = Handle::current();
        let mut inquiry = Inquiry::new(identity("n1"), runtime, closing.clone(), whom);
        let asking = std::thread::spawn(move || inquiry.blocks(Height(1), Height(2)).len());
        let _first = silent[0].accept().await.unwrap();
        closing.cancel();
        assert_eq!(asking.join().unwrap(), 0);
        let second = tokio::time::timeout(Duration::ZERO, silent[1].accept()).await;
        assert!(second.is_err(), "the second is not asked any more");
    }
}
