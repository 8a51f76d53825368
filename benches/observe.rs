//! Measures what metrics cost: a request with a cached token, a policy with two scopes and a role,
//! and a handler that reads six claims.
//!
//! `cargo bench -p tower-auth-benches --bench observe` prints the allocations and the median time
//! for each observer. It fails if metrics as the default observer allocate, or if metrics of a
//! layer allocate more than now. With `-- times`, it also fails if metrics as the default observer
//! take more than 5 % of the time of the request.
//!
//! The default observer is that of a process, so each measurement runs in a process of its own.

use std::{
    convert::Infallible,
    env,
    future::{Ready, ready},
    hint::black_box,
    process::{Command, Stdio},
    time::Instant,
};

use allocation_counter::measure as count_allocations;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, JwtAuth, Policy, Principal, RequireRoles, RequireScopes,
    jwt::{Keys, TokenCache},
    observe::{self, Metrics, Tracing},
};
use tower_auth_test_support::{
    rounds::median,
    token::{AUDIENCE, ISSUER, Signer, User, usual_claims},
};

/// The observers, and how many more allocations than without one a request makes at most.
const OBSERVERS: [(&str, u64); 4] = [("off", 0), ("default", 0), ("default pair", 0), ("layer", 2)];
/// How many processes measure each observer, if times are compared.
const PROCESSES: usize = 15;
const MAX_RATIO: f64 = 1.05;
const CALLS: usize = 200;
const BATCHES: usize = 2_000;

fn handler(request: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    let principal = request.extensions().get::<Principal>().unwrap();
    black_box(principal.claims_as::<User>().unwrap());
    ready(Ok(Response::new(())))
}

fn metrics() -> Metrics {
    let recorder = PrometheusBuilder::new().build_recorder();
    Metrics::builder().issuers(ISSUER).recorder(recorder).build()
}

/// Prints the allocations and the nanoseconds of one request.
fn measure(observer: &str) {
    let signer = Signer::generate("HS256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let tokens = tokens.cache(TokenCache::new(1 << 20).cache_hmac()).build().unwrap();
    let mut authenticate = AuthenticateLayer::new(tokens);
    match observer {
        "off" => {}
        "default" => observe::set_default(metrics()).unwrap(),
        "default pair" => observe::set_default((Tracing::default(), metrics())).unwrap(),
        "layer" => authenticate = authenticate.observer(metrics()),
        other => panic!("unknown observer {other}"),
    }
    let scopes = RequireScopes::all(["orders:read", "orders:write"]);
    let authorize = AuthorizeLayer::new(scopes.and(RequireRoles::any(["user"])));
    let mut service = authenticate.layer(authorize.layer(service_fn(handler)));
    let mut send = |request| service.call(request).now_or_never().unwrap().unwrap();

    let bearer = format!("Bearer {}", signer.token(&usual_claims()));
    let mut request = Request::new(());
    request.headers_mut().insert(AUTHORIZATION, bearer.parse().unwrap());
    for _ in 0..16 {
        assert_eq!(send(request.clone()).status(), 200);
    }
    let counted = request.clone();
    let allocations = count_allocations(|| drop(send(counted))).count_total;
    let times = (0..BATCHES).map(|_| {
        let requests: Vec<_> = (0..CALLS).map(|_| request.clone()).collect();
        let started = Instant::now();
        for request in requests {
            black_box(send(black_box(request)));
        }
        started.elapsed().as_nanos() as f64 / CALLS as f64
    });
    println!("{allocations} {}", median(times));
}

/// Runs this program for one observer.
fn measure_in_process(observer: &str) -> (u64, f64) {
    let output = Command::new(env::current_exe().unwrap())
        .env("TOWER_AUTH_OBSERVER", observer)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{observer}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (allocations, nanos) = text.trim().split_once(' ').unwrap();
    (allocations.parse().unwrap(), nanos.parse().unwrap())
}

fn main() {
    if let Ok(observer) = env::var("TOWER_AUTH_OBSERVER") {
        return measure(&observer);
    }
    let compares_times = env::args().any(|argument| argument == "times");
    let mut rounds = [const { Vec::new() }; OBSERVERS.len()];
    for _ in 0..if compares_times { PROCESSES } else { 1 } {
        for ((observer, _), results) in OBSERVERS.iter().zip(&mut rounds) {
            results.push(measure_in_process(observer));
        }
    }
    let [off, ..] = &rounds;
    let mut ratios = Vec::new();
    for ((observer, limit), results) in OBSERVERS.iter().zip(&rounds) {
        let nanos = median(results.iter().map(|(_, nanos)| *nanos));
        let ratio = median(results.iter().zip(off).map(|((_, with), (_, off))| with / off));
        let more = results[0].0 - off[0].0;
        println!("{observer:<14} {nanos:>6.0} ns, ratio {ratio:.3}, {more} more allocations");
        assert!(more <= *limit, "{observer}: {more} more allocations, limit {limit}");
        ratios.push(ratio);
    }
    if compares_times {
        assert!(ratios[1] <= MAX_RATIO, "metrics: ratio {:.3}, limit {MAX_RATIO}", ratios[1]);
    }
}
