//! Known attacks on JWT validators. The validator under test holds one key of each family and
//! accepts every algorithm that these keys allow.

use std::net::TcpListener;

use serde_json::{Value, json};
use tower_auth::{
    JwtAuth, RejectionKind,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::{
    authenticate::{authenticate, authenticate_bearer},
    token::{AUDIENCE, ISSUER, Signer, claims, encode},
};

struct Target {
    tokens: JwtAuth,
    rsa: Signer,
    p256: Signer,
    p384: Signer,
    ed: Signer,
    secret: Signer,
}

impl Target {
    fn new() -> Self {
        let [rsa, p256, p384, ed, secret] =
            ["RS256", "ES256", "ES384", "EdDSA", "HS256"].map(|name| Signer::generate(name, name));
        let keys: Vec<Value> = [&rsa, &p256, &p384, &ed, &secret].map(Signer::jwk).into();
        let keys = Keys::from_json(json!({ "keys": keys }).to_string()).unwrap();
        let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
        Self { tokens, rsa, p256, p384, ed, secret }
    }

    fn signers(&self) -> [&Signer; 5] {
        [&self.rsa, &self.p256, &self.p384, &self.ed, &self.secret]
    }

    #[track_caller]
    fn rejects(&self, token: &str) -> TokenError {
        authenticate_bearer(&self.tokens, token).unwrap_err()
    }

    #[track_caller]
    fn accepts(&self, token: &str) {
        authenticate_bearer(&self.tokens, token).unwrap();
    }
}

/// Splits a token into header, payload and signature.
fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().unwrap()
}

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

#[test]
fn empty_truncated_or_extended_signature_is_rejected() {
    let target = Target::new();
    for signer in target.signers() {
        let token = signer.token(&claims());
        target.accepts(&token);
        let [header, payload, signature] = parts(&token);
        assert_eq!(target.rejects(&format!("{header}.{payload}.")), TokenError::Signature);
        assert_eq!(target.rejects(&format!("{header}.{payload}")), TokenError::NotCompactJws);
        for length in 1..signature.len() {
            target.rejects(&format!("{header}.{payload}.{}", &signature[..length]));
        }
        let extended = format!("{header}.{payload}.{signature}AAAA");
        assert_eq!(target.rejects(&extended), TokenError::Signature);
        let zeros = encode(vec![0; signature.len() * 3 / 4]);
        assert_eq!(target.rejects(&format!("{header}.{payload}.{zeros}")), TokenError::Signature);
    }
}

/// CVE-2022-21449 and similar: `r` and `s` of zero, one, the curve order and all ones.
#[test]
fn ecdsa_signature_of_zero_one_or_curve_order_is_rejected() {
    let target = Target::new();
    let order_256 = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order_384 = "ffffffffffffffffffffffffffffffffffffffffffffffff\
                     c7634d81f4372ddf581a0db248b0a77aecec196accc52973";
    for (signer, order) in [(&target.p256, order_256), (&target.p384, order_384)] {
        let order = hex(order);
        let size = order.len();
        let number = |low: u8| {
            let mut number = vec![0; size];
            number[size - 1] = low;
            number
        };
        let values = [number(0), number(1), order, vec![0xff; size]];
        let token = signer.token(&claims());
        let [header, payload, _] = parts(&token);
        for (r, s) in values.iter().flat_map(|r| values.iter().map(move |s| (r, s))) {
            let signature = encode([r.as_slice(), s.as_slice()].concat());
            let error = target.rejects(&format!("{header}.{payload}.{signature}"));
            assert_eq!(error, TokenError::Signature);
        }
    }
}

