//! What is the same in every state of a case: the members, genesis, the commands, the signatures.

use std::sync::Arc;

use model::{
    Block, Certificate, ChainId, Command, Decided, Digest, Domain, Header, Height, LibraryId,
    Member, Membership, NodeId, Now, Payload, Reason, RosterChange, SealedCommand, SeatChange,
    Signature, Signatures, Statement, Timestamp, TokenId,
};

use crate::cases::Case;
use crate::fingerprint::Fingerprinter;

pub(crate) const CHAIN: ChainId = ChainId([7; 16]);
const START: Timestamp = Timestamp(1_700_000_000_000_000);

/// The setting of one case.
pub(crate) struct Stage {
    pub(crate) case: Case,
    pub(crate) membership: Membership,
    pub(crate) genesis: Decided,
}

impl Stage {
    pub(crate) fn new(case: Case) -> Self {
        let members = (0..case.nodes).map(|seat| Member {
            id: id_of(seat),
            name: name(seat),
        });
        let membership = Membership::new(members.collect()).expect("distinct members");
        let founding = Payload::Genesis {
            voters: membership.voters().to_vec(),
            admin: TokenId([0; 8]),
            admin_secret: Digest([0; 32]),
            library: LibraryId::home(),
        };
        let genesis = Block::genesis(CHAIN, &membership, START, seal(founding, 0));
        Self {
            case,
            membership,
            genesis: Decided {
                block: Arc::new(genesis),
                certificate: None,
            },
        }
    }

    /// Who decides a block, as far as the case can bring it about.
    pub(crate) fn voters(&self, header: &Header) -> Membership {
        let removal = self.case.removal.map(|(_, leaver)| removal_of(leaver));
        let rest = removal.and_then(|removal| self.membership.with(&removal));
        rest.filter(|rest| rest.hash() == header.membership)
            .unwrap_or_else(|| self.membership.clone())
    }

    /// The certificate as all voters but one would sign it; as it is if that one did not.
    pub(crate) fn without_vote_of(&self, seat: usize, certificate: &Certificate) -> Certificate {
        let removal = self.case.removal.map(|(_, leaver)| removal_of(leaver));
        let rest = removal.and_then(|removal| self.membership.with(&removal));
        let signatures = StandIn(id_of(seat));
        let chain = self.genesis.block.header().chain;
        let fits = |voters: &&Membership| certificate.verify(chain, voters, &signatures).is_ok();
        let Some(voters) = [Some(&self.membership), rest.as_ref()]
            .into_iter()
            .flatten()
            .find(fits)
        else {
            return certificate.clone();
        };
        let own = voters.index_of(id_of(seat));
        if own.is_none_or(|place| certificate.voters & 1 << place == 0) {
            return certificate.clone();
        }
        let statement = Statement {
            domain: Domain::Accepted,
            chain,
            membership: voters.hash(),
            height: certificate.height,
            ballot: certificate.ballot,
            hash: certificate.hash,
        };
        let others = voters.voters().iter().map(|voter| voter.id);
        let others = others.filter(|voter| *voter != id_of(seat));
        let votes = others.map(|voter| (voter, StandIn::make(voter, &statement)));
        let subject = (certificate.height, certificate.ballot, certificate.hash);
        Certificate::collect(voters, subject, votes)
    }

    /// The nth command of a node's clients, from 1.
    pub(crate) fn command(&self, seat: usize, nth: u8) -> SealedCommand {
        let payload = match self.case.removal {
            Some((at, leaver)) if at == seat && nth == 1 => Payload::Roster(RosterChange::Seat {
                epoch: Height::GENESIS,
                change: removal_of(leaver),
            }),
            _ => Payload::Record(format!("{}.{nth}", name(seat)).into_bytes()),
        };
        let salt = u8::try_from(seat + 1).expect("a small cluster") * 16 + nth;
        seal(payload, salt)
    }

    /// The last height that is looked at.
    pub(crate) fn last(&self) -> Height {
        Height(self.case.heights)
    }

    pub(crate) fn seat(&self, node: NodeId) -> usize {
        self.membership.index_of(node).expect("a member")
    }

    /// All other nodes.
    pub(crate) fn others(&self, seat: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.case.nodes).filter(move |other| *other != seat)
    }
}

/// The identities are in ring order.
pub(crate) fn id_of(seat: usize) -> NodeId {
    NodeId([u8::try_from(seat + 1).expect("a small cluster"); 32])
}

/// `n1` for the first.
pub(crate) fn name(seat: usize) -> String {
    format!("n{}", seat + 1)
}

fn removal_of(seat: usize) -> SeatChange {
    SeatChange::Remove {
        node: id_of(seat),
        reason: Reason::Asked,
    }
}

fn seal(payload: Payload, salt: u8) -> SealedCommand {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([0; 8]),
        key: None,
        valid_until: Timestamp(u64::MAX),
        payload,
    };
    command.seal([salt; 16])
}

/// Wall clocks stand still: block times then follow from the height alone.
pub(crate) fn at(instant: model::Instant) -> Now {
    Now {
        instant,
        wall: Timestamp(START.0 + 1_000_000),
    }
}

/// Signatures that anybody could forge. Nobody does: a node makes them only through its engine.
pub(crate) struct StandIn(pub(crate) NodeId);

impl StandIn {
    fn make(node: NodeId, statement: &Statement) -> Signature {
        let digest = Fingerprinter::of(&(node, statement.to_bytes())).to_le_bytes();
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = from;
        }
        Signature(bytes)
    }
}

impl Signatures for StandIn {
    fn sign(&self, statement: &Statement) -> Signature {
        Self::make(self.0, statement)
    }

    fn verify(&self, node: NodeId, statement: &Statement, signature: &Signature) -> bool {
        Self::make(node, statement) == *signature
    }
}
