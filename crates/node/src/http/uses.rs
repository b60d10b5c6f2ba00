//! When tokens were used last.
//!
//! A node notes it in memory at every request, and tells the others through the ledger once an hour at most of each token,
//! of many at once. So the ledger does not grow with what is read, and what anybody is told of it is in the ledger: the same
//! on every node. What a node has not told when it stops is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::access::{TokenStep, TokenUse};
use model::{LibraryId, Payload, Timestamp, TokenId, limits};
use replica::NODE_ITSELF;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Api;
use crate::Request;

/// What was told so long ago is told anew.
pub(crate) const TOLD_FOR: Duration = Duration::from_secs(3600);
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this node has seen of tokens.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<HashMap<TokenId, Use>>);

#[derive(Debug, Clone, Copy)]
struct Use {
    /// When it was used last.
    seen: Timestamp,
    /// When it was used last as far as the ledger knows.
    told: Option<Timestamp>,
}

impl Use {
    fn is_news(&self) -> bool {
        self.told
            .is_none_or(|told| told.plus(TOLD_FOR) <= self.seen)
    }
}

impl Uses {
    /// A token was accepted. There are no more of them than the ledger has tokens.
    pub(crate) fn note(&self, token: TokenId, at: Timestamp, told: Option<Timestamp>) {
        let mut uses = self.0.lock().expect("no holder panics");
        let seen = uses.entry(token).or_insert(Use { seen: at, told });
        seen.seen = seen.seen.max(at);
        seen.told = seen.told.max(told);
    }

    /// What the others do not know.
    fn news(&self) -> Vec<TokenUse> {
        let uses = self.0.lock().expect("no holder panics");
        let news = uses.iter().filter(|(_, seen)| seen.is_news());
        let mut news: Vec<TokenUse> = news
            .map(|(token, seen)| TokenUse {
                token: *token,
                at: seen.seen,
            })
            .collect();
        news.sort_unstable();
        news.truncate(limits::TOKEN_USES_MAX);
        news
    }

    /// The others know now.
    fn told(&self, news: &[TokenUse]) {
        let mut uses = self.0.lock().expect("no holder panics");
        for TokenUse { token, at } in news {
            if let Some(seen) = uses.get_mut(token) {
                seen.told = seen.told.max(Some(*at));
            }
        }
    }
}

/// Tells the others again and again what was used. What cannot be told now is told the next time.
pub(super) async fn tell(api: Arc<Api>, stop: CancellationToken) {
    let pause = api.app.config.access.tell_uses_every;
    while stop
        .run_until_cancelled(tokio::time::sleep(pause))
        .await
        .is_some()
    {
        let news = api.uses.news();
        if news.is_empty() {
            continue;
        }
        let request = Request {
            library: LibraryId::home(),
            actor: NODE_ITSELF,
            key: None,
            payload: Payload::Token(TokenStep::Used(news.clone())),
        };
        let deadline = Instant::now() + PATIENCE;
        let telling = api.app.replica.submit(request, deadline);
        match stop.run_until_cancelled(telling).await {
            None => return,
            Some(Ok(_)) => api.uses.told(&news),
            Some(Err(error)) => tracing::debug!(%error, "telling when tokens were used"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000;

    fn at(minutes: u64) -> Timestamp {
        Timestamp(minutes * MINUTE)
    }

    #[test]
    fn a_token_that_is_used_all_the_time_is_told_of_once_an_hour() {
        let (uses, token) = (Uses::default(), TokenId([1; 8]));
        let mut told = Vec::new();
        for minute in 0..600 {
            uses.note(token, at(minute), None);
            let news = uses.news();
            uses.told(&news);
            told.extend(news.iter().map(|news| news.at));
        }
        let hours: Vec<Timestamp> = (0..10).map(|hour| at(hour * 60)).collect();
        assert_eq!(told, hours);
        let seen = uses.0.lock().unwrap()[&token].seen;
        assert_eq!(seen, at(599));
    }

    #[test]
    fn what_another_node_told_is_not_told_again() {
        let (uses, token) = (Uses::default(), TokenId([1; 8]));
        uses.note(token, at(100), Some(at(50)));
        assert_eq!(uses.news(), []);
        uses.note(token, at(109), Some(at(50)));
        uses.note(token, at(90), Some(at(40)));
        assert_eq!(uses.news(), [], "neither goes back");
        uses.note(token, at(110), Some(at(50)));
        assert_eq!(uses.news().len(), 1);
        for n in 0..2000_u64 {
            uses.note(TokenId(n.to_be_bytes()), at(1), None);
        }
        assert_eq!(uses.news().len(), limits::TOKEN_USES_MAX);
    }
}
