//! Measures lookups among up to a million cached tokens or users, and the memory that they take.
//!
//! `cargo bench -p tower-auth-benches --bench many` looks up the same entry repeatedly ("same
//! entry"), or a different entry each time ("all entries"), in which case most entries are not in a
//! processor cache. It fails if the lookup of the same entry takes longer with more entries, or if
//! the entries exceed their memory limit. The bench `keys` does the same for keys.

use std::{hint::black_box, time::Instant};

use allocation_counter::measure;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, header::AUTHORIZATION, request::Parts};
use serde_json::json;
use tower_auth::{
    Authenticator, BasicAuth, JwtAuth,
    basic::Users,
    jwt::{Keys, TokenCache},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, claims};

fn main() {
    println!(
        "{:<22} {:>14} {:>15} {:>15}",
        "", "same entry, ns", "all entries, ns", "bytes per entry"
    );
    assert_constant_time(&[100, 10_000, 1_000_000].map(measure_cached_tokens));
    assert_constant_time(&[10, 1_000, 1_000_000].map(measure_users));
}

fn assert_constant_time(nanos: &[f64]) {
    assert!(nanos.iter().all(|ns| *ns < 2.0 * nanos[0]), "{nanos:?}");
}

fn measure_cached_tokens(count: usize) -> f64 {
    let signer = Signer::generate("HS256", "1");
    let values: Vec<_> = (0..count)
        .map(|number| {
            let mut claims = claims();
            claims["sub"] = format!("user-{number}").into();
            header_value(&format!("Bearer {}", signer.token(&claims)))
        })
        .collect();
    // An entry counts as the token, its claims and a reserve of twice their size, 416 bytes for
    // the positions of the claims, and 512 bytes.
    let max_bytes = count as u64 * (values[count - 1].len() as u64 + 3 * 160 + 416 + 512);
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let cached = builder.cache(TokenCache::new(max_bytes).cache_hmac()).build().unwrap();
    let mut head = Request::new(()).into_parts().0;
    authenticate(&cached, &mut head, &values[0]);
    let filled =
        measure(|| values.iter().for_each(|value| authenticate(&cached, &mut head, value)));
    let bytes = u64::try_from(filled.bytes_current).unwrap();
    assert!(bytes <= max_bytes, "{bytes} bytes, limit {max_bytes}");
    // No entry was evicted: a token that is verified again allocates several times.
    let again = measure(|| values.iter().for_each(|value| authenticate(&cached, &mut head, value)));
    assert!(again.count_total < count as u64, "{} allocations", again.count_total);
    report("cached tokens", count, bytes, &cached, &values)
}

/// Measures users with fixed passwords.
fn measure_users(count: usize) -> f64 {
    let pairs = (0..count).map(|number| (format!("user-{number}"), format!("password {number}")));
    let mut users = None;
    let filled = measure(|| users = Some(Users::new(pairs.clone()).unwrap()));
    let values: Vec<_> = pairs
        .map(|(id, password)| {
            header_value(&format!("Basic {}", STANDARD.encode(format!("{id}:{password}"))))
        })
        .collect();
    let bytes = u64::try_from(filled.bytes_current).unwrap();
    assert!(bytes <= count as u64 * 768, "{bytes} bytes");
    let basic = BasicAuth::new("staff", users.unwrap()).unwrap();
    report("users", count, bytes, &basic, &values)
}

fn header_value(text: &str) -> HeaderValue {
    text.parse().unwrap()
}

fn authenticate(authenticator: &impl Authenticator, head: &mut Parts, value: &HeaderValue) {
    head.headers.insert(AUTHORIZATION, value.clone());
    black_box(authenticator.authenticate(head).unwrap().now_or_never().unwrap().into_result())
        .unwrap();
}

/// Prints the lookup times, and returns the nanoseconds for the same entry.
fn report(
    entries: &str,
    count: usize,
    bytes: u64,
    authenticator: &impl Authenticator,
    values: &[HeaderValue],
) -> f64 {
    const ROUNDS: usize = 20_000;

    let mut head = Request::new(()).into_parts().0;
    let mut nanos_per_lookup = |step: usize| {
        let run = |_| {
            let start = Instant::now();
            // A step that is coprime to the count visits every entry before it repeats one.
            (0..ROUNDS).for_each(|round| {
                authenticate(authenticator, &mut head, &values[(count / 2 + round * step) % count]);
            });
            start.elapsed().as_nanos() as f64 / ROUNDS as f64
        };
        (0..20).map(run).fold(f64::INFINITY, f64::min)
    };
    let (same, all) = (nanos_per_lookup(0), nanos_per_lookup(7_919));
    let name = format!("{count} {entries}");
    println!("{name:<22} {same:>14.0} {all:>15.0} {:>15}", bytes / count as u64);
    same
}
