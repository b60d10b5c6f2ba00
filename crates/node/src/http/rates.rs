//! How often somebody may try to sign in.
//!
//! Counted on each node for itself, by the name that is tried and by the address it comes from, in bounded memory: when
//! too many are counted, those that have nothing to wait for are forgotten, and if that makes no room, all further ones
//! share one count. What was tried with success is given back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use model::Digest;

/// How many attempts may come at once, and how often one more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) every: Duration,
}

/// Attempts under one name.
pub(crate) const PER_USER: Rate = Rate {
    burst: 10,
    every: Duration::from_secs(60),
};
/// Attempts from one address.
pub(crate) const PER_ADDRESS: Rate = Rate {
    burst: 30,
    every: Duration::from_secs(10),
};
/// Names, and addresses, that are counted on their own.
const COUNTED_MAX: usize = 10_000;

/// Counts attempts to sign in.
#[derive(Debug)]
pub(crate) struct SignInRates {
    users: Mutex<Counts>,
    addresses: Mutex<Counts>,
}

impl Default for SignInRates {
    fn default() -> Self {
        Self {
            users: Mutex::new(Counts::new(PER_USER, COUNTED_MAX)),
            addresses: Mutex::new(Counts::new(PER_ADDRESS, COUNTED_MAX)),
        }
    }
}

/// An attempt that was let through.
#[derive(Debug)]
pub(crate) struct Attempt {
    user: Digest,
    address: Option<Digest>,
}

impl SignInRates {
    /// Lets an attempt through, or says how long to wait. Without an address, of somebody who is signed in, the name alone
    /// counts.
    pub(crate) fn attempt(
        &self,
        now: Instant,
        user: &str,
        address: Option<IpAddr>,
    ) -> Result<Attempt, Duration> {
        let attempt = Attempt {
            user: Digest::of(&[user.as_bytes()]),
            address: address.map(|address| Digest::of(&[&network(address)])),
        };
        if let Some(address) = attempt.address {
            lock(&self.addresses).take(now, address)?;
        }
        lock(&self.users).take(now, attempt.user)?;
        Ok(attempt)
    }

    /// It was the right password: it does not count.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        if let Some(address) = attempt.address {
            lock(&self.addresses).give_back(address);
        }
        lock(&self.users).give_back(attempt.user);
    }
}

fn lock(counts: &Mutex<Counts>) -> std::sync::MutexGuard<'_, Counts> {
    counts.lock().expect("no holder panics")
}

/// Whom an address stands for: of IPv6 the network, of which one household has a whole one.
fn network(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            bits.to_be_bytes()
        }
    }
}

/// When each may go on: the time at which all that it took is given back.
#[derive(Debug)]
struct Counts {
    rate: Rate,
    limit: usize,
    until: HashMap<Digest, Instant>,
    /// Of all that there is no room for.
    crowd: Option<Instant>,
}

impl Counts {
    fn new(rate: Rate, limit: usize) -> Self {
        Self {
            rate,
            limit,
            until: HashMap::new(),
            crowd: None,
        }
    }

    fn take(&mut self, now: Instant, who: Digest) -> Result<(), Duration> {
        if self.until.len() >= self.limit && !self.until.contains_key(&who) {
            self.until.retain(|_, until| *until > now);
        }
        let counted = self.until.get(&who).copied();
        let alone = counted.is_some() || self.until.len() < self.limit;
        let until = if alone { counted } else { self.crowd };
        let until = until.unwrap_or(now).max(now);
        let room = self.rate.every * (self.rate.burst - 1);
        let ahead = until.duration_since(now);
        if ahead > room {
            return Err(ahead - room);
        }
        let until = until + self.rate.every;
        if alone {
            self.until.insert(who, until);
        } else {
            self.crowd = Some(until);
        }
        Ok(())
    }

