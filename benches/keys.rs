//! What it costs to choose among keys, and that live ones cost what given ones do: `cargo bench -p tower-auth-benches --bench keys`.
//! Read it as ratios within one run, and as counts of allocations.

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

fn check(tokens: &JwtAuth, head: &Parts) {
    black_box(tokens.authenticate(head).unwrap().now_or_never().unwrap()).unwrap();
}

/// Nanoseconds a check, the best of some runs, and its allocations.
fn cost(tokens: &JwtAuth, head: &Parts) -> (f64, u64) {
    let run = || {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| check(tokens, head));
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    };
    let best = (0..20).map(|_| run()).fold(f64::INFINITY, f64::min);
    (best, measure(|| check(tokens, head)).count_total)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let signer = Signer::generate("EdDSA", "key 5");
    let bearer = format!("Bearer {}", signer.token(&claims()));
    let head = Request::builder().header(AUTHORIZATION, bearer).body(()).unwrap().into_parts().0;
    let build =
        |keys: KeySource| JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let (mut nanos, mut allocations) = (Vec::new(), Vec::new());
    for count in [10, 10_000] {
        let members: Vec<_> = (0..count)
            .map(|at| {
                let mut jwk = signer.jwk();
                jwk["kid"] = format!("key {at}").into();
                // Short enough for 10,000 of them to fit into 1 MiB.
                jwk.as_object_mut().unwrap().remove("alg");
                jwk
            })
            .collect();
        let set = Bytes::from(json!({ "keys": members }).to_string());
        let given = build(Keys::from_json(&set).unwrap().into());
        let fetch = move |_: Request<()>| {
            std::future::ready(Ok::<_, FetchError>(Response::new(set.clone())))
        };
        let live = build(Jwks::url("memory://keys").client(fetch).into());
        while !live.health().unwrap().is_ready() {
            std::thread::yield_now();
        }
        for (name, tokens) in [("given", &given), ("live", &live)] {
            let (ns, count_of) = cost(tokens, &head);
            println!("{name:<6} {count:>6} keys {ns:>10.0} ns {count_of:>4} allocations");
            nanos.push(ns);
            allocations.push(count_of);
        }
    }
    assert!(allocations.iter().all(|count| *count == allocations[0]), "{allocations:?}");
    // A search through all keys would take far more than twice as long.
    assert!(nanos.iter().all(|ns| *ns < 2.0 * nanos[0]), "{nanos:?}");
}
