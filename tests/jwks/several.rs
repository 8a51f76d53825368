//! Several issuers, each with its own keys and audiences.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, header::AUTHORIZATION};
use serde_json::json;
use tower_auth::{
    Authenticator, Challenge, JwtAuth, Principal, Scheme,
    bearer::{TokenVerifier, Verification},
    credentials::TokenLocation,
    jwt::{Issuers, Jwks, Keys, Tenants},
};
use tower_auth_test_support::{
    stub::{ShiftedClock, StubResponse, StubServer},
    token::{Signer, claims},
};

use crate::{send, serve, signers};

fn validator(signer: &Signer, issuer: &str) -> JwtAuth {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(issuer).audience(issuer).realm(issuer).build().unwrap()
}

pub(crate) fn token(signer: &Signer, issuer: &str, audience: &str) -> String {
    let mut claims = claims();
    (claims["iss"], claims["aud"]) = (issuer.into(), audience.into());
    signer.token(&claims)
}

#[tokio::test]
async fn token_signed_with_key_of_another_issuer_is_rejected() {
    let [a, b] = signers(["same", "same"]);
    let issuers = Issuers::new([validator(&a, "a"), validator(&b, "b")]).unwrap();
    let address = serve(issuers).await;
    for (token, status, realm) in [
        (token(&a, "a", "a"), 200, ""),
        (token(&b, "b", "b"), 200, ""),
        (token(&b, "a", "a"), 401, "a"),
        (token(&a, "b", "b"), 401, "b"),
        (token(&b, "b", "a"), 401, "b"),
        (token(&a, "c", "a"), 401, "a"),
        (a.token(&json!({ "aud": "a", "sub": "s", "exp": 4_102_444_800_u64 })), 401, "a"),
        ("a.b.c".into(), 401, "a"),
    ] {
        let response = send(&address, &token).await;
        assert_eq!(response.status, status);
        if status == 401 {
            let challenge = format!("Bearer realm=\"{realm}\", error=\"invalid_token\"");
            assert_eq!(response.header_values("www-authenticate"), [challenge.as_str()]);
        }
    }
}

