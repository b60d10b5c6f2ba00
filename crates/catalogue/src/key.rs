//! Row ids that are dates, so that "the newest fifty" never sorts.
//!
//! A file's row id is the millisecond its picture was taken, on the camera's clock, and a sequence number of 14
//! bits. Full-text rows, tag rows, position rows and the table itself all share it, so each of them is already in
//! date order and a search can stop at its limit. When more than 16,384 files share a millisecond the rest take the
//! next free milliseconds: their order among themselves is kept, and exact comparisons use the capture time itself.
//! Undated files lie below all dates, in order of arrival.

use model::file::LocalTime;
use rusqlite::{Connection, OptionalExtension};

use crate::time;

/// Bits of the sequence number.
const SEQUENCE_BITS: u32 = 14;
/// Milliseconds' worth of row ids below the year 1: room for 2^60 undated files.
const UNDATED_SLOTS: i64 = 1 << 46;
/// A row id. Invariant: positive; at least [`RowKey::FIRST_DATED`] if and only if the file has a capture time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey(pub(crate) i64);

impl RowKey {
    /// Lower than every dated row, higher than every undated one.
    pub(crate) const FIRST_DATED: Self = Self(UNDATED_SLOTS << SEQUENCE_BITS);

    /// The month the row lies in, counted from the year 0; nothing if it is undated.
    pub(crate) fn month(self) -> Option<i32> {
        let millis = (self.0 >> SEQUENCE_BITS) - UNDATED_SLOTS;
        let micros = LocalTime::MIN.micros() + millis.max(0) * 1_000;
        let time = LocalTime::from_micros(micros.min(LocalTime::MAX.micros()))?;
        (self >= Self::FIRST_DATED).then(|| time::month(time))
    }

    /// A free row id for a file taken at `taken`: the one behind all others of its millisecond.
    pub(crate) fn free(db: &Connection, taken: Option<LocalTime>) -> rusqlite::Result<Self> {
        let Some(time) = taken else {
            let last = last_between(db, Self(0), Self(Self::FIRST_DATED.0 - 1))?;
            return Ok(last.map_or(Self(1), |last| Self(last.0 + 1)));
        };
        let mut slot = slot(time);
        loop {
            let first = Self(slot << SEQUENCE_BITS);
            let end = Self(((slot + 1) << SEQUENCE_BITS) - 1);
            match last_between(db, first, end)? {
                None => return Ok(first),
                Some(last) if last < end => return Ok(Self(last.0 + 1)),
                Some(_) => slot += 1,
            }
        }
    }
}

fn slot(time: LocalTime) -> i64 {
    time.micros().div_euclid(1_000) - LocalTime::MIN.micros().div_euclid(1_000) + UNDATED_SLOTS
}

fn last_between(db: &Connection, first: RowKey, end: RowKey) -> rusqlite::Result<Option<RowKey>> {
    db.prepare_cached("SELECT id FROM files WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")?
        .query_row([first.0, end.0], |row| row.get(0).map(RowKey))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lowest row id that a file taken at `time` can have.
    fn first_at(time: LocalTime) -> RowKey {
        RowKey(slot(time) << SEQUENCE_BITS)
    }

    #[test]
    fn keys_are_positive_and_in_date_order() {
        let epoch = LocalTime::from_micros(0).unwrap();
        let times = [
            LocalTime::MIN,
            epoch,
            LocalTime::from_micros(1_000).unwrap(),
            LocalTime::MAX,
        ];
        assert_eq!(first_at(LocalTime::MIN), RowKey::FIRST_DATED);
        for pair in times.windows(2) {
            assert!(first_at(pair[0]) < first_at(pair[1]));
            assert_eq!(first_at(pair[0]).month(), Some(time::month(pair[0])));
        }
        assert!(first_at(LocalTime::MAX).0 > 0);
        assert_eq!(RowKey(1).month(), None);
    }

    #[test]
    fn a_full_millisecond_spills_into_the_next() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE files(id INTEGER PRIMARY KEY)")
            .unwrap();
        let time = LocalTime::from_micros(1_234_567).unwrap();
        let first = RowKey::free(&db, Some(time)).unwrap();
        assert_eq!(first, first_at(time));
        let last = first.0 + (1 << SEQUENCE_BITS) - 1;
        db.execute("INSERT INTO files VALUES (?1)", [last]).unwrap();
        let spilled = RowKey::free(&db, Some(time)).unwrap();
        assert_eq!(spilled.0, last + 1);
        assert_eq!(spilled.month(), Some(time::month(time)));
    }

    #[test]
    fn undated_files_come_in_order_of_arrival() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE files(id INTEGER PRIMARY KEY)")
            .unwrap();
        db.execute("INSERT INTO files VALUES (?1)", [RowKey::FIRST_DATED.0])
            .unwrap();
        assert_eq!(RowKey::free(&db, None).unwrap(), RowKey(1));
        db.execute("INSERT INTO files VALUES (1)", []).unwrap();
        assert_eq!(RowKey::free(&db, None).unwrap(), RowKey(2));
    }
}
