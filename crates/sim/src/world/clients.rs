//! Operations on their way to nodes and back.

use std::time::Duration;

use consensus::{ReadId, Role};
use model::{Height, LeafHash};
use replica::{AppliedBlock, Input, Replica};

use super::{Event, Season, World};
use crate::checks::history::ReadAnswer;
use crate::checks::{Checked, ensure};
use crate::seat::Seat;
use crate::shelf::Edited;
use crate::workload::{Certainty, Fate, OpId, Placed, State, Verdict};

/// What a request takes from a client to a node.
const CLIENT_DELAY: Duration = Duration::from_micros(100);

impl World<'_> {
    /// A client sends its next burst, all of it to one node.
    pub(super) fn client(&mut self, client: usize) -> Checked {
        if self.season == Season::Calm {
            return Ok(());
        }
        if self.quiet_until > self.now {
            let rest = self.quiet_until.since(self.now) + self.workload.pause();
            self.schedule(rest, Event::Client(client));
            return Ok(());
        }
        let burst = self.workload.burst(client, self.machines.len());
        let first = if burst.hot {
            0
        } else {
            self.rng.index(self.machines.len())
        };
        for (at, op) in burst.ops.into_iter().enumerate() {
            let wanted = if burst.rush { first + at } else { first };
            let seat = self.answering_seat(wanted);
            self.send_op(seat, op, CLIENT_DELAY);
        }
        if let Some(lull) = self.workload.lull() {
            self.quiet_until = self.now.plus(lull);
        }
        let pause = self.workload.pause();
        self.schedule(pause, Event::Client(client));
        Ok(())
    }

    /// Any machine that answers, if there is one.
    fn any_seat(&mut self) -> Seat {
        let first = self.rng.index(self.machines.len());
        self.answering_seat(first)
    }

    /// This machine or the next one that answers, if there is one; clients know no better.
    fn answering_seat(&self, first: usize) -> Seat {
        let nodes = self.machines.len();
        let mut ring = (0..nodes).map(|step| Seat((first + step) % nodes));
        ring.find(|seat| self.machine(*seat).answers())
            .unwrap_or(Seat(first % nodes))
    }

    pub(super) fn send_op(&mut self, seat: Seat, op: OpId, delay: Duration) {
        self.history.called(op);
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
        let floor = self.history.floor();
        let machine = self.machines.get(seat.0).expect("a machine for each seat");
        // A node that belongs to no cluster turns clients away.
        let member = |replica: &&Replica<_>| replica.role() != Role::Outsider;
        let Some(replica) = machine.replica().filter(member) else {
            self.retry(op, Certainty::NotDecided, Duration::from_millis(50));
            return Ok(());
        };
        let placed = self.workload.place(op, seat, replica.core(), floor);
        self.line(|| format!("client -> {seat} {op:?} {placed:?}"));
        match placed {
            Placed::Submit(sealed) => self.feed(seat, Input::Submit(sealed)),
            Placed::Read(id) => self.feed(seat, Input::Read(id)),
            Placed::Wait => self.answer_parked(seat),
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
            if self.workload.refused(op) {
                self.stats.meet("command too long");
                continue;
            }
            self.retry(op, Certainty::NotDecided, Duration::from_millis(20));
        }
    }

    pub(super) fn tell_clients(&mut self, seat: Seat, applied: &AppliedBlock) -> Checked {
        for verdict in self.workload.decided(seat, applied) {
            self.tell(seat, &verdict)?;
        }
        self.answer_parked(seat)
    }

    fn tell(&mut self, seat: Seat, verdict: &Verdict) -> Checked {
        let op = verdict.op;
        match verdict.fate {
            Fate::Stands(position) => {
                self.line(|| format!("{seat} -> client {op:?} stands at {position:?}"));
                self.chain
                    .check_acknowledged_survive(seat, verdict.request, position)?;
                self.history
                    .check_writes_linearizable(seat, op, position.height)?;
                let process = self.machine(seat).process.as_ref();
                let told = process.and_then(|process| process.shelf.edited(position));
                self.chain.check_conditional_edits(seat, position, told)?;
                let version = told.map(Edited::version);
                self.workload.answered(op, position.height, version);
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

    pub(super) fn read_ready(&mut self, seat: Seat, id: ReadId, enough: Height) -> Checked {
        let Some(op) = self.workload.read_ready(id) else {
            return Ok(());
        };
        let answer = self.read_answer(seat, op, enough);
        self.history.check_reads_linearizable(op, answer)?;
        self.show(op, answer)
    }

    /// Answers the reads that are content with the height a node is at.
    fn answer_parked(&mut self, seat: Seat) -> Checked {
        let tip = self.tip(seat).unwrap_or_default();
        for op in self.workload.unpark(seat, tip) {
            let answer = self.read_answer(seat, op, Height::GENESIS);
            self.history.check_minimum_heights(op, answer)?;
            self.show(op, answer)?;
        }
        Ok(())
    }

    fn read_answer(&self, seat: Seat, op: OpId, enough: Height) -> ReadAnswer {
        ReadAnswer {
            seat,
            height: self.tip(seat).unwrap_or_default(),
            enough,
            floor: self.workload.op(op).floor,
        }
    }

    /// A client reads the version of a file in the node's present state.
    fn show(&mut self, op: OpId, answer: ReadAnswer) -> Checked {
        let ReadAnswer { seat, height, .. } = answer;
        let file = self.workload.op(op).file;
        let process = self.machine(seat).process.as_ref();
        let version = process.map_or(0, |process| process.shelf.version(file));
        self.line(|| format!("{seat} -> client {op:?} reads version {version} at {height}"));
        self.chain
            .check_reads_see_the_chain(seat, height, file, version)?;
        self.workload.answered(op, height, Some(version));
        Ok(())
    }
}
