//! Measures what revocation adds to a request whose token the process knows.
//!
//! `cargo bench -p tower-auth-benches --bench revocation` prints the median time of a request with
//! and without revocation, and of the difference within a round. It fails if a known token
//! allocates more or asks the store, if a new one takes more than one round trip, or if 1,000 equal
//! new ones ask more than once.

use std::{
    convert::Infallible,
    future::Ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use allocation_counter::measure as count_allocations;
use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http::{Request, Response, header::AUTHORIZATION};
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, JwtAuth,
    jwt::{Keys, TokenCache},
    revocation::Revocations,
    store::{Memory, SealedStore, Store, StoreFuture, StoreKey, StoreSecret, Ttl},
};
use tower_auth_test_support::{
    rounds::{Row, measure, median},
    token::{AUDIENCE, ISSUER, Signer, usual_claims},
};

/// A store that counts reads. They end at the second poll.
#[derive(Clone)]
struct CountedStore {
    inner: Memory,
    reads: Arc<AtomicUsize>,
}

impl CountedStore {
    fn take_reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl Store for CountedStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let found = self.inner.get(keys);
        StoreFuture::pending(async {
            tokio::task::yield_now().await;
            found.await
        })
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.inner.put(key, value, ttl)
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.inner.insert(key, value, ttl)
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.inner.replace(key, current, value, ttl)
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.inner.add(keys, delta, ttl)
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.inner.take(key)
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        self.inner.now()
    }
}

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    std::future::ready(Ok(Response::new(())))
}

fn request(authorization: &str) -> Request<()> {
    let mut request = Request::new(());
    request.headers_mut().insert(AUTHORIZATION, authorization.parse().unwrap());
    request
}

/// Sends a request that needs no store.
fn send<S>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let response = service.call(request).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), 200);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = CountedStore { inner: Memory::new(), reads: Arc::default() };
    let key = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let sealed = SealedStore::new(store.clone(), StoreSecret::new(key).unwrap());
    // The answers stay warm for the whole run.
    let revocations = Revocations::builder(sealed)
        .longest_token_life(Duration::from_secs(3_600))
        .staleness(Duration::from_secs(300))
        .build()
        .unwrap();
    let mut rows = Vec::new();
    for (algorithm, is_cached) in [("EdDSA", true), ("HS256", true), ("HS256", false)] {
        let signer = Signer::generate(algorithm, "1");
        let layer = |is_revocable: bool| {
            let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
            let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
            let builder = match is_cached {
                true => builder.cache(TokenCache::new(1 << 20).cache_hmac()),
                false => builder,
            };
            AuthenticateLayer::new(match is_revocable {
                true => builder.revocations(revocations.clone()).build().unwrap(),
                false => builder.build().unwrap(),
            })
        };
        for has_jti in [true, false] {
            let mut claims = usual_claims();
            claims["sid"] = format!("{algorithm} {is_cached} {has_jti}").into();
            claims["jti"] = claims["sid"].clone();
            if !has_jti {
                claims.as_object_mut().unwrap().remove("jti");
            }
            let bearer = format!("Bearer {}", signer.token(&claims));
            let services =
                [false, true].map(|is_revocable| layer(is_revocable).layer(service_fn(inner)));
            let [plain, mut revocable] = services;
            let name = format!(
                "{algorithm}{}{}",
                if is_cached { ", cached" } else { "" },
                if has_jti { "" } else { ", without jti" }
            );

            // A new token: the first of all creates the epoch and asks again.
            store.take_reads();
            let calls = (0..1_000).map(|_| revocable.call(request(&bearer)));
            let responses = runtime.block_on(join_all(calls));
            assert!(responses.iter().all(|response| response.as_ref().unwrap().status() == 200));
            let expected = if rows.is_empty() { 2 } else { 1 };
            let reads = store.take_reads();
            assert!(reads <= expected, "{name}: {reads} reads for 1,000 equal tokens");

            let mut allocations = [0; 2];
            for (count, mut service) in
                allocations.iter_mut().zip([plain.clone(), revocable.clone()])
            {
                send(&mut service, request(&bearer));
                let request = request(&bearer);
                *count = count_allocations(|| send(&mut service, request)).count_total;
            }
            println!("{name}: {} allocations, with revocation {}", allocations[0], allocations[1]);
            assert_eq!(allocations[0], allocations[1], "{name}: revocation allocates");
            assert_eq!(store.take_reads(), 0, "{name}: a known token asks the store");

            for (label, service) in [(false, plain), (true, revocable)] {
                rows.push(row((name.clone(), label), service, bearer.clone()));
            }
        }
    }
    println!("\n{:<32} {:>9} {:>9} {:>9}", "median of rounds, ns", "without", "with", "added");
    let measured = measure(rows);
    assert_eq!(store.take_reads(), 0, "known tokens ask the store");
    for pair in measured.chunks(2) {
        let [without, with] = pair else { continue };
        let added = with.rounds.iter().zip(&without.rounds).map(|(with, without)| with - without);
        let times = [&without.rounds, &with.rounds].map(|rounds| median(rounds.iter().copied()));
        let name = &with.name.0;
        println!("{name:<32} {:>9.0} {:>9.0} {:>9.0}", times[0], times[1], median(added));
    }
}

fn row<N, S>(name: N, mut service: S, bearer: String) -> Row<N>
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible> + 'static,
{
    Row::new(
        name,
        move || request(&bearer),
        move |request| service.call(request).now_or_never().unwrap().unwrap(),
    )
}
