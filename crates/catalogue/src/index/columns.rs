//! What every file has, column by column: a question about sizes reads sizes alone.

use model::codec::{Decode, DecodeError, Encode, Reader};
use model::codec_struct;
use model::file::Place;

use super::world;
use crate::key::RowKey;
use crate::stored::Stored;

/// One value for each slot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column<T>(Vec<T>);

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> Column<T> {
    /// The value in a slot that is taken.
    pub(crate) fn at(&self, slot: u32) -> T {
        let value = self.0.get(slot as usize);
        *value.expect("bitmaps hold only slots that are taken")
    }

    /// Writes a slot that was taken before, or the next one.
    fn put(&mut self, slot: u32, value: T) {
        match self.0.get_mut(slot as usize) {
            Some(place) => *place = value,
            None => self.0.push(value),
        }
    }
}

impl<T: Encode> Encode for Column<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl<T: Decode> Decode for Column<T> {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Decode::decode(input).map(Self)
    }
}

/// The columns of a library. Numbers that a file may lack are 0 then: that it lacks them is a bitmap's to say.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// The row's key.
    pub(crate) key: Column<i64>,
    /// Where in the ledger it was added.
    pub(crate) arrival: Column<i64>,
    /// Time of the block, in microseconds.
    pub(crate) added: Column<u64>,
    /// Microseconds on the camera's clock, if the key is dated.
    pub(crate) taken: Column<i64>,
    pub(crate) size: Column<u64>,
    pub(crate) duration_ms: Column<u32>,
    pub(crate) width: Column<u32>,
    pub(crate) height: Column<u32>,
    pub(crate) rating: Column<u8>,
    /// Nearly the same for pictures that look the same.
    pub(crate) hash: Column<u64>,
    /// Bits of the degrees north and east; not a number without a position.
    lat: Column<u64>,
    lon: Column<u64>,
    /// The same on the map, by `world`.
    pub(crate) x: Column<u32>,
    pub(crate) y: Column<u32>,
}

codec_struct!(Columns {
    key,
    arrival,
    added,
    taken,
    size,
    duration_ms,
    width,
    height,
    rating,
    hash,
    lat,
    lon,
    x,
    y
});

impl Columns {
    /// How many slots there are, taken or free.
    pub(crate) fn len(&self) -> usize {
        self.key.0.len()
    }

    /// Whether all columns have a value for each slot.
    pub(crate) fn are_even(&self) -> bool {
        let lengths = [
            self.arrival.0.len(),
            self.added.0.len(),
            self.taken.0.len(),
            self.size.0.len(),
            self.duration_ms.0.len(),
            self.width.0.len(),
            self.height.0.len(),
            self.rating.0.len(),
            self.hash.0.len(),
            self.lat.0.len(),
            self.lon.0.len(),
            self.x.0.len(),
            self.y.0.len(),
        ];
        lengths.iter().all(|length| *length == self.len())
    }

    /// The keys by slot; those of free slots mean nothing.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        (0..).zip(self.key.0.iter().copied())
    }

    /// Degrees north and east; not a number without a position.
    pub(crate) fn position(&self, slot: u32) -> (f64, f64) {
        let degrees = |column: &Column<u64>| f64::from_bits(column.at(slot));
        (degrees(&self.lat), degrees(&self.lon))
    }

    /// Writes what is known of the file in a slot.
    pub(crate) fn put(&mut self, slot: u32, key: RowKey, arrival: i64, stored: &Stored) {
        let facts = &stored.facts;
        let place = stored.place();
        let lat = place.map_or(f64::NAN, Place::latitude);
        let lon = place.map_or(f64::NAN, Place::longitude);
        let (x, y) = world::at(lat, lon);
        let taken = stored.local_time().map_or(i64::MIN, |time| time.micros());
        let saturated = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        self.key.put(slot, key.0);
        self.arrival.put(slot, arrival);
        self.added.put(slot, stored.added_at.0);
        self.taken.put(slot, taken);
        self.size.put(slot, stored.size);
        self.duration_ms
            .put(slot, facts.duration_ms.map_or(0, saturated));
        self.width.put(slot, facts.width.unwrap_or(0));
        self.height.put(slot, facts.height.unwrap_or(0));
        self.rating.put(slot, stored.rating.unwrap_or(0));
        let hash = stored.beside.picture.hash;
        self.hash.put(slot, hash.unwrap_or(0));
        self.lat.put(slot, lat.to_bits());
        self.lon.put(slot, lon.to_bits());
        self.x.put(slot, x);
        self.y.put(slot, y);
    }
}
