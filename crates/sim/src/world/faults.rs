//! What the nemesis does to a world, and how it ends.

use std::time::Duration;

use consensus::Message;
use model::{Encode as _, Height, Instant};
use replica::Input;

use super::{Event, Season, World};
use crate::checks::Checked;
use crate::disk::lock;
use crate::machine::Life;
use crate::nemesis::{Deed, Moment, Muster, Way};
use crate::seat::Seat;

impl World<'_> {
    pub(super) fn nemesis_acts(&mut self) -> Checked {
        if self.season == Season::Calm {
            return Ok(());
        }
        if let Some(pause) = self.nemesis.pause() {
            self.schedule(pause, Event::Nemesis);
        }
        let muster = self.muster();
        let Some((fault, deed)) = self.nemesis.deed(&muster) else {
            return Ok(());
        };
        self.count_fault(fault, deed.span());
        self.line(|| format!("nemesis: {deed:?}"));
        self.inflict(deed)
    }

    fn inflict(&mut self, deed: Deed) -> Checked {
        match deed {
            Deed::Kill { seat, down } => {
                self.kill(seat);
                self.schedule(down, Event::Start(seat));
            }
            Deed::PowerCut { seat, down } => {
                self.cut_power(seat)?;
                self.schedule(down, Event::Start(seat));
            }
            Deed::Blackout { downs } => {
                for (seat, down) in self.cast.seats().zip(downs) {
                    self.cut_power(seat)?;
                    self.schedule(down, Event::Start(seat));
                }
            }
            Deed::Pause { seat, length } => {
                self.machine_mut(seat).paused = true;
                self.schedule(length, Event::Resume(seat));
            }
            Deed::Block { ways, length } => {
                self.block_ways(&ways);
                self.schedule(length, Event::Unblock(ways));
            }
            Deed::Flap {
                ways,
                times,
                length,
            } => return self.flap(ways, times, length),
            Deed::Clog { ways, length } => {
                let until = self.now.plus(length);
                ways.iter()
                    .for_each(|(from, to)| self.network.clog(*from, *to, until));
            }
            Deed::SlowDisk { seat, length } => {
                self.machine_mut(seat).disk.slow = true;
                self.schedule(length, Event::Quicken(seat));
            }
            Deed::FullDisk { seat, room, length } => {
                lock(&self.machine(seat).platter).limit_room(room);
                self.schedule(length, Event::FreeRoom(seat));
            }
            Deed::FailFlush { seat, down } => {
                let machine = self.machine_mut(seat);
                machine.disk.fail_next = machine.process.is_some();
                machine.disk.down = down;
            }
            Deed::Ambush { seat, moment, down } => {
                let machine = self.machine_mut(seat);
                machine.disk.ambush = machine.process.is_some().then_some((moment, down));
            }
            Deed::RotVote { seat } => self.rot_vote(seat),
            Deed::RotBlock { seat } => self.rot_block(seat),
            Deed::ClockJump { seat, microseconds } => {
                self.machine_mut(seat).clock.set_wall_error(microseconds);
            }
            Deed::Errand { via, errand } => return self.run_errand(via, errand),
            Deed::Wipe { seat, down } => return self.wipe(seat, down),
            Deed::RotSegment { seat } => self.rot_segment(seat),
            Deed::RotArchive => self.rot_archive(),
            Deed::Damage { seat } => self.damage_log(seat),
            Deed::Shutdown { seat, notice, down } => {
                let life = self.machine(seat).life;
                self.schedule(notice, Event::End(seat, life, down));
                return self.feed(seat, Input::Yield);
            }
        }
        Ok(())
    }

    /// A bit turns in one of the two copies of a vote.
    fn rot_vote(&mut self, seat: Seat) {
        let platter = self.platter(seat);
        let rotten = lock(&platter).rot_doubled(&mut self.rng);
        self.line(|| format!("{seat} has a rotten copy of a vote: {rotten}"));
    }

    /// A bit turns in a block that a machine has decided.
    fn rot_block(&mut self, seat: Seat) {
        let top = self.tip(seat).unwrap_or_default().min(self.chain.top());
        let height = Height(self.rng.below(top.0 + 1));
        let Some(block) = self.chain.block(height).cloned() else {
            return;
        };
        let platter = self.platter(seat);
        let rotten = lock(&platter).rot_bytes(&block.to_bytes(), &mut self.rng);
        let disk = &mut self.machine_mut(seat).disk;
        // The last one may be taken for an end that was never finished.
        disk.forgetful |= rotten;
        self.line(|| format!("{seat} has a rotten block at {height}: {rotten}"));
    }

    /// A segment is not what it was. Votes are not in it.
    pub(super) fn rot_segment(&mut self, seat: Seat) {
        let platter = self.platter(seat);
        let rotten = lock(&platter).rot_segment(&mut self.sealer);
        if rotten.is_some() {
            self.machine_mut(seat).disk.rotten = true;
            self.stats.meet("segment rotten");
        }
        self.line(|| format!("{seat} has a rotten segment: {rotten:?}"));
    }

    fn muster(&self) -> Muster {
        let roster = self.chain.roster(self.chain.top());
        let members = roster.everybody().map(|member| self.cast.seat(member.id));
        Muster {
            holder: self.turn_holder(),
            voters: self.voters().into_iter().collect(),
            members: members.collect(),
            doubtful: self.doubtful(),
        }
    }

    pub(super) fn power_fails(&mut self, seat: Seat, life: Life, down: Duration) -> Checked {
        if self.machine(seat).life == life {
            self.cut_power(seat)?;
            self.schedule(down, Event::Start(seat));
        }
        Ok(())
    }

    /// Whether an ambush keeps a binding message from leaving. It springs once the last one has left that may.
    pub(super) fn is_ambushed(&mut self, seat: Seat, message: &Message) -> bool {
        let binding = matches!(
            message,
            Message::Prepare { .. }
                | Message::Promise { .. }
                | Message::Accept(_)
                | Message::Accepted { .. }
        );
        let life = self.machine(seat).life;
        let ambush = &mut self.machine_mut(seat).disk.ambush;
        let Some((Moment::Said(left), down)) = ambush.as_mut().filter(|_| binding) else {
            return false;
        };
        if *left == 0 {
            let down = *down;
            self.schedule(Duration::ZERO, Event::PowerFails(seat, life, down));
            return true;
        }
        *left -= 1;
        false
    }

    fn block_ways(&mut self, ways: &[Way]) {
        ways.iter()
            .for_each(|(from, to)| self.network.block(*from, *to));
    }

    pub(super) fn unblock(&mut self, ways: &[Way]) -> Checked {
        self.line(|| format!("links are back: {ways:?}"));
        ways.iter()
            .for_each(|(from, to)| self.network.unblock(*from, *to));
        Ok(())
    }

    /// Links go, and come back after `length`, `times` times.
    pub(super) fn flap(&mut self, ways: Vec<Way>, times: u64, length: Duration) -> Checked {
        if times > 0 && self.season == Season::Storm {
            self.block_ways(&ways);
            self.schedule(length, Event::Unblock(ways.clone()));
            self.schedule(length * 2, Event::Flap(ways, times - 1, length));
        }
        Ok(())
    }

    /// A process ends on purpose and comes back later.
    pub(super) fn end(&mut self, seat: Seat, life: Life, down: Duration) -> Checked {
        if self.machine(seat).life == life {
            self.kill(seat);
            self.schedule(down, Event::Start(seat));
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, seat: Seat) -> Checked {
        self.line(|| format!("{seat} goes on"));
        let machine = self.machine_mut(seat);
        machine.paused = false;
        for event in std::mem::take(&mut machine.held) {
            self.schedule(Duration::ZERO, event);
        }
        Ok(())
    }

    pub(super) fn quicken(&mut self, seat: Seat) -> Checked {
        self.machine_mut(seat).disk.slow = false;
        Ok(())
    }

    pub(super) fn free_room(&mut self, seat: Seat) -> Checked {
        lock(&self.machine(seat).platter).free_room();
        Ok(())
    }

    /// Ends every fault, but perhaps wrong clocks, and starts what is down, or what stopped voting; only who is absent goes down, or stays so.
    /// Nothing new happens from here on.
    pub(crate) fn heal(&mut self) -> Checked {
        self.line(|| "everything is mended".to_owned());
        self.season = Season::Calm;
        self.network.heal();
        self.plan.disk.stall = crate::rng::Chance::NEVER;
        // No clock, however wrong, may keep a cluster from deciding.
        let keep_clocks = self.rng.chance(self.plan.skewed);
        for seat in self.cast.seats() {
            self.free_room(seat)?;
            let machine = self.machine_mut(seat);
            machine.disk.slow = false;
            machine.disk.fail_next = false;
            machine.disk.ambush = None;
            machine.away_until = Instant::default();
            if !keep_clocks {
                machine.clock.set_wall_error(0);
            }
            if machine.paused {
                self.resume(seat)?;
            }
            let stopped = |process: &crate::machine::Process| process.stopped.is_some();
            let away = self.absent.contains(&seat);
            let process = self.machine(seat).process.as_ref();
            if process.is_some_and(|process| away || stopped(process)) {
                self.kill(seat);
            }
            self.schedule(Duration::ZERO, Event::Start(seat));
        }
        Ok(())
    }
}
