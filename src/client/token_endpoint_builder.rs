use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

#[cfg(feature = "aws-lc-rs")]
use super::client_assertion::ClientKey;
use super::{
    client_authentication::ClientAuthentication,
    endpoint_proofs::EndpointProofs,
    error::BoxError,
    token_endpoint::{EndpointName, EndpointState, Place, SendFn, TokenEndpoint, boxed_client},
};
#[cfg(feature = "aws-lc-rs")]
use crate::clock::{Clock, SystemClock};
#[cfg(feature = "dpop")]
use crate::dpop::DpopKey;
use crate::{
    config_error::ConfigError,
    url::{Redacted, Transport, check_issuer},
};

/// Configures a [`TokenEndpoint`].
#[must_use = "call build() to create the endpoint"]
pub struct TokenEndpointBuilder {
    name: EndpointName,
    place: Place,
    transport: Transport,
    client_id: Option<String>,
    client_secret: Option<Zeroizing<String>>,
    secret_in_body: bool,
    #[cfg(feature = "aws-lc-rs")]
    client_key: Option<Zeroizing<Vec<u8>>>,
    #[cfg(feature = "aws-lc-rs")]
    client_key_id: Option<String>,
    #[cfg(feature = "aws-lc-rs")]
    clock: Arc<dyn Clock>,
    #[cfg(feature = "dpop")]
    dpop_key: Option<DpopKey>,
    timeout: Duration,
    client: Option<Arc<SendFn>>,
}

impl TokenEndpoint {
    /// Uses the token endpoint in the metadata of this issuer.
    ///
    /// The issuer must be written exactly as in its metadata, for example with or without a slash
    /// at the end.
    pub fn discover(issuer: impl Into<String>) -> TokenEndpointBuilder {
        TokenEndpointBuilder::new(Place::Issuer(issuer.into()))
    }

    /// Uses the token endpoint at this URL.
    pub fn url(url: impl Into<String>) -> TokenEndpointBuilder {
        TokenEndpointBuilder::new(Place::Url(url.into()))
    }
}

/// Shorter than a request in the same data center.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);

impl TokenEndpointBuilder {
    fn new(place: Place) -> Self {
        Self {
            name: EndpointName::Token,
            place,
            transport: Transport::Secure,
            client_id: None,
            client_secret: None,
            secret_in_body: false,
            #[cfg(feature = "aws-lc-rs")]
            client_key: None,
            #[cfg(feature = "aws-lc-rs")]
            client_key_id: None,
            #[cfg(feature = "aws-lc-rs")]
            clock: Arc::new(SystemClock),
            #[cfg(feature = "dpop")]
            dpop_key: None,
            timeout: Duration::from_secs(5),
            client: None,
        }
    }

    /// Configures the introspection endpoint of the issuer instead.
    #[cfg(feature = "introspection")]
    pub(crate) fn introspection(self) -> Self {
        Self { name: EndpointName::Introspection, ..self }
    }

