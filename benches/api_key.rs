//! Measures requests with API keys, with the keys and their owners in memory.
//!
//! `cargo bench -p tower-auth-benches --bench api_key` prints the median time of a request with a
//! key among 10 and among a million keys, next to that of the bare service. The limit is 0.8 µs
//! above the bare service. It fails if a request or a creation makes more allocations than now, or
//! if the allocations of a request depend on the number of keys.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use allocation_counter::measure as count_allocations;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer,
    api_key::{ApiKeyFuture, ApiKeys, KeyOwner, KeyOwners, MemoryApiKeys, NewApiKey},
    bearer::BearerAuth,
    credentials::TokenLocation,
};

/// Of which the extensions map makes three.
const MAX_ALLOCATIONS: u64 = 8;
const MAX_ALLOCATIONS_OF_CREATION: u64 = 30;
const KEYS_PER_OWNER: usize = 10;
const ROUNDS: usize = 200_000;

/// Owners that are in memory and have two scopes.
struct Owners(KeyOwner);

impl KeyOwners for Owners {
    fn find(&self, _: &str) -> ApiKeyFuture<Option<KeyOwner>> {
        ApiKeyFuture::ready(Ok(Some(self.0.clone())))
    }
}

fn api_keys(
    store: Arc<MemoryApiKeys>,
    clock: impl Fn() -> SystemTime + Send + Sync + 'static,
) -> ApiKeys {
    let owners = Owners(KeyOwner::with_scopes(["orders:read", "orders:write"]));
    ApiKeys::builder("acme", store).owners(owners).clock(clock).build().unwrap()
}

fn create(keys: &ApiKeys, number: usize) -> String {
    let request = NewApiKey::new("export").scopes(["orders:read", "orders:write"]);
    let owner = format!("user-{}", number / KEYS_PER_OWNER);
    let created = keys.dangerous_create_for(&owner, request).now_or_never().unwrap();
    created.unwrap().key().to_owned()
}

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    ready(Ok(Response::new(())))
}

fn protected(
    keys: &ApiKeys,
) -> impl Service<Request<()>, Response = Response<()>, Error = Infallible> {
    let keys = BearerAuth::new(keys.clone()).token_from(TokenLocation::header("x-api-key"));
    AuthenticateLayer::new(keys).layer(service_fn(inner))
}

fn request(key: &str) -> Request<()> {
    let mut request = Request::new(());
    request.headers_mut().insert("x-api-key", HeaderValue::from_str(key).unwrap());
    request
}

/// Sends a request with each of the keys in turn. Returns the median time and the allocations of
/// one request.
fn measure<S>(mut service: S, keys: &[String], expected: u16) -> (Duration, u64)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut send = |request| service.call(request).now_or_never().unwrap().unwrap();
    for key in keys {
        assert_eq!(send(request(key)).status(), expected);
    }
    let counted = request(&keys[0]);
    let allocations = count_allocations(|| drop(send(counted))).count_total;
    let mut times = Vec::with_capacity(ROUNDS);
    for key in keys.iter().cycle().take(ROUNDS) {
        let request = black_box(request(key));
        let started = Instant::now();
        let response = send(request);
        times.push(started.elapsed());
        assert_eq!(black_box(response).status(), expected);
    }
    times.sort_unstable();
    (times[ROUNDS / 2], allocations)
}

fn report(name: &str, (time, allocations): (Duration, u64), bare: Duration) {
    let above = time.as_nanos() as f64 - bare.as_nanos() as f64;
    println!(
        "{name:<28} {:>6} ns, {above:>6} above, {allocations:>2} allocations",
        time.as_nanos()
    );
}

fn main() {
    let ten = vec![String::from("x"); 10];
    let (bare, allocations) = measure(service_fn(inner), &ten, 200);
    report("bare", (bare, allocations), bare);

    let mut counts = Vec::new();
    for count in [10, 1_000_000] {
        let keys = api_keys(Arc::default(), SystemTime::now);
        let texts: Vec<_> = (0..count).map(|number| create(&keys, number)).collect();
        let same = measure(protected(&keys), &texts[..10], 200);
        report(&format!("one of 10 among {count}"), same, bare);
        // Most of them are in no processor cache, and not among the recently accepted ones.
        let all = measure(protected(&keys), &texts, 200);
        report(&format!("any of {count}"), all, bare);
        assert!(same.1 <= MAX_ALLOCATIONS, "{} allocations", same.1);

        let started = Instant::now();
        let creation = count_allocations(|| drop(create(&keys, count * 2))).count_total;
        println!("creation: {:?}, {creation} allocations", started.elapsed());
        assert!(creation <= MAX_ALLOCATIONS_OF_CREATION, "{creation} allocations");
        counts.push(same.1);

        let malformed = texts[0].replace('_', "-");
        let malformed = measure(protected(&keys), &[malformed], 401);
        report("malformed", malformed, bare);
    }
    assert_eq!(counts[0], counts[1]);
}
