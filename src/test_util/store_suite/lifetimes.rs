//! When records expire.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    operations::read,
    suite::{StoreSuite, long, require, value},
};
use crate::store::{key::StoreKey, ttl::Ttl};

/// Not a whole number of seconds, so that a store that rounds to seconds is found.
const LIFETIME: Duration = Duration::from_millis(1_500);
const BELOW_A_SECOND: Duration = Duration::from_millis(900);
const A: Bytes = Bytes::from_static(b"a");
const B: Bytes = Bytes::from_static(b"b");

const EXISTS: &str = "a record exists until its Ttl has passed";
const EXPIRES: &str = "a record does not exist after its Ttl";
const ADD_KEEPS: &str = "add sets the lifetime only when it creates a counter";
const INSERT_KEEPS: &str = "insert does not change the lifetime of an existing record";
const REPLACE_KEEPS: &str = "replace does not change the lifetime if the value is another one";
const PUT_SETS: &str = "put also replaces the lifetime";
const REPLACE_SETS: &str = "replace also sets the lifetime";

pub(super) async fn run(suite: &StoreSuite) {
    // On a busy machine, a record can expire before it is read. Then that proves nothing.
    for _ in 0..5 {
        if timeline(suite).await {
            break;
        }
    }
    one_millisecond(suite).await;
}