#[test]
fn ecdsa_signature_in_der_is_rejected() {
    let target = Target::new();
    for signer in [&target.p256, &target.p384] {
        let token = signer.token(&claims());
        let [header, payload, signature] = parts(&token);
        let signature = decode(signature);
        let (r, s) = signature.split_at(signature.len() / 2);
        let integer = |number: &[u8]| {
            let number: Vec<_> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
            let pad = number.first().is_some_and(|first| first & 0x80 != 0);
            let mut der = vec![2, u8::try_from(number.len() + usize::from(pad)).unwrap()];
            der.extend(pad.then_some(0));
            der.extend(number);
            der
        };
        let body = [integer(r), integer(s)].concat();
        let der = [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat();
        let error = target.rejects(&format!("{header}.{payload}.{}", encode(der)));
        assert_eq!(error, TokenError::Signature);
        // r and s swapped.
        let swapped = encode([s, r].concat());
        target.rejects(&format!("{header}.{payload}.{swapped}"));
    }
}

/// ECDSA signatures with `s` and with `n - s` both verify, and RFC 7518 §3.4 does not forbid it. No
/// code, such as a cache key, may therefore assume that a token has only one valid signature.
#[test]
fn alternative_signature_is_accepted_only_for_ecdsa_n_minus_s() {
    let target = Target::new();
    let token = target.ed.token(&claims());
    let [header, payload, signature] = parts(&token);
    // Ed25519: s + L, which RFC 8032 §5.1.7 forbids.
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut signature = decode(signature);
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let error = target.rejects(&format!("{header}.{payload}.{}", encode(signature)));
    assert_eq!(error, TokenError::Signature);

    // ECDSA: n - s in place of s, which is valid.
    let token = target.p256.token(&claims());
    let [header, payload, signature] = parts(&token);
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut signature = decode(signature);
    let mut borrow = 0;
    for (byte, n) in signature[32..].iter_mut().zip(order).rev() {
        let difference = i16::from(n) - i16::from(*byte) - borrow;
        *byte = difference.to_le_bytes()[0];
        borrow = i16::from(difference < 0);
    }
    target.accepts(&format!("{header}.{payload}.{}", encode(signature)));

    // RSA: a leading zero byte.
    let token = target.rsa.token(&claims());
    let [header, payload, signature] = parts(&token);
    let padded = [vec![0], decode(signature)].concat();
    target.rejects(&format!("{header}.{payload}.{}", encode(padded)));
}

#[test]
fn signature_by_key_of_another_algorithm_is_rejected() {
    let target = Target::new();
    for (signer, algorithm, kid) in [
        (&target.p256, "ES384", "ES384"),
        (&target.p256, "ES256", "ES384"),
        (&target.p384, "ES256", "ES256"),
        (&target.p384, "ES384", "ES256"),
        (&target.ed, "ES256", "EdDSA"),
        (&target.ed, "EdDSA", "ES256"),
        (&target.rsa, "PS256", "RS256"),
        (&target.rsa, "RS512", "RS256"),
    ] {
        let header = json!({ "alg": algorithm, "kid": kid });
        target.rejects(&signer.token_with(&header, &claims()));
    }
}

#[test]
fn non_canonical_base64url_is_rejected() {
    let target = Target::new();
    let token = target.secret.token(&claims());
    let [header, payload, signature] = parts(&token);
    // 32 bytes take 43 characters. Two bits of the last one are unused and must be zero.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(last).unwrap();
    for low in 1..4 {
        let other = alphabet.chars().nth(value ^ low).unwrap();
        let token = format!("{header}.{payload}.{}{other}", &signature[..42]);
        assert_eq!(target.rejects(&token), TokenError::NotCompactJws);
    }
    // The malformed text is signed as it is, so the signature is correct.
    for extra in ["=", "==", " ", "\n", "+", "/", "~", "%3D", "\u{e9}"] {
        for token in [
            target.secret.sign(&format!("{header}{extra}"), payload),
            target.secret.sign(&format!("{extra}{header}"), payload),
            target.secret.sign(header, &format!("{payload}{extra}")),
            target.secret.sign(header, &format!("{extra}{payload}")),
            format!("{token}{extra}"),
        ] {
            let field = format!("Bearer {token}");
            let Ok(field) = http::HeaderValue::from_bytes(field.as_bytes()) else { continue };
            let request = http::Request::builder().header("authorization", field).body(()).unwrap();
            let head = request.into_parts().0;
            use tower_auth::Authenticator;
            let result =
                futures_util::FutureExt::now_or_never(target.tokens.authenticate(&head).unwrap());
            // Whitespace around a field value is not part of it (RFC 9110 §5.5).
            let trimmed = extra.trim().is_empty() && token.ends_with(extra);
            assert_eq!(result.unwrap().result().is_ok(), trimmed, "{token:?}");
        }
    }
    for malformed in [
        format!("{header}.{payload}.{signature}."),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}..{payload}.{signature}"),
    ] {
        assert_eq!(target.rejects(&malformed), TokenError::NotCompactJws, "{malformed}");
    }
}

