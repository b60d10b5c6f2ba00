//! Engine, ledger and core state behind one synchronous step function.
