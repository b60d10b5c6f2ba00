//! Driving disks: when they write, how long a flush takes, what it returns.

use std::io;
use std::time::Duration;

use ledger::Completion;
use replica::Input;

use super::{DiskStep, Event, World};
use crate::checks::Checked;
use crate::disk::{Begun, Wish, lock};
use crate::machine::Life;
use crate::nemesis::Moment;
use crate::seat::Seat;

/// Lazy records wait at most this long for company.
const LAZY_WAIT: Duration = Duration::from_millis(20);
/// How often a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_millis(500);

impl World<'_> {
    /// Lets the disk thread see what was queued.
    pub(super) fn poke_disk(&mut self, seat: Seat) {
        let machine = self.machine_mut(seat);
        if machine.disk.told_full {
            return;
        }
        let life = machine.life;
        let wish = lock(&machine.platter).wish();
        match wish {
            Wish::Nothing => {}
            Wish::Now => self.begin_flush(seat),
            Wish::Later if machine.disk.lazy_due => {}
            Wish::Later => {
                machine.disk.lazy_due = true;
                self.schedule(LAZY_WAIT, Event::Disk(seat, life, DiskStep::Begin));
            }
        }
    }

    fn begin_flush(&mut self, seat: Seat) {
        let life = self.machine(seat).life;
        let begun = lock(&self.machine(seat).platter).begin();
        match begun {
            Begun::Flushing => {
                let takes = self.flush_time(seat);
                if let Some((Moment::Flushing, down)) = self.machine(seat).disk.ambush {
                    let at = self.rng.duration(Duration::ZERO..takes);
                    self.schedule(at, Event::PowerFails(seat, life, down));
                }
                self.schedule(takes, Event::Disk(seat, life, DiskStep::Finish));
            }
            Begun::Full => {
                self.machine_mut(seat).disk.told_full = true;
                self.schedule(Duration::ZERO, Event::Disk(seat, life, DiskStep::TellFull));
                self.schedule(FULL_RETRY, Event::Disk(seat, life, DiskStep::Retry));
            }
        }
    }

    fn flush_time(&mut self, seat: Seat) -> Duration {
        let health = &self.machine(seat).disk;
        let (usual, slow) = (health.flush, health.slow);
        if slow || self.rng.chance(self.plan.disk.stall) {
            return self
                .rng
                .duration(Duration::from_millis(200)..Duration::from_secs(5));
        }
        self.rng.with_tail(usual, self.plan.disk.jitter)
    }

    pub(super) fn disk_step(&mut self, seat: Seat, life: Life, step: DiskStep) -> Checked {
        if self.machine(seat).life != life {
            return Ok(());
        }
        match step {
            DiskStep::Begin => {
                self.machine_mut(seat).disk.lazy_due = false;
                let wish = lock(&self.machine(seat).platter).wish();
                if wish != Wish::Nothing && !self.machine(seat).disk.told_full {
                    self.begin_flush(seat);
                }
                Ok(())
            }
            DiskStep::Finish if self.machine(seat).disk.fail_next => self.fail_flush(seat),
            DiskStep::Finish => self.finish_flush(seat),
            DiskStep::TellFull => {
                self.line(|| format!("{seat} disk is full"));
                self.feed(seat, Input::Disk(Completion::Full))
            }
            DiskStep::Retry => self.retry_full(seat, life),
        }
    }

    fn finish_flush(&mut self, seat: Seat) -> Checked {
        let durable = lock(&self.machine(seat).platter).finish();
        if let Some((Moment::Flushed, down)) = self.machine(seat).disk.ambush {
            let life = self.machine(seat).life;
            return self.power_fails(seat, life, down);
        }
        self.poke_disk(seat);
        let Some(seq) = durable else { return Ok(()) };
        self.line(|| format!("{seat} disk is durable through {seq}"));
        self.trace.mix(&[seat.0 as u64, seq.0]);
        self.feed(seat, Input::Disk(Completion::Durable(seq)))
    }

    /// The flush fails: the process is told, and restarted by whoever looks after it.
    fn fail_flush(&mut self, seat: Seat) -> Checked {
        self.line(|| format!("{seat} disk fails to flush"));
        let machine = self.machine_mut(seat);
        machine.disk.fail_next = false;
        machine.disk.spoiled = true;
        let (down, life) = (machine.disk.down, machine.life);
        let platter = self.platter(seat);
        lock(&platter).fail(&mut self.rng);
        let failed = Completion::Failed(io::Error::other("simulated"));
        self.feed(seat, Input::Disk(failed))?;
        self.schedule(down, Event::End(seat, life, down));
        Ok(())
    }

    fn retry_full(&mut self, seat: Seat, life: Life) -> Checked {
        let has_room = lock(&self.machine(seat).platter).has_room();
        if !has_room {
            self.schedule(FULL_RETRY, Event::Disk(seat, life, DiskStep::Retry));
            return Ok(());
        }
        self.line(|| format!("{seat} disk has room again"));
        self.machine_mut(seat).disk.told_full = false;
        self.poke_disk(seat);
        self.feed(seat, Input::Disk(Completion::Room))
    }
}
