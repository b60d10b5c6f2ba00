//! Joining: what a node asks that holds an invite and is in no roster yet, and who answers.
//!
//! The caller knows the members' keys from its invite, so it is sure whom it tells the secret. What is asked goes to
//! whoever reads the other end of [`JoinCall`]s: whether an invite is good is no question of links.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Addresses, ChainId, Height, NodeId, TokenId};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::client::Dialer;
use super::generated::joining_client::JoiningClient;
use super::generated::joining_server::Joining;
use super::generated::{Admission, Beginning, Invited, Wish};
use super::refusals::Refusals;
use super::server::caller;
use super::wire;
use crate::identity::Identity;

/// A question takes at most this.
pub(super) const QUESTION_BYTES_MAX: usize = 16 << 10;
/// Questions that wait for an answer.
pub(crate) const WAITING_MAX: usize = 16;
/// An answer is given by then, or it is that there is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a newcomer shows.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The chain it wants to join.
    pub chain: ChainId,
    /// The invite's public half.
    pub invite: TokenId,
    /// Its secret half.
    pub secret: String,
}

/// Why a newcomer is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// The invite is not good.
    #[error("the invite is not known to the cluster or has expired; ask for a new one")]
    Unknown,
    /// Somebody else was admitted with it.
    #[error("the invite was used for another node; ask for a new one")]
    Used,
    /// It is of another cluster.
    #[error("the invite is of another cluster")]
    ForeignChain,
    /// The name belongs to another node.
    #[error("another node has, or had, the name {0}; names are never given again, choose another")]
    NameTaken(String),
    /// What it says of itself cannot be used.
    #[error("{0}")]
    Malformed(String),
    /// No more learners fit.
    #[error("the cluster follows as many learners as it can")]
    Full,
    /// This node cannot say; another one may.
    #[error("{0}")]
    Later(String),
}

impl From<JoinRefusal> for Status {
    fn from(refusal: JoinRefusal) -> Self {
        let code = match refusal {
            JoinRefusal::Unknown => Code::PermissionDenied,
            JoinRefusal::Used | JoinRefusal::ForeignChain => Code::FailedPrecondition,
            JoinRefusal::NameTaken(_) => Code::AlreadyExists,
            JoinRefusal::Malformed(_) => Code::InvalidArgument,
            JoinRefusal::Full => Code::ResourceExhausted,
            JoinRefusal::Later(_) => Code::Unavailable,
        };
        Self::new(code, refusal.to_string())
    }
}

/// What a newcomer begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The canonical encoding of the chain's first block.
    pub genesis: Vec<u8>,
    /// The archive that the member fills, if any.
    pub archive: Option<String>,
}

/// A newcomer's question, to be answered.
pub enum JoinCall {
    /// It wants the chain's first block.
    Begin {
        /// What it shows.
        proof: Proof,
        /// What a newcomer begins with.
        reply: oneshot::Sender<Result<Start, JoinRefusal>>,
    },
    /// It wants to be admitted.
    Join {
        /// What it shows.
        proof: Proof,
        /// Who it is, as the link proves.
        node: NodeId,
        /// What it wants to be called.
        name: String,
        /// Where it is.
        addresses: Addresses,
        /// A height at which it is a member.
        reply: oneshot::Sender<Result<Height, JoinRefusal>>,
    },
}

/// Answers newcomers' calls.
pub(super) struct Reception {
    pub(super) chain: ChainId,
    pub(super) calls: mpsc::Sender<JoinCall>,
    pub(super) refusals: Arc<Refusals>,
}

impl Reception {
    async fn ask<T>(
        &self,
        call: JoinCall,
        answer: oneshot::Receiver<Result<T, JoinRefusal>>,
    ) -> Result<T, JoinRefusal> {
        let later = |what: &str| JoinRefusal::Later(what.to_owned());
        let sent = self.calls.try_send(call);
        sent.map_err(|_| later("the node has too much to do"))?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer.inspect_err(|refusal| self.refusals.add_stranger(refusal)),
            Ok(Err(_)) => Err(later("the node shuts down")),
            Err(_) => Err(later("the outcome is not known yet")),
        }
    }

    fn proof(&self, invited: Option<Invited>) -> Result<Proof, JoinRefusal> {
        let malformed = || JoinRefusal::Malformed("the invite is malformed".to_owned());
        let invited = invited.ok_or_else(malformed)?;
        let chain = <[u8; 16]>::try_from(&*invited.chain_id).map_err(|_| malformed())?;
        let invite = <[u8; 8]>::try_from(&*invited.invite_id).map_err(|_| malformed())?;
        if ChainId(chain) != self.chain {
            return Err(JoinRefusal::ForeignChain);
        }
        Ok(Proof {
            chain: ChainId(chain),
            invite: TokenId(invite),
            secret: invited.secret,
        })
    }
}

