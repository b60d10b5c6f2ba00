//! Who belongs to the cluster is changed while it runs, as administrators would: through any node, at any moment, whatever
//! else goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Addresses, Command, Digest, LibraryId, Member, NodeId, Payload, Reason, RosterChange,
    SealedCommand, SeatChange, Timestamp, TokenId,
};
use replica::{Care, Input};

use super::{Event, World};
use crate::checks::Checked;
use crate::checks::rules::quorum;
use crate::disk::{Platter, lock};
use crate::seat::Seat;
use crate::snapshots::Drawer;

/// What an administrator may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// A machine that stands ready is invited and admitted, to vote when it has caught up.
    Join,
    /// The same, to follow without a vote.
    Follow,
    /// A voter is removed.
    Remove,
    /// A learner takes a voter's place.
    Replace,
    /// A learner is sent away.
    Dismiss,
    /// A machine is gone for longer than anybody waits for it.
    Vanish,
    /// A machine that was never admitted, or only to follow, is to vote.
    Usurp,
    /// An invite that was given out before is used for another machine.
    Reuse,
}

impl Errand {
    /// All there are, as often as they should come.
    pub(crate) const DEEDS: [Self; 9] = [
        Self::Join,
        Self::Join,
        Self::Follow,
        Self::Remove,
        Self::Replace,
        Self::Dismiss,
        Self::Vanish,
        Self::Usurp,
        Self::Reuse,
    ];
}

/// How long an invite is good.
const INVITED_FOR: Duration = Duration::from_secs(3_600);

