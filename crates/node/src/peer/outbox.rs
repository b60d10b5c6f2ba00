//! Messages waiting to go to one peer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::Stream;

use super::generated::Frame;
use super::wire;

/// Messages that may wait. A peer that is that far behind catches up by fetching blocks.
const WAITING_MAX: usize = 4096;
/// Their bytes: a few blocks.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// After this long a message is not sent any more: its sender has repeated it, or the matter is settled.
const AGE_MAX: Duration = Duration::from_secs(3);
/// A frame takes messages up to here, so that none waits behind a mountain; one alone may be larger.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// A bounded queue that is drained by the newest stream opened on it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    dropped: u64,
    /// Counts the streams opened; only the last one is served, and only while it is open.
    streams: u64,
    open: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    message: Bytes,
}

impl Outbox {
    /// Queues a message, or drops it if too much waits already.
    pub(super) fn push(&self, message: Bytes) {
        let now = Instant::now();
        let mut state = self.lock();
        if !state.has_room(message.len()) {
            state.expire(now);
        }
        let fits = message.len() <= wire::MESSAGE_BYTES_MAX && state.has_room(message.len());
        if !fits {
            state.dropped += 1;
            return;
        }
        state.bytes += message.len();
        state.waiting.push_back(Waiting {
            since: now,
            message,
        });
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Opens the stream that drains the outbox from here on.
    pub(super) fn open(self: &Arc<Self>, chain: Bytes) -> Frames {
        let mut state = self.lock();
        state.streams += 1;
        state.open = true;
        Frames {
            outbox: self.clone(),
            chain,
            stream: state.streams,
        }
    }

    /// No stream drains the outbox until one is opened again.
    pub(super) fn close(&self) {
        self.lock().open = false;
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().open
    }

    /// How many messages wait, and how many bytes they are.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.bytes)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn poll_batch(&self, stream: u64, context: &Context<'_>) -> Poll<Option<Vec<Bytes>>> {
        let mut state = self.lock();
        if !state.open || state.streams != stream {
            return Poll::Ready(None);
        }
        state.expire(Instant::now());
        let batch = state.take_batch();
        if batch.is_empty() {
            state.waker = Some(context.waker().clone());
            Poll::Pending
        } else {
            Poll::Ready(Some(batch))
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl State {
    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < WAITING_MAX && self.bytes + bytes <= WAITING_BYTES_MAX
    }

    fn expire(&mut self, now: Instant) {
        while let Some(first) = self.waiting.front() {
            if now.duration_since(first.since) < AGE_MAX {
                return;
            }
            self.pop();
            self.dropped += 1;
        }
    }

    fn take_batch(&mut self) -> Vec<Bytes> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(first) = self.waiting.front() {
            bytes += first.message.len();
            if bytes > FRAME_BYTES_MAX && !batch.is_empty() {
                break;
            }
            batch.extend(self.pop());
        }
        batch
    }

    fn pop(&mut self) -> Option<Bytes> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.message.len();
        Some(first.message)
    }
}

/// The stream of frames that goes over the wire. It ends when its outbox is closed or another is opened.
pub(super) struct Frames {
    outbox: Arc<Outbox>,
    chain: Bytes,
    stream: u64,
}

impl Stream for Frames {
    type Item = Frame;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        let frame = |messages| Frame {
            chain_id: self.chain.clone(),
            messages,
        };
        self.outbox
            .poll_batch(self.stream, context)
            .map(|batch| batch.map(frame))
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn frames(outbox: &Arc<Outbox>) -> Frames {
        outbox.open(Bytes::from_static(&[7; 16]))
    }

    fn sizes(frame: &Frame) -> Vec<usize> {
        frame.messages.iter().map(Bytes::len).collect()
    }

    #[test]
    fn everything_that_waits_goes_in_one_frame() {
        let outbox = Arc::new(Outbox::default());
        let mut frames = frames(&outbox);
        assert!(frames.next().now_or_never().is_none());
        outbox.push(Bytes::from_static(b"a"));
        outbox.push(Bytes::from_static(b"bc"));
        let frame = frames.next().now_or_never().unwrap().unwrap();
        assert_eq!(sizes(&frame), [1, 2]);
        assert!(frames.next().now_or_never().is_none());
    }

    #[test]
    fn a_frame_is_bounded_but_a_message_goes_whole() {
        let outbox = Arc::new(Outbox::default());
        let mut frames = frames(&outbox);
        for size in [3 << 20, 100, 1 << 19, 1 << 19, 5] {
            outbox.push(vec![0; size].into());
        }
        let mut next = || sizes(&frames.next().now_or_never().unwrap().unwrap());
        assert_eq!(next(), [3 << 20]);
        assert_eq!(next(), [100, 1 << 19]);
        assert_eq!(next(), [1 << 19, 5]);
    }

    #[test]
    fn a_full_outbox_drops_what_is_new() {
        let outbox = Arc::new(Outbox::default());
        for _ in 0..WAITING_MAX + 10 {
            outbox.push(Bytes::from_static(b"x"));
        }
        assert_eq!(outbox.dropped(), 10);
        let outbox = Arc::new(Outbox::default());
        for _ in 0..6 {
            outbox.push(vec![0; 3 << 20].into());
        }
        assert_eq!(outbox.dropped(), 1);
        outbox.push(vec![0; wire::MESSAGE_BYTES_MAX + 1].into());
        assert_eq!(outbox.dropped(), 2);
    }

    #[test]
    fn what_waited_too_long_is_not_sent() {
        let outbox = Arc::new(Outbox::default());
        outbox.push(Bytes::from_static(b"old"));
        let mut state = outbox.lock();
        state.expire(Instant::now() + AGE_MAX);
        assert_eq!((state.waiting.len(), state.bytes, state.dropped), (0, 0, 1));
    }

    #[test]
    fn only_the_newest_stream_is_served() {
        let outbox = Arc::new(Outbox::default());
        let mut old = frames(&outbox);
        let mut new = frames(&outbox);
        outbox.push(Bytes::from_static(b"x"));
        assert_eq!(old.next().now_or_never(), Some(None));
        assert!(new.next().now_or_never().is_some());
        outbox.close();
        assert_eq!(new.next().now_or_never(), Some(None));
    }
}
