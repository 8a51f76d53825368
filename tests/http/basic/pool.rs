//! Limits on concurrent hashing, over HTTP: which requests get 503, and which do not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use tokio::task::JoinHandle;
use tower_auth::password::{HashVerifier, HashedUsers, PasswordHash, StoredUser, UserStore};
use tower_auth_test_support::{api::Api, raw, stub::wait_until};

use super::{
    HashingPause, PASSWORD, UNICODE_PASSWORD, basic_header, cheap_hash, fixture_hash, log_in,
    on_one_thread, serve, status,
};

/// Counts lookups.
#[derive(Clone)]
struct CountingStore(HashedUsers, Arc<AtomicUsize>);

impl CountingStore {
    fn new() -> Self {
        let users = [
            ("alice", cheap_hash(PASSWORD)),
            ("bob", cheap_hash(PASSWORD)),
            ("carol", cheap_hash(UNICODE_PASSWORD)),
        ];
        Self(HashedUsers::new(users).unwrap(), Arc::default())
    }

    /// Waits for this many lookups. By then, each check was queued or rejected, because all runs on
    /// one thread.
    async fn wait_for_lookups(&self, count: usize) {
        wait_until("the lookups are done", async || self.1.load(Ordering::SeqCst) >= count).await;
    }
}

impl UserStore for CountingStore {
    async fn find(
        &self,
        user_id: &str,
    ) -> Result<Option<StoredUser>, Box<dyn std::error::Error + Send + Sync>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.find(user_id).await
    }

    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        self.0.find_now(user_id)
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.0.decoy(user_id)
    }
}

fn spawn(api: &Arc<Api>, user_id: &'static str, password: &'static str) -> JoinHandle<u16> {
    let api = Arc::clone(api);
    tokio::spawn(async move { status(&api, user_id, password).await })
}

#[test]
fn full_queue_returns_503_with_retry_after() {
    on_one_thread(async {
        let users = CountingStore::new();
        let verifier = HashVerifier::new(users.clone()).permits(1).queue(0);
        let api = Arc::new(serve(verifier).await);
        assert_eq!(status(&api, "bob", PASSWORD).await, 200);

        let pause = HashingPause::start().await;
        let first = spawn(&api, "alice", PASSWORD);
        users.wait_for_lookups(2).await;
        let same = spawn(&api, "alice", PASSWORD);
        users.wait_for_lookups(3).await;
        for (user_id, password) in
            [("carol", UNICODE_PASSWORD), ("carol", PASSWORD), ("nobody", PASSWORD), ("", "")]
        {
            let rejected = log_in(&api, user_id, password).await;
            assert_eq!(rejected.status, 503, "{user_id}");
            let wait: u64 = rejected.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
            assert!(!rejected.headers.contains_key(WWW_AUTHENTICATE));
        }
        assert_eq!(status(&api, "bob", PASSWORD).await, 200, "the verification of bob is cached");
        assert!(!first.is_finished() && !same.is_finished());

        drop(pause);
        assert_eq!((first.await.unwrap(), same.await.unwrap()), (200, 200));
        assert_eq!(status(&api, "carol", UNICODE_PASSWORD).await, 200);
        assert_eq!(status(&api, "nobody", UNICODE_PASSWORD).await, 401);
    });
}

/// If unknown users needed no hash, the free permits would reveal which users exist.
#[test]
fn unknown_user_takes_a_permit_like_a_known_user() {
    on_one_thread(async {
        let users = CountingStore::new();
        let verifier = HashVerifier::new(users.clone()).permits(1).queue(0);
        let api = Arc::new(serve(verifier).await);
        let mut lookups = 0;
        for user_id in ["nobody", "alice", ""] {
            let pause = HashingPause::start().await;
            let first = spawn(&api, user_id, "wrong");
            users.wait_for_lookups(lookups + 1).await;
            assert_eq!(status(&api, "carol", UNICODE_PASSWORD).await, 503, "{user_id:?}");
            lookups += 2;
            drop(pause);
            assert_eq!(first.await.unwrap(), 401);
        }
    });
}

#[test]
fn queue_holds_the_configured_number_of_checks() {
    on_one_thread(async {
        let users = CountingStore::new();
        let verifier = HashVerifier::new(users.clone()).permits(2).queue(3);
        let verifier = verifier.cache_ttl(Duration::ZERO);
        let api = Arc::new(serve(verifier).await);
        for round in 0..2 {
            let pause = HashingPause::start().await;
            let guesses: Vec<_> =
                ["1", "2", "3", "4"].map(|guess| spawn(&api, "carol", guess)).into();
            let valid = spawn(&api, "carol", UNICODE_PASSWORD);
            users.wait_for_lookups(round * 6 + 5).await;
            assert_eq!(status(&api, "alice", PASSWORD).await, 503);
            drop(pause);
            for guess in guesses {
                assert_eq!(guess.await.unwrap(), 401);
            }
            assert_eq!(valid.await.unwrap(), 200);
        }
    });
}

