//! Attacks with the header of a token: its algorithm, its keys and its extensions.

use std::net::TcpListener;

use serde_json::json;
use tower_auth::{
    JwtAuth,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    token::{AUDIENCE, ISSUER, Signer, claims, encode},
};

use super::{Target, parts};

#[test]
fn alg_none_in_any_case_is_rejected() {
    let target = Target::new();
    let signed = target.rsa.token(&claims());
    let [_, payload, signature] = parts(&signed);
    for bits in 0..16_u32 {
        let none: String = "none"
            .chars()
            .enumerate()
            .map(|(at, c)| if bits >> at & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let header = encode(json!({ "alg": none, "kid": "RS256" }).to_string());
        for signature in ["", signature] {
            let error = target.rejects(&format!("{header}.{payload}.{signature}"));
            assert_eq!(error, TokenError::Algorithm, "{none}");
        }
    }
    for unknown in ["none ", " none", "none\0", "nоne", "", "null", "unsecured"] {
        let header = encode(json!({ "alg": unknown }).to_string());
        assert_eq!(
            target.rejects(&format!("{header}.{payload}.")),
            TokenError::Algorithm,
            "{unknown:?}"
        );
    }
}

/// Tries every form of a public key that a careless verifier might use as an HMAC secret.
#[test]
fn hs256_token_signed_with_encoded_public_key_is_rejected() {
    use aws_lc_rs::{encoding::AsDer, signature::RsaPublicKeyComponents};
    use base64::{Engine, engine::general_purpose::STANDARD};

    let target = Target::new();
    let jwk = target.rsa.jwk();
    let part = |name: &str| {
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()
    };
    let (n, e) = (part("n"), part("e"));
    let components = RsaPublicKeyComponents { n: n.clone(), e };
    let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = components.as_der().unwrap();
    let der = der.as_ref().to_vec();
    let base64 = STANDARD.encode(&der);
    let lines = |width: usize, end: &str| {
        let lines: Vec<_> = base64.as_bytes().chunks(width).map(String::from_utf8_lossy).collect();
        let (begin, finish) = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----");
        format!("{begin}{end}{}{end}{finish}", lines.join(end))
    };
    let secrets = [
        der,
        base64.clone().into_bytes(),
        lines(64, "\n").into_bytes(),
        format!("{}\n", lines(64, "\n")).into_bytes(),
        lines(64, "\r\n").into_bytes(),
        lines(usize::MAX, "\n").into_bytes(),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        n,
        jwk.to_string().into_bytes(),
        b"RS256".to_vec(),
        Vec::new(),
    ];
    for kid in ["RS256", "ES256", "ES384", "EdDSA", "HS256"] {
        for secret in &secrets {
            let attacker = Signer::secret("HS256", Some(kid), secret);
            target.rejects(&attacker.token(&claims()));
        }
    }
    // The x coordinate of an EC or Ed25519 key must not work as a secret, either.
    for signer in [&target.p256, &target.p384, &target.ed] {
        let x = signer.jwk()["x"].as_str().unwrap().as_bytes().to_vec();
        target.rejects(&Signer::secret("HS256", signer.id.as_deref(), &x).token(&claims()));
        target.rejects(&Signer::secret("HS256", None, &x).token(&claims()));
    }
}

/// The same attack on keys that hold exactly the bytes that a careless verifier would use.
#[test]
fn hs256_token_signed_with_raw_public_key_is_rejected() {
    use aws_lc_rs::{
        rsa::{KeyPair, KeySize},
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
    };
    use tower_auth::jwt::{Algorithm, DecodingKey};

    let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap().public_key().as_ref().to_vec();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ec = ec.public_key().as_ref().to_vec();
    let ed = Ed25519KeyPair::generate().unwrap().public_key().as_ref().to_vec();
    for (algorithm, bytes, key) in [
        (Algorithm::RS256, &rsa, DecodingKey::from_rsa_der(&rsa)),
        (Algorithm::ES256, &ec, DecodingKey::from_ec_der(&ec)),
        (Algorithm::EdDSA, &ed, DecodingKey::from_ed_der(&ed)),
    ] {
        for keys in [Keys::named("k", algorithm, key.clone()), Keys::new(algorithm, key.clone())] {
            let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
            for id in [Some("k"), None] {
                let forged = Signer::secret("HS256", id, bytes).token(&claims());
                assert_eq!(
                    authenticate_bearer(&tokens, &forged).unwrap_err(),
                    TokenError::UnknownKey
                );
            }
        }
        // A builder rejects such a configuration, too.
        let confused = JwtAuth::builder(key).issuer(ISSUER).audience(AUDIENCE);
        assert!(confused.algorithms([Algorithm::HS256]).build().is_err());
    }
}

#[test]
fn hostile_kid_is_rejected() {
    let target = Target::new();
    let long = "k".repeat(8_000);
    for kid in [
        "../../../dev/null",
        "/dev/null",
        "file:///etc/passwd",
        "http://127.0.0.1/key",
        "' OR '1'='1",
        "x' UNION SELECT 'key';--",
        "key | id",
        "$(id)",
        "HS256\0",
        "HS256 ",
        " HS256",
        "hs256",
        "HS256\n",
        "",
        "__proto__",
        "constructor",
        "ＨＳ256",
        &long,
    ] {
        for secret in [&b""[..], b"\0", b"key", kid.as_bytes()] {
            let error =
                target.rejects(&Signer::secret("HS256", Some(kid), secret).token(&claims()));
            assert_eq!(error, TokenError::UnknownKey, "{kid:?}");
        }
    }
    for kid in [json!(1), json!(null), json!(["HS256"]), json!({ "kid": "HS256" }), json!(true)] {
        let header = json!({ "alg": "HS256", "kid": kid });
        let error = target.rejects(&target.secret.token_with(&header, &claims()));
        assert_eq!(error, TokenError::MalformedHeader, "{kid}");
    }
}

#[test]
fn header_keys_are_never_fetched_or_trusted() {
    let target = Target::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    for algorithm in ["RS256", "ES256", "EdDSA", "HS256"] {
        let attacker = Signer::generate(algorithm, algorithm);
        for (member, value) in [
            ("jku", json!(url)),
            ("x5u", json!(url)),
            ("jwk", attacker.jwk()),
            ("x5c", json!([encode("certificate")])),
            ("x5t", json!("AAAA")),
            ("x5t#S256", json!("AAAA")),
        ] {
            for kid in [algorithm, "another"] {
                let header = json!({ "alg": algorithm, "kid": kid, member: value });
                target.rejects(&attacker.token_with(&header, &claims()));
            }
            // A valid token stays valid, because the member is ignored.
            let signer = target.signers().into_iter().find(|signer| signer.algorithm == algorithm);
            let header = json!({ "alg": algorithm, "kid": algorithm, member: value });
            target.accepts(&signer.unwrap().token_with(&header, &claims()));
        }
    }
    assert!(listener.accept().is_err(), "the key was fetched");
}

#[test]
fn crit_and_b64_headers_are_rejected() {
    let target = Target::new();
    for (member, value) in [
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("crit", json!(["x-ext"])),
        ("crit", json!(["b64"])),
        ("crit", json!("b64")),
        ("crit", json!(null)),
        ("crit", json!(true)),
        ("crit", json!({})),
        ("crit", json!([1])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("b64", json!("false")),
    ] {
        let header = json!({ "alg": "HS256", "kid": "HS256", member: value });
        let error = target.rejects(&target.secret.token_with(&header, &claims()));
        assert_eq!(error, TokenError::CriticalHeader, "{member}: {value}");
    }
    // RFC 7797: an unencoded payload.
    let header = encode(
        json!({ "alg": "HS256", "kid": "HS256", "b64": false, "crit": ["b64"] }).to_string(),
    );
    assert_eq!(target.rejects(&target.secret.sign(&header, "payload")), TokenError::CriticalHeader);
}
