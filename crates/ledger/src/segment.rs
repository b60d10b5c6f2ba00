//! Segments: immutable files of decided blocks with their certificates.
//!
//! The log is written in the order in which a node lived; a segment holds what it decided, and nothing else, so it may
//! be copied, archived and handed to a node that joins. It proves itself to whoever knows the block below it and who
//! belonged to the cluster above that.

mod name;

pub use name::{ParseSegmentNameError, SegmentName};
