//! How often a layer allocates for one request, beyond the bare service: `cargo bench --bench allocations`.
//!
//! Three allocations of each admitted request are the extensions map's own. Those of aws-lc are in C, and
//! are not seen here.
#![allow(missing_docs)]

#[path = "../tests/common/token.rs"]
#[allow(dead_code, unreachable_pub)]
mod token;

use std::{convert::Infallible, future::Ready};

use allocation_counter::measure;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth,
    basic::{HashVerifier, HashedUsers, PasswordHash, Users},
    jwt::Keys,
};

use crate::token::{AUDIENCE, ISSUER, Signer, claims};

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    std::future::ready(Ok(Response::new(())))
}

fn count<S>(name: &str, mut service: S, authorization: Option<&str>)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut request = Request::new(());
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    let mut status = 0;
    let counted = measure(|| {
        status = service.call(request).now_or_never().unwrap().unwrap().status().as_u16();
    });
    println!(
        "{name:<24} {status} {:>3} allocations {:>6} bytes",
        counted.count_total, counted.bytes_total
    );
}

fn main() {
    count("bare", service_fn(inner), None);
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let signer = Signer::generate(algorithm, "1");
        let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
        let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
        let layer = AuthenticateLayer::new(tokens);
        let bearer = format!("Bearer {}", signer.token(&claims()));
        count(
            &format!("bearer/{algorithm}/admitted"),
            layer.layer(service_fn(inner)),
            Some(&bearer),
        );
        count(
            &format!("bearer/{algorithm}/refused"),
            layer.layer(service_fn(inner)),
            Some("Bearer a.b.c"),
        );
    }
    let users = Users::new([("alice", "correct horse")]).unwrap();
    let basic = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    let right = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
    count("basic/admitted", basic.layer(service_fn(inner)), Some(right));
    // Found right once, and then remembered.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hash = PasswordHash::new("correct horse").unwrap();
    let verifier = HashVerifier::new(HashedUsers::new([("alice", hash.as_str())]).unwrap());
    let hashed = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let first = Request::builder().header(AUTHORIZATION, right).body(()).unwrap();
    runtime.block_on(hashed.layer(service_fn(inner)).call(first)).unwrap();
    count("basic/hashed/remembered", hashed.layer(service_fn(inner)), Some(right));
    count("basic/missing", basic.layer(service_fn(inner)), None);
}
