//! One call: who makes it, until when it may take, what state it reads, and how a change it asks for is decided.
//!
//! Handlers start with [`MayRead`], [`MayWrite`] or [`MayAdmin`]. Authentication and scope come first, so that a
//! stranger learns nothing, not even that a parameter is misspelt. Then the call waits for the height the client has
//! seen, so that a client that moves between nodes never goes back in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri};
use catalogue::{Need, Outcome, Query, Reader, Rights, SearchError};
use consensus::{Phase, StopReason};
use model::codec::Encode as _;
use model::command::Scope;
use model::{
    BlobId, Digest, Height, LibraryId, Payload, Position, RequestKey, Timestamp, TokenId, limits,
};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Api;
use super::auth::{self, Known};
use super::cookie::Presented;
use super::params::Params;
use super::problem::{Code, Fault, Problem};
use super::search;
use crate::originals::brought_by;
use crate::{Decision, DecisionKind, Request, SubmitError};

/// The client's name for a change, under which it may be repeated.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The height a client has seen.
pub(crate) const MIN_HEIGHT: HeaderName = HeaderName::from_static("starling-min-height");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What a node that was removed still answers.
const CLUSTER: &str = "/api/v1/cluster";

/// How long a call may take if its client does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// How long it may take at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The height an answer reflects, shared between a handler and whoever writes the header.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reflected(Arc<AtomicU64>);

impl Reflected {
    /// What an answer reflects that looks at nothing newer.
    pub(crate) fn new(height: Height) -> Self {
        Self(Arc::new(AtomicU64::new(height.0)))
    }

    /// The answer reflects this height at least.
    pub(crate) fn raise(&self, height: Height) {
        self.0.fetch_max(height.0, Ordering::Relaxed);
    }

    /// What is known so far.
    pub(crate) fn height(&self) -> Height {
        Height(self.0.load(Ordering::Relaxed))
    }
}

/// A call by somebody who may make it.
pub(crate) struct Call {
    /// The node.
    pub(crate) api: Arc<Api>,
    /// Who calls.
    pub(crate) token: TokenId,
    /// What is known of the token, and whose it is.
    pub(crate) known: Known,
    /// How the token came.
    pub(crate) presented: Presented,
    /// The library it is about.
    pub(crate) library: LibraryId,
    /// What its token may do.
    pub(crate) scope: Scope,
    /// What it may do, and where.
    pub(crate) rights: Arc<Rights>,
    /// Query parameters not yet read.
    pub(crate) params: Params,
    /// How long the client waits for a decision, once its request is here whole: a film may take minutes to arrive.
    patience: Duration,
    reflected: Reflected,
    key: Option<Key>,
}

/// An idempotency key and the part of the request that is known before its body.
struct Key {
    text: String,
    request: Sha256,
}

macro_rules! admitted {
    ($($(#[$doc:meta])* $name:ident: $scope:ident, $need:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) Call);

        impl FromRequestParts<Arc<Api>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(
                parts: &mut Parts,
                api: &Arc<Api>,
            ) -> Result<Self, Problem> {
                let needed = (Scope::$scope, Need::$need);
                Call::admit(parts, api, needed).await.map(Self)
            }
        }
    )*};
}

admitted! {
    /// A call that is about no library in particular: what it shows is looked through for what the caller may see.
    MaySee: Read, Nothing;
    /// A call that looks at things of a library.
    MayRead: Read, View;
    /// A call that changes things of a library.
    MayWrite: Write, Edit;
    /// A call that changes what can be said of a library's files.
    MayOwn: Write, Own;
    /// A call that changes what its handler looks at: who may is asked there.
    MayChange: Write, Nothing;
    /// A call that makes a library.
    MayFound: Write, Found;
    /// A call that changes the cluster, or who may do what in it.
    MayAdmin: Admin, Administer;
}

