//! Rejected logins cost the same work, whether the user exists or not. The tests count hashes and
//! other operations, because times vary.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::request::Parts;

use super::{
    hash::PasswordHash,
    store::{HashedUsers, StoredUser, UserStore},
    verifier::HashVerifier,
};
use crate::{
    basic::{basic_auth::BasicAuth, verifier::PasswordVerifier},
    rejection::RejectionKind,
};

/// The hash of `password`. It is weak, and also the decoy of all users without a hash.
const HASH: &str = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

/// The user `alice`, and `carol`, who is locked. Counts how it is called.
#[derive(Clone)]
struct Accounts {
    users: Arc<HashedUsers>,
    hash: PasswordHash,
    finds: Arc<AtomicUsize>,
    decoys: Arc<AtomicUsize>,
    replaced: Arc<AtomicUsize>,
}

impl Accounts {
    fn new() -> Self {
        let hash = PasswordHash::parse(HASH).unwrap();
        let users = HashedUsers::default().with(StoredUser::new("alice", hash.clone())).unwrap();
        let users = Arc::new(users.with(StoredUser::locked("carol")).unwrap());
        let [finds, decoys, replaced] = [0; 3].map(|_| Arc::default());
        Self { users, hash, finds, decoys, replaced }
    }
}

impl UserStore for Accounts {
    async fn find(
        &self,
        user_id: &str,
    ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        self.users.find(user_id).await
    }

    async fn replace_hash(
        &self,
        _: &str,
        _: &PasswordHash,
        _: PasswordHash,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        self.replaced.fetch_add(1, Ordering::SeqCst);
        Ok(false)
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.decoys.fetch_add(1, Ordering::SeqCst);
        self.users.decoy(user_id)
    }
}

/// Logs in, and returns the kind of the rejection.
async fn rejection<V: PasswordVerifier>(
    staff: &BasicAuth<V>,
    user_id: &str,
    password: &str,
    in_steps: bool,
) -> RejectionKind {
    let head: Parts = http::Request::new(()).into_parts().0;
    #[cfg(feature = "issue")]
    if in_steps {
        use crate::basic::login::{LoginVerifier, NextStep};

        let next: NextStep<()> = Box::new(|_| unreachable!("rejected before the second step"));
        return staff.verify_then(user_id, password, &head, next).await.unwrap_err().kind();
    }
    let _ = in_steps;
    staff.verify(user_id, password, &head).await.unwrap_err().kind()
}

/// Also with `renew_hashes`: the password of the decoy renews nothing.
#[tokio::test]
async fn unknown_and_locked_users_cost_the_same_operations_as_a_wrong_password() {
    for renews in [false, true] {
        for in_steps in [false, true] {
            let accounts = Accounts::new();
            let verifier = HashVerifier::new(accounts.clone());
            let verifier = if renews { verifier.renew_hashes() } else { verifier };
            let verifications = Arc::clone(&verifier.verifications);
            let staff = BasicAuth::new("staff", verifier).unwrap();
            let logins =
                [("alice", "wrong"), ("bob", "wrong"), ("bob", "password"), ("carol", "password")];
            for (user_id, password) in logins {
                let before = accounts.hash.check_count();
                let kind = rejection(&staff, user_id, password, in_steps).await;
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(kind, RejectionKind::InvalidCredentials);
                // The same hash, so also the same kind and cost.
                assert_eq!(accounts.hash.check_count() - before, 1, "{user_id} {password}");
                assert_eq!(accounts.finds.swap(0, Ordering::SeqCst), 1);
                let fingerprints = &verifications.cache.fingerprint_count;
                assert_eq!(fingerprints.swap(0, Ordering::Relaxed), 2, "{user_id} {password}");
            }
            assert_eq!(accounts.decoys.load(Ordering::SeqCst), 3, "all but the one of alice");
            assert_eq!(accounts.replaced.load(Ordering::SeqCst), 0);
        }
    }
}

/// No user can have such a user id, so the missing hash reveals nothing.
#[tokio::test]
async fn user_id_that_no_user_can_have_costs_no_hash_whether_its_beginning_exists_or_not() {
    for in_steps in [false, true] {
        let accounts = Accounts::new();
        let staff = BasicAuth::new("staff", HashVerifier::new(accounts.clone())).unwrap();
        for user_id in ["alice:", "bob:", "alice\n", "bob\n", "carol\0"] {
            let kind = rejection(&staff, user_id, "password", in_steps).await;
            assert_eq!(kind, RejectionKind::InvalidCredentials);
        }
        assert_eq!(accounts.hash.check_count(), 0);
        assert_eq!(accounts.finds.load(Ordering::SeqCst), 0);
    }
}

/// bcrypt reads 72 bytes, and no hash is computed of more than 512.
#[tokio::test]
async fn overlong_password_costs_the_same_for_known_and_unknown_users() {
    let accounts = Accounts::new();
    let staff = BasicAuth::new("staff", HashVerifier::new(accounts.clone())).unwrap();
    for (length, hashes) in [(73, 1), (512, 1), (513, 0)] {
        for user_id in ["alice", "bob", "carol"] {
            let before = accounts.hash.check_count();
            let kind = rejection(&staff, user_id, &"x".repeat(length), false).await;
            assert_eq!(kind, RejectionKind::InvalidCredentials);
            assert_eq!(accounts.hash.check_count() - before, hashes, "{user_id} {length}");
        }
    }
}
