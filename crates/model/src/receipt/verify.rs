//! The check of a receipt: a walk from what is trusted to the command's block, over the changes of voters.

use super::{Change, Checkpoint, Opening, Receipt};
use crate::block::Header;
use crate::certificate::{Certificate, CertificateError};
use crate::codec::DecodeError;
use crate::command::{Command, SealedCommand};
use crate::id::{BlockHash, Boot, ChainId, Height, MembershipHash};
use crate::membership::Membership;
use crate::roster::RosterChange;
use crate::signature::Signatures;

/// Why a receipt, or a proof of consistency, proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Something else, or of a version that is not known here.
    #[error("this is not a {what} of a version known here")]
    NotOne {
        /// What was asked for.
        what: &'static str,
    },
    /// It begins like one.
    #[error("the {what} is damaged")]
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// Of another chain than the one trusted.
    #[error("it is of the chain {found}, trusted is {trusted}")]
    OtherChain {
        /// Its chain.
        found: ChainId,
        /// The one trusted.
        trusted: ChainId,
    },
    /// Its block at the height of the trusted one is not the trusted one.
    #[error("at height {height} it has another block than the one that is trusted")]
    OtherBlock {
        /// The height.
        height: Height,
    },
    /// It begins above what is trusted: changes of voters in between would be missing.
    #[error(
        "it begins at height {begins}, trusted is a block at {trusted}: ask for a receipt from there"
    )]
    BeginsAbove {
        /// Where it begins.
        begins: Height,
        /// What is trusted.
        trusted: Height,
    },
    /// The command's block lies below what is trusted, whose voters say nothing about it.
    #[error(
        "the command stands at height {height}, below the trusted block at {trusted}: trust an earlier one, or genesis"
    )]
    Below {
        /// The command's block.
        height: Height,
        /// What is trusted.
        trusted: Height,
    },
    /// Changes of voters out of order, below the beginning, or not below the command's block.
    #[error("the change of voters at height {height} is out of order")]
    LinkOrder {
        /// The block that is out of place.
        height: Height,
    },
    /// A header that does not name the one before it as its parent.
    #[error("the header at height {height} does not follow the one before it")]
    Broken {
        /// The block.
        height: Height,
    },
    /// A block without proof that it was decided.
    #[error("the block at height {height} has no certificate")]
    Uncertified {
        /// The block.
        height: Height,
    },
    /// A certificate that is not the header's.
    #[error("the certificate at height {height} is of another block")]
    OtherCertificate {
        /// The block.
        height: Height,
    },
    /// A certificate that proves nothing.
    #[error("the block at height {height} is not proven to be decided")]
    Certificate {
        /// The block.
        height: Height,
        /// What is wrong.
        #[source]
        source: CertificateError,
    },
    /// The block is of voters to whom no change that is shown leads.
    #[error(
        "the block at height {height} was decided by other voters: a change of voters is missing"
    )]
    MissingLink {
        /// The block.
        height: Height,
    },
    /// The block is of the voters from before a change that is shown: it was not in force.
    #[error(
        "the change of voters at height {change} is not confirmed: the block at height {height} is of those before it"
    )]
    Unconfirmed {
        /// The block that holds the change.
        change: Height,
        /// The block.
        height: Height,
    },
    /// A command that does not stand in the block it is shown with.
    #[error("the command does not stand in the block at height {height}")]
    NotInBlock {
        /// The block.
        height: Height,
    },
    /// A command that asks for no change of voters.
    #[error("the command shown at height {height} does not change the voters")]
    NoChange {
        /// The block.
        height: Height,
    },
    /// A change of voters that was meant for others.
    #[error("the change of voters at height {height} is meant for epoch {named}, not {current}")]
    Epoch {
        /// The block.
        height: Height,
        /// The epoch it names.
        named: Height,
        /// The one in force.
        current: Height,
    },
    /// A change of voters that came too late.
    #[error("the change of voters at height {height} came too late to have an effect")]
    Expired {
        /// The block.
        height: Height,
    },
    /// A change of voters that does not fit those in force.
    #[error("the change of voters at height {height} does not fit those in force")]
    DoesNotFit {
        /// The block.
        height: Height,
    },
}

/// What a receipt proves: that this command stands at this place of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The header of its block.
    pub header: Header,
    /// The block's hash.
    pub hash: BlockHash,
    /// The height of the block that made the voters who decided it.
    pub epoch: Height,
    /// Those voters.
    pub voters: Membership,
    /// The command's place in its block.
    pub index: u32,
    /// The command as it was sealed. Its bytes may be no command at all: see [`Proven::command`].
    pub sealed: SealedCommand,
}

impl Proven {
    /// What the command says; nothing if its bytes are no command that is known here.
    pub fn command(&self) -> Option<Command> {
        self.sealed.open().ok()
    }

    /// Whether it came too late to have an effect.
    pub fn is_expired(&self) -> bool {
        let late = |command: Command| command.valid_until < self.header.time;
        self.command().is_some_and(late)
    }

    /// The block as a new beginning, for receipts of later commands.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            chain: self.header.chain,
            height: self.header.height,
            hash: self.hash,
            epoch: self.epoch,
            voters: self.voters.clone(),
        }
    }
}