impl Call {
    async fn admit(
        parts: &Parts,
        api: &Arc<Api>,
        (needed, need): (Scope, Need),
    ) -> Result<Self, Problem> {
        let presented = Presented::of(&parts.headers, api.is_secure())?;
        let shown = presented.shown;
        let patience = wait(&parts.headers);
        let deadline = Instant::now() + patience;
        let min_height = min_height(&parts.headers);
        let known = match api.known_token(shown.id).await? {
            // The token may be younger than this node's view: its owner has seen the height that made it.
            None if min_height.as_ref().is_ok_and(Option::is_some) => {
                api.wait_for(min_height.clone()?, deadline).await?;
                api.known_token(shown.id).await?
            }
            known => known,
        };
        let known = known.ok_or_else(auth::unauthenticated)?;
        let now = api.now();
        let rights = known.admit(&shown, now);
        let rights = rights.ok_or_else(auth::unauthenticated)?;
        api.uses.note(shown.id, now, known.last_used);
        presented.check(parts, &api.app.config.http.public_url)?;
        check_scope(&rights, needed)?;
        if parts.uri.path() != CLUSTER {
            api.refuse_if_out()?;
        }
        let reflected = parts
            .extensions
            .get::<Reflected>()
            .cloned()
            .unwrap_or_default();
        let mut params = Params::of(&parts.uri)?;
        let named = params.take("library");
        api.wait_for(min_height?, deadline).await?;
        match params.take("consistency").as_deref() {
            None | Some("local") => {}
            Some("linearizable") => api.linearizable(deadline).await?,
            Some(_) => return Err(Problem::parameter("consistency", "local or linearizable")),
        }
        // What it was waited for may be the end of this very token, or a right that was given or taken.
        let known = api.known_token(shown.id).await?;
        let known = known.ok_or_else(auth::unauthenticated)?;
        let rights = known.admit(&shown, api.now());
        let rights = rights.ok_or_else(auth::unauthenticated)?;
        check_scope(&rights, needed)?;
        let library = library(named, &rights, need)?;
        reflected.raise(api.app.catalogue.height());
        let key = key(parts)?;
        Ok(Self {
            api: Arc::clone(api),
            token: shown.id,
            scope: rights.holder().scope,
            known,
            presented,
            rights,
            library,
            params,
            patience,
            reflected,
            key,
        })
    }

    /// Waits until this node has seen all that was answered before this call, on any node.
    pub(crate) async fn catch_up(&self) -> Result<(), Problem> {
        let deadline = Instant::now() + self.patience;
        self.api.linearizable(deadline).await?;
        self.reflects(self.api.app.catalogue.height());
        Ok(())
    }

    /// Refuses a call that may not do this in its library.
    pub(crate) fn require(&self, need: Need) -> Result<(), Problem> {
        check(&self.rights, &self.library, need)
    }

    /// The call is about another library from here on, which a part of its path names.
    pub(crate) fn is_about(&mut self, name: &str, need: Need) -> Result<(), Problem> {
        let named = name.parse().ok().filter(|named| self.rights.knows(named));
        self.library = named.ok_or_else(|| Problem::not_found("library"))?;
        self.require(need)
    }

    /// Refuses a query about a library that the caller may not see, as if there were none.
    pub(crate) fn must_see(&self, query: &Query) -> Result<(), Problem> {
        match &query.library {
            Some(named) if !self.rights.may_read(named) => Err(Problem::not_found("library")),
            _ => Ok(()),
        }
    }

    /// Where something of the call's library is found: the library is named unless it is the token's own.
    pub(crate) fn place(&self, path: &str) -> String {
        if self.library == self.rights.holder().library {
            path.to_owned()
        } else {
            format!("{path}?library={}", self.library)
        }
    }

    /// Whether the client gave the request a name.
    pub(crate) fn is_keyed(&self) -> bool {
        self.key.is_some()
    }

    /// Checks that the query had no other parameters.
    pub(crate) fn no_more_params(&mut self) -> Result<(), Problem> {
        std::mem::take(&mut self.params).finish()
    }