    /// Sets the id that the issuer gave this client.
    ///
    /// Without a [secret](Self::client_secret), the client is public, and the id is sent in the
    /// body (RFC 6749 §3.2.1).
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Sets the secret of this client. It is zeroed when the endpoint is dropped.
    ///
    /// It is sent in `Authorization` (`client_secret_basic`, RFC 6749 §2.3.1), or in the body if
    /// the metadata of the issuer names only `client_secret_post`.
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.client_secret = Some(Zeroizing::new(secret.into()));
        self
    }

    /// Sends the client id and the secret in the body (`client_secret_post`).
    ///
    /// For endpoints that do not support `Authorization`, and are not
    /// [discovered](TokenEndpoint::discover).
    pub fn client_secret_post(mut self) -> Self {
        self.secret_in_body = true;
        self
    }

    /// Authenticates this client with a signature (`private_key_jwt`, RFC 7523 §2.2) instead of a
    /// secret.
    ///
    /// The PEM file contains an Ed25519, P-256, P-384 or RSA private key, which determines the
    /// algorithm: EdDSA, ES256, ES384 or RS256. The issuer needs the public key. The `aud` of the
    /// signed text is the issuer, or the [URL](TokenEndpoint::url) of the endpoint.
    ///
    /// ```no_run
    /// # #[cfg(feature = "jwks-reqwest")] {
    /// use tower_auth::client::TokenEndpoint;
    ///
    /// let endpoint = TokenEndpoint::discover("https://issuer.example")
    ///     .client_id("orders")
    ///     .client_key(std::fs::read("/etc/orders/client-key.pem")?)
    ///     .client_key_id("2026-01")
    ///     .build()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Security
    ///
    /// The endpoint never receives the key, and a signature is valid for 60 s. The clock of this
    /// service must be right.
    #[cfg(feature = "aws-lc-rs")]
    pub fn client_key(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.client_key = Some(Zeroizing::new(pem.as_ref().to_vec()));
        self
    }

    /// Sets the `kid` of the [key](Self::client_key). Some issuers need it to find the public key.
    #[cfg(feature = "aws-lc-rs")]
    pub fn client_key_id(mut self, id: impl Into<String>) -> Self {
        self.client_key_id = Some(id.into());
        self
    }

    /// Sets the clock for the signatures with a [key](Self::client_key). The default is the system
    /// clock. See [`clock`](crate::clock).
    #[cfg(feature = "aws-lc-rs")]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Requests tokens that are bound to this key (DPoP, RFC 9449 §5).
    ///
    /// Each request has a proof of the key. If the issuer asks for a nonce, the request is sent
    /// once more with it, and later requests have the most recent nonce of the issuer. Attach the
    /// tokens with [`AttachLayer::dpop`](super::AttachLayer::dpop) and the same key.
    ///
    /// # Security
    ///
    /// The `token_type` of a response must be `DPoP`. A `Bearer` token is rejected, because it
    /// would not be bound to the key. Without this setting, a `DPoP` token is rejected.
    #[cfg(feature = "dpop")]
    pub fn dpop(mut self, key: DpopKey) -> Self {
        self.dpop_key = Some(key);
        self
    }

    /// Sets the timeout of each request, including a repetition with a nonce. The default is 5 s,
    /// the minimum 10 ms.
    ///
    /// A [`RefreshingToken`](super::RefreshingToken) ends a fetch after its own
    /// [timeout](super::RefreshingToken::timeout), 10 s by default, and an
    /// [`ExchangedToken`](super::ExchangedToken) after 10 s. So set the former to a longer time as
    /// well.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends requests with another HTTP client.
    ///
    /// Required without the feature `jwks-reqwest`.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use tower_auth::client::TokenEndpoint;
    ///
    /// async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, std::io::Error> {
    /// #   let _ = request;
    ///     // For example, with hyper-util.
    /// #   Ok(Response::new(Bytes::new()))
    /// }
    ///
    /// let endpoint = TokenEndpoint::discover("https://issuer.example")
    ///     .client_id("orders")
    ///     .client(send)
    ///     .build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Security
    ///
    /// The client must authenticate the server (TLS) and must not follow redirects. It should stop
    /// reading after 1 MiB: longer responses are rejected. Its errors are logged, so they must not
    /// contain secrets.
    pub fn client<F, Q, E>(mut self, client: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Q + Send + Sync + 'static,
        Q: Future<Output = Result<Response<Bytes>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.client = Some(boxed_client(client));
        self
    }

    /// Allows an issuer and a token endpoint with an http URL on another host than loopback.
    ///
    /// # Security
    ///
    /// An attacker on the network can read the secrets and the tokens. Call this method only if
    /// another component encrypts the connection, such as a service mesh.
    pub fn dangerous_allow_http(mut self) -> Self {
        self.transport = Transport::Insecure;
        self
    }

    /// Creates the endpoint. It sends nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the issuer or the URL is not an https URL (or http for loopback), if
    /// there is a secret or a key without a client id, if there are both, if the key cannot be
    /// used, if one of them is empty or has control characters, if the timeout is too short, or if
    /// there is no HTTP client.
    pub fn build(self) -> Result<TokenEndpoint, ConfigError> {
        match &self.place {
            Place::Issuer(issuer) => check_issuer(self.transport, issuer)?,
            // `http::Uri` drops fragments, so the text is checked.
            Place::Url(url) if url.contains('#') => {
                return Err(ConfigError::invalid(format!(
                    "the {} {:?} must not have a fragment: remove it",
                    self.name.as_str(),
                    Redacted(url)
                )));
            }
            Place::Url(url) => drop(self.transport.parse_allowed(url)?),
        }
        let texts = [self.client_id.as_deref(), self.client_secret.as_ref().map(|it| it.as_str())];
        if texts.into_iter().flatten().any(|text| text.chars().any(char::is_control)) {
            return Err(ConfigError::invalid(
                "the client id and the secret must not contain control characters: remove them, \
                 for example the line break after a secret that was read from a file",
            ));
        }
        if self.client_id.as_deref() == Some("")
            || self.client_secret.as_ref().is_some_and(|secret| secret.is_empty())
        {
            return Err(ConfigError::missing(
                "the client id or the client secret is an empty string: set it, for example the \
                 environment variable that it is read from, or remove the call",
            ));
        }
        if self.client_secret.is_none() && self.secret_in_body && !self.has_client_key() {
            return Err(ConfigError::missing(
                "client_secret_post has no secret: call client_secret, or remove the call",
            ));
        }
        if self.timeout < SHORTEST_TIMEOUT {
            return Err(ConfigError::invalid(
                "the timeout is below 10 ms, so every request would fail: set the longest time \
                 that the endpoint needs",
            ));
        }
        #[cfg(feature = "aws-lc-rs")]
        let key = self.read_client_key()?;
        let authentication = match (self.client_id, self.client_secret) {
            #[cfg(feature = "aws-lc-rs")]
            (Some(id), None) if key.is_some() => match key {
                Some(key) => ClientAuthentication::Key { id, key },
                None => ClientAuthentication::Id(id),
            },
            (None, None) => ClientAuthentication::None,
            (Some(id), None) => ClientAuthentication::Id(id),
            (Some(id), Some(secret)) => {
                ClientAuthentication::Secret { id, secret, in_body: self.secret_in_body }
            }
            (None, Some(_)) => {
                return Err(ConfigError::missing(
                    "the client secret has no client id: set it with client_id",
                ));
            }
        };
        let client = self.client.or_else(|| built_in_client(self.transport));
        let send = client.ok_or_else(|| {
            ConfigError::missing(format!(
                "no HTTP client for the {}: enable the feature jwks-reqwest, or set a client with \
                 {}",
                self.name.as_str(),
                self.name.client_setter()
            ))
        })?;
        Ok(TokenEndpoint::from_state(EndpointState {
            name: self.name,
            place: self.place,
            transport: self.transport,
            authentication,
            #[cfg(feature = "dpop")]
            proofs: EndpointProofs::of(self.dpop_key),
            #[cfg(not(feature = "dpop"))]
            proofs: EndpointProofs::default(),
            timeout: self.timeout,
            send,
            found: OnceCell::new(),
        }))
    }
}

