//! What clients saw, and whether one cluster that never fails could have shown it to them.
//!
//! Linearizability (Herlihy and Wing, 1990) asks for one order of all operations that fits real time and makes every
//! answer right. Here the cluster itself names the order: a record has its place in the ledger, an edit of a file its
//! version. So there is nothing to search for: it is enough that places and versions never run against real time,
//! that one version is one text, that nothing is read before somebody wrote it, and that at the end everything stands
//! where it was said to stand.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::api::Position;
use crate::harness::Cluster;

/// From the first attempt to the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
}

/// A record that was acknowledged.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) span: Span,
    pub(super) place: Position,
    pub(super) text: String,
}

/// A file's state as an answer showed it.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) span: Span,
    pub(super) file: usize,
    pub(super) version: u64,
    /// Empty before the first edit.
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// By which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An edit that was acknowledged; it made this version.
    Edit,
    /// A linearizable read.
    Read,
}

/// Everything one client saw, or all of them.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) appends: Vec<Append>,
    pub(super) sights: Vec<Sight>,
    /// When each edit was first sent, acknowledged or not, by its text.
    pub(super) edits_begun: HashMap<String, Instant>,
    /// Edits refused because somebody else was first.
    pub(super) refused: u64,
    /// Reads that no node answered in time.
    pub(super) unanswered: u64,
    /// Reads at a height of the client's own, all of which must see its own writes.
    pub(super) own_reads: u64,
}

impl History {
    pub(super) fn merge(&mut self, other: Self) {
        self.appends.extend(other.appends);
        self.sights.extend(other.sights);
        self.edits_begun.extend(other.edits_begun);
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.own_reads += other.own_reads;
    }

    /// Everything that the answers alone can show.
    pub(super) fn check(&self) {
        self.check_records_follow_time();
        for file in 0..=self
            .sights
            .iter()
            .map(|sight| sight.file)
            .max()
            .unwrap_or(0)
        {
            let mut sights: Vec<&Sight> = self
                .sights
                .iter()
                .filter(|sight| sight.file == file)
                .collect();
            sights.sort_by_key(|sight| sight.span.begun);
            check_one_text_per_version(&sights);
            self.check_nothing_is_read_before_it_is_written(&sights);
            check_versions_follow_time(&sights);
        }
    }

    fn check_records_follow_time(&self) {
        let mut appends: Vec<&Append> = self.appends.iter().collect();
        appends.sort_by_key(|append| append.span.begun);
        let places = appends.iter().map(|append| (append.span, append.place));
        for (append, highest) in appends.iter().zip(highest_before(places)) {
            assert!(
                highest.is_none_or(|highest| append.place > highest),
                "{append:?} stands before {highest:?}, which was acknowledged before it began"
            );
        }
    }

    fn check_nothing_is_read_before_it_is_written(&self, sights: &[&Sight]) {
        for sight in sights.iter().filter(|sight| !sight.text.is_empty()) {
            let begun = self.edits_begun.get(&sight.text);
            assert!(
                begun.is_some_and(|begun| *begun < sight.span.ended),
                "nobody had written what {sight:?} shows"
            );
        }
    }

    /// Every acknowledged record stands where it was said to, once, on every node, and nothing else does.
    pub(super) async fn check_kept(&self, cluster: &Cluster) {
        let mut said = BTreeMap::new();
        for append in &self.appends {
            let double = said.insert(append.place, append.text.clone());
            assert_eq!(double, None, "two records at {:?}", append.place);
        }
        for node in cluster.running() {
            let records = cluster.api(node).records().await.into_iter();
            let kept: BTreeMap<Position, String> = records
                .map(|(place, body)| (place, String::from_utf8(body).expect("UTF-8")))
                .filter(|(_, text)| text.starts_with("client"))
                .collect();
            assert_eq!(kept, said, "the records of {}", cluster.node(node).name);
        }
    }

    /// For the table.
    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        let count = |kind| {
            self.sights
                .iter()
                .filter(|sight| sight.kind == kind)
                .count() as u64
        };
        let silence = longest_silence(&self.appends);
        vec![
            ("records acknowledged".to_owned(), self.appends.len() as u64),
            ("edits acknowledged".to_owned(), count(Kind::Edit)),
            (
                "edits refused, since another was first".to_owned(),
                self.refused,
            ),
            ("linearizable reads".to_owned(), count(Kind::Read)),
            (
                "reads that found no quorum or no node".to_owned(),
                self.unanswered,
            ),
            ("reads of own writes elsewhere".to_owned(), self.own_reads),
            (
                "ms: longest time without an acknowledged record".to_owned(),
                u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
            ),
        ]
    }
}

