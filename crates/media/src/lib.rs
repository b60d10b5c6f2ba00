//! Facts and thumbnails from bytes nobody vouches for.