impl TokenEndpointBuilder {
    fn has_client_key(&self) -> bool {
        #[cfg(feature = "aws-lc-rs")]
        return self.client_key.is_some();
        #[cfg(not(feature = "aws-lc-rs"))]
        false
    }
}

#[cfg(feature = "aws-lc-rs")]
impl TokenEndpointBuilder {
    fn read_client_key(&self) -> Result<Option<ClientKey>, ConfigError> {
        let Some(pem) = &self.client_key else {
            return match self.client_key_id {
                Some(_) => Err(ConfigError::missing(
                    "client_key_id has no key: set it with client_key, or remove the call",
                )),
                None => Ok(None),
            };
        };
        if self.client_id.is_none() {
            return Err(ConfigError::missing(
                "the client key has no client id: set it with client_id",
            ));
        }
        if self.client_secret.is_some() || self.secret_in_body {
            return Err(ConfigError::conflict(
                "there are a client secret and a client key: call either client_secret or \
                 client_key",
            ));
        }
        let id = self.client_key_id.as_deref();
        ClientKey::read(pem, id, Arc::clone(&self.clock)).map(Some)
    }
}

#[cfg(feature = "jwks-reqwest")]
fn built_in_client(transport: Transport) -> Option<Arc<SendFn>> {
    use crate::jwks::fetch::http_client::HttpClient;

    let client = Arc::new(HttpClient::without_redirects(transport));
    Some(boxed_client(move |request| {
        let client = Arc::clone(&client);
        async move { client.send(request).await }
    }))
}