    /// The height this call's answer reflects so far.
    pub(crate) fn height(&self) -> Height {
        self.reflected.height()
    }

    /// The answer reflects this height at least.
    pub(crate) fn reflects(&self, height: Height) {
        self.reflected.raise(height);
    }

    /// Asks the catalogue. The height told is not above the one the answer is from.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut catalogue::Reader) -> Result<T, catalogue::ReadError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.reflects(self.api.app.catalogue.height());
        self.api.read(ask).await
    }

    /// Asks the catalogue what only its index can tell, which a node that has just started may still be building.
    pub(crate) async fn find<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Reader, &LibraryId) -> Result<T, SearchError> + Send + 'static,
    ) -> Result<T, Problem> {
        let catalogue = &self.api.app.catalogue;
        self.reflects(catalogue.height());
        let built = catalogue.indexed(Instant::now() + self.patience).await;
        built.map_err(|_| Problem::new(Code::Behind, "this node is still building its index"))?;
        let library = self.library.clone();
        let found = catalogue.read(move |reader| ask(reader, &library)).await;
        found.map_err(|error| search::unfound(&error))
    }

    /// Has a command decided. `content` is the SHA-256 of the decoded body.
    pub(crate) async fn decide(
        &self,
        payload: Payload,
        content: Digest,
    ) -> Result<Decision, Problem> {
        self.decide_by(Instant::now() + self.patience, payload, content)
            .await
    }

    async fn decide_by(
        &self,
        deadline: Instant,
        payload: Payload,
        content: Digest,
    ) -> Result<Decision, Problem> {
        let key = self.key.as_ref().map(|key| key.with(content));
        self.submit(deadline, payload, key).await
    }

    /// Has a command decided that is the same thing when done twice, whatever key its call came under.
    pub(crate) async fn decide_unkeyed(
        &self,
        deadline: Instant,
        payload: Payload,
    ) -> Result<Decision, Problem> {
        self.submit(deadline, payload, None).await
    }

    /// How long the client waits for a decision.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    async fn submit(
        &self,
        deadline: Instant,
        payload: Payload,
        key: Option<RequestKey>,
    ) -> Result<Decision, Problem> {
        let request = Request {
            library: self.library.clone(),
            actor: self.token,
            key,
            payload,
        };
        let decision = self
            .api
            .app
            .replica
            .submit(request, deadline)
            .await
            .map_err(refusal)?;
        self.reflects(decision.position.height);
        match decision.kind {
            DecisionKind::KeyReused(_) => Err(Problem::new(
                Code::IdempotencyKeyReused,
                "another request was made under this Idempotency-Key; use a new key for a new request",
            )),
            DecisionKind::Fresh | DecisionKind::Duplicate(_) => Ok(decision),
        }
    }

    /// Has a command decided and waits for what this node's catalogue makes of it.
    pub(crate) async fn apply(
        &self,
        payload: Payload,
        content: Digest,
    ) -> Result<Outcome, Problem> {
        let (outcome, _) = self.apply_and_tell(payload, content).await?;
        Ok(outcome)
    }

    /// The same, and whether it was decided now or is the answer of an earlier attempt.
    pub(crate) async fn apply_and_tell(
        &self,
        payload: Payload,
        content: Digest,
    ) -> Result<(Outcome, Decision), Problem> {
        check_size(&payload)?;
        let deadline = Instant::now() + self.patience;
        let brought = brought_by(&payload);
        let decision = self.decide_by(deadline, payload, content).await?;
        let outcome = self.outcome(&decision, deadline).await?;
        self.stays(brought).await?;
        Ok((outcome, decision))
    }

    /// The same for one of several commands of a call, or one that is the same thing when done twice.
    pub(crate) async fn apply_unkeyed(&self, payload: Payload) -> Result<Outcome, Problem> {
        check_size(&payload)?;
        let deadline = Instant::now() + self.patience;
        let brought = brought_by(&payload);
        let decision = self.decide_unkeyed(deadline, payload).await?;
        let outcome = self.outcome(&decision, deadline).await?;
        self.stays(brought).await?;
        Ok(outcome)
    }

    /// Whether the bytes that a command has named are still safe, now that it is decided.
    async fn stays(&self, brought: Option<BlobId>) -> Result<(), Problem> {
        match brought {
            Some(blob) => self.api.holdings.still_safe(blob).await,
            None => Ok(()),
        }
    }

    async fn outcome(&self, decision: &Decision, deadline: Instant) -> Result<Outcome, Problem> {
        let applying = self
            .api
            .app
            .catalogue
            .outcome(answer_of(decision), deadline);
        let outcome = applying.await;
        let unknown = || {
            let detail =
                "decided, but not applied here in time; retry with the same Idempotency-Key";
            Problem::new(Code::OutcomeUnknown, detail)
        };
        let outcome = match (outcome, decision.kind) {
            (Ok(Some(outcome)), _) => outcome,
            (Ok(None), DecisionKind::Duplicate(_)) => {
                let detail = "what this request was about was purged, and its answer with it";
                return Err(Problem::new(Code::NotFound, detail));
            }
            _ => return Err(unknown()),
        };
        self.reflects(self.api.app.catalogue.height());
        Ok(outcome)
    }
}

