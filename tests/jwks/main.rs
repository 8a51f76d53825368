//! Key sources against a stub issuer on loopback, with real HTTP and a mock clock.

mod combined;
mod documents;
mod faults;
mod forgotten_tenants;
mod issuer;
mod readiness;
mod rotation;
mod scenarios;
mod several;
mod tenants;
mod unknown_kid;

use axum::{Router, routing::get};
use tower_auth::{
    AuthenticateLayer, Authenticator, JwtAuth, Principal,
    health::KeysHealth,
    jwt::{Jwks, KeySource},
};
use tower_auth_test_support::{
    raw,
    stub::{ShiftedClock, StubServer},
    token::{AUDIENCE, ISSUER, Signer},
};

/// A server that verifies tokens with fetched keys, and its mock clock.
pub(crate) struct Service {
    tokens: JwtAuth,
    clock: ShiftedClock,
    address: String,
}

impl Service {
    /// Starts a server with the keys at `/jwks` of the stub.
    pub(crate) async fn start(stub: &StubServer) -> Self {
        Self::with(Jwks::url(stub.url("/jwks"))).await
    }

    pub(crate) async fn with(keys: impl Into<KeySource>) -> Self {
        let clock = ShiftedClock::default();
        let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
        Self::serve(tokens.clock(clock.clock()).build().unwrap(), clock).await
    }

    pub(crate) async fn discovering(issuer: &str) -> Self {
        let clock = ShiftedClock::default();
        let tokens = JwtAuth::builder(Jwks::discover(issuer)).audience(AUDIENCE);
        Self::serve(tokens.clock(clock.clock()).build().unwrap(), clock).await
    }

    async fn serve(tokens: JwtAuth, clock: ShiftedClock) -> Self {
        let address = serve(tokens.clone()).await;
        Self { tokens, clock, address }
    }

    pub(crate) async fn get(&self, token: &str) -> raw::RawResponse {
        send(&self.address, token).await
    }

    pub(crate) async fn status(&self, token: &str) -> u16 {
        self.get(token).await.status
    }

    pub(crate) fn health(&self) -> KeysHealth {
        self.tokens.health().unwrap()
    }
}

/// Starts an axum server with a protected route `/` and a public route `/open`.
pub(crate) async fn serve<A>(authenticator: A) -> String
where
    A: Authenticator + 'static,
{
    let app = Router::new()
        .route("/", get(async |caller: Principal| caller.subject().to_owned()))
        .layer(AuthenticateLayer::new(authenticator))
        .route("/open", get(async || "open"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

pub(crate) async fn send(address: &str, token: &str) -> raw::RawResponse {
    let (address, bearer) = (address.to_owned(), format!("Bearer {token}"));
    let request = move || raw::get(&address, "/", &[("Authorization", &bearer)]);
    tokio::task::spawn_blocking(request).await.unwrap()
}

/// Generates ES256 keys with these ids.
pub(crate) fn signers<const N: usize>(ids: [&str; N]) -> [Signer; N] {
    ids.map(|id| Signer::generate("ES256", id))
}