#[cfg(not(feature = "jwks-reqwest"))]
fn built_in_client(_: Transport) -> Option<Arc<SendFn>> {
    None
}

/// Shows neither the client id nor the secret.
impl fmt::Debug for TokenEndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut builder = f.debug_struct("TokenEndpointBuilder");
        match &self.place {
            Place::Url(url) => builder.field("url", &Redacted(url)),
            Place::Issuer(issuer) => builder.field("issuer", &Redacted(issuer)),
        };
        builder.field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(_: Request<Bytes>) -> Result<Response<Bytes>, BoxError> {
        Err("not used".into())
    }

    #[test]
    fn plaintext_fragment_or_secret_without_id_is_a_config_error() {
        let url = |url: &str| TokenEndpoint::url(url).client(send);
        let issuer = |issuer: &str| TokenEndpoint::discover(issuer).client(send);
        for (builder, hint) in [
            (url("http://a.example/token"), "use an absolute https URL"),
            (url("https://user:s3cret@a.example/token"), "user information"),
            (url("https://a.example/token?s3cret#x"), "fragment"),
            (url("/token"), "use an absolute https URL"),
            (issuer("http://a.example"), "use an absolute https URL"),
            (issuer("https://a.example/?s3cret"), "query"),
            (url("https://a.example").client_secret("s3cret"), "client_id"),
            (url("https://a.example").client_id("a").client_secret("s3cret\n"), "line break"),
            (url("https://a.example").client_id("a\0s3cret"), "control characters"),
            (
                url("https://a.example").client_id("").client_secret("s3cret"),
                "empty string: set it",
            ),
            (url("https://a.example").client_id("a").client_secret(""), "empty string: set it"),
            (url("https://a.example").client_id(""), "empty string: set it"),
            (url("https://a.example").client_id("a").client_secret_post(), "call client_secret"),
            (url("https://a.example").timeout(Duration::from_millis(9)), "below 10 ms"),
        ] {
            assert!(!format!("{builder:?}").contains("s3cret"));
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(hint) && !error.contains("s3cret"), "{error}");
        }
        for allowed in [
            url("https://a.example/token?tenant=1"),
            url("http://127.0.0.1:8080/token"),
            url("http://a.example/token").dangerous_allow_http(),
            issuer("http://a.example").dangerous_allow_http(),
            issuer("https://a.example/").client_id("a").client_secret("s3cret"),
        ] {
            let endpoint = allowed.build().unwrap();
            assert!(!format!("{endpoint:?}").contains("s3cret"));
        }
    }

    #[cfg(feature = "aws-lc-rs")]
    #[test]
    fn unusable_client_key_is_a_config_error() {
        let url = || TokenEndpoint::url("https://a.example/token").client(send);
        let pem = "-----BEGIN PRIVATE KEY-----\nczNjcmV0\n-----END PRIVATE KEY-----";
        for (builder, hint) in [
            (url().client_key(pem), "client_id"),
            (url().client_id("a").client_key(pem), "cannot read the PEM key"),
            (url().client_id("a").client_key(""), "cannot read the PEM key"),
            (url().client_id("a").client_key_id("k1"), "client_key"),
            (url().client_id("a").client_secret("s").client_key(pem), "either client_secret or"),
            (url().client_id("a").client_secret_post().client_key(pem), "either client_secret or"),
        ] {
            assert!(!format!("{builder:?}").contains("czNjcmV0"));
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(hint) && !error.contains("czNjcmV0"), "{error}");
        }
    }

    #[cfg(not(feature = "jwks-reqwest"))]
    #[test]
    fn endpoint_without_a_client_is_a_config_error() {
        let error = TokenEndpoint::discover("https://a.example").build().unwrap_err().to_string();
        assert!(error.contains("jwks-reqwest") && error.contains("TokenEndpointBuilder::client"));
    }
}
