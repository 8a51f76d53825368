//! Tracing events. These tests have their own process, and run one after the other, because
//! `tracing` caches per call site whether any subscriber is interested.

mod client;
mod decisions;
mod escaping;
mod login;
mod panics;
mod secrets;
mod store;

use std::{
    convert::Infallible,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use axum::{Router, body::Body, handler::Handler as _, routing::get};
use http::{Request, Response, header::AUTHORIZATION};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_auth::{
    AuthenticateLayer, Authenticator, Denial, JwtAuth, Principal, RequireScopes, Scheme,
    authorize::RequireClaim, extract::Claims, jwt::Jwks, policy_fn, test_util::AlwaysAs,
    transport::Forwarded,
};
use tower_auth_test_support::{
    stub::{ShiftedClock, StubResponse, StubServer},
    token::{AUDIENCE, ISSUER, Signer, claims},
};

/// Held by the test that has set a subscriber.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn count_lines_with(&self, words: &[&str]) -> usize {
        let bytes = self.0.lock().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    fn contains_line_with(&self, words: &[&str]) -> bool {
        self.count_lines_with(words) > 0
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[derive(serde::Deserialize)]
struct Seats {
    seats: u32,
}

/// The runtime has one thread, so that the subscriber of this thread also sees the background task.
#[tokio::test]
async fn rotation_skipped_key_outage_and_recovery_are_logged() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let stub = StubServer::start();
    let [old, new] = ["old", "new"].map(|id| Signer::generate("ES256", id));
    stub.publish_keys([old.jwk(), Signer::generate("HS256", "secret").jwk()]);
    let clock = ShiftedClock::default();
    let tokens = JwtAuth::builder(Jwks::url(stub.url("/jwks"))).issuer(ISSUER).audience(AUDIENCE);
    let tokens = tokens.clock(clock.clock()).build().unwrap();
    let status = async |token: String| {
        let request = Request::builder().header(AUTHORIZATION, format!("Bearer {token}"));
        let head = request.body(()).unwrap().into_parts().0;
        let result = tokens.authenticate(&head).unwrap().await.into_result();
        result.map_or_else(|rejection| rejection.kind().status().as_u16(), |_| 200)
    };
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    assert_eq!(status(old.token(&claims)).await, 200);
    assert!(log.contains_line_with(&["INFO", "key set changed", "added=[\"old\"]"]));
    assert!(log.contains_line_with(&["WARN", "a key is not used", "secret", "oct"]));

    stub.publish_keys([new.jwk()]);
    assert_eq!(status(new.token(&claims)).await, 200);
    assert!(log.contains_line_with(&["key set changed", "added=[\"new\"]", "removed=[\"old\"]"]));

    stub.set_response("/jwks", StubResponse::Status(500));
    clock.advance(601);
    assert_eq!(status(new.token(&claims)).await, 200);
    let warned = async {
        while !log.contains_line_with(&["WARN", "the last keys stay in use", "500"]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), warned).await.expect("no warning was logged");
    clock.advance(5000);
    assert_eq!(status(new.token(&claims)).await, 503);
    assert!(log.contains_line_with(&["ERROR", "there are no usable keys"]));

    stub.publish_keys([new.jwk()]);
    clock.advance(31);
    assert_eq!(status(new.token(&claims)).await, 200);
    assert!(log.contains_line_with(&["INFO", "keys were fetched after failures"]));

    // A policy without an authentication layer: the fault is logged once per layer.
    for layer in [RequireScopes::all(["read"]), RequireScopes::all(["write"])] {
        let service =
            layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));
        let before = log.count_lines_with(&["ERROR", "the service is misconfigured"]);
        for _ in 0..3 {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            assert_eq!(response.status(), 500);
        }
        let after = log.count_lines_with(&["ERROR", "the service is misconfigured"]);
        assert_eq!(after - before, 1);
    }
    assert!(log.contains_line_with(&["tower_auth", "no AuthenticateLayer around this layer"]));

    // The causes of a rejection are on the same line.
    let sealed = policy_fn("sealed", |_, _| {
        Err::<(), _>(Denial::unavailable().because("the vault is sealed"))
    });
    let service =
        sealed.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));
    let mut request = Request::new(());
    request.extensions_mut().insert(Principal::builder("alice", Scheme::BEARER).build());
    assert_eq!(service.oneshot(request).await.unwrap().status(), 503);
    let reason = "error=the policy cannot be evaluated at the moment: the vault is sealed";
    assert!(log.contains_line_with(&["WARN", reason]));

    // Claims that do not match: the log names the claim, but not its value.
    let large = RequireClaim::typed("large", |plan: &Seats| plan.seats > 9);
    let app = Router::new()
        .route("/seats", get(async |_: Claims<Seats>| "ok"))
        .route("/plan", get((async || "ok").layer(large)))
        .layer(AuthenticateLayer::new(tokens));
    for (seats, path, text) in [
        (json!("five-5"), "/seats", "claim \"seats\" does not match"),
        (Value::Null, "/plan", "claim \"seats\" is missing"),
    ] {
        claims.as_object_mut().unwrap().remove("seats");
        if !seats.is_null() {
            claims["seats"] = seats;
        }
        let token = format!("Bearer {}", new.token(&claims));
        let request = Request::get(path).header(AUTHORIZATION, token).body(Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 403);
        let line = ["WARN", "tower_auth", path, "claim=\"seats\"", text];
        assert_eq!(log.count_lines_with(&line), 1, "{path}");
    }
    assert!(!log.contains_line_with(&["five-5"]), "the log contains the value of a claim");
    assert!(!log.contains_line_with(&["eyJ"]), "the log contains a token");
}

/// Without a client address, the line has no such field.
#[tokio::test]
async fn events_of_a_layer_with_forwarded_have_the_client_address() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let caller = Principal::builder("alice", Scheme::BEARER).build();
    let proxied = Forwarded::from_proxies("10.0.0.0/8").unwrap().peer(|_| "10.0.0.1".parse().ok());
    let app = Router::new()
        .route("/policy", get((async || "ok").layer(RequireScopes::all("admin"))))
        .route("/handler", get(async || Err::<(), _>(Denial::unavailable())))
        .layer(AuthenticateLayer::new(AlwaysAs::new(caller)).forwarded(proxied));
    for (path, sent) in [
        ("/policy", Some("203.0.113.9, 2001:db8::1")),
        ("/handler", Some("2001:db8::1")),
        ("/handler", Some("unknown")),
        ("/handler", None),
    ] {
        let mut request = Request::get(path);
        if let Some(sent) = sent {
            request = request.header("x-forwarded-for", sent);
        }
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    }
    let address = "client.address=2001:db8::1";
    assert_eq!(log.count_lines_with(&["TRACE", "/policy", address]), 1);
    assert_eq!(log.count_lines_with(&["DEBUG", "/policy", address]), 1);
    assert_eq!(log.count_lines_with(&["WARN", "/handler", address]), 1);
    assert_eq!(log.count_lines_with(&["WARN", "/handler"]), 3);
    assert_eq!(log.count_lines_with(&["client.address"]), 4);
}
