//! Measures requests with sessions in memory.
//!
//! `cargo bench -p tower-auth-benches --bench session` prints the median time of a request, among
//! 10 and among 100,000 sessions, next to that of the bare service. The limit is 0.6 µs above the
//! bare service. It fails if a request makes more allocations than now, or if this depends on the
//! number of sessions.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    time::{Duration, Instant},
};

use allocation_counter::measure as count_allocations;
use futures_util::FutureExt;
use http::{
    HeaderValue, Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{AuthenticateLayer, Principal, Scheme, session::Sessions, store::SealedStore};

/// Of which the extensions map makes three.
const MAX_ALLOCATIONS: u64 = 6;
const ROUNDS: usize = 200_000;

/// Returns the cookie of a new session.
fn start(sessions: &Sessions, number: usize) -> HeaderValue {
    let claims = json!({
        "sub": format!("user-{number}"), "name": "Alice Smith", "email": "alice@example.com",
        "roles": ["editor", "reviewer"], "tenant": { "id": 7, "name": "acme" },
    });
    let user = Principal::builder(format!("user-{number}"), Scheme::COOKIE)
        .scopes(["orders:read", "orders:write"])
        .claims(&claims)
        .unwrap()
        .build();
    let (head, ()) = Request::new(()).into_parts();
    let mut response = Response::new(());
    sessions.start(&user, &head, &mut response).now_or_never().unwrap().unwrap();
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    HeaderValue::from_str(cookie.split(';').next().unwrap()).unwrap()
}

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    ready(Ok(Response::new(())))
}

fn request(cookie: &HeaderValue) -> Request<()> {
    let mut request = Request::new(());
    request.headers_mut().insert(COOKIE, cookie.clone());
    request
}

/// Sends a request with each of the cookies in turn. Returns the median time and the allocations of
/// one request.
fn measure<S>(mut service: S, cookies: &[HeaderValue], expected: u16) -> (Duration, u64)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut send = |request| service.call(request).now_or_never().unwrap().unwrap();
    for cookie in cookies {
        assert_eq!(send(request(cookie)).status(), expected);
    }
    let counted = request(&cookies[0]);
    send(request(&cookies[0]));
    let allocations = count_allocations(|| drop(send(counted))).count_total;
    let mut times = Vec::with_capacity(ROUNDS);
    for cookie in cookies.iter().cycle().take(ROUNDS) {
        let request = black_box(request(cookie));
        let started = Instant::now();
        let response = send(request);
        times.push(started.elapsed());
        assert_eq!(black_box(response).status(), expected);
    }
    times.sort_unstable();
    (times[ROUNDS / 2], allocations)
}

fn report(name: &str, (time, allocations): (Duration, u64), bare: (Duration, u64)) -> u64 {
    let above = time.as_nanos().saturating_sub(bare.0.as_nanos());
    let more = allocations - bare.1;
    println!("{name:<28} {:>6} ns, {above:>6} above, {more:>2} allocations", time.as_nanos());
    more
}

fn main() {
    let cookie = HeaderValue::from_static("__Host-session=AAAAAAAAAAAAAAAAAAAAAA");
    let bare = measure(service_fn(inner), &[cookie], 200);
    report("bare", bare, bare);

    let mut counts = Vec::new();
    for count in [10, 10_000, 100_000] {
        let sessions = Sessions::builder(SealedStore::memory()).build().unwrap();
        let layer = AuthenticateLayer::new(sessions.clone());
        let mut cookies: Vec<_> = (0..count).map(|number| start(&sessions, number)).collect();
        // The store then has a counter of revocations.
        sessions.end_all("user-9").now_or_never().unwrap().unwrap();
        cookies.swap_remove(9);
        let service = || layer.layer(service_fn(inner));
        let same = measure(service(), &cookies[..9], 200);
        counts.push(report(&format!("one of 10 among {count}"), same, bare));
        // Most of them are in no processor cache. Of 100,000, some are not known any more.
        report(&format!("any of {count}"), measure(service(), &cookies, 200), bare);

        let unknown = HeaderValue::from_static("__Host-session=AAAAAAAAAAAAAAAAAAAAAA");
        report("unknown", measure(service(), &[unknown], 401), bare);
    }
    assert!(counts.iter().all(|count| *count <= MAX_ALLOCATIONS), "{counts:?} allocations");
    assert_eq!(counts[0], counts[2]);
}
