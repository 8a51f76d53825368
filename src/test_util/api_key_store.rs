use std::{
    collections::HashSet,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    api_key::{ApiKeyInfo, ApiKeyStore, Inserted, StoredApiKey},
    principal::Scopes,
};

/// Checks that a store of API keys does what [`ApiKeyStore`] requires.
///
/// ```
/// use tower_auth::{api_key::MemoryApiKeys, test_util::check_api_key_store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// check_api_key_store(MemoryApiKeys::new()).await;
/// # }
/// ```
///
/// The store must be empty. Use a tokio runtime with several threads, so that the operations of the
/// last checks run at the same time.
///
/// # Panics
///
/// Panics if the store returns an error or violates a rule.
pub async fn check_api_key_store(store: impl ApiKeyStore) {
    let store: Store = Arc::new(store);
    keys_are_returned_as_they_were_stored(&store).await;
    limit_counts_the_live_keys_of_the_owner(&store).await;
    end_of_a_key_is_final(&store).await;
    concurrent_operations_are_atomic(&store).await;
}

type Store = Arc<dyn ApiKeyStore>;

const CONTENDERS: u8 = 64;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_123) + Duration::from_secs(seconds)
}

/// Returns a key that is created at 0 s and expires at 100 s.
fn key(owner: &str, id: &str) -> StoredApiKey {
    let info = ApiKeyInfo {
        id: id.into(),
        owner: owner.into(),
        name: format!("{owner}'s key \u{2603} \"{id}\"").into(),
        scopes: Scopes::from_delimited("orders:read orders:write"),
        created_at: at(0),
        expires_at: at(100),
        revoked_at: None,
    };
    let mut digest = [0xa5; 32];
    digest.iter_mut().zip(id.bytes()).for_each(|(byte, id)| *byte = id);
    StoredApiKey { info, digest }
}

#[allow(clippy::expect_used)]
async fn find(store: &Store, id: &str) -> Option<StoredApiKey> {
    store.find(id).await.expect("find")
}

#[allow(clippy::expect_used)]
async fn insert(store: &Store, key: StoredApiKey, most: usize) -> Inserted {
    store.insert(key, most).await.expect("insert")
}

#[allow(clippy::expect_used)]
async fn list(store: &Store, owner: &str) -> HashSet<Arc<str>> {
    let keys = store.list(owner).await.expect("list");
    keys.into_iter().map(|key| key.info.id).collect()
}

#[allow(clippy::expect_used)]
async fn revoke(store: &Store, id: &str, seconds: u64) -> bool {
    store.revoke(id, at(seconds)).await.expect("revoke")
}

#[allow(clippy::expect_used)]
async fn expire(store: &Store, id: &str, seconds: u64) {
    store.expire(id, at(seconds)).await.expect("expire");
}

fn ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> HashSet<Arc<str>> {
    ids.into_iter().map(Arc::from).collect()
}

async fn keys_are_returned_as_they_were_stored(store: &Store) {
    assert_eq!(find(store, "none").await, None);
    assert!(list(store, "none").await.is_empty());
    // Owners and ids are compared exactly.
    let owners = ["alice", "Alice", "alice ", "al%", "a'; DROP TABLE x; --", "\u{e9}", "e\u{301}"];
    for (number, owner) in owners.iter().enumerate() {
        for id in [format!("round{number}trip"), format!("Round{number}trip")] {
            let mut stored = key(owner, &id);
            if number == 1 {
                stored.info.scopes = Scopes::default();
                stored.info.name = "".into();
            }
            if number == 2 {
                stored.info.revoked_at = Some(at(5));
            }
            assert_eq!(insert(store, stored.clone(), 2).await, Inserted::Stored);
            assert_eq!(find(store, &id).await, Some(stored));
        }
    }
    for (number, owner) in owners.iter().enumerate() {
        let expected = [format!("round{number}trip"), format!("Round{number}trip")];
        assert_eq!(list(store, owner).await, ids(expected.iter().map(|id| &**id)), "{owner:?}");
    }
}

