//! Asks an endpoint that returns any response about a token.
//!
//! The first line of the input is the status, the second one the media type, and the rest the
//! body. Nothing panics, no error contains the token or the secret, and only a response that is
//! active and for this service is admitted.
#![no_main]

#[path = "../src/unique_names.rs"]
mod unique_names;

use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower_auth::{bearer::TokenVerifier as _, introspection::Introspection};

use self::unique_names::UniqueNames;

const TOKEN: &str = "t0ken-of-a-caller";
const SECRET: &str = "s3cret";
const ISSUER: &str = "https://i.example";
const NOW: u64 = 1_800_000_000;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let [status, media_type, body] = [0; 3].map(|_| parts.next().unwrap_or_default());
    let Ok(status) = StatusCode::from_bytes(status) else { return };
    let Ok(media_type) = HeaderValue::from_bytes(media_type) else { return };
    let answer = Bytes::copy_from_slice(body);
    let essence = media_type.as_bytes().trim_ascii().to_ascii_lowercase();
    let is_json = essence.starts_with(b"application/json");
    let send = move |_: Request<Bytes>| {
        let mut response = Response::new(answer.clone());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, media_type.clone());
        std::future::ready(Ok::<_, std::io::Error>(response))
    };
    let tokens = Introspection::builder("https://i.example/introspect")
        .client_secret("orders", SECRET)
        .issuer(ISSUER)
        .audience("orders")
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
        .client(send)
        .build()
        .unwrap();
    match RUNTIME.block_on(async { tokens.verify_unconfirmed(TOKEN).await }) {
        Ok(caller) => {
            assert!(status == StatusCode::OK && is_json);
            let UniqueNames(claims) = serde_json::from_slice(body).unwrap();
            assert_eq!(claims["active"], true);
            assert_eq!(claims["sub"], caller.subject());
            assert_eq!(caller.issuer(), Some(ISSUER));
            assert!(claims.get("iss").is_none_or(|iss| iss == ISSUER));
            let is_orders = |aud: &serde_json::Value| aud == "orders";
            let aud = &claims["aud"];
            assert!(is_orders(aud) || aud.as_array().unwrap().iter().any(is_orders));
            let date = |name: &str| claims.get(name).map(|date| date.as_f64().unwrap());
            assert!(date("exp").is_none_or(|end| end + 60.0 > NOW as f64));
            assert!(date("nbf").is_none_or(|start| start <= NOW as f64 + 60.0));
            assert_eq!(claims.get("cnf").is_some(), caller.confirmation().is_some());
        }
        Err(rejection) => {
            let text = format!("{rejection:?}");
            assert!(!text.contains(TOKEN) && !text.contains(SECRET), "{text}");
            let is_about_token = rejection.kind().status() == 401;
            assert!(!is_about_token || (status == StatusCode::OK && is_json));
        }
    }
});
