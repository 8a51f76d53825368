//! Signs webhooks.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::webhook_key::{self, PrivateKey};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    random::random_bytes,
    webhook::{WebhookFormat, secret::Secret, signature::Syntax, timestamp::unix_seconds},
};

/// Signs webhooks, for services that send them and for tests of handlers.
///
/// In a test, sign a request and pass it to the router:
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::post};
/// use tower::ServiceExt as _;
/// use tower_auth::{
///     client::WebhookSigner,
///     store::SealedStore,
///     webhook::{WebhookFormat, WebhookLayer},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = "It's a Secret to Everybody";
/// let layer = WebhookLayer::builder(WebhookFormat::github())
///     .secret(secret)
///     .store(SealedStore::memory())
///     .build()?;
/// let app = Router::new().route("/github", post(async || "handled").layer(layer));
///
/// let signer = WebhookSigner::new(WebhookFormat::github(), secret)?;
/// let mut request = Request::post("/github").body(r#"{"action":"opened"}"#)?;
/// signer.sign(&mut request);
/// let response = app.oneshot(request.map(Body::from)).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// # Ok(()) }
/// ```
///
/// With an HTTP client, [`headers`](Self::headers) returns the headers of a body:
///
#[cfg_attr(feature = "jwks-reqwest", doc = "```no_run")] // then reqwest is a dependency
#[cfg_attr(not(feature = "jwks-reqwest"), doc = "```ignore")]
/// use tower_auth::{client::WebhookSigner, webhook::WebhookFormat};
///
/// # async fn f(client: reqwest::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let secret = std::env::var("WEBHOOK_SECRET")?; // whsec_…
/// let signer = WebhookSigner::new(WebhookFormat::standard(), secret)?;
///
/// // The id of the event. A retry has the same id, and is signed again with the current time.
/// let (id, body) = ("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", r#"{"type":"contact.created"}"#);
/// let request = client
///     .post("https://customer.example/webhooks")
///     .header("content-type", "application/json")
///     .headers(signer.headers(id, body)?)
///     .body(body);
/// let response = request.send().await?;
/// # Ok(()) }
/// ```
///
/// A body that is not bytes yet, such as `Full<Bytes>`, is created after the signature:
/// `request.map(Full::new)`.
///
/// # Rotation
///
/// To replace the secret of a receiver, sign with both secrets until the receiver has the new one:
/// `WebhookSigner::new(format, new)?.and_secret(old)?`. Only Standard Webhooks and Stripe have a
/// list of signatures.
///
/// # Delivery
///
/// This type only signs. A service that sends webhooks also needs a queue, retries with increasing
/// delays, and a limit for receivers that do not respond.
///
/// # Security
///
/// - Use `https` URLs, and a secret of its own for each receiver. If users choose the URLs, do not
///   connect to internal addresses, and do not follow redirects.
/// - The body must be sent exactly as it was signed. Compress it before, and not in the client.
/// - A signature is valid for everyone who has the request, until its timestamp is too old. So the
///   signature is marked as sensitive. `Debug` output contains no secret.
#[derive(Clone)]
pub struct WebhookSigner {
    format: WebhookFormat,
    secrets: Vec<Secret>,
    private_keys: Vec<PrivateKey>,
    clock: Arc<dyn Clock>,
}

impl WebhookSigner {
    /// Receivers read a bounded number of signatures.
    const MAX_KEYS: usize = 4;

    /// Creates a signer with a secret, in the form that the receiver has it: `whsec_` and base64
    /// for Standard Webhooks, and text for other formats.
    ///
    /// # Errors
    ///
    /// Returns an error if the secret is malformed or too short for the format.
    pub fn new(format: WebhookFormat, secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        Self::empty(format).and_secret(secret)
    }

    /// Creates a signer with a private key (`v1a` of Standard Webhooks): `whsk_` and base64 of 32
    /// bytes, or of 64 bytes that end with the public key.
    ///
    /// ```
    /// use tower_auth::{client::WebhookSigner, webhook::WebhookFormat};
    ///
    /// let key = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="; // for tests
    /// let signer = WebhookSigner::from_private_key(WebhookFormat::standard(), key)?;
    /// // Receivers have the public key.
    /// assert!(signer.public_keys()[0].starts_with("whpk_"));
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the key is malformed, its public key belongs to another one, or the
    /// format is not that of Standard Webhooks.
    pub fn from_private_key(
        format: WebhookFormat,
        key: impl AsRef<str>,
    ) -> Result<Self, ConfigError> {
        Self::empty(format).private_key(key)
    }

    fn empty(format: WebhookFormat) -> Self {
        Self { format, secrets: Vec::new(), private_keys: Vec::new(), clock: Arc::new(SystemClock) }
    }

    /// Adds a secret, for a rotation: each request has a signature for each secret.
    ///
    /// # Errors
    ///
    /// Returns an error if the secret is malformed, there are more than 4, or the format has only
    /// one signature, as that of GitHub.
    pub fn and_secret(mut self, secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        let secret = secret.as_ref();
        if secret.starts_with(webhook_key::PREFIX) {
            return Err(ConfigError::key(
                "whsk_ is a private key and not a secret: use from_private_key",
            ));
        }
        let definition = self.format.definition();
        let is_single = matches!(definition.syntax, Syntax::Single { .. });
        if is_single && !self.secrets.is_empty() {
            return Err(ConfigError::conflict(
                "the format has one signature, so it cannot have a second secret: let the receiver \
                 accept both secrets, then sign with the new one",
            ));
        }
        let secret = definition.secret_form.parse(secret)?;
        push(&mut self.secrets, secret)?;
        Ok(self)
    }

