//! One hash for all who ask the same, and none for what was right a moment ago.
//!
//! The one thread that computes hashes is [held](Hold), and there is one place for a hash. So whoever would need a
//! second one is refused at once, which is how these tests count.

use std::{
    error::Error,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, poll};
use tower_auth::{
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    clock::Clock as _,
    password::{HashVerifier, HashedUsers, PasswordHash, StoredUser, UserStore},
    test_util::TestClock,
};
use tower_auth_test_support::stub::until;

use super::{HORSE, Hold, SNOW, cheap, field, on_one_thread};

pub(crate) fn sent(user_id: &str, password: &str) -> BasicCredentials {
    let field = field(user_id, password);
    BasicCredentials::decode(field.strip_prefix("Basic ").unwrap().as_bytes()).unwrap()
}

/// Alice and bob have one password, and one hash; carol has another.
fn users() -> HashedUsers {
    HashedUsers::new([("alice", cheap(HORSE)), ("bob", cheap(HORSE)), ("carol", cheap(SNOW))])
        .unwrap()
}

/// With one place.
fn verifier<S: UserStore>(store: S) -> (HashVerifier<S>, TestClock) {
    let clock = TestClock::new();
    (HashVerifier::new(store).permits(1).queue(0).clock(clock.clone()), clock)
}

fn is_right(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Verified(_))
}

fn is_wrong(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Invalid)
}

/// Asks as a layer does.
async fn ask<V: PasswordVerifier>(verifier: &V, user_id: &str, password: &str) -> Verdict {
    let sent = sent(user_id, password);
    match verifier.verify_now(&sent) {
        Some(verdict) => verdict,
        None => verifier.verify(sent).await,
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// Asks, and finds that there is a hash to wait for.
async fn begin<'a, V: PasswordVerifier>(
    verifier: &'a V,
    user_id: &'a str,
    password: &'a str,
) -> Asked<'a> {
    let mut asked: Asked<'a> = Box::pin(ask(verifier, user_id, password));
    assert!(poll!(&mut asked).is_pending(), "{user_id} was answered at once");
    asked
}

/// Whether it is refused for want of a place.
async fn has_no_place<V: PasswordVerifier>(verifier: &V, user_id: &str, password: &str) -> bool {
    let mut asked = pin!(ask(verifier, user_id, password));
    match poll!(&mut asked) {
        std::task::Poll::Ready(Verdict::Rejected(rejection)) => {
            assert_eq!(rejection.kind(), tower_auth::RejectionKind::Unavailable);
            true
        }
        _ => false,
    }
}

/// Whether a hash would have to be computed, which there is no place for.
async fn needs_a_hash<V: PasswordVerifier>(verifier: &V, user_id: &str, password: &str) -> bool {
    let hold = Hold::start().await;
    let other = begin(verifier, "nobody", "takes the place").await;
    let needs = has_no_place(verifier, user_id, password).await;
    drop(hold);
    assert!(is_wrong(&other.await));
    needs
}

#[test]
fn who_asks_the_same_at_the_same_time_shares_one_hash() {
    on_one_thread(async {
        let (verifier, _) = verifier(users());
        for (password, right) in [(SNOW, false), (HORSE, true)] {
            let hold = Hold::start().await;
            let mut same = Vec::new();
            for _ in 0..50 {
                same.push(begin(&verifier, "alice", password).await);
            }
            assert!(has_no_place(&verifier, "alice", "another").await);
            assert!(has_no_place(&verifier, "carol", SNOW).await);
            assert!(has_no_place(&verifier, "nobody", password).await);
            // Nor may bob have alice's answer, whose hash it is as well.
            assert!(has_no_place(&verifier, "bob", password).await);
            drop(hold);
            for asked in same {
                assert_eq!(is_right(&asked.await), right);
            }
        }
    });
}

#[test]
fn a_check_goes_on_where_the_first_who_asked_goes_away() {
    on_one_thread(async {
        let (verifier, _) = verifier(users());
        let hold = Hold::start().await;
        let first = begin(&verifier, "alice", HORSE).await;
        let second = begin(&verifier, "alice", HORSE).await;
        drop(first);
        let third = begin(&verifier, "alice", HORSE).await;
        assert!(has_no_place(&verifier, "carol", SNOW).await, "it has its place still");
        drop(hold);
        assert!(is_right(&second.await));
        assert!(is_right(&third.await));
        assert!(is_right(&ask(&verifier, "carol", SNOW).await));
    });
}

#[test]
fn a_check_that_nobody_waits_for_ends_and_is_remembered() {
    on_one_thread(async {
        let (verifier, _) = verifier(users());
        let hold = Hold::start().await;
        drop(begin(&verifier, "alice", HORSE).await);
        assert!(has_no_place(&verifier, "carol", SNOW).await);
        drop(hold);
        let alice = sent("alice", HORSE);
        until("it is remembered", async || {
            verifier.verify_now(&alice).is_some_and(|verdict| is_right(&verdict))
        })
        .await;
        assert!(is_right(&ask(&verifier, "carol", SNOW).await), "its place is free");
    });
}

#[test]
fn what_was_right_needs_no_place_and_what_was_wrong_does_each_time() {
    on_one_thread(async {
        let (verifier, _) = verifier(users());
        assert!(is_right(&ask(&verifier, "alice", HORSE).await));
        assert!(!needs_a_hash(&verifier, "alice", HORSE).await);
        for _ in 0..3 {
            assert!(is_wrong(&ask(&verifier, "alice", SNOW).await));
            assert!(needs_a_hash(&verifier, "alice", SNOW).await);
            assert!(is_wrong(&ask(&verifier, "nobody", HORSE).await));
            assert!(needs_a_hash(&verifier, "nobody", HORSE).await);
        }
        assert!(needs_a_hash(&verifier, "bob", HORSE).await, "alice has the same hash");
        assert!(!needs_a_hash(&verifier, "alice", HORSE).await);
    });
}

