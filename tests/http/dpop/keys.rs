//! The keys in proofs.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_auth::{dpop::ProofError, jwt::Algorithm};
use tower_auth_test_support::{
    dpop::DpopClient,
    token::{Signer, encode},
};

use super::{Fixture, assert_admitted};

#[tokio::test(flavor = "multi_thread")]
async fn each_default_algorithm_is_accepted() {
    let mut fixture = Fixture::new().await;
    for algorithm in ["ES256", "ES384", "EdDSA", "PS256", "RS256"] {
        fixture.client = DpopClient::new(algorithm);
        let token = fixture.token();
        assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
    }
    // The name of RFC 9864.
    fixture.client = DpopClient::new("EdDSA");
    let token = fixture.token();
    let mut header = fixture.client.header();
    header["alg"] = "Ed25519".into();
    let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
    assert_admitted(&fixture.get(&token, &proof));
}

#[tokio::test(flavor = "multi_thread")]
async fn algorithm_that_is_not_listed_is_rejected() {
    let list = [Algorithm::PS384, Algorithm::EdDSA];
    let mut fixture = Fixture::with(|binding| binding.algorithms(list)).await;
    for (algorithm, is_accepted) in
        [("ES256", false), ("RS384", false), ("PS256", false), ("PS384", true), ("EdDSA", true)]
    {
        fixture.client = DpopClient::new(algorithm);
        let token = fixture.token();
        let response = fixture.get(&token, &fixture.proof(&token));
        if is_accepted {
            assert_admitted(&response);
            continue;
        }
        assert_eq!(response.status, 401, "{algorithm}");
        let dpop = r#"DPoP realm="api", algs="PS384 EdDSA", error="invalid_dpop_proof""#;
        assert_eq!(response.header_values("www-authenticate")[1], dpop);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn private_or_symmetric_key_in_the_header_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        for value in [json!("AAAA"), json!(""), json!(null), json!([{ "r": "AA" }])] {
            let mut header = fixture.client.header();
            header["jwk"][name] = value;
            let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
            fixture.assert_invalid_proof(
                &fixture.get(&token, &proof),
                ProofError::PrivateKey,
                name,
            );
        }
    }
    let secret = Signer::generate("HS256", "");
    for algorithm in ["HS256", "ES256"] {
        let mut header = json!({ "typ": "dpop+jwt", "alg": algorithm, "jwk": secret.jwk() });
        header["jwk"].as_object_mut().unwrap().remove("alg");
        let proof = secret.token_with(&header, &fixture.claims(&token));
        let reason = match algorithm {
            "HS256" => ProofError::Algorithm,
            _ => ProofError::PrivateKey,
        };
        fixture.assert_invalid_proof(&fixture.get(&token, &proof), reason, algorithm);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jwk_that_is_not_a_key_for_the_algorithm_is_rejected() {
    let mut fixture = Fixture::new().await;
    for (algorithm, changes) in [
        (
            "ES256",
            vec![
                ("kty", json!("OKP")),
                ("kty", json!("ec")),
                ("crv", json!("P-384")),
                ("crv", json!("secp256k1")),
                ("x", json!(encode([1; 32]))),
                ("x", json!(encode([0; 32]))),
                ("x", json!(encode([1; 31]))),
                ("x", json!(encode([1; 33]))),
                ("y", json!(encode([1; 48]))),
                ("y", json!("")),
                ("y", json!(1)),
                ("y", Value::Null),
            ],
        ),
        (
            "EdDSA",
            vec![
                ("kty", json!("EC")),
                ("crv", json!("X25519")),
                ("crv", json!("Ed448")),
                ("x", json!(encode([1; 31]))),
                ("x", json!(encode([0; 33]))),
                ("x", Value::Null),
            ],
        ),
        (
            "RS256",
            vec![
                ("kty", json!("EC")),
                ("n", json!(encode([0xff; 128]))),
                ("n", json!(encode([0xff; 255]))),
                ("n", json!(encode([0xff; 1025]))),
                ("n", json!(encode([0xfe; 256]))),
                ("e", json!("AQ")),
                ("e", json!("Ag")),
                ("e", json!("AAEAAQ")),
                ("e", json!(encode([0xff; 200]))),
                ("e", json!("")),
                ("e", Value::Null),
            ],
        ),
    ] {
        fixture.client = DpopClient::new(algorithm);
        for (name, value) in changes {
            let case = format!("{algorithm} {name}: {value}");
            let mut header = fixture.client.header();
            header["jwk"][name] = value;
            // The token is bound to the changed key, so that only the key itself is wrong.
            let thumbprint = thumbprint_of(&header["jwk"]);
            let token = fixture.token_with_cnf(json!({ "jkt": thumbprint }));
            let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
            fixture.assert_invalid_proof(&fixture.get(&token, &proof), ProofError::Key, &case);
            header["jwk"].as_object_mut().unwrap().remove(name);
            let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
            fixture.assert_invalid_proof(&fixture.get(&token, &proof), ProofError::Key, &case);
        }
    }
}

/// Returns the thumbprint of a JWK with the members that its `kty` requires (RFC 7638 §3.2).
fn thumbprint_of(jwk: &Value) -> String {
    let members: Vec<_> = ["crv", "e", "kty", "n", "x", "y"]
        .into_iter()
        .filter_map(|name| Some(format!("\"{name}\":{}", jwk.get(name)?)))
        .collect();
    tower_auth_test_support::dpop::token_hash(&format!("{{{}}}", members.join(",")))
}

/// The neutral element of Ed25519: `S = 0` is a valid signature for many messages.
#[tokio::test(flavor = "multi_thread")]
async fn ed25519_key_of_small_order_is_rejected() {
    let fixture = Fixture::new().await;
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(neutral) });
    let token = fixture.token_with_cnf(json!({ "jkt": thumbprint_of(&jwk) }));
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk });
    let signature = encode([&neutral[..], &[0; 32]].concat());
    let (header, claims) = (encode(header.to_string()), encode(fixture.claims(&token).to_string()));
    let response = fixture.get(&token, &format!("{header}.{claims}.{signature}"));
    fixture.assert_invalid_proof(&response, ProofError::Key, "neutral element");
}

