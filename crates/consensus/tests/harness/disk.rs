//! A disk of whole records: what is flushed stays, the rest is lost in a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::Urgency;
use model::{Decided, Height, LogSeq, Record, Vote};

#[derive(Default)]
pub(crate) struct Disk {
    /// Flushed, of all incarnations.
    pub(crate) durable: Vec<Record>,
    /// Written by this incarnation and not flushed.
    pub(crate) pending: Vec<(LogSeq, Record, Urgency)>,
    /// How the disk was at each start.
    starts: Vec<Vec<Record>>,
    /// The last record that the flush under way takes.
    under_way: LogSeq,
    /// The last record of this incarnation that is flushed.
    pub(crate) durable_through: LogSeq,
}

impl Disk {
    /// A new incarnation counts its records from 1.
    pub(crate) fn start(&mut self) {
        self.pending.clear();
        self.starts.push(self.durable.clone());
        self.under_way = LogSeq(0);
        self.durable_through = LogSeq(0);
    }

    /// Puts the disk back to how it was at the last start, and the next time at the one before.
    pub(crate) fn roll_back(&mut self) {
        self.durable = self.starts.pop().unwrap_or_default();
    }

    /// Whether a flush is due: a lazy record waits for one that is not.
    pub(crate) fn is_urgent(&self) -> bool {
        self.pending
            .iter()
            .any(|(_, _, urgency)| *urgency == Urgency::Now)
    }

    /// Flushes everything written; gives the last record, if there was any.
    pub(crate) fn flush(&mut self) -> Option<LogSeq> {
        let last = self.pending.last().map(|(seq, _, _)| *seq)?;
        self.flush_through(last);
        Some(last)
    }

    /// Ends the flush under way and begins the next one with what was written meanwhile; gives the last record that
    /// became durable, if there was any.
    pub(crate) fn end_flush(&mut self) -> Option<LogSeq> {
        let ended = self.under_way;
        self.under_way = self.pending.last().map_or(ended, |(seq, _, _)| *seq);
        (ended > self.durable_through).then(|| self.flush_through(ended))
    }

    fn flush_through(&mut self, last: LogSeq) -> LogSeq {
        let count = self.pending.partition_point(|(seq, _, _)| *seq <= last);
        let records = self.pending.drain(..count).map(|(_, record, _)| record);
        self.durable.extend(records);
        self.durable_through = last;
        last
    }
}

/// What a log of whole records says: the last boot, the decided chain and the vote above it.
pub(crate) fn replay(
    log: &[Record],
    genesis: Decided,
) -> (u64, BTreeMap<Height, Decided>, Option<Vote>) {
    let mut boot = 0;
    let mut chain = BTreeMap::from([(Height::GENESIS, genesis)]);
    let mut vote: Option<Vote> = None;
    for record in log {
        match record {
            Record::Start {
                boot: started,
                vote: repeated,
                ..
            } => {
                boot = started.0;
                vote = repeated.clone();
            }
            Record::Vote { vote: changed, .. } => vote = Some(changed.clone()),
            Record::Decided {
                block, certificate, ..
            } => {
                let certificate = Some(certificate.clone());
                let decided = Decided {
                    block: Arc::clone(block),
                    certificate,
                };
                chain.insert(block.height(), decided);
            }
        }
    }
    let tip = *chain.keys().next_back().expect("genesis");
    (boot, chain, vote.filter(|vote| vote.height > tip))
}
