//! What happens next: events in order of time, and of scheduling within an instant.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use model::Instant;

/// An event and its time. Later ones are smaller, for the heap.
struct Scheduled<E> {
    at: Instant,
    order: u64,
    event: E,
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Simulated time and what is still to happen in it.
pub struct Timeline<E> {
    now: Instant,
    order: u64,
    queue: BinaryHeap<Scheduled<E>>,
}

impl<E> Default for Timeline<E> {
    fn default() -> Self {
        Self {
            now: Instant::default(),
            order: 0,
            queue: BinaryHeap::new(),
        }
    }
}

impl<E> Timeline<E> {
    /// The simulated time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Lets `event` happen at `at`, or now if that has passed.
    pub fn at(&mut self, at: Instant, event: E) {
        self.order += 1;
        self.queue.push(Scheduled {
            at: at.max(self.now),
            order: self.order,
            event,
        });
    }

    /// Lets `event` happen in a while.
    pub fn after(&mut self, wait: Duration, event: E) {
        self.at(self.now.plus(wait), event);
    }

    /// The next event, if it comes by `deadline`; otherwise time moves there.
    pub fn next(&mut self, deadline: Instant) -> Option<E> {
        if self.queue.peek().is_none_or(|next| next.at > deadline) {
            self.now = self.now.max(deadline);
            return None;
        }
        let Scheduled { at, event, .. } = self.queue.pop()?;
        self.now = at;
        Some(event)
    }

    /// The next event, however late.
    pub fn pop(&mut self) -> Option<E> {
        let Scheduled { at, event, .. } = self.queue.pop()?;
        self.now = at;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_and_then_of_scheduling() {
        let mut timeline = Timeline::default();
        timeline.at(Instant::from_millis(2), 'c');
        timeline.at(Instant::from_millis(1), 'a');
        timeline.at(Instant::from_millis(1), 'b');
        let deadline = Instant::from_millis(1);
        assert_eq!(timeline.next(deadline), Some('a'));
        assert_eq!(timeline.next(deadline), Some('b'));
        assert_eq!(timeline.next(deadline), None);
        assert_eq!(timeline.pop(), Some('c'));
        assert_eq!(timeline.now(), Instant::from_millis(2));
    }
}
