use std::{fmt, path::Path, sync::Arc, time::Duration};

use super::{
    fetch::{DynFetch, Fetch, file::FileFetch, http_client::HttpClient},
    schedule::Pace,
    source::Place,
};
use crate::{
    config_error::ConfigError,
    url::{Transport, check_issuer},
};

/// A key set that is fetched: see [the module](self).
#[derive(Clone)]
#[must_use = "give it to JwtAuth::builder"]
pub struct Jwks {
    pub(crate) place: Place,
    pub(crate) transport: Transport,
    pub(crate) fetch: Arc<dyn DynFetch>,
    pub(crate) pace: Pace,
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
        Self { fetch, transport: Transport::Custom, pace, ..Self::at(Place::File) }
    }

    fn at(place: Place) -> Self {
        let transport = Transport::Secure;
        let fetch = Arc::new(HttpClient::new(transport));
        Self { place, transport, fetch, pace: Pace::DEFAULT }
    }

    /// Fetches with another client, or from a source that is no HTTP at all: see [`Fetch`].
    pub fn client(self, client: impl Fetch) -> Self {
        Self { fetch: Arc::new(client), transport: Transport::Custom, ..self }
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

    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.place {
            Place::Issuer(issuer) => Some(issuer),
            _ => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match &self.place {
            Place::Url(url) => drop(self.transport.parse_allowed(url)?),
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
