//! Where the nodes stand: how long messages and flushes take, and which messages never arrive.
//!
//! Delays are drawn as the simulator draws them ([`Rng::with_tail`]): a base, a little jitter, and one time in 64 up to
//! sixteen times the jitter. Links keep the order, as a connection does.

use std::time::Duration;

use model::Instant;
use sim::{Chance, Rng};

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// Round trips between the five regions, in milliseconds: round figures, chosen and not measured.
pub const ROUND_TRIPS_MS: [[u64; 5]; 5] = [
    [1, 20, 80, 140, 200],
    [20, 1, 90, 150, 190],
    [80, 90, 1, 60, 150],
    [140, 150, 60, 1, 100],
    [200, 190, 150, 100, 1],
];

/// Which network the nodes are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// One room: a round trip takes 0.5 ms.
    Lan,
    /// Five regions; node i is in region i modulo 5.
    Wan,
}

impl Place {
    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lan => "LAN",
            Self::Wan => "WAN",
        }
    }

    /// The least time that a message takes.
    pub fn one_way(self, from: usize, to: usize) -> Duration {
        match self {
            Self::Lan => micros(250),
            Self::Wan => {
                let row = ROUND_TRIPS_MS.get(from % 5);
                let ms = row.and_then(|row| row.get(to % 5)).expect("five regions");
                micros(ms * 500)
            }
        }
    }

    fn jitter(self) -> Duration {
        match self {
            Self::Lan => micros(25),
            Self::Wan => micros(500),
        }
    }

    /// The least time that a flush takes.
    pub fn flush(self) -> Duration {
        micros(1_000)
    }

    /// How long a flush takes this time.
    pub fn draw_flush(self, rng: &mut Rng) -> Duration {
        rng.with_tail(self.flush(), micros(50))
    }

    /// What a ballot that meets no other costs at most: a round trip to the nearest quorum, from the node that has
    /// the farthest one, and a flush.
    pub fn round(self, nodes: usize) -> Duration {
        let farthest = (0..nodes).map(|me| {
            let mut trips: Vec<Duration> = (0..nodes)
                .map(|peer| self.one_way(me, peer) * if peer == me { 0 } else { 2 })
                .collect();
            trips.sort_unstable();
            trips.get(nodes / 2).copied().unwrap_or_default()
        });
        farthest.max().unwrap_or_default() + self.flush()
    }
}

/// Nothing of what `from` sends reaches `to` during this time, counted from the links' zero.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// From here on.
    pub since: Duration,
    /// To here, not included.
    pub until: Duration,
}

/// What is wrong with the links, from their zero on.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// A message is lost.
    pub loss: Chance,
    /// A message, and all that follow it on its link, is late by up to [`Trouble::LATE`].
    pub late: Chance,
    /// At the beginning of every [`Trouble::PERIOD`] a node drawn anew can neither send nor receive for so long.
    pub isolation: Duration,
    /// Single cuts.
    pub cuts: Vec<Cut>,
}

impl Trouble {
    /// How late a late message is at most.
    pub const LATE: Duration = Duration::from_millis(40);
    /// How often a node is isolated.
    pub const PERIOD: Duration = Duration::from_millis(100);
    /// All is well.
    pub const NONE: Self = Self {
        loss: Chance::NEVER,
        late: Chance::NEVER,
        isolation: Duration::ZERO,
        cuts: Vec::new(),
    };
}

/// All links of a cluster.
pub struct Links {
    place: Place,
    nodes: usize,
    trouble: Trouble,
    /// When trouble begins; none: not yet.
    zero: Option<Instant>,
    last_arrival: Vec<Instant>,
    victims: Rng,
    victim: (u128, usize),
    rng: Rng,
}

impl Links {
    /// Links between `nodes` nodes.
    pub fn new(place: Place, nodes: usize, trouble: Trouble, rng: &mut Rng) -> Self {
        Self {
            place,
            nodes,
            trouble,
            zero: None,
            last_arrival: vec![Instant::default(); nodes * nodes],
            victims: rng.fork(),
            victim: (u128::MAX, 0),
            rng: rng.fork(),
        }
    }

    /// Trouble begins.
    pub fn begin(&mut self, now: Instant) {
        self.zero = Some(now);
    }

    /// Takes a message; when it arrives, if it does.
    pub fn send(&mut self, now: Instant, from: usize, to: usize) -> Option<Instant> {
        let troubled = self.zero.map(|zero| now.since(zero));
        let mut late = Duration::ZERO;
        if let Some(passed) = troubled {
            if self.is_cut(passed, from, to) || self.rng.chance(self.trouble.loss) {
                return None;
            }
            if self.rng.chance(self.trouble.late) {
                late = self.rng.duration(Duration::ZERO..Trouble::LATE);
            }
        }
        let base = self.place.one_way(from, to) + late;
        let delay = self.rng.with_tail(base, self.place.jitter());
        let last = self.last_arrival.get_mut(from * self.nodes + to);
        let last = last.expect("a link for each pair");
        *last = now.plus(delay).max(*last);
        Some(*last)
    }

    fn is_cut(&mut self, passed: Duration, from: usize, to: usize) -> bool {
        let isolated = self.isolated(passed);
        isolated.is_some_and(|victim| victim == from || victim == to)
            || self.trouble.cuts.iter().any(|cut| {
                (cut.from, cut.to) == (from, to) && (cut.since..cut.until).contains(&passed)
            })
    }

    fn isolated(&mut self, passed: Duration) -> Option<usize> {
        let period = Trouble::PERIOD.as_nanos();
        if passed.as_nanos() % period >= self.trouble.isolation.as_nanos() {
            return None;
        }
        let number = passed.as_nanos() / period;
        if self.victim.0 != number {
            self.victim = (number, self.victims.index(self.nodes));
        }
        Some(self.victim.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_as_far_one_way_as_the_other() {
        for (a, row) in ROUND_TRIPS_MS.iter().enumerate() {
            for (b, trip) in row.iter().enumerate() {
                assert_eq!(ROUND_TRIPS_MS[b][a], *trip);
            }
        }
    }

    #[test]
    fn a_cut_is_one_way_and_ends() {
        let cut = Cut {
            from: 0,
            to: 1,
            since: Duration::from_millis(1),
            until: Duration::from_millis(2),
        };
        let trouble = Trouble {
            cuts: vec![cut],
            ..Trouble::NONE
        };
        let mut links = Links::new(Place::Lan, 2, trouble, &mut Rng::new(1));
        let zero = Instant::from_millis(10);
        links.begin(zero);
        assert!(links.send(zero, 0, 1).is_some());
        assert!(links.send(Instant::from_millis(11), 0, 1).is_none());
        assert!(links.send(Instant::from_millis(11), 1, 0).is_some());
        assert!(links.send(Instant::from_millis(12), 0, 1).is_some());
    }
}
