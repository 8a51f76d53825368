//! Authenticates a request with a DPoP proof, and compares the result with a simple check.
//!
//! The input has five lines: the method, the path and the host of the request, and the header and
//! the claims of the proof, which are signed with the key to which the token is bound. In both,
//! `$jwk` stands for the public key, `$ath` for the hash of the token, and `$now` for the time. If
//! there is only one line, it is the whole proof, which cannot be valid.
#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use http::{HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tower_auth::{
    Authenticator as _, Principal, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    binding::Cnf,
    dpop::DpopBinding,
    store::SealedStore,
    transport::Forwarded,
};

const NOW: u64 = 1_800_000_000;
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());

/// Accepts all tokens, as bound to the key.
struct BoundToken;

impl TokenVerifier for BoundToken {
    fn verify(&self, _: &str) -> Verification {
        panic!("the token is bound")
    }

    fn verify_unconfirmed(&self, _: &str) -> Verification {
        // The members in the order of RFC 7638.
        let thumbprint = encode(digest(&SHA256, jwk().as_bytes()));
        let cnf = Cnf::new(&json!({ "jkt": thumbprint })).unwrap();
        let caller = Principal::builder("alice", Scheme::BEARER).confirmation(cnf);
        Verification::ready(Ok(caller.build()))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn jwk() -> String {
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(KEY.public_key()))
}

fuzz_target!(|input: &str| {
    let (method, path, host, header, claims) = match input.splitn(5, '\n').collect::<Vec<_>>()[..] {
        [proof] => {
            assert!(!is_accepted("GET", "/", "a.example", proof));
            return;
        }
        [method, path, host, header, claims] => (method, path, host, header, claims),
        _ => return,
    };
    let [header, claims] = [header, claims].map(|json| {
        let json = json.replace("$jwk", &jwk()).replace("$now", &NOW.to_string());
        json.replace("$ath", &encode(digest(&SHA256, TOKEN.as_bytes())))
    });
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let proof = format!("{signed}.{}", encode(KEY.sign(signed.as_bytes())));
    if is_accepted(method, path, host, &proof) {
        check(method, path, host, &header, &claims);
    } else if let Some(url) = plain_url(path, host) {
        // The usual proof for a plain URL is accepted.
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{}}}"#, jwk());
        let claims = json!({
            "jti": "1", "htm": method, "htu": url, "iat": NOW,
            "ath": encode(digest(&SHA256, TOKEN.as_bytes())),
        });
        let signed = format!("{}.{}", encode(header), encode(claims.to_string()));
        let proof = format!("{signed}.{}", encode(KEY.sign(signed.as_bytes())));
        let can_be_sent = Request::builder().method(method).uri(path).body(()).is_ok();
        assert!(!can_be_sent || proof.len() > 8_192 || is_accepted(method, path, host, &proof));
    }
});

/// Checks what must hold for each accepted proof.
fn check(method: &str, path: &str, host: &str, header: &str, claims: &str) {
    let header: Value = serde_json::from_str(header).unwrap();
    let claims: Value = serde_json::from_str(claims).unwrap();
    let typ = header["typ"].as_str().unwrap().to_ascii_lowercase();
    assert!(matches!(&*typ, "dpop+jwt" | "application/dpop+jwt"));
    assert!(matches!(header["alg"].as_str(), Some("EdDSA" | "Ed25519")));
    assert_eq!(header["jwk"]["x"], encode(KEY.public_key()));
    assert!(header.get("crit").is_none() && header["jwk"].get("d").is_none());
    assert!((1..=256).contains(&claims["jti"].as_str().unwrap().len()));
    assert_eq!(claims["htm"], method);
    assert_eq!(claims["ath"], encode(digest(&SHA256, TOKEN.as_bytes())));
    let age = NOW as f64 - claims["iat"].as_f64().unwrap();
    assert!((-5.0..=60.0).contains(&age), "{age}");
    let htu = claims["htu"].as_str().unwrap();
    if let Some(url) = plain_url(path, host)
        && is_plain(htu)
    {
        assert_eq!(htu, url);
    }
}

/// Returns the URL of a request if it has only one spelling.
fn plain_url(path: &str, host: &str) -> Option<String> {
    let is_host = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    let url = format!("https://{host}{path}");
    let is_plain_host = (1..=63).contains(&host.len()) && host.bytes().all(is_host);
    (is_plain_host && is_plain(&url) && path.starts_with('/')).then_some(url)
}

/// Returns whether this is a URL in normal form, as far as a simple check can tell.
fn is_plain(url: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'/' | b'-' | b'_' | b':');
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    url.bytes().all(is_plain) && !host.contains(':') && path.starts_with('/')
}

/// Sends a request. A second one with the same proof must be rejected.
fn is_accepted(method: &str, path: &str, host: &str, proof: &str) -> bool {
    let binding = DpopBinding::builder(SealedStore::memory())
        .forwarded(Forwarded::direct().tls())
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
        .build()
        .unwrap();
    let tokens = BearerAuth::new(BoundToken).binding(binding);
    let Ok(proof) = HeaderValue::from_str(proof) else { return false };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .header("authorization", format!("DPoP {TOKEN}"))
        .header("dpop", proof);
    let Ok(request) = request.body(()) else { return false };
    let (head, ()) = request.into_parts();
    let send = || tokens.authenticate(&head).unwrap().now_or_never().unwrap().into_result().is_ok();
    let (first, second) = (send(), send());
    assert!(!second);
    first
}