    /// Adds a private key: each request also has a signature with this key. See
    /// [`from_private_key`](Self::from_private_key).
    ///
    /// # Errors
    ///
    /// Returns an error if the key is malformed, there are more than 4, or the format is not that
    /// of Standard Webhooks.
    pub fn private_key(mut self, key: impl AsRef<str>) -> Result<Self, ConfigError> {
        if !matches!(self.format.definition().syntax, Syntax::Standard) {
            return Err(ConfigError::conflict(
                "only Standard Webhooks can be signed with a private key: use a secret",
            ));
        }
        let key = PrivateKey::parse(key.as_ref())?;
        push(&mut self.private_keys, key)?;
        Ok(self)
    }

    /// Sets the clock of the timestamps. The default is the system clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the public keys of the private keys, in the form that receivers have them: `whpk_`
    /// and base64.
    #[must_use]
    pub fn public_keys(&self) -> Vec<String> {
        self.private_keys.iter().map(PrivateKey::public_key).collect()
    }

    /// Signs a request with a new random id.
    ///
    /// Sets the headers of the id, the timestamp and the signature, as far as the format has them.
    /// Existing ones are replaced. A retry must have the id of the first request: use
    /// [`sign_with_id`](Self::sign_with_id).
    pub fn sign<B: AsRef<[u8]>>(&self, request: &mut Request<B>) {
        let headers = self.sign_body(&self.random_id(), request.body().as_ref());
        request.headers_mut().extend(headers);
    }

    /// Signs a request with the id of an event. If the format has no header for the id, it is not
    /// used.
    ///
    /// ```
    /// use http::Request;
    /// use tower_auth::{client::WebhookSigner, webhook::WebhookFormat};
    ///
    /// # let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    /// let signer = WebhookSigner::new(WebhookFormat::standard(), secret)?;
    /// let mut request = Request::post("https://customer.example/webhooks").body("{}")?;
    /// signer.sign_with_id("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", &mut request)?;
    /// assert_eq!(request.headers()["webhook-id"], "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if receivers reject the id: it must have from 1 to 256 visible ASCII
    /// characters, and no full stop in Standard Webhooks. The request is then unchanged.
    pub fn sign_with_id<B: AsRef<[u8]>>(
        &self,
        id: &str,
        request: &mut Request<B>,
    ) -> Result<(), ConfigError> {
        let headers = self.headers(id, request.body().as_ref())?;
        request.headers_mut().extend(headers);
        Ok(())
    }

    /// Returns the headers for a body: the id, the timestamp and the signature, as far as the
    /// format has them.
    ///
    /// # Errors
    ///
    /// Returns an error if receivers reject the id. See [`sign_with_id`](Self::sign_with_id).
    pub fn headers(&self, id: &str, body: impl AsRef<[u8]>) -> Result<HeaderMap, ConfigError> {
        let definition = self.format.definition();
        if definition.id_header.is_some() && !definition.allows_id(id) {
            return Err(ConfigError::invalid(
                "the id of a webhook must have from 1 to 256 visible ASCII characters, without the \
                 separator of the format, which is a full stop in Standard Webhooks",
            ));
        }
        Ok(self.sign_body(id, body.as_ref()))
    }

    fn sign_body(&self, id: &str, body: &[u8]) -> HeaderMap {
        let definition = self.format.definition();
        let timestamp = unix_seconds(self.clock.now()).to_string();
        let mut signature = definition.sign(id, &timestamp, body, &self.secrets);
        if !self.private_keys.is_empty() {
            // Ed25519 needs the content in one piece.
            let content = [&definition.content.before_body(id, &timestamp), body].concat();
            for entry in self.private_keys.iter().filter_map(|key| key.sign(&content)) {
                if !signature.is_empty() {
                    signature.push(' ');
                }
                signature.push_str(&entry);
            }
        }
        let mut headers = HeaderMap::with_capacity(3);
        let mut insert = |name: &HeaderName, value: &str, is_sensitive: bool| {
            // A request without one of the headers is rejected.
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(is_sensitive);
                headers.insert(name.clone(), value);
            }
        };
        if let Some(name) = &definition.id_header {
            insert(name, id, false);
        }
        if let Some(name) = &definition.timestamp_header {
            insert(name, &timestamp, false);
        }
        insert(&definition.signature_header, &signature, true);
        headers
    }

    /// Returns an id of 128 random bits that the format allows.
    fn random_id(&self) -> String {
        let id = format!("msg_{}", URL_SAFE_NO_PAD.encode(random_bytes::<16>()));
        let content = &self.format.definition().content;
        // A separator of a custom format can be a character of the id.
        id.bytes().filter(|byte| content.allows_in_id(*byte)).map(char::from).collect()
    }
}

fn push<T>(keys: &mut Vec<T>, key: T) -> Result<(), ConfigError> {
    if keys.len() == WebhookSigner::MAX_KEYS {
        return Err(ConfigError::invalid(format!(
            "more than {} secrets or private keys: remove those that no receiver needs",
            WebhookSigner::MAX_KEYS
        )));
    }
    keys.push(key);
    Ok(())
}

impl fmt::Debug for WebhookSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSigner")
            .field("format", &self.format)
            .field("secrets", &self.secrets.len())
            .field("public_keys", &self.public_keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "webhook_signer_tests.rs"]
mod tests;
