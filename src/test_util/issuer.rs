use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use serde_json::json;

use super::mint::TokenMint;
use crate::jwks::fetch::{Fetch, FetchError};

/// Publishes the keys of a [`TokenMint`] as an issuer does, in this process and without a socket: for tests
/// alone.
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
/// issuer.rotate(); // the next token has a new key, which makes `tokens` fetch again
/// issuer.outage(true); // from now on, no fetch is answered
/// # let _ = tokens;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// Clones are the same issuer. HMAC secrets are published too, and not accepted by whoever fetches them.
#[derive(Clone, Debug)]
pub struct StubIssuer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mint: TokenMint,
    outage: AtomicBool,
    fetches: AtomicUsize,
    failures: AtomicUsize,
}

impl StubIssuer {
    /// The issuer that this mint signs for. Its metadata are where OpenID Connect Discovery puts them, and its keys
    /// at [`jwks_uri`](Self::jwks_uri).
    #[must_use]
    pub fn new(mint: &TokenMint) -> Self {
        Self(Arc::new(Inner {
            mint: mint.clone(),
            outage: AtomicBool::new(false),
            fetches: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
        }))
    }

    /// Where its keys are, for [`Jwks::url`](crate::jwt::Jwks::url).
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        self.at("/jwks")
    }

    /// Whether it answers no more. It does again with `false`; those who fetch wait for some seconds, by their clock,
    /// before they try.
    pub fn outage(&self, outage: bool) {
        self.0.outage.store(outage, Ordering::SeqCst);
    }

    /// [`TokenMint::rotate`]
    pub fn rotate(&self) {
        self.0.mint.rotate();
    }

    /// [`TokenMint::retire_old_keys`]
    pub fn retire_old_keys(&self) {
        self.0.mint.retire_old_keys();
    }

    /// How often its keys were fetched.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::SeqCst)
    }

    /// How often it was asked for something in an outage.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.0.failures.load(Ordering::SeqCst)
    }

    fn at(&self, path: &str) -> String {
        let issuer = self.0.mint.issuer();
        format!("{}{path}", issuer.strip_suffix('/').unwrap_or(issuer))
    }

    fn is(&self, uri: &Uri, path: &str) -> bool {
        self.at(path).parse::<Uri>().is_ok_and(|own| own == *uri)
    }
}

impl Fetch for StubIssuer {
    async fn fetch(&self, request: Request<()>) -> Result<Response<Bytes>, FetchError> {
        if self.0.outage.load(Ordering::SeqCst) {
            self.0.failures.fetch_add(1, Ordering::SeqCst);
            return Err(FetchError::new("the stub issuer has an outage"));
        }
        let json = if self.is(request.uri(), "/.well-known/openid-configuration") {
            json!({ "issuer": self.0.mint.issuer(), "jwks_uri": self.jwks_uri() }).to_string()
        } else if self.is(request.uri(), "/jwks") {
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
