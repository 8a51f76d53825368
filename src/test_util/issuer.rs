use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use serde_json::json;

use super::mint::TokenMint;
use crate::jwks::fetch::{Fetch, FetchError};

/// A stub issuer: publishes the keys of a [`TokenMint`] in process, without a socket.
///
/// For tests only. Pass it to [`Jwks::client`](crate::jwt::Jwks::client):
///
/// ```
/// use tower_auth::{JwtAuth, jwt::Jwks, test_util::{StubIssuer, TestClock, TokenMint}};
///
/// let clock = TestClock::new();
/// let mint = TokenMint::new("https://issuer.example").clock(clock.clone());
/// let issuer = StubIssuer::new(&mint);
///
/// let keys = Jwks::discover(mint.issuer()).client(issuer.clone());
/// let tokens = JwtAuth::builder(keys).audience("orders").clock(clock.clone()).build()?;
///
/// issuer.rotate(); // the next token has a new key, so `tokens` fetches the keys again
/// issuer.outage(true); // from now on, every fetch fails
/// # let _ = tokens;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// Clones share the same state. HMAC secrets are published as well, but [`Jwks`](crate::jwt::Jwks)
/// skips secrets that it fetches.
#[derive(Clone, Debug)]
pub struct StubIssuer(Arc<StubState>);

#[derive(Debug)]
struct StubState {
    mint: TokenMint,
    outage: AtomicBool,
    fetches: AtomicUsize,
    failures: AtomicUsize,
}

impl StubIssuer {
    /// Creates the stub of the issuer that `mint` signs tokens for.
    ///
    /// It serves metadata at the URL of OpenID Connect Discovery and keys at
    /// [`jwks_uri`](Self::jwks_uri).
    #[must_use]
    pub fn new(mint: &TokenMint) -> Self {
        Self(Arc::new(StubState {
            mint: mint.clone(),
            outage: AtomicBool::new(false),
            fetches: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
        }))
    }

    /// Returns the URL of the key set, for [`Jwks::url`](crate::jwt::Jwks::url).
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        self.url("/jwks")
    }

    /// Starts (`true`) or ends (`false`) a simulated outage, during which every fetch fails.
    ///
    /// After an outage, a [`JwtAuth`](crate::JwtAuth) retries when its back-off is over. To end the
    /// back-off, advance its clock by some seconds.
    pub fn outage(&self, outage: bool) {
        self.0.outage.store(outage, Ordering::SeqCst);
    }

    /// Calls [`TokenMint::rotate`].
    pub fn rotate(&self) {
        self.0.mint.rotate();
    }

    /// Calls [`TokenMint::retire_old_keys`].
    pub fn retire_old_keys(&self) {
        self.0.mint.retire_old_keys();
    }

    /// Returns how many times the key set was fetched.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::SeqCst)
    }

    /// Returns how many requests failed because of a simulated outage.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.0.failures.load(Ordering::SeqCst)
    }

    fn url(&self, path: &str) -> String {
        let issuer = self.0.mint.issuer();
        format!("{}{path}", issuer.strip_suffix('/').unwrap_or(issuer))
    }

    fn is_url(&self, uri: &Uri, path: &str) -> bool {
        self.url(path).parse::<Uri>().is_ok_and(|url| url == *uri)
    }
}

impl Fetch for StubIssuer {
    async fn fetch(&self, request: Request<()>) -> Result<Response<Bytes>, FetchError> {
        if self.0.outage.load(Ordering::SeqCst) {
            self.0.failures.fetch_add(1, Ordering::SeqCst);
            return Err(FetchError::new("the stub issuer simulates an outage"));
        }
        let json = if self.is_url(request.uri(), "/.well-known/openid-configuration") {
            json!({ "issuer": self.0.mint.issuer(), "jwks_uri": self.jwks_uri() }).to_string()
        } else if self.is_url(request.uri(), "/jwks") {
            self.0.fetches.fetch_add(1, Ordering::SeqCst);
            self.0.mint.jwks()
        } else {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        };
        Ok(Response::new(json.into()))
    }
}