impl Receipt {
    /// Checks everything, beginning at `trust`. Changes of voters below the trusted block are passed over.
    ///
    /// # Errors
    /// The first fault found, as a [`ReceiptError`].
    pub fn verify(
        &self,
        trust: &Checkpoint,
        signatures: &dyn Signatures,
    ) -> Result<Proven, ReceiptError> {
        self.check_beginning(trust)?;
        self.check_order()?;
        let mut walk = Walk::new(trust, signatures);
        for link in &self.links {
            if link.header.height >= trust.height {
                walk.pass(&link.header, link.header.hash(), &link.change)?;
            }
        }
        let hash = self.header.hash();
        walk.belongs(&self.header, hash)?;
        if !self.opening.is_in(&self.header) {
            let height = self.header.height;
            return Err(ReceiptError::NotInBlock { height });
        }
        self.check_decided(&walk, hash)?;
        Ok(Proven {
            header: self.header.clone(),
            hash,
            epoch: walk.epoch,
            voters: walk.voters,
            index: self.opening.index,
            sealed: self.opening.command.clone(),
        })
    }

    fn check_beginning(&self, trust: &Checkpoint) -> Result<(), ReceiptError> {
        let (begins, height, trusted) = (self.anchor.height, self.header.height, trust.height);
        if self.header.chain != trust.chain {
            return Err(ReceiptError::OtherChain {
                found: self.header.chain,
                trusted: trust.chain,
            });
        }
        if begins > trusted {
            return Err(ReceiptError::BeginsAbove { begins, trusted });
        }
        if begins == trusted && self.anchor.hash != trust.hash {
            return Err(ReceiptError::OtherBlock { height: begins });
        }
        if height < trusted {
            return Err(ReceiptError::Below { height, trusted });
        }
        Ok(())
    }

    fn check_order(&self) -> Result<(), ReceiptError> {
        let mut lowest = self.anchor.height;
        for link in &self.links {
            let height = link.header.height;
            if height < lowest || height >= self.header.height {
                return Err(ReceiptError::LinkOrder { height });
            }
            lowest = height.next();
        }
        Ok(())
    }

    /// The first block of a chain has no certificate and needs none: it is decided if it is the block that is trusted,
    /// as the walk has checked.
    fn check_decided(&self, walk: &Walk<'_>, hash: BlockHash) -> Result<(), ReceiptError> {
        let height = self.header.height;
        match &self.certificate {
            Some(certificate) => walk.decided(&self.header, hash, certificate),
            None if height == Height::GENESIS => Ok(()),
            None if height == walk.trust.height && self.header.proposer.boot == Boot(0) => Ok(()),
            None => Err(ReceiptError::Uncertified { height }),
        }
    }
}

/// The voters at the place that a check has reached.
pub(super) struct Walk<'a> {
    trust: &'a Checkpoint,
    signatures: &'a dyn Signatures,
    pub(super) epoch: Height,
    pub(super) voters: Membership,
    /// The voters before the change passed last.
    before: Option<MembershipHash>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(trust: &'a Checkpoint, signatures: &'a dyn Signatures) -> Self {
        Self {
            trust,
            signatures,
            epoch: trust.epoch,
            voters: trust.voters.clone(),
            before: None,
        }
    }

    /// Checks that the block is of this chain and of the voters at this place. A change passed before counts from here
    /// on, once the block is also proven to be decided.
    pub(super) fn belongs(&self, header: &Header, hash: BlockHash) -> Result<(), ReceiptError> {
        let height = header.height;
        if header.chain != self.trust.chain {
            return Err(ReceiptError::OtherChain {
                found: header.chain,
                trusted: self.trust.chain,
            });
        }
        if height == self.trust.height && hash != self.trust.hash {
            return Err(ReceiptError::OtherBlock { height });
        }
        if header.membership == self.voters.hash() {
            return Ok(());
        }
        Err(match self.before {
            Some(before) if before == header.membership => ReceiptError::Unconfirmed {
                change: self.epoch,
                height,
            },
            _ => ReceiptError::MissingLink { height },
        })
    }

    /// Checks that a quorum of the voters at this place decided the block.
    pub(super) fn decided(
        &self,
        header: &Header,
        hash: BlockHash,
        certificate: &Certificate,
    ) -> Result<(), ReceiptError> {
        let height = header.height;
        if certificate.height != height || certificate.hash != hash {
            return Err(ReceiptError::OtherCertificate { height });
        }
        certificate
            .verify(header.chain, &self.voters, self.signatures)
            .map_err(|source| ReceiptError::Certificate { height, source })
    }

    /// Goes over a block that changes the voters.
    pub(super) fn pass(
        &mut self,
        header: &Header,
        hash: BlockHash,
        change: &Change,
    ) -> Result<(), ReceiptError> {
        self.belongs(header, hash)?;
        let voters = self.after(header, &change.opening)?;
        self.decided(header, hash, &change.certificate)?;
        self.before = Some(self.voters.hash());
        self.voters = voters;
        self.epoch = header.height;
        Ok(())
    }

    /// The voters whom the command asks for. Whether it got them is for the next block to say.
    fn after(&self, header: &Header, opening: &Opening) -> Result<Membership, ReceiptError> {
        let height = header.height;
        if !opening.is_in(header) {
            return Err(ReceiptError::NotInBlock { height });
        }
        let Some((valid_until, RosterChange::Seat { epoch, change })) =
            opening.command.roster_change()
        else {
            return Err(ReceiptError::NoChange { height });
        };
        if epoch != self.epoch {
            let (named, current) = (epoch, self.epoch);
            return Err(ReceiptError::Epoch {
                height,
                named,
                current,
            });
        }
        if valid_until < header.time {
            return Err(ReceiptError::Expired { height });
        }
        self.voters
            .with(&change)
            .filter(|voters| *voters != self.voters)
            .ok_or(ReceiptError::DoesNotFit { height })
    }
}
