//! Requests with API keys, with the keys and their owners in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use futures_util::FutureExt;
use http::StatusCode;
use tower::{Layer, service_fn};
use tower_auth::{
    AuthenticateLayer,
    api_key::{
        ApiKeyFuture, ApiKeyStore, ApiKeys, ApiKeysBuilder, KeyOwner, KeyOwners, MemoryApiKeys,
        NewApiKey, StoredApiKey,
    },
    bearer::BearerAuth,
    throttle::Throttle,
};

use crate::{
    bearer::bearer,
    prepared::{PreparedRequest, inner},
};

const SCOPES: [&str; 2] = ["orders:read", "orders:write"];

struct Owners(KeyOwner);

impl KeyOwners for Owners {
    fn find(&self, _: &str) -> ApiKeyFuture<Option<KeyOwner>> {
        ApiKeyFuture::ready(Ok(Some(self.0.clone())))
    }
}

fn builder(store: &Arc<MemoryApiKeys>) -> ApiKeysBuilder {
    ApiKeys::builder("acme", Arc::clone(store)).owners(Owners(KeyOwner::with_scopes(SCOPES)))
}

fn prepare(builder: ApiKeysBuilder, key: &str, status: StatusCode) -> PreparedRequest {
    let layer = AuthenticateLayer::new(BearerAuth::new(builder.build().unwrap()));
    PreparedRequest::new(layer.layer(service_fn(inner)), Some(&bearer(key)), status)
}

fn create(keys: &ApiKeys, owner: &str) -> String {
    let request = NewApiKey::new("export").scopes(SCOPES);
    let created = keys.dangerous_create_for(owner, request).now_or_never().unwrap();
    created.unwrap().key().to_owned()
}

/// Creates keys in a new store, and returns the last one.
fn filled(count: usize) -> (Arc<MemoryApiKeys>, String) {
    let store = Arc::new(MemoryApiKeys::new());
    let keys = builder(&store).build().unwrap();
    let mut last = String::new();
    for number in 0..count {
        last = create(&keys, &format!("user-{}", number / 10));
    }
    (store, last)
}

pub(crate) fn one_among(count: usize) -> PreparedRequest {
    let (store, key) = filled(count);
    prepare(builder(&store), &key, StatusCode::OK)
}

pub(crate) fn with_throttle() -> PreparedRequest {
    let (store, key) = filled(10);
    let throttle = Throttle::by_address(|_| Some([192, 0, 2, 1].into()));
    prepare(builder(&store).throttle(throttle), &key, StatusCode::OK)
}

pub(crate) fn malformed() -> PreparedRequest {
    let (store, key) = filled(10);
    let digit = if key.ends_with('0') { "1" } else { "0" };
    let changed = format!("{}{digit}", &key[..key.len() - 1]);
    prepare(builder(&store), &changed, StatusCode::UNAUTHORIZED)
}

pub(crate) fn unknown_id() -> PreparedRequest {
    let ((store, _), (_, unknown)) = (filled(10), filled(10));
    prepare(forgetful(&store), &unknown, StatusCode::UNAUTHORIZED)
}

pub(crate) fn wrong_secret() -> PreparedRequest {
    let ((store, _), (other, key)) = (filled(10), filled(10));
    let stored = other.find(key.split('_').nth(1).unwrap()).now_or_never().unwrap();
    let StoredApiKey { info, mut digest } = stored.unwrap().unwrap();
    digest[0] ^= 1;
    let inserted = store.insert(StoredApiKey { info, digest }, 100).now_or_never().unwrap();
    inserted.unwrap();
    prepare(forgetful(&store), &key, StatusCode::UNAUTHORIZED)
}

/// Returns a builder with a clock on which each request is later than the time for which unknown
/// keys are remembered.
fn forgetful(store: &Arc<MemoryApiKeys>) -> ApiKeysBuilder {
    let seconds = AtomicU64::new(1_700_000_000);
    let now = move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(31, Ordering::Relaxed));
    builder(store).clock(now)
}
