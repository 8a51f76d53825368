//! The form of access tokens (RFC 9068 §2).

use std::time::{Duration, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_auth::{
    clock::Clock,
    issue::{AccessClaims, ClaimsRequest, Grant},
    test_util::principal,
};

use super::fixture::{Fixture, ISSUER, claims, grant, log_in, next, ready};

fn header(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[test]
fn access_token_has_exactly_the_header_and_the_claims_of_rfc_9068() {
    let fixture = Fixture::new();
    let issuer = fixture
        .builder()
        .audience("invoices")
        .claims(async |_: ClaimsRequest| {
            Ok::<_, std::io::Error>(Some(AccessClaims::new(&json!({ "roles": ["admin"] }))))
        })
        .build()
        .unwrap();
    let now = fixture.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let grant = grant("alice")
        .client_id("console")
        .auth_time(fixture.clock.now() - Duration::from_secs(60))
        .acr("urn:example:2")
        .amr(["pwd", "otp"]);
    let pair = ready(issuer.issue(grant)).unwrap();

    let mut header = header(pair.access_token());
    let kid = header.as_object_mut().unwrap().remove("kid").unwrap();
    assert!(kid.as_str().is_some_and(|kid| !kid.is_empty()));
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "at+jwt" }));

    let mut found = claims(&pair);
    let members = found.as_object_mut().unwrap();
    // 128 random bits each.
    for name in ["jti", "sid"] {
        let id = members.remove(name).unwrap();
        assert_eq!(id.as_str().map(str::len), Some(22), "{name}: {id}");
    }
    let expected = json!({
        "iss": ISSUER,
        "sub": "alice",
        "aud": ["orders", "invoices"],
        "exp": now + 600,
        "iat": now,
        "client_id": "console",
        "scope": "read write",
        "auth_time": now - 60,
        "acr": "urn:example:2",
        "amr": ["pwd", "otp"],
        "roles": ["admin"],
        // A number with milliseconds.
        "fst": found_start(now),
    });
    assert_eq!(found, expected);
    assert_eq!(
        pair.to_json(),
        json!({
            "access_token": pair.access_token(),
            "token_type": "Bearer",
            "expires_in": 600,
            "refresh_token": pair.refresh_token(),
            "scope": "read write",
        })
    );
}

#[allow(clippy::cast_precision_loss)]
fn found_start(now: u64) -> Value {
    (now as f64).into()
}

#[test]
fn refresh_changes_only_the_times_and_the_jti() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let first = log_in(&issuer);
    fixture.advance(300);
    let second = next(&issuer, &first);
    let (mut before, mut after) = (claims(&first), claims(&second));
    assert_ne!(before["jti"], after["jti"]);
    assert_eq!(after["iat"], before["iat"].as_u64().unwrap() + 300);
    assert_eq!(after["exp"], before["exp"].as_u64().unwrap() + 300);
    for claims in [&mut before, &mut after] {
        for name in ["jti", "iat", "exp"] {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    assert_eq!(before, after);
}

#[test]
fn claims_without_a_value_are_omitted() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let pair = ready(issuer.issue(Grant::new(&principal("alice").build()))).unwrap();
    let claims = claims(&pair);
    for name in ["scope", "acr", "amr", "nbf", "cnf"] {
        assert_eq!(claims.get(name), None, "{name}");
    }
    assert_eq!(claims["aud"], "orders");
    assert_eq!(claims["client_id"], "orders");
    assert_eq!(claims["auth_time"], claims["iat"]);
}