#[tonic::async_trait]
impl Joining for Reception {
    async fn begin(&self, request: Request<Invited>) -> Result<Response<Beginning>, Status> {
        let proof = self.proof(Some(request.into_inner()))?;
        let (reply, answer) = oneshot::channel();
        let start = self.ask(JoinCall::Begin { proof, reply }, answer).await?;
        Ok(Response::new(Beginning {
            genesis: start.genesis.into(),
            archive: start.archive.unwrap_or_default(),
        }))
    }

    async fn join(&self, request: Request<Wish>) -> Result<Response<Admission>, Status> {
        let node = caller(&request)?;
        let wish = request.into_inner();
        let (reply, answer) = oneshot::channel();
        let call = JoinCall::Join {
            proof: self.proof(wish.invited)?,
            node,
            name: wish.name,
            addresses: Addresses {
                peer: wish.peer_address,
                url: wish.url,
            },
            reply,
        };
        let height = self.ask(call, answer).await?;
        Ok(Response::new(Admission { height: height.0 }))
    }
}

/// Why a member did not do what a newcomer asked for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It cannot be reached, or is not who it should be.
    #[error("{address} cannot be reached, or another node answers there")]
    Unreachable {
        /// Where.
        address: String,
        /// What the connection says.
        source: tonic::transport::Error,
    },
    /// It has no answer now.
    #[error("{address}: {detail}")]
    Later {
        /// Where.
        address: String,
        /// What it says.
        detail: String,
    },
    /// It refuses, and so would every other.
    #[error("{0}")]
    Refused(String),
}

/// A member, as a newcomer sees it.
pub(crate) struct Host {
    address: String,
    client: JoiningClient<Channel>,
}

impl Host {
    /// Calls a member of this key.
    pub(crate) async fn call(
        identity: &Identity,
        member: NodeId,
        address: &str,
    ) -> Result<Self, AskError> {
        let tls = identity.client_config(member);
        let tls = tls.map_err(|error| AskError::Refused(error.to_string()))?;
        let channel = Dialer::new(address, tls).connect().await;
        let channel = channel.map_err(|source| AskError::Unreachable {
            address: address.to_owned(),
            source,
        })?;
        Ok(Self {
            address: address.to_owned(),
            client: JoiningClient::new(channel).max_decoding_message_size(wire::FRAME_BYTES_MAX),
        })
    }

    /// Asks for the chain's first block, and for the archive.
    pub(crate) async fn begin(&mut self, proof: &Proof) -> Result<Start, AskError> {
        let answer = self.client.begin(invited(proof)).await;
        let answer = answer.map_err(|status| self.refused(&status))?;
        let Beginning { genesis, archive } = answer.into_inner();
        Ok(Start {
            genesis: genesis.to_vec(),
            archive: Some(archive).filter(|url| !url.is_empty()),
        })
    }

    /// Asks to be admitted.
    pub(crate) async fn join(
        &mut self,
        proof: &Proof,
        name: &str,
        addresses: &Addresses,
    ) -> Result<Height, AskError> {
        let wish = Wish {
            invited: Some(invited(proof)),
            name: name.to_owned(),
            peer_address: addresses.peer.clone(),
            url: addresses.url.clone(),
        };
        let answer = self.client.join(wish).await;
        let answer = answer.map_err(|status| self.refused(&status))?;
        Ok(Height(answer.into_inner().height))
    }

    fn refused(&self, status: &Status) -> AskError {
        let detail = status.message().to_owned();
        match status.code() {
            Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::InvalidArgument
            | Code::ResourceExhausted => AskError::Refused(detail),
            _ => AskError::Later {
                address: self.address.clone(),
                detail,
            },
        }
    }
}

fn invited(proof: &Proof) -> Invited {
    Invited {
        chain_id: wire::chain_bytes(proof.chain),
        invite_id: Bytes::copy_from_slice(proof.invite.as_bytes()),
        secret: proof.secret.clone(),
    }
}
