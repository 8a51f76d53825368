use std::{fmt, path::Path, sync::Arc, time::Duration};

use super::{
    fetch::{DynFetch, Fetch, file::FileFetch, http_client::HttpClient},
    schedule::RefreshSchedule,
    source::Endpoint,
};
use crate::{
    config_error::ConfigError,
    url::{Transport, check_issuer},
};

/// A key set that is fetched from an issuer, a URL or a file.
///
/// See [the module](crate::jwks) for examples, rotation, outages and security. The limits of the
/// durations below are checked by [`build`](crate::jwt::JwtAuthBuilder::build).
#[derive(Clone)]
#[must_use = "pass it to JwtAuth::builder"]
pub struct Jwks {
    pub(crate) endpoint: Endpoint,
    pub(crate) transport: Transport,
    pub(crate) fetch: Arc<dyn DynFetch>,
    pub(crate) schedule: RefreshSchedule,
}

impl Jwks {
    /// Uses the keys that the metadata of `issuer` refers to (OpenID Connect Discovery 1.0 §4, or
    /// RFC 8414).
    ///
    /// Only tokens of this issuer are accepted. A call of
    /// [`issuer`](crate::jwt::JwtAuthBuilder::issuer) is not needed.
    pub fn discover(issuer: impl Into<String>) -> Self {
        Self::from_endpoint(Endpoint::Issuer(issuer.into()))
    }

    /// Uses the keys at this URL.
    pub fn url(url: impl Into<String>) -> Self {
        Self::from_endpoint(Endpoint::Url(url.into()))
    }

    /// Uses the keys in this file, which may contain HMAC secrets.
    ///
    /// [`refresh`](Self::refresh) is 10 s by default, so the file is read about every 8 s. A `kid`
    /// that is unknown triggers an additional read.
    ///
    /// To change the keys, write a new file and rename it over the old one. If the file cannot be
    /// read or is not a key set, the last keys stay in use, as during an outage.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let fetch = Arc::new(FileFetch::new(path.as_ref()));
        let schedule =
            RefreshSchedule { refresh: Duration::from_secs(10), ..RefreshSchedule::DEFAULT };
        Self {
            fetch,
            transport: Transport::Custom,
            schedule,
            ..Self::from_endpoint(Endpoint::File)
        }
    }

    fn from_endpoint(endpoint: Endpoint) -> Self {
        let transport = Transport::Secure;
        let fetch = Arc::new(HttpClient::new(transport));
        Self { endpoint, transport, fetch, schedule: RefreshSchedule::DEFAULT }
    }

    /// Fetches with another HTTP client, or from a source other than HTTP: see [`Fetch`].
    pub fn client(self, client: impl Fetch) -> Self {
        Self { fetch: Arc::new(client), transport: Transport::Custom, ..self }
    }

    /// Sets how long keys are fresh. The default is 10 minutes.
    ///
    /// `Cache-Control: max-age` can shorten this time, but not below the
    /// [cooldown](Self::cooldown) if that is shorter. The value must be from 100 ms to 1 day.
    pub fn refresh(mut self, refresh: Duration) -> Self {
        self.schedule.refresh = refresh;
        self
    }

    /// Sets the minimum time between fetches for unknown `kid`s. The default is 30 s.
    ///
    /// This is also the longest back-off after failed fetches. The value must be from 100 ms to
    /// 1 day.
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.schedule.cooldown = cooldown;
        self
    }

    /// Sets the timeout of a fetch, which includes discovery. The default is 5 s.
    ///
    /// The value must be from 100 ms to 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.schedule.timeout = timeout;
        self
    }

    /// Sets how long stale keys stay in use while fetches fail. The default is 1 h.
    ///
    /// The value must be at most 7 days.
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.schedule.max_stale = max_stale;
        self
    }

    /// Allows the built-in client to fetch over http from hosts other than loopback.
    ///
    /// # Security
    ///
    /// An attacker on the network path to the issuer can then replace the keys, and sign tokens for
    /// any subject.
    pub fn dangerous_allow_http(mut self) -> Self {
        if self.transport == Transport::Secure {
            self.transport = Transport::Insecure;
            self.fetch = Arc::new(HttpClient::new(self.transport));
        }
        self
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.endpoint {
            Endpoint::Issuer(issuer) => Some(issuer),
            _ => None,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match &self.endpoint {
            Endpoint::Url(url) => drop(self.transport.parse_allowed(url)?),
            Endpoint::Issuer(issuer) => check_issuer(self.transport, issuer)?,
            Endpoint::File => {}
        }
        self.schedule.validate()
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks")
            .field("place", &self.endpoint)
            .field("pace", &self.schedule)
            .finish_non_exhaustive()
    }
}
