//! Back-channel logout over sockets.

mod configuration;
mod confusion;
mod effects;
mod faults;
pub mod flaky;
mod replay;
mod requests;
mod rules;
mod servers;

use std::{
    error::Error as _,
    future::IntoFuture as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use serde_json::json;
use tokio::net::TcpListener;
use tower_auth::{
    AuthenticateLayer, JwtAuth,
    observe::Event,
    revocation::{BackchannelLogout, BackchannelLogoutBuilder, Revocations},
    store::{Memory, SealedStore, StoreSecret},
    test_util::{TestClock, TestToken, TokenMint},
};
use tower_auth_test_support::raw::{self, RawResponse};

const ISSUER: &str = "https://issuer.example";
const CLIENT: &str = "orders-web";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const INVALID: &str = r#"{"error":"invalid_request"}"#;

fn secret() -> StoreSecret {
    StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap()
}

/// A provider, and what a service needs to receive its logouts.
struct Setup {
    clock: TestClock,
    mint: TokenMint,
    revocations: Revocations,
    /// The reasons of rejected logout requests.
    reasons: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    /// The store has the same clock, so that its records expire with the time of the test.
    fn new() -> Self {
        let clock = TestClock::new();
        let store = SealedStore::new(Memory::with_clock(clock.clone()), secret());
        Self::with(clock, store)
    }

    fn with_store(store: SealedStore) -> Self {
        Self::with(TestClock::new(), store)
    }

    fn with(clock: TestClock, store: SealedStore) -> Self {
        let revocations = Revocations::builder(store)
            .longest_token_life(Duration::from_secs(3_600))
            .staleness(Duration::ZERO)
            .build()
            .unwrap();
        let mint = TokenMint::new(ISSUER).clock(clock.clone());
        Self { clock, mint, revocations, reasons: Arc::default() }
    }

    fn builder(&self) -> BackchannelLogoutBuilder {
        let reasons = Arc::clone(&self.reasons);
        BackchannelLogout::builder(self.mint.keys())
            .issuer(ISSUER)
            .client_id(CLIENT)
            .revocations(self.revocations.clone())
            .clock(self.clock.clone())
            .observer(move |event: &Event<'_>| {
                if let Event::Rejected { rejection, .. } = event {
                    let reason = rejection.source().map(ToString::to_string);
                    reasons.lock().unwrap().push(reason.unwrap_or_default());
                }
            })
    }

    /// Returns the verifier of the access tokens for this audience.
    fn tokens(&self, audience: &str) -> JwtAuth {
        self.mint.validator(audience).revocations(self.revocations.clone()).build().unwrap()
    }

    /// Starts an axum server with this endpoint, and an endpoint for access tokens.
    async fn serve(self, logout: BackchannelLogout) -> Receiver {
        let app = Router::new()
            .route("/orders", get(async || "orders"))
            .layer(AuthenticateLayer::new(self.tokens("orders")))
            .route_service("/logout", logout);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, app).into_future());
        Receiver { setup: self, address }
    }

    async fn start(self) -> Receiver {
        let logout = self.builder().build().unwrap();
        self.serve(logout).await
    }

    /// Returns a valid logout token, to be changed.
    fn logout_token(&self, subject: &str) -> TestToken {
        let token = self.mint.token(subject).audience(CLIENT).typ("logout+jwt");
        token.without("client_id").claim("events", json!({ EVENT: {} }))
    }

    fn access_token(&self, subject: &str, sid: &str) -> String {
        self.mint.token(subject).audience("orders").claim("sid", sid).sign()
    }
}

/// A service that receives logouts.
struct Receiver {
    setup: Setup,
    address: String,
}

impl Receiver {
    async fn start() -> Self {
        Setup::new().start().await
    }

    /// Sends a logout token.
    async fn post(&self, token: &str) -> RawResponse {
        self.post_form(&format!("logout_token={token}")).await
    }

    async fn post_form(&self, form: &str) -> RawResponse {
        self.send("POST", "/logout", &[FORM], form).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> RawResponse {
        let owned = |text: &str| text.to_owned();
        let headers: Vec<_> = headers.iter().map(|(a, b)| (owned(a), owned(b))).collect();
        let (address, method) = (self.address.clone(), owned(method));
        let (path, body) = (owned(path), owned(body));
        let send = move || {
            let headers: Vec<_> = headers.iter().map(|(a, b)| (&**a, &**b)).collect();
            raw::send(&address, &method, &path, &headers, &body)
        };
        tokio::task::spawn_blocking(send).await.unwrap()
    }

    /// Sends an access token and returns the status.
    async fn status(&self, access_token: &str) -> u16 {
        let bearer = format!("Bearer {access_token}");
        self.send("GET", "/orders", &[("authorization", &bearer)], "").await.status
    }

    /// Returns the reason of the last rejected logout request.
    fn last_reason(&self) -> String {
        self.setup.reasons.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

fn assert_accepted(response: &RawResponse) {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("cache-control"), "no-store");
    assert_eq!(response.body, "");
}

fn assert_invalid(response: &RawResponse, case: &str) {
    assert_eq!(response.status, 400, "{case}: {response:?}");
    assert_eq!(response.header("cache-control"), "no-store");
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.body, INVALID);
}
