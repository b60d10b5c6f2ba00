//! Immutable bytes named by their SHA-256, on a node's own disk.
