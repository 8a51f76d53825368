//! Outages of the store and of the keys.

use futures_util::FutureExt as _;
use tower::ServiceExt as _;
use tower_auth::{jwt::Jwks, revocation::BackchannelLogout, store::SealedStore};

use super::{CLIENT, FORM, Setup, assert_accepted, assert_invalid, flaky::Flaky, secret};

fn assert_unavailable(response: &tower_auth_test_support::raw::RawResponse) {
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(response.header("cache-control"), "no-store");
    assert_eq!(response.body, "");
}

/// The store fails after each number of operations. The provider sends the token again.
#[tokio::test]
async fn logout_that_failed_halfway_succeeds_when_it_is_sent_again() {
    for has_session in [true, false] {
        let store = Flaky::new();
        let setup = Setup::with_store(SealedStore::new(store.clone(), secret()));
        let receiver = setup.start().await;
        let mut failures = 0;
        for operations in 0.. {
            let subject = format!("alice-{operations}");
            let access_token = receiver.setup.access_token(&subject, &subject);
            assert_eq!(receiver.status(&access_token).await, 200);
            let token = receiver.setup.logout_token(&subject);
            let token = if has_session { token.claim("sid", &subject) } else { token }.sign();
            store.fail_after(operations);
            let response = receiver.post(&token).await;
            store.recover();
            if response.status == 200 {
                assert_eq!(receiver.status(&access_token).await, 401);
                break;
            }
            assert_unavailable(&response);
            failures += 1;
            assert_accepted(&receiver.post(&token).await);
            assert_eq!(receiver.status(&access_token).await, 401);
            assert_invalid(&receiver.post(&token).await, "replay");
        }
        // At least the revocation and the `jti` are operations.
        assert!(failures >= 2, "{failures}");
    }
}

/// If the `jti` were recorded first, a crash in between would lose the logout.
#[tokio::test]
async fn jti_is_recorded_after_the_revocation() {
    let store = Flaky::new();
    let setup = Setup::with_store(SealedStore::new(store.clone(), secret()));
    let receiver = setup.start().await;
    let token = receiver.setup.logout_token("alice").claim("sid", "s").sign();
    let access_token = receiver.setup.access_token("alice", "s");
    // With one operation less than needed, the response is 503, and the logout has taken effect.
    for operations in 0..20 {
        store.fail_after(operations);
        if receiver.post(&token).await.status == 200 {
            break;
        }
        store.recover();
        if receiver.status(&access_token).await == 401 {
            return;
        }
    }
    panic!("the logout took effect only when the jti was recorded");
}

/// The connection closes at each point at which the service waits.
#[tokio::test]
async fn logout_that_was_cancelled_succeeds_when_it_is_sent_again() {
    for has_session in [true, false] {
        let setup = Setup::with_store(SealedStore::new(Flaky::new(), secret()));
        let service = setup.builder().build().unwrap();
        let tokens = setup.tokens("orders");
        for polls in 0.. {
            let subject = format!("alice-{polls}");
            let access_token = setup.access_token(&subject, &subject);
            let token = setup.logout_token(&subject);
            let token = if has_session { token.claim("sid", &subject) } else { token }.sign();
            let request = || {
                let form = format!("logout_token={token}");
                http::Request::post("/").header(FORM.0, FORM.1).body(form).unwrap()
            };
            let mut cancelled = service.clone().oneshot(request());
            let is_done = (0..polls).any(|_| (&mut cancelled).now_or_never().is_some());
            drop(cancelled);
            let status = service.clone().oneshot(request()).await.unwrap().status();
            // 400 if the `jti` was recorded, which is only after the revocation.
            assert!(status == 200 || status == 400, "{polls}: {status}");
            assert!(tokens.verify(&access_token).await.is_err(), "{polls}");
            if is_done {
                assert!(polls > 4, "{polls}");
                assert_eq!(status, 400);
                break;
            }
        }
    }
}

#[tokio::test]
async fn invalid_token_does_not_reach_the_store() {
    let store = Flaky::new();
    let setup = Setup::with_store(SealedStore::new(store.clone(), secret()));
    let receiver = setup.start().await;
    let before = store.writes();
    store.fail_after(0);
    let token = receiver.setup.logout_token("alice").without("events").sign();
    assert_invalid(&receiver.post(&token).await, "no events");
    let token = receiver.setup.logout_token("alice").signed_by_unknown_key().sign();
    assert_invalid(&receiver.post(&token).await, "wrong key");
    assert_eq!(store.writes(), before);
}

#[tokio::test]
async fn unavailable_keys_return_503() {
    let setup = Setup::new();
    let logout = BackchannelLogout::builder(Jwks::url("http://127.0.0.1:1/jwks"))
        .issuer("https://issuer.example")
        .client_id(CLIENT)
        .revocations(setup.revocations.clone())
        .build()
        .unwrap();
    let receiver = setup.serve(logout).await;
    assert_unavailable(&receiver.post(&receiver.setup.logout_token("alice").sign()).await);
    // Garbage does not wait for keys.
    assert_invalid(&receiver.post("garbage").await, "garbage");
    assert_invalid(&receiver.post("a.b.c.d.e").await, "encrypted");
}