    fn give_back(&mut self, who: Digest) {
        let every = self.rate.every;
        if let Some(until) = self.until.get_mut(&who) {
            *until = until.checked_sub(every).unwrap_or(*until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 3,
        every: Duration::from_secs(10),
    };

    fn who(number: u64) -> Digest {
        Digest::of(&[&number.to_be_bytes()])
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_at_a_time() {
        let (mut counts, start) = (Counts::new(RATE, 10), Instant::now());
        for _ in 0..3 {
            assert_eq!(counts.take(start, who(1)), Ok(()));
        }
        assert_eq!(counts.take(start, who(1)), Err(seconds(10)));
        assert_eq!(counts.take(start + seconds(4), who(1)), Err(seconds(6)));
        assert_eq!(counts.take(start, who(2)), Ok(()), "others do not wait");
        assert_eq!(counts.take(start + seconds(10), who(1)), Ok(()));
        assert_eq!(counts.take(start + seconds(10), who(1)), Err(seconds(10)));
        counts.give_back(who(1));
        assert_eq!(counts.take(start + seconds(10), who(1)), Ok(()));
        let late = start + seconds(1000);
        assert_eq!(
            [(); 4].map(|()| counts.take(late, who(1)).is_ok()),
            [true, true, true, false]
        );
    }

    /// However attempts are spread, within any time no more are let through than the rate says.
    #[test]
    fn no_window_lets_more_through_than_the_rate() {
        let mut random = 11_u64;
        let mut below = move |limit: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % limit
        };
        let (mut counts, start) = (Counts::new(RATE, 4), Instant::now());
        let mut at = 0;
        let mut let_through = Vec::new();
        for _ in 0..3000 {
            at += below(7);
            let attempt = below(3);
            match counts.take(start + seconds(at), who(attempt)) {
                Ok(()) => let_through.push((attempt, at)),
                Err(wait) => assert!(wait <= RATE.every, "{wait:?}"),
            }
        }
        for (attempt, from) in &let_through {
            let within = |window: u64| {
                let mut all = let_through.iter();
                all.by_ref()
                    .filter(|(other, at)| other == attempt && (*from..*from + window).contains(at))
                    .count() as u64
            };
            for window in [1, 10, 55, 300] {
                assert!(
                    within(window) <= 3 + window.div_ceil(10),
                    "{attempt} from {from}"
                );
            }
        }
    }

    #[test]
    fn a_flood_of_names_takes_bounded_memory_and_waits_together() {
        let (mut counts, start) = (Counts::new(RATE, 10), Instant::now());
        let let_through = (0..1000).filter(|n| counts.take(start, who(*n)).is_ok());
        assert_eq!(
            let_through.count(),
            10 + 3,
            "ten on their own, a burst for all others"
        );
        assert_eq!(counts.until.len(), 10);
        let later = start + seconds(11);
        assert_eq!(
            counts.take(later, who(5000)),
            Ok(()),
            "who waits for nothing is forgotten"
        );
        assert_eq!(counts.until.len(), 1);
    }

    #[test]
    fn a_household_is_one_address_and_success_does_not_count() {
        let rates = SignInRates::default();
        let now = Instant::now();
        let parsed = |text: &str| text.parse::<IpAddr>().unwrap();
        let address = |text: &str| Some(parsed(text));
        let try_from = |name: &str, from| rates.attempt(now, name, from);
        for n in 0..PER_ADDRESS.burst {
            let from = address(&format!("2001:db8::{n}"));
            try_from(&n.to_string(), from).unwrap();
        }
        assert!(try_from("next", address("2001:db8::ffff:1")).is_err());
        assert!(try_from("next", address("2001:db8:0:1::1")).is_ok());
        assert_eq!(
            network(parsed("::ffff:10.0.0.1")),
            network(parsed("10.0.0.1"))
        );
        for n in 0..2 * PER_ADDRESS.burst {
            assert!(try_from(&format!("signed in {n}"), None).is_ok());
        }
        for n in 0..100 {
            let attempt = try_from("ann", address(&format!("10.0.0.{n}"))).unwrap();
            rates.succeeded(&attempt);
        }
        for n in 0..PER_USER.burst {
            try_from("ann", address(&format!("10.0.1.{n}"))).unwrap();
        }
        let wait = try_from("ann", address("10.0.2.1")).unwrap_err();
        assert_eq!(wait, PER_USER.every, "from wherever it comes");
    }
}
