//! Third-party test vectors for JWS signatures. Claims are not compared, because most of the
//! payloads have none.
//!
//! The vectors are not part of this repository. They are read from the directory in
//! `TOWER_AUTH_VECTORS`, or else from `target/vectors`, where `ci/vectors` downloads them.

use std::{
    collections::BTreeSet,
    error::Error as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tower_auth::{
    JwtAuth,
    jwt::{
        Algorithm, DecodingKey, Keys, TokenCache, TokenError,
        crypto::{AwsLc, Backend},
    },
};
use tower_auth_test_support::{ROOT, authenticate::authenticate, skip, token::encode};

/// Reads a file of vectors. Returns `None` if the vectors are not installed.
fn read(name: &str) -> Option<Value> {
    let dir = std::env::var_os("TOWER_AUTH_VECTORS")
        .map_or_else(|| Path::new(ROOT).join("target/vectors"), PathBuf::from);
    let is_configured = std::env::var_os("TOWER_AUTH_VECTORS").is_some();
    assert!(dir.exists() || !is_configured, "TOWER_AUTH_VECTORS: {} does not exist", dir.display());
    let Ok(text) = fs::read_to_string(dir.join(name)) else {
        skip(&format!("{name} is not in {}: run ci/vectors", dir.display()));
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Returns validators for a JWK or a JWK set, without and with a cache, that accept any claims.
/// Returns `None` if no key is usable.
fn validators_for_jwk(jwk: &Value) -> Option<[JwtAuth; 2]> {
    let set = if jwk.get("keys").is_some() { jwk.clone() } else { json!({ "keys": [jwk] }) };
    validators(&Keys::from_json(set.to_string()).unwrap())
}

fn validators(keys: &Keys) -> Option<[JwtAuth; 2]> {
    let builder = || {
        let builder = JwtAuth::builder(keys.clone()).dangerous_any_issuer();
        builder.dangerous_any_audience().dangerous_any_token_type()
    };
    let cached = builder().cache(TokenCache::new(1 << 20).cache_hmac());
    Some([builder().build().ok()?, cached.build().unwrap()])
}

/// Returns whether the signature is accepted, regardless of the claims. The result must not depend
/// on the cache, not even when the token is sent again.
fn accepts([tokens, cached]: &[JwtAuth; 2], jws: &str) -> bool {
    let accepted = is_accepted(tokens, jws);
    assert_eq!([is_accepted(cached, jws), is_accepted(cached, jws)], [accepted; 2], "{jws}");
    accepted
}

fn is_accepted(tokens: &JwtAuth, jws: &str) -> bool {
    match authenticate(tokens, &format!("Bearer {jws}")).unwrap() {
        Ok(_) => true,
        Err(rejection) => matches!(
            rejection.source().and_then(|reason| reason.downcast_ref()),
            Some(
                TokenError::MalformedClaims
                    | TokenError::MalformedClaim { .. }
                    | TokenError::MissingClaim(_)
                    | TokenError::Issuer
                    | TokenError::Audience
                    | TokenError::Expired
                    | TokenError::NotYetValid
            )
        ),
    }
}

/// Returns the ids of the vectors whose result differs from the expected one.
fn disagreements(file: &Value, expected: usize) -> BTreeSet<u64> {
    let mut count = 0;
    let mut different = BTreeSet::new();
    for group in items(&file["testGroups"]) {
        let jwk = group.get("public").or(group.get("private")).unwrap();
        let tokens = validators_for_jwk(jwk);
        for test in items(&group["tests"]) {
            // Encrypted tokens are not supported, valid or not.
            let valid = test["result"] == "valid" && test.get("jws").is_some();
            let token = test.get("jws").or(test.get("jwe")).unwrap();
            let token = &token.as_str().map_or_else(|| token.to_string(), str::to_owned);
            if tokens.as_ref().is_some_and(|tokens| accepts(tokens, token)) != valid {
                different.insert(test["tcId"].as_u64().unwrap());
            }
            count += 1;
        }
    }
    assert_eq!(count, expected, "vectors are missing");
    different
}

#[test]
fn wycheproof_json_web_signature_differs_in_eight_vectors() {
    let Some(file) = read("wycheproof/json_web_signature_test.json") else { return };
    let unsupported_es512 = [347, 351];
    let valid_under_ps384_with_a_key_for_ps256 = [346, 350];
    let valid_with_a_character_outside_base64url = [372, 373];
    let invalid_although_identical_to_the_valid_357 = [367, 370];
    assert_eq!(
        disagreements(&file, 401),
        BTreeSet::from_iter(
            [
                unsupported_es512,
                valid_under_ps384_with_a_key_for_ps256,
                valid_with_a_character_outside_base64url,
                invalid_although_identical_to_the_valid_357,
            ]
            .concat()
        )
    );
}

#[test]
fn wycheproof_json_web_crypto_differs_in_two_vectors() {
    let Some(file) = read("wycheproof/json_web_crypto_test.json") else { return };
    // A key with the ROCA weakness. Detecting such keys is left to the issuer.
    let roca = 46;
    // A set with an HMAC key and an EC key, which Wycheproof rejects. `JwtAuth` restricts each key
    // to its own algorithm, so mixed sets are safe.
    let mixed = 47;
    assert_eq!(disagreements(&file, 83), BTreeSet::from([roca, mixed]));
}

#[test]
fn wycheproof_json_web_encryption_is_rejected() {
    let Some(file) = read("wycheproof/json_web_encryption_test.json") else { return };
    let secret = DecodingKey::from_secret(&[7; 32]);
    let tokens = validators(&Keys::new(Algorithm::HS256, secret)).unwrap();
    let mut count = 0;
    for group in items(&file["testGroups"]) {
        let for_group_key =
            validators_for_jwk(group.get("public").or(group.get("private")).unwrap());
        for test in items(&group["tests"]) {
            let jwe = test["jwe"].as_str().unwrap();
            assert!(!accepts(&tokens, jwe), "{}", test["tcId"]);
            assert!(
                !for_group_key.as_ref().is_some_and(|tokens| accepts(tokens, jwe)),
                "{}",
                test["tcId"]
            );
            count += 1;
        }
    }
    assert_eq!(count, 139, "vectors are missing");
}

/// Calls the `AwsLc` backend directly.
#[test]
fn wycheproof_primitives_are_verified_as_expected() {
    use Algorithm as A;
    let files = [
        ("ecdsa_secp256r1_sha256_p1363", Some(A::ES256)),
        ("ecdsa_secp384r1_sha384_p1363", Some(A::ES384)),
        ("ed25519", Some(A::EdDSA)),
        ("hmac_sha256", Some(A::HS256)),
        ("hmac_sha384", Some(A::HS384)),
        ("hmac_sha512", Some(A::HS512)),
        ("rsa_signature_2048_sha256", Some(A::RS256)),
        ("rsa_signature_2048_sha384", Some(A::RS384)),
        ("rsa_signature_2048_sha512", Some(A::RS512)),
        ("rsa_pss_2048_sha256_mgf1_32", Some(A::PS256)),
        ("rsa_pss_2048_sha384_mgf1_48", Some(A::PS384)),
        ("rsa_pss_4096_sha512_mgf1_64", Some(A::PS512)),
        // Curves of no supported algorithm: `prepare` rejects their keys.
        ("ecdsa_secp256k1_sha256_p1363", None),
        ("ecdsa_secp521r1_sha512_p1363", None),
        ("ed448", None),
    ];
    for (name, algorithm) in files {
        let path = format!("wycheproof/primitives/{name}_test.json");
        let Some(file) = read(&path) else { return };
        for group in items(&file["testGroups"]) {
            match algorithm {
                Some(algorithm) => check_primitives(name, algorithm, group),
                None => {
                    let key = public_key(group);
                    for algorithm in [A::ES256, A::ES384, A::EdDSA] {
                        assert!(AwsLc::default().prepare(algorithm, &key).is_err(), "{name}");
                    }
                }
            }
        }
    }
}

fn check_primitives(name: &str, algorithm: Algorithm, group: &Value) {
    // A JWS contains the full tag (RFC 7518 §3.2). Some HMAC vectors have truncated tags.
    let full_length = group.get("tagSize").is_none_or(|size| {
        size == match algorithm {
            Algorithm::HS256 => 256,
            Algorithm::HS384 => 384,
            _ => 512,
        }
    });
    for test in items(&group["tests"]) {
        let key = match test.get("key") {
            Some(secret) => DecodingKey::from_secret(&hex(secret)),
            None => public_key(group),
        };
        let signature = test.get("sig").or(test.get("tag")).unwrap();
        let is_valid = AwsLc::default()
            .prepare(algorithm, &key)
            .is_ok_and(|key| key.verify(&hex(&test["msg"]), &hex(signature)).is_ok());
        let expected = full_length && test["result"] == "valid";
        // "acceptable" allows both results.
        if test["result"] != "acceptable" {
            assert_eq!(is_valid, expected, "{name} {}: {}", test["tcId"], test["comment"]);
        }
    }
}

fn public_key(group: &Value) -> DecodingKey {
    let key = &group["publicKey"];
    if key.get("modulus").is_some() {
        DecodingKey::from_rsa_raw_components(
            &without_leading_zeros(&key["modulus"]),
            &without_leading_zeros(&key["publicExponent"]),
        )
    } else if key["type"] == "EDDSAPublicKey" {
        DecodingKey::from_ed_der(&hex(&key["pk"]))
    } else {
        DecodingKey::from_ec_der(&hex(&key["uncompressed"]))
    }
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Removes the zero that ASN.1 puts before a number whose first bit is set.
fn without_leading_zeros(number: &Value) -> Vec<u8> {
    hex(number).into_iter().skip_while(|byte| *byte == 0).collect()
}

#[test]
fn rfc_examples_are_verified_as_expected() {
    let Some(file) = read("rfc_examples.json") else { return };
    let mut verified = 0;
    for case in items(&file["cases"]) {
        let Some(compact) = case["compact"].as_str() else { continue };
        let accepted =
            validators_for_jwk(&case["jwk"]).is_some_and(|tokens| accepts(&tokens, compact));
        assert_eq!(accepted, case["signature"] == "valid", "{}", case["name"]);
        verified += usize::from(accepted);
    }
    assert!(verified >= 4, "{verified}");
}

/// RFC 7520 and RFC 7797: compact JWS with supported algorithms are accepted only as published.
#[test]
fn jose_cookbook_is_verified_as_expected() {
    let compact = [
        ("jws/4_1.rsa_v15_signature.json", true),
        ("jws/4_2.rsa-pss_signature.json", true),
        ("jws/4_3.ecdsa_signature.json", false), // ES512
        ("jws/4_4.hmac-sha2_integrity_protection.json", true),
        ("jws/4_5.signature_with_detached_content.json", false),
        ("rfc7797/hmac-sha2_b64_false.json", false),
        ("rfc7797/4.2.hmac-sha2_b64_false.json", false),
        ("curve25519/jws.json", true),
    ];
    for (name, expected) in compact {
        let Some(file) = read(&format!("jose-cookbook/{name}")) else { return };
        let mut key = file["input"]["key"].clone();
        // The key of example 4.2 does not name PS384, the algorithm of its signature: add it.
        let jws = file["output"]["compact"].as_str().unwrap_or_default();
        let header = jws.split('.').next().unwrap();
        key["alg"] = file["signing"]["protected"]["alg"].clone();
        let tokens = validators_for_jwk(&key);
        assert_eq!(tokens.as_ref().is_some_and(|tokens| accepts(tokens, jws)), expected, "{name}");
        let Some(tokens) = tokens else { continue };
        // Another payload and the JSON serializations are rejected.
        let signature = jws.rsplit('.').next().unwrap();
        assert!(!accepts(&tokens, &format!("{header}.{}.{signature}", encode("{}"))), "{name}");
        for other in ["json", "json_flat"] {
            assert!(!accepts(&tokens, &file["output"][other].to_string()), "{name}");
        }
    }
}
