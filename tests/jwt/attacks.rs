//! Known attacks on JWT validators, each by name, against a validator that holds one key of each family
//! and would take any algorithm that they allow.

use std::net::TcpListener;

use serde_json::{Value, json};
use tower_auth::{
    JwtAuth, RejectionKind,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::{
    ask::{ask, bearer},
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
    fn refuses(&self, token: &str) -> TokenError {
        bearer(&self.tokens, token).unwrap_err()
    }

    #[track_caller]
    fn admits(&self, token: &str) {
        bearer(&self.tokens, token).unwrap();
    }
}

/// A token's three parts.
fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().unwrap()
}

#[test]
fn alg_none_in_every_spelling() {
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
            let refusal = target.refuses(&format!("{header}.{payload}.{signature}"));
            assert_eq!(refusal, TokenError::Algorithm, "{none}");
        }
    }
    for odd in ["none ", " none", "none\0", "nоne", "", "null", "unsecured"] {
        let header = encode(json!({ "alg": odd }).to_string());
        assert_eq!(
            target.refuses(&format!("{header}.{payload}.")),
            TokenError::Algorithm,
            "{odd:?}"
        );
    }
}

/// The public key, in every form in which a careless verifier might take it for an HMAC secret.
#[test]
fn rs_to_hs_confusion_with_every_encoding_of_the_public_key() {
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
            let forger = Signer::secret("HS256", Some(kid), secret);
            target.refuses(&forger.token(&claims()));
        }
    }
    // Nor does the point of an EC or an Edwards key serve as a secret.
    for signer in [&target.p256, &target.p384, &target.ed] {
        let x = signer.jwk()["x"].as_str().unwrap().as_bytes().to_vec();
        target.refuses(&Signer::secret("HS256", signer.id.as_deref(), &x).token(&claims()));
        target.refuses(&Signer::secret("HS256", None, &x).token(&claims()));
    }
}

/// The same with keys that hold exactly the bytes that a careless verifier would take.
#[test]
fn rs_to_hs_confusion_with_the_bytes_that_a_key_holds() {
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
                assert_eq!(bearer(&tokens, &forged).unwrap_err(), TokenError::UnknownKey);
            }
        }
        // Nor can anybody configure it.
        let confused = JwtAuth::builder(key).issuer(ISSUER).audience(AUDIENCE);
        assert!(confused.algorithms([Algorithm::HS256]).build().is_err());
    }
}

#[test]
fn kid_injection_and_path_like_kids() {
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
            let refusal =
                target.refuses(&Signer::secret("HS256", Some(kid), secret).token(&claims()));
            assert_eq!(refusal, TokenError::UnknownKey, "{kid:?}");
        }
    }
    for kid in [json!(1), json!(null), json!(["HS256"]), json!({ "kid": "HS256" }), json!(true)] {
        let header = json!({ "alg": "HS256", "kid": kid });
        let refusal = target.refuses(&target.secret.token_with(&header, &claims()));
        assert_eq!(refusal, TokenError::MalformedHeader, "{kid}");
    }
}

#[test]
fn keys_in_the_header_are_never_fetched_or_trusted() {
    let target = Target::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    for algorithm in ["RS256", "ES256", "EdDSA", "HS256"] {
        let forger = Signer::generate(algorithm, algorithm);
        for (member, value) in [
            ("jku", json!(url)),
            ("x5u", json!(url)),
            ("jwk", forger.jwk()),
            ("x5c", json!([encode("certificate")])),
            ("x5t", json!("AAAA")),
            ("x5t#S256", json!("AAAA")),
        ] {
            for kid in [algorithm, "another"] {
                let header = json!({ "alg": algorithm, "kid": kid, member: value });
                target.refuses(&forger.token_with(&header, &claims()));
            }
            // What is not read does no harm to a token that is good without it.
            let signer = target.signers().into_iter().find(|known| known.algorithm == algorithm);
            let header = json!({ "alg": algorithm, "kid": algorithm, member: value });
            target.admits(&signer.unwrap().token_with(&header, &claims()));
        }
    }
    assert!(listener.accept().is_err(), "something came to fetch the key");
}

#[test]
fn unknown_and_empty_crit_and_b64() {
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
        let refusal = target.refuses(&target.secret.token_with(&header, &claims()));
        assert_eq!(refusal, TokenError::CriticalHeader, "{member}: {value}");
    }
    // RFC 7797: the payload as it is, signed as it is.
    let header = encode(
        json!({ "alg": "HS256", "kid": "HS256", "b64": false, "crit": ["b64"] }).to_string(),
    );
    assert_eq!(target.refuses(&target.secret.sign(&header, "payload")), TokenError::CriticalHeader);
}