/// The connection ends, but the check continues.
#[test]
fn disconnected_client_holds_its_permit_until_its_hash_is_done() {
    on_one_thread(async {
        let users = CountingStore::new();
        let verifier = HashVerifier::new(users.clone()).permits(1).queue(0);
        let api = Arc::new(serve(verifier).await);
        let pause = HashingPause::start().await;
        let disconnected = spawn(&api, "alice", PASSWORD);
        users.wait_for_lookups(1).await;
        disconnected.abort();
        assert!(disconnected.await.unwrap_err().is_cancelled());
        for _ in 0..20 {
            assert_eq!(status(&api, "carol", UNICODE_PASSWORD).await, 503);
        }
        // A retry waits for the same hash.
        let retry = spawn(&api, "alice", PASSWORD);
        users.wait_for_lookups(22).await;
        assert!(!retry.is_finished());
        drop(pause);
        assert_eq!(retry.await.unwrap(), 200);
        assert_eq!(status(&api, "carol", UNICODE_PASSWORD).await, 200);
    });
}

/// Guesses fill the queue, and callers with a cached verification are not affected.
#[test]
fn cached_caller_is_admitted_during_a_flood_of_guesses() {
    on_one_thread(async {
        let verifier = HashVerifier::new(CountingStore::new()).permits(1).queue(4);
        let api = Arc::new(serve(verifier).await);
        assert_eq!(status(&api, "alice", PASSWORD).await, 200);
        let pause = HashingPause::start().await;
        let guesses: Vec<_> = (0..40)
            .map(|guess| {
                let api = Arc::clone(&api);
                tokio::spawn(async move { status(&api, "alice", &format!("guess {guess}")).await })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(status(&api, "alice", PASSWORD).await, 200);
        }
        wait_until("35 guesses are done", async || {
            guesses.iter().filter(|guess| guess.is_finished()).count() == 35
        })
        .await;
        drop(pause);
        let (mut unauthorized, mut unavailable) = (0, 0);
        for guess in guesses {
            match guess.await.unwrap() {
                401 => unauthorized += 1,
                503 => unavailable += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!((unauthorized, unavailable), (5, 35));
    });
}

/// Uses several threads and several kinds of hashes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_logins_get_the_result_of_their_own_credentials() {
    let users = [
        ("alice", cheap_hash(PASSWORD)),
        ("bob", fixture_hash("bcrypt 2b", UNICODE_PASSWORD)),
        ("carol", fixture_hash("mkpasswd sha512crypt", PASSWORD)),
        ("dave", fixture_hash("passlib pbkdf2_sha256", UNICODE_PASSWORD)),
        ("erin", fixture_hash("passlib scrypt", PASSWORD)),
    ];
    let user_ids: Vec<_> = users.iter().map(|(user_id, _)| *user_id).collect();
    let users = HashedUsers::new(users).unwrap();
    let api = Arc::new(serve(HashVerifier::new(users).queue(10_000)).await);
    let mut tasks = Vec::new();
    for index in 0..300 {
        let user_id = user_ids.get(index % 6).copied().unwrap_or("nobody");
        let uses_ascii_password = ["alice", "carol", "erin"].contains(&user_id);
        let password = if index % 7 < 4 { PASSWORD } else { UNICODE_PASSWORD };
        let expected = if user_id != "nobody" && uses_ascii_password == (password == PASSWORD) {
            200
        } else {
            401
        };
        let api = Arc::clone(&api);
        tasks.push(tokio::spawn(async move {
            assert_eq!(status(&api, user_id, password).await, expected, "{user_id}: {password}");
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Compares the raw responses, apart from `Date`. The challenge is that of RFC 7617.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_and_unknown_user_get_identical_responses() {
    let api = serve(HashVerifier::new(CountingStore::new())).await;
    let replies: Vec<_> =
        [("alice", UNICODE_PASSWORD), ("nobody", UNICODE_PASSWORD), ("", ""), ("nobody", "")]
            .map(|(user_id, password)| {
                let address = api.address.clone();
                tokio::task::spawn_blocking(move || {
                    raw::get(&address, "/", &[("Authorization", &basic_header(user_id, password))])
                })
            })
            .into();
    let mut responses = Vec::new();
    for reply in replies {
        let mut reply = reply.await.unwrap();
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("www-authenticate"), r#"Basic realm="staff", charset="UTF-8""#);
        reply.headers.retain(|(name, _)| name != "date");
        responses.push(format!("{reply:?}"));
    }
    assert!(responses.windows(2).all(|pair| pair[0] == pair[1]), "{responses:?}");
}
