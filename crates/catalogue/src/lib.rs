//! The queryable view of the ledger, in SQLite.
mod access;
mod apply;
mod digest;
mod field;
pub mod file;
mod history;
mod index;
mod key;
mod outcome;
pub mod query;
mod row;
pub mod rules;
mod schema;
mod stored;
pub mod time;
