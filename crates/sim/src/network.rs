//! The links between machines.
//!
//! What is sent is bytes. A link delays, loses, repeats, reorders and damages them; the nemesis blocks or clogs it.
//! Damaged bytes are delivered and marked as such: a transport with authenticated encryption would notice, so the
//! world decodes them, to see that nothing breaks, and drops them.

use std::sync::Arc;
use std::time::Duration;

use model::Instant;

use crate::plan::{NetworkPlan, Order};
use crate::rng::Rng;
use crate::seat::Seat;

/// More messages than this on one link at once are lost, as a peer's bounded queue would lose them.
const IN_FLIGHT_MAX: u32 = 2_000;

/// Whether a message arrives as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Intact,
    Damaged,
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) from: Seat,
    pub(crate) to: Seat,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) shape: Shape,
}

/// What happened to messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) blocked: u64,
    pub(crate) duplicated: u64,
    pub(crate) damaged: u64,
}

#[derive(Debug, Clone)]
struct Link {
    delay: Duration,
    last_arrival: Instant,
    /// How many faults block it just now.
    blocks: u32,
    clogged_until: Instant,
    in_flight: u32,
}

/// All links of a cluster.
#[derive(Debug)]
pub(crate) struct Network {
    plan: NetworkPlan,
    nodes: usize,
    links: Vec<Link>,
    rng: Rng,
    pub(crate) tally: Tally,
}

impl Network {
    pub(crate) fn new(plan: NetworkPlan, nodes: usize, mut rng: Rng) -> Self {
        let links = (0..nodes * nodes)
            .map(|_| Link {
                delay: rng.duration(plan.delay.clone()),
                last_arrival: Instant::default(),
                blocks: 0,
                clogged_until: Instant::default(),
                in_flight: 0,
            })
            .collect();
        Self {
            plan,
            nodes,
            links,
            rng,
            tally: Tally::default(),
        }
    }

    /// Takes a message; gives back when it arrives, once, twice or never.
    pub(crate) fn send(&mut self, now: Instant, packet: Packet) -> Vec<(Instant, Packet)> {
        self.tally.sent += 1;
        if self.link(packet.from, packet.to).blocks > 0 {
            self.tally.blocked += 1;
            return Vec::new();
        }
        let overflow = self.link(packet.from, packet.to).in_flight >= IN_FLIGHT_MAX;
        if overflow || self.rng.chance(self.plan.loss) {
            self.tally.lost += 1;
            return Vec::new();
        }
        let mut arrivals = vec![(self.arrival(now, &packet), packet.clone())];
        if self.rng.chance(self.plan.duplicate) {
            self.tally.duplicated += 1;
            arrivals.push((self.arrival(now, &packet), packet));
        }
        if let Some((_, first)) = arrivals.first_mut()
            && self.rng.chance(self.plan.corrupt)
        {
            self.tally.damaged += 1;
            first.bytes = flip(&first.bytes, &mut self.rng);
            first.shape = Shape::Damaged;
        }
        arrivals
    }

    /// A message has left the link.
    pub(crate) fn arrived(&mut self, from: Seat, to: Seat) {
        let link = self.link_mut(from, to);
        link.in_flight = link.in_flight.saturating_sub(1);
    }

    /// Blocks one direction, once more.
    pub(crate) fn block(&mut self, from: Seat, to: Seat) {
        self.link_mut(from, to).blocks += 1;
    }

    /// Takes one block away.
    pub(crate) fn unblock(&mut self, from: Seat, to: Seat) {
        let link = self.link_mut(from, to);
        link.blocks = link.blocks.saturating_sub(1);
    }

    /// What is sent before `until` arrives after it.
    pub(crate) fn clog(&mut self, from: Seat, to: Seat, until: Instant) {
        self.link_mut(from, to).clogged_until = until;
    }

    /// Whether two machines reach each other just now.
    pub(crate) fn is_open(&self, one: Seat, other: Seat) -> bool {
        let ways = [(one, other), (other, one)];
        ways.iter()
            .all(|(from, to)| self.link(*from, *to).blocks == 0)
    }

