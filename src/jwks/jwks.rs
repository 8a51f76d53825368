use std::{fmt, path::Path, sync::Arc, time::Duration};

use super::{
    document::DocumentRules,
    fetch::{DynFetch, Fetch, file::FileFetch},
    schedule::RefreshSchedule,
    source::Endpoint,
};
use crate::{
    config_error::ConfigError,
    url::{Redacted, Transport, check_issuer},
};

/// A key set that is fetched from an issuer, a URL or a file.
///
/// See [the module](crate::jwks) for examples, rotation, outages and security.
///
/// [`build`](crate::jwt::JwtAuthBuilder::build) checks the limits of the durations below. To fetch
/// from an issuer or a URL, it requires the feature `jwks-reqwest` or a [`client`](Self::client).
#[derive(Clone)]
#[must_use = "pass it to JwtAuth::builder"]
pub struct Jwks {
    pub(crate) endpoint: Endpoint,
    pub(crate) transport: Transport,
    fetch: Option<Arc<dyn DynFetch>>,
    pub(crate) schedule: RefreshSchedule,
    pub(crate) document_rules: DocumentRules,
    /// The argument of [`Jwks::discovery_url`], if there is no issuer for it.
    unused_discovery_url: bool,
    /// Whether a client was set for a file.
    unused_client: bool,
}

impl Jwks {
    /// Uses the keys that the metadata of `issuer` refers to (OpenID Connect Discovery 1.0 §4, or
    /// RFC 8414).
    ///
    /// Only tokens of this issuer are accepted. A call of
    /// [`issuer`](crate::jwt::JwtAuthBuilder::issuer) is not needed.
    pub fn discover(issuer: impl Into<String>) -> Self {
        Self::from_endpoint(Endpoint::Issuer { issuer: issuer.into(), metadata_url: None })
    }

    /// Uses the keys at this URL.
    pub fn url(url: impl Into<String>) -> Self {
        Self::from_endpoint(Endpoint::Url(url.into()))
    }

