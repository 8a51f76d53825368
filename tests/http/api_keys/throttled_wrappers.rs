//! Verifiers around [`ApiKeys`] pass the request on, so that its address is limited.

use std::sync::Arc;

use http::{HeaderValue, header::AUTHORIZATION};
use tower_auth::{
    Authenticator, Principal, RejectionKind, any_of,
    bearer::{BearerAuth, TokenVerifier},
    credentials::TokenLocation,
    jwt::Issuers,
    test_util::TokenMint,
};

use super::{Fixture, now, throttle, unknown_key};

fn jwt() -> tower_auth::JwtAuth {
    TokenMint::new("https://issuer.example").validator("orders").build().unwrap()
}

fn authenticators(service: &Fixture) -> Vec<(&'static str, Arc<dyn Authenticator>)> {
    let keys = || service.keys.clone();
    let dynamic: Arc<dyn TokenVerifier> = Arc::new(keys());
    let boxed: Box<dyn TokenVerifier> = Box::new(keys());
    vec![
        ("plain", Arc::new(BearerAuth::new(keys()))),
        ("nested", Arc::new(BearerAuth::new(BearerAuth::new(keys())))),
        ("mapped", Arc::new(BearerAuth::new(keys()).map_principal(|caller: Principal| caller))),
        ("mapped verifier", {
            let mapped = TokenVerifier::map_principal(keys(), |caller: Principal| caller);
            Arc::new(BearerAuth::new(mapped))
        }),
        ("Arc<dyn>", Arc::new(BearerAuth::new(dynamic))),
        ("Box<dyn>", Arc::new(BearerAuth::new(boxed))),
        ("otherwise", Arc::new(Issuers::new([jwt()]).unwrap().otherwise(keys()))),
        ("otherwise, nested and mapped", {
            let nested = BearerAuth::new(keys()).map_principal(|caller: Principal| caller);
            let issuers = Issuers::new([jwt()]).unwrap().otherwise(nested);
            Arc::new(BearerAuth::new(issuers.map_principal(|caller: Principal| caller)))
        }),
        ("any_of", {
            let in_header = BearerAuth::new(jwt()).token_from(TokenLocation::header("x-jwt"));
            Arc::new(any_of((in_header, BearerAuth::new(keys()))))
        }),
    ]
}

fn kind(auth: &dyn Authenticator, from: &str, key: &str) -> Option<RejectionKind> {
    let mut head = throttle::head(from);
    let value = HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
    head.headers.insert(AUTHORIZATION, value);
    let result = now(auth.authenticate(&head).unwrap()).into_result();
    result.err().map(|rejection| rejection.kind())
}

#[test]
fn throttle_limits_the_address_behind_other_verifiers() {
    for number in 0..authenticators(&throttle::throttled()).len() {
        let service = throttle::throttled();
        let key = service.create();
        let (name, auth) = authenticators(&service).swap_remove(number);
        for _ in 0..10 {
            let invalid = Some(RejectionKind::InvalidCredentials);
            assert_eq!(kind(&*auth, "192.0.2.1", &unknown_key()), invalid, "{name}");
        }
        let throttled = Some(RejectionKind::TooManyRequests);
        assert_eq!(kind(&*auth, "192.0.2.1", &unknown_key()), throttled, "{name}");
        assert_eq!(kind(&*auth, "192.0.2.1", key.key()), throttled, "{name}");
        assert_eq!(kind(&*auth, "192.0.2.2", key.key()), None, "{name}");
    }
}
