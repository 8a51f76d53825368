//! `Health` with the keys of issuers, over real HTTP.

use std::{future::ready, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use http::{Request, Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};
use tower_auth::{
    Challenge, JwtAuth, Principal, Rejection, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    health::Health,
    jwks::FetchError,
    jwt::{Issuers, Jwks, JwtAuthBuilder, KeySource, Keys, Tenants, TokenCache},
    test_util::TokenMint,
};
use tower_auth_test_support::{
    api::Api,
    raw::{self, RawResponse},
    stub::{ShiftedClock, StubResponse, StubServer, wait_until},
    token::{AUDIENCE, ISSUER, claims},
};

use crate::signers;

/// Starts an axum server with the health at `/readyz`.
async fn serve(health: Health) -> String {
    Api::serve(Router::new().route_service("/readyz", health)).await.address
}

async fn request(address: &str, method: &'static str) -> RawResponse {
    let address = address.to_owned();
    let request = move || raw::send(&address, method, "/readyz", &[], "");
    tokio::task::spawn_blocking(request).await.unwrap()
}

async fn probe(address: &str) -> RawResponse {
    request(address, "GET").await
}

fn verifier(keys: impl Into<KeySource>, clock: &ShiftedClock) -> JwtAuthBuilder {
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).clock(clock.clock())
}