impl Key {
    fn with(&self, content: Digest) -> RequestKey {
        let request = self.request.clone().chain_update(content.as_bytes());
        RequestKey {
            key: self.text.clone(),
            request: Digest(request.finalize().into()),
        }
    }
}

impl Api {
    async fn known_token(&self, id: TokenId) -> Result<Option<Known>, Problem> {
        // Taken before the lookup: a change in between makes the entry stale at once rather than never.
        let generation = self.tokens.follow(self.app.catalogue.height(), |height| {
            changes_tokens(self.app.replica.reader(), height)
        });
        if let Some(known) = self.tokens.get(generation, id) {
            return Ok(Some(known));
        }
        let found = self.read(move |reader| {
            reader.at_one_height(|reader| Ok((reader.token(id)?, reader.rights(id)?)))
        });
        let (token, rights) = found.await?;
        let known = token.zip(rights).map(|(token, rights)| Known {
            secret: token.secret,
            rights: Arc::new(rights),
            owner: token.owner,
            session: token.session,
            expires: token.expires,
            last_used: token.last_used,
        });
        if let Some(known) = &known {
            self.tokens.put(generation, id, known.clone());
        }
        Ok(known)
    }

    /// Whether a token is accepted at this moment.
    pub(crate) async fn accepts(&self, id: TokenId) -> Result<bool, Problem> {
        let known = self.known_token(id).await?;
        Ok(known.is_some_and(|known| !known.is_over(self.now())))
    }

    /// What time it is for what expires: the blocks' or this node's, whichever is later. Blocks alone stand still while
    /// nothing is written, and a clock that is behind must not make anything last longer than elsewhere.
    pub(crate) fn now(&self) -> Timestamp {
        let replica = &self.app.replica;
        replica.wall().max(replica.status().replica.time)
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.app.config.http.tls.is_some()
    }

    /// Whether nothing here may be relied on any more: the cluster has removed this node, or has another history.
    pub(crate) fn refuse_if_out(&self) -> Result<(), Problem> {
        let status = self.app.replica.status();
        if let Phase::Stopped(StopReason::Forked { since }) = status.replica.phase {
            let detail = format!(
                "this node's ledger differs from what the cluster has certified since height {since}; ask another node"
            );
            return Err(Problem::new(Code::Forked, detail));
        }
        if status.replica.phase != Phase::Stopped(StopReason::Removed) {
            return Ok(());
        }
        let roster = self.app.replica.roster();
        let left = roster.former().get(&status.replica.me.node);
        let at = left.map_or(String::new(), |left| format!(" at height {}", left.height));
        let detail = format!("the cluster removed this node{at}; ask another one");
        Err(Problem::new(Code::Removed, detail))
    }

