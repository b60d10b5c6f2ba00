//! Engine, ledger and core state behind one synchronous step function.
//!
//! The replica owns the rule *persist, then send*: an effect of the engine names the record it rests on, and the
//! message waits here until the disk has reported that record, and with it every earlier byte of the log, durable.
//! It runs on one thread and knows no socket, no clock and no runtime, so that the simulator can run many of them
//! and attack exactly this order.
//!
//! A node drives it like this: hand in an [`Input`] with the time, drain [`Replica::poll_output`], and hand in
//! [`Input::Wake`] when [`Replica::next_wake`] is due.

mod belief;
mod caretaker;
mod core_state;
mod heads;
mod input;
mod opening;
mod replica;

pub use belief::{Claim, begin_with, believed, is_believed};
pub use caretaker::{Care, NODE_ITSELF};
pub use core_state::{CoreState, Disposition, Remembered};
pub use input::{AppliedBlock, Input, Output};
pub use opening::{Known, core_at, replay, replay_knowing};
pub use replica::{Config, OpenError, Replica, Start, Status};
