//! Writes on their way from the replica thread to the disk's thread.
//!
//! It has no bound of its own: the replica lets a few records wait for the disk and no more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ledger::Write;
use prometheus::IntGauge;

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// How many writes wait, for operators.
    length: IntGauge,
}

#[derive(Debug, Default)]
struct State {
    writes: VecDeque<Write>,
    /// How many of them are not lazy.
    urgent: usize,
    closed: bool,
}

impl Queue {
    /// Empty, with its length shown by `length`.
    pub(super) fn new(length: IntGauge) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            length,
        }
    }

    pub(super) fn push(&self, write: Write) {
        let mut state = self.lock();
        let first = state.writes.is_empty();
        let urgent = !write.lazy;
        state.urgent += usize::from(urgent);
        state.writes.push_back(write);
        // Under the lock, so that the count is never below zero.
        self.length.inc();
        drop(state);
        // A lazy write that joins others changes nothing for the thread.
        if first || urgent {
            self.changed.notify_one();
        }
    }

    /// No more writes will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for writes and takes all of them; nothing once the queue is closed and empty. If all are lazy, waits up
    /// to `lazy_wait` for one that is not.
    pub(super) fn take(&self, lazy_wait: Duration) -> Option<VecDeque<Write>> {
        let mut state = self.lock();
        while state.writes.is_empty() && !state.closed {
            state = self.changed.wait(state).expect(LOCK);
        }
        let deadline = Instant::now() + lazy_wait;
        while state.urgent == 0 && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).expect(LOCK).0;
        }
        state.urgent = 0;
        let writes = std::mem::take(&mut state.writes);
        self.length
            .sub(i64::try_from(writes.len()).unwrap_or(i64::MAX));
        (!writes.is_empty()).then_some(writes)
    }

    /// Waits for `pause`, or until the queue is closed; tells whether it still is open.
    pub(super) fn stays_open(&self, pause: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, pause, |state| !state.closed)
            .expect(LOCK);
        !state.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(LOCK)
    }
}

const LOCK: &str = "nothing panics while it holds this lock";
