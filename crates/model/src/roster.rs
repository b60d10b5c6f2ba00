//! Who belongs to the cluster: voters, learners, and who has left.
//!
//! The roster is a function of the chain: [`Roster::after`] takes the roster under which a block was decided and the
//! block, and gives the one in force above it. Every height therefore has exactly one membership, nobody acts at h + 1
//! before h is decided, and any change is safe without a second quorum (`docs/protocol.md`, section 13).
//!
//! A change that does not fit is refused here, alike on every node, and its command stands in the chain without effect.
//! A change of voters names the **epoch** it is meant for, the height of the block that made the current membership,
//! so that a command that is decided twice, or late, does nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::{Block, Entry, Header};
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::command::SealedCommand;
use crate::id::{Digest, Height, NodeId, TokenId};
use crate::limits;
use crate::membership::{Member, Membership};
use crate::time::Timestamp;
use crate::{codec_enum, codec_struct};

/// A pruning leaves at least this many voters: two survive no failure, so removing the third gains nothing.
pub const VOTERS_KEPT: usize = 3;

/// One change of who belongs to the cluster, or a fact that such a change will rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RosterChange {
    /// Somebody who knows a secret may be admitted once.
    Invite {
        /// The invite's public half.
        invite: TokenId,
        /// SHA-256 of its secret half.
        secret: Digest,
        /// Not good in a block later than this.
        expires: Timestamp,
        /// Whether who is admitted becomes a voter when it has caught up.
        votes: bool,
    },
    /// A node becomes a learner: it is sent the chain and does not vote.
    Admit {
        /// The invite it holds; none for a voter that was pruned and is back.
        invite: Option<TokenId>,
        /// Identity and name.
        member: Member,
        /// Where it is.
        addresses: Addresses,
    },
    /// The voters change.
    Seat {
        /// The epoch it is meant for.
        epoch: Height,
        /// How.
        change: SeatChange,
    },
    /// A learner leaves.
    Dismiss {
        /// Which.
        node: NodeId,
    },
    /// A node is somewhere else.
    Move {
        /// Which.
        node: NodeId,
        /// Where.
        addresses: Addresses,
    },
    /// A voter states whether it hears another.
    Hearing {
        /// Who states it.
        witness: NodeId,
        /// About whom.
        about: NodeId,
        /// The witness's tip when it stated it: a later statement replaces an earlier one.
        at: Height,
        /// Whether it has heard nothing for too long.
        silent: bool,
    },
    /// An invite that nobody has used is good no longer.
    Withdraw {
        /// Its public half.
        invite: TokenId,
    },
}

codec_enum!(RosterChange, "roster change" {
    0 => Invite { invite, secret, expires, votes },
    1 => Admit { invite, member, addresses },
    2 => Seat { epoch, change },
    3 => Dismiss { node },
    4 => Move { node, addresses },
    5 => Hearing { witness, about, at, silent },
    6 => Withdraw { invite },
});

impl RosterChange {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invite { .. } => "invite",
            Self::Admit { .. } => "admitMember",
            Self::Seat { .. } => "changeVoters",
            Self::Dismiss { .. } => "dismissMember",
            Self::Move { .. } => "moveMember",
            Self::Hearing { .. } => "stateHearing",
            Self::Withdraw { .. } => "withdrawInvite",
        }
    }
}

/// A change of the voters: one at a time, so that any two memberships that follow one another share a quorum but for
/// one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatChange {
    /// A learner becomes the last voter of the ring.
    Add(Member),
    /// A voter leaves the ring.
    Remove {
        /// Which.
        node: NodeId,
        /// Why.
        reason: Reason,
    },
    /// A learner takes a voter's place in the ring.
    Replace {
        /// The voter.
        old: NodeId,
        /// The learner.
        new: Member,
    },
}

codec_enum!(SeatChange, "seat change" {
    0 => Add(member),
    1 => Remove { node, reason },
    2 => Replace { old, new },
});

/// A change and the last block time at which it has an effect.
pub type DatedChange = (Timestamp, RosterChange);

