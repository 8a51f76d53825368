//! The claims of proofs (RFC 9449 §4.2, §4.3).

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use tower_auth::dpop::ProofError;
use tower_auth_test_support::{
    dpop::{DpopClient, token_hash},
    raw,
    token::encode,
};

use super::{Fixture, SECOND, assert_admitted};

/// Each case changes one claim of a proof that is accepted without the change.
#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_claim_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let now = fixture.now();
    let other = fixture.token_with_cnf(json!({ "jkt": fixture.client.thumbprint(), "x": 1 }));
    let hash = token_hash(&token);
    let no_change = fixture.get_with_claims(&token, &fixture.claims(&token));
    assert_admitted(&no_change);
    // With the name of the claim of the row.
    let malformed = ProofError::MalformedClaim("");
    for (name, value, reason) in [
        ("jti", Value::Null, malformed),
        ("jti", json!(""), malformed),
        ("jti", json!(1), malformed),
        ("jti", json!(["a"]), malformed),
        ("jti", json!("x".repeat(257)), malformed),
        ("htm", Value::Null, malformed),
        ("htm", json!(1), malformed),
        ("htm", json!("POST"), ProofError::Method),
        ("htm", json!("get"), ProofError::Method),
        ("htm", json!(""), ProofError::Method),
        ("htm", json!("GET "), ProofError::Method),
        ("htu", Value::Null, malformed),
        ("htu", json!(["https://a.example"]), malformed),
        ("htu", json!(""), ProofError::MalformedUrl),
        ("htu", json!("/orders"), ProofError::MalformedUrl),
        ("iat", Value::Null, malformed),
        ("iat", json!(now.to_string()), malformed),
        ("iat", json!(-1), malformed),
        ("iat", json!(-1.5), malformed),
        ("iat", json!(1e300), malformed),
        ("iat", json!(u64::MAX), ProofError::NotYetValid),
        ("iat", json!(now + 6), ProofError::NotYetValid),
        ("iat", json!(now as f64 + 5.001), ProofError::NotYetValid),
        ("iat", json!(now - 61), ProofError::Expired),
        ("iat", json!(now as f64 - 60.001), ProofError::Expired),
        ("iat", json!(0), ProofError::Expired),
        ("ath", Value::Null, malformed),
        ("ath", json!(1), malformed),
        ("ath", json!(""), ProofError::AccessToken),
        ("ath", json!(token), ProofError::AccessToken),
        ("ath", json!(token_hash(&other)), ProofError::AccessToken),
        ("ath", json!(format!("{hash}=")), ProofError::AccessToken),
        ("ath", json!(hash.to_lowercase()), ProofError::AccessToken),
        ("nonce", json!(1), malformed),
        ("nonce", Value::Null, malformed),
    ] {
        let case = format!("{name}: {value}");
        let malformed_claim = ProofError::MalformedClaim(name);
        let reason = if reason == malformed { malformed_claim } else { reason };
        let mut claims = fixture.claims(&token);
        claims[name] = value;
        let response = fixture.get_with_claims(&token, &claims);
        fixture.assert_invalid_proof(&response, reason, &case);
        if name != "nonce" {
            claims.as_object_mut().unwrap().remove(name);
            let response = fixture.get_with_claims(&token, &claims);
            fixture.assert_invalid_proof(&response, malformed_claim, &format!("without {name}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_claims_are_inclusive() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let now = fixture.now();
    for (name, value) in [
        ("iat", json!(now + 5)),
        ("iat", json!(now - 60)),
        ("iat", json!(now as f64 + 0.5)),
        ("jti", json!("x".repeat(256))),
        ("jti", json!("\u{1f512}\0 \"")),
        ("nonce", json!("not required")),
        ("exp", json!(1)),
        ("unknown", json!({ "a": [1] })),
    ] {
        let mut claims = fixture.claims(&token);
        claims[name] = value;
        assert_admitted(&fixture.get_with_claims(&token, &claims));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let claims = fixture.claims(&token).to_string();
    let inner = claims.strip_prefix('{').unwrap();
    let header = fixture.client.header().to_string();
    let deep = "[".repeat(40) + &"]".repeat(40);
    let send = |header: &[u8], claims: &[u8]| {
        let proof = fixture.client.0.sign(&encode(header), &encode(claims));
        fixture.get(&token, &proof)
    };
    assert_admitted(&send(header.as_bytes(), claims.as_bytes()));
    for json in [
        format!("{{\"htm\":\"GET\",{inner}"),
        format!("{{\"x\":{{\"a\":1,\"a\":1}},{inner}"),
        format!("{{\"x\":{deep},{inner}"),
        format!("{claims}{claims}"),
        format!("[{claims}]"),
        format!("\u{feff}{claims}"),
        String::new(),
    ] {
        let response = send(header.as_bytes(), json.as_bytes());
        fixture.assert_invalid_proof(&response, ProofError::MalformedClaims, &json);
    }
    let response = send(header.as_bytes(), b"{\"jti\":\"\xff\"}");
    fixture.assert_invalid_proof(&response, ProofError::MalformedClaims, "not UTF-8");
    let header = header.strip_prefix('{').unwrap();
    for json in [
        format!("{{\"alg\":\"ES256\",{header}"),
        format!("{{\"x\":{deep},{header}"),
        format!("[{{{header}]"),
    ] {
        let response = send(json.as_bytes(), claims.as_bytes());
        fixture.assert_invalid_proof(&response, ProofError::MalformedHeader, &json);
    }
    let nested = format!("{{{header}").replacen("{\"", "{\"kty\":\"EC\",\"", 2);
    let response = send(nested.as_bytes(), claims.as_bytes());
    fixture.assert_invalid_proof(&response, ProofError::MalformedHeader, "duplicate in jwk");
}

/// A proof is recorded until no instance accepts it any more.
#[tokio::test(flavor = "multi_thread")]
async fn proof_cannot_be_used_again_at_any_time() {
    let fixture = Fixture::with(|binding| binding.max_age(2 * SECOND).leeway(SECOND)).await;
    let token = fixture.token();
    for ahead in [0, 1] {
        let start = fixture.now();
        let mut claims = fixture.claims(&token);
        claims["iat"] = (start + ahead).into();
        let header = fixture.client.header();
        let proof = fixture.client.0.token_with(&header, &claims);
        assert_admitted(&fixture.get(&token, &proof));
        for millis in 0..5_000 {
            if millis % 100 < 2 || millis % 1_000 > 990 {
                fixture.clock.set(
                    UNIX_EPOCH + SECOND * u32::try_from(start).unwrap() + SECOND / 1_000 * millis,
                );
                assert_eq!(fixture.get(&token, &proof).status, 401, "{millis}");
            }
        }
    }
}

/// One millisecond before the end of its window, a proof is recorded for one millisecond.
#[tokio::test(flavor = "multi_thread")]
async fn record_of_one_millisecond_prevents_a_replay() {
    for before_end in [0, 1] {
        let fixture =
            Fixture::with(|it| it.max_age(SECOND).leeway(std::time::Duration::ZERO)).await;
        let token = fixture.token();
        let proof = fixture.proof(&token);
        fixture.clock.advance(SECOND - SECOND / 1_000 * before_end);
        assert_admitted(&fixture.get(&token, &proof));
        let response = fixture.get(&token, &proof);
        fixture.assert_invalid_proof(&response, ProofError::Replayed, "replay");
        fixture.clock.advance(SECOND / 1_000);
        assert_eq!(fixture.get(&token, &proof).status, 401);
        fixture.clock.advance(SECOND / 1_000);
        let response = fixture.get(&token, &proof);
        fixture.assert_invalid_proof(&response, ProofError::Expired, "old");
    }
}

/// The same `jti` for another method, URL or key is another proof.
#[tokio::test(flavor = "multi_thread")]
async fn jti_counts_for_its_key_method_and_url() {
    let fixture = Fixture::new().await;
    let (token, other) = (fixture.token(), DpopClient::new("ES256"));
    let other_token = fixture.token_for(&other);
    let send_as = |client: &DpopClient, token: &str, method: &str, path: &str| {
        let mut claims = fixture.claims(token);
        claims["jti"] = "1".into();
        claims["htm"] = method.into();
        claims["htu"] = fixture.url(path).into();
        let proof = client.0.token_with(&client.header(), &claims);
        let headers = [("Authorization", &*format!("DPoP {token}")), ("DPoP", &*proof)];
        raw::send(&fixture.address, method, path, &headers, "").status
    };
    let send = |method: &str, path: &str| send_as(&fixture.client, &token, method, path);
    for (method, path) in [("GET", "/a"), ("POST", "/a"), ("GET", "/b"), ("GET", "/a/")] {
        assert_eq!(send(method, path), 200);
        assert_eq!(send(method, path), 401);
    }
    assert_eq!(send_as(&other, &other_token, "GET", "/a"), 200);
    assert_eq!(send_as(&other, &other_token, "GET", "/a"), 401);
    // Another spelling of the same URL.
    assert_eq!(send("GET", "/%61"), 401);
}
