//! Which members of a JWK set are used (RFC 7517 §4, RFC 7518 §6).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::JwkSet;
use serde_json::{Value, json};
use tower_auth::{
    JwtAuth,
    jwt::{Algorithm, DecodingKey, KeySource, Keys},
};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    token::{AUDIENCE, ISSUER, Signer, claims, encode},
};

fn tokens(keys: impl Into<KeySource>) -> Result<JwtAuth, String> {
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    builder.build().map_err(|error| error.to_string())
}

fn set_of(member: &Value) -> String {
    json!({ "keys": [member] }).to_string()
}

/// Returns the result of a token that `signer` signed, with a set of one member.
fn result_of(signer: &Signer, member: &Value) -> Result<(), String> {
    let tokens = tokens(Keys::from_json(set_of(member)).unwrap())?;
    let result = authenticate_bearer(&tokens, &signer.token(&claims()));
    result.map(drop).map_err(|error| error.to_string())
}

fn with(jwk: &Value, members: &Value) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    jwk
}

fn bytes_of(jwk: &Value, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()
}

fn with_zeros(jwk: &Value, name: &str, zeros: usize) -> Value {
    let mut bytes = vec![0; zeros];
    bytes.extend(bytes_of(jwk, name));
    with(jwk, &json!({ name: encode(bytes) }))
}

fn with_padding(jwk: &Value, name: &str) -> Value {
    let text = jwk[name].as_str().unwrap();
    let padding = "=".repeat((4 - text.len() % 4) % 4);
    with(jwk, &json!({ name: format!("{text}{padding}") }))
}

#[test]
fn number_with_leading_zeros_or_padding_is_read() {
    for algorithm in ["RS256", "PS512", "ES256", "ES384", "EdDSA", "HS256"] {
        let signer = Signer::generate(algorithm, "1");
        let jwk = signer.jwk();
        let numbers: &[&str] = match algorithm {
            "ES256" | "ES384" => &["x", "y"],
            "EdDSA" | "HS256" => &[],
            _ => &["n", "e"],
        };
        for name in numbers {
            for zeros in [1, 2, 3, 8] {
                let result = result_of(&signer, &with_zeros(&jwk, name, zeros));
                assert_eq!(result, Ok(()), "{algorithm}: {name}, {zeros}");
            }
            let padded = with_padding(&with_zeros(&jwk, name, 1), name);
            assert_eq!(result_of(&signer, &padded), Ok(()), "{algorithm}: {name}");
        }
        for name in ["n", "e", "x", "y", "k"] {
            if jwk.get(name).is_some() {
                let padded = with_padding(&jwk, name);
                assert_eq!(result_of(&signer, &padded), Ok(()), "{algorithm}: {name}");
            }
        }
    }
}

#[test]
fn coordinate_without_its_leading_zero_is_read() {
    for (algorithm, length) in [("ES256", 32), ("ES384", 48)] {
        for name in ["x", "y"] {
            let with_zero = || {
                let signer = Signer::generate(algorithm, "1");
                (bytes_of(&signer.jwk(), name)[0] == 0).then_some(signer)
            };
            let signer = std::iter::repeat_with(with_zero).flatten().next().unwrap();
            let jwk = signer.jwk();
            let shortened = encode(&bytes_of(&jwk, name)[1..]);
            assert_eq!(result_of(&signer, &with(&jwk, &json!({ name: shortened }))), Ok(()));
            let moved = encode([&bytes_of(&jwk, name)[1..], &[0]].concat());
            assert!(result_of(&signer, &with(&jwk, &json!({ name: moved }))).is_err());
            let long = encode([&[1], &bytes_of(&jwk, name)[..]].concat());
            let error = result_of(&signer, &with(&jwk, &json!({ name: long }))).unwrap_err();
            assert!(error.contains("too long"), "{length}: {error}");
        }
    }
}

#[test]
fn size_of_a_key_is_checked_without_leading_zeros() {
    let small = [[0; 128], [0xff; 128]].concat();
    let small = json!({ "kty": "RSA", "n": encode(small), "e": "AQAB" });
    let error = tokens(Keys::from_json(set_of(&small)).unwrap()).unwrap_err();
    assert!(error.contains("2048"), "{error}");
}

#[test]
fn zeros_of_configured_rsa_components_are_ignored() {
    let signer = Signer::generate("RS256", "1");
    let (n, e) = (bytes_of(&signer.jwk(), "n"), bytes_of(&signer.jwk(), "e"));
    let [n, e] = [n, e].map(|number| [vec![0], number].concat());
    let tokens = tokens(DecodingKey::from_rsa_raw_components(&n, &e)).unwrap();
    assert!(authenticate_bearer(&tokens, &signer.token(&claims())).is_ok());
}

