//! The workaround for `x-amzn-oidc-data` of AWS Application Load Balancers.

use std::{
    error::Error,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_auth::{
    Authenticator, Principal, Rejection, RejectionKind, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    clock::{Clock, SystemClock},
    credentials::TokenLocation,
};
use tower_auth_test_support::token::{Signer, now};

use crate::published::EC;

const LOAD_BALANCER: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/shop/50dc6c495c0c9188";
const CLIENT: &str = "a2YDVG5DY6O3L1VeQGjT";

struct Alb;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    signer: String,
    client: String,
    exp: u32,
}

#[derive(Deserialize)]
struct User {
    sub: String,
}

impl TokenVerifier for Alb {
    fn verify(&self, data: &str) -> Verification {
        let data = data.to_owned();
        Verification::pending(async move { verify(&data).await })
    }
}

async fn verify(data: &str) -> Result<Principal, Rejection> {
    let invalid = || Rejection::new(RejectionKind::InvalidCredentials);
    let outage = |error| Rejection::new(RejectionKind::Unavailable).because(error);
    // The signature covers the text as it was sent, with its padding.
    let (signed, signature) = data.rsplit_once('.').ok_or_else(invalid)?;
    let (header, user) = signed.split_once('.').ok_or_else(invalid)?;
    let header: Header = decode(header).ok_or_else(invalid)?;
    // Every load balancer of the region has such keys, also those of other customers.
    let is_mine = header.signer == LOAD_BALANCER && header.client == CLIENT;
    // The key id becomes a part of a URL.
    let is_uuid = header.kid.len() == 36
        && header.kid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let expires_at = UNIX_EPOCH + Duration::from_secs(header.exp.into());
    if header.alg != "ES256" || !is_mine || !is_uuid || expires_at <= SystemClock.now() {
        return Err(invalid());
    }
    let key = public_key(&header.kid).await.map_err(outage)?;
    let signature = URL_SAFE.decode(signature).map_err(|_| invalid())?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| invalid())?;
    let user: User = decode(user).ok_or_else(invalid)?;
    Ok(Principal::builder(user.sub, Scheme::BEARER).expires_at(expires_at).build())
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE.decode(part).ok()?).ok()
}

fn alb() -> BearerAuth<Alb> {
    BearerAuth::new(Alb).token_from(TokenLocation::proxy_header("x-amzn-oidc-data"))
}

const KEY_ID: &str = "beec8bbc-84e0-4736-9745-a6bd96fde712";

/// Replaces the request for the key.
async fn public_key(kid: &str) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    if kid != KEY_ID {
        return Err("404 Not Found".into());
    }
    let jwk = EC.jwk();
    let decode = |member: &str| {
        let text = jwk[member].as_str().unwrap();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    // The beginning of a `SubjectPublicKeyInfo` for a point on P-256 (RFC 5480).
    let mut key =
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\
                    \x03\x01\x07\x03\x42\x00\x04"
            .to_vec();
    key.extend(decode("x"));
    key.extend(decode("y"));
    Ok(key)
}

fn header() -> Value {
    json!({
        "typ": "JWT", "kid": KEY_ID, "alg": "ES256", "iss": "https://example.okta.com",
        "client": CLIENT, "signer": LOAD_BALANCER, "exp": now() + 120,
    })
}

/// Signs a token with padded parts.
fn sign(signer: &Signer, header: &Value) -> String {
    let user = json!({
        "sub": "00uixa271s6x7qt8I0h7", "email": "jané@acme.example", "exp": now() + 120,
        "iss": "https://example.okta.com",
    });
    let encode = |json: &Value| URL_SAFE.encode(json.to_string());
    let token = signer.sign(&encode(header), &encode(&user));
    // An ES256 signature has 64 octets.
    format!("{token}==")
}

#[tokio::test]
async fn only_data_of_the_load_balancer_is_admitted() {
    let verify = async |data: String| {
        let request = Request::builder().header("x-amzn-oidc-data", data).body(()).unwrap();
        let (head, ()) = request.into_parts();
        let result = alb().authenticate(&head).unwrap().await.into_result();
        result.map(|caller| caller.subject().to_owned()).map_err(|rejection| rejection.kind())
    };
    let valid = sign(&EC, &header());
    assert!(valid.split('.').any(|part| part.ends_with('=')), "{valid}");
    assert_eq!(verify(valid.clone()).await.unwrap(), "00uixa271s6x7qt8I0h7");

    let invalid = Err(RejectionKind::InvalidCredentials);
    // Without its padding, the text is not what was signed.
    let stripped = valid.replace('=', "");
    assert_eq!(verify(stripped.clone()).await, invalid);
    assert_eq!(verify(format!("{stripped}==")).await, invalid);
    assert_eq!(verify(sign(&Signer::generate("ES256", "1"), &header())).await, invalid);
    for (member, value) in [
        ("signer", json!(LOAD_BALANCER.replace("111122223333", "999999999999"))),
        ("client", json!("other")),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("exp", json!(now() - 1)),
        ("exp", json!(null)),
        ("kid", json!("../../attacker.example/key")),
        ("kid", json!("beec8bbc-84e0-4736-9745-a6bd96fde71/")),
    ] {
        let mut header = header();
        header[member] = value;
        assert_eq!(verify(sign(&EC, &header)).await, invalid, "{header}");
    }
    for malformed in [".", "..", "a.b.c", "e30=.e30=.e30="] {
        assert_eq!(verify(malformed.to_owned()).await, invalid, "{malformed}");
    }
    let mut unknown_key = header();
    unknown_key["kid"] = "00000000-84e0-4736-9745-a6bd96fde712".into();
    assert_eq!(verify(sign(&EC, &unknown_key)).await, Err(RejectionKind::Unavailable));
}
