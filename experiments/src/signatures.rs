//! What real signatures cost in processor time, beside stand-ins that cost one hash.
//!
//! The only thing here that a real clock measures. The whole cluster runs on one thread, and the processor time of that
//! thread is taken where the system tells it, so that other programs disturb little.

use std::fs;
use std::time::{Duration, Instant};

use sim::Scheme;

use crate::competition::{CLIENTS, starling_figures};
use crate::network::{Place, Trouble};
use crate::record::Figures;
use crate::starling::Cluster;

/// Each scheme is run so often, in turn; the quickest run counts.
const REPEATS: usize = 3;
/// How much simulated time is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// What signatures cost a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Processor time of one node for one block, with stand-ins.
    pub stand_in: Duration,
    /// The same with Ed25519.
    pub real: Duration,
}

/// The thread's processor time where Linux tells it, else the time on the wall since `began`.
fn processor_time(began: Instant) -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| began.elapsed(), Duration::from_nanos)
}

/// Measures both schemes under the same load on a LAN.
///
/// # Errors
/// If a replica does not start.
pub fn cost(nodes: usize) -> Result<Cost, replica::OpenError> {
    let mut best = [Duration::MAX; 2];
    for _ in 0..REPEATS {
        for (scheme, best) in [Scheme::StandIn, Scheme::Ed25519]
            .into_iter()
            .zip(&mut best)
        {
            *best = (*best).min(run(nodes, scheme)?);
        }
    }
    let [stand_in, real] = best;
    Ok(Cost { stand_in, real })
}

fn run(nodes: usize, scheme: Scheme) -> Result<Duration, replica::OpenError> {
    let mut cluster = Cluster::new(Place::Lan, nodes, scheme, Trouble::NONE, 1)?;
    cluster.saturate(CLIENTS);
    cluster.run_for(Duration::from_millis(200));
    cluster.record.begin(cluster.now());
    let clock = Instant::now();
    let before = processor_time(clock);
    cluster.run_for(MEASURED);
    let spent = processor_time(clock) - before;
    let blocks = cluster.record.figures(cluster.now()).blocks;
    let shares =
        u32::try_from(blocks.max(1)).unwrap_or(u32::MAX) * u32::try_from(nodes).unwrap_or(1);
    Ok(spent / shares)
}

/// The bytes of a certificate, and the figures of the run it is from.
///
/// # Errors
/// If a replica does not start.
pub fn bytes(nodes: usize) -> Result<(usize, Figures), replica::OpenError> {
    let (figures, certificate) = starling_figures(Place::Lan, nodes, Scheme::StandIn, 1)?;
    Ok((certificate, figures))
}
