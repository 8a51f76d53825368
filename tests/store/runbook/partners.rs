//! Secrets that are shared with others: of a client at a provider, and of a sender of webhooks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    routing::{get, post},
};
use http::Request;
use reqwest::Client;
use tokio::net::TcpListener;
use tower_auth::{
    AuthenticateLayer, Principal, Rejection,
    client::WebhookSigner,
    oidc_login::{Login, OidcLogin},
    session::Sessions,
    store::SealedStore,
    webhook::{WebhookFormat, WebhookLayer},
};
use tower_auth_test_support::{
    api::{Api, Reply, greet},
    oidc_stub::{CLIENT_ID, CLIENT_SECRET, OidcStub},
    user_agent::UserAgent,
};

use super::{World, secret};

const NEW_SECRET: &str = "another secret of the application";

/// Starts an instance of a service whose users log in at the provider, and returns its URL.
async fn start(world: &World, provider: &OidcStub, client_secret: &str, port: u16) -> String {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let store = SealedStore::new(world.store.clone(), secret(1));
    let sessions = Sessions::builder(store)
        .clock(world.clock.clone())
        .observer(world.events.clone())
        .build()
        .unwrap();
    let login = OidcLogin::discover(provider.issuer())
        .client_id(CLIENT_ID)
        .client_secret(client_secret)
        .redirect_uri(format!("{url}/callback"))
        .then(async |login: Login| Ok::<_, Rejection>(login.principal().build()))
        .sessions(sessions.clone())
        .clock(world.clock.clone())
        .observer(world.events.clone())
        .build()
        .unwrap();
    let app = Router::new()
        .route("/", get(greet))
        .layer(AuthenticateLayer::new(sessions))
        .merge(login.into_router());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// Exchanges a code that does not exist, with this client secret. Returns the error.
async fn error_of_provider(provider: &OidcStub, client_secret: &str) -> String {
    let form = BTreeMap::from([
        ("client_id", CLIENT_ID),
        ("client_secret", client_secret),
        ("code", "unknown"),
        ("code_verifier", "unknown"),
    ]);
    let form = form.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+")));
    let form = form.collect::<Vec<_>>().join("&");
    let request = Client::new().post(provider.url("/token")).body(form);
    let body = Reply::to(request).await.body;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    body["error"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_client_secret_is_rejected_by_the_provider_and_sessions_continue() {
    let world = World::new();
    let provider = OidcStub::start(world.clock.clone()).await;
    let url = start(&world, &provider, CLIENT_SECRET, 0).await;
    let browser = UserAgent::new();
    assert_eq!(browser.visit(&format!("{url}/login")).await.status, 200);
    assert_eq!(error_of_provider(&provider, CLIENT_SECRET).await, "invalid_grant");

    provider.set_client_secret(NEW_SECRET);
    assert_eq!(error_of_provider(&provider, CLIENT_SECRET).await, "invalid_client");
    // Until the service has the new secret, logins fail. Sessions continue.
    world.events.take("login_failed");
    assert_eq!(UserAgent::new().visit(&format!("{url}/login")).await.status, 500);
    assert_eq!(world.events.take("login_failed"), 1);
    assert_eq!(browser.open(&url).await.status, 200);

    let url = start(&world, &provider, NEW_SECRET, 0).await;
    assert_eq!(UserAgent::new().visit(&format!("{url}/login")).await.status, 200);
    assert_eq!(world.events.take("login_failed"), 0);
}

const STOLEN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";
const NEW: &str = "whsec_dnV0c3JxcG9ubWxramloZ2ZlZGNiYTk4NzY1NDMyMTA=";

#[tokio::test(flavor = "multi_thread")]
async fn webhook_with_a_stolen_secret_is_accepted_until_the_secret_is_removed() {
    let world = World::new();
    let handled = Arc::new(AtomicUsize::default());
    let start = async |secrets: &[&str]| {
        let layer = WebhookLayer::builder(WebhookFormat::standard())
            .sender("payments")
            .store(SealedStore::new(world.store.clone(), secret(1)))
            .clock(world.clock.clone())
            .observer(world.events.clone());
        let layer = secrets.iter().fold(layer, |layer, secret| layer.secret(*secret));
        let handled = Arc::clone(&handled);
        let handler = post(async move |_: Principal| {
            handled.fetch_add(1, Ordering::SeqCst);
        });
        Api::serve(Router::new().route("/hook", handler).layer(layer.build().unwrap())).await
    };
    let send = async |api: &Api, secret: &str, id: &str| {
        let mut request = Request::post("/hook").body(axum::body::Bytes::from("{}")).unwrap();
        let signer = WebhookSigner::new(WebhookFormat::standard(), secret).unwrap();
        signer.clock(world.clock.clone()).sign_with_id(id, &mut request).unwrap();
        let (head, body) = request.into_parts();
        let request = api.request(reqwest::Method::POST, "/hook").headers(head.headers).body(body);
        Reply::to(request).await.status.as_u16()
    };
    let before = start(&[STOLEN]).await;
    assert_eq!(send(&before, STOLEN, "forged-1").await, 200);
    // A planned rotation accepts both secrets.
    let both = start(&[NEW, STOLEN]).await;
    assert_eq!(send(&both, STOLEN, "forged-2").await, 200);
    assert_eq!(handled.load(Ordering::SeqCst), 2);

    let after = start(&[NEW]).await;
    world.events.take("rejected");
    assert_eq!(send(&after, STOLEN, "forged-3").await, 401);
    assert_eq!(world.events.take("rejected"), 1);
    assert_eq!(send(&after, NEW, "event-1").await, 200);
    // An event that was handled before is known under the new secret as well.
    assert_eq!(send(&after, NEW, "forged-1").await, 200);
    assert_eq!(handled.load(Ordering::SeqCst), 3);
}
