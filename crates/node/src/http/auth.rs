//! Who calls, and what they may do.
//!
//! A bearer token is `stl_<id>_<secret>`. The id is public and stands in the ledger with the SHA-256 of the secret;
//! the secret is known to its owner alone. Tokens met once are kept in memory until a decided block changes any
//! token, so that a busy client costs no query; a token that is not known is looked up every time.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use catalogue::Rights;
use model::{Digest, Height, Timestamp, TokenId, UserId};

use super::problem::{Code, Problem};

/// What every token starts with, so that a leaked one is recognised by scanners.
const PREFIX: &str = "stl_";

/// What a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The public half.
    pub(crate) id: TokenId,
    /// SHA-256 of the secret half.
    pub(crate) secret: Digest,
}

impl Shown {
    /// Reads a token. The secret is everything behind the id and may hold any character, `_` among them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        Some(Self {
            id: id.parse().ok()?,
            secret: Digest::of(&[secret.as_bytes()]),
        })
    }
}

/// Writes a token down for its owner.
pub(crate) fn token_text(id: TokenId, secret: &str) -> String {
    format!("{PREFIX}{id}_{secret}")
}

/// The bearer token as it was sent.
pub(crate) fn text(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whoever it is, we do not know them.
pub(crate) fn unauthenticated() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "send Authorization: Bearer with a token that is accepted, or sign in",
    )
}

/// A token that is accepted, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// SHA-256 of the secret half.
    pub(crate) secret: Digest,
    /// What it may do, and where: never more than its owner.
    pub(crate) rights: Arc<Rights>,
    /// Whose it is.
    pub(crate) owner: Option<UserId>,
    /// Whether it was made by a sign-in.
    pub(crate) session: bool,
    /// Until when it is accepted.
    pub(crate) expires: Option<Timestamp>,
    /// When it was used last, as far as the ledger knows.
    pub(crate) last_used: Option<Timestamp>,
}

impl Known {
    /// The rights, if the secret shown is the right one and it is not too late.
    pub(crate) fn admit(&self, shown: &Shown, now: Timestamp) -> Option<Arc<Rights>> {
        let right = same(&self.secret, &shown.secret);
        (right && !self.is_over(now)).then(|| Arc::clone(&self.rights))
    }

    /// Whether it is too late.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Compares in a time that does not depend on where the first difference is.
pub(crate) fn same(left: &Digest, right: &Digest) -> bool {
    let pairs = left.as_bytes().iter().zip(right.as_bytes());
    let difference = pairs.fold(0, |bits, (left, right)| {
        std::hint::black_box(bits | (left ^ right))
    });
    difference == 0
}

/// Blocks looked through for a change of tokens; after a longer gap everything is looked up again.
const FOLLOWED_BLOCKS: u64 = 64;

/// Tokens met since the ledger's tokens last changed.
#[derive(Debug, Default)]
pub(crate) struct TokenCache(RwLock<Generation>);

#[derive(Debug, Default)]
struct Generation {
    number: u64,
    followed: Height,
    tokens: HashMap<TokenId, Known>,
}

impl TokenCache {
    /// Goes along to the height applied on this node and forgets everything if a block on the way `changes` tokens.
    /// Returns the number of the generation that results.
    pub(crate) fn follow(&self, applied: Height, changes: impl Fn(Height) -> bool) -> u64 {
        {
            let generation = self.0.read().expect("no holder panics");
            if generation.followed >= applied {
                return generation.number;
            }
        }
        let mut generation = self.0.write().expect("no holder panics");
        let mut heights = generation.followed.0 + 1..=applied.0;
        let gap = applied.0.saturating_sub(generation.followed.0);
        if gap > FOLLOWED_BLOCKS || heights.any(|height| changes(Height(height))) {
            generation.number += 1;
            generation.tokens.clear();
        }
        generation.followed = generation.followed.max(applied);
        generation.number
    }

    /// A token remembered in this generation.
    pub(crate) fn get(&self, number: u64, id: TokenId) -> Option<Known> {
        let generation = self.0.read().expect("no holder panics");
        let current = generation.number == number;
        current
            .then(|| generation.tokens.get(&id).cloned())
            .flatten()
    }

    /// Remembers a token that was looked up after this generation began.
    pub(crate) fn put(&self, number: u64, id: TokenId, known: Known) {
        let mut generation = self.0.write().expect("no holder panics");
        if generation.number == number {
            generation.tokens.insert(id, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalogue::rights::Holder;
    use model::{LibraryId, Scope};

    const TOKEN: &str = "stl_00112233445566ff_ab_c-d";

    fn shown(header: &str) -> Option<Shown> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
        text(&headers).and_then(Shown::parse)
    }

    fn known(secret: Digest, expires: Option<Timestamp>) -> Known {
        let holder = Holder {
            token: TokenId([7; 8]),
            scope: Scope::Write,
            library: LibraryId::home(),
            user: None,
        };
        Known {
            secret,
            rights: Arc::new(Rights::nowhere(holder)),
            owner: None,
            session: false,
            expires,
            last_used: None,
        }
    }

    #[test]
    fn a_secret_may_hold_the_separator() {
        let shown = Shown::parse(TOKEN).unwrap();
        assert_eq!(shown.id.to_string(), "00112233445566ff");
        assert_eq!(shown.secret, Digest::of(&[b"ab_c-d"]));
        assert_eq!(token_text(shown.id, "ab_c-d"), TOKEN);
    }

    #[test]
    fn only_bearer_tokens_of_ours_are_read() {
        assert!(shown(&format!("Bearer {TOKEN}")).is_some());
        assert!(shown(&format!("bearer  {TOKEN}")).is_some());
        for header in [
            "Basic abc",
            "Bearer",
            "Bearer ",
            "Bearer stl_xyz_a",
            "Bearer stl_00112233445566ff",
        ] {
            assert_eq!(shown(header), None, "{header}");
        }
        assert_eq!(text(&HeaderMap::new()), None);
    }

    #[test]
    fn a_wrong_secret_is_not_admitted_nor_one_that_is_over() {
        let right = Shown::parse(TOKEN).unwrap();
        let lasting = known(right.secret, None);
        let (now, late) = (Timestamp(7), Timestamp(u64::MAX));
        assert!(lasting.admit(&right, late).is_some());
        let wrong = Shown::parse("stl_00112233445566ff_ab_c-e").unwrap();
        assert_eq!(lasting.admit(&wrong, now), None);
        let expiring = known(right.secret, Some(Timestamp(8)));
        assert!(expiring.admit(&right, now).is_some());
        assert_eq!(expiring.admit(&right, Timestamp(8)), None);
        assert_eq!(expiring.admit(&wrong, now), None);
    }

    #[test]
    fn a_change_of_tokens_empties_the_cache() {
        let cache = TokenCache::default();
        let known = known(Digest([1; 32]), None);
        let id = TokenId([7; 8]);
        let changed_at = |change: u64| move |height: Height| height.0 == change;
        let before = cache.follow(Height(3), changed_at(5));
        cache.put(before, id, known.clone());
        assert_eq!(cache.follow(Height(4), changed_at(5)), before);
        assert_eq!(cache.get(before, id).as_ref(), Some(&known));
        let after = cache.follow(Height(6), changed_at(5));
        assert_eq!(cache.get(after, id), None);
        cache.put(before, id, known.clone());
        assert_eq!(
            cache.get(after, id),
            None,
            "what was read before the change is not kept"
        );
        cache.put(after, id, known.clone());
        let far = cache.follow(Height(1000), changed_at(5));
        assert_eq!(cache.get(far, id), None, "a long gap is not looked through");
    }
}
