//! How often a layer allocates for one request, beyond the bare service: `cargo bench -p tower-auth-benches --bench allocations`. It fails where
//! that is more than the limits below, which docs/performance.md repeats.
//!
//! Three allocations of each admitted request are the extensions map's own. Those of aws-lc are in C, and
//! are not seen here.

use std::{convert::Infallible, future::Ready};

use allocation_counter::measure;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth,
    basic::Users,
    jwt::{JwtAuthBuilder, Keys, TokenCache},
    password::{HashVerifier, HashedUsers, PasswordHash},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, usual_claims};

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    std::future::ready(Ok(Response::new(())))
}

fn request(authorization: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    request
}

/// Counts what one request takes, of which there may be so many allocations.
fn count<S>(name: &str, mut service: S, authorization: Option<&str>, at_most: u64)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let request = request(authorization);
    let mut status = 0;
    let counted = measure(|| {
        status = service.call(request).now_or_never().unwrap().unwrap().status().as_u16();
    });
    let (allocations, bytes) = (counted.count_total, counted.bytes_total);
    println!("{name:<28} {status} {allocations:>3} allocations {bytes:>6} bytes");
    assert!(allocations <= at_most, "{name}: {allocations}");
}

fn main() {
    count("bare", service_fn(inner), None, 0);
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let signer = Signer::generate(algorithm, "1");
        let tokens = || -> JwtAuthBuilder {
            let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
            JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
        };
        let bearer = format!("Bearer {}", signer.token(&usual_claims()));
        let forged = Signer::generate(algorithm, "1").token(&usual_claims());
        let name = |of: &str| format!("bearer/{algorithm}/{of}");

        let layer = AuthenticateLayer::new(tokens().build().unwrap());
        let service = || layer.layer(service_fn(inner));
        count(&name("first"), service(), Some(&bearer), 8);
        count(&name("admitted"), service(), Some(&bearer), 7);
        // The text of a challenge is shared from the first refusal on.
        let forged = format!("Bearer {forged}");
        count(&name("first refusal"), service(), Some(&forged), 7);
        count(&name("forged"), service(), Some(&forged), 6);
        count(&name("malformed"), service(), Some("Bearer a.b.c"), 6);
        count(&name("missing"), service(), None, 5);

        let cached = tokens().cache(TokenCache::new(1 << 20).cache_hmac()).build().unwrap();
        let cached = AuthenticateLayer::new(cached).layer(service_fn(inner));
        let first = cached.clone().call(request(Some(&bearer)));
        assert_eq!(first.now_or_never().unwrap().unwrap().status(), 200);
        count(&name("cached"), cached, Some(&bearer), 3);
    }
    let users = Users::new([("alice", "correct horse")]).unwrap();
    let basic = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    let right = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
    count("basic/admitted", basic.layer(service_fn(inner)), Some(right), 4);
    let wrong = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";
    count("basic/first refusal", basic.layer(service_fn(inner)), Some(wrong), 8);
    count("basic/refused", basic.layer(service_fn(inner)), Some(wrong), 7);
    count("basic/missing", basic.layer(service_fn(inner)), None, 5);
    // Found right once, and then remembered.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hash = PasswordHash::new("correct horse").unwrap();
    let verifier = HashVerifier::new(HashedUsers::new([("alice", hash.as_str())]).unwrap());
    let hashed = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    runtime.block_on(hashed.layer(service_fn(inner)).call(request(Some(right)))).unwrap();
    count("basic/remembered", hashed.layer(service_fn(inner)), Some(right), 4);
}