impl World<'_> {
    /// Runs an errand through a node; nothing happens if it makes no sense just now.
    pub fn run_errand(&mut self, via: Seat, errand: Errand) -> Checked {
        let roster = Arc::clone(self.chain.roster(self.chain.top()));
        let voters: Vec<NodeId> = roster.voters().voters().iter().map(|m| m.id).collect();
        let voter = self.rng.pick(&voters).copied();
        let leaver = voter.filter(|node| self.may_be_spared(*node));
        let epoch = roster.epoch();
        match errand {
            Errand::Join => self.invite(via, true),
            Errand::Follow => self.invite(via, false),
            Errand::Remove => {
                let change = leaver.map(|node| SeatChange::Remove {
                    node,
                    reason: Reason::Asked,
                });
                let change = change.map(|change| RosterChange::Seat { epoch, change });
                self.ask(via, change.into_iter().collect())
            }
            Errand::Replace => {
                let learner = roster.learners().iter().find(|learner| learner.votes);
                let change = leaver
                    .zip(learner)
                    .map(|(old, learner)| SeatChange::Replace {
                        old,
                        new: learner.member.clone(),
                    });
                let change = change.map(|change| RosterChange::Seat { epoch, change });
                self.ask(via, change.into_iter().collect())
            }
            Errand::Dismiss => {
                let learner = roster.learners().first();
                let change = learner.map(|learner| RosterChange::Dismiss {
                    node: learner.member.id,
                });
                self.ask(via, change.into_iter().collect())
            }
            Errand::Usurp => {
                let strangers = self.strangers();
                let stranger = self.sealer.pick(&strangers).copied();
                let stranger = stranger.map(|seat| self.member(seat));
                let follower = roster.learners().iter().find(|learner| !learner.votes);
                let follower = follower.map(|learner| learner.member.clone());
                let change = follower.or(stranger).map(SeatChange::Add);
                let change = change.map(|change| RosterChange::Seat { epoch, change });
                self.ask(via, change.into_iter().collect())
            }
            Errand::Reuse => {
                let (invites, strangers) = (self.invites.clone(), self.strangers());
                let invite = self.sealer.pick(&invites).copied();
                let stranger = self.sealer.pick(&strangers).copied();
                let change = invite
                    .zip(stranger)
                    .map(|(invite, seat)| RosterChange::Admit {
                        invite: Some(invite),
                        member: self.member(seat),
                        addresses: addresses(seat),
                    });
                self.ask(via, change.into_iter().collect())
            }
            Errand::Vanish => {
                let Some(seat) = voter.map(|node| self.cast.seat(node)) else {
                    return Ok(());
                };
                let away = self.plan.dead_after.unwrap_or_default() * 3;
                self.kill(seat);
                self.machine_mut(seat).away_until = self.now.plus(away);
                self.schedule(away, Event::Start(seat));
                Ok(())
            }
        }
    }

    /// The same for any machine that does not belong yet.
    fn invite(&mut self, via: Seat, votes: bool) -> Checked {
        let strangers = self.strangers();
        match self.rng.pick(&strangers).copied() {
            Some(seat) => self.welcome(via, seat, &strangers, votes),
            None => Ok(()),
        }
    }

    /// A certain machine is invited and admitted, to vote when it has caught up.
    ///
    /// # Errors
    /// The first violation.
    pub fn join(&mut self, via: Seat, seat: Seat) -> Checked {
        self.welcome(via, seat, &[seat], true)
    }

    /// Whether the disks whose votes are not to be trusted are a minority among the voters without this one, and somebody
    /// among them has all blocks: of those who have left nobody may ask for what the last one's disk has lost. Blocks
    /// that rot on more than a minority are mended from those that are left.
    fn may_be_spared(&self, node: NodeId) -> bool {
        let doubtful = self.doubtful();
        let mut rest = self.voters();
        rest.retain(|seat| self.cast.id(*seat) != node);
        let forgets = |seat: &&Seat| {
            let machine = self.machine(**seat);
            machine.broken || machine.disk.may_forget()
        };
        let minority = rest.len().saturating_sub(1) / 2;
        let sound = rest.iter().any(|seat| !doubtful.contains(seat));
        sound && rest.iter().filter(forgets).count() <= minority
    }

    /// Invites and admits a machine that does not belong yet, and starts it with a genesis block and the addresses of
    /// those who vote now.
    fn welcome(&mut self, via: Seat, seat: Seat, strangers: &[Seat], votes: bool) -> Checked {
        let roster = Arc::clone(self.chain.roster(self.chain.top()));
        let invite = TokenId(self.rng.bytes());
        self.invites.push(invite);
        let expires = self
            .machine(via)
            .clock
            .read(self.now)
            .wall
            .plus(INVITED_FOR);
        let secret = Digest(self.rng.bytes());
        let contacts = roster.voters().voters().iter().map(|voter| voter.id);
        let contacts = contacts.collect();
        let is_new = !self.machine(seat).born;
        let machine = self.machine_mut(seat);
        if machine.process.is_none() {
            machine.contacts = contacts;
        }
        machine.born = true;
        if is_new {
            self.fill_from_archive(seat)?;
        }
        self.start_now(seat);
        let invited = RosterChange::Invite {
            invite,
            secret,
            expires,
            votes,
        };
        // Whoever holds an invite may try; it is good once.
        let rival = self.rng.pick(strangers).copied();
        let rival = rival.filter(|other| *other != seat && self.machine(*other).born);
        let mut changes = vec![invited];
        for seat in [Some(seat), rival].into_iter().flatten() {
            changes.push(RosterChange::Admit {
                invite: Some(invite),
                member: self.member(seat),
                addresses: addresses(seat),
            });
        }
        self.ask(via, changes)
    }

    /// A machine that was admitted starts, if it never did: it was not invited itself, and has another's invite. Nobody
    /// tells it who votes now; those call it (P66).
    pub(super) fn admitted(&mut self, seat: Seat) {
        if !std::mem::replace(&mut self.machine_mut(seat).born, true) {
            self.schedule(Duration::ZERO, Event::Start(seat));
        }
    }

    /// Machines that do not belong and never did.
    pub(super) fn strangers(&self) -> Vec<Seat> {
        let roster = self.chain.roster(self.chain.top());
        let spares = self.cast.seats().skip(self.plan.nodes);
        spares
            .filter(|seat| roster.name_of(self.cast.id(*seat)).is_none())
            .collect()
    }

    fn member(&self, seat: Seat) -> Member {
        Member {
            id: self.cast.id(seat),
            name: seat.to_string(),
        }
    }

    /// Asks that a learner take a voter's place.
    ///
    /// # Errors
    /// The first violation.
    pub fn replace(&mut self, via: Seat, old: Seat, new: Seat) -> Checked {
        let epoch = self.chain.roster(self.chain.top()).epoch();
        let change = SeatChange::Replace {
            old: self.cast.id(old),
            new: self.member(new),
        };
        self.ask(via, vec![RosterChange::Seat { epoch, change }])
    }

    /// Asks for any change at all, sensible or not.
    ///
    /// # Errors
    /// The first violation.
    pub fn request(&mut self, via: Seat, change: RosterChange) -> Checked {
        self.ask(via, vec![change])
    }

    /// A voter's disk is lost; its machine will come back under another identity.
    ///
    /// # Errors
    /// The first violation.
    pub fn lose_disk(&mut self, seat: Seat) -> Checked {
        self.wipe(seat, Duration::from_millis(100))
    }

    /// Somebody harms the archive.
    pub fn harm_archive(&mut self) {
        self.rot_archive();
    }

    /// The disk of a voter is lost, as long as the others are a quorum without it.
    pub(super) fn wipe(&mut self, seat: Seat, down: Duration) -> Checked {
        let mut doubtful = self.doubtful();
        doubtful.insert(seat);
        let voters = self.voters();
        let sound = voters
            .iter()
            .filter(|voter| !doubtful.contains(voter))
            .count();
        let machine = self.machine(seat);
        if sound < quorum(voters.len()) || machine.broken || !voters.contains(&seat) {
            return Ok(());
        }
        self.line(|| format!("{seat} loses its disk"));
        self.cut_power(seat)?;
        *lock(&self.platter(seat)) = Platter::default();
        self.machine_mut(seat).drawer = Drawer::default();
        let disk = &mut self.machine_mut(seat).disk;
        disk.forgetful = true;
        disk.wiped = true;
        self.stats.meet("voter's disk lost");
        self.schedule(down, Event::Start(seat));
        self.schedule(down * 2, Event::Succeed(seat));
        Ok(())
    }

    /// The administrator sees that a machine's ledger is gone: its identity is removed, and it joins under another one,
    /// which in here is another machine.
    pub(super) fn succeed(&mut self, lost: Seat) -> Checked {
        let voters = self.voters();
        let able = voters.iter().filter(|voter| self.is_voting(**voter));
        let able: Vec<Seat> = able.copied().collect();
        let Some(via) = self.sealer.pick(&able).copied() else {
            return Ok(());
        };
        let roster = Arc::clone(self.chain.roster(self.chain.top()));
        let node = self.cast.id(lost);
        self.invite(via, true)?;
        if !roster.voters().contains(node) {
            return Ok(());
        }
        let change = SeatChange::Remove {
            node,
            reason: Reason::Asked,
        };
        let epoch = roster.epoch();
        self.ask(via, vec![RosterChange::Seat { epoch, change }])
    }

    /// Whose disks are not to be trusted.
    pub(super) fn doubtful(&self) -> BTreeSet<Seat> {
        let doubtful = |seat: &Seat| {
            let machine = self.machine(*seat);
            machine.broken || machine.disk.is_doubtful()
        };
        self.cast.seats().filter(doubtful).collect()
    }

    fn ask(&mut self, via: Seat, changes: Vec<RosterChange>) -> Checked {
        for change in changes {
            self.line(|| format!("administrator -> {via} {change:?}"));
            let Some(replica) = self.machine(via).replica() else {
                return Ok(());
            };
            let valid_until = replica.core().valid_until(false);
            let sealed = self.seal(change, valid_until);
            self.feed(via, Input::Submit(sealed))?;
        }
        Ok(())
    }

    fn seal(&mut self, change: RosterChange, valid_until: Timestamp) -> SealedCommand {
        let command = Command {
            library: LibraryId::home(),
            actor: TokenId([0xad; 8]),
            key: None,
            valid_until,
            payload: Payload::Roster(change),
        };
        command.seal(self.rng.bytes())
    }

    /// What a machine's process does for the membership by itself.
    pub(super) fn care(&self, seat: Seat) -> Care {
        Care {
            addresses: Some(addresses(seat)),
            dead_after: self.plan.dead_after,
        }
    }
}

fn addresses(seat: Seat) -> Addresses {
    Addresses {
        peer: format!("{seat}:7800"),
        url: format!("https://{seat}:7700"),
    }
}