#[test]
fn conflicting_verifiers_are_a_config_error() {
    let [a, b] = signers(["1", "2"]);
    let config_error = |all: Vec<JwtAuth>| Issuers::new(all).unwrap_err().to_string();
    assert!(config_error(vec![]).contains("at least one"));
    assert!(config_error(vec![validator(&a, "a"), validator(&b, "a")]).contains("two verifiers"));
    let keys = Keys::from_json(json!({ "keys": [a.jwk()] }).to_string()).unwrap();
    let any = JwtAuth::builder(keys).dangerous_any_issuer().audience("a").build().unwrap();
    assert!(config_error(vec![any]).contains("any issuer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_resolved_once_per_cache_lifetime() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let tenant = stub.publish_metadata("/tenant");
    let (resolver_calls, clock) = (Arc::new(AtomicUsize::new(0)), ShiftedClock::default());
    let (count, known) = (Arc::clone(&resolver_calls), tenant.clone());
    let resolver = move |issuer: String| {
        count.fetch_add(1, Ordering::SeqCst);
        let is_known = issuer == known;
        async move {
            match issuer.as_str() {
                "down" => Err("the database is unreachable".to_owned()),
                // A verifier for another issuer than the requested one.
                "wrong" => Ok(Some(validator(&Signer::generate("ES256", "x"), "other"))),
                _ if is_known => {
                    let keys = Jwks::discover(issuer);
                    JwtAuth::builder(keys)
                        .audience("api")
                        .build()
                        .map(Some)
                        .map_err(|e| e.to_string())
                }
                _ => Ok(None),
            }
        }
    };
    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap();
    let address = serve(tenants.clock(clock.clock())).await;

    let valid = token(&key, &tenant, "api");
    let responses = futures_util::future::join_all((0..20).map(|_| send(&address, &valid))).await;
    assert!(responses.iter().all(|response| response.status == 200));
    assert_eq!((resolver_calls.load(Ordering::SeqCst), stub.hits("/jwks")), (1, 1));

    for _ in 0..3 {
        assert_eq!(send(&address, &token(&key, "unknown", "api")).await.status, 401);
        assert_eq!(send(&address, &token(&key, &"x".repeat(2000), "api")).await.status, 401);
    }
    assert_eq!(resolver_calls.load(Ordering::SeqCst), 2);
    assert_eq!(send(&address, &token(&key, "wrong", "api")).await.status, 401);
    assert_eq!(send(&address, &token(&key, "down", "api")).await.status, 503);
    assert_eq!(resolver_calls.load(Ordering::SeqCst), 4);

    clock.advance(601);
    // The tenant is resolved again. Its keys cannot be fetched now, so the cached keys stay in use.
    stub.set_response("/jwks", StubResponse::Status(500));
    for _ in 0..3 {
        assert_eq!(send(&address, &valid).await.status, 200);
    }
    assert_eq!(send(&address, &token(&key, "unknown", "api")).await.status, 401);
    assert_eq!(resolver_calls.load(Ordering::SeqCst), 6);
}

/// Accepts every token, for the issuer `a`.
struct OfIssuerA([Arc<str>; 1]);

impl TokenVerifier for OfIssuerA {
    fn verify(&self, _: &str) -> Verification {
        let caller = Principal::builder("alice", Scheme::BEARER).issuer("a").build();
        Verification::pending(async { Ok(caller) })
    }

    fn issuers(&self) -> &[Arc<str>] {
        &self.0
    }
}

#[tokio::test]
async fn tenant_verifier_accepts_only_tokens_of_its_tenant() {
    let [key] = signers(["1"]);
    let set = json!({ "keys": [key.jwk()] }).to_string();
    let resolver = move |issuer: String| {
        let located = JwtAuth::builder(Keys::from_json(&set).unwrap()).issuer(&*issuer);
        let located = located.audience("a").token_from(TokenLocation::header("x-token"));
        let verifier: Arc<dyn TokenVerifier> = match issuer.as_str() {
            // The second one lists an issuer that is not the issuer of its principals.
            "a" | "b" => Arc::new(OfIssuerA([issuer.into()])),
            _ => Arc::new(located.build().unwrap()),
        };
        std::future::ready(Ok::<_, String>(Some(verifier)))
    };
    let address = serve(Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap()).await;
    for (issuer, status) in [("a", 200), ("b", 401), ("a", 200), ("b", 401), ("located", 500)] {
        assert_eq!(send(&address, &token(&key, issuer, "a")).await.status, status, "{issuer}");
    }
}

#[tokio::test]
async fn tenant_cache_holds_at_most_one_thousand_entries() {
    let [key] = signers(["1"]);
    let resolver_calls = Arc::new(AtomicUsize::new(0));
    let (count, set) = (Arc::clone(&resolver_calls), json!({ "keys": [key.jwk()] }).to_string());
    let resolver = move |issuer: String| {
        count.fetch_add(1, Ordering::SeqCst);
        let keys = Keys::from_json(&set).unwrap();
        std::future::ready(JwtAuth::builder(keys).issuer(issuer).audience("a").build().map(Some))
    };
    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap();
    for _ in 0..2 {
        for tenant in 0..1200 {
            let bearer = format!("Bearer {}", token(&key, &tenant.to_string(), "a"));
            let request = Request::builder().header(AUTHORIZATION, bearer).body(()).unwrap();
            let head = request.into_parts().0;
            assert!(tenants.authenticate(&head).unwrap().await.result().is_ok());
        }
    }
    let resolver_calls = resolver_calls.load(Ordering::SeqCst);
    assert!((1400..=2400).contains(&resolver_calls), "{resolver_calls}");
}