    pub(super) async fn wait_for(
        &self,
        height: Option<Height>,
        deadline: Instant,
    ) -> Result<(), Problem> {
        let Some(height) = height else { return Ok(()) };
        self.app
            .catalogue
            .applied(height, deadline)
            .await
            .map_err(|_| {
                let at = self.app.catalogue.height();
                Problem::new(
                    Code::Behind,
                    format!("this node has applied height {at}, not {height}"),
                )
            })
    }

    async fn linearizable(&self, deadline: Instant) -> Result<(), Problem> {
        let height = self
            .app
            .replica
            .linearizable(deadline)
            .await
            .map_err(|error| {
                Problem::new(Code::NoQuorum, format!("no linearizable read: {error}"))
            })?;
        self.wait_for(Some(height), deadline).await
    }
}

/// Whether a block may change which tokens are accepted.
fn changes_tokens(reader: &ledger::Reader, height: Height) -> bool {
    let Ok(Some(decided)) = reader.block(height) else {
        return true;
    };
    let mut commands = decided
        .block
        .entries()
        .iter()
        .filter_map(|entry| entry.sealed()?.open().ok());
    commands.any(|command| catalogue::rights::are_changed_by(&command.payload))
}

/// Where the command stands whose answer a decision gets: an earlier one if it was a repeat.
pub(crate) fn answer_of(decision: &Decision) -> Position {
    match decision.kind {
        DecisionKind::Duplicate(first) => first,
        DecisionKind::Fresh | DecisionKind::KeyReused(_) => decision.position,
    }
}

/// What is wrong if a command was not decided.
pub(super) fn refusal(error: SubmitError) -> Problem {
    let code = match error {
        SubmitError::NoQuorum => Code::NoQuorum,
        SubmitError::Unknown => Code::OutcomeUnknown,
        SubmitError::Busy => Code::Busy,
        SubmitError::DiskFull => Code::DiskFull,
        SubmitError::DiskFailed => Code::DiskFailed,
        SubmitError::Stopped => Code::Stopped,
    };
    Problem::new(code, error.to_string())
}

/// Metadata can be within every limit of its own and still be too much for one command.
fn check_size(payload: &Payload) -> Result<(), Problem> {
    const REST_OF_COMMAND: usize = 1024;
    let bytes = payload.to_bytes().len();
    if bytes + REST_OF_COMMAND <= limits::COMMAND_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("all values together take {bytes} bytes, too much for one change");
    Err(Problem::at(Code::InvalidBody, vec![Fault::new("", detail)]))
}

/// Refuses a token whose scope is too small, whatever the call is about.
fn check_scope(rights: &Rights, needed: Scope) -> Result<(), Problem> {
    let scope = rights.holder().scope;
    if scope >= needed {
        return Ok(());
    }
    let detail = format!(
        "the token's scope is {}, this call needs {}",
        word(scope),
        word(needed)
    );
    Err(Problem::new(Code::Forbidden, detail))
}

/// Refuses whoever lacks what a call takes in a library that they may see.
fn check(rights: &Rights, library: &LibraryId, need: Need) -> Result<(), Problem> {
    if rights.meet(library, need) {
        return Ok(());
    }
    let detail = match need {
        Need::Edit => "the token may look at this library and change nothing in it",
        Need::Own | Need::Manage => {
            "this takes an owner of the library, with a token of full scope"
        }
        _ => "this takes an administrator of the cluster",
    };
    Err(Problem::new(Code::Forbidden, detail))
}

/// A scope's name in JSON.
pub(crate) fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::Admin => "admin",
    }
}

