//! Checks on what clients are told.

use model::Height;

use super::{Checked, ensure};
use crate::seat::Seat;

/// What any client could know by now.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    floor: Height,
    written: Height,
}

impl Answers {
    /// The lowest height that a linearizable read started now may answer from.
    pub(crate) fn floor(&self) -> Height {
        self.floor
    }

    /// The highest height of an acknowledged write.
    pub(crate) fn written(&self) -> Height {
        self.written
    }

    /// A write at this height was acknowledged.
    pub(crate) fn wrote(&mut self, height: Height) {
        self.written = self.written.max(height);
        self.floor = self.floor.max(height);
    }

    /// A read was answered. `floor` is that of the moment it started; `tip` the answering node's.
    pub(crate) fn check_reads_linearizable(
        &mut self,
        seat: Seat,
        height: Height,
        floor: Height,
        tip: Height,
    ) -> Checked {
        const CHECK: &str = "check_reads_linearizable";
        ensure(height >= floor, CHECK, || {
            format!("{seat} reads at {height}, before that a client knew of {floor}")
        })?;
        ensure(height <= tip, CHECK, || {
            format!("{seat} reads at {height} and has decided {tip}")
        })?;
        self.floor = self.floor.max(height);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_do_not_go_back() {
        let mut answers = Answers::default();
        answers.wrote(Height(4));
        let floor = answers.floor();
        assert!(
            answers
                .check_reads_linearizable(Seat(0), Height(3), floor, Height(9))
                .is_err()
        );
        assert!(
            answers
                .check_reads_linearizable(Seat(0), Height(6), floor, Height(5))
                .is_err()
        );
        answers
            .check_reads_linearizable(Seat(0), Height(6), floor, Height(9))
            .unwrap();
        assert_eq!(answers.floor(), Height(6));
        answers
            .check_reads_linearizable(Seat(1), Height(5), floor, Height(9))
            .unwrap();
    }
}
