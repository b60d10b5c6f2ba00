//! Operations on their way to nodes and back.

use std::time::Duration;

use consensus::ReadId;
use model::{Height, LeafHash};
use replica::{AppliedBlock, Input};

use super::{Event, Season, World};
use crate::checks::{Checked, ensure};
use crate::seat::Seat;
use crate::workload::{Certainty, Fate, OpId, Placed, State, Verdict};

/// What a request takes from a client to a node.
const CLIENT_DELAY: Duration = Duration::from_micros(100);

impl World<'_> {
    /// A client sends its next burst, all of it to one node.
    pub(super) fn client(&mut self, client: usize) -> Checked {
        if self.season == Season::Calm {
            return Ok(());
        }
        let seat = self.any_seat();
        for op in self.workload.burst() {
            self.send_op(seat, op, CLIENT_DELAY);
        }
        let pause = self.workload.pause();
        self.schedule(pause, Event::Client(client));
        Ok(())
    }

    /// A machine that answers, if there is one; clients know no better.
    fn any_seat(&mut self) -> Seat {
        let first = self.rng.index(self.plan.nodes);
        let ring = (0..self.plan.nodes).map(|step| Seat((first + step) % self.plan.nodes));
        ring.clone()
            .find(|seat| self.machine(*seat).answers())
            .unwrap_or(Seat(first))
    }

    pub(super) fn send_op(&mut self, seat: Seat, op: OpId, delay: Duration) {
        let attempt = self.workload.op(op).attempt;
        let patience = self.workload.patience();
        self.schedule(delay, Event::Reach(seat, op, attempt));
        self.schedule(delay + patience, Event::TimeOut(op, attempt));
    }

    /// A request reaches a node, which takes it if it is there.
    pub(super) fn reach(&mut self, seat: Seat, op: OpId, attempt: u32) -> Checked {
        let known = self.workload.op(op);
        if known.state != State::Waiting || known.attempt != attempt {
            return Ok(());
        }
        let floor = self.answers.floor();
        let machine = self.machines.get(seat.0).expect("a machine for each seat");
        let Some(replica) = machine.replica() else {
            self.retry(op, Certainty::NotDecided, Duration::from_millis(50));
            return Ok(());
        };
        let placed = self.workload.place(op, seat, replica.core(), floor);
        self.line(|| format!("client -> {seat} {op:?} {placed:?}"));
        match placed {
            Placed::Submit(sealed) => self.feed(seat, Input::Submit(sealed)),
            Placed::Read(id) => self.feed(seat, Input::Read(id)),
            Placed::Remembered(request, position) => {
                let fate = Fate::Stands(position);
                self.tell(seat, &Verdict { op, request, fate })
            }
        }
    }

    pub(super) fn time_out(&mut self, op: OpId, attempt: u32) -> Checked {
        if self.workload.op(op).attempt == attempt {
            self.retry(op, Certainty::MayBeDecided, Duration::ZERO);
        }
        Ok(())
    }

    fn retry(&mut self, op: OpId, certain: Certainty, pause: Duration) {
        if self.workload.retry(op, certain) {
            let seat = self.any_seat();
            self.send_op(seat, op, pause + CLIENT_DELAY);
        }
    }

    /// The clients of a process that died see their connections break.
    pub(super) fn connections_lost(&mut self, seat: Seat) {
        for op in self.workload.lost(seat) {
            self.retry(op, Certainty::MayBeDecided, Duration::from_millis(1));
        }
    }

    pub(super) fn commands_dropped(&mut self, seat: Seat, leaves: &[LeafHash]) {
        for op in self.workload.dropped(seat, leaves) {
            self.retry(op, Certainty::NotDecided, Duration::from_millis(20));
        }
    }

    pub(super) fn tell_clients(&mut self, seat: Seat, applied: &AppliedBlock) -> Checked {
        for verdict in self.workload.decided(seat, applied) {
            self.tell(seat, &verdict)?;
        }
        Ok(())
    }

    fn tell(&mut self, seat: Seat, verdict: &Verdict) -> Checked {
        let op = verdict.op;
        match verdict.fate {
            Fate::Stands(position) => {
                self.line(|| format!("{seat} -> client {op:?} stands at {position:?}"));
                self.chain
                    .check_acknowledged_survive(seat, verdict.request, position)?;
                self.answers.wrote(position.height);
                self.workload.answered(op, position.height);
                Ok(())
            }
            Fate::Expired => {
                self.retry(op, Certainty::NotDecided, Duration::from_millis(20));
                Ok(())
            }
            Fate::Stolen(position) => ensure(false, "check_applied_once", || {
                format!("{seat} says that the key of {op:?} was used at {position:?}")
            }),
        }
    }

    pub(super) fn read_ready(&mut self, seat: Seat, id: ReadId, height: Height) -> Checked {
        let tip = self.tip(seat).unwrap_or_default();
        let Some(op) = self.workload.read_ready(id) else {
            return Ok(());
        };
        self.line(|| format!("{seat} -> client {op:?} reads at {height}"));
        let floor = self.workload.op(op).floor;
        self.answers
            .check_reads_linearizable(seat, height, floor, tip)?;
        self.workload.answered(op, height);
        Ok(())
    }
}
