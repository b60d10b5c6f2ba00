//! Two schedules, each run under the naive scheme and under Starling: who writes when, and which messages are lost.

use std::time::Duration;

use crate::naive::{Naive, Votes};
use crate::network::{Cut, Place, Trouble};
use crate::record::Record;
use crate::scheme;
use crate::starling;
use crate::trace::{Trace, ms};

/// What happens to three nodes on one LAN.
pub struct Schedule {
    /// Who writes, and after which time.
    pub writes: Vec<(Duration, usize)>,
    /// What is lost.
    pub cuts: Vec<Cut>,
}

/// What a schedule led to.
pub struct Outcome {
    /// In words.
    pub trace: Trace,
    /// In figures.
    pub record: Record,
}

/// How long a schedule is watched.
const WATCHED: Duration = ms(60);

/// Three nodes write at the same moment, and nothing fails.
pub fn at_once() -> Schedule {
    Schedule {
        writes: (0..3).map(|node| (Duration::ZERO, node)).collect(),
        cuts: Vec::new(),
    }
}

/// n1 writes and is heard by n2 alone; a moment later nobody hears n1 any more, though it still hears n2. When
/// that has lasted for 10 ms n3 writes. After 30 ms all is well again.
pub fn half_heard() -> Schedule {
    let deaf = |to, since| Cut {
        from: 0,
        to,
        since,
        until: ms(30),
    };
    Schedule {
        writes: vec![(Duration::ZERO, 0), (ms(10), 2)],
        cuts: vec![deaf(1, Duration::from_micros(100)), deaf(2, Duration::ZERO)],
    }
}

impl Schedule {
    fn trouble(&self) -> Trouble {
        Trouble {
            cuts: self.cuts.clone(),
            ..Trouble::NONE
        }
    }

    /// The naive scheme under this schedule.
    pub fn naive(&self, votes: Votes) -> Outcome {
        let nodes = Naive::cluster(Place::Lan, 3, votes, Naive::PATIENCE_ROUNDS);
        let mut cluster = scheme::Cluster::new(Place::Lan, nodes, self.trouble(), 1);
        cluster.trace.begin(cluster.now());
        for (wait, node) in &self.writes {
            cluster.write(*wait, *node);
        }
        cluster.run_for(WATCHED);
        Outcome {
            trace: cluster.trace,
            record: cluster.record,
        }
    }

    /// Starling under this schedule.
    ///
    /// # Errors
    /// If a replica does not start.
    pub fn starling(&self) -> Result<Outcome, replica::OpenError> {
        let scheme = sim::Scheme::StandIn;
        let mut cluster = starling::Cluster::new(Place::Lan, 3, scheme, self.trouble(), 1)?;
        cluster.trace.begin(cluster.now());
        for (wait, node) in &self.writes {
            cluster.write(*wait, *node);
        }
        cluster.run_for(WATCHED);
        Ok(Outcome {
            trace: cluster.trace,
            record: cluster.record,
        })
    }
}