/// The changes that stand in an encoded block, found without reading its other commands.
///
/// # Errors
/// A [`DecodeError`] if the bytes are not a block's.
pub fn changes_in(block: &[u8]) -> Result<Vec<DatedChange>, DecodeError> {
    let mut input = Reader::new(block);
    Header::decode(&mut input)?;
    let mut changes = Vec::new();
    for _ in 0..input.length()? {
        match u8::decode(&mut input)? {
            0 => drop(input.array::<32>()?),
            2 => {
                input.array::<32>()?;
                Option::<Digest>::decode(&mut input)?;
            }
            1 => {
                input.array::<16>()?;
                let length = input.length()?;
                changes.extend(SealedCommand::roster_change_in(input.take(length)?));
            }
            other => {
                return Err(DecodeError::Invalid {
                    what: "entry",
                    value: other.into(),
                });
            }
        }
    }
    input.finish()?;
    Ok(changes)
}

/// Why a voter was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An administrator wanted it. It does not come back: its machine may, under a new identity.
    Asked,
    /// A quorum heard nothing of it for too long. It may come back by itself.
    Silent,
}

codec_enum!(Reason, "reason" { 0 => Asked, 1 => Silent });

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// `host:port` for peers.
    pub peer: String,
    /// What people type: scheme, host and port.
    pub url: String,
}

codec_struct!(Addresses { peer, url });

impl Addresses {
    fn fits(&self) -> bool {
        [&self.peer, &self.url]
            .iter()
            .all(|text| (1..=limits::ADDRESS_BYTES_MAX).contains(&text.len()))
    }
}

/// A node that follows the chain without a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learner {
    /// Identity and name.
    pub member: Member,
    /// Whether it becomes a voter when it has caught up.
    pub votes: bool,
}

codec_struct!(Learner { member, votes });

/// A node that belonged to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// What it was called. The name is not given to another node.
    pub name: String,
    /// The block that removed it.
    pub height: Height,
    /// Why.
    pub reason: Reason,
}

codec_struct!(Departure {
    name,
    height,
    reason
});

/// An invite that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// SHA-256 of its secret half.
    pub secret: Digest,
    /// Not good in a block later than this.
    pub expires: Timestamp,
    /// Whether who is admitted becomes a voter.
    pub votes: bool,
    /// Whether somebody was admitted with it.
    pub used: bool,
}

codec_struct!(Invite {
    secret,
    expires,
    votes,
    used
});

/// What a voter stated last of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hearing {
    /// Its tip when it stated it.
    pub at: Height,
    /// Whether it had heard nothing for too long.
    pub silent: bool,
}

codec_struct!(Hearing { at, silent });

/// Who belongs to the cluster above a block.
///
/// Invariant: a function of the chain. Nobody is both voter and learner; a name belongs to one identity for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    voters: Membership,
    /// The block that made them voters.
    epoch: Height,
    learners: Vec<Learner>,
    addresses: BTreeMap<NodeId, Addresses>,
    former: BTreeMap<NodeId, Departure>,
    invites: BTreeMap<TokenId, Invite>,
    /// By witness and whom it is about.
    hearings: BTreeMap<(NodeId, NodeId), Hearing>,
}

impl Roster {
    /// Of a cluster whose genesis names these voters.
    pub fn founded(voters: Membership) -> Self {
        Self {
            voters,
            epoch: Height::GENESIS,
            learners: Vec::new(),
            addresses: BTreeMap::new(),
            former: BTreeMap::new(),
            invites: BTreeMap::new(),
            hearings: BTreeMap::new(),
        }
    }

    /// Of the cluster that a genesis block founds, with what else stands in it; nothing if it is not a well-formed one.
    pub fn founded_by(genesis: &Block) -> Option<Self> {
        let mut founded = Self::founded(genesis.founded_membership()?);
        for member in genesis.predecessor().into_iter().flat_map(|p| p.left) {
            founded.leave_behind(genesis.height(), member);
        }
        Some(founded.after(genesis).unwrap_or(founded))
    }

    /// A member of the chain before, who does not belong to this one. Names stay with those who had them.
    fn leave_behind(&mut self, height: Height, member: Member) {
        if !self.voters.contains(member.id) {
            let left = Departure {
                name: member.name,
                height,
                reason: Reason::Asked,
            };
            self.former.insert(member.id, left);
        }
    }