/// Waits for a document. The mock clock advances for each probe.
async fn wait_for(address: &str, clock: &ShiftedClock, seconds: u64, pointer: &str, value: &str) {
    wait_until(value, || async {
        clock.advance(seconds);
        probe(address).await.json().pointer(pointer).is_some_and(|found| found == value)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fetched_keys_are_ready() {
    let (stub, keys) = (StubServer::start(), signers(["1", "2"]));
    stub.publish_keys(keys.each_ref().map(|key| key.jwk()));
    let clock = ShiftedClock::default();
    let tokens = verifier(Jwks::url(stub.url("/jwks")), &clock);
    let tokens = tokens.cache(TokenCache::new(100_000)).build().unwrap();
    let health = Health::new().keys("keys", &tokens).clock(clock.clock());
    let address = serve(health).await;
    wait_for(&address, &clock, 1, "/status", "ready").await;
    for key in &keys {
        tokens.verify(&key.token(&claims())).await.unwrap();
    }
    clock.advance(2);
    let response = probe(&address).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("cache-control"), "no-store");
    assert!(response.header_values("retry-after").is_empty());
    let document = response.json();
    assert_eq!(document["status"], "ready");
    let [component] = document["components"].as_array().unwrap().as_slice() else { panic!() };
    for (member, value) in [
        ("name", json!("keys")),
        ("issuer", json!(ISSUER)),
        ("status", json!("ready")),
        ("required", json!(true)),
        ("state", json!("fresh")),
        ("keys", json!(2)),
        ("failures", json!(0)),
        ("cached_tokens", json!(2)),
    ] {
        assert_eq!(component[member], value, "{member}");
    }
    assert!(component["age_s"].as_u64().unwrap() >= 2);
    assert!(component["next_fetch_s"].as_u64().unwrap() > 0);
    assert!(component["cached_bytes"].as_u64().unwrap() > 1_000);
    assert!(component.get("reason").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_that_is_down_is_unready_until_it_answers() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.set_response("/jwks", StubResponse::Status(500));
    let clock = ShiftedClock::default();
    let tokens = verifier(Jwks::url(stub.url("/jwks")), &clock).build().unwrap();
    let address = serve(Health::new().keys("keys", &tokens).clock(clock.clock())).await;
    wait_until("a failure", || async {
        clock.advance(1);
        probe(&address).await.json()["components"][0]["failures"] != 0
    })
    .await;
    let response = probe(&address).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), "1");
    assert_eq!(response.header("cache-control"), "no-store");
    let document = response.json();
    let component = &document["components"][0];
    assert_eq!((&document["status"], &component["status"]), (&json!("unready"), &json!("unready")));
    let (reason, state) = (&component["reason"], &component["state"]);
    assert_eq!((reason, state), (&json!("no_keys"), &json!("none")));
    let address_of_issuer = stub.url("").replace("http://", "");
    assert!(!response.body.contains(&address_of_issuer) && !response.body.contains("500"));

    stub.publish_keys([key.jwk()]);
    wait_for(&address, &clock, 10, "/status", "ready").await;
    assert_eq!(probe(&address).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_keys_are_ready_until_they_are_too_old() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let clock = ShiftedClock::default();
    let jwks = Jwks::url(stub.url("/jwks")).max_stale(Duration::from_secs(36_000));
    let tokens = verifier(jwks, &clock).build().unwrap();
    let address = serve(Health::new().keys("keys", &tokens).clock(clock.clock())).await;
    wait_for(&address, &clock, 1, "/components/0/state", "fresh").await;
    stub.set_response("/jwks", StubResponse::Status(500));
    wait_for(&address, &clock, 60, "/components/0/state", "stale").await;
    let response = probe(&address).await;
    assert_eq!((response.status, &response.json()["status"]), (200, &json!("ready")));
    wait_for(&address, &clock, 3_000, "/components/0/state", "too_old").await;
    let response = probe(&address).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.json()["components"][0]["reason"], "no_keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_key_set_is_unready() {
    let stub = StubServer::start();
    stub.publish_keys([]);
    let clock = ShiftedClock::default();
    let tokens = verifier(Jwks::url(stub.url("/jwks")), &clock).build().unwrap();
    let address = serve(Health::new().keys("keys", &tokens).clock(clock.clock())).await;
    wait_for(&address, &clock, 1, "/components/0/state", "fresh").await;
    let response = probe(&address).await;
    assert_eq!((response.status, &response.json()["components"][0]["keys"]), (503, &json!(0)));
}

/// Only probes arrive before the instance is ready, so they must start the task.
#[test]
fn probes_fetch_the_keys_of_a_verifier_that_was_built_outside_a_runtime() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let clock = ShiftedClock::default();
    let tokens = verifier(Jwks::url(stub.url("/jwks")), &clock).build().unwrap();
    let health = Health::new().keys("keys", &tokens).clock(clock.clock());
    Runtime::new().unwrap().block_on(async {
        let address = serve(health).await;
        wait_for(&address, &clock, 1, "/status", "ready").await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_no_body_and_other_methods_are_rejected() {
    let clock = ShiftedClock::default();
    let tokens = verifier(Keys::hs256(&[7; 32]), &clock).build().unwrap();
    let health = Health::new().keys("keys", &tokens);
    let address = serve(health.clone()).await;
    let document = probe(&address).await;
    assert_eq!(document.status, 200);
    assert_eq!(document.json()["components"][0]["state"], "fixed");
    let head = request(&address, "HEAD").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-type"), "application/json");
    assert_eq!(head.header("content-length"), document.body.len().to_string());
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let response = request(&address, method).await;
        assert_eq!((response.status, response.header("allow")), (405, "GET, HEAD"), "{method}");
        assert_eq!(response.body, "");
    }

    // With hyper alone.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(health.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(stream), service).await.unwrap();
            });
        }
    });
    assert_eq!(probe(&address).await.body, document.body);
    assert_eq!(request(&address, "HEAD").await.body, "");
}

/// A verifier of opaque tokens.
struct Opaque(bool);

impl TokenVerifier for Opaque {
    fn verify(&self, _: &str) -> Verification {
        Verification::ready(Err(Rejection::new(tower_auth::RejectionKind::InvalidCredentials)))
    }

    fn is_ready(&self) -> bool {
        self.0
    }
}

