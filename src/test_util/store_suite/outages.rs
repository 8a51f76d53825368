//! Operations in flight while the connection breaks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{task::JoinSet, time::sleep};

use super::{
    bytes::join,
    operations::read,
    suite::{StoreSuite, long, outcome, require, violated},
};
use crate::store::{
    error::{StoreError, StoreErrorKind},
    key::StoreKey,
};

const ROUNDS: usize = 10;
const IN_FLIGHT: usize = 40;

pub(super) async fn run(suite: &StoreSuite) {
    for _ in 0..ROUNDS {
        let Some(breaking) = suite.break_connection_now() else { return };
        let (mut adding, mut inserting) = (JoinSet::new(), JoinSet::new());
        for caller in 0..IN_FLIGHT {
            let (key, store) = (suite.key(), suite.store_for(caller));
            adding.spawn(async move { (key, outcome("add", store.add(&[key], 1, long())).await) });
            let (key, store) = (suite.key(), suite.store_for(caller));
            inserting.spawn(async move {
                let bytes = Bytes::from_static(b"written once");
                (key, outcome("insert", store.insert(&key, bytes, long())).await)
            });
        }
        breaking.await;
        let (added, inserted) = (join(adding).await, join(inserting).await);
        reconnect(suite).await;
        for (key, result) in added {
            check_added(suite, key, result).await;
        }
        for (key, result) in inserted {
            check_inserted(suite, key, result).await;
        }
    }
}

async fn check_added(suite: &StoreSuite, key: StoreKey, result: Result<Vec<i64>, StoreError>) {
    let rule = "an operation is not sent again";
    let count = read(suite, key).await;
    let is_applied = match result.as_deref() {
        Ok([1]) => true,
        Ok(results) => violated(rule, format!("add of 1 returned {results:?}")),
        Err(error) => {
            require_unavailable("add", error);
            count.is_some()
        }
    };
    let expected = is_applied.then_some(&b"1"[..]);
    require(count.as_deref() == expected, rule, format!("add of 1 left {count:?}"));
}

async fn check_inserted(suite: &StoreSuite, key: StoreKey, result: Result<bool, StoreError>) {
    match result {
        Ok(true) => {
            let found = read(suite, key).await;
            let observed = "insert returned true, and nothing was found";
            require(found.is_some(), "a confirmed write takes effect", observed);
        }
        Ok(false) => {
            let observed = "the only insert of a record returned false";
            violated("an operation is not sent again", observed);
        }
        Err(error) => require_unavailable("insert", &error),
    }
}

fn require_unavailable(operation: &str, error: &StoreError) {
    let rule = "if the outcome is unknown, an operation returns Unavailable";
    let is_unavailable = error.kind() == StoreErrorKind::Unavailable;
    require(is_unavailable, rule, format!("{operation} failed with {error:?}"));
}

/// Waits until the stores work again.
async fn reconnect(suite: &StoreSuite) {
    let (started, limit) = (Instant::now(), Duration::from_secs(10));
    for caller in 0..suite.store_count() {
        let store = suite.store_for(caller);
        while let Err(error) = outcome("get", store.get(&[suite.key()])).await {
            let rule = "the store connects again after the connection broke";
            require(started.elapsed() < limit, rule, format!("{error:?} after {limit:?}"));
            sleep(Duration::from_millis(50)).await;
        }
    }
}