async fn limit_counts_the_live_keys_of_the_owner(store: &Store) {
    assert_eq!(insert(store, key("bob", "b0"), 0).await, Inserted::TooMany);
    assert_eq!(find(store, "b0").await, None);
    assert_eq!(insert(store, key("bob", "b1"), 2).await, Inserted::Stored);
    assert_eq!(insert(store, key("bob", "b2"), 2).await, Inserted::Stored);
    assert_eq!(insert(store, key("bob", "b3"), 2).await, Inserted::TooMany);
    assert_eq!(insert(store, key("carol", "c1"), 2).await, Inserted::Stored);
    // An existing key is not replaced, not even by one of another owner.
    for owner in ["bob", "carol"] {
        let mut other = key(owner, "b1");
        other.digest = [0; 32];
        assert_eq!(insert(store, other, 9).await, Inserted::IdExists);
    }
    assert_eq!(find(store, "b1").await, Some(key("bob", "b1")));
    // A revoked key does not count.
    assert!(revoke(store, "b1", 50).await);
    assert_eq!(insert(store, key("bob", "b3"), 2).await, Inserted::Stored);
    assert_eq!(list(store, "bob").await, ids(["b1", "b2", "b3"]));
    // A key that has expired when the new one is created does not count, either.
    assert_eq!(insert(store, key("grace", "g1"), 1).await, Inserted::Stored);
    let mut late = key("grace", "g2");
    (late.info.created_at, late.info.expires_at) = (at(99), at(200));
    assert_eq!(insert(store, late.clone(), 1).await, Inserted::TooMany);
    late.info.created_at = at(100);
    assert_eq!(insert(store, late, 1).await, Inserted::Stored);
    assert_eq!(list(store, "grace").await, ids(["g1", "g2"]));
}

async fn end_of_a_key_is_final(store: &Store) {
    assert!(!revoke(store, "none", 1).await, "an unknown key was revoked");
    expire(store, "none", 1).await;
    assert_eq!(find(store, "none").await, None);

    let mut expected = key("dave", "d1");
    assert_eq!(insert(store, expected.clone(), 9).await, Inserted::Stored);
    assert_eq!(insert(store, key("dave", "d2"), 9).await, Inserted::Stored);
    expire(store, "d1", 101).await;
    assert_eq!(find(store, "d1").await.as_ref(), Some(&expected), "it must not expire later");
    for seconds in [90, 95] {
        expire(store, "d1", seconds).await;
        expected.info.expires_at = at(90);
        assert_eq!(find(store, "d1").await.as_ref(), Some(&expected));
    }
    for (seconds, is_first) in [(50, true), (40, false), (60, false)] {
        assert_eq!(revoke(store, "d1", seconds).await, is_first);
        expected.info.revoked_at = Some(at(50));
        assert_eq!(find(store, "d1").await.as_ref(), Some(&expected));
    }
    expire(store, "d1", 30).await;
    expected.info.expires_at = at(30);
    assert_eq!(find(store, "d1").await, Some(expected));
    assert_eq!(find(store, "d2").await, Some(key("dave", "d2")), "another key was changed");
}

/// Runs the contenders at the same time, and returns how many results are `expected`.
#[allow(clippy::expect_used)]
async fn contend<T, F>(contender: impl Fn(u8) -> F, expected: T) -> usize
where
    T: PartialEq + Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..CONTENDERS).map(|number| tokio::spawn(contender(number))).collect();
    let mut count = 0;
    for task in tasks {
        count += usize::from(task.await.expect("a contender panicked") == expected);
    }
    count
}

async fn concurrent_operations_are_atomic(store: &Store) {
    let inserting = |owner: &'static str, id: fn(u8) -> String, most| {
        let store = Arc::clone(store);
        move |number| {
            let (store, key) = (Arc::clone(&store), key(owner, &id(number)));
            async move { insert(&store, key, most).await }
        }
    };
    let many = inserting("erin", |number| format!("e{number}"), 10);
    assert_eq!(contend(many, Inserted::Stored).await, 10, "keys at the limit");
    assert_eq!(list(store, "erin").await.len(), 10);
    let same = inserting("frank", |_| "f".to_owned(), 100);
    assert_eq!(contend(same, Inserted::Stored).await, 1, "keys with the same id");

    let ending = |number: u8| {
        let store = Arc::clone(store);
        async move {
            if number.is_multiple_of(2) {
                expire(&store, "f", 10 + u64::from(number)).await;
                return false;
            }
            revoke(&store, "f", u64::from(number)).await
        }
    };
    assert_eq!(contend(ending, true).await, 1, "a key was revoked more than once");
    let info =
        find(store, "f").await.map(|key| (key.info.revoked_at.is_some(), key.info.expires_at));
    assert_eq!(info, Some((true, at(10))), "an operation was lost");
}
