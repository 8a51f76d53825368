//! Values of any bytes and sizes, and many keys.

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    operations::read,
    suite::{StoreSuite, long, require, value},
};
use crate::random::random_bytes;
use crate::store::key::{Purpose, StoreKey};

const MANY: usize = 100_000;
const MIB: usize = 1 << 20;

pub(super) async fn run(suite: &StoreSuite) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let random = random_bytes::<4096>().repeat(MIB / 4096);
    let values = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"\0a\0"),
        Bytes::from_static(b"\xff\xfe\xc3\x28"),
        Bytes::from_static(b" '\"\\\r\n;--%s$1 "),
        Bytes::from_static(b"007"),
        every_byte.into(),
        vec![0; MIB].into(),
        random.into(),
    ];
    for bytes in &values {
        any_value(suite, bytes).await;
    }
    nearly_equal_values(suite).await;
    many_keys(suite).await;
}

async fn any_value(suite: &StoreSuite, bytes: &Bytes) {
    let rule = "values are any bytes, up to 1 MiB";
    let (store, other) = (suite.store(), Bytes::from_static(b"other"));
    let check = |operation: &str, found: Option<Bytes>| {
        let start = bytes.slice(..bytes.len().min(20));
        let length = found.as_ref().map(Bytes::len);
        let observed = format!(
            "{} bytes that start with {start:?}: found {length:?} bytes after {operation}",
            bytes.len(),
        );
        require(found.as_ref() == Some(bytes), rule, observed);
    };
    let key = suite.key();
    value("put", store.put(&key, bytes.clone(), long())).await;
    check("put", read(suite, key).await);
    let is_written = value("insert", store.insert(&key, other.clone(), long())).await;
    let observed = format!("insert replaced a record of {} bytes", bytes.len());
    require(!is_written, rule, observed);
    let is_written = value("replace", store.replace(&key, bytes.clone(), other, long())).await;
    let observed = format!("replace did not find a value of {} bytes", bytes.len());
    require(is_written, rule, observed);
    let other = Bytes::from_static(b"other");
    value("replace", store.replace(&key, other, bytes.clone(), long())).await;
    check("replace", read(suite, key).await);
    check("replace and take", value("take", store.take(&key)).await);
    let key = suite.key();
    value("insert", store.insert(&key, bytes.clone(), long())).await;
    check("insert", read(suite, key).await);
}

#[allow(clippy::expect_used)] // a constant length
async fn nearly_equal_values(suite: &StoreSuite) {
    let (store, key) = (suite.store(), suite.key());
    let mut bytes = vec![7; MIB];
    value("put", store.put(&key, bytes.clone().into(), long())).await;
    *bytes.last_mut().expect("it is not empty") = 8;
    let is_written =
        value("replace", store.replace(&key, bytes.into(), Bytes::new(), long())).await;
    let rule = "replace writes only if the current value is exactly the expected one";
    require(!is_written, rule, "two values of 1 MiB that differ in the last byte");
}

async fn many_keys(suite: &StoreSuite) {
    let rule = "a store holds 100,000 records";
    let keys: Vec<StoreKey> = (0..MANY).map(|_| suite.key_for(Purpose::Revocation)).collect();
    let bytes = |key: &StoreKey| Bytes::copy_from_slice(&key.as_bytes()[12..]);
    let mut writers = JoinSet::new();
    for (caller, keys) in keys.chunks(MANY / 20).enumerate() {
        let (store, keys) = (suite.store_for(caller), keys.to_vec());
        writers.spawn(async move {
            for key in keys {
                value("put", store.put(&key, bytes(&key), long())).await;
            }
        });
    }
    join(writers).await;
    for keys in keys.chunks(1_000) {
        let found = value("get", suite.store().get(keys)).await;
        let expected: Vec<_> = keys.iter().map(|key| Some(bytes(key))).collect();
        require(found == expected, rule, "some were not found, or were mixed up");
    }
}

/// Waits for all tasks, and passes panics on.
pub(super) async fn join<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        match result {
            Ok(result) => results.push(result),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => break,
            },
        }
    }
    results
}
