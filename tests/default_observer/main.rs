//! The default observer. It is set once per process, so this is a process of its own.

use std::{
    future::ready,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, handler::Handler as _, routing::get};
use bytes::Bytes;
use http::{Method, Request, Response};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Denial, RequireScopes,
    api_key::{ApiKeys, MemoryApiKeys, NewApiKey},
    basic::Users,
    client::{ClientCredentials, RefreshingToken, TokenEndpoint},
    issue::{TokenIssuer, TokenRoutes},
    observe::{Event, set_default},
    session::Sessions,
    store::{SealedStore, StoreErrorKind},
    test_util::{TestClock, principal},
};
use tower_auth_test_support::{
    api::{Api, Issuer, Reply},
    store::SwitchedStore,
};

static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

fn record(event: &Event<'_>) {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).push(event.name());
}

/// Returns the events since the last call, without those of fetched keys: the token routes fetch
/// their keys in the background.
fn take() -> Vec<&'static str> {
    let names = std::mem::take(&mut *NAMES.lock().unwrap_or_else(PoisonError::into_inner));
    let is_background = |name: &str| ["key_set_changed", "keys_fetched"].contains(&name);
    names.into_iter().filter(|name| !is_background(name)).collect()
}

/// One test, because the events of several would mix.
#[tokio::test]
async fn default_observer_receives_the_events_of_all_modules_without_an_observer() {
    let issuer = Issuer::new();
    let own = |_: &Event<'_>| record(&Event::StoreReverted);
    let route = || get((async || "ok").layer(RequireScopes::all("read")));
    let app = |layer: AuthenticateLayer<_>| {
        let app = Router::new().route("/", route());
        app.route("/denied", get(async || Err::<(), _>(Denial::forbidden()))).layer(layer)
    };
    // The layer was built before the default was set.
    let api = Api::serve(app(AuthenticateLayer::new(issuer.auth()))).await;
    set_default((|_: &Event<'_>| panic!("the first of the pair"), record)).unwrap();
    let error = set_default(record).unwrap_err();
    assert!(error.to_string().contains("already set"), "{error}");

    assert_eq!(api.get_with_token(&issuer.token(), "/").await.status, 200);
    assert_eq!(take(), ["admitted", "admitted"]);
    assert_eq!(api.get_with_token(&issuer.token(), "/denied").await.status, 403);
    assert_eq!(take(), ["admitted", "rejected"]);
    assert_eq!(api.get_anonymous("/").await.status, 401);
    assert_eq!(take(), ["rejected"]);

    // An observer that was set replaces the default.
    let api = Api::serve(app(AuthenticateLayer::new(issuer.auth()).observer(own))).await;
    assert_eq!(api.get_anonymous("/").await.status, 401);
    assert_eq!(take(), ["store_reverted"]);

    let tokens = TokenIssuer::builder().issuer("https://login.example").audience("orders");
    let tokens = tokens.store(SealedStore::memory()).build().unwrap();
    let pair = tokens.issue(&principal("alice").build()).await.unwrap();
    tokens.refresh(pair.refresh_token()).await.unwrap();
    tokens.logout(pair.refresh_token()).await.unwrap();
    let names = take();
    for name in ["signing_keys_changed", "logged_in", "tokens_refreshed", "logged_out"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }

    // The routes report the wrong secret of a client. The verifier of passwords does not, too.
    let clients = || BasicAuth::new("clients", Users::new([("orders", "right secret")]).unwrap());
    let routes = TokenRoutes::builder(tokens, clients().unwrap());
    let routes = routes.client_passwords(clients().unwrap()).build().unwrap();
    let api = Api::serve(Router::new().route_service("/token", routes.token())).await;
    let request = api.request(Method::POST, "/token").basic_auth("orders", Some("wrong secret"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let reply = Reply::to(request.body("grant_type=client_credentials")).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    let names = take();
    assert_eq!(names.iter().filter(|name| **name == "rejected").count(), 1, "{names:?}");

    let sessions = Sessions::builder(SealedStore::memory()).build().unwrap();
    let (head, mut response) = (Request::new(()).into_parts().0, Response::new(()));
    sessions.start(&principal("alice").build(), &head, &mut response).await.unwrap();
    sessions.end_all("alice").await.unwrap();
    assert_eq!(take(), ["session_started", "revoked", "session_ended"]);

    let keys = ApiKeys::builder("acme", MemoryApiKeys::new());
    let keys = keys.dangerous_trust_owners().build().unwrap();
    keys.dangerous_create_for("alice", NewApiKey::new("export")).await.unwrap();
    keys.revoke_all("alice").await.unwrap();
    assert_eq!(take(), ["api_key_created", "api_key_revoked"]);

    let store = SwitchedStore::new(TestClock::new());
    let revocations = tower_auth::revocation::Revocations::builder(store.sealed());
    let revocations = revocations.longest_token_life(Duration::from_secs(600)).build().unwrap();
    store.set_fault(StoreErrorKind::Unavailable);
    revocations.issuer("https://issuer.example").await.unwrap_err();
    store.set_fault(None);
    revocations.issuer("https://issuer.example").await.unwrap();
    assert_eq!(take(), ["store_unavailable", "store_available", "revoked"]);

    let send = |_: Request<Bytes>| ready(Err::<Response<Bytes>, _>(io::Error::other("no route")));
    let endpoint = TokenEndpoint::url("https://issuer.example/token").client(send).build().unwrap();
    RefreshingToken::new(ClientCredentials::new(endpoint)).header_value().await.unwrap_err();
    assert_eq!(take(), ["token_fetch_failed"]);
}
