//! Exchanges a refresh token at an issuer that returns any metadata and any token response.
//!
//! The first line of the input is the status of the response, the second one the metadata, and the
//! rest the body. Nothing panics, no error contains a secret, and an access token that is returned
//! is in the response.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower_auth::client::{RefreshGrant, RefreshingToken, TokenEndpoint};

const ISSUER: &str = "https://i.example";
const SECRET: &str = "s3cret";
const REFRESH_TOKEN: &str = "r3fresh";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\n');
    let [status, metadata, body] = [0; 3].map(|_| parts.next().unwrap_or_default());
    let Ok(status) = status.parse::<StatusCode>() else { return };
    let metadata = if metadata.is_empty() {
        format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"{ISSUER}/token"}}"#)
    } else {
        metadata.to_owned()
    };
    let public = metadata.clone();
    let answer = Bytes::copy_from_slice(body.as_bytes());
    let send = move |request: Request<Bytes>| {
        let is_metadata = request.method() == "GET";
        assert_eq!(request.uri().scheme_str(), Some("https"));
        let (status, body) = if is_metadata {
            (StatusCode::OK, Bytes::from(metadata.clone()))
        } else {
            (status, answer.clone())
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        std::future::ready(Ok::<_, std::io::Error>(response))
    };
    let saved = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&saved);
    RUNTIME.block_on(async {
        let endpoint = TokenEndpoint::discover(ISSUER).client_id("a").client_secret(SECRET);
        let endpoint = endpoint.client(send).build().unwrap();
        let grant = RefreshGrant::new(endpoint, REFRESH_TOKEN).on_rotated(move |token| {
            list.lock().unwrap().push(token);
            std::future::ready(Ok::<_, std::io::Error>(()))
        });
        match RefreshingToken::new(grant).header_value().await {
            Ok(value) => {
                let token = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
                assert_eq!(status, StatusCode::OK);
                // Unused members can have what this parser rejects, such as the number 1e999.
                if let Ok(json) = serde_json::from_str::<serde_json::Value>(body) {
                    assert_eq!(json["access_token"], token);
                }
            }
            // An error can name the issuer in the metadata, which is public.
            Err(error) if ![SECRET, REFRESH_TOKEN].iter().any(|text| public.contains(text)) => {
                let text = format!("{error:#} {error:?}");
                assert!(!text.contains(SECRET) && !text.contains(REFRESH_TOKEN), "{text}");
            }
            Err(_) => {}
        }
    });
    for token in saved.lock().unwrap().iter() {
        assert!(status == StatusCode::OK && !token.is_empty() && token != REFRESH_TOKEN);
    }
});