#[test]
fn whitespace_control_and_non_utf8_bytes_are_rejected() {
    let target = Target::new();
    let token = target.secret.token(&claims());
    let [header, payload, signature] = parts(&token);
    for extra in ["\t", "\u{a0}", "é", "\u{200b}", "%20", "\"", "\\"] {
        for token in [
            format!("{extra}{token}"),
            format!("{token}{extra}x"),
            format!("{header}{extra}.{payload}.{signature}"),
            format!("{header}.{extra}{payload}.{signature}"),
        ] {
            if let Some(result) = authenticate(&target.tokens, &format!("Bearer {token}")) {
                assert!(result.is_err(), "{token:?}");
            }
        }
    }
    for byte in 0x80..=0xff_u8 {
        let mut field = format!("Bearer {token}").into_bytes();
        field.push(byte);
        let field = http::HeaderValue::from_bytes(&field).unwrap();
        let request = http::Request::builder().header("authorization", field).body(()).unwrap();
        let head = request.into_parts().0;
        use tower_auth::Authenticator;
        let result =
            futures_util::FutureExt::now_or_never(target.tokens.authenticate(&head).unwrap());
        assert_eq!(
            result.unwrap().into_result().unwrap_err().kind(),
            RejectionKind::InvalidCredentials
        );
    }
    // JSON with invalid UTF-8, a byte-order mark or NUL.
    for json in [&b"\xff\xfe{}"[..], b"\xef\xbb\xbf{}", b"{\"a\":\"\xc0\x80\"}", b"{}\0", b"\0{}"] {
        let header = encode(json!({ "alg": "HS256", "kid": "HS256" }).to_string());
        let error = target.rejects(&target.secret.sign(&header, &encode(json)));
        assert_eq!(error, TokenError::MalformedClaims, "{json:?}");
        let error =
            target.rejects(&target.secret.sign(&encode(json), &encode(claims().to_string())));
        assert_eq!(error, TokenError::MalformedHeader, "{json:?}");
    }
}