    /// Ends every fault, the standing ones too.
    pub(crate) fn heal(&mut self) {
        use crate::rng::Chance;
        self.plan.loss = Chance::NEVER;
        self.plan.duplicate = Chance::NEVER;
        self.plan.corrupt = Chance::NEVER;
        for link in &mut self.links {
            link.blocks = 0;
            link.clogged_until = Instant::default();
        }
    }

    fn arrival(&mut self, now: Instant, packet: &Packet) -> Instant {
        let delay = self.link(packet.from, packet.to).delay;
        let delay = self.rng.with_tail(delay, self.plan.jitter);
        let spread = self.rng.duration(Duration::ZERO..Duration::from_millis(50));
        let order = self.plan.order;
        let link = self.link_mut(packet.from, packet.to);
        link.in_flight += 1;
        let mut at = now.plus(delay);
        if link.clogged_until > now {
            at = at.max(link.clogged_until.plus(spread));
        }
        if order == Order::Fifo {
            at = at.max(link.last_arrival);
        }
        link.last_arrival = link.last_arrival.max(at);
        at
    }

    fn place(&self, from: Seat, to: Seat) -> usize {
        from.0 * self.nodes + to.0
    }

    fn link(&self, from: Seat, to: Seat) -> &Link {
        self.links
            .get(self.place(from, to))
            .expect("a link for each pair")
    }

    fn link_mut(&mut self, from: Seat, to: Seat) -> &mut Link {
        let place = self.place(from, to);
        self.links.get_mut(place).expect("a link for each pair")
    }
}

/// The bytes with one bit turned.
fn flip(bytes: &[u8], rng: &mut Rng) -> Arc<[u8]> {
    let mut damaged = bytes.to_vec();
    let at = rng.index(damaged.len());
    if let Some(byte) = damaged.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
    damaged.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::rng::Chance;

    fn network(change: impl FnOnce(&mut NetworkPlan)) -> Network {
        let mut plan = Plan::calm(1, 2).network;
        change(&mut plan);
        Network::new(plan, 2, Rng::new(5))
    }

    fn packet() -> Packet {
        Packet {
            from: Seat(0),
            to: Seat(1),
            bytes: [1, 2, 3].into(),
            shape: Shape::Intact,
        }
    }

    #[test]
    fn a_fifo_link_keeps_the_order() {
        let mut network = network(|plan| plan.jitter = Duration::from_millis(50));
        let mut last = Instant::default();
        for step in 0..200 {
            let now = Instant(step * 1_000);
            let (at, _) = network.send(now, packet()).remove(0);
            assert!(at >= last && at > now);
            last = at;
        }
    }

    #[test]
    fn a_block_is_one_way_and_counts() {
        let mut network = network(|_| ());
        network.block(Seat(0), Seat(1));
        network.block(Seat(0), Seat(1));
        network.unblock(Seat(0), Seat(1));
        assert!(network.send(Instant(0), packet()).is_empty());
        let back = Packet {
            from: Seat(1),
            to: Seat(0),
            ..packet()
        };
        assert_eq!(network.send(Instant(0), back).len(), 1);
        network.unblock(Seat(0), Seat(1));
        assert_eq!(network.send(Instant(0), packet()).len(), 1);
    }

    #[test]
    fn damage_flips_one_bit_and_says_so() {
        let mut network = network(|plan| plan.corrupt = Chance::percent(100));
        let (_, got) = network.send(Instant(0), packet()).remove(0);
        assert_eq!(got.shape, Shape::Damaged);
        let bits: u32 = got
            .bytes
            .iter()
            .zip([1, 2, 3])
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        assert_eq!(bits, 1);
    }

    #[test]
    fn a_clogged_link_delivers_late() {
        let mut network = network(|_| ());
        network.clog(Seat(0), Seat(1), Instant::from_millis(900));
        let (at, _) = network.send(Instant(0), packet()).remove(0);
        assert!(at >= Instant::from_millis(900));
    }
}
