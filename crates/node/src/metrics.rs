//! What an operator can see of a node in numbers, in the text format of Prometheus.
//!
//! Two kinds of numbers. What *happens* (a block decided, a flush, a request) is counted where it happens, in atomics:
//! no thread waits for another to count. What *is* (heights, queues, peers) is read when somebody asks, from the
//! snapshots that the rest of the node reads too: see `scrape` and, for the process and its disk, `process`.
//!
//! Names follow the conventions of Prometheus: the prefix `starling_`, base units (seconds, bytes), `_total` for what
//! only grows. Labels take few values: names of peers, templates of routes, never a path, an id or a token.
//!
//! A part of the node that has something to count gets a group of its own in [`Metrics`], registered in
//! [`Metrics::new`]; what it merely shows gets a line in `scrape`. The dashboard and the alerts in `deploy/` name
//! metrics, and a test holds these names against what a node shows.

mod process;
mod scrape;
mod snapshots;

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

pub(crate) use self::scrape::scrape;

/// What the text format calls itself.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// From half a millisecond, a good disk, to ten seconds, where clients give up.
const LATENCY_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Everything that is counted. Cheap to clone; every clone counts the same.
#[derive(Clone)]
pub struct Metrics(Arc<Groups>);

struct Groups {
    registry: Registry,
    replica: ReplicaMetrics,
    disk: DiskMetrics,
    catalogue: CatalogueMetrics,
    http: HttpMetrics,
    blobs: BlobMetrics,
}

/// The replica thread's.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaMetrics {
    /// Blocks decided, learnt ones among them.
    pub(crate) blocks: IntCounter,
    /// Their commands.
    pub(crate) commands: IntCounter,
    /// From a command's arrival at this node to its decision.
    pub(crate) decide: Histogram,
    /// What waits for the thread.
    pub(crate) inbox: IntGauge,
    /// Peers' messages dropped because too much waited.
    pub(crate) inbox_dropped: IntCounter,
}

/// The ledger's disk's.
#[derive(Debug, Clone)]
pub(crate) struct DiskMetrics {
    /// How long a flush takes.
    pub(crate) flush: Histogram,
    /// Bytes written to the log.
    pub(crate) written: IntCounter,
    /// Records that wait to be written.
    pub(crate) queue: IntGauge,
}

/// The catalogue thread's.
#[derive(Debug, Clone)]
pub(crate) struct CatalogueMetrics {
    /// How long a run of blocks takes to be applied.
    pub(crate) apply: Histogram,
}

/// Of people and programs.
#[derive(Debug, Clone)]
pub(crate) struct HttpMetrics {
    /// Requests answered, by method, route and class of status.
    pub(crate) requests: IntCounterVec,
    /// How long they took until the head of the answer, by method and route.
    pub(crate) duration: HistogramVec,
    /// Requests under way.
    pub(crate) in_flight: IntGauge,
}

/// Of files' bytes.
#[derive(Debug, Clone)]
pub(crate) struct BlobMetrics {
    /// Bytes taken in from clients.
    pub(crate) uploaded: IntCounter,
    /// Copies put on peers, by result.
    pub(crate) copies: IntCounterVec,
    /// Blobs put into the object store, by result.
    pub(crate) store_puts: IntCounterVec,
    /// Copies fetched from peers, by result.
    pub(crate) fetches: IntCounterVec,
}

impl Metrics {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        process::started();
        let registry = Registry::new();
        let groups = Groups {
            replica: ReplicaMetrics::new(&registry),
            disk: DiskMetrics::new(&registry),
            catalogue: CatalogueMetrics::new(&registry),
            http: HttpMetrics::new(&registry),
            blobs: BlobMetrics::new(&registry),
            registry,
        };
        Self(Arc::new(groups))
    }

    pub(crate) fn replica(&self) -> &ReplicaMetrics {
        &self.0.replica
    }

    pub(crate) fn disk(&self) -> &DiskMetrics {
        &self.0.disk
    }

    pub(crate) fn catalogue(&self) -> &CatalogueMetrics {
        &self.0.catalogue
    }

    pub(crate) fn http(&self) -> &HttpMetrics {
        &self.0.http
    }

    pub(crate) fn blobs(&self) -> &BlobMetrics {
        &self.0.blobs
    }

    /// Everything counted, and what was `scraped`, as text.
    pub(crate) fn render(&self, scraped: Vec<MetricFamily>) -> String {
        let mut families = self.0.registry.gather();
        families.extend(scraped);
        families.sort_by(|one, other| one.name().cmp(other.name()));
        TextEncoder::new()
            .encode_to_string(&families)
            .expect("every family has samples of its own type")
    }
}

