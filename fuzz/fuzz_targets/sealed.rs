//! Verifies a token while the store returns any bytes for each record. Nothing panics, and the
//! token is accepted only if the store returns no record at all.
//!
//! The input is split at line feeds into the values that the store returns. An empty line is a
//! missing record.
#![no_main]

use std::{
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use tower_auth::{
    JwtAuth, RejectionKind,
    jwt::Keys,
    revocation::Revocations,
    store::{SealedStore, Store, StoreFuture, StoreKey, StoreSecret, Ttl},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, usual_claims};

/// The values that the store returns for the next `get`.
static VALUES: Mutex<Vec<Option<Bytes>>> = Mutex::new(Vec::new());

struct Hostile;

impl Store for Hostile {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let values = VALUES.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let missing = std::iter::repeat_n(None, keys.len());
        StoreFuture::ready(Ok(values.into_iter().chain(missing).take(keys.len()).collect()))
    }

    fn put(&self, _: &StoreKey, _: Bytes, _: Ttl) -> StoreFuture<()> {
        StoreFuture::ready(Ok(()))
    }

    fn insert(&self, _: &StoreKey, _: Bytes, _: Ttl) -> StoreFuture<bool> {
        StoreFuture::ready(Ok(true))
    }

    fn replace(&self, _: &StoreKey, _: Bytes, _: Bytes, _: Ttl) -> StoreFuture<bool> {
        StoreFuture::ready(Ok(true))
    }

    fn add(&self, keys: &[StoreKey], _: i64, _: Ttl) -> StoreFuture<Vec<i64>> {
        StoreFuture::ready(Ok(vec![1; keys.len()]))
    }

    fn take(&self, _: &StoreKey) -> StoreFuture<Option<Bytes>> {
        StoreFuture::ready(Ok(None))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        StoreFuture::ready(Ok(SystemTime::now()))
    }
}

static TOKEN: LazyLock<(Keys, String)> = LazyLock::new(|| {
    let signer = Signer::generate("HS256", "1");
    let keys = serde_json::json!({ "keys": [signer.jwk()] });
    (Keys::from_json(keys.to_string()).unwrap(), signer.token(&usual_claims()))
});

/// The records of the token, the subject, the issuer and the epoch. Then follows a counter, which
/// is not sealed.
const SEALED: usize = 4;

fuzz_target!(|input: &[u8]| {
    let lines = input.split(|byte| *byte == b'\n').take(SEALED + 1);
    let values: Vec<_> =
        lines.map(|line| (!line.is_empty()).then(|| Bytes::copy_from_slice(line))).collect();
    let has_sealed = values.iter().take(SEALED).any(Option::is_some);
    let has_counter = values.get(SEALED).is_some_and(Option::is_some);
    *VALUES.lock().unwrap_or_else(PoisonError::into_inner) = values;

    let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
    let revocations = Revocations::builder(SealedStore::new(Hostile, secret))
        .longest_token_life(Duration::from_secs(3_600))
        .staleness(Duration::ZERO)
        .build()
        .unwrap();
    let (keys, token) = &*TOKEN;
    let tokens = JwtAuth::builder(keys.clone())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .revocations(revocations)
        .build()
        .unwrap();
    match tokens.verify(token).now_or_never().expect("the store is ready") {
        Ok(_) => assert!(!has_sealed),
        Err(rejection) => {
            assert!(has_sealed || has_counter, "{rejection:?}");
            if has_sealed {
                assert_eq!(rejection.kind(), RejectionKind::Unavailable, "{rejection:?}");
            }
        }
    }
});
