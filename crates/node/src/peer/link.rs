//! The stream of messages to one peer: opened, kept, and opened again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::ChainId;
use tokio::sync::Notify;
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::client::Dialer;
use super::generated::peer_client::PeerClient;
use super::outbox::Outbox;
use super::refusals::Throttle;
use super::wire;

/// The first pause after a link broke.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A link that lived this long was a good one: the next pause is the first again.
const GOOD_LIFE: Duration = Duration::from_secs(5);

/// One direction: from here to the peer.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) dialer: Dialer,
    pub(super) chain: ChainId,
    /// Where the peer is told to call us.
    pub(super) own_address: String,
    pub(super) outbox: Arc<Outbox>,
    /// Rung when the peer has connected to us.
    pub(super) bell: Arc<Notify>,
}

impl Link {
    /// Keeps the link up for ever.
    pub(super) async fn run(self) {
        let mut pause = PAUSE_MIN;
        let log = Throttle::default();
        loop {
            let start = Instant::now();
            if let Err(why) = self.live_once().await
                && log.passes()
            {
                tracing::warn!(peer = self.name, "{why}");
            }
            self.outbox.close();
            if start.elapsed() >= GOOD_LIFE {
                pause = PAUSE_MIN;
            }
            // A peer that has just connected to us is there: no reason to wait any longer.
            pause = tokio::select! {
                () = tokio::time::sleep(jitter(pause)) => (pause * 2).min(PAUSE_MAX),
                () = self.bell.notified() => PAUSE_MIN,
            };
        }
    }

    async fn live_once(&self) -> Result<(), String> {
        let channel = self.dialer.connect().await;
        let channel =
            channel.map_err(|error| format!("cannot connect: {}", chain_of_causes(&error)))?;
        tracing::info!(peer = self.name, "connected");
        let frames = self.outbox.open(wire::chain_bytes(self.chain));
        let mut request = Request::new(frames);
        if let Ok(address) = self.own_address.parse() {
            request.metadata_mut().insert(wire::ADDRESS, address);
        }
        let version = MetadataValue::from_static(env!("CARGO_PKG_VERSION"));
        request.metadata_mut().insert(wire::VERSION, version);
        let mut client = PeerClient::new(channel);
        let ended = client.deliver(request).await;
        ended.map_err(|status| format!("the link broke: {status}"))?;
        tracing::info!(peer = self.name, "the peer closed the link");
        Ok(())
    }
}

/// Between half the pause and all of it, so that nodes that lost each other at once do not return in step.
fn jitter(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// tonic says "transport error" and keeps what matters to itself.
pub(crate) fn chain_of_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
