//! Sends logout requests to the public service and compares the status with a model.
//!
//! The first byte of the input selects what the rest is: the claims of a signed token with one of
//! four types (0 to 3), the body of the form (4), or the query and the body, separated by a line
//! feed (5). In a body or a query, `$` stands for a valid logout token.
#![no_main]

#[path = "../src/unique_names.rs"]
mod unique_names;

use std::{
    cell::RefCell,
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use http::{Request, header::CONTENT_TYPE};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower_auth::{
    jwt::Keys,
    revocation::{BackchannelLogout, Revocations},
    store::SealedStore,
};
use tower_auth_test_support::token::{ISSUER, Signer, encode};
use tower_service::Service as _;

use self::unique_names::{UniqueNames, depth};

const SECRET: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;
const CLIENT: &str = "client";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const TYPES: [Option<&str>; 4] = [None, Some("logout+jwt"), Some("JWT"), Some("at+jwt")];

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::secret("HS256", None, &SECRET));

static VALID_TOKEN: LazyLock<String> = LazyLock::new(|| {
    let claims = json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "u", "sid": "s", "jti": "j", "iat": NOW,
        "exp": NOW + 60, "events": { EVENT: {} },
    });
    SIGNER.token(&claims)
});

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_time().build().unwrap());
}

fuzz_target!(|input: &[u8]| {
    let Some((selector, rest)) = input.split_first() else { return };
    match selector {
        b'0'..=b'3' => check_claims(TYPES[usize::from(selector - b'0')], rest),
        b'4' => check_form("", &String::from_utf8_lossy(rest)),
        b'5' => {
            let text = String::from_utf8_lossy(rest);
            let (query, body) = text.split_once('\n').unwrap_or((&text, ""));
            check_form(query, body);
        }
        _ => {}
    }
});

/// Sends a token with these claims.
fn check_claims(typ: Option<&str>, payload: &[u8]) {
    let mut header = json!({ "alg": "HS256" });
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    let token = SIGNER.sign(&encode(header.to_string()), &encode(payload));
    let status = send("/", format!("logout_token={token}"));
    let claims = serde_json::from_slice::<UniqueNames>(payload);
    match claims {
        _ if typ == Some("at+jwt") || token.len() > 16 * 1024 => assert_eq!(status, 400),
        Err(_) => assert_eq!(status, 400, "malformed claims"),
        Ok(UniqueNames(claims)) => match status {
            200 => assert!(has_all_claims(&claims), "accepted: {claims}"),
            _ => assert!(!is_valid(&claims), "rejected: {claims}"),
        },
    }
}

/// Sends a form, and a query.
fn check_form(query: &str, body: &str) {
    let [query, body] = [query, body].map(|text| text.replace('$', &VALID_TOKEN));
    let target = if query.is_empty() { "/".to_owned() } else { format!("/?{query}") };
    let Ok(uri) = target.parse::<http::Uri>() else { return };
    let query = uri.query().unwrap_or_default();
    let tokens = logout_tokens(&body);
    let is_valid = body.len() <= 64 * 1024
        && logout_tokens(query).is_empty()
        && tokens.len() == 1
        && tokens[0] == VALID_TOKEN.as_bytes();
    let status = send(&target, body);
    assert_eq!(status, if is_valid { 200 } else { 400 });
}

/// Returns the values of `logout_token` in a form, by the rules of the WHATWG URL Standard.
fn logout_tokens(form: &str) -> Vec<Vec<u8>> {
    let pairs = form.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs = pairs.map(|(name, value)| (decode(name), decode(value)));
    pairs.filter(|(name, _)| name == b"logout_token").map(|(_, value)| value).collect()
}

fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut decoded) = (text.bytes().peekable(), Vec::new());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || ahead.next().and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(), digit()) {
            (b'+', ..) => decoded.push(b' '),
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap());
                bytes = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    decoded
}

/// Returns the status of a request to a service that has received no other request.
fn send(target: &str, body: String) -> u16 {
    let revocations = Revocations::builder(SealedStore::memory())
        .longest_token_life(Duration::from_secs(3600))
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
        .build()
        .unwrap();
    let mut service = BackchannelLogout::builder(Keys::hs256(&SECRET))
        .issuer(ISSUER)
        .client_id(CLIENT)
        .revocations(revocations)
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
        .build()
        .unwrap();
    let request = Request::post(target)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .unwrap();
    let response =
        RUNTIME.with_borrow(|runtime| runtime.block_on(async { service.call(request).await }));
    let response = response.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.status().as_u16()
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Returns whether the claims are those of a logout token that could be valid now.
fn has_all_claims(claims: &Value) -> bool {
    let is_absent_or_text = |name: &str| claims.get(name).is_none_or(is_text);
    let is_client = |aud: &Value| aud == CLIENT;
    let is_for_client = match &claims["aud"] {
        Value::Array(names) => !names.is_empty() && names.iter().all(is_client),
        aud => is_client(aud),
    };
    let (now, number) = (NOW as f64, |name: &str| claims[name].as_f64());
    let is_current = number("exp").is_some_and(|end| {
        end + 60.0 > now
            && number("iat").is_some_and(|iat| iat <= now + 60.0 && end - iat <= 86_400.0)
    });
    claims["iss"] == ISSUER
        && is_for_client
        && is_current
        && number("nbf").is_none_or(|start| start <= now + 60.0)
        && is_text(&claims["jti"])
        && is_absent_or_text("sub")
        && is_absent_or_text("sid")
        && (is_text(&claims["sub"]) || is_text(&claims["sid"]))
        && claims["events"].is_object()
        && claims["events"][EVENT].is_object()
        && claims.get("nonce").is_none()
        && claims.get("cnf").is_none()
}

/// Returns whether the claims are valid according to the strictest interpretation of each claim.
fn is_valid(claims: &Value) -> bool {
    let is_date = |name: &str| claims.get(name).is_none_or(|date| date.as_u64().is_some());
    has_all_claims(claims)
        && ["iat", "exp", "nbf"].into_iter().all(is_date)
        && claims["exp"].as_u64().is_some_and(|end| end > NOW)
        && (claims.get("scope").is_none() || claims["scope"].is_string())
        && depth(claims) < 20
}
