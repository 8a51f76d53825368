//! Measures the verification of a token with 10 and with 10,000 keys, both fixed and from a live
//! key set.
//!
//! `cargo bench -p tower-auth-benches --bench keys` fails if the number or source of keys changes
//! the number of allocations, or if it doubles the time of 10 fixed keys.

use std::{hint::black_box, time::Instant};

use allocation_counter::measure;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION, request::Parts};
use serde_json::json;
use tower_auth::{
    Authenticator, JwtAuth,
    jwks::FetchError,
    jwt::{Jwks, KeySource, Keys},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, claims};

const ROUNDS: u32 = 2_000;

fn authenticate(tokens: &JwtAuth, head: &Parts) {
    black_box(tokens.authenticate(head).unwrap().now_or_never().unwrap().into_result()).unwrap();
}

/// Returns the nanoseconds per request in the fastest of 20 runs, and its allocations.
fn measure_request(tokens: &JwtAuth, head: &Parts) -> (f64, u64) {
    let run = || {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| authenticate(tokens, head));
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    };
    let fastest = (0..20).map(|_| run()).fold(f64::INFINITY, f64::min);
    (fastest, measure(|| authenticate(tokens, head)).count_total)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let signer = Signer::generate("EdDSA", "key 5");
    let bearer = format!("Bearer {}", signer.token(&claims()));
    let head = Request::builder().header(AUTHORIZATION, bearer).body(()).unwrap().into_parts().0;
    let build =
        |keys: KeySource| JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let (mut nanos, mut allocations) = (Vec::new(), Vec::new());
    for count in [10, 10_000] {
        let jwks: Vec<_> = (0..count)
            .map(|index| {
                let mut jwk = signer.jwk();
                jwk["kid"] = format!("key {index}").into();
                // Without `alg`, 10,000 keys fit into the limit of 1 MiB.
                jwk.as_object_mut().unwrap().remove("alg");
                jwk
            })
            .collect();
        let set = Bytes::from(json!({ "keys": jwks }).to_string());
        let fixed = build(Keys::from_json(&set).unwrap().into());
        let fetch = move |_: Request<()>| {
            std::future::ready(Ok::<_, FetchError>(Response::new(set.clone())))
        };
        let live = build(Jwks::url("memory://keys").client(fetch).into());
        while !live.health().unwrap().is_ready() {
            std::thread::yield_now();
        }
        for (name, tokens) in [("fixed", &fixed), ("live", &live)] {
            let (ns, allocated) = measure_request(tokens, &head);
            println!("{name:<6} {count:>6} keys {ns:>10.0} ns {allocated:>4} allocations");
            nanos.push(ns);
            allocations.push(allocated);
        }
    }
    assert!(allocations.iter().all(|allocated| *allocated == allocations[0]), "{allocations:?}");
    // A linear search among 10,000 keys would take far more than twice as long.
    assert!(nanos.iter().all(|ns| *ns < 2.0 * nanos[0]), "{nanos:?}");
}
