//! Attacks with the encoding of a token, its JSON and its place in the request.

use serde_json::json;
use tower_auth::{RejectionKind, jwt::TokenError};
use tower_auth_test_support::{
    authenticate::authenticate,
    token::{claims, encode},
};

use super::{Target, parts};

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
