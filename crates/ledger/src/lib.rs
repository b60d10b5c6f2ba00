//! The hash chain of decided blocks and the durable votes, on disk.