/// Otherwise, one key would have several thumbprints.
#[tokio::test(flavor = "multi_thread")]
async fn other_encoding_of_a_key_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let x = fixture.client.jwk()["x"].as_str().unwrap().to_owned();
    for x in [format!("{x}="), format!("AA{x}"), format!(" {x}"), format!("{x}\n")] {
        let mut header = fixture.client.header();
        header["jwk"]["x"] = x.as_str().into();
        let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
        fixture.assert_invalid_proof(&fixture.get(&token, &proof), ProofError::Key, &x);
    }
    // The octets of the point, with another border between its coordinates.
    let decode = |text: &Value| URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap();
    let jwk = fixture.client.jwk();
    let point = [decode(&jwk["x"]), decode(&jwk["y"])].concat();
    for border in [0, 31, 33, 64] {
        let mut header = fixture.client.header();
        header["jwk"]["x"] = encode(&point[..border]).into();
        header["jwk"]["y"] = encode(&point[border..]).into();
        let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
        fixture.assert_invalid_proof(&fixture.get(&token, &proof), ProofError::Key, "border");
    }
    // Other members are not part of the key.
    let mut header = fixture.client.header();
    for (name, value) in [("kid", json!("1")), ("use", json!("sig")), ("ext", json!(true))] {
        header["jwk"][name] = value;
    }
    let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
    assert_admitted(&fixture.get(&token, &proof));
}

/// The prepared key of an accepted proof is for one algorithm.
#[tokio::test(flavor = "multi_thread")]
async fn key_is_accepted_with_each_of_its_algorithms() {
    let mut fixture = Fixture::new().await;
    fixture.client = DpopClient::new("PS256");
    let token = fixture.token();
    for algorithm in ["PS256", "RS256", "RS256", "PS256"] {
        let signer = std::mem::replace(&mut fixture.client, DpopClient::new("EdDSA")).0;
        fixture.client = DpopClient(signer.with_algorithm(algorithm));
        assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
        // The signature is one with the other algorithm.
        let mut header = fixture.client.header();
        header["alg"] = if algorithm == "PS256" { "RS256" } else { "PS256" }.into();
        let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
        fixture.assert_invalid_proof(&fixture.get(&token, &proof), ProofError::Signature, "alg");
    }
}

/// A forged signature is rejected whether the key was prepared before or not.
#[tokio::test(flavor = "multi_thread")]
async fn forged_signature_for_a_known_key_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let other = DpopClient::new("ES256");
    for _ in 0..3 {
        let forged = other.0.token_with(&fixture.client.header(), &fixture.claims(&token));
        let response = fixture.get(&token, &forged);
        fixture.assert_invalid_proof(&response, ProofError::Signature, "forged");
        assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
    }
}

/// Other parts of the crate read this form of a key (RFC 8410 §4).
#[tokio::test(flavor = "multi_thread")]
async fn subject_public_key_info_in_a_jwk_is_rejected() {
    let mut fixture = Fixture::new().await;
    fixture.client = DpopClient::new("EdDSA");
    let mut header = fixture.client.header();
    let key = URL_SAFE_NO_PAD.decode(header["jwk"]["x"].as_str().unwrap()).unwrap();
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    header["jwk"]["x"] = encode([&prefix[..], &key].concat()).into();
    let token = fixture.token_with_cnf(json!({ "jkt": thumbprint_of(&header["jwk"]) }));
    let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
    fixture.assert_invalid_proof(&fixture.get(&token, &proof), ProofError::Key, "SPKI");
}

/// Some producers write numbers with a leading zero octet (RFC 7518 §6.3.1.1 forbids it).
#[tokio::test(flavor = "multi_thread")]
async fn rsa_numbers_with_a_leading_zero_are_rejected() {
    let mut fixture = Fixture::new().await;
    fixture.client = DpopClient::new("RS256");
    let token = fixture.token();
    for name in ["n", "e"] {
        let mut header = fixture.client.header();
        let number = URL_SAFE_NO_PAD.decode(header["jwk"][name].as_str().unwrap()).unwrap();
        header["jwk"][name] = encode([&[0], &*number].concat()).into();
        let proof = fixture.client.0.token_with(&header, &fixture.claims(&token));
        fixture.assert_invalid_proof(&fixture.get(&token, &proof), ProofError::Key, name);
    }
    assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
}
