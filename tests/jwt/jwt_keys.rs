//! Which key verifies which token (RFC 7517, RFC 8725 §3.1).

use std::fs;

use serde_json::{Value, json};
use tower_auth::{
    ConfigError, JwtAuth,
    jwt::{Algorithm, DecodingKey, JwtAuthBuilder, KeySource, Keys, TokenError},
};
use tower_auth_test_support::{
    ROOT,
    ask::bearer,
    token::{AUDIENCE, ISSUER, Signer, claims, encode},
};

const ALGORITHMS: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];

fn builder(keys: impl Into<KeySource>) -> JwtAuthBuilder {
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}

fn set(members: impl IntoIterator<Item = Value>) -> Keys {
    Keys::from_json(json!({ "keys": members.into_iter().collect::<Vec<_>>() }).to_string()).unwrap()
}

fn validator(members: impl IntoIterator<Item = Value>) -> JwtAuth {
    builder(set(members)).build().unwrap()
}

fn without(mut jwk: Value, member: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(member);
    jwk
}

/// `fixtures/foreign_tokens.py` says how they were made.
#[test]
fn tokens_of_another_implementation_are_accepted() {
    let path = format!("{ROOT}/tests/fixtures/foreign_tokens.json");
    let foreign: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let tokens = builder(Keys::from_json(foreign["jwks"].to_string()).unwrap()).build().unwrap();
    for algorithm in ALGORITHMS {
        let token = foreign["tokens"][algorithm].as_str().unwrap();
        assert_eq!(bearer(&tokens, token).unwrap().subject(), "usér-1", "{algorithm}");
    }
}

#[test]
fn one_set_holds_every_family() {
    let signers = ALGORITHMS.map(|algorithm| Signer::generate(algorithm, algorithm));
    let tokens = validator(signers.iter().map(Signer::jwk));
    for signer in &signers {
        assert!(bearer(&tokens, &signer.token(&claims())).is_ok(), "{}", signer.algorithm);
        // Another key of the same algorithm, under the same name.
        let forged = Signer::generate(signer.algorithm, signer.algorithm).token(&claims());
        assert_eq!(bearer(&tokens, &forged).unwrap_err(), TokenError::Signature);
    }
}

#[test]
fn jsonwebtokens_own_types_are_taken() {
    let signer = Signer::generate("RS256", "1");
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(signer.jwk()).unwrap();
    let one = builder(DecodingKey::from_jwk(&jwk).unwrap()).build().unwrap();
    let several = builder(jsonwebtoken::jwk::JwkSet { keys: vec![jwk] }).build().unwrap();
    for tokens in [one, several] {
        assert!(bearer(&tokens, &signer.token(&claims())).is_ok());
    }
}

#[test]
fn a_key_without_a_name_verifies_tokens_that_name_another() {
    let signer = Signer::generate("ES256", "named by the issuer");
    let tokens = validator([without(signer.jwk(), "kid")]);
    assert!(bearer(&tokens, &signer.token(&claims())).is_ok());
}

#[test]
fn a_token_that_names_no_key_needs_exactly_one_that_fits() {
    let [mut one, two] = ["1", "2"].map(|id| Signer::generate("ES256", id));
    let other = Signer::generate("EdDSA", "3");
    one.id = None;
    let token = one.token(&claims());
    let named = |id: &str| {
        let mut jwk = one.jwk();
        jwk["kid"] = id.into();
        jwk
    };
    assert!(bearer(&validator([named("1"), other.jwk()]), &token).is_ok());
    let several = validator([named("1"), two.jwk()]);
    assert_eq!(bearer(&several, &token).unwrap_err(), TokenError::UnknownKey);
}

#[test]
fn an_unknown_name_is_not_tried_with_named_keys() {
    let [signer, other] = ["1", "2"].map(|id| Signer::generate("ES256", id));
    let tokens = validator([signer.jwk()]);
    for kid in ["2", "", "../1", "1\0", "1' OR '1'='1", "__proto__"] {
        let token = signer.token_with(&json!({ "alg": "ES256", "kid": kid }), &claims());
        assert_eq!(bearer(&tokens, &token).unwrap_err(), TokenError::UnknownKey, "{kid:?}");
    }
    assert_eq!(bearer(&tokens, &other.token(&claims())).unwrap_err(), TokenError::UnknownKey);
}

#[test]
fn keys_of_one_name_are_all_tried_within_bounds() {
    let signers: Vec<_> = (0..6).map(|_| Signer::generate("EdDSA", "same")).collect();
    let tokens = validator(signers.iter().map(Signer::jwk));
    let good = |signer: &Signer| bearer(&tokens, &signer.token(&claims())).is_ok();
    assert_eq!(
        signers.iter().map(good).collect::<Vec<_>>(),
        [true, true, true, true, false, false]
    );
    assert_eq!(tokens.skipped_keys().len(), 2);
}