#[test]
fn empty_and_stripped_signatures() {
    let target = Target::new();
    for signer in target.signers() {
        let token = signer.token(&claims());
        target.admits(&token);
        let [header, payload, signature] = parts(&token);
        assert_eq!(target.refuses(&format!("{header}.{payload}.")), TokenError::Signature);
        assert_eq!(target.refuses(&format!("{header}.{payload}")), TokenError::NotCompactJws);
        for length in 1..signature.len() {
            target.refuses(&format!("{header}.{payload}.{}", &signature[..length]));
        }
        let longer = format!("{header}.{payload}.{signature}AAAA");
        assert_eq!(target.refuses(&longer), TokenError::Signature);
        let zeros = encode(vec![0; signature.len() * 3 / 4]);
        assert_eq!(target.refuses(&format!("{header}.{payload}.{zeros}")), TokenError::Signature);
    }
}

/// CVE-2022-21449 and its kin.
#[test]
fn ecdsa_with_zeros_ones_and_the_order_of_the_curve() {
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
            let refusal = target.refuses(&format!("{header}.{payload}.{signature}"));
            assert_eq!(refusal, TokenError::Signature);
        }
    }
}

#[test]
fn ecdsa_signatures_as_der() {
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
        let refusal = target.refuses(&format!("{header}.{payload}.{}", encode(der)));
        assert_eq!(refusal, TokenError::Signature);
        // Nor with r and s in the other order.
        let swapped = encode([s, r].concat());
        target.refuses(&format!("{header}.{payload}.{swapped}"));
    }
}

/// A second spelling of a signature must not be a second token. ECDSA's own `s` and `n - s` both verify
/// (RFC 7518 §3.4 does not forbid it): nothing here, no cache key either, may rest on there being one.
#[test]
fn signature_malleability() {
    let target = Target::new();
    let token = target.ed.token(&claims());
    let [header, payload, signature] = parts(&token);
    // Ed25519: s + L, which RFC 8032 §5.1.7 refuses.
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut signature = decode(signature);
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let refusal = target.refuses(&format!("{header}.{payload}.{}", encode(signature)));
    assert_eq!(refusal, TokenError::Signature);

    // ECDSA: n - s in place of s, which is as good.
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
    target.admits(&format!("{header}.{payload}.{}", encode(signature)));

    // RSA: a leading zero byte.
    let token = target.rsa.token(&claims());
    let [header, payload, signature] = parts(&token);
    let longer = [vec![0], decode(signature)].concat();
    target.refuses(&format!("{header}.{payload}.{}", encode(longer)));
}

#[test]
fn a_signature_of_one_curve_under_a_key_of_another() {
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
        target.refuses(&signer.token_with(&header, &claims()));
    }
}

#[test]
fn base64url_has_one_spelling() {
    let target = Target::new();
    let token = target.secret.token(&claims());
    let [header, payload, signature] = parts(&token);
    // 32 bytes take 43 characters, of which the last has two bits that mean nothing.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(last).unwrap();
    for low in 1..4 {
        let other = alphabet.chars().nth(value ^ low).unwrap();
        let token = format!("{header}.{payload}.{}{other}", &signature[..42]);
        assert_eq!(target.refuses(&token), TokenError::NotCompactJws);
    }
    // Signed as they are spelt, so that nothing but the spelling is wrong.
    for odd in ["=", "==", " ", "\n", "+", "/", "~", "%3D", "\u{e9}"] {
        for token in [
            target.secret.sign(&format!("{header}{odd}"), payload),
            target.secret.sign(&format!("{odd}{header}"), payload),
            target.secret.sign(header, &format!("{payload}{odd}")),
            target.secret.sign(header, &format!("{odd}{payload}")),
            format!("{token}{odd}"),
        ] {
            let field = format!("Bearer {token}");
            let Ok(field) = http::HeaderValue::from_bytes(field.as_bytes()) else { continue };
            let request = http::Request::builder().header("authorization", field).body(()).unwrap();
            let head = request.into_parts().0;
            use tower_auth::Authenticator;
            let answer =
                futures_util::FutureExt::now_or_never(target.tokens.authenticate(&head).unwrap());
            // White space around the whole field is not part of it (RFC 9110 §5.5).
            let trimmed = odd.trim().is_empty() && token.ends_with(odd);
            assert_eq!(answer.unwrap().is_ok(), trimmed, "{token:?}");
        }
    }
    for odd in [
        format!("{header}.{payload}.{signature}."),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}..{payload}.{signature}"),
    ] {
        assert_eq!(target.refuses(&odd), TokenError::NotCompactJws, "{odd}");
    }
}

