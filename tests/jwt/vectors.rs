//! Third-party vectors, at the level of the JWS: below claims, which most of their payloads have none of.
//!
//! They are read from `TOWER_AUTH_VECTORS`, or from `../shared/vectors`, and are not part of this repository.
//! Where they are not there, these tests say so and pass.

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
use tower_auth_test_support::{ROOT, ask::ask, skip, token::encode};

/// A file of vectors; `None` where they are not on this machine.
fn read(name: &str) -> Option<Value> {
    let dir = std::env::var_os("TOWER_AUTH_VECTORS")
        .map_or_else(|| Path::new(ROOT).join("../shared/vectors"), PathBuf::from);
    let Ok(text) = fs::read_to_string(dir.join(name)) else {
        let told = std::env::var_os("TOWER_AUTH_VECTORS").is_some() || dir.exists();
        assert!(!told, "{name} is not in {}", dir.display());
        skip(&format!("{name} is not in {}", dir.display()));
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A validator with one key or a set, and with no opinion on claims, without a cache and with one. `None` where no key is
/// one for us.
fn validator(jwk: &Value) -> Option<[JwtAuth; 2]> {
    let set = if jwk.get("keys").is_some() { jwk.clone() } else { json!({ "keys": [jwk] }) };
    with_cache_and_without(&Keys::from_json(set.to_string()).unwrap())
}

fn with_cache_and_without(keys: &Keys) -> Option<[JwtAuth; 2]> {
    let open = || {
        let open = JwtAuth::builder(keys.clone()).dangerous_any_issuer();
        open.dangerous_any_audience().dangerous_any_token_type()
    };
    let cached = open().cache(TokenCache::new(1 << 20).cache_hmac());
    Some([open().build().ok()?, cached.build().unwrap()])
}

/// Whether the JWS was accepted, whatever became of its payload after that. A cache changes nothing of it, also not when
/// the same is sent again.
fn accepts([tokens, cached]: &[JwtAuth; 2], jws: &str) -> bool {
    let accepted = is_accepted(tokens, jws);
    assert_eq!([is_accepted(cached, jws), is_accepted(cached, jws)], [accepted; 2], "{jws}");
    accepted
}

fn is_accepted(tokens: &JwtAuth, jws: &str) -> bool {
    match ask(tokens, &format!("Bearer {jws}")).unwrap() {
        Ok(_) => true,
        Err(rejection) => matches!(
            rejection.source().and_then(|reason| reason.downcast_ref()),
            Some(
                TokenError::MalformedClaims
                    | TokenError::MissingClaim(_)
                    | TokenError::Issuer
                    | TokenError::Audience
                    | TokenError::Expired
                    | TokenError::NotYetValid
            )
        ),
    }
}

/// The numbers of those vectors with which we disagree.
fn disagreements(file: &Value, expected: usize) -> BTreeSet<u64> {
    let mut count = 0;
    let mut wrong = BTreeSet::new();
    for group in list(&file["testGroups"]) {
        let jwk = group.get("public").or(group.get("private")).unwrap();
        let tokens = validator(jwk);
        for test in list(&group["tests"]) {
            // Encrypted tokens are none that we know, valid or not.
            let valid = test["result"] == "valid" && test.get("jws").is_some();
            let token = test.get("jws").or(test.get("jwe")).unwrap();
            let token = &token.as_str().map_or_else(|| token.to_string(), str::to_owned);
            if tokens.as_ref().is_some_and(|tokens| accepts(tokens, token)) != valid {
                wrong.insert(test["tcId"].as_u64().unwrap());
            }
            count += 1;
        }
    }
    assert_eq!(count, expected, "vectors were lost");
    wrong
}

/// Of 401 vectors, these eight are answered differently, each for its reason.
#[test]
fn wycheproof_json_web_signature() {
    let Some(file) = read("wycheproof/json_web_signature_test.json") else { return };
    let es512_is_not_supported = [347, 351];
    let valid_under_ps384_with_a_key_for_ps256 = [346, 350];
    let valid_with_a_character_outside_of_base64 = [372, 373];
    let invalid_and_yet_the_same_bytes_as_the_valid_357 = [367, 370];
    assert_eq!(
        disagreements(&file, 401),
        BTreeSet::from_iter(
            [
                es512_is_not_supported,
                valid_under_ps384_with_a_key_for_ps256,
                valid_with_a_character_outside_of_base64,
                invalid_and_yet_the_same_bytes_as_the_valid_357,
            ]
            .concat()
        )
    );
}

/// Of 83 vectors, two are answered differently.
#[test]
fn wycheproof_json_web_crypto() {
    let Some(file) = read("wycheproof/json_web_crypto_test.json") else { return };
    // A key with the weakness ROCA: recognising those is left to whoever publishes keys.
    let roca = 46;
    // A set of an HMAC and an EC key, which is refused as such there. Here each key is held to its own
    // algorithm, and sets of mixed families are what users have.
    let mixed = 47;
    assert_eq!(disagreements(&file, 83), BTreeSet::from([roca, mixed]));
}

#[test]
fn wycheproof_json_web_encryption_is_refused() {
    let Some(file) = read("wycheproof/json_web_encryption_test.json") else { return };
    let secret = DecodingKey::from_secret(&[7; 32]);
    let tokens = with_cache_and_without(&Keys::new(Algorithm::HS256, secret)).unwrap();
    let mut count = 0;
    for group in list(&file["testGroups"]) {
        let own = validator(group.get("public").or(group.get("private")).unwrap());
        for test in list(&group["tests"]) {
            let jwe = test["jwe"].as_str().unwrap();
            assert!(!accepts(&tokens, jwe), "{}", test["tcId"]);
            assert!(!own.as_ref().is_some_and(|own| accepts(own, jwe)), "{}", test["tcId"]);
            count += 1;
        }
    }
    assert_eq!(count, 139, "vectors were lost");
}

/// The primitives, through the seam that tokens are verified at.
#[test]
fn wycheproof_primitives() {
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
        // Curves that no algorithm of ours has: their keys are no keys for any.
        ("ecdsa_secp256k1_sha256_p1363", None),
        ("ecdsa_secp521r1_sha512_p1363", None),
        ("ed448", None),
    ];
    for (name, algorithm) in files {
        let path = format!("wycheproof/primitives/{name}_test.json");
        let Some(file) = read(&path) else { return };
        for group in list(&file["testGroups"]) {
            match algorithm {
                Some(algorithm) => primitives(name, algorithm, group),
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

fn primitives(name: &str, algorithm: Algorithm, group: &Value) {
    // A JWS has the whole tag (RFC 7518 §3.2); HMAC's vectors have cut ones, too.
    let whole = group.get("tagSize").is_none_or(|size| {
        size == match algorithm {
            Algorithm::HS256 => 256,
            Algorithm::HS384 => 384,
            _ => 512,
        }
    });
    for test in list(&group["tests"]) {
        let key = match test.get("key") {
            Some(secret) => DecodingKey::from_secret(&hex(secret)),
            None => public_key(group),
        };
        let signature = test.get("sig").or(test.get("tag")).unwrap();
        let held = AwsLc::default()
            .prepare(algorithm, &key)
            .is_ok_and(|key| key.verify(&hex(&test["msg"]), &hex(signature)).is_ok());
        let expected = whole && test["result"] == "valid";
        // What is "acceptable" may go either way.
        if test["result"] != "acceptable" {
            assert_eq!(held, expected, "{name} {}: {}", test["tcId"], test["comment"]);
        }
    }
}

fn public_key(group: &Value) -> DecodingKey {
    let key = &group["publicKey"];
    if key.get("modulus").is_some() {
        DecodingKey::from_rsa_raw_components(
            &positive(&key["modulus"]),
            &positive(&key["publicExponent"]),
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

/// ASN.1 puts a zero before a number whose first bit is set.
fn positive(number: &Value) -> Vec<u8> {
    hex(number).into_iter().skip_while(|byte| *byte == 0).collect()
}

#[test]
fn examples_of_the_rfcs() {
    let Some(file) = read("rfc_examples.json") else { return };
    let mut verified = 0;
    for case in list(&file["cases"]) {
        let Some(compact) = case["compact"].as_str() else { continue };
        let accepted = validator(&case["jwk"]).is_some_and(|tokens| accepts(&tokens, compact));
        assert_eq!(accepted, case["signature"] == "valid", "{}", case["name"]);
        verified += usize::from(accepted);
    }
    assert!(verified >= 4, "{verified}");
}

/// RFC 7520 and RFC 7797: what is compact and of our algorithms verifies, as published and no other way.
#[test]
fn jose_cookbook() {
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
    for (name, good) in compact {
        let Some(file) = read(&format!("jose-cookbook/{name}")) else { return };
        let mut key = file["input"]["key"].clone();
        // The key of 4.2 says nothing of PS384, which is what it signs with: a caller would.
        let jws = file["output"]["compact"].as_str().unwrap_or_default();
        let header = jws.split('.').next().unwrap();
        key["alg"] = file["signing"]["protected"]["alg"].clone();
        let tokens = validator(&key);
        assert_eq!(tokens.as_ref().is_some_and(|tokens| accepts(tokens, jws)), good, "{name}");
        let Some(tokens) = tokens else { continue };
        // Neither with another payload, nor in its other serialisations.
        let signature = jws.rsplit('.').next().unwrap();
        assert!(!accepts(&tokens, &format!("{header}.{}.{signature}", encode("{}"))), "{name}");
        for other in ["json", "json_flat"] {
            assert!(!accepts(&tokens, &file["output"][other].to_string()), "{name}");
        }
    }
}