    /// Who votes.
    pub fn voters(&self) -> &Membership {
        &self.voters
    }

    /// The height of the block that made them voters; they decide from the next height on.
    pub fn epoch(&self) -> Height {
        self.epoch
    }

    /// Who follows, in the order of admission.
    pub fn learners(&self) -> &[Learner] {
        &self.learners
    }

    /// The learner of this identity.
    pub fn learner(&self, node: NodeId) -> Option<&Learner> {
        self.learners
            .iter()
            .find(|learner| learner.member.id == node)
    }

    /// Where a node said that it is; a founder that never moved has not said it.
    pub fn addresses(&self, node: NodeId) -> Option<&Addresses> {
        self.addresses.get(&node)
    }

    /// Who has left, and does not belong again.
    pub fn former(&self) -> &BTreeMap<NodeId, Departure> {
        &self.former
    }

    /// An invite that has not expired.
    pub fn invite(&self, invite: TokenId) -> Option<&Invite> {
        self.invites.get(&invite)
    }

    /// The invites that have not expired, used ones among them.
    pub fn invites(&self) -> &BTreeMap<TokenId, Invite> {
        &self.invites
    }

    /// Voters and learners, the voters first.
    pub fn everybody(&self) -> impl Iterator<Item = &Member> {
        let learners = self.learners.iter().map(|learner| &learner.member);
        self.voters.voters().iter().chain(learners)
    }

    /// What is known of this identity's name: of a member, or of one that has left.
    pub fn name_of(&self, node: NodeId) -> Option<&str> {
        let member = self.everybody().find(|member| member.id == node);
        let departed = || Some(self.former.get(&node)?.name.as_str());
        member.map(|member| member.name.as_str()).or_else(departed)
    }

    /// What `witness` stated last about a voter.
    pub fn hearing(&self, witness: NodeId, about: NodeId) -> Option<Hearing> {
        self.hearings.get(&(witness, about)).copied()
    }

    /// The voters whose statement that they hear nothing of `node` stands.
    pub fn silent_to(&self, node: NodeId) -> BTreeSet<NodeId> {
        let standing = self.hearings.iter().filter(|(_, hearing)| hearing.silent);
        standing
            .filter(|((witness, about), _)| *about == node && self.voters.contains(*witness))
            .map(|((witness, _), _)| *witness)
            .collect()
    }

    /// Whether the chain says enough to prune `node`: a quorum hears nothing of it, and enough voters stay.
    pub fn may_prune(&self, node: NodeId) -> bool {
        self.voters.contains(node)
            && self.voters.len() > VOTERS_KEPT
            && self.silent_to(node).len() >= self.voters.quorum()
    }

    /// The roster in force above `block`, if it changes anything.
    #[must_use]
    pub fn after(&self, block: &Block) -> Option<Self> {
        let sealed = block.entries().iter().filter_map(Entry::sealed);
        let changes: Vec<DatedChange> = sealed.filter_map(SealedCommand::roster_change).collect();
        self.after_changes(block.header(), changes)
    }

    /// The same for a block of which only the header and the changes that stand in it are at hand.
    #[must_use]
    pub fn after_changes(
        &self,
        header: &Header,
        changes: impl IntoIterator<Item = DatedChange>,
    ) -> Option<Self> {
        let mut next: Option<Self> = None;
        for (valid_until, change) in changes {
            if valid_until >= header.time {
                let roster = next.get_or_insert_with(|| self.clone());
                roster.apply(header.height, header.time, change);
            }
        }
        next.filter(|next| next != self)
    }

    /// Whether a change of voters would have an effect in the next block.
    pub fn accepts(&self, epoch: Height, change: &SeatChange) -> bool {
        self.seat(epoch, change).is_some()
    }