/// A record, and the rule that a wrong lifetime violates.
type Expected = (StoreKey, &'static str);

/// Returns whether the reads before the expiry were in time.
async fn timeline(suite: &StoreSuite) -> bool {
    let started = Instant::now();
    let in_time = |limit| suite.has_mock_clock() || started.elapsed() < limit;
    let short = write_short(suite).await;
    let lasting = write_lasting(suite).await;
    let below_a_second = suite.key();
    value("put", suite.store().put(&below_a_second, A, Ttl::new(BELOW_A_SECOND))).await;
    let found = read(suite, below_a_second).await;
    if !in_time(BELOW_A_SECOND) {
        return false;
    }
    require(found.is_some(), EXISTS, format!("not found before its {BELOW_A_SECOND:?}"));

    let (before, after) = match suite.has_mock_clock() {
        true => (Duration::from_millis(1), Duration::ZERO),
        false => (Duration::from_millis(300), Duration::from_millis(200)),
    };
    suite.pass(LIFETIME - before).await;
    let mut found = Vec::new();
    for (key, rule) in short.iter().chain(&lasting) {
        found.push((read(suite, *key).await, rule));
    }
    if !in_time(LIFETIME) {
        return false;
    }
    for (found, rule) in found {
        let rule = if rule.starts_with(EXPIRES) { EXISTS } else { rule };
        require(found.is_some(), rule, format!("not found {before:?} before the end"));
    }
    suite.pass(before + after).await;
    for (key, rule) in &short {
        let found = read(suite, *key).await;
        require(found.is_none(), rule, format!("{found:?} was found {after:?} after it"));
    }
    for (key, rule) in &lasting {
        let found = read(suite, *key).await;
        require(found.is_some(), rule, "not found after the first lifetime");
    }
    write_expired(suite, &short).await;
    true
}

/// Writes records whose lifetime is [`LIFETIME`].
async fn write_short(suite: &StoreSuite) -> Vec<Expected> {
    let (store, ttl) = (suite.store(), Ttl::new(LIFETIME));
    let keys: [StoreKey; 9] = std::array::from_fn(|_| suite.key());
    let [put, insert, replace, add, put_again, replaced, inserted, other, counter] = keys;
    value("put", store.put(&put, A, ttl)).await;
    value("insert", store.insert(&insert, A, ttl)).await;
    value("put", store.put(&replace, B, ttl)).await;
    value("replace", store.replace(&replace, B, A, ttl)).await;
    value("add", store.add(&[add], 1, ttl)).await;

    value("put", store.put(&put_again, B, long())).await;
    value("put", store.put(&put_again, A, ttl)).await;
    value("put", store.put(&replaced, B, long())).await;
    value("replace", store.replace(&replaced, B, A, ttl)).await;

    value("put", store.put(&inserted, A, ttl)).await;
    value("insert", store.insert(&inserted, B, long())).await;
    value("put", store.put(&other, A, ttl)).await;
    value("replace", store.replace(&other, B, A, long())).await;
    value("add", store.add(&[counter], 1, ttl)).await;
    value("add", store.add(&[counter], 1, long())).await;
    vec![
        (put, EXPIRES),
        (insert, EXPIRES),
        (replace, EXPIRES),
        (add, EXPIRES),
        (put_again, PUT_SETS),
        (replaced, REPLACE_SETS),
        (inserted, INSERT_KEEPS),
        (other, REPLACE_KEEPS),
        (counter, ADD_KEEPS),
    ]
}

/// Writes records that outlast [`LIFETIME`], although one of their writes has it.
async fn write_lasting(suite: &StoreSuite) -> Vec<Expected> {
    let (store, ttl) = (suite.store(), Ttl::new(LIFETIME));
    let keys: [StoreKey; 7] = std::array::from_fn(|_| suite.key());
    let [put, replaced, inserted, other, counter, longest, longest_counter] = keys;
    value("put", store.put(&put, B, ttl)).await;
    value("put", store.put(&put, A, long())).await;
    value("put", store.put(&replaced, B, ttl)).await;
    value("replace", store.replace(&replaced, B, A, long())).await;

    value("put", store.put(&inserted, A, long())).await;
    value("insert", store.insert(&inserted, B, ttl)).await;
    value("put", store.put(&other, A, long())).await;
    value("replace", store.replace(&other, B, A, ttl)).await;
    value("add", store.add(&[counter], 1, long())).await;
    value("add", store.add(&[counter], 1, ttl)).await;
    value("put with Ttl::MAX", store.put(&longest, A, Ttl::MAX)).await;
    value("add with Ttl::MAX", store.add(&[longest_counter], 1, Ttl::MAX)).await;
    vec![
        (put, PUT_SETS),
        (replaced, REPLACE_SETS),
        (inserted, INSERT_KEEPS),
        (other, REPLACE_KEEPS),
        (counter, ADD_KEEPS),
        (longest, EXISTS),
        (longest_counter, EXISTS),
    ]
}

/// Writes under the keys of records that have expired.
async fn write_expired(suite: &StoreSuite, expired: &[Expected]) {
    let store = suite.store();
    let keys: Vec<StoreKey> = expired.iter().map(|(key, _)| *key).collect();
    let [one, two, three, four, five, six, ..] = *keys else { return };
    let is_written = value("replace", store.replace(&one, A, B, long())).await;
    require(!is_written, EXPIRES, "replace found the value of an expired record");
    for key in [one, two] {
        let is_written = value("insert", store.insert(&key, B, long())).await;
        require(is_written, EXPIRES, "insert found an expired record");
    }
    let taken = value("take", store.take(&six)).await;
    require(taken.is_none(), EXPIRES, format!("take returned {taken:?}"));
    for key in [three, four] {
        let results = value("add", store.add(&[key], 5, long())).await;
        let observed = format!("add to an expired record returned {results:?} instead of 5");
        require(results == [5], EXPIRES, observed);
    }
    value("put", store.put(&five, B, long())).await;
    suite.pass(LIFETIME).await;
    for key in [one, two, three, four, five] {
        let found = read(suite, key).await;
        let observed = "written after its key had expired, and not found later";
        require(found.is_some(), EXISTS, observed);
    }
}

async fn one_millisecond(suite: &StoreSuite) {
    let (store, keys) = (suite.store(), [suite.key(), suite.key(), suite.key()]);
    let [put, insert, add] = keys;
    let ttl = Ttl::new(Duration::ZERO);
    value("put with 1 ms", store.put(&put, A, ttl)).await;
    value("insert with 1 ms", store.insert(&insert, A, ttl)).await;
    value("add with 1 ms", store.add(&[add], 1, ttl)).await;
    if suite.has_mock_clock() {
        for key in keys {
            let found = read(suite, key).await;
            require(found.is_some(), EXISTS, "not found within its millisecond");
        }
    }
    let margin = if suite.has_mock_clock() { 0 } else { 50 };
    suite.pass(Duration::from_millis(1 + margin)).await;
    for key in keys {
        let found = read(suite, key).await;
        require(found.is_none(), EXPIRES, format!("{found:?} was found after 1 ms"));
    }
}
