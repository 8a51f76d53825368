//! That one among a million costs what one among a few does, and what a million take: `cargo bench -p tower-auth-benches --bench many`.
//!
//! `same` is one asked for again and again, `each` one after the other, so that most come from memory that no cache of the
//! processor holds. It fails where `same` grows, or where more memory is taken than the docs say. Keys are in `keys`.

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
    println!("{:<22} {:>9} {:>9} {:>14}", "", "same, ns", "each, ns", "bytes for one");
    let counts = [100, 10_000, 1_000_000];
    assert_flat(&counts.map(tokens));
    assert_flat(&[10, 1_000, 1_000_000].map(users));
}

fn assert_flat(nanos: &[f64]) {
    assert!(nanos.iter().all(|one| *one < 2.0 * nanos[0]), "{nanos:?}");
}

/// Tokens that are remembered.
fn tokens(count: usize) -> f64 {
    let signer = Signer::generate("HS256", "1");
    let fields: Vec<_> = (0..count)
        .map(|number| {
            let mut claims = claims();
            claims["sub"] = format!("user-{number}").into();
            field(&format!("Bearer {}", signer.token(&claims)))
        })
        .collect();
    // As much as they need, by the docs of the cache: themselves, their claims, and 512 bytes.
    let max_bytes = count as u64 * (fields[count - 1].len() as u64 + 160 + 512);
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let cached = builder.cache(TokenCache::new(max_bytes).cache_hmac()).build().unwrap();
    let mut head = Request::new(()).into_parts().0;
    ask(&cached, &mut head, &fields[0]);
    let filled = measure(|| fields.iter().for_each(|field| ask(&cached, &mut head, field)));
    let bytes = u64::try_from(filled.bytes_current).unwrap();
    assert!(bytes <= max_bytes, "{bytes} bytes in place of {max_bytes}");
    // None was driven out: each would make as many allocations as a token that is verified.
    let again = measure(|| fields.iter().for_each(|field| ask(&cached, &mut head, field)));
    assert!(again.count_total < count as u64, "{} allocations", again.count_total);
    report("cached tokens", count, bytes, &cached, &fields)
}

/// Users with fixed passwords.
fn users(count: usize) -> f64 {
    let pairs = (0..count).map(|number| (format!("user-{number}"), format!("password {number}")));
    let mut users = None;
    let filled = measure(|| users = Some(Users::new(pairs.clone()).unwrap()));
    let fields: Vec<_> = pairs
        .map(|(id, password)| {
            field(&format!("Basic {}", STANDARD.encode(format!("{id}:{password}"))))
        })
        .collect();
    let bytes = u64::try_from(filled.bytes_current).unwrap();
    assert!(bytes <= count as u64 * 768, "{bytes} bytes");
    let basic = BasicAuth::new("staff", users.unwrap()).unwrap();
    report("users", count, bytes, &basic, &fields)
}

fn field(text: &str) -> HeaderValue {
    text.parse().unwrap()
}

fn ask(authenticator: &impl Authenticator, head: &mut Parts, field: &HeaderValue) {
    head.headers.insert(AUTHORIZATION, field.clone());
    black_box(authenticator.authenticate(head).unwrap().now_or_never().unwrap()).unwrap();
}

/// Nanoseconds for the same again and again, which is what must not grow.
fn report(
    what: &str,
    count: usize,
    bytes: u64,
    authenticator: &impl Authenticator,
    fields: &[HeaderValue],
) -> f64 {
    const ROUNDS: usize = 20_000;

    let mut head = Request::new(()).into_parts().0;
    let mut time = |step: usize| {
        let run = |_| {
            let start = Instant::now();
            // A step that shares no factor with the count meets each of them.
            (0..ROUNDS).for_each(|round| {
                ask(authenticator, &mut head, &fields[(count / 2 + round * step) % count]);
            });
            start.elapsed().as_nanos() as f64 / ROUNDS as f64
        };
        (0..20).map(run).fold(f64::INFINITY, f64::min)
    };
    let (same, each) = (time(0), time(7_919));
    let name = format!("{count} {what}");
    println!("{name:<22} {same:>9.0} {each:>9.0} {:>14}", bytes / count as u64);
    same
}