fn check_one_text_per_version(sights: &[&Sight]) {
    let mut texts: BTreeMap<u64, &Sight> = BTreeMap::new();
    let mut edits: BTreeMap<u64, &Sight> = BTreeMap::new();
    for &sight in sights {
        let first = texts.entry(sight.version).or_insert(sight);
        assert_eq!(first.text, sight.text, "{first:?} and {sight:?}");
        if sight.kind == Kind::Edit {
            let other = edits.insert(sight.version, sight);
            assert!(other.is_none(), "{sight:?} overwrote {other:?}");
        }
    }
}

fn check_versions_follow_time(sights: &[&Sight]) {
    let versions = sights.iter().map(|sight| (sight.span, sight.version));
    for (sight, highest) in sights.iter().zip(highest_before(versions)) {
        let least = match sight.kind {
            Kind::Read => highest,
            Kind::Edit => highest.map(|version| version + 1),
        };
        assert!(
            least.is_none_or(|least| sight.version >= least),
            "{sight:?} began after version {highest:?} was shown"
        );
    }
}

/// For each operation, in the order in which they began: the highest rank of those that had ended before it began.
fn highest_before<R: Ord + Copy>(operations: impl Iterator<Item = (Span, R)>) -> Vec<Option<R>> {
    let operations: Vec<(Span, R)> = operations.collect();
    let mut ended: Vec<(Instant, R)> = operations
        .iter()
        .map(|(span, rank)| (span.ended, *rank))
        .collect();
    ended.sort_by_key(|(at, _)| *at);
    let mut ended = ended.into_iter().peekable();
    let mut highest = None;
    let before = operations.iter().map(|(span, _)| {
        while let Some((_, rank)) = ended.next_if(|(at, _)| *at < span.begun) {
            highest = highest.max(Some(rank));
        }
        highest
    });
    before.collect()
}

fn longest_silence(appends: &[Append]) -> Duration {
    let mut ended: Vec<Instant> = appends.iter().map(|append| append.span.ended).collect();
    ended.sort();
    let gaps = ended.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: Instant, (begun, ended): (u64, u64)) -> Span {
        Span {
            begun: start + Duration::from_millis(begun),
            ended: start + Duration::from_millis(ended),
        }
    }

    fn sight(start: Instant, times: (u64, u64), version: u64, text: &str, kind: Kind) -> Sight {
        Sight {
            span: span(start, times),
            file: 0,
            version,
            text: text.to_owned(),
            kind,
        }
    }

    fn history(start: Instant, sights: Vec<Sight>) -> History {
        let begun = |(text, at)| (String::from(text), start + Duration::from_millis(at));
        History {
            sights,
            edits_begun: HashMap::from([("a", 10), ("b", 30)].map(begun)),
            ..History::default()
        }
    }

    #[test]
    fn operations_that_overlap_may_be_in_either_order() {
        let at = Instant::now();
        let sights = vec![
            sight(at, (10, 20), 2, "a", Kind::Edit),
            sight(at, (30, 50), 3, "b", Kind::Edit),
            sight(at, (35, 60), 2, "a", Kind::Read),
            sight(at, (51, 60), 3, "b", Kind::Read),
        ];
        history(at, sights).check();
    }

    #[test]
    #[should_panic(expected = "was shown")]
    fn a_stale_read_is_found() {
        let at = Instant::now();
        let sights = vec![
            sight(at, (10, 20), 2, "a", Kind::Edit),
            sight(at, (21, 25), 1, "", Kind::Read),
        ];
        history(at, sights).check();
    }

    #[test]
    #[should_panic(expected = "overwrote")]
    fn a_lost_edit_is_found() {
        let at = Instant::now();
        let sights = vec![
            sight(at, (10, 20), 2, "a", Kind::Edit),
            sight(at, (15, 25), 2, "a", Kind::Edit),
        ];
        history(at, sights).check();
    }

    #[test]
    #[should_panic(expected = "nobody had written")]
    fn a_read_from_the_future_is_found() {
        let at = Instant::now();
        history(at, vec![sight(at, (20, 29), 2, "b", Kind::Read)]).check();
    }

    #[test]
    #[should_panic(expected = "acknowledged before it began")]
    fn a_record_before_an_earlier_one_is_found() {
        let at = Instant::now();
        let append = |times, index| Append {
            span: span(at, times),
            place: Position { height: 1, index },
            text: String::new(),
        };
        let appends = vec![append((0, 10), 5), append((11, 20), 4)];
        let history = History {
            appends,
            ..History::default()
        };
        history.check();
    }
}