fn states(document: &Value) -> Vec<(Option<&str>, &str)> {
    let components = document["components"].as_array().unwrap().iter();
    components.map(|one| (one["issuer"].as_str(), one["status"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn each_issuer_is_shown_once() {
    let keys = || Keys::hs256(&[7; 32]);
    let down = Jwks::url("own://keys").client(|_: Request<()>| {
        ready(Err::<Response<bytes::Bytes>, FetchError>(FetchError::new("secret of 10.0.0.7")))
    });
    let build = |keys: KeySource, issuers: &[&str]| {
        JwtAuth::builder(keys).issuer(issuers).audience(AUDIENCE).build().unwrap()
    };
    let two = build(keys().into(), &["https://b.example", "https://a.example"]);
    let url = "https://user:password@c.example/path?key=secret";
    let other = build(down.into(), &[url]);
    for (is_ready, expected) in [(true, "ready"), (false, "unready")] {
        let issuers =
            Issuers::new([two.clone(), other.clone()]).unwrap().otherwise(Opaque(is_ready));
        let issuers = BearerAuth::new(issuers).map_principal(|caller: Principal| caller);
        let report = Health::new().keys("keys", &issuers).report().await;
        let document: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(
            states(&document),
            [
                (Some("https://b.example"), "ready"),
                (Some("https://a.example"), "ready"),
                (Some("https://c.example/path?..."), "unready"),
                (None, expected),
            ]
        );
        assert!(!report.is_ready());
        for text in [report.to_json(), report.to_string()] {
            assert!(!text.contains("secret") && !text.contains("password"), "{text}");
            assert!(!text.contains("10.0.0.7") && !text.contains("own://"), "{text}");
        }
    }
}

#[tokio::test]
async fn many_tenants_are_only_counted() {
    const COUNT: usize = 2_000;
    let mut waiting = Vec::new();
    let resolver = |issuer: String| {
        let hanging =
            |_: Request<()>| std::future::pending::<Result<Response<bytes::Bytes>, FetchError>>();
        let keys = match issuer.ends_with("7.example") {
            true => KeySource::from(Jwks::url("own://keys").client(hanging)),
            false => Keys::hs256(&[7; 32]).into(),
        };
        ready(JwtAuth::builder(keys).issuer(issuer).audience(AUDIENCE).build().map(Some))
    };
    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap();
    let tenants = Arc::new(tenants.capacity(10 * COUNT));
    let health = Health::new().keys("tenants", &tenants);
    assert!(health.report().await.is_ready(), "there are no tenants yet");
    for number in 0..COUNT {
        let mint = TokenMint::new(format!("https://{number}.example"));
        let token = mint.token("alice").audience(AUDIENCE).sign();
        let verification = tenants.verify(&token);
        match number % 10 {
            // It waits for keys.
            7 => {
                waiting.push(tokio::spawn(verification));
                tokio::task::yield_now().await;
            }
            _ => drop(verification.await),
        }
    }
    let clock = ShiftedClock::default();
    clock.advance(10);
    let report = health.clock(clock.clock()).report().await;
    assert!(report.is_ready());
    let document: Value = serde_json::from_str(&report.to_json()).unwrap();
    let expected = json!({"status": "ready", "components": [{
        "name": "tenants", "status": "ready", "required": true,
        "tenants": COUNT, "tenants_without_keys": COUNT / 10,
    }]});
    assert_eq!(document, expected);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn protected_routes_and_probes_work_together() {
    let clock = ShiftedClock::default();
    let tokens = verifier(Keys::hs256(&[7; 32]), &clock).build().unwrap();
    let app = Router::new()
        .route("/", get(async |caller: Principal| caller.subject().to_owned()))
        .layer(tower_auth::AuthenticateLayer::new(tokens.clone()))
        .route_service("/readyz", Health::new().keys("keys", &tokens).summary_only());
    let address = Api::serve(app).await.address;
    assert_eq!(probe(&address).await.body, r#"{"status":"ready"}"#);
}