#[test]
fn odd_optional_member_does_not_drop_a_valid_key() {
    let odd = [
        json!({ "x5c": "MIIB" }),
        json!({ "x5c": [7] }),
        json!({ "x5t": 7, "x5t#S256": null, "x5u": {} }),
        json!({ "use": "" }),
        json!({ "use": null }),
        json!({ "use": 7 }),
        json!({ "use": ["sig"] }),
        json!({ "alg": "" }),
        json!({ "alg": null }),
        json!({ "alg": 7 }),
        json!({ "key_ops": [] }),
        json!({ "key_ops": null }),
        json!({ "key_ops": "verify" }),
        json!({ "key_ops": [7] }),
        json!({ "key_ops": ["verify", "verify", "sign", 7] }),
        json!({ "kid": null }),
        json!({ "kid": 7 }),
        json!({ "kid": "" }),
        json!({ "ext": "yes", "iat": [], "nested": { "n": 1 }, "crv?": "P-521" }),
        json!({ "d": null }),
    ];
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let mut signer = Signer::generate(algorithm, "1");
        for members in &odd {
            if members.get("kid").is_some() {
                signer.id = None;
            }
            let result = result_of(&signer, &with(&signer.jwk(), members));
            assert_eq!(result, Ok(()), "{algorithm}: {members}");
        }
    }
}

#[test]
fn contradictory_member_is_skipped_with_a_reason() {
    let cases = [
        ("RS256", json!({ "use": "enc" }), "its use is not sig"),
        ("RS256", json!({ "use": "jwt-svid" }), "its use is not sig"),
        ("RS256", json!({ "key_ops": ["encrypt"] }), "key_ops do not include verify"),
        ("RS256", json!({ "alg": "ES256" }), "its alg does not match its kty"),
        ("RS256", json!({ "alg": "HS256" }), "its alg does not match its kty"),
        ("RS256", json!({ "alg": "RSA-OAEP" }), "its alg is not a signature algorithm"),
        ("RS256", json!({ "alg": "none" }), "its alg is not a signature algorithm"),
        ("RS256", json!({ "n": 7 }), "missing or not a string"),
        ("RS256", json!({ "n": "" }), "missing or not a string"),
        ("RS256", json!({ "e": null }), "missing or not a string"),
        ("RS256", json!({ "n": "AQ+/" }), "cannot be decoded"),
        ("RS256", json!({ "e": "AQAB====" }), "cannot be decoded"),
        ("RS256", json!({ "e": "Ag" }), "even or 1"),
        ("RS256", json!({ "e": "AQ" }), "even or 1"),
        ("RS256", json!({ "e": "AAAB" }), "even or 1"),
        ("RS256", json!({ "e": "AA" }), "even or 1"),
        ("RS256", json!({ "n": encode([0xfe; 256]) }), "modulus of the RSA key is even"),
        ("RS256", json!({ "kty": "rsa" }), "its kty is not supported"),
        ("RS256", json!({ "kty": 7 }), "missing or not a string"),
        ("ES256", json!({ "alg": "ES384" }), "its alg does not match its curve"),
        ("ES256", json!({ "crv": "P-384", "alg": "" }), "not a public key on the curve"),
        ("ES256", json!({ "crv": "secp256k1" }), "its curve is not P-256 or P-384"),
        ("ES256", json!({ "x": encode([1; 32]) }), "not a public key on the curve"),
        ("ES256", json!({ "x": "AA", "y": "AA" }), "not a public key on the curve"),
        ("EdDSA", json!({ "crv": "X25519" }), "its curve is not Ed25519"),
        ("EdDSA", json!({ "x": encode([9; 31]) }), "not a public key on the curve"),
        ("EdDSA", json!({ "x": encode([&[0][..], &[9; 32]].concat()) }), "not a public key"),
    ];
    for (algorithm, members, reason) in cases {
        let signer = Signer::generate(algorithm, "1");
        let error = result_of(&signer, &with(&signer.jwk(), &members)).unwrap_err();
        assert!(error.contains(reason), "{algorithm}, {members}: {error}");
    }
}

#[test]
fn typed_set_follows_the_same_rules() {
    let signer = Signer::generate("RS256", "1");
    let spiffe = Signer::generate("ES256", "2");
    let spiffe_jwk = with(&spiffe.jwk(), &json!({ "use": "jwt-svid" }));
    let members = [with_zeros(&signer.jwk(), "n", 1), spiffe_jwk];
    let set: JwkSet = serde_json::from_value(json!({ "keys": members })).unwrap();
    let by_default = tokens(&set).unwrap();
    assert!(authenticate_bearer(&by_default, &signer.token(&claims())).is_ok());
    assert!(authenticate_bearer(&by_default, &spiffe.token(&claims())).is_err());
    let allowed = tokens(Keys::from(set).allow_use("jwt-svid")).unwrap();
    assert!(authenticate_bearer(&allowed, &spiffe.token(&claims())).is_ok());
}

