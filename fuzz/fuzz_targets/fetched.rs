//! Fetches keys from an issuer that returns any metadata, `Cache-Control` and key set.
//!
//! Nothing panics, and a token with an invalid signature is rejected.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use http::{
    Request, Response,
    header::{AUTHORIZATION, CACHE_CONTROL},
};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower_auth::{Authenticator, JwtAuth, jwks::FetchError, jwt::Jwks};

const ISSUER: &str = "https://i.example";
/// A token with the header `{"alg":"ES256","kid":"1"}`, the payload `{}`, and a signature of three
/// zero bytes.
const TOKEN: &str = "Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.e30.AAAA";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, "\n\n").map(|part| Bytes::copy_from_slice(part.as_bytes()));
    let [metadata, caching, set] = [0; 3].map(|_| parts.next().unwrap_or_default());
    let fetch = move |request: Request<()>| {
        let is_metadata = request.uri().path().contains(".well-known");
        let mut response = Response::new(if is_metadata { metadata.clone() } else { set.clone() });
        if let Ok(caching) = caching[..].try_into() {
            response.headers_mut().insert(CACHE_CONTROL, caching);
        }
        std::future::ready(Ok::<_, FetchError>(response))
    };
    RUNTIME.block_on(async {
        let jwks = Jwks::discover(ISSUER).client(fetch);
        let tokens = JwtAuth::builder(jwks).audience("a").build().unwrap();
        let request = Request::builder().header(AUTHORIZATION, TOKEN).body(()).unwrap();
        let result = tokens.authenticate(&request.into_parts().0).unwrap().await;
        assert!(result.into_result().is_err());
        let _ = format!("{} {:?}", tokens.health().unwrap(), tokens.skipped_keys());
    });
});
