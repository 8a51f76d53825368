//! Logouts and logins in parallel threads.

use std::{future::Future, sync::LazyLock, thread, time::Duration};

use futures_util::FutureExt;
use tower_auth::{
    RejectionKind,
    jwt::{Jwks, TokenCache},
    revocation::Revocations,
    store::SealedStore,
    test_util::{StubIssuer, TokenMint},
};

use super::{
    test_store::LIFE,
    tokens::{ISSUER, accepts, caller, claims, clock, is_revoked, with},
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());
    RUNTIME.block_on(future)
}

/// Each thread is a user who logs in and out. Half of them log out by `sid`.
#[test]
fn tokens_of_64_racing_logins_are_rejected_exactly_after_their_logout() {
    let store = SealedStore::memory();
    let process = |staleness| {
        let builder = Revocations::builder(store.clone()).longest_token_life(LIFE);
        builder.staleness(staleness).build().unwrap()
    };
    let (here, other) = (process(Duration::from_secs(5)), process(Duration::ZERO));
    let clock = clock();
    thread::scope(|scope| {
        for user in 0..64 {
            let (here, other, clock) = (&here, &other, &clock);
            scope.spawn(move || {
                let login = |number: usize| {
                    let token = claims(clock, &format!("{user} {number}"));
                    caller(&with(token, "sid", format!("{user} {number}")))
                };
                let mut next = login(0);
                for number in 0..20 {
                    let token = std::mem::replace(&mut next, login(number + 1));
                    for process in [here, other] {
                        assert!(block_on(process.check(&token)).is_ok());
                        assert!(block_on(process.check(&next)).is_ok());
                    }
                    match user % 2 {
                        0 => block_on(here.token(&token)).unwrap(),
                        _ => block_on(here.session(ISSUER, &format!("{user} {number}"))).unwrap(),
                    }
                    for process in [here, other] {
                        assert!(is_revoked(&block_on(process.check(&token))));
                        assert!(block_on(process.check(&next)).is_ok());
                    }
                }
            });
        }
    });
}

/// Many threads ask about the same token while it is revoked.
#[test]
fn token_that_64_threads_check_is_rejected_in_each_after_the_logout() {
    for round in 0..20 {
        let here = Revocations::builder(SealedStore::memory()).longest_token_life(LIFE);
        let here = here.build().unwrap();
        let token = caller(&claims(&clock(), &round.to_string()));
        let has_returned = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    loop {
                        let is_late = has_returned.load(std::sync::atomic::Ordering::SeqCst);
                        let result = block_on(here.check(&token));
                        if is_late {
                            assert!(is_revoked(&result), "{result:?}");
                            break;
                        }
                    }
                });
            }
            block_on(here.token(&token)).unwrap();
            has_returned.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        assert!(here.check(&token).now_or_never().unwrap().is_err());
    }
}

#[tokio::test]
async fn token_that_live_keys_verify_is_rejected_after_its_revocation() {
    let mint = TokenMint::new(ISSUER);
    let issuer = StubIssuer::new(&mint);
    let revocations = Revocations::builder(SealedStore::memory()).longest_token_life(LIFE);
    let revocations = revocations.build().unwrap();
    let keys = Jwks::discover(ISSUER).client(issuer.clone());
    let tokens = tower_auth::JwtAuth::builder(keys).issuer(ISSUER).audience("orders");
    let tokens = tokens.cache(TokenCache::new(1 << 20)).revocations(revocations.clone());
    let tokens = tokens.build().unwrap();
    let [token, other] =
        ["1", "2"].map(|jti| mint.token("alice").audience("orders").claim("jti", jti).sign());
    // The first request waits for the keys.
    let caller = tokens.verify(&token).await.unwrap();
    revocations.token(&caller).await.unwrap();
    for _ in 0..2 {
        assert!(!accepts(&tokens, &token).await);
        assert!(accepts(&tokens, &other).await);
    }
    // A token whose verification has to wait for the keys.
    let keys = Jwks::discover(ISSUER).client(issuer);
    let fresh = tower_auth::JwtAuth::builder(keys).issuer(ISSUER).audience("orders");
    let fresh = fresh.revocations(revocations).build().unwrap();
    let waiting = fresh.verify(&token).into_ready().unwrap_err();
    assert_eq!(waiting.await.unwrap_err().kind(), RejectionKind::InvalidCredentials);
}
