//! One hash over everything the catalogue says, so that nodes can be compared at equal height.
//!
//! Rows are taken in the order of their primary keys and folded one by one: the next digest is the SHA-256 of the
//! last one and the row. Index tables are left out: they repeat the records and may follow a newer Unicode. So are row
//! ids themselves: their order is what counts, and files that were purged leave gaps only where they once were.

use model::Digest;
use model::codec::{Encode, encode_bytes};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

pub(crate) const TABLES: [&str; 27] = [
    "SELECT height, hash, time FROM applied",
    "SELECT library, created, title, shared, retired FROM libraries ORDER BY library",
    "SELECT library, file, arrival, record FROM files ORDER BY id",
    "SELECT library, file, height, idx, time, actor, kind, version, changes,
            operation FROM history
     ORDER BY library, file, height, idx",
    "SELECT library, blob, token, size, expires FROM puts ORDER BY blob, token",
    "SELECT library, upload, token, size, described, arrived, file, expires FROM uploads
     ORDER BY upload",
    "SELECT library, upload, start, size, blob FROM parts ORDER BY upload, start",
    "SELECT library, token, name, scope, secret, created, creator, revoked, owner, expires, session,
            used FROM tokens
     ORDER BY token",
    "SELECT library, height, idx, expires, verdict FROM outcomes ORDER BY height, idx",
    "SELECT height, idx, library, file, actor, residue, time FROM mentions ORDER BY height, idx",
    "SELECT height, idx, library, time FROM purges ORDER BY height, idx",
    "SELECT height, idx, actor, residue, by_height, by_idx FROM purged ORDER BY height, idx",
    "SELECT height, idx, node, time FROM erased ORDER BY height, idx, node",
    "SELECT height, time FROM marks ORDER BY height",
    "SELECT height, node, version, digest FROM vouched ORDER BY height, node",
    "SELECT library, number, name, definition, retired FROM fields ORDER BY library, number",
    "SELECT library, album, definition FROM albums ORDER BY library, album",
    "SELECT library, operation, height, idx, time, actor, step, ended FROM operations
     ORDER BY operation",
    "SELECT library, operation, file, height, idx, result, detail FROM taken
     ORDER BY operation, file",
    "SELECT user, name, role, state, created, creator FROM users ORDER BY user",
    "SELECT user, library, secret, hash FROM passwords ORDER BY user",
    "SELECT secret, library FROM replaced ORDER BY secret",
    "SELECT url, home, era, since FROM originals",
    "SELECT height, idx, time, through, snapshot, version, digest FROM prunes ORDER BY height, idx",
    "SELECT library, member, role FROM members ORDER BY library, member",
    "SELECT library, height, idx, time, actor, step FROM library_history
     ORDER BY library, height, idx",
    "SELECT library, share, secret, file, definition, sharer, actor, created, revoked FROM shares
     ORDER BY library, share",
];

/// The digest of the state that `db` shows.
pub(crate) fn digest(db: &Connection) -> rusqlite::Result<Digest> {
    let mut digest = Digest::of(&[b"starling/catalogue/v1"]);
    let mut bytes = Vec::new();
    for (table, sql) in (0_u8..).zip(TABLES) {
        let mut query = db.prepare(sql)?;
        let columns = query.column_count();
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            bytes.clear();
            for column in 0..columns {
                encode_value(row.get_ref(column)?, &mut bytes);
            }
            digest = Digest::of(&[&digest.0, &[table], &bytes]);
        }
    }
    Ok(digest)
}

pub(crate) fn encode_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => out.push(0),
        ValueRef::Integer(number) => {
            out.push(1);
            number.encode(out);
        }
        ValueRef::Real(number) => {
            out.push(2);
            number.encode(out);
        }
        ValueRef::Text(bytes) => {
            out.push(3);
            encode_bytes(bytes, out);
        }
        ValueRef::Blob(bytes) => {
            out.push(4);
            encode_bytes(bytes, out);
        }
    }
}
