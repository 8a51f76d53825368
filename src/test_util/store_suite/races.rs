//! Callers that use a key at the same time.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{sync::Barrier, task::JoinSet};

use super::{
    bytes::join,
    operations::read,
    suite::{StoreSuite, long, require, value},
};
use crate::store::{
    key::StoreKey,
    store::{Store, StoreFuture},
    ttl::Ttl,
};

const CALLERS: usize = 64;
const ROUNDS: usize = 20;

pub(super) async fn run(suite: &StoreSuite) {
    for _ in 0..ROUNDS {
        insert(suite).await;
        replace(suite).await;
        add(suite).await;
        take(suite).await;
        insert_and_take(suite).await;
    }
    insert_expired(suite).await;
    read_while_written(suite).await;
}

/// Lets all callers start an operation at the same time, and returns their results.
async fn race<T: Send + 'static>(
    suite: &StoreSuite,
    operation: &'static str,
    call: impl Fn(&dyn Store, usize) -> StoreFuture<T> + Send + Sync + 'static,
) -> Vec<(usize, T)> {
    let (barrier, call) = (Arc::new(Barrier::new(CALLERS)), Arc::new(call));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, barrier, call) = (suite.store_for(caller), barrier.clone(), call.clone());
        callers.spawn(async move {
            barrier.wait().await;
            (caller, value(operation, call(&*store, caller)).await)
        });
    }
    join(callers).await
}

fn winners(results: &[(usize, bool)]) -> Vec<usize> {
    results.iter().filter(|(_, has_won)| *has_won).map(|(caller, _)| *caller).collect()
}

fn text(caller: usize) -> Bytes {
    format!("value of {caller}").into()
}

async fn require_one_insert(suite: &StoreSuite, key: StoreKey, rule: &str) {
    let call = move |store: &dyn Store, caller| store.insert(&key, text(caller), long());
    let winners = winners(&race(suite, "insert", call).await);
    require(winners.len() == 1, rule, format!("{} callers got true", winners.len()));
    let (found, expected) = (read(suite, key).await, winners.first().map(|winner| text(*winner)));
    let observed = format!("{found:?} was found, but {expected:?} was written");
    require(found == expected, rule, observed);
}

async fn insert(suite: &StoreSuite) {
    let rule = "of 64 callers of insert at the same time, exactly one gets true";
    require_one_insert(suite, suite.key(), rule).await;
}

async fn insert_expired(suite: &StoreSuite) {
    let rule = "of 64 callers of insert after the expiry, exactly one gets true";
    let keys: Vec<StoreKey> = (0..ROUNDS).map(|_| suite.key()).collect();
    let ttl = Ttl::new(std::time::Duration::from_millis(1));
    for key in &keys {
        value("put", suite.store().put(key, Bytes::new(), ttl)).await;
    }
    suite.pass(std::time::Duration::from_millis(50)).await;
    for key in keys {
        require_one_insert(suite, key, rule).await;
    }
}

async fn replace(suite: &StoreSuite) {
    let rule = "of 64 callers of replace at the same time, exactly one gets true";
    let (key, current) = (suite.key(), Bytes::from_static(b"current"));
    value("put", suite.store().put(&key, current.clone(), long())).await;
    let call =
        move |store: &dyn Store, caller| store.replace(&key, current.clone(), text(caller), long());
    let winners = winners(&race(suite, "replace", call).await);
    require(winners.len() == 1, rule, format!("{} callers got true", winners.len()));
    let (found, expected) = (read(suite, key).await, winners.first().map(|winner| text(*winner)));
    let observed = format!("{found:?} was found, but {expected:?} was written");
    require(found == expected, rule, observed);
}

async fn add(suite: &StoreSuite) {
    let rule = "of 64 callers of add at the same time, each gets another result";
    let (one, two) = (suite.key(), suite.key());
    let call = move |store: &dyn Store, _| store.add(&[one, two], 1, long());
    let results = race(suite, "add", call).await;
    let expected: Vec<i64> = (1..).take(CALLERS).collect();
    for index in 0..2 {
        let counts = results.iter().map(|(_, counts)| counts.get(index).copied());
        let mut counts: Vec<i64> = counts.map(Option::unwrap_or_default).collect();
        counts.sort_unstable();
        require(counts == expected, rule, format!("the results were {counts:?}"));
    }
    let found = read(suite, one).await;
    let observed = format!("{found:?} was found after {CALLERS} callers added 1");
    require(found == Some(CALLERS.to_string().into()), rule, observed);
}

async fn take(suite: &StoreSuite) {
    let rule = "of 64 callers of take at the same time, exactly one gets the value";
    let key = suite.key();
    value("put", suite.store().put(&key, text(0), long())).await;
    let results = race(suite, "take", move |store: &dyn Store, _| store.take(&key)).await;
    let taken: Vec<_> = results.into_iter().filter_map(|(_, taken)| taken).collect();
    require(taken == [text(0)], rule, format!("{} callers got a value", taken.len()));
}

async fn insert_and_take(suite: &StoreSuite) {
    let rule = "insert and take at the same time: each inserted record is taken at most once";
    let key = suite.key();
    let call = move |store: &dyn Store, caller: usize| match caller % 2 {
        0 => store.insert(&key, text(caller), long()).map(|result| result.map(i32::from)),
        _ => store.take(&key).map(|result| result.map(|taken| -i32::from(taken.is_some()))),
    };
    let results = race(suite, "insert or take", call).await;
    let left: i32 = results.iter().map(|(_, change)| change).sum();
    let found = read(suite, key).await;
    let observed = format!("{left} records should be left, and {found:?} was found");
    require(left == i32::from(found.is_some()), rule, observed);
}

async fn read_while_written(suite: &StoreSuite) {
    let rule = "put is atomic: others see the value before it or after it";
    let key = suite.key();
    let bytes = |caller: usize| Bytes::from(vec![caller.to_le_bytes()[0]; 4_096]);
    value("put", suite.store().put(&key, bytes(0), long())).await;
    for _ in 0..ROUNDS {
        let call = move |store: &dyn Store, caller: usize| match caller % 2 {
            0 => store.put(&key, bytes(caller), long()).map(|result| result.map(|()| None)),
            _ => store.get(&[key]).map(|result| result.map(Some)),
        };
        for (_, found) in race(suite, "put or get", call).await {
            let Some(mut found) = found else { continue };
            let found = found.pop().flatten();
            let first = found.as_ref().and_then(|found| found.first().copied());
            let is_whole = first.is_some_and(|byte| found == Some(bytes(usize::from(byte))));
            require(is_whole, rule, format!("a value that starts with {first:?}"));
        }
    }
}
