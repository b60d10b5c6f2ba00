//! The queryable view of the ledger, in SQLite.
