//! Checks on what clients are told: is there an order of all operations that explains every answer?
//!
//! In general that question is hard. Here the order is given: a write that was acknowledged names its position in the
//! chain, and a read was answered from the state after one height. Put every write at its position and every read
//! behind the last command of its height. Then the history is linearizable if
//!
//! 1. this order keeps real time: an operation called after another one was answered comes after it in the order. It is
//!    enough to remember one height, the highest that any answer has shown: a write called later must stand above it,
//!    a read called later must see at least it. A write without an answer may stand anywhere after its call, or nowhere;
//! 2. nothing takes effect before it was called: every command in a block was handed to a node before;
//! 3. every answer is what that order gives: the position holds that request (once), a conditional edit was done or
//!    refused as the versions at its position say, and a read sees the versions of its height. The reference that says
//!    so applies the blocks one after the other, which is the sequential specification.
//!
//! All of it is checked with each answer, so the first answer that no order explains ends the run.

use std::collections::BTreeMap;

use model::Height;

use super::{Checked, ensure};
use crate::seat::Seat;
use crate::workload::OpId;

/// What any client could know by now.
#[derive(Debug, Default)]
pub(crate) struct History {
    floor: Height,
    written: Height,
    /// The floor at the first call of each operation that is not answered.
    called: BTreeMap<OpId, Height>,
}

/// A read's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadAnswer {
    pub(crate) seat: Seat,
    /// The state it was answered from.
    pub(crate) height: Height,
    /// What the replica said is enough.
    pub(crate) enough: Height,
    /// What was known when the request reached the node, or what the client asked for.
    pub(crate) floor: Height,
}

impl History {
    /// A client calls, for the first time or again.
    pub(crate) fn called(&mut self, op: OpId) {
        self.called.entry(op).or_insert(self.floor);
    }

    /// The lowest height that a linearizable read started now may answer from.
    pub(crate) fn floor(&self) -> Height {
        self.floor
    }

    /// The highest height of an acknowledged write.
    pub(crate) fn written(&self) -> Height {
        self.written
    }

    /// A write was answered with this height.
    pub(crate) fn check_writes_linearizable(
        &mut self,
        seat: Seat,
        op: OpId,
        height: Height,
    ) -> Checked {
        let called = self.called.remove(&op).unwrap_or_default();
        ensure(height > called, "check_writes_linearizable", || {
            format!("{seat} puts {op:?} at {height}, when it was called a client knew of {called}")
        })?;
        self.written = self.written.max(height);
        self.floor = self.floor.max(height);
        Ok(())
    }

    /// A linearizable read was answered.
    pub(crate) fn check_reads_linearizable(&mut self, op: OpId, answer: ReadAnswer) -> Checked {
        const CHECK: &str = "check_reads_linearizable";
        self.called.remove(&op);
        let ReadAnswer {
            seat,
            height,
            enough,
            floor,
        } = answer;
        ensure(height >= floor, CHECK, || {
            format!("{seat} reads at {height}, before that a client knew of {floor}")
        })?;
        ensure(enough >= floor, CHECK, || {
            format!("{seat} calls {enough} enough, before that a client knew of {floor}")
        })?;
        ensure(height >= enough, CHECK, || {
            format!("{seat} calls {enough} enough and has decided {height}")
        })?;
        self.floor = self.floor.max(height);
        Ok(())
    }

    /// A read that asked for at least a height was answered. It shows what it shows to its client alone, and so says
    /// nothing to others but that the height exists.
    pub(crate) fn check_minimum_heights(&mut self, op: OpId, answer: ReadAnswer) -> Checked {
        self.called.remove(&op);
        let ReadAnswer {
            seat,
            height,
            floor,
            ..
        } = answer;
        ensure(height >= floor, "check_minimum_heights", || {
            format!("{seat} reads at {height}, asked was {floor}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(enough: u64, height: u64, floor: Height) -> ReadAnswer {
        ReadAnswer {
            seat: Seat(0),
            height: Height(height),
            enough: Height(enough),
            floor,
        }
    }

    fn written(history: &mut History, op: u64, height: u64) -> Checked {
        history.called(OpId(op));
        history.check_writes_linearizable(Seat(0), OpId(op), Height(height))
    }

    #[test]
    fn reads_do_not_go_back() {
        let mut history = History::default();
        written(&mut history, 1, 4).unwrap();
        let floor = history.floor();
        let mut read = |answer| history.check_reads_linearizable(OpId(2), answer);
        assert!(read(answer(3, 3, floor)).is_err(), "stale");
        assert!(read(answer(3, 9, floor)).is_err(), "new by luck");
        assert!(read(answer(6, 5, floor)).is_err(), "not yet decided");
        read(answer(6, 9, floor)).unwrap();
        assert_eq!(history.floor(), Height(9));
    }

    #[test]
    fn a_write_stands_above_everything_known_at_its_call() {
        let mut history = History::default();
        history.called(OpId(1));
        history.called(OpId(2));
        written(&mut history, 3, 5).unwrap();
        let mut write =
            |op, height| history.check_writes_linearizable(Seat(1), OpId(op), Height(height));
        write(1, 4).unwrap();
        write(2, 5).unwrap();
        assert!(written(&mut history, 4, 5).is_err());
        assert!(written(&mut history, 5, 2).is_err());
        written(&mut history, 6, 6).unwrap();
    }
}
