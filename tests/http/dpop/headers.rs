//! The `DPoP` header and the JOSE header of proofs.

use serde_json::{Value, json};
use tower_auth::dpop::ProofError;
use tower_auth_test_support::{raw, token::encode};

use super::{Fixture, assert_admitted};

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_member_of_the_header_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let jwk = fixture.client.jwk();
    for (name, value, reason) in [
        ("typ", json!("JWT"), ProofError::Type),
        ("typ", json!("at+jwt"), ProofError::Type),
        ("typ", json!("dpop"), ProofError::Type),
        ("typ", json!("dpop+jwt "), ProofError::Type),
        ("typ", json!("text/dpop+jwt"), ProofError::Type),
        ("typ", json!(""), ProofError::Type),
        ("typ", json!(1), ProofError::Type),
        ("typ", Value::Null, ProofError::Type),
        ("alg", json!("none"), ProofError::Algorithm),
        ("alg", json!("HS256"), ProofError::Algorithm),
        ("alg", json!("es256"), ProofError::Algorithm),
        ("alg", json!("ES256K"), ProofError::Algorithm),
        ("alg", json!("PS512"), ProofError::Algorithm),
        ("alg", json!("ES384"), ProofError::Key),
        ("alg", json!("EdDSA"), ProofError::Key),
        ("alg", json!("RS256"), ProofError::Key),
        ("alg", json!(256), ProofError::MalformedHeader),
        ("alg", Value::Null, ProofError::MalformedHeader),
        ("jwk", Value::Null, ProofError::MalformedHeader),
        ("jwk", json!("key"), ProofError::MalformedHeader),
        ("jwk", json!([jwk]), ProofError::MalformedHeader),
        ("jwk", json!(jwk.to_string()), ProofError::MalformedHeader),
        ("jwk", json!({}), ProofError::Key),
        ("crit", json!([]), ProofError::CriticalHeader),
        ("crit", json!(["exp"]), ProofError::CriticalHeader),
        ("b64", json!(false), ProofError::CriticalHeader),
    ] {
        let case = format!("{name}: {value}");
        let mut header = fixture.client.header();
        header[name] = value;
        let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
        fixture.assert_invalid_proof(&fixture.get(&token, &proof), reason, &case);
    }
    for (name, reason) in [
        ("typ", ProofError::Type),
        ("alg", ProofError::MalformedHeader),
        ("jwk", ProofError::MalformedHeader),
    ] {
        let mut header = fixture.client.header();
        header.as_object_mut().unwrap().remove(name);
        let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
        fixture.assert_invalid_proof(&fixture.get(&token, &proof), reason, name);
    }
}

/// `typ` is a media type (RFC 7515 §4.1.9).
#[tokio::test(flavor = "multi_thread")]
async fn other_spellings_of_the_type_and_unknown_members_are_accepted() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    for (name, value) in [
        ("typ", json!("DPoP+JWT")),
        ("typ", json!("application/dpop+jwt")),
        ("kid", json!("1")),
        ("x5u", json!("https://evil.example")),
    ] {
        let mut header = fixture.client.header();
        header[name] = value;
        let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
        assert_admitted(&fixture.get(&token, &proof));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_or_repeated_dpop_header_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let authorization = format!("DPoP {token}");
    let proof = fixture.proof(&token);
    let missing = fixture.get_with(&[("Authorization", &authorization)]);
    fixture.assert_invalid_proof(&missing, ProofError::Missing, "missing");
    for other in [&*proof, "", "x"] {
        for proofs in [[&*proof, other], [other, &proof]] {
            let [one, two] = proofs.map(|proof| ("DPoP", proof));
            let several = fixture.get_with(&[("Authorization", &authorization), one, two]);
            fixture.assert_invalid_proof(&several, ProofError::Several, other);
        }
    }
    let joined = fixture.get(&token, &format!("{proof}, {proof}"));
    fixture.assert_invalid_proof(&joined, ProofError::NotCompactJws, "joined");
    assert_admitted(&fixture.get(&token, &proof));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_proof_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let proof = fixture.proof(&token);
    let [header, claims, signature] = proof.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for invalid in [
        "",
        ".",
        "..",
        header,
        &format!("{header}.{claims}"),
        &format!("{proof}.x"),
        &format!("{proof}.x.y"),
        &format!("{header}.{claims}.{signature}="),
        &format!("{header}=.{claims}.{signature}"),
        &format!("\"{proof}\""),
        &format!("DPoP {proof}"),
        "caf\u{e9}",
    ] {
        let response = fixture.get(&token, invalid);
        let reason = match invalid {
            ".." => ProofError::MalformedHeader,
            _ => ProofError::NotCompactJws,
        };
        fixture.assert_invalid_proof(&response, reason, invalid);
    }
    let empty = fixture.get(&token, &format!("{header}.{claims}."));
    fixture.assert_invalid_proof(&empty, ProofError::Signature, "no signature");
    assert_admitted(&fixture.get(&token, &proof));
}

/// The server's own limit for headers is higher.
#[tokio::test(flavor = "multi_thread")]
async fn proof_longer_than_8_kib_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let padded = |length: usize| {
        let mut claims = fixture.claims(&token);
        claims["x"] = "".into();
        let base = fixture.client.0.token_with(&fixture.client.header(), &claims).len();
        claims["x"] = "x".repeat((length - base) / 4 * 3).into();
        fixture.client.0.token_with(&fixture.client.header(), &claims)
    };
    let longest = (8_180..8_200).map(padded).rfind(|proof| proof.len() <= 8_192);
    assert!(longest.as_ref().unwrap().len() > 8_188);
    assert_admitted(&fixture.get(&token, &longest.unwrap()));
    for length in [8_200, 12_000, 100_000] {
        let response = fixture.get(&token, &padded(length));
        fixture.assert_invalid_proof(&response, ProofError::TooLong, &length.to_string());
    }
    // The HTTP server rejects it.
    let response = fixture.get(&token, &padded(1 << 20));
    assert_eq!(response.status, 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn access_token_is_not_a_proof() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    fixture.assert_invalid_proof(&fixture.get(&token, &token), ProofError::Type, "token");
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_of_another_key_or_content_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let other = tower_auth_test_support::dpop::DpopClient::new("ES256");
    let (header, claims) = (fixture.client.header(), fixture.claims(&token));
    let forged = other.0.token_with(&header, &claims);
    fixture.assert_invalid_proof(&fixture.get(&token, &forged), ProofError::Signature, "forged");
    // The signature of another proof.
    let valid = fixture.proof(&token);
    let (_, signature) = valid.rsplit_once('.').unwrap();
    let moved =
        format!("{}.{}.{signature}", encode(header.to_string()), encode(claims.to_string()));
    fixture.assert_invalid_proof(&fixture.get(&token, &moved), ProofError::Signature, "moved");
    // Neither of them has used up the `jti`.
    assert_admitted(&fixture.get_with_claims(&token, &claims));
    let headers = [("Authorization", &*format!("DPoP {token}")), ("DPoP", &*valid)];
    assert_eq!(raw::get(&fixture.address, "/other", &headers).status, 401);
    assert_admitted(&fixture.get(&token, &valid));
}
