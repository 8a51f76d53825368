//! Introspection (RFC 7662) with an endpoint on a socket.

mod cache;
mod client_authentication;
mod composition;
mod endpoint;
mod flights;
mod limits;
mod outages;
mod responses;

use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Request;
use serde_json::{Value, json};
use tower_auth::{
    Principal, Rejection, RejectionKind,
    bearer::TokenVerifier as _,
    introspection::{
        Introspection, IntrospectionBuilder, IntrospectionError, IntrospectionErrorKind,
    },
    jwt::TokenError,
    observe::Event,
    test_util::TestClock,
};

use self::endpoint::{Endpoint, Script};

const SECRET: &str = "s3cret-of-this-service";

/// A service that asks a scripted endpoint, and the clock of both.
struct Fixture {
    tokens: Introspection,
    endpoint: Endpoint,
    clock: TestClock,
    events: Events,
}

type Events = Arc<Mutex<Vec<String>>>;

impl Fixture {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(change: impl FnOnce(IntrospectionBuilder) -> IntrospectionBuilder) -> Self {
        let (endpoint, clock, events) =
            (Endpoint::start().await, TestClock::new(), Events::default());
        let list = Arc::clone(&events);
        let observer = move |event: &Event<'_>| {
            list.lock().unwrap().push(format!("{event:?} {event:#?} {:?}", event.error()));
        };
        let builder = Introspection::builder(endpoint.url("/introspect"))
            .client_secret("orders", SECRET)
            .issuer("https://server.example")
            .audience("orders")
            // For slow machines: no test of the fixture waits for it.
            .timeout(Duration::from_secs(60))
            .clock(clock.clone())
            .observer(observer);
        let tokens = change(builder).build().unwrap();
        Self { tokens, endpoint, clock, events }
    }

    /// Returns a response about an active token of `alice` that is valid for 10 min.
    fn active(&self) -> Value {
        active_at(&self.clock)
    }

    /// Makes a token active.
    fn activate(&self, token: &str) {
        self.endpoint.set(token, Script::json(&self.active()));
    }

    /// Makes a token active, with these changes to the response. `null` removes a member.
    fn activate_with(&self, token: &str, changes: &Value) {
        let mut response = self.active();
        let members = response.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        self.endpoint.set(token, Script::json(&response));
    }

    async fn verify(&self, token: &str) -> Result<Principal, Rejection> {
        self.tokens.verify(token).await
    }

    /// Returns why a token is invalid.
    async fn reason(&self, token: &str) -> TokenError {
        let rejection = self.verify(token).await.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{rejection:?}");
        rejection.source().and_then(|error| error.downcast_ref::<TokenError>()).unwrap().clone()
    }

    /// Returns why it is not known whether a token is valid.
    async fn failure(&self, token: &str) -> IntrospectionErrorKind {
        failure(&self.verify(token).await.unwrap_err())
    }

    /// Returns how often the endpoint was asked.
    fn asked(&self) -> usize {
        self.endpoint.requests().len()
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

fn active_at(clock: &TestClock) -> Value {
    use tower_auth::clock::Clock as _;

    let now = clock.elapsed().as_secs();
    json!({
        "active": true,
        "iss": "https://server.example",
        "sub": "alice",
        "aud": ["orders", "other"],
        "scope": "orders:read orders:write",
        "token_type": "Bearer",
        "client_id": "web",
        "roles": ["staff"],
        "iat": now,
        "exp": now + 600,
    })
}

fn failure(rejection: &Rejection) -> IntrospectionErrorKind {
    assert_eq!(rejection.kind(), RejectionKind::Unavailable, "{rejection:?}");
    assert!(rejection.retry_after().is_some());
    rejection.source().and_then(|error| error.downcast_ref::<IntrospectionError>()).unwrap().kind()
}

/// Returns the head of a request.
fn head() -> http::request::Parts {
    Request::new(()).into_parts().0
}
