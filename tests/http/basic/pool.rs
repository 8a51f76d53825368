//! Few permits, over HTTP: who gets 503, and who is admitted all the same.

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
use tower_auth_test_support::{api::Api, raw, stub::until};

use super::{HORSE, Hold, SNOW, cheap, field, log_in, made_by, on_one_thread, serve, status};

/// Counts who asks.
#[derive(Clone)]
struct Counted(HashedUsers, Arc<AtomicUsize>);

impl Counted {
    fn new() -> Self {
        let users = [("alice", cheap(HORSE)), ("bob", cheap(HORSE)), ("carol", cheap(SNOW))];
        Self(HashedUsers::new(users).unwrap(), Arc::default())
    }

    /// Waits until so many have asked. Whoever has, has a place or none: all runs on one thread.
    async fn asked(&self, count: usize) {
        until("they ask", async || self.1.load(Ordering::SeqCst) >= count).await;
    }
}

impl UserStore for Counted {
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
fn who_finds_no_place_gets_503_and_is_told_when_to_come_back() {
    on_one_thread(async {
        let users = Counted::new();
        let verifier = HashVerifier::new(users.clone()).permits(1).queue(0);
        let api = Arc::new(serve(verifier).await);
        assert_eq!(status(&api, "bob", HORSE).await, 200);

        let hold = Hold::start().await;
        let first = spawn(&api, "alice", HORSE);
        users.asked(2).await;
        let same = spawn(&api, "alice", HORSE);
        users.asked(3).await;
        for (user_id, password) in [("carol", SNOW), ("carol", HORSE), ("nobody", HORSE), ("", "")]
        {
            let refused = log_in(&api, user_id, password).await;
            assert_eq!(refused.status, 503, "{user_id}");
            let wait: u64 = refused.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
            assert!(!refused.headers.contains_key(WWW_AUTHENTICATE));
        }
        assert_eq!(status(&api, "bob", HORSE).await, 200, "he was right a moment ago");
        assert!(!first.is_finished() && !same.is_finished());

        drop(hold);
        assert_eq!((first.await.unwrap(), same.await.unwrap()), (200, 200));
        assert_eq!(status(&api, "carol", SNOW).await, 200);
        assert_eq!(status(&api, "nobody", SNOW).await, 401);
    });
}

/// If only those who are there were hashed for, the place that is taken would tell who is.
#[test]
fn who_is_nobody_takes_a_place_as_users_do() {
    on_one_thread(async {
        let users = Counted::new();
        let verifier = HashVerifier::new(users.clone()).permits(1).queue(0);
        let api = Arc::new(serve(verifier).await);
        let mut asked = 0;
        for user_id in ["nobody", "alice", ""] {
            let hold = Hold::start().await;
            let first = spawn(&api, user_id, "wrong");
            users.asked(asked + 1).await;
            assert_eq!(status(&api, "carol", SNOW).await, 503, "{user_id:?}");
            asked += 2;
            drop(hold);
            assert_eq!(first.await.unwrap(), 401);
        }
    });
}

#[test]
fn as_many_wait_as_there_are_places() {
    on_one_thread(async {
        let users = Counted::new();
        let verifier = HashVerifier::new(users.clone()).permits(2).queue(3);
        let verifier = verifier.cache_ttl(Duration::ZERO);
        let api = Arc::new(serve(verifier).await);
        for round in 0..2 {
            let hold = Hold::start().await;
            let guesses: Vec<_> =
                ["1", "2", "3", "4"].map(|guess| spawn(&api, "carol", guess)).into();
            let right = spawn(&api, "carol", SNOW);
            users.asked(round * 6 + 5).await;
            assert_eq!(status(&api, "alice", HORSE).await, 503);
            drop(hold);
            for guess in guesses {
                assert_eq!(guess.await.unwrap(), 401);
            }
            assert_eq!(right.await.unwrap(), 200);
        }
    });
}

/// The connection ends, and the check does not.
#[test]
fn a_client_that_goes_away_gives_its_place_back_when_its_hash_is_done() {
    on_one_thread(async {
        let users = Counted::new();
        let verifier = HashVerifier::new(users.clone()).permits(1).queue(0);
        let api = Arc::new(serve(verifier).await);
        let hold = Hold::start().await;
        let gone = spawn(&api, "alice", HORSE);
        users.asked(1).await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        for _ in 0..20 {
            assert_eq!(status(&api, "carol", SNOW).await, 503);
        }
        // Who comes back waits for the same hash.
        let back = spawn(&api, "alice", HORSE);
        users.asked(22).await;
        assert!(!back.is_finished());
        drop(hold);
        assert_eq!(back.await.unwrap(), 200);
        assert_eq!(status(&api, "carol", SNOW).await, 200);
    });
}

/// Guesses fill every place, and who is logged in notices nothing.
#[test]
fn a_flood_of_guesses_leaves_those_in_who_were_right_a_moment_ago() {
    on_one_thread(async {
        let verifier = HashVerifier::new(Counted::new()).permits(1).queue(4);
        let api = Arc::new(serve(verifier).await);
        assert_eq!(status(&api, "alice", HORSE).await, 200);
        let hold = Hold::start().await;
        let guesses: Vec<_> = (0..40)
            .map(|guess| {
                let api = Arc::clone(&api);
                tokio::spawn(async move { status(&api, "alice", &format!("guess {guess}")).await })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(status(&api, "alice", HORSE).await, 200);
        }
        until("35 are refused", async || {
            guesses.iter().filter(|guess| guess.is_finished()).count() == 35
        })
        .await;
        drop(hold);
        let (mut refused, mut full) = (0, 0);
        for guess in guesses {
            match guess.await.unwrap() {
                401 => refused += 1,
                503 => full += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!((refused, full), (5, 35));
    });
}

/// Real threads, real hashes of several kinds, and every answer is the right one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_everybody_gets_the_answer_to_what_they_sent() {
    let users = [
        ("alice", cheap(HORSE)),
        ("bob", made_by("bcrypt 2b", SNOW)),
        ("carol", made_by("mkpasswd sha512crypt", HORSE)),
        ("dave", made_by("passlib pbkdf2_sha256", SNOW)),
        ("erin", made_by("passlib scrypt", HORSE)),
    ];
    let ids: Vec<_> = users.iter().map(|(id, _)| *id).collect();
    let users = HashedUsers::new(users).unwrap();
    let api = Arc::new(serve(HashVerifier::new(users).queue(10_000)).await);
    let mut asked = Vec::new();
    for at in 0..300 {
        let id = ids.get(at % 6).copied().unwrap_or("nobody");
        let is_horse = ["alice", "carol", "erin"].contains(&id);
        let password = if at % 7 < 4 { HORSE } else { SNOW };
        let expected = if id != "nobody" && is_horse == (password == HORSE) { 200 } else { 401 };
        let api = Arc::clone(&api);
        asked.push(tokio::spawn(async move {
            assert_eq!(status(&api, id, password).await, expected, "{id}: {password}");
        }));
    }
    for asked in asked {
        asked.await.unwrap();
    }
}

/// On the wire as it is: one line each, and the challenge of RFC 7617.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_name_that_is_nobodys_get_the_same_bytes() {
    let api = serve(HashVerifier::new(Counted::new())).await;
    let answers: Vec<_> = [("alice", SNOW), ("nobody", SNOW), ("", ""), ("nobody", "")]
        .map(|(user_id, password)| {
            let address = api.address.clone();
            tokio::task::spawn_blocking(move || {
                raw::get(&address, "/", &[("Authorization", &field(user_id, password))])
            })
        })
        .into();
    let mut same = Vec::new();
    for answer in answers {
        let mut answer = answer.await.unwrap();
        assert_eq!(answer.status, 401);
        assert_eq!(answer.one("www-authenticate"), r#"Basic realm="staff", charset="UTF-8""#);
        answer.headers.retain(|(name, _)| name != "date");
        same.push(format!("{answer:?}"));
    }
    assert!(same.windows(2).all(|pair| pair[0] == pair[1]), "{same:?}");
}