impl ReplicaMetrics {
    fn new(registry: &Registry) -> Self {
        Self {
            blocks: counter(
                registry,
                "starling_blocks_decided_total",
                "Blocks decided since the start, also those learnt from others.",
            ),
            commands: counter(
                registry,
                "starling_commands_decided_total",
                "Commands in decided blocks since the start.",
            ),
            decide: histogram(
                registry,
                "starling_decide_seconds",
                "From a command's arrival at this node until it is seen decided.",
            ),
            inbox: gauge(
                registry,
                "starling_replica_inbox_events",
                "What waits for the replica thread: messages, commands, completions.",
            ),
            inbox_dropped: counter(
                registry,
                "starling_replica_inbox_dropped_total",
                "Messages of peers dropped because too much waited for the replica thread.",
            ),
        }
    }
}

impl DiskMetrics {
    fn new(registry: &Registry) -> Self {
        Self {
            flush: histogram(
                registry,
                "starling_fsync_seconds",
                "How long a flush of the ledger takes.",
            ),
            written: counter(
                registry,
                "starling_ledger_written_bytes_total",
                "Bytes written to the ledger's log.",
            ),
            queue: gauge(
                registry,
                "starling_disk_queue_records",
                "Records that wait to be written to the ledger's log.",
            ),
        }
    }

    /// Counted by nobody: for a disk outside a node.
    #[cfg(test)]
    pub(crate) fn unread() -> Self {
        Self::new(&Registry::new())
    }
}

impl CatalogueMetrics {
    fn new(registry: &Registry) -> Self {
        Self {
            apply: histogram(
                registry,
                "starling_catalogue_apply_seconds",
                "How long a run of blocks takes to be written to the catalogue.",
            ),
        }
    }
}

impl HttpMetrics {
    fn new(registry: &Registry) -> Self {
        let requests = Opts::new(
            "starling_http_requests_total",
            "Requests answered, by method, template of the route and class of status.",
        );
        let requests = IntCounterVec::new(requests, &["method", "route", "status"]);
        let duration = HistogramOpts::new(
            "starling_http_request_seconds",
            "From a request's head to the head of its answer, by method and template of the route.",
        )
        .buckets(LATENCY_BUCKETS.to_vec());
        let duration = HistogramVec::new(duration, &["method", "route"]);
        Self {
            requests: registered(registry, requests.expect(VALID)),
            duration: registered(registry, duration.expect(VALID)),
            in_flight: gauge(
                registry,
                "starling_http_requests_in_flight",
                "Requests whose answer has not begun.",
            ),
        }
    }
}

impl BlobMetrics {
    fn new(registry: &Registry) -> Self {
        Self {
            uploaded: counter(
                registry,
                "starling_upload_bytes_total",
                "Bytes of files taken in from clients.",
            ),
            copies: counters(
                registry,
                "starling_blob_copies_total",
                "Copies of files' bytes put on other nodes, by result.",
                ["stored", "failed"],
            ),
            store_puts: counters(
                registry,
                "starling_store_puts_total",
                "Files' bytes put into the object store, by result.",
                ["stored", "failed"],
            ),
            fetches: counters(
                registry,
                "starling_blob_fetches_total",
                "Copies of files' bytes fetched from other nodes, by result.",
                ["fetched", "failed"],
            ),
        }
    }
}

/// One for each result, shown before the first one happens.
fn counters(registry: &Registry, name: &str, help: &str, results: [&str; 2]) -> IntCounterVec {
    let counters = IntCounterVec::new(Opts::new(name, help), &["result"]).expect(VALID);
    for result in results {
        counters.with_label_values(&[result]);
    }
    registered(registry, counters)
}

const VALID: &str = "names are constants that a test has seen to be valid";

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    registered(registry, IntCounter::new(name, help).expect(VALID))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help).expect(VALID))
}

fn histogram(registry: &Registry, name: &str, help: &str) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
    registered(registry, Histogram::with_opts(options).expect(VALID))
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    let added = registry.register(Box::new(metric.clone()));
    added.expect("every name is registered once");
    metric
}

/// A duration in the unit of Prometheus.
pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_says_what_it_is_and_is_named_by_the_rules() {
        let metrics = Metrics::new();
        let http = metrics.http();
        http.requests.with_label_values(&["GET", "/", "2xx"]).inc();
        http.duration.with_label_values(&["GET", "/"]).observe(0.1);
        for family in metrics.0.registry.gather() {
            let name = family.name();
            assert!(name.starts_with("starling_"), "{name}");
            assert!(family.help().ends_with('.'), "{name}: {}", family.help());
            let counts = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
            assert_eq!(counts, name.ends_with("_total"), "{name}");
        }
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.replica().blocks.inc_by(7);
        metrics.disk().flush.observe(0.003);
        let text = metrics.render(Vec::new());
        for line in [
            "# HELP starling_blocks_decided_total Blocks decided",
            "# TYPE starling_blocks_decided_total counter",
            "starling_blocks_decided_total 7",
            "starling_fsync_seconds_bucket{le=\"0.0025\"} 0",
            "starling_fsync_seconds_bucket{le=\"0.005\"} 1",
            "starling_fsync_seconds_count 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