    /// Uses the keys in this file, which may contain HMAC secrets.
    ///
    /// [`refresh`](Self::refresh) is 10 s by default, so the file is read about every 8 s, and a
    /// key that was removed is rejected after at most 10 s. A `kid` that is unknown triggers an
    /// additional read.
    ///
    /// To change the keys, write a new file and rename it over the old one. If the file cannot be
    /// read or is not a key set, the last keys stay in use, as during an outage.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let fetch: Arc<dyn DynFetch> = Arc::new(FileFetch::new(path.as_ref()));
        let schedule =
            RefreshSchedule { refresh: Duration::from_secs(10), ..RefreshSchedule::DEFAULT };
        Self {
            fetch: Some(fetch),
            transport: Transport::Custom,
            schedule,
            document_rules: DocumentRules { accepts_secrets: true, ..DocumentRules::default() },
            ..Self::from_endpoint(Endpoint::File)
        }
    }

    /// Uses the keys of an issuer in this process, which may contain an HMAC secret.
    #[cfg(feature = "issue")]
    pub(crate) fn in_process(keys: impl Fetch) -> Self {
        let fetch: Arc<dyn DynFetch> = Arc::new(keys);
        let schedule = RefreshSchedule {
            refresh: Duration::from_secs(10),
            cooldown: Duration::from_secs(1),
            ..RefreshSchedule::DEFAULT
        };
        Self {
            fetch: Some(fetch),
            transport: Transport::Custom,
            schedule,
            document_rules: DocumentRules { accepts_secrets: true, ..DocumentRules::default() },
            ..Self::from_endpoint(Endpoint::File)
        }
    }

    fn from_endpoint(endpoint: Endpoint) -> Self {
        let transport = Transport::Secure;
        let fetch = built_in_client(transport);
        Self {
            endpoint,
            transport,
            fetch,
            schedule: RefreshSchedule::DEFAULT,
            document_rules: DocumentRules::default(),
            unused_discovery_url: false,
            unused_client: false,
        }
    }

    /// Fetches the metadata of the [discovered](Self::discover) issuer from this URL.
    ///
    /// For issuers whose metadata is not at the URLs that follow from their identifier, such as
    /// Azure AD B2C and AD FS:
    ///
    /// ```
    /// use tower_auth::jwt::Jwks;
    ///
    /// let keys = Jwks::discover("http://adfs.example/adfs/services/trust")
    ///     .discovery_url("https://adfs.example/adfs/.well-known/openid-configuration");
    /// ```
    ///
    /// The `issuer` of the metadata, or its `access_token_issuer` (AD FS), must be identical to the
    /// issuer. The issuer itself is not fetched, so it can be any text.
    ///
    /// [`build`](crate::jwt::JwtAuthBuilder::build) returns an error if the URL is not an https URL
    /// (or http for loopback), or if there is no issuer because this was created by
    /// [`url`](Self::url) or [`file`](Self::file).
    ///
    /// # Security
    ///
    /// Anyone who controls this URL controls the keys of the issuer.
    pub fn discovery_url(mut self, url: impl Into<String>) -> Self {
        match &mut self.endpoint {
            Endpoint::Issuer { metadata_url, .. } => *metadata_url = Some(url.into()),
            Endpoint::Url(_) | Endpoint::File => self.unused_discovery_url = true,
        }
        self
    }

    /// Reads the document as a JSON object that maps each `kid` to a PEM text, such as the one that
    /// Firebase publishes.
    ///
    /// [`Keys::from_pem_map`](crate::jwt::Keys::from_pem_map) describes the texts. They have no
    /// `use`, so [`build`](crate::jwt::JwtAuthBuilder::build) returns an error together with
    /// [`allow_use`](Self::allow_use).
    ///
    /// ```
    /// use tower_auth::jwt::Jwks;
    ///
    /// let keys = Jwks::url("https://issuer.example/certificates").pem_map();
    /// ```
    pub fn pem_map(mut self) -> Self {
        self.document_rules.is_pem_map = true;
        self
    }

    /// Accepts keys whose `use` is `name`, besides those with `sig` or without `use`.
    ///
    /// See [`Keys::allow_use`](crate::jwt::Keys::allow_use). For the bundle of a SPIFFE trust
    /// domain:
    ///
    /// ```
    /// use tower_auth::jwt::Jwks;
    ///
    /// let keys = Jwks::url("https://spire.example/bundle").allow_use("jwt-svid");
    /// ```
    pub fn allow_use(mut self, name: &str) -> Self {
        self.document_rules.allowed_uses.push(name.into());
        self
    }

    /// Fetches with another HTTP client, or from a source other than HTTP: see [`Fetch`].
    pub fn client(self, client: impl Fetch) -> Self {
        let unused_client = matches!(self.endpoint, Endpoint::File);
        Self { fetch: Some(Arc::new(client)), transport: Transport::Custom, unused_client, ..self }
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
    /// For this time, a token whose `kid` is missing from the fetched set is rejected without
    /// another fetch. This is also the longest back-off after failed fetches, unless
    /// [`refresh`](Self::refresh) is shorter. The value must be from 100 ms to 1 day.
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
    #[cfg(feature = "jwks-reqwest")]
    pub fn dangerous_allow_http(mut self) -> Self {
        if self.transport == Transport::Secure {
            self.transport = Transport::Insecure;
            self.fetch = built_in_client(self.transport);
        }
        self
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.endpoint {
            Endpoint::Issuer { issuer, .. } => Some(issuer),
            _ => None,
        }
    }

    /// Returns the client or the source of the keys.
    pub(crate) fn fetch(&self) -> Result<Arc<dyn DynFetch>, ConfigError> {
        self.fetch.clone().ok_or_else(|| {
            ConfigError::missing(
                "no HTTP client to fetch the keys: enable the feature jwks-reqwest, or set a \
                 client with Jwks::client",
            )
        })
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match &self.endpoint {
            Endpoint::Url(url) => drop(self.transport.parse_allowed(url)?),
            Endpoint::Issuer { metadata_url: Some(url), .. } => {
                drop(self.transport.parse_allowed(url)?);
            }
            Endpoint::Issuer { issuer, metadata_url: None } => {
                check_issuer(self.transport, issuer)?;
            }
            Endpoint::File => {}
        }
        if self.unused_discovery_url {
            return Err(ConfigError::conflict(
                "discovery_url needs the issuer that the metadata is for: use Jwks::discover, or \
                 remove the call",
            ));
        }
        if self.unused_client {
            return Err(ConfigError::conflict(
                "a key set from a file needs no HTTP client: remove the call of client, or use \
                 Jwks::url",
            ));
        }
        if self.document_rules.is_pem_map && !self.document_rules.allowed_uses.is_empty() {
            return Err(ConfigError::conflict(
                "allow_use has no effect with pem_map, because the keys have no use: remove one",
            ));
        }
        self.schedule.validate()
    }
}