#[test]
fn a_right_answer_lasts_for_a_minute_from_when_it_was_found() {
    on_one_thread(async {
        let (verifier, clock) = verifier(users());
        assert!(is_right(&ask(&verifier, "alice", HORSE).await));
        clock.advance(Duration::from_millis(59_999));
        // Being asked for makes it last no longer.
        assert!(!needs_a_hash(&verifier, "alice", HORSE).await);
        clock.advance(Duration::from_millis(1));
        assert!(needs_a_hash(&verifier, "alice", HORSE).await);
        assert!(is_right(&ask(&verifier, "alice", HORSE).await));
        assert!(!needs_a_hash(&verifier, "alice", HORSE).await);
        // A clock that is turned back makes it last no longer, either.
        clock.set(clock.now() - Duration::from_secs(1));
        assert!(needs_a_hash(&verifier, "alice", HORSE).await);
    });
}

#[test]
fn how_long_and_how_many_right_answers_are_kept_is_said() {
    on_one_thread(async {
        let (verifier, clock) = verifier(users());
        let verifier = verifier.cache_ttl(Duration::ZERO);
        assert!(is_right(&ask(&verifier, "alice", HORSE).await));
        assert!(needs_a_hash(&verifier, "alice", HORSE).await);

        let verifier = verifier.cache_ttl(Duration::from_secs(3600));
        assert!(is_right(&ask(&verifier, "alice", HORSE).await));
        clock.advance(Duration::from_secs(3599));
        assert!(!needs_a_hash(&verifier, "alice", HORSE).await);

        // With no more room than for one, they are right all the same.
        let verifier = verifier.cache_capacity(1);
        for user_id in ["alice", "bob", "alice", "bob"] {
            assert!(is_right(&ask(&verifier, user_id, HORSE).await));
        }
    });
}

/// Users who may change, behind a wait.
#[derive(Clone, Default)]
struct Accounts(Arc<Inner>);

#[derive(Default)]
struct Inner {
    alice: Mutex<Option<StoredUser>>,
    asked: AtomicUsize,
}

impl Accounts {
    fn set(&self, hash: Option<String>) {
        let alice = hash.map(|hash| StoredUser::new("alice", PasswordHash::parse(&hash).unwrap()));
        *self.0.alice.lock().unwrap() = alice;
    }
}

impl UserStore for Accounts {
    async fn find(
        &self,
        user_id: &str,
    ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        match user_id {
            "alice" => Ok(self.0.alice.lock().unwrap().clone()),
            "outage" => Err("the database is away".into()),
            _ => Ok(None),
        }
    }
}

#[test]
fn a_changed_hash_and_a_removed_user_end_what_was_right() {
    on_one_thread(async {
        let accounts = Accounts::default();
        let (verifier, _) = verifier(accounts.clone());
        accounts.set(Some(cheap(HORSE)));
        assert!(is_right(&ask(&verifier, "alice", HORSE).await));
        assert!(!needs_a_hash(&verifier, "alice", HORSE).await);

        // The same password, hashed anew.
        accounts.set(Some(super::made_by("bcrypt 2b", HORSE)));
        assert!(needs_a_hash(&verifier, "alice", HORSE).await);
        assert!(is_right(&ask(&verifier, "alice", HORSE).await));

        accounts.set(Some(cheap(SNOW)));
        assert!(is_wrong(&ask(&verifier, "alice", HORSE).await));
        assert!(is_right(&ask(&verifier, "alice", SNOW).await));

        accounts.set(None);
        assert!(needs_a_hash(&verifier, "alice", SNOW).await);
        assert!(is_wrong(&ask(&verifier, "alice", SNOW).await));
    });
}

#[test]
fn a_store_is_asked_each_time_and_its_outage_is_none_of_the_callers() {
    on_one_thread(async {
        let accounts = Accounts::default();
        accounts.set(Some(cheap(HORSE)));
        let (verifier, _) = verifier(accounts.clone());
        for count in 1..=3 {
            assert!(is_right(&ask(&verifier, "alice", HORSE).await));
            assert_eq!(accounts.0.asked.load(Ordering::SeqCst), count);
        }
        let Verdict::Rejected(rejection) = ask(&verifier, "outage", HORSE).await else { panic!() };
        assert_eq!(rejection.kind(), tower_auth::RejectionKind::Unavailable);
    });
}

/// Where nobody drives tokio, nobody hashes, and nothing panics.
#[test]
fn without_a_runtime_it_is_unavailable() {
    let (verifier, _) = verifier(users());
    for user_id in ["alice", "nobody"] {
        let verdict = ask(&verifier, user_id, HORSE).now_or_never().unwrap();
        let Verdict::Rejected(rejection) = verdict else { panic!("{verdict:?}") };
        assert_eq!(rejection.kind(), tower_auth::RejectionKind::Unavailable);
    }
    // And it goes on where there is one.
    on_one_thread(async { assert!(is_right(&ask(&verifier, "alice", HORSE).await)) });
}

/// Tests and programs share a verifier between runtimes, which end with checks under way.
#[test]
fn a_runtime_that_ends_with_a_check_under_way_takes_no_place_with_it() {
    let (verifier, _) = verifier(users());
    on_one_thread(async {
        let hold = Hold::start().await;
        drop(begin(&verifier, "alice", HORSE).await);
        drop(begin(&verifier, "alice", HORSE).await);
        drop(hold);
    });
    on_one_thread(async {
        assert!(is_right(&ask(&verifier, "alice", HORSE).await));
        assert!(is_right(&ask(&verifier, "carol", SNOW).await));
    });
}
