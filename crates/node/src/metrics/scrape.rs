//! What is read when somebody asks, from the snapshots that the rest of the node reads too.

use std::path::Path;

use consensus::{DiskRoom, Phase, Role};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::{process, seconds, snapshots};
use crate::App;
use crate::findings::KINDS;
use crate::peer::PeerStatus;
use crate::replica_thread::NodeStatus;

/// Everything that is not counted but is. Looks at files of the system: to be run where it may block.
pub(crate) fn scrape(app: &App) -> Vec<MetricFamily> {
    let status = app.replica.status();
    let mut families = Families::default();
    build(&mut families);
    chain(&mut families, app, &status);
    taking_part(&mut families, &status);
    agreement(&mut families, &status);
    peers(&mut families, app, &status);
    archive(&mut families, app, &status);
    copies(&mut families, app);
    originals(&mut families, app);
    disk_room(&mut families, &app.config.folder);
    damage(&mut families, app);
    snapshots::scrape(&mut families, app);
    process::scrape(&mut families);
    families.0
}

/// Families as they are put together.
#[derive(Default)]
pub(super) struct Families(Vec<MetricFamily>);

impl Families {
    /// Something that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [(Vec::new(), value)]);
    }

    /// Something that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.counters(name, help, [(Vec::new(), value)]);
    }

    pub(super) fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let samples = samples.into_iter().map(|(labels, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::from_gauge(gauge);
            metric.set_label(pairs(&labels));
            metric
        });
        self.add(name, help, MetricType::GAUGE, samples.collect());
    }

    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let samples = samples.into_iter().map(|(labels, value)| {
            let mut counter = Counter::default();
            counter.set_value(value);
            let mut metric = Metric::from_label(pairs(&labels));
            metric.set_counter(counter);
            metric
        });
        self.add(name, help, MetricType::COUNTER, samples.collect());
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, samples: Vec<Metric>) {
        // The text format has no family without samples: a cluster of one has no peers.
        if samples.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(samples);
        self.0.push(family);
    }
}

pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

fn pairs(labels: &Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "every number of Prometheus is a float, exact up to 2^53"
)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