#[cfg(feature = "jwks-reqwest")]
fn built_in_client(transport: Transport) -> Option<Arc<dyn DynFetch>> {
    Some(Arc::new(super::fetch::http_client::HttpClient::following_redirects(transport)))
}

#[cfg(not(feature = "jwks-reqwest"))]
fn built_in_client(_: Transport) -> Option<Arc<dyn DynFetch>> {
    None
}

/// Prints URLs without user information and query.
impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut jwks = f.debug_struct("Jwks");
        match &self.endpoint {
            Endpoint::Url(url) => jwks.field("url", &Redacted(url)),
            Endpoint::Issuer { issuer, metadata_url } => {
                jwks.field("issuer", &Redacted(issuer));
                jwks.field("discovery_url", &metadata_url.as_deref().map(Redacted))
            }
            Endpoint::File => jwks.field("source", &"file"),
        };
        jwks.field("schedule", &self.schedule)
            .field("document_rules", &self.document_rules)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::*;
    use crate::{
        jwt::jwt_auth::JwtAuth,
        test_util::{StubIssuer, TokenMint},
    };

    #[cfg(not(feature = "jwks-reqwest"))]
    #[test]
    fn issuer_or_url_without_a_client_is_a_config_error() {
        for keys in [Jwks::discover("https://a.example"), Jwks::url("https://a.example/keys")] {
            let built = JwtAuth::builder(keys).issuer("https://a.example").audience("a").build();
            let error = built.unwrap_err().to_string();
            assert!(error.contains("jwks-reqwest") && error.contains("Jwks::client"), "{error}");
        }
    }

    #[test]
    fn client_for_a_file_is_a_config_error() {
        let issuer = StubIssuer::new(&TokenMint::new("https://issuer.example"));
        let keys = Jwks::file("keys.json").client(issuer);
        let error = JwtAuth::builder(keys).issuer("https://a.example").audience("a").build();
        assert!(error.unwrap_err().to_string().contains("remove the call of client"));
    }

    #[test]
    fn allowed_use_of_pem_texts_is_a_config_error() {
        let keys = Jwks::file("keys.json").pem_map().allow_use("jwt-svid");
        let error = JwtAuth::builder(keys).issuer("https://a.example").audience("a").build();
        assert!(error.unwrap_err().to_string().contains("allow_use has no effect with pem_map"));
    }

    #[tokio::test]
    async fn custom_client_and_file_need_no_built_in_client() {
        let mint = TokenMint::new("https://issuer.example");
        let path = env::temp_dir().join(format!("tower-auth-{}.jwks", process::id()));
        fs::write(&path, mint.jwks()).unwrap();
        let issuer = StubIssuer::new(&mint);
        for keys in [
            Jwks::file(&path),
            Jwks::discover(mint.issuer()).client(issuer.clone()),
            Jwks::url(issuer.jwks_uri()).client(issuer),
        ] {
            let tokens = JwtAuth::builder(keys).issuer(mint.issuer()).audience("a").build();
            let token = mint.token("alice").audience("a").sign();
            assert_eq!(tokens.unwrap().verify(&token).await.unwrap().subject(), "alice");
        }
        fs::remove_file(path).unwrap();
    }
}
