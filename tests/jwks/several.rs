//! Several issuers, each with keys and audiences of its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, header::AUTHORIZATION};
use serde_json::json;
use tower_auth::{
    Authenticator, Challenge, JwtAuth, Scheme,
    jwt::{Issuers, Jwks, Keys, Tenants},
};
use tower_auth_test_support::{
    stub::{Answer, Stub, Turned},
    token::{Signer, claims},
};

use crate::{ask, keys, serve};

fn validator(signer: &Signer, issuer: &str) -> JwtAuth {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(issuer).audience(issuer).realm(issuer).build().unwrap()
}

fn token(signer: &Signer, issuer: &str, audience: &str) -> String {
    let mut claims = claims();
    (claims["iss"], claims["aud"]) = (issuer.into(), audience.into());
    signer.token(&claims)
}

#[tokio::test]
async fn no_issuer_speaks_for_another() {
    let [a, b] = keys(["same", "same"]);
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
        let answer = ask(&address, &token).await;
        assert_eq!(answer.status, status);
        if status == 401 {
            let asked = format!("Bearer realm=\"{realm}\", error=\"invalid_token\"");
            assert_eq!(answer.all("www-authenticate"), [asked.as_str()]);
        }
    }
}

#[test]
fn what_cannot_stand_side_by_side_is_found_when_building() {
    let [a, b] = keys(["1", "2"]);
    let fault = |all: Vec<JwtAuth>| Issuers::new(all).unwrap_err().to_string();
    assert!(fault(vec![]).contains("at least one"));
    assert!(fault(vec![validator(&a, "a"), validator(&b, "a")]).contains("two validators"));
    let keys = Keys::from_json(json!({ "keys": [a.jwk()] }).to_string()).unwrap();
    let any = JwtAuth::builder(keys).dangerous_any_issuer().audience("a").build().unwrap();
    assert!(fault(vec![any]).contains("any issuer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_resolved_once_and_forgotten_in_time() {
    let (stub, [key]) = (Stub::start(), keys(["1"]));
    stub.publish([key.jwk()]);
    let tenant = stub.describe("/tenant");
    let (asked, clock) = (Arc::new(AtomicUsize::new(0)), Turned::default());
    let (count, known) = (Arc::clone(&asked), tenant.clone());
    let resolver = move |issuer: String| {
        count.fetch_add(1, Ordering::SeqCst);
        let known = issuer == known;
        async move {
            match issuer.as_str() {
                "down" => Err("the table cannot be reached".to_owned()),
                // Of another issuer than was asked for.
                "wrong" => Ok(Some(validator(&Signer::generate("ES256", "x"), "other"))),
                _ if known => {
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

    let good = token(&key, &tenant, "api");
    let answers = futures_util::future::join_all((0..20).map(|_| ask(&address, &good))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((asked.load(Ordering::SeqCst), stub.hits("/jwks")), (1, 1));

    for _ in 0..3 {
        assert_eq!(ask(&address, &token(&key, "nobody", "api")).await.status, 401);
        assert_eq!(ask(&address, &token(&key, &"x".repeat(2000), "api")).await.status, 401);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(ask(&address, &token(&key, "wrong", "api")).await.status, 401);
    assert_eq!(ask(&address, &token(&key, "down", "api")).await.status, 503);
    assert_eq!(asked.load(Ordering::SeqCst), 4);

    clock.by(601);
    // Its keys cannot be had just now: those that it has serve on.
    stub.set("/jwks", Answer::Status(500));
    for _ in 0..3 {
        assert_eq!(ask(&address, &good).await.status, 200);
    }
    assert_eq!(ask(&address, &token(&key, "nobody", "api")).await.status, 401);
    assert_eq!(asked.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn no_more_than_a_thousand_tenants_are_remembered() {
    let [key] = keys(["1"]);
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, set) = (Arc::clone(&asked), json!({ "keys": [key.jwk()] }).to_string());
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
            assert!(tenants.authenticate(&head).unwrap().await.is_ok());
        }
    }
    let asked = asked.load(Ordering::SeqCst);
    assert!((1400..=2400).contains(&asked), "{asked}");
}
