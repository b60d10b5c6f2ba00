//! The boxes of ISO files: MP4, QuickTime, HEIC, AVIF and one raw format.
//!
//! A box is a length, a name of four bytes and a body that may hold further boxes. Only headers are read; a film's
//! gigabytes are stepped over.

use crate::bytes::Endian;
use crate::source::{Source, Window};

/// Boxes looked at on one level. Films have a handful.
const SIBLINGS_MAX: usize = 512;

/// A box's name.
pub(crate) type Name = [u8; 4];

/// The boxes inside `window`, in order, with their bodies. Ends quietly where the structure breaks.
pub(crate) fn children(source: &mut Source, window: Window) -> Vec<(Name, Window)> {
    let mut found = Vec::new();
    let mut rest = Some(window);
    while let Some((name, body, after)) = rest.and_then(|rest| read_box(source, rest)) {
        found.push((name, body));
        if found.len() == SIBLINGS_MAX {
            break;
        }
        rest = after;
    }
    found
}

/// The body of the first box of that name inside `window`.
pub(crate) fn find(source: &mut Source, window: Window, name: &Name) -> Option<Window> {
    let found = children(source, window)
        .into_iter()
        .find(|(found, _)| found == name);
    found.map(|(_, body)| body)
}

/// The body of a box in a box in a box.
pub(crate) fn find_path(source: &mut Source, window: Window, path: &[&Name]) -> Option<Window> {
    path.iter()
        .try_fold(window, |window, name| find(source, window, name))
}

fn read_box(source: &mut Source, rest: Window) -> Option<(Name, Window, Option<Window>)> {
    let header = source.read_up_to(rest, 0, 16)?;
    let name: Name = header.get(4..8)?.try_into().ok()?;
    let (header_len, size) = match Endian::Big.u32(&header, 0)? {
        // The last box may leave its length open.
        0 => (8, rest.len()),
        1 => (16, Endian::Big.u64(&header, 8)?),
        size => (8, u64::from(size)),
    };
    let body_len = size.checked_sub(header_len)?;
    // A body that runs past its parent is cut, so that a damaged film still gives its header.
    let body = rest.after(header_len)?;
    let body = body.part(0, body_len.min(body.len()))?;
    Some((name, body, rest.after(size)))
}
