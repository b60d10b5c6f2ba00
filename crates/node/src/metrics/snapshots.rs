//! Snapshots in numbers.

use super::scrape::{Families, number};
use crate::App;

/// As this node saw them last.
pub(super) fn scrape(families: &mut Families, app: &App) {
    let seen = app.snapshots.seen();
    let marked = seen.first();
    families.gauge(
        "starling_snapshot_marked_height",
        "The newest height of which there is to be a snapshot; 0 for none.",
        marked.map_or(0.0, |seen| number(seen.height.0)),
    );
    families.gauge(
        "starling_snapshot_marked_timestamp_seconds",
        "Time of the block of the newest marked height, in seconds since 1970; 0 for none.",
        marked.map_or(0.0, |seen| number(seen.time.0) / 1e6),
    );
    let believed = seen.iter().find(|seen| seen.believed.is_some());
    families.gauge(
        "starling_snapshot_height",
        "The newest height whose snapshot enough voters vouch for; 0 for none.",
        believed.map_or(0.0, |seen| number(seen.height.0)),
    );
    families.gauge(
        "starling_snapshot_timestamp_seconds",
        "Time of the block of the newest believed snapshot, in seconds since 1970; 0 for none.",
        believed.map_or(0.0, |seen| number(seen.time.0) / 1e6),
    );
    families.gauge(
        "starling_snapshot_here",
        "1 if this node holds that snapshot.",
        believed.map_or(0.0, |seen| f64::from(u8::from(seen.is_here))),
    );
    let roster = app.replica.roster();
    let voters = roster.voters().voters().iter();
    families.gauges(
        "starling_snapshot_vouched",
        "1 if the voter has vouched for a snapshot of the newest marked height.",
        voters.map(|voter| {
            let said = marked.is_some_and(|seen| seen.vouched.contains_key(&voter.id));
            (
                vec![("node", voter.name.as_str())],
                f64::from(u8::from(said)),
            )
        }),
    );
}
