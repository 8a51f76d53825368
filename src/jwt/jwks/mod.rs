//! Keys from a live issuer: fetched, kept, and fetched again as the issuer changes them.
//!
//! ```no_run
//! use tower_auth::{JwtAuth, jwt::jwks::Jwks};
//!
//! # fn f() -> Result<JwtAuth, tower_auth::ConfigError> {
//! let keys = Jwks::discover("https://issuer.example");
//! let tokens = JwtAuth::builder(keys).audience("orders").build()?;
//! # Ok(tokens) }
//! ```
//!
//! Or with the keys somewhere else, and at a pace of yours:
//!
//! ```no_run
//! # use tower_auth::{JwtAuth, jwt::jwks::Jwks};
//! use std::time::Duration;
//!
//! # fn f() -> Result<JwtAuth, tower_auth::ConfigError> {
//! let keys = Jwks::url("https://issuer.example/keys").refresh(Duration::from_secs(300));
//! let tokens =
//!     JwtAuth::builder(keys).issuer("https://issuer.example").audience("orders").build()?;
//! # Ok(tokens) }
//! ```
//!
//! One task fetches for all requests, and ends with the last clone of the validator. It is started by
//! [`build`](super::JwtAuthBuilder::build) within a tokio runtime (with time and I/O), and elsewhere by the
//! first request. It fetches again at about 80 % of the time for which keys are fresh. Requests whose key is known
//! read it without a lock and never wait.
//!
//! Some providers publish RSA keys that name no `alg`. Such a key is for RS256; for another algorithm, list it with
//! [`algorithms`](super::JwtAuthBuilder::algorithms).
//!
//! - **Rotation.** A token whose `kid` no key has makes the keys be fetched again, once for all who wait, and is
//!   then checked against them: it is admitted by the request that brought it. Names that are nowhere cannot make
//!   that happen more often than once a [cooldown](Jwks::cooldown); one that was looked for in vain is
//!   remembered for four of them.
//! - **Outage.** The last keys serve on for [`max_stale`](Jwks::max_stale). Without keys, and for tokens whose key is
//!   unknown, callers get 503 with `Retry-After` (gRPC 14), never 401. Failing fetches back off.
//! - **Insight.** [`JwtAuth::health`](super::JwtAuth::health) tells how the keys are; the feature `tracing` has
//!   events for new keys, keys that are not used, failures and recovery.
//!
//! # Security
//!
//! Whoever controls the key set can sign for everybody. https is required, other than within this machine; a
//! redirect to another scheme is refused, and so are metadata of another issuer. HMAC secrets, weak keys and
//! keys of unknown kinds are skipped one by one. A set that is empty is believed: its issuer has withdrawn
//! its keys. A key that an issuer withdraws is accepted until the next fetch, and during an outage for `max_stale`
//! more.

mod client;
mod engine;
mod fetch;
mod file;
mod health;
mod location;
mod pace;
mod refresh;
mod source;

use std::{fmt, path::Path, sync::Arc, time::Duration};

pub(super) use self::engine::{Engine, Seen};
use self::{
    client::HttpClient,
    fetch::DynFetch,
    file::FileFetch,
    location::{Transport, check_issuer},
    pace::Pace,
    source::Place,
};
pub use self::{
    fetch::{Fetch, FetchError},
    health::Health,
};
use crate::ConfigError;

/// A key set that is fetched: see [the module](self).
#[derive(Clone)]
#[must_use = "give it to JwtAuth::builder"]
pub struct Jwks {
    place: Place,
    transport: Transport,
    fetch: Arc<dyn DynFetch>,
    pace: Pace,
}

impl Jwks {
    /// The keys that an issuer's metadata names: OpenID Connect Discovery 1.0 §4, or RFC 8414. Tokens are accepted
    /// of this issuer alone, without a call of [`issuer`](super::JwtAuthBuilder::issuer).
    pub fn discover(issuer: impl Into<String>) -> Self {
        Self::at(Place::Issuer(issuer.into()))
    }

    /// The keys at this URL.
    pub fn url(url: impl Into<String>) -> Self {
        Self::at(Place::Url(url.into()))
    }

    /// The keys in this file, which is read again every 10 s, and at once for a `kid` that no key has. It may hold
    /// HMAC secrets. Replace it by renaming another over it; one that cannot be read, or that is no key set, leaves
    /// the last keys serving, as an outage does.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let fetch = Arc::new(FileFetch::new(path.as_ref()));
        let pace = Pace { refresh: Duration::from_secs(10), ..Pace::DEFAULT };
        Self { fetch, transport: Transport::Own, pace, ..Self::at(Place::File) }
    }

    fn at(place: Place) -> Self {
        let transport = Transport::Secure;
        let fetch = Arc::new(HttpClient::new(transport));
        Self { place, transport, fetch, pace: Pace::DEFAULT }
    }

    /// Fetches with another client, or from a source that is no HTTP at all: see [`Fetch`].
    pub fn client(self, client: impl Fetch) -> Self {
        Self { fetch: Arc::new(client), transport: Transport::Own, ..self }
    }

    /// How long keys are fresh: 10 minutes by default. `Cache-Control: max-age` can make it shorter, down to the
    /// cooldown.
    pub fn refresh(mut self, refresh: Duration) -> Self {
        self.pace.refresh = refresh;
        self
    }

    /// How often unknown key names may cause a fetch, and how long failing fetches are put off at most: 30 s by
    /// default.
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.pace.cooldown = cooldown;
        self
    }

    /// How long a fetch may take, with everything that it asks for: 5 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.pace.timeout = timeout;
        self
    }

    /// How long keys serve after they are no longer fresh, while no new ones can be had: 1 h by default.
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.pace.max_stale = max_stale;
        self
    }

    /// Fetches over http from other machines, too, with the client that is built in.
    ///
    /// # Security
    ///
    /// Whoever is on the way to the issuer can then answer with keys of their own, and sign for everybody.
    pub fn dangerous_allow_http(mut self) -> Self {
        if self.transport == Transport::Secure {
            self.transport = Transport::Insecure;
            self.fetch = Arc::new(HttpClient::new(self.transport));
        }
        self
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        match &self.place {
            Place::Issuer(issuer) => Some(issuer),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        match &self.place {
            Place::Url(url) => drop(self.transport.check(url)?),
            Place::Issuer(issuer) => check_issuer(self.transport, issuer)?,
            Place::File => {}
        }
        self.pace.check()
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks")
            .field("place", &self.place)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}