#[test]
fn a_key_is_held_to_its_algorithm() {
    let as_ps256 = Signer::generate("RS256", "1").under("PS256");
    let mut jwk = as_ps256.jwk();
    jwk["alg"] = "RS256".into();
    let token = as_ps256.token(&claims());
    let listed = [Algorithm::RS256, Algorithm::PS256];

    let held = builder(set([jwk.clone()])).algorithms(listed).build().unwrap();
    assert_eq!(bearer(&held, &token).unwrap_err(), TokenError::UnknownKey);
    // A key that names none is for RS256, unless a list says more.
    let unnamed = without(jwk, "alg");
    let usual = builder(set([unnamed.clone()])).build().unwrap();
    assert_eq!(bearer(&usual, &token).unwrap_err(), TokenError::UnknownKey);
    let listed = builder(set([unnamed])).algorithms(listed).build().unwrap();
    assert!(bearer(&listed, &token).is_ok());
}

#[test]
fn the_list_of_algorithms_narrows_what_keys_allow() {
    let [rsa, ec] = [Signer::generate("RS256", "r"), Signer::generate("ES256", "e")];
    let keys = set([rsa.jwk(), ec.jwk()]);
    let tokens = builder(keys.clone()).algorithms([Algorithm::ES256]).build().unwrap();
    assert!(bearer(&tokens, &ec.token(&claims())).is_ok());
    assert_eq!(bearer(&tokens, &rsa.token(&claims())).unwrap_err(), TokenError::UnknownKey);
    assert_eq!(tokens.skipped_keys()[0].id(), Some("r"));
    assert!(fault(builder(keys).algorithms([Algorithm::EdDSA])).contains("no key can verify"));
}

#[test]
fn bad_members_of_a_set_are_skipped_and_reported() {
    let good = Signer::generate("ES256", "good");
    let small = json!({ "kty": "RSA", "kid": "small", "n": encode([0xff; 128]), "e": "AQAB" });
    let even = json!({ "kty": "RSA", "kid": "e = 2", "n": encode([0xff; 256]), "e": "Ag" });
    let off_curve = json!({
        "kty": "EC", "crv": "P-256", "kid": "off", "x": encode([1; 32]), "y": encode([1; 32]),
    });
    let short = json!({ "kty": "oct", "kid": "short", "alg": "HS256", "k": encode([1; 31]) });
    let tokens = validator([small, even, off_curve, short, good.jwk(), json!("no key")]);
    assert!(bearer(&tokens, &good.token(&claims())).is_ok());
    let skipped = tokens.skipped_keys();
    let skipped: Vec<_> = skipped.iter().map(|key| key.id()).collect();
    assert_eq!(skipped, [None, Some("small"), Some("e = 2"), Some("off"), Some("short")]);
}

#[test]
fn a_given_key_that_is_no_good_is_a_configuration_fault() {
    let secret = |length| DecodingKey::from_secret(&vec![7; length]);
    assert!(fault(builder(secret(31))).contains("shorter than its hash"));
    assert!(fault(builder(Keys::new(Algorithm::HS384, secret(47)))).contains("shorter"));
    assert!(fault(builder(Keys::new(Algorithm::HS512, secret(63)))).contains("shorter"));
    assert!(builder(Keys::new(Algorithm::HS512, secret(64))).build().is_ok());
    assert!(builder(secret(31)).dangerous_allow_short_secrets().build().is_ok());
    assert!(fault(builder(secret(0)).dangerous_allow_short_secrets()).contains("shorter"));
    assert!(fault(builder(Keys::new(Algorithm::ES256, secret(32)))).contains("family"));
    let left_out = builder(secret(32)).algorithms([Algorithm::ES256]);
    assert!(fault(left_out).contains("not among those allowed"));
    assert!(fault(builder(DecodingKey::from_rsa_der(b"junk"))).contains("no RSA public key"));
    let small = DecodingKey::from_rsa_raw_components(&[0xff; 128], &[1, 0, 1]);
    assert!(fault(builder(small)).contains("2048"));
}

/// A backend that believes what it is told must not be told to use a public key as a secret.
#[test]
fn no_backend_is_asked_to_confuse_families() {
    use tower_auth::jwt::crypto::{Backend, InvalidKey, Verifier};

    struct Gullible;

    impl Backend for Gullible {
        fn prepare(&self, _: Algorithm, _: &DecodingKey) -> Result<Box<dyn Verifier>, InvalidKey> {
            panic!("it was asked")
        }
    }

    let public = DecodingKey::from_rsa_der(&[7; 300]);
    let confused = builder(Keys::new(Algorithm::HS256, public)).backend(Gullible);
    assert!(fault(confused).contains("another family"));
}

#[test]
fn ten_thousand_keys_are_no_trouble() {
    let signer = Signer::generate("EdDSA", "last");
    let member = |position| {
        let mut jwk = signer.jwk();
        jwk["kid"] = format!("key {position}").into();
        jwk
    };
    let tokens = validator((0..10_000).map(member).chain([signer.jwk()]));
    assert!(bearer(&tokens, &signer.token(&claims())).is_ok());
}

fn fault(builder: JwtAuthBuilder) -> String {
    let fault: ConfigError = builder.build().unwrap_err();
    fault.to_string()
}
