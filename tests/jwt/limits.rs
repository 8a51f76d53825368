//! Limits on the size and nesting of credentials.

use std::{error::Error as _, thread};

use serde_json::{Value, json};
use tower_auth::{
    BasicAuth, JwtAuth, RejectionKind,
    basic::Users,
    credentials::CredentialsError,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::{
    authenticate::{authenticate, authenticate_bearer},
    token::{AUDIENCE, ISSUER, Signer, claims, encode},
};

fn validator(signer: &Signer, max_token_bytes: Option<usize>) -> JwtAuth {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    match max_token_bytes {
        Some(bytes) => builder.max_token_bytes(bytes).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

/// Returns a valid token of about this length.
fn token_of(signer: &Signer, bytes: usize) -> String {
    let with = |pad: usize| {
        let mut claims = claims();
        claims["exp"] = 4_102_444_800_u64.into();
        claims["pad"] = "x".repeat(pad).into();
        signer.token(&claims)
    };
    let pad = (bytes - with(0).len()) * 3 / 4;
    // Base64 cannot produce every length: take the longest one that fits.
    (pad - 4..pad + 4).map(with).rev().find(|token| token.len() <= bytes).unwrap()
}

#[test]
fn token_over_16_kib_is_rejected_by_default() {
    let signer = Signer::generate("HS256", "1");
    let tokens = validator(&signer, None);
    let longest = token_of(&signer, 16 * 1024);
    assert!(longest.len() > 16 * 1024 - 4);
    assert!(authenticate_bearer(&tokens, &longest).is_ok());
    for bytes in [16 * 1024 + 8, 1 << 20] {
        let result =
            authenticate(&tokens, &format!("Bearer {}", token_of(&signer, bytes))).unwrap();
        let rejection = result.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::CredentialsTooLarge);
        let reason = rejection.source().unwrap().downcast_ref();
        assert_eq!(reason, Some(&CredentialsError::TooLarge));
    }
}

#[test]
fn max_token_bytes_is_configurable() {
    let signer = Signer::generate("HS256", "1");
    let token = token_of(&signer, 1 << 20);
    assert!(authenticate_bearer(&validator(&signer, Some(1 << 20)), &token).is_ok());
    let small = validator(&signer, Some(100));
    let result = authenticate(&small, &format!("Bearer {}", signer.token(&claims()))).unwrap();
    assert_eq!(result.unwrap_err().kind(), RejectionKind::CredentialsTooLarge);
}

#[test]
fn basic_credentials_over_8_kib_are_rejected() {
    let basic = BasicAuth::new("r", Users::new([("a", "b")]).unwrap()).unwrap();
    let rejection_kind = |length: usize| {
        let result = authenticate(&basic, &format!("Basic {}", "Zm9v".repeat(length / 4))).unwrap();
        result.unwrap_err().kind()
    };
    assert_eq!(rejection_kind(8 * 1024), RejectionKind::InvalidCredentials);
    assert_eq!(rejection_kind(8 * 1024 + 4), RejectionKind::CredentialsTooLarge);
    assert_eq!(rejection_kind(1 << 20), RejectionKind::CredentialsTooLarge);
}

/// The thread has a small stack, which unbounded recursion would overflow at once.
#[test]
fn deeply_nested_json_does_not_exhaust_the_stack() {
    let verify_nested = || {
        let signer = Signer::generate("HS256", "1");
        let tokens = validator(&signer, Some(4 << 20));
        let header = encode(json!({ "alg": "HS256", "kid": "1" }).to_string());
        let shapes = [
            ("[", "]", "1"),
            ("{\"a\":", "}", "1"),
            ("[{\"a\":", "}]", "1"),
            ("[", "", ""),
            ("{\"scope\":", "", ""),
        ];
        for (open, close, middle) in shapes {
            for depth in [31, 32, 33, 128, 1_000, 100_000] {
                let json = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
                for json in
                    [json.clone(), format!("{{\"x\":{json}}}"), format!("{{\"scope\":{json}}}")]
                {
                    let token = signer.sign(&header, &encode(&json));
                    let error = authenticate_bearer(&tokens, &token).unwrap_err();
                    assert!(error != TokenError::Signature, "{depth} times {open}");
                    let token = signer.sign(&encode(&json), &encode("{}"));
                    assert!(authenticate_bearer(&tokens, &token).is_err());
                }
            }
        }
    };
    thread::Builder::new().stack_size(128 * 1024).spawn(verify_nested).unwrap().join().unwrap();
}

#[test]
fn fifty_thousand_claims_audiences_and_scopes_are_accepted() {
    let signer = Signer::generate("HS256", "1");
    let tokens = validator(&signer, Some(4 << 20));
    let mut many: Value = claims();
    for position in 0..50_000 {
        many[format!("claim {position}")] = position.into();
    }
    assert!(authenticate_bearer(&tokens, &signer.token(&many)).is_ok());
    let mut many = claims();
    many["aud"] = (0..50_000).map(|at| at.to_string()).chain([AUDIENCE.to_owned()]).collect();
    many["scope"] = (0..50_000).map(|at| at.to_string()).collect::<Vec<_>>().join(" ").into();
    assert_eq!(
        authenticate_bearer(&tokens, &signer.token(&many)).unwrap().scopes().iter().count(),
        50_000
    );
    let dots = ".".repeat(1 << 20);
    assert_eq!(authenticate_bearer(&tokens, &dots).unwrap_err(), TokenError::NotCompactJws);
}