    fn apply(&mut self, height: Height, time: Timestamp, change: RosterChange) {
        self.invites.retain(|_, invite| invite.expires >= time);
        match change {
            RosterChange::Invite {
                invite,
                secret,
                expires,
                votes,
            } => self.invite_with(time, (invite, secret, expires, votes)),
            RosterChange::Admit {
                invite,
                member,
                addresses,
            } => self.admit(invite, member, addresses),
            // One change of voters per block: what follows in it was meant for the epoch before.
            RosterChange::Seat { epoch, change } if self.epoch < height => {
                if let Some(voters) = self.seat(epoch, &change) {
                    self.take_seats(height, voters, &change);
                }
            }
            RosterChange::Seat { .. } => {}
            RosterChange::Dismiss { node } => self.dismiss(height, node),
            RosterChange::Move { node, addresses } => self.relocate(node, addresses),
            RosterChange::Hearing {
                witness,
                about,
                at,
                silent,
            } => self.hear(witness, about, Hearing { at, silent }),
            RosterChange::Withdraw { invite } => {
                // Whoever was admitted with it may still ask for the answer.
                self.invites.retain(|id, known| *id != invite || known.used);
            }
        }
    }

    fn invite_with(
        &mut self,
        time: Timestamp,
        (invite, secret, expires, votes): (TokenId, Digest, Timestamp, bool),
    ) {
        let lives = expires >= time && expires <= time.plus(limits::INVITE_LIFE_MAX);
        if lives && self.invites.len() < limits::INVITES_MAX {
            self.invites.entry(invite).or_insert(Invite {
                secret,
                expires,
                votes,
                used: false,
            });
        }
    }

    fn admit(&mut self, invite: Option<TokenId>, member: Member, addresses: Addresses) {
        let votes = match invite {
            Some(invite) => self
                .invites
                .get(&invite)
                .and_then(|invite| (!invite.used).then_some(invite.votes)),
            None => self
                .former
                .get(&member.id)
                .and_then(|left| (left.reason == Reason::Silent).then_some(true)),
        };
        let Some(votes) = votes.filter(|_| addresses.fits() && self.is_admissible(&member)) else {
            return;
        };
        if let Some(invite) = invite.and_then(|invite| self.invites.get_mut(&invite)) {
            invite.used = true;
        }
        self.former.remove(&member.id);
        self.addresses.insert(member.id, addresses);
        self.learners.push(Learner { member, votes });
    }

    /// Whether a stranger, or one that has left, may take this name.
    fn is_admissible(&self, member: &Member) -> bool {
        let same_name = |(id, name): (NodeId, &str)| id != member.id && name == member.name;
        let members = self
            .everybody()
            .map(|other| (other.id, other.name.as_str()));
        let departed = self
            .former
            .iter()
            .map(|(id, left)| (*id, left.name.as_str()));
        let belongs = self.everybody().any(|other| other.id == member.id);
        let left = self.former.get(&member.id);
        let sent_away = left.is_some_and(|left| left.reason == Reason::Asked);
        !belongs
            && !sent_away
            && (1..=limits::NAME_BYTES_MAX).contains(&member.name.len())
            && self.learners.len() < limits::LEARNERS_MAX
            && !members.chain(departed).any(same_name)
    }

    /// The voters after a change, if it fits.
    fn seat(&self, epoch: Height, change: &SeatChange) -> Option<Membership> {
        let waits = |member: &Member| {
            let learner = self.learner(member.id);
            learner.is_some_and(|learner| learner.votes && learner.member == *member)
        };
        let fits = epoch == self.epoch
            && match change {
                SeatChange::Add(member) => waits(member),
                SeatChange::Remove {
                    reason: Reason::Asked,
                    ..
                } => true,
                SeatChange::Remove {
                    node,
                    reason: Reason::Silent,
                } => self.may_prune(*node),
                SeatChange::Replace { new, .. } => waits(new),
            };
        self.voters.with(change).filter(|_| fits)
    }

    fn take_seats(&mut self, height: Height, voters: Membership, change: &SeatChange) {
        let leaving = match change {
            SeatChange::Add(_) => None,
            SeatChange::Remove { node, reason } => Some((*node, *reason)),
            SeatChange::Replace { old, .. } => Some((*old, Reason::Asked)),
        };
        if let Some((node, reason)) = leaving {
            self.leave(height, node, reason);
        }
        self.learners
            .retain(|learner| !voters.contains(learner.member.id));
        self.voters = voters;
        self.epoch = height;
    }

