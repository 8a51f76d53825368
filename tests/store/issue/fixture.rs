use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use serde_json::Value;
use tower_auth::{
    clock::Clock,
    issue::{Grant, RefreshError, TokenIssuer, TokenIssuerBuilder, TokenPair},
    observe::{Event, Observe},
    store::{SealedStore, StoreSecret},
    test_util::{TestClock, principal},
};

use crate::revocation::{
    test_store::{TestStore, key},
    tokens::{self, caller, is_revoked},
};

pub const ISSUER: &str = "https://login.example";
pub const GRACE: Duration = Duration::from_secs(20);

/// A store whose operations a test controls, and instances of an issuer.
#[derive(Clone)]
pub struct Fixture {
    pub clock: TestClock,
    pub store: TestStore,
    pub events: Events,
}

impl Fixture {
    pub fn new() -> Self {
        let clock = tokens::clock();
        let store = TestStore::new(&clock);
        Self { clock, store, events: Events::default() }
    }

    /// Starts an instance.
    pub fn issuer(&self) -> TokenIssuer {
        self.builder().build().unwrap()
    }

    pub fn builder(&self) -> TokenIssuerBuilder {
        self.builder_with(StoreSecret::new(key(7)).unwrap(), self.clock.clone())
    }

    pub fn builder_with(&self, secret: StoreSecret, clock: impl Clock) -> TokenIssuerBuilder {
        let store = SealedStore::new(self.store.clone(), secret).observer(|_: &Event<'_>| {});
        // A logout takes effect in all instances at once.
        builder(store, clock).staleness(Duration::ZERO).observer(self.events.clone())
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub fn builder(store: SealedStore, clock: impl Clock) -> TokenIssuerBuilder {
    TokenIssuer::builder().issuer(ISSUER).audience("orders").store(store).clock(clock)
}

/// The scopes that [`grant`] grants.
pub const SCOPES: [&str; 2] = ["read", "write"];

pub fn grant(subject: &str) -> Grant {
    Grant::new(&principal(subject).scopes(SCOPES).build()).acr("1").amr(["pwd"])
}

/// Returns the result of a future that does not wait.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the store answers at once")
}

pub fn log_in(issuer: &TokenIssuer) -> TokenPair {
    log_in_as(issuer, "alice")
}

pub fn log_in_as(issuer: &TokenIssuer, subject: &str) -> TokenPair {
    ready(issuer.issue(grant(subject))).unwrap()
}

pub fn refresh(issuer: &TokenIssuer, token: &str) -> Result<TokenPair, RefreshError> {
    ready(issuer.refresh(token))
}

/// Refreshes a token that must be accepted.
pub fn next(issuer: &TokenIssuer, pair: &TokenPair) -> TokenPair {
    refresh(issuer, pair.refresh_token()).unwrap()
}

pub fn log_out(issuer: &TokenIssuer, pair: &TokenPair) {
    ready(issuer.logout(pair.refresh_token())).unwrap();
}

pub fn claims(pair: &TokenPair) -> Value {
    let payload = pair.access_token().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

pub fn generation(pair: &TokenPair) -> u64 {
    pair.refresh_token().split('.').nth(1).unwrap().parse().unwrap()
}

/// Returns whether the access token is not revoked.
pub fn is_admitted(issuer: &TokenIssuer, pair: &TokenPair) -> bool {
    let checked = ready(issuer.revocations().check(&caller(&claims(pair))));
    assert!(checked.is_ok() || is_revoked(&checked), "{checked:?}");
    checked.is_ok()
}

/// Returns the name of an error, to compare it.
pub fn outcome<T>(result: &Result<T, RefreshError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(RefreshError::Malformed) => "malformed",
        Err(RefreshError::Expired) => "expired",
        Err(RefreshError::Reused) => "reused",
        Err(RefreshError::Revoked) => "revoked",
        Err(RefreshError::OtherClient) => "other client",
        Err(RefreshError::InvalidScope) => "invalid scope",
        Err(RefreshError::TooManyRequests { .. }) => "too many requests",
        Err(RefreshError::Unavailable(_)) => "unavailable",
        Err(_) => "other",
    }
}

/// Counts events by name.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Events {
    pub fn count(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

impl Observe for Events {
    fn observed(&self, event: &Event<'_>) {
        let name = match event {
            Event::LoggedIn { .. } => "logged in",
            Event::TokensRefreshed { .. } => "refreshed",
            Event::RefreshTokenReused { .. } => "reused",
            Event::LoggedOut { .. } => "logged out",
            Event::StoreWentBack { .. } => "went back",
            Event::StoreReverted => "reverted",
            _ => return,
        };
        *self.0.lock().unwrap().entry(name).or_default() += 1;
    }
}