#[test]
fn white_space_controls_and_bytes_that_are_no_text() {
    let target = Target::new();
    let token = target.secret.token(&claims());
    let [header, payload, signature] = parts(&token);
    for odd in ["\t", "\u{a0}", "é", "\u{200b}", "%20", "\"", "\\"] {
        for token in [
            format!("{odd}{token}"),
            format!("{token}{odd}x"),
            format!("{header}{odd}.{payload}.{signature}"),
            format!("{header}.{odd}{payload}.{signature}"),
        ] {
            let rejection = ask(&target.tokens, &format!("Bearer {token}"));
            if let Some(rejection) = rejection {
                assert!(rejection.is_err(), "{token:?}");
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
        let answer =
            futures_util::FutureExt::now_or_never(target.tokens.authenticate(&head).unwrap());
        assert_eq!(answer.unwrap().unwrap_err().kind(), RejectionKind::InvalidCredentials);
    }
    // In the JSON: what is no UTF-8, a byte-order mark, NUL.
    for json in [&b"\xff\xfe{}"[..], b"\xef\xbb\xbf{}", b"{\"a\":\"\xc0\x80\"}", b"{}\0", b"\0{}"] {
        let header = encode(json!({ "alg": "HS256", "kid": "HS256" }).to_string());
        let refusal = target.refuses(&target.secret.sign(&header, &encode(json)));
        assert_eq!(refusal, TokenError::MalformedClaims, "{json:?}");
        let refusal =
            target.refuses(&target.secret.sign(&encode(json), &encode(claims().to_string())));
        assert_eq!(refusal, TokenError::MalformedHeader, "{json:?}");
    }
}

#[test]
fn names_that_are_there_twice_at_any_level() {
    let target = Target::new();
    let good = claims().to_string();
    let header = |json: &str| encode(json);
    let plain = header(r#"{"alg":"HS256","kid":"HS256"}"#);
    for twice in [
        r#"{"alg":"HS256","alg":"HS256","kid":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256","kid":"HS256"}"#,
        r#"{"alg":"HS256","kid":"x","\u006bid":"HS256"}"#,
        r#"{"alg":"HS256","kid":"HS256","x":1,"x":1}"#,
        r#"{"alg":"HS256","kid":"HS256","x":[{"y":{"z":1,"z":1}}]}"#,
    ] {
        let refusal = target.refuses(&target.secret.sign(&header(twice), &encode(&good)));
        assert_eq!(refusal, TokenError::MalformedHeader, "{twice}");
    }
    for twice in [
        r#""sub":"admin""#,
        r#""aud":"x""#,
        r#""exp":4102444800"#,
        r#""s\u0075b":"admin""#,
        r#""x":1,"x":1"#,
        r#""x":{"y":1,"y":2}"#,
        r#""x":[[{"y":{"z":1,"z":1}}]]"#,
    ] {
        let payload = format!("{},{twice}}}", good.strip_suffix('}').unwrap());
        let refusal = target.refuses(&target.secret.sign(&plain, &encode(&payload)));
        assert_eq!(refusal, TokenError::MalformedClaims, "{twice}");
    }
}

#[test]
fn numbers_that_are_none() {
    let target = Target::new();
    let good = claims().to_string();
    let plain = encode(r#"{"alg":"HS256","kid":"HS256"}"#);
    for claim in ["exp", "nbf", "iat"] {
        let rest = without(&good, claim);
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
            let refusal = target.refuses(&target.secret.sign(&plain, &encode(&payload)));
            assert_eq!(refusal, TokenError::MalformedClaims, "{claim}: {number}");
        }
    }
    for number in ["4102444800", "4102444800.5", "4.1024448e9", "4102444800.0", "9007199254740991"]
    {
        let payload = format!(r#"{{"exp":{number},{}"#, without(&good, "exp"));
        target.admits(&target.secret.sign(&plain, &encode(&payload)));
    }
}

#[test]
fn aud_and_iss_of_wrong_types_and_prefixes() {
    let target = Target::new();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        target.secret.token(&claims)
    };
    for odd in [json!([ISSUER]), json!({ "iss": ISSUER }), json!(1), json!(null), json!(true)] {
        assert_eq!(target.refuses(&with("iss", odd)), TokenError::MalformedClaims);
    }
    for odd in [
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
        assert_eq!(target.refuses(&with("iss", odd.into())), TokenError::Issuer, "{odd:?}");
    }
    for odd in [
        json!({ "aud": AUDIENCE }),
        json!([[AUDIENCE]]),
        json!([1, AUDIENCE]),
        json!(1),
        json!(null),
    ] {
        assert_eq!(target.refuses(&with("aud", odd)), TokenError::MalformedClaims);
    }
    for odd in [
        json!(""),
        json!([]),
        json!([""]),
        json!("https://api"),
        json!("https://api.example "),
        json!("https://api.example https://other.example"),
        json!("https://api.example,x"),
        json!("*"),
    ] {
        assert_eq!(target.refuses(&with("aud", odd)), TokenError::Audience);
    }
}

#[test]
fn encrypted_and_nested_tokens() {
    let target = Target::new();
    let inner = target.secret.token(&claims());
    let header = json!({ "alg": "HS256", "kid": "HS256", "cty": "JWT" }).to_string();
    // A signed token within a signed token: its payload is no claims.
    let nested = target.secret.sign(&encode(header), &encode(&inner));
    assert_eq!(target.refuses(&nested), TokenError::MalformedClaims);
    let [header, payload, signature] = parts(&inner);
    for jwe in [
        format!("{header}.{payload}.{payload}.{payload}.{signature}"),
        format!("{header}....{signature}"),
        encode(&inner),
        json!({ "payload": payload, "signatures": [{ "protected": header, "signature": signature }] })
            .to_string(),
        json!({ "payload": payload, "protected": header, "signature": signature }).to_string(),
    ] {
        assert_eq!(target.refuses(&jwe), TokenError::NotCompactJws);
    }
    for alg in ["RSA-OAEP", "dir", "A256KW", "ECDH-ES", "PBES2-HS256+A128KW"] {
        let header =
            json!({ "alg": alg, "enc": "A256GCM", "kid": "RS256", "p2c": 2_147_483_647_u32 });
        assert_eq!(
            target.refuses(&target.rsa.token_with(&header, &claims())),
            TokenError::Algorithm
        );
    }
}

#[test]
fn scope_substrings_and_look_alikes() {
    use tower_auth::{Policy, RequireScopes};

    let target = Target::new();
    let policy = RequireScopes::all(["admin"]);
    let head = http::Request::new(()).into_parts().0;
    let allows = |scope: Value| {
        let mut claims = claims();
        claims["scope"] = scope;
        let caller = bearer(&target.tokens, &target.secret.token(&claims)).unwrap();
        policy.evaluate(&caller, &head).is_ok()
    };
    for good in [json!("admin"), json!("a admin b"), json!(["x", "admin"])] {
        assert!(allows(good));
    }
    for odd in [
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
        assert!(!allows(odd.into()), "{odd:?}");
    }
    for odd in [json!(["site admin"]), json!(["x admin"]), json!(["admin "]), json!([])] {
        assert!(!allows(odd.clone()), "{odd}");
    }
}

#[test]
fn two_authorization_lines_and_comma_joined_credentials() {
    use futures_util::FutureExt;
    use tower_auth::Authenticator;

    let target = Target::new();
    let token = target.secret.token(&claims());
    let good = format!("Bearer {token}");
    for (first, second) in
        [(&*good, "Bearer x"), ("Bearer x", &*good), (&*good, &*good), ("Basic eA==", &*good)]
    {
        let request = http::Request::builder().header("authorization", first);
        let head = request.header("authorization", second).body(()).unwrap().into_parts().0;
        let answer = target.tokens.authenticate(&head).unwrap().now_or_never().unwrap();
        assert_eq!(answer.unwrap_err().kind(), RejectionKind::MalformedRequest);
    }
    for joined in [
        format!("{good}, {good}"),
        format!("{good},{good}"),
        format!("{good} {token}"),
        format!("{good}, Basic eA=="),
        format!("Bearer x, {good}"),
    ] {
        let answer = ask(&target.tokens, &joined).unwrap();
        assert_eq!(answer.unwrap_err().kind(), RejectionKind::MalformedRequest, "{joined}");
    }
    // Here a Bearer token is behind credentials for another scheme: they are that scheme's.
    assert!(ask(&target.tokens, &format!("Basic eA==, {good}")).is_none());
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