    fn leave(&mut self, height: Height, node: NodeId, reason: Reason) {
        let name = self.name_of(node).unwrap_or_default().to_owned();
        self.addresses.remove(&node);
        self.hearings
            .retain(|(witness, about), _| *witness != node && *about != node);
        self.former.insert(
            node,
            Departure {
                name,
                height,
                reason,
            },
        );
    }

    fn dismiss(&mut self, height: Height, node: NodeId) {
        if self.learner(node).is_some() {
            self.leave(height, node, Reason::Asked);
            self.learners.retain(|learner| learner.member.id != node);
        }
    }

    fn relocate(&mut self, node: NodeId, addresses: Addresses) {
        if addresses.fits() && self.everybody().any(|member| member.id == node) {
            self.addresses.insert(node, addresses);
        }
    }

    /// A statement about the membership before this one says nothing about this one: whom it is about may have left
    /// and come back.
    fn hear(&mut self, witness: NodeId, about: NodeId, hearing: Hearing) {
        let both_vote = self.voters.contains(witness) && self.voters.contains(about);
        let last = self.hearings.get(&(witness, about));
        let is_newer = last.is_none_or(|last| last.at < hearing.at);
        if both_vote && witness != about && is_newer && hearing.at >= self.epoch {
            self.hearings.insert((witness, about), hearing);
        }
    }
}

impl Membership {
    /// The voters after a change; nothing if it does not fit them. A lone voter is not replaced in one step: nobody
    /// who knew the chain before would have to sign after it.
    pub fn with(&self, change: &SeatChange) -> Option<Self> {
        let mut voters = self.voters().to_vec();
        match change {
            SeatChange::Add(member) => voters.push(member.clone()),
            SeatChange::Remove { node, .. } => {
                voters.remove(self.index_of(*node)?);
            }
            SeatChange::Replace { old, new } => {
                let place = self.index_of(*old).filter(|_| self.len() > 1)?;
                *voters.get_mut(place)? = new.clone();
            }
        }
        Self::new(voters)
    }
}

impl Entry {
    /// The change of voters that this command asks for, and the epoch it is meant for.
    pub fn seat_change(&self) -> Option<(Height, SeatChange)> {
        self.sealed()?.seat_change()
    }
}

impl SealedCommand {
    /// The change of voters that this command asks for, and the epoch it is meant for.
    pub fn seat_change(&self) -> Option<(Height, SeatChange)> {
        match self.roster_change()? {
            (_, RosterChange::Seat { epoch, change }) => Some((epoch, change)),
            _ => None,
        }
    }
}

impl Encode for Roster {
    fn encode(&self, out: &mut Vec<u8>) {
        self.voters.encode(out);
        self.epoch.encode(out);
        self.learners.encode(out);
        pairs(&self.addresses).encode(out);
        pairs(&self.former).encode(out);
        pairs(&self.invites).encode(out);
        pairs(&self.hearings).encode(out);
    }
}

impl Decode for Roster {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            voters: Decode::decode(input)?,
            epoch: Decode::decode(input)?,
            learners: Decode::decode(input)?,
            addresses: ordered(input)?,
            former: ordered(input)?,
            invites: ordered(input)?,
            hearings: ordered(input)?,
        })
    }
}

fn pairs<K: Clone, V: Clone>(map: &BTreeMap<K, V>) -> Vec<(K, V)> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Entries in ascending order of their keys, none twice: equal maps have equal bytes.
fn ordered<K: Decode + Ord, V: Decode>(
    input: &mut Reader<'_>,
) -> Result<BTreeMap<K, V>, DecodeError> {
    let entries: Vec<(K, V)> = Decode::decode(input)?;
    let value = entries.len() as u64;
    if entries.is_sorted_by(|(a, _), (b, _)| a < b) {
        Ok(entries.into_iter().collect())
    } else {
        Err(DecodeError::Invalid {
            what: "order of a map",
            value,
        })
    }
}

#[cfg(test)]
mod tests;
