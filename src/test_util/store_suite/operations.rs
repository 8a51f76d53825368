//! Each operation, one at a time.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;

use super::suite::{StoreSuite, long, require, value, violated};
use crate::store::key::{Purpose, StoreKey};

pub(super) async fn run(suite: &StoreSuite) {
    get(suite).await;
    put_and_insert(suite).await;
    replace(suite).await;
    take(suite).await;
    now(suite).await;
}

const A: Bytes = Bytes::from_static(b"a");
const B: Bytes = Bytes::from_static(b"b");

/// Reads one key.
pub(super) async fn read(suite: &StoreSuite, key: StoreKey) -> Option<Bytes> {
    let mut found = value("get", suite.store().get(&[key])).await;
    let rule = "get returns one value for each key, in the same order";
    require(found.len() == 1, rule, format!("it returned {} for one key", found.len()));
    found.pop().flatten()
}

async fn get(suite: &StoreSuite) {
    let store = suite.store();
    let rule = "get returns one value for each key, in the same order";
    let (one, two, missing) = (suite.key(), suite.key(), suite.key());
    value("put", store.put(&one, A, long())).await;
    value("put", store.put(&two, B, long())).await;
    let found = value("get", store.get(&[two, missing, one, two, missing, one])).await;
    let expected = [Some(B), None, Some(A), Some(B), None, Some(A)];
    require(found == expected, rule, format!("{found:?} instead of {expected:?}"));
    let found = value("get", store.get(&[])).await;
    require(found.is_empty(), rule, format!("{found:?} without keys"));

    let revocation = suite.key_for(Purpose::Revocation);
    let throttle = StoreKey::new(Purpose::Throttle, *revocation.as_bytes());
    value("put", store.put(&revocation, A, long())).await;
    let found = read(suite, throttle).await;
    require(
        found.is_none(),
        "keys of different purposes are different",
        format!("the record {revocation} was found under {throttle}"),
    );
}

async fn put_and_insert(suite: &StoreSuite) {
    let (store, key) = (suite.store(), suite.key());
    value("put", store.put(&key, A, long())).await;
    value("put", store.put(&key, B, long())).await;
    let found = read(suite, key).await;
    let rule = "put replaces an existing record";
    require(found == Some(B), rule, format!("{found:?} was found after it"));

    let is_written = value("insert", store.insert(&key, A, long())).await;
    let found = read(suite, key).await;
    let rule = "insert does not replace an existing record, and returns false";
    let observed = format!("it returned {is_written}, and {found:?} was found after it");
    require(!is_written && found == Some(B), rule, observed);

    let key = suite.key();
    let is_written = value("insert", store.insert(&key, A, long())).await;
    let found = read(suite, key).await;
    let rule = "insert writes a record if there is none, and returns true";
    let observed = format!("it returned {is_written}, and {found:?} was found after it");
    require(is_written && found == Some(A), rule, observed);
}

async fn replace(suite: &StoreSuite) {
    let (store, key) = (suite.store(), suite.key());
    let rule = "replace writes only if the current value is exactly the expected one";
    for current in [Bytes::new(), A] {
        let is_written = value("replace", store.replace(&key, current.clone(), B, long())).await;
        let found = read(suite, key).await;
        let observed = format!(
            "without a record, it returned {is_written} for {current:?}, and {found:?} was found"
        );
        require(!is_written && found.is_none(), rule, observed);
    }
    let current = Bytes::from_static(b"current");
    value("put", store.put(&key, current.clone(), long())).await;
    for other in ["", "curren", "currenT", "current\0", " current"] {
        let other = Bytes::from_static(other.as_bytes());
        let is_written = value("replace", store.replace(&key, other.clone(), B, long())).await;
        let found = read(suite, key).await;
        let observed = format!("{other:?} counted as {current:?}");
        require(!is_written && found.as_ref() == Some(&current), rule, observed);
    }
    let is_written = value("replace", store.replace(&key, current, B, long())).await;
    let found = read(suite, key).await;
    let rule = "replace writes if the current value is the expected one, and returns true";
    let observed = format!("it returned {is_written}, and {found:?} was found after it");
    require(is_written && found == Some(B), rule, observed);
}

async fn take(suite: &StoreSuite) {
    let (store, key) = (suite.store(), suite.key());
    let rule = "take returns the value and removes the record";
    let taken = value("take", store.take(&key)).await;
    require(taken.is_none(), rule, format!("{taken:?} without a record"));
    value("put", store.put(&key, A, long())).await;
    let taken = value("take", store.take(&key)).await;
    require(taken == Some(A), rule, format!("{taken:?} instead of {A:?}"));
    let found = read(suite, key).await;
    require(found.is_none(), rule, format!("{found:?} was found after it"));
    let taken = value("take", store.take(&key)).await;
    require(taken.is_none(), rule, format!("the second call returned {taken:?}"));
    let is_written = value("insert", store.insert(&key, B, long())).await;
    require(is_written, rule, "insert returned false after it");
}

async fn now(suite: &StoreSuite) {
    let store = suite.store();
    let rule = "now is the time of the store's clock, which advances";
    let before = value("now", store.now()).await;
    require(before > UNIX_EPOCH, rule, format!("it is {before:?}"));
    let passed = Duration::from_millis(50);
    suite.pass(passed).await;
    let after = match store.now().into_ready() {
        Ok(Ok(after)) => after,
        Ok(Err(error)) => violated(rule, format!("it failed: {error:?}")),
        Err(_) => violated("now is normally ready", "the second call was pending"),
    };
    // Clocks of different machines are adjusted a little from time to time.
    let least = before + passed.mul_f64(0.8);
    require(after >= least, rule, format!("{passed:?} after {before:?}, it was {after:?}"));
}