/// The library a call is about: the one it names, else the token's own. A library one may not read and one that does not
/// exist are the same.
fn library(named: Option<String>, rights: &Rights, need: Need) -> Result<LibraryId, Problem> {
    let own = &rights.holder().library;
    let about = matches!(need, Need::View | Need::Edit | Need::Own);
    let must_be_seen = about || named.is_some();
    let library = named.map_or_else(|| Ok(own.clone()), |name| name.parse());
    let library = library.map_err(|_| Problem::not_found("library"))?;
    if must_be_seen && !rights.may_read(&library) {
        return Err(Problem::not_found("library"));
    }
    check(rights, &library, need)?;
    Ok(library)
}

/// `Prefer: wait=<s>` (RFC 7240). What cannot be understood is ignored, as the RFC demands.
pub(super) fn wait(headers: &HeaderMap) -> Duration {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map_or(WAIT_DEFAULT, |seconds| {
            Duration::from_secs(seconds).min(WAIT_MAX)
        })
}

pub(super) fn min_height(headers: &HeaderMap) -> Result<Option<Height>, Problem> {
    let Some(value) = headers.get(MIN_HEIGHT) else {
        return Ok(None);
    };
    let height = value.to_str().ok().and_then(|text| text.parse().ok());
    height
        .map(|height| Some(Height(height)))
        .ok_or_else(|| Problem::header(&MIN_HEIGHT, "a height is a whole number"))
}

fn key(parts: &Parts) -> Result<Option<Key>, Problem> {
    let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .ok()
        .filter(|key| (1..=limits::KEY_BYTES_MAX).contains(&key.len()));
    let text = text.ok_or_else(|| {
        let detail = format!("1 to {} visible ASCII characters", limits::KEY_BYTES_MAX);
        Problem::header(&IDEMPOTENCY_KEY, detail)
    })?;
    let request = request_digest(parts.method.as_str(), &parts.uri);
    Ok(Some(Key {
        text: text.to_owned(),
        request,
    }))
}

/// Starts the digest by which a repeat is told from another request. Each part is followed by a line feed, which none
/// of them can hold.
fn request_digest(method: &str, uri: &Uri) -> Sha256 {
    let mut digest = Sha256::new();
    for part in [method, uri.path(), uri.query().unwrap_or_default()] {
        digest.update(part);
        digest.update(b"\n");
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(value: &'static str) -> u64 {
        wait(&HeaderMap::from_iter([(PREFER, value.parse().unwrap())])).as_secs()
    }

    #[test]
    fn a_client_may_say_how_long_it_waits() {
        assert_eq!(prefer("wait=3"), 3);
        assert_eq!(prefer("respond-async, wait=5"), 5);
        assert_eq!(prefer("wait=3600"), 60);
        assert_eq!(prefer("wait=soon"), 10);
        assert_eq!(wait(&HeaderMap::new()).as_secs(), 10);
    }

    #[test]
    fn a_height_is_a_number() {
        let headers = |value: &str| HeaderMap::from_iter([(MIN_HEIGHT, value.parse().unwrap())]);
        assert_eq!(min_height(&headers("17")).unwrap(), Some(Height(17)));
        assert_eq!(
            min_height(&headers("-1")).unwrap_err().code(),
            Code::InvalidHeader
        );
        assert_eq!(min_height(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_request_is_its_method_path_query_and_content() {
        let digest = |method, uri: &str, content: &[u8]| {
            let request = request_digest(method, &uri.parse().unwrap());
            Key {
                text: "k".into(),
                request,
            }
            .with(Digest::of(&[content]))
            .request
        };
        let first = digest("POST", "/a?b=c", b"x");
        assert_eq!(first, digest("POST", "/a?b=c", b"x"));
        for other in [
            digest("PUT", "/a?b=c", b"x"),
            digest("POST", "/ab?=c", b"x"),
            digest("POST", "/a?b=d", b"x"),
            digest("POST", "/a?b=c", b"y"),
        ] {
            assert_ne!(first, other);
        }
    }
}