#[test]
fn key_with_another_use_is_accepted_only_if_the_use_is_allowed() {
    let signer = Signer::generate("ES256", "1");
    let member = |name: &str| with(&signer.jwk(), &json!({ "use": name }));
    for (name, allowed, is_accepted) in [
        ("jwt-svid", None, false),
        ("jwt-svid", Some("jwt-svid"), true),
        ("jwt-svid", Some("JWT-SVID"), false),
        ("x509-svid", Some("jwt-svid"), false),
        ("sig", Some("jwt-svid"), true),
        ("enc", Some("enc"), false),
    ] {
        let keys = Keys::from_json(set_of(&member(name))).unwrap();
        let keys = match allowed {
            Some(allowed) => keys.allow_use(allowed),
            None => keys,
        };
        let result = tokens(keys.clone());
        assert_eq!(result.is_ok(), is_accepted, "{name}, {allowed:?}");
        let other = Signer::generate("EdDSA", "2");
        let both = tokens(keys.and(Keys::from_json(set_of(&other.jwk())).unwrap())).unwrap();
        let result = authenticate_bearer(&both, &signer.token(&claims()));
        assert_eq!(result.is_ok(), is_accepted, "{name}, {allowed:?}");
        assert_eq!(both.skipped_keys().len(), usize::from(!is_accepted));
    }
}

/// `y` of the points of order 1, 2, 4 and 8 in little-endian order, with the two that have a second
/// form because they are below 19.
fn small_order_points() -> Vec<[u8; 32]> {
    let mut near_p = [0xff; 32];
    near_p[31] = 0x7f;
    let from_hex = |hex: &str| {
        let byte = |at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
        std::array::from_fn(byte)
    };
    let near = |low| {
        let mut point = near_p;
        point[0] = low;
        point
    };
    let mut one = [0; 32];
    one[0] = 1;
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let minus_order_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let ys = [[0; 32], one, near(0xec), near(0xed), near(0xee)];
    let ys = ys.into_iter().chain([from_hex(order_8), from_hex(minus_order_8)]);
    ys.flat_map(|y| {
        let mut negative = y;
        negative[31] |= 0x80;
        [y, negative]
    })
    .collect()
}

/// Returns the errors for a point as it is, and in a `SubjectPublicKeyInfo`, which the backend also
/// reads.
fn rejection_of(point: &[u8]) -> [String; 5] {
    let spki = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], point].concat();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&spki);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
    let [set, set_of_spki] = [point, &spki].map(|x| {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(x) });
        Keys::from_json(set_of(&jwk)).unwrap()
    });
    let [key, key_of_spki] =
        [point, &spki].map(|der| Keys::new(Algorithm::EdDSA, DecodingKey::from_ed_der(der)));
    let all = [set, key, Keys::ed_pem(pem).unwrap(), set_of_spki, key_of_spki];
    all.map(|keys| tokens(keys).err().unwrap_or_default())
}

/// With such a key, `S = 0` and a matching `R` are a signature of every eighth message or more.
#[test]
fn ed25519_key_of_small_order_is_rejected() {
    let points = small_order_points();
    assert_eq!(points.len(), 14);
    let mut forged = 0;
    for point in &points {
        let mut signature = [0; 64];
        let mut forges = |message: u8| {
            points.iter().any(|r| {
                signature[..32].copy_from_slice(r);
                UnparsedPublicKey::new(&ED25519, point).verify(&[message], &signature).is_ok()
            })
        };
        forged += usize::from((0..64).any(&mut forges));
        for error in rejection_of(point) {
            assert!(
                error.contains("has a small order") || error.contains("not encoded as RFC 8032"),
                "{point:?}: {error}"
            );
        }
    }
    // The backend accepts at least the canonical encodings, so the check is needed.
    assert!(forged >= 8, "{forged}");
}

#[test]
fn ed25519_key_that_is_not_canonical_is_rejected() {
    for low in 0xed..=0xff {
        for last in [0x7f, 0xff] {
            let mut point = [0xff; 32];
            (point[0], point[31]) = (low, last);
            for error in rejection_of(&point) {
                assert!(error.contains("not encoded as RFC 8032"), "{low}: {error}");
            }
        }
    }
    for _ in 0..64 {
        let signer = Signer::generate("EdDSA", "1");
        assert_eq!(result_of(&signer, &signer.jwk()), Ok(()));
    }
}

#[test]
fn byte_order_mark_before_a_key_set_is_ignored() {
    let signer = Signer::generate("ES256", "1");
    let set = format!("\u{feff}{}", set_of(&signer.jwk()));
    let tokens = tokens(Keys::from_json(&set).unwrap()).unwrap();
    assert!(authenticate_bearer(&tokens, &signer.token(&claims())).is_ok());
    assert!(Keys::from_json(format!("\u{feff}{set}")).is_err());
    assert!(Keys::from_pem_map("\u{feff}{}").is_ok());
}