fn size(count: usize) -> f64 {
    number(count as u64)
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn build(families: &mut Families) {
    let labels = vec![("version", env!("CARGO_PKG_VERSION"))];
    families.gauges(
        "starling_build_info",
        "The program's version, in a label; always 1.",
        [(labels, 1.0)],
    );
}

fn chain(families: &mut Families, app: &App, status: &NodeStatus) {
    let (head, applied) = (app.replica.tip(), app.catalogue.height());
    families.gauge(
        "starling_head_height",
        "Height of the last decided block.",
        number(head.0),
    );
    families.gauge(
        "starling_head_timestamp_seconds",
        "Time of the last decided block, in seconds since 1970.",
        number(status.replica.time.0) / 1e6,
    );
    families.gauge(
        "starling_catalogue_height",
        "Height up to which the catalogue has been written.",
        number(applied.0),
    );
    families.gauge(
        "starling_catalogue_lag_blocks",
        "Blocks that are decided and not in the catalogue yet.",
        number(head.0.saturating_sub(applied.0)),
    );
}

fn damage(families: &mut Families, app: &App) {
    let kinds = KINDS.map(|kind| (kind, app.findings.count(kind)));
    families.counters(
        "starling_damage_found_total",
        "Damage found on this node's disk since the start, by kind.",
        kinds.map(|(kind, count)| (vec![("kind", kind)], number(count.found))),
    );
    families.counters(
        "starling_damage_repaired_total",
        "Damage made good since the start, by kind.",
        kinds.map(|(kind, count)| (vec![("kind", kind)], number(count.repaired))),
    );
    families.gauge(
        "starling_damage_open",
        "Damage that is known and not made good.",
        size(app.findings.open_count()),
    );
    families.gauge(
        "starling_evidence",
        "Pairs of contradicting statements that one node has signed, kept on this node.",
        size(app.accusations.count()),
    );
    let Some(progress) = app.scrub.progress() else {
        return;
    };
    families.gauge(
        "starling_scrub_progress_ratio",
        "How much of its disk the node has looked at in this pass.",
        progress.ratio(app.replica.tip()),
    );
    let last = progress.last.map_or(0, |last| last.ended);
    families.gauge(
        "starling_scrub_last_complete_timestamp_seconds",
        "When the node had last looked at everything on its disk, in seconds since 1970; 0 for never.",
        number(last) / 1e6,
    );
}

fn taking_part(families: &mut Families, status: &NodeStatus) {
    let replica = &status.replica;
    families.gauge(
        "starling_has_quorum",
        "1 if enough other voters were heard within the last second to decide anything.",
        flag(replica.has_quorum),
    );
    families.gauge(
        "starling_voting",
        "1 if this node takes part; 0 while it starts, or for good after it has stopped.",
        flag(replica.phase == Phase::Voting),
    );
    families.gauge(
        "starling_stopped",
        "1 if this node has stopped voting and must be looked at.",
        flag(matches!(replica.phase, Phase::Stopped(_))),
    );
    families.gauge(
        "starling_disk_full",
        "1 if the ledger's disk has no room, so that writes are refused.",
        flag(replica.disk == DiskRoom::Full),
    );
    families.gauges(
        "starling_members",
        "Members of the cluster by role, this node among them.",
        [("voter", Role::Voter), ("learner", Role::Learner)].map(|(label, role)| {
            let peers = replica.peers.iter().map(|peer| peer.role);
            let roles = peers.chain([replica.role]);
            (
                vec![("role", label)],
                size(roles.filter(|has| *has == role).count()),
            )
        }),
    );
    let has_turn = replica.turn == Some(replica.me);
    families.gauge(
        "starling_has_turn",
        "1 if this node may propose the next block without asking.",
        flag(has_turn),
    );
}

fn agreement(families: &mut Families, status: &NodeStatus) {
    let counts = &status.replica.counters;
    for (name, help, count) in [
        (
            "starling_turns_used_total",
            "Blocks this node proposed with the turn.",
            counts.turns_used,
        ),
        (
            "starling_takeovers_started_total",
            "Own ballots above 1: hedges that ran out, and finishing what others left.",
            counts.takeovers_started,
        ),
        (
            "starling_takeovers_won_total",
            "Blocks decided at an own ballot above 1.",
            counts.takeovers_won,
        ),
        (
            "starling_takeovers_decided_total",
            "Blocks decided at anybody's ballot above 1.",
            counts.takeovers_decided,
        ),
        (
            "starling_promises_received_total",
            "Promises of others for own ballots.",
            counts.promises_received,
        ),
        (
            "starling_nacks_received_total",
            "Refusals of own ballots by others.",
            counts.nacks_received,
        ),
        (
            "starling_nacks_sent_total",
            "Ballots of others refused for a higher promise.",
            counts.nacks_sent,
        ),
        (
            "starling_pushes_dropped_total",
            "Commands pushed by other nodes for which there was no room.",
            counts.pushes_dropped,
        ),
    ] {
        families.counter(name, help, number(count));
    }
}

fn peers(families: &mut Families, app: &App, status: &NodeStatus) {
    let links = app.peers.status();
    // One label for a peer everywhere, and it is the name that people gave it.
    let label = |link: &'_ PeerStatus| vec![("peer", link.name.clone())];
    let mut of_links = |name, help, value: &dyn Fn(&PeerStatus) -> f64| {
        let samples: Vec<_> = links
            .iter()
            .map(|link| (label(link), value(link)))
            .collect();
        let samples = samples
            .iter()
            .map(|(label, value)| (borrowed(label), *value));
        if name_counts(name) {
            families.counters(name, help, samples);
        } else {
            families.gauges(name, help, samples);
        }
    };
    of_links(
        "starling_peer_connected",
        "1 if the stream of messages to the peer is open.",
        &|link| flag(link.connected),
    );
    of_links(
        "starling_peer_outbox_messages",
        "Messages that wait to be sent to the peer.",
        &|link| size(link.waiting),
    );
    of_links(
        "starling_peer_outbox_bytes",
        "Bytes of the messages that wait to be sent to the peer.",
        &|link| size(link.waiting_bytes),
    );
    of_links(
        "starling_peer_messages_dropped_total",
        "Messages to the peer that were given up.",
        &|link| number(link.dropped),
    );
    of_links(
        "starling_peer_refused_total",
        "Messages of the peer that were malformed, not meant for this chain, or must not be believed.",
        &|link| {
            let by_engine = status.refused.get(&link.id).copied().unwrap_or_default();
            number(link.refused + by_engine)
        },
    );
    families.counter(
        "starling_strangers_refused_total",
        "Connections refused because whoever made them is not a member.",
        number(app.peers.strangers_refused()),
    );
    members(families, &links, status);
}

/// What the protocol knows of each peer. A node that was removed is missed by nobody.
fn members(families: &mut Families, links: &[PeerStatus], status: &NodeStatus) {
    let head = status.replica.tip.0;
    let known = links.iter().filter_map(|link| {
        let mut members = status.replica.peers.iter();
        let is_it = |peer: &&consensus::PeerStatus| peer.node == link.id;
        let member = members.find(is_it)?;
        (member.role != Role::Outsider).then_some((link.name.as_str(), member))
    });
    let known: Vec<_> = known.collect();
    let mut of_members = |name, help, value: &dyn Fn(&consensus::PeerStatus) -> f64| {
        let samples = known
            .iter()
            .map(|(peer, member)| (vec![("peer", *peer)], value(member)));
        families.gauges(name, help, samples);
    };
    of_members(
        "starling_peer_up",
        "1 if the peer was heard within the last second.",
        &|member| flag(member.alive),
    );
    of_members(
        "starling_peer_suspect",
        "1 if the peer missed its turn and has not caught up since.",
        &|member| flag(member.suspect),
    );
    of_members(
        "starling_peer_height",
        "The height of the last block the peer said it has.",
        &|member| number(member.tip.0),
    );
    of_members(
        "starling_peer_lag_blocks",
        "How many blocks the peer is behind this node.",
        &|member| number(head.saturating_sub(member.tip.0)),
    );
    of_members(
        "starling_peer_round_trip_seconds",
        "A high percentile of the round trip to the peer.",
        &|member| seconds(member.round_trip),
    );
}

fn name_counts(name: &str) -> bool {
    name.ends_with("_total")
}

fn borrowed<'a>(labels: &'a [(&'static str, String)]) -> Labels<'a> {
    labels
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

fn archive(families: &mut Families, app: &App, status: &NodeStatus) {
    let Some(archiver) = &app.archive else {
        return;
    };
    let archive = archiver.status();
    families.gauge(
        "starling_archive_height",
        "The archive holds the blocks up to this height, as this node knows.",
        number(archive.height.0),
    );
    families.gauge(
        "starling_archive_lag_blocks",
        "Decided blocks that are not there, those that no node has sealed yet among them.",
        number(status.replica.tip.0.saturating_sub(archive.height.0)),
    );
    families.gauge(
        "starling_archive_failing",
        "1 if the last attempt to fill the archive did not work.",
        flag(archive.last_error.is_some()),
    );
    families.counter(
        "starling_archive_segments_brought_total",
        "Segments that this node has put there since it started.",
        number(archive.brought),
    );
}

fn copies(families: &mut Families, app: &App) {
    let picture = app.replicator.picture(&app.replicator.voters_up());
    let Some(picture) = picture else { return };
    for (name, help, count) in [
        (
            "starling_blobs",
            "Blobs that files name, or that were put within a day.",
            picture.total,
        ),
        (
            "starling_blobs_under_replicated",
            "Blobs that do not have all their copies, or are not proven to.",
            picture.under_replicated,
        ),
        (
            "starling_blob_copies_proven",
            "The smallest number of copies that any blob is proven to have on voters that are up.",
            picture.copies as u64,
        ),
        (
            "starling_blob_copies_missing",
            "Copies still to be made, on all nodes that are heard.",
            picture.copying,
        ),
        (
            "starling_blob_copies_missing_bytes",
            "Bytes of the copies still to be made.",
            picture.bytes_left,
        ),
    ] {
        families.gauge(name, help, number(count));
    }
}

fn originals(families: &mut Families, app: &App) {
    if app.originals.seat().is_none() {
        return;
    }
    families.gauge(
        "starling_store_failing",
        "1 if the object store did not do what this node asked last.",
        flag(app.originals.failing().is_some()),
    );
    let Some(progress) = app.originals.progress() else {
        return;
    };
    for (name, help, count) in [
        (
            "starling_store_blobs",
            "Blobs in the object store.",
            progress.stored.blobs,
        ),
        (
            "starling_store_blobs_pending",
            "Blobs that belong into the object store and are not there.",
            progress.pending.blobs,
        ),
        (
            "starling_store_cached_bytes",
            "Bytes of originals on this node's disk.",
            progress.cached.bytes,
        ),
    ] {
        families.gauge(name, help, number(count));
    }
}

fn disk_room(families: &mut Families, folder: &Path) {
    let Ok(disk) = rustix::fs::statvfs(folder) else {
        return;
    };
    families.gauge(
        "starling_disk_free_bytes",
        "Room left for this node on the file system of its folder.",
        number(disk.f_bavail.saturating_mul(disk.f_frsize)),
    );
    families.gauge(
        "starling_disk_size_bytes",
        "Size of the file system of the node's folder.",
        number(disk.f_blocks.saturating_mul(disk.f_frsize)),
    );
}
