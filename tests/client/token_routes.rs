//! `RefreshGrant` and `ClientCredentials` with the token routes of this crate.

use std::{
    future::{IntoFuture as _, ready},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpListener;
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, Scheme,
    basic::Users,
    client::{
        Attach, AttachErrorKind, ClientCredentials, RefreshGrant, RefreshingToken, TokenEndpoint,
    },
    issue::{TokenIssuer, TokenRoutes},
    store::StoreErrorKind,
    test_util::TestClock,
};
use tower_auth_test_support::store::SwitchedStore;

use crate::{HyperClient, client, error_kind, ok, send_get};

const SECRET: &str = "p: +/%&é";

struct Fixture {
    clock: TestClock,
    store: SwitchedStore,
    issuer: TokenIssuer,
    url: String,
    client: Attach<HyperClient, RefreshingToken>,
    /// The refresh tokens that the hook has saved.
    saved: Arc<Mutex<Vec<String>>>,
    /// Loses the next response of the token endpoint.
    loses_response: Arc<AtomicBool>,
}

impl Fixture {
    async fn new() -> Self {
        let clock = TestClock::new();
        let store = SwitchedStore::new(clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = TokenIssuer::builder().issuer(&*url).audience("orders");
        let issuer = issuer.store(store.sealed()).clock(clock.clone()).build().unwrap();
        let staff = BasicAuth::new("staff", Users::default()).unwrap();
        let service = Principal::builder("stock 1", Scheme::BASIC).scopes(["read"]).build();
        let services = BasicAuth::new("services", Users::default().with(service, SECRET).unwrap());
        let routes = TokenRoutes::builder(issuer.clone(), staff)
            .client_passwords(services.unwrap())
            .build()
            .unwrap();
        let app = Router::new()
            .route("/me", get(async |caller: Principal| caller.subject().to_owned()))
            .layer(AuthenticateLayer::new(issuer.verifier()))
            .merge(routes.into_router());
        tokio::spawn(axum::serve(listener, app).into_future());

        let loses_response = Arc::new(AtomicBool::new(false));
        let endpoint = TokenEndpoint::discover(&*url)
            .client(lossy_client(Arc::clone(&loses_response)))
            .build()
            .unwrap();
        let alice = Principal::builder("alice", Scheme::BEARER).build();
        let login = issuer.issue(&alice).await.unwrap();
        let saved = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&saved);
        let grant = RefreshGrant::new(endpoint, login.refresh_token()).on_rotated(move |token| {
            list.lock().unwrap().push(token);
            ready(Ok::<_, io::Error>(()))
        });
        let client = client(RefreshingToken::new(grant).clock(clock.clone()));
        Self { clock, store, issuer, url, client, saved, loses_response }
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn send(&self) -> Result<(u16, String), crate::BoxError> {
        send_get(&self.client, &format!("{}/me", self.url)).await
    }
}

/// Returns a client that drops one response after the flag was set.
fn lossy_client(
    loses_response: Arc<AtomicBool>,
) -> impl Fn(Request<Bytes>) -> futures_util::future::BoxFuture<'static, io::Result<Response<Bytes>>>
{
    move |request| {
        let loses_response = Arc::clone(&loses_response);
        Box::pin(async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = reqwest::Request::try_from(request).map_err(io::Error::other)?;
            let received = client.execute(request).await.map_err(io::Error::other)?;
            let status = received.status();
            let body = received.bytes().await.map_err(io::Error::other)?;
            if loses_response.swap(false, Ordering::SeqCst) {
                return Err(io::Error::other("the connection was reset"));
            }
            Ok(Response::builder().status(status).body(body).unwrap())
        })
    }
}

#[tokio::test]
async fn login_stays_alive_through_refreshes_and_a_lost_response() {
    let fixture = Fixture::new().await;
    for round in 0..5 {
        fixture.loses_response.store(round == 2, Ordering::SeqCst);
        assert_eq!(fixture.send().await.unwrap(), ok("alice"), "{round}");
        fixture.advance(600);
    }
    assert_eq!(fixture.saved.lock().unwrap().len(), 5, "each exchange returned a new token");
}

#[tokio::test]
async fn outage_of_the_store_keeps_the_login() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.send().await.unwrap(), ok("alice"));
    fixture.advance(600);
    fixture.store.set_fault(StoreErrorKind::Unavailable);
    let error = fixture.send().await.unwrap_err();
    assert!(format!("{error:#}").contains("503"), "{error:#}");
    assert_eq!(error_kind::<()>(Err(error)), AttachErrorKind::Source);
    fixture.store.set_fault(None);
    fixture.advance(5);
    assert_eq!(fixture.send().await.unwrap(), ok("alice"));
}

#[tokio::test]
async fn logout_ends_the_grant() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.send().await.unwrap(), ok("alice"));
    let newest = fixture.saved.lock().unwrap().last().cloned();
    fixture.issuer.logout(&newest.unwrap()).await.unwrap();
    fixture.advance(600);
    assert_eq!(error_kind(fixture.send().await), AttachErrorKind::LoggedOut);
}

#[tokio::test]
async fn refresh_token_is_accepted_at_the_endpoint_for_it_alone() {
    let fixture = Fixture::new().await;
    let alice = Principal::builder("alice", Scheme::BEARER).build();
    let login = fixture.issuer.issue(&alice).await.unwrap();
    let endpoint = TokenEndpoint::url(format!("{}/token/refresh", fixture.url)).build().unwrap();
    let grant = RefreshGrant::new(endpoint, login.refresh_token());
    let client = client(RefreshingToken::new(grant).clock(fixture.clock.clone()));
    let url = format!("{}/me", fixture.url);
    assert_eq!(send_get(&client, &url).await.unwrap(), ok("alice"));
}

#[tokio::test]
async fn client_credentials_are_accepted_in_the_header_and_in_the_body() {
    let fixture = Fixture::new().await;
    let url = format!("{}/me", fixture.url);
    let endpoint = || TokenEndpoint::discover(&*fixture.url).client_id("stock 1");
    for endpoint in
        [endpoint().client_secret(SECRET), endpoint().client_secret(SECRET).client_secret_post()]
    {
        let grant = ClientCredentials::new(endpoint.build().unwrap()).scopes("read");
        let client = client(RefreshingToken::new(grant).clock(fixture.clock.clone()));
        assert_eq!(send_get(&client, &url).await.unwrap(), ok("stock 1"));
    }
    let endpoint = endpoint().client_secret("wrong").build().unwrap();
    let client = client(RefreshingToken::new(ClientCredentials::new(endpoint)));
    let error = send_get(&client, &url).await.unwrap_err();
    assert!(format!("{error:#}").contains("401 Unauthorized: invalid_client"), "{error:#}");
    assert_eq!(error_kind::<()>(Err(error)), AttachErrorKind::Source);
}
