//! Fetches what is missing here, a few at a time and no faster than it may.

use std::time::Duration;

use catalogue::Named;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Replicator;

/// Copies fetched at one time.
const AT_ONCE: usize = 4;

pub(super) async fn run(replicator: Replicator) {
    let mut pace = Pace::new(replicator.parts.settings.copy_bytes_per_second);
    let mut running = JoinSet::new();
    let stock = &replicator.parts.stock;
    loop {
        while running.len() < AT_ONCE
            && let Some(named) = stock.next()
        {
            tokio::time::sleep_until(pace.next(Instant::now(), named.size)).await;
            running.spawn(copy(replicator.clone(), named));
        }
        tokio::select! {
            Some(_) = running.join_next() => {}
            () = stock.more() => {}
        }
    }
}

async fn copy(replicator: Replicator, named: Named) {
    let Named { blob, size } = named;
    let parts = &replicator.parts;
    let store = parts.store.clone();
    let is_here = async move || {
        let found = tokio::task::spawn_blocking(move || store.size(blob)).await;
        matches!(found, Ok(Ok(Some(found))) if found == size)
    };
    match parts.copies.fetch(blob, is_here).await {
        Ok(()) => replicator.is_here(blob),
        Err(error) => {
            let failures = parts.stock.failed(blob);
            // Once; operators see it in `/cluster` for as long as it lasts.
            if failures == 1 {
                warn!(%blob, %error, "a copy that belongs here cannot be had yet");
            }
        }
    }
    if parts.stock.is_complete() {
        info!("every copy that belongs here is here");
    }
}

/// Says when the next copy may begin: so that on average no more than so many bytes come per second, whatever their size.
pub(crate) struct Pace {
    rate: Option<u64>,
    free: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self { rate, free: None }
    }

    pub(crate) fn next(&mut self, now: Instant, size: u64) -> Instant {
        let begin = self.free.map_or(now, |free| free.max(now));
        let cost = self
            .rate
            .map_or(0, |rate| size.saturating_mul(1000) / rate.max(1));
        self.free = Some(begin + Duration::from_millis(cost));
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_wait_for_as_long_as_those_before_them_take() {
        let now = Instant::now();
        let after = |millis| now + Duration::from_millis(millis);
        let mut pace = Pace::new(Some(1_000));
        assert_eq!(pace.next(now, 500), now);
        assert_eq!(pace.next(now, 2_000), after(500));
        assert_eq!(pace.next(after(100), 1), after(2_500));
        assert_eq!(
            pace.next(after(9_000), 1),
            after(9_000),
            "what was not used is gone"
        );
        let mut free = Pace::new(None);
        assert_eq!(free.next(now, u64::MAX), now);
        assert_eq!(free.next(now, 1), now);
    }
}
