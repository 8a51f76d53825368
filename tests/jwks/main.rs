//! Keys from a live issuer: a stub on loopback, real HTTP to it and from it, and a clock that is turned.

mod faults;
mod rotation;
mod scenarios;
mod several;

use axum::{Router, routing::get};
use tower_auth::{AuthenticateLayer, Authenticator, JwtAuth, Principal, jwks::Health, jwt::Jwks};
use tower_auth_test_support::{
    raw,
    stub::{Stub, Turned},
    token::{AUDIENCE, ISSUER, Signer},
};

/// A service behind keys of the stub, with its own clock.
pub(crate) struct Service {
    tokens: JwtAuth,
    clock: Turned,
    address: String,
}

impl Service {
    /// With keys at the stub's `/jwks`.
    pub(crate) async fn start(stub: &Stub) -> Self {
        Self::with(Jwks::url(stub.url("/jwks"))).await
    }

    pub(crate) async fn with(jwks: Jwks) -> Self {
        let clock = Turned::default();
        let tokens = JwtAuth::builder(jwks).issuer(ISSUER).audience(AUDIENCE);
        Self::serve(tokens.clock(clock.clock()).build().unwrap(), clock).await
    }

    pub(crate) async fn discovering(issuer: &str) -> Self {
        let clock = Turned::default();
        let tokens = JwtAuth::builder(Jwks::discover(issuer)).audience(AUDIENCE);
        Self::serve(tokens.clock(clock.clock()).build().unwrap(), clock).await
    }

    async fn serve(tokens: JwtAuth, clock: Turned) -> Self {
        let address = serve(tokens.clone()).await;
        Self { tokens, clock, address }
    }

    pub(crate) async fn get(&self, token: &str) -> raw::Answer {
        ask(&self.address, token).await
    }

    pub(crate) async fn status(&self, token: &str) -> u16 {
        self.get(token).await.status
    }

    pub(crate) fn health(&self) -> Health {
        self.tokens.health().unwrap()
    }
}

/// An axum server with a route for strangers, `/open`.
pub(crate) async fn serve<A>(authenticator: A) -> String
where
    A: Authenticator<Future: Send> + Send + Sync + 'static,
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

pub(crate) async fn ask(address: &str, token: &str) -> raw::Answer {
    let (address, bearer) = (address.to_owned(), format!("Bearer {token}"));
    let ask = move || raw::get(&address, "/", &[("Authorization", &bearer)]);
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// Keys of one kind, of which one more is published at each rotation.
pub(crate) fn keys<const N: usize>(ids: [&str; N]) -> [Signer; N] {
    ids.map(|id| Signer::generate("ES256", id))
}