#[test]
fn duplicate_json_names_at_any_level_are_rejected() {
    let target = Target::new();
    let valid = claims().to_string();
    let header = encode(r#"{"alg":"HS256","kid":"HS256"}"#);
    for duplicate in [
        r#"{"alg":"HS256","alg":"HS256","kid":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256","kid":"HS256"}"#,
        r#"{"alg":"HS256","kid":"x","\u006bid":"HS256"}"#,
        r#"{"alg":"HS256","kid":"HS256","x":1,"x":1}"#,
        r#"{"alg":"HS256","kid":"HS256","x":[{"y":{"z":1,"z":1}}]}"#,
    ] {
        let error = target.rejects(&target.secret.sign(&encode(duplicate), &encode(&valid)));
        assert_eq!(error, TokenError::MalformedHeader, "{duplicate}");
    }
    for duplicate in [
        r#""sub":"admin""#,
        r#""aud":"x""#,
        r#""exp":4102444800"#,
        r#""s\u0075b":"admin""#,
        r#""x":1,"x":1"#,
        r#""x":{"y":1,"y":2}"#,
        r#""x":[[{"y":{"z":1,"z":1}}]]"#,
    ] {
        let payload = format!("{},{duplicate}}}", valid.strip_suffix('}').unwrap());
        let error = target.rejects(&target.secret.sign(&header, &encode(&payload)));
        assert_eq!(error, TokenError::MalformedClaims, "{duplicate}");
    }
}

#[test]
fn invalid_numeric_dates_are_rejected() {
    let target = Target::new();
    let valid = claims().to_string();
    let header = encode(r#"{"alg":"HS256","kid":"HS256"}"#);
    for claim in ["exp", "nbf", "iat"] {
        let rest = without(&valid, claim);
        for number in [
            r#""4102444800""#,
            "NaN",
            "Infinity",
            "-1",
            "-0.5",
            "-0",
            "1e400",
            "9223372036854775808",
            "18446744073709551616",
            "1e300",
            "0x10",
            "01",
            "1.",
            ".5",
            "1e",
            "true",
            "null",
            "[]",
            "{}",
            "[4102444800]",
            "9007199254740992",
        ] {
            let payload = format!(r#"{{"{claim}":{number},{rest}"#);
            let error = target.rejects(&target.secret.sign(&header, &encode(&payload)));
            assert_eq!(error, TokenError::MalformedClaims, "{claim}: {number}");
        }
    }
    for number in ["4102444800", "4102444800.5", "4.1024448e9", "4102444800.0", "9007199254740991"]
    {
        let payload = format!(r#"{{"exp":{number},{}"#, without(&valid, "exp"));
        target.accepts(&target.secret.sign(&header, &encode(&payload)));
    }
}

#[test]
fn iss_or_aud_of_wrong_type_or_value_is_rejected() {
    let target = Target::new();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        target.secret.token(&claims)
    };
    for malformed in [json!([ISSUER]), json!({ "iss": ISSUER }), json!(1), json!(null), json!(true)]
    {
        assert_eq!(target.rejects(&with("iss", malformed)), TokenError::MalformedClaims);
    }
    for other in [
        "",
        "https://issuer",
        "https://issuer.example/",
        "https://issuer.example.evil.example",
        "https://evil.example/https://issuer.example",
        "https://issuer.example\0",
        "https://ISSUER.example",
        "https://issuer.example#",
        "https://issuer.example?",
    ] {
        assert_eq!(target.rejects(&with("iss", other.into())), TokenError::Issuer, "{other:?}");
    }
    for malformed in [
        json!({ "aud": AUDIENCE }),
        json!([[AUDIENCE]]),
        json!([1, AUDIENCE]),
        json!(1),
        json!(null),
    ] {
        assert_eq!(target.rejects(&with("aud", malformed)), TokenError::MalformedClaims);
    }
    for other in [
        json!(""),
        json!([]),
        json!([""]),
        json!("https://api"),
        json!("https://api.example "),
        json!("https://api.example https://other.example"),
        json!("https://api.example,x"),
        json!("*"),
    ] {
        assert_eq!(target.rejects(&with("aud", other)), TokenError::Audience);
    }
}

#[test]
fn encrypted_and_nested_tokens_are_rejected() {
    let target = Target::new();
    let inner = target.secret.token(&claims());
    let header = json!({ "alg": "HS256", "kid": "HS256", "cty": "JWT" }).to_string();
    // A signed token as the payload of a signed token.
    let nested = target.secret.sign(&encode(header), &encode(&inner));
    assert_eq!(target.rejects(&nested), TokenError::MalformedClaims);
    let [header, payload, signature] = parts(&inner);
    for jwe in [
        format!("{header}.{payload}.{payload}.{payload}.{signature}"),
        format!("{header}....{signature}"),
        encode(&inner),
        json!({ "payload": payload, "signatures": [{ "protected": header, "signature": signature }] })
            .to_string(),
        json!({ "payload": payload, "protected": header, "signature": signature }).to_string(),
    ] {
        assert_eq!(target.rejects(&jwe), TokenError::NotCompactJws);
    }
    for alg in ["RSA-OAEP", "dir", "A256KW", "ECDH-ES", "PBES2-HS256+A128KW"] {
        let header =
            json!({ "alg": alg, "enc": "A256GCM", "kid": "RS256", "p2c": 2_147_483_647_u32 });
        assert_eq!(
            target.rejects(&target.rsa.token_with(&header, &claims())),
            TokenError::Algorithm
        );
    }
}

#[test]
fn scope_substrings_and_lookalikes_do_not_match() {
    use tower_auth::{Policy, RequireScopes};

    let target = Target::new();
    let policy = RequireScopes::all(["admin"]);
    let head = http::Request::new(()).into_parts().0;
    let allows = |scope: Value| {
        let mut claims = claims();
        claims["scope"] = scope;
        let caller = authenticate_bearer(&target.tokens, &target.secret.token(&claims)).unwrap();
        policy.evaluate(&caller, &head).into_ready().unwrap().is_ok()
    };
    for scope in [json!("admin"), json!("a admin b"), json!(["x", "admin"])] {
        assert!(allows(scope));
    }
    for scope in [
        "admi",
        "admins",
        "xadmin",
        "admin:read",
        "ADMIN",
        "Admin",
        "аdmin",
        "ａdmin",
        "admin\u{200b}",
        "admin\u{301}",
        "admin\0",
        "x\tadmin",
        "x\nadmin",
        "x\u{a0}admin",
        "x\u{2003}admin",
        "x,admin",
        "x;admin",
        "x+admin",
        "\"admin\"",
        "*",
        "%61dmin",
        "ad min",
        "",
    ] {
        assert!(!allows(scope.into()), "{scope:?}");
    }
    for scope in [json!(["site admin"]), json!(["x admin"]), json!(["admin "]), json!([])] {
        assert!(!allows(scope.clone()), "{scope}");
    }
}

#[test]
fn two_authorization_headers_or_joined_credentials_are_malformed() {
    use futures_util::FutureExt;
    use tower_auth::Authenticator;

    let target = Target::new();
    let token = target.secret.token(&claims());
    let valid = format!("Bearer {token}");
    for (first, second) in
        [(&*valid, "Bearer x"), ("Bearer x", &*valid), (&*valid, &*valid), ("Basic eA==", &*valid)]
    {
        let request = http::Request::builder().header("authorization", first);
        let head = request.header("authorization", second).body(()).unwrap().into_parts().0;
        let result = target.tokens.authenticate(&head).unwrap().now_or_never().unwrap();
        assert_eq!(result.into_result().unwrap_err().kind(), RejectionKind::MalformedRequest);
    }
    for joined in [
        format!("{valid}, {valid}"),
        format!("{valid},{valid}"),
        format!("{valid} {token}"),
        format!("{valid}, Basic eA=="),
        format!("Bearer x, {valid}"),
    ] {
        let result = authenticate(&target.tokens, &joined).unwrap();
        assert_eq!(result.unwrap_err().kind(), RejectionKind::MalformedRequest, "{joined}");
    }
    // These credentials are for the Basic scheme, so `JwtAuth` ignores them.
    assert!(authenticate(&target.tokens, &format!("Basic eA==, {valid}")).is_none());
}

fn without(json: &str, name: &str) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    value.as_object_mut().unwrap().remove(name);
    value.to_string().strip_prefix('{').unwrap().to_owned()
}

fn decode(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
