//! An observer that panics does not fail a request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, handler::Handler as _, routing::get};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, Denial, JwtAuth, RequireScopes, jwt::Jwks, observe::Event,
    store::StoreErrorKind,
};
use tower_auth_test_support::{
    api::{Api, Issuer},
    store::SwitchedStore,
    stub::StubServer,
    token::{AUDIENCE, ISSUER, Signer},
};

use super::{ALONE, Log};

fn panics(_: &Event<'_>) {
    panic!("the observer is broken");
}

#[tokio::test]
async fn panic_of_an_observer_is_logged_and_the_request_continues() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let received = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&received);
    let count = move |_: &Event<'_>| _ = count.fetch_add(1, Ordering::Relaxed);
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/ok", get((async || "ok").layer(RequireScopes::all("read"))))
        .route("/policy", get((async || "ok").layer(RequireScopes::all("admin"))))
        .route("/handler", get(async || Err::<(), _>(Denial::forbidden())))
        .layer(AuthenticateLayer::new(issuer.auth()).observer((panics, (count, panics))));
    let api = Api::serve(app).await;
    for (path, status) in [("/ok", 200), ("/policy", 403), ("/handler", 403)] {
        assert_eq!(api.get_with_token(&issuer.token(), path).await.status, status, "{path}");
    }
    assert_eq!(api.get_anonymous("/ok").await.status, 401);
    // The other observer of the pair received all events.
    assert_eq!(received.load(Ordering::Relaxed), 7);
    let words = ["ERROR", "an observer panicked", "event=\"admitted\""];
    assert_eq!(log.count_lines_with(&words), 2 * 4);
    assert_eq!(log.count_lines_with(&["an observer panicked"]), 2 * 7);
}

#[tokio::test]
async fn panic_in_the_background_does_not_end_the_refresh_of_keys() {
    let _alone = ALONE.lock().await;
    let stub = StubServer::start();
    let [old, new] = ["old", "new"].map(|id| Signer::generate("ES256", id));
    stub.publish_keys([old.jwk()]);
    let tokens = JwtAuth::builder(Jwks::url(stub.url("/jwks"))).issuer(ISSUER).audience(AUDIENCE);
    let tokens = tokens.observer(panics).build().unwrap();
    let claims =
        json!({ "sub": "user-1", "iss": ISSUER, "aud": AUDIENCE, "exp": 4_102_444_800_u64 });
    assert!(tokens.verify(&old.token(&claims)).await.is_ok());
    // The same task fetches the keys again for an unknown key.
    stub.publish_keys([new.jwk()]);
    assert!(tokens.verify(&new.token(&claims)).await.is_ok());
}

#[tokio::test]
async fn panic_during_an_outage_of_the_store_does_not_fail_later_operations() {
    use tower_auth::revocation::Revocations;

    let store = SwitchedStore::new(tower_auth::test_util::TestClock::new());
    let sealed = store.sealed().observer(panics);
    let revocations = Revocations::builder(sealed).observer(panics);
    let revocations =
        revocations.longest_token_life(std::time::Duration::from_secs(600)).build().unwrap();
    store.set_fault(StoreErrorKind::Unavailable);
    assert!(revocations.subject("https://issuer.example", "alice").await.is_err());
    store.set_fault(None);
    assert!(revocations.subject("https://issuer.example", "alice").await.is_ok());
}
