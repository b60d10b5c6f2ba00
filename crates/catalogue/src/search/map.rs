//! Where files were taken, put together so that a map of any scale has no more to draw than it can.
//!
//! The web's usual map, `2^zoom` tiles wide, is parted into four cells by four in each tile; the files of a cell are a
//! cluster at the middle of them. If that gives too many clusters, cells four times as large are used, and so on.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use model::BlobId;
use serde::Serialize;

use super::matching::is_in;
use super::{Answered, Scene, SearchError};
use crate::field::Field;
use crate::index::columns::Columns;
use crate::index::world;
use crate::key::RowKey;
use crate::query::{BoundingBox, Query};

/// As far as a map goes.
pub(crate) const ZOOM_MAX: u8 = 22;
/// Cells in a tile, in each direction, as a power of two.
const PARTS: u8 = 2;
/// What a map can draw.
const CLUSTERS_MAX: usize = 1_000;
/// So many cells are too many for sure, before all files are seen.
const CELLS_MAX: usize = 4 * CLUSTERS_MAX;

/// What a map shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Its edges; everything without.
    pub bounds: Option<BoundingBox>,
    /// Its scale: the world is `2^zoom` tiles wide. At most 22.
    zoom: u8,
}

impl View {
    /// A view; nothing if there is no such scale.
    pub fn new(bounds: Option<BoundingBox>, zoom: u8) -> Option<Self> {
        (zoom <= ZOOM_MAX).then_some(Self { bounds, zoom })
    }
}

/// Files that were taken near each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// The middle of them, in degrees north.
    pub lat: f64,
    /// The middle of them, in degrees east.
    pub lon: f64,
    /// How many.
    pub count: u64,
    /// The newest of them.
    pub file: String,
    /// West, south, east, north of where they lie.
    pub bbox: [f64; 4],
}

/// Everything in a view.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// Of what, in view or not.
    #[serde(flatten)]
    pub answered: Answered,
    /// Files in view.
    pub located: u64,
    /// The scale the clusters are made for: the one asked for, or a coarser one.
    pub zoom: u8,
    /// From north-west to south-east, row by row.
    pub clusters: Vec<Cluster>,
}

/// Some files of a cell.
#[derive(Debug, Clone, Copy)]
struct Heap {
    count: u64,
    x: u64,
    y: u64,
    west: u32,
    east: u32,
    north: u32,
    south: u32,
    newest: RowKey,
}

impl Heap {
    fn of(columns: &Columns, slot: u32) -> Self {
        let (x, y) = (columns.x.at(slot), columns.y.at(slot));
        Self {
            count: 1,
            x: x.into(),
            y: y.into(),
            west: x,
            east: x,
            north: y,
            south: y,
            newest: RowKey(columns.key.at(slot)),
        }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.x += other.x;
        self.y += other.y;
        self.west = self.west.min(other.west);
        self.east = self.east.max(other.east);
        self.north = self.north.min(other.north);
        self.south = self.south.max(other.south);
        self.newest = self.newest.max(other.newest);
    }
}

/// Cells are numbers that are spread already, but for a multiplication.
#[derive(Debug, Default)]
struct CellHasher(u64);

impl Hasher for CellHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

type Cells = HashMap<u64, Heap, BuildHasherDefault<CellHasher>>;

/// Puts files together.
pub(crate) fn clusters(scene: Scene<'_>, query: &Query, view: &View) -> Result<Map, SearchError> {
    let found = scene.find(query)?;
    let mut zoom = view.zoom;
    let mut cells = Cells::default();
    let columns = &found.library.columns;
    let located = found.library.fields.get(Field::Gps as usize);
    for slot in located
        .map(|located| located & &found.files)
        .iter()
        .flatten()
    {
        let bounds = view.bounds.as_ref();
        if bounds.is_none_or(|bounds| is_in(bounds, columns.position(slot))) {
            let cell = cell(columns.x.at(slot), columns.y.at(slot), zoom);
            gather(&mut cells, cell, &Heap::of(columns, slot));
        }
        while cells.len() > CELLS_MAX && zoom > 0 {
            zoom -= 1;
            cells = coarser(&cells);
        }
    }
    while cells.len() > CLUSTERS_MAX && zoom > 0 {
        zoom -= 1;
        cells = coarser(&cells);
    }
    // In the order of their cells, which is the same on every node.
    let cells: BTreeMap<u64, Heap> = cells.into_iter().collect();
    let mut file = scene
        .db
        .prepare_cached("SELECT file FROM files WHERE id = ?1")?;
    let mut clusters = Vec::with_capacity(cells.len());
    for heap in cells.values() {
        let newest = BlobId(file.query_row([heap.newest.0], |row| row.get(0))?);
        clusters.push(shown(heap, newest));
    }
    Ok(Map {
        answered: scene.answered(query, &found.files),
        located: cells.values().map(|heap| heap.count).sum(),
        zoom,
        clusters,
    })
}

/// Row above column, so that cells are ordered from north-west.
fn cell(x: u32, y: u32, zoom: u8) -> u64 {
    let shift = 32 - u32::from(zoom + PARTS);
    (u64::from(y >> shift) << 32) | u64::from(x >> shift)
}

fn coarser(cells: &Cells) -> Cells {
    let mut larger = Cells::default();
    for (cell, heap) in cells {
        let (y, x) = (cell >> 33, (cell & 0xffff_ffff) >> 1);
        gather(&mut larger, (y << 32) | x, heap);
    }
    larger
}

fn gather(cells: &mut Cells, cell: u64, heap: &Heap) {
    cells
        .entry(cell)
        .and_modify(|known| known.add(heap))
        .or_insert(*heap);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the middle of a cluster needs no more digits"
)]
fn shown(heap: &Heap, newest: BlobId) -> Cluster {
    let middle = |sum: u64| (sum / heap.count) as f64;
    let (lat, lon) = world::position(middle(heap.x), middle(heap.y));
    let (north, west) = world::position(heap.west.into(), heap.north.into());
    let (south, east) = world::position(heap.east.into(), heap.south.into());
    Cluster {
        lat,
        lon,
        count: heap.count,
        file: newest.to_string(),
        bbox: [west, south, east, north],
    }
}
