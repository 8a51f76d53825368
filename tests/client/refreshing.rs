//! `RefreshingToken` with a controllable issuer and a mock clock.

use std::{error::Error, future::ready, sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use tower::ServiceBuilder;
use tower_auth::client::{
    Attach, AttachErrorKind, AttachLayer, DynTokenSource, RefreshingToken, Token,
};
use tower_auth_test_support::stub::wait_until;

use crate::{Api, HyperClient, Issuer, IssuerMode, client, error_kind, hyper_client, ok, send_get};

/// An issuer, an API and a client that share a mock clock.
struct Fixture {
    issuer: Issuer,
    api: Api,
    token: RefreshingToken,
    client: Attach<HyperClient, RefreshingToken>,
}

impl Fixture {
    async fn with(mode: IssuerMode) -> Self {
        let issuer = Issuer::new(mode);
        let api = Api::start(&issuer).await;
        let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
        let client = client(token.clone());
        Self { issuer, api, token, client }
    }

    async fn send(&self) -> Result<(u16, String), crate::BoxError> {
        send_get(&self.client, &self.api.url()).await
    }

    async fn subject(&self) -> String {
        let (status, subject) = self.send().await.unwrap();
        assert_eq!(status, 200);
        subject
    }

    fn send_in_background(
        &self,
    ) -> tokio::task::JoinHandle<Result<(u16, String), crate::BoxError>> {
        let (client, url) = (self.client.clone(), self.api.url());
        tokio::spawn(async move { send_get(&client, &url).await })
    }
}

#[tokio::test]
async fn token_is_fetched_on_first_request() {
    let fixture = Fixture::with(IssuerMode::Issue).await;
    assert_eq!(fixture.issuer.fetches(), 0);
    assert_eq!(fixture.subject().await, "token-1");
    assert_eq!(fixture.subject().await, "token-1");
    assert_eq!(fixture.issuer.fetches(), 1);
}

#[tokio::test]
async fn concurrent_requests_share_one_fetch() {
    let fixture = Fixture::with(IssuerMode::Hang).await;
    let waiting: Vec<_> = (0..50).map(|_| fixture.send_in_background()).collect();
    wait_until("a fetch", async || fixture.issuer.fetches() > 0).await;
    assert_eq!(fixture.api.hits(), 0);
    fixture.issuer.set_mode(IssuerMode::Issue);
    for result in join_all(waiting).await {
        assert_eq!(result.unwrap().unwrap(), ok("token-1"));
    }
    assert_eq!(fixture.issuer.fetches(), 1);
}

#[tokio::test]
async fn fetch_continues_when_its_first_request_is_dropped() {
    let fixture = Fixture::with(IssuerMode::Hang).await;
    let first = fixture.send_in_background();
    wait_until("a fetch", async || fixture.issuer.fetches() > 0).await;
    let second = fixture.send_in_background();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    fixture.issuer.set_mode(IssuerMode::Issue);
    assert_eq!(second.await.unwrap().unwrap(), ok("token-1"));
    assert_eq!(fixture.issuer.fetches(), 1);
}

#[tokio::test]
async fn fetch_without_waiting_requests_serves_the_next_request() {
    let fixture = Fixture::with(IssuerMode::Hang).await;
    let only = fixture.send_in_background();
    wait_until("a fetch", async || fixture.issuer.fetches() > 0).await;
    only.abort();
    assert!(only.await.unwrap_err().is_cancelled());
    fixture.issuer.set_mode(IssuerMode::Issue);
    wait_until("a token", async || fixture.token.try_header_value().is_ok()).await;
    assert_eq!(fixture.subject().await, "token-1");
    assert_eq!(fixture.issuer.fetches(), 1);
}

#[tokio::test]
async fn token_is_refreshed_in_the_background_before_expiry() {
    let fixture = Fixture::with(IssuerMode::Issue).await;
    assert_eq!(fixture.subject().await, "token-1");
    fixture.issuer.clock.advance(530);
    assert_eq!(fixture.subject().await, "token-1");
    assert_eq!(fixture.issuer.fetches(), 1);

    fixture.issuer.clock.advance(20);
    fixture.issuer.set_mode(IssuerMode::Hang);
    for _ in 0..5 {
        assert_eq!(fixture.subject().await, "token-1");
    }
    wait_until("a fetch", async || fixture.issuer.fetches() > 1).await;
    fixture.issuer.set_mode(IssuerMode::Issue);
    wait_until("the next token", async || fixture.subject().await == "token-2").await;
    assert_eq!(fixture.issuer.fetches(), 2);
}

#[tokio::test]
async fn expiring_token_is_replaced_before_the_request_is_sent() {
    let fixture = Fixture::with(IssuerMode::Issue).await;
    assert_eq!(fixture.subject().await, "token-1");
    fixture.issuer.clock.advance(596);
    assert_eq!(fixture.subject().await, "token-2");
}

#[tokio::test]
async fn outage_before_expiry_keeps_the_current_token() {
    let fixture = Fixture::with(IssuerMode::Issue).await;
    assert_eq!(fixture.subject().await, "token-1");
    fixture.issuer.clock.advance(550);
    fixture.issuer.set_mode(IssuerMode::Fail);
    for fetches in [2, 3] {
        wait_until("a fetch", async || {
            assert_eq!(fixture.subject().await, "token-1");
            fixture.issuer.fetches() == fetches
        })
        .await;
        for _ in 0..5 {
            assert_eq!(fixture.subject().await, "token-1");
        }
        assert_eq!(fixture.issuer.fetches(), fetches, "no other fetch during the cooldown");
        fixture.issuer.clock.advance(6);
    }
    fixture.issuer.clock.advance(40);
    assert_eq!(error_kind(fixture.send().await), AttachErrorKind::Source);
    fixture.issuer.clock.advance(6);
    fixture.issuer.set_mode(IssuerMode::Issue);
    assert_eq!(fixture.subject().await, "token-5");
}

#[tokio::test]
async fn failed_source_is_not_called_during_cooldown() {
    let fixture = Fixture::with(IssuerMode::Fail).await;
    for _ in 0..5 {
        let error = fixture.send().await.unwrap_err();
        assert!(format!("{error:#}").contains("the vault is sealed"), "{error}");
        assert_eq!(error.source().unwrap().to_string(), "the vault is sealed");
        assert_eq!(error_kind::<()>(Err(error)), AttachErrorKind::Source);
    }
    assert_eq!((fixture.issuer.fetches(), fixture.api.hits()), (1, 0));
    fixture.issuer.set_mode(IssuerMode::Issue);
    assert_eq!(error_kind(fixture.send().await), AttachErrorKind::Source);
    fixture.issuer.clock.advance(5);
    assert_eq!(fixture.subject().await, "token-2");
}

#[tokio::test]
async fn failed_fetch_returns_an_error_to_all_waiting_requests() {
    let fixture = Fixture::with(IssuerMode::Hang).await;
    let waiting: Vec<_> = (0..20).map(|_| fixture.send_in_background()).collect();
    wait_until("a fetch", async || fixture.issuer.fetches() > 0).await;
    fixture.issuer.set_mode(IssuerMode::Fail);
    for result in join_all(waiting).await {
        assert_eq!(error_kind(result.unwrap()), AttachErrorKind::Source);
    }
    assert_eq!(fixture.issuer.fetches(), 1);
}

#[tokio::test]
async fn hanging_source_times_out() {
    let issuer = Issuer::new(IssuerMode::Hang);
    let api = Api::start(&issuer).await;
    let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
    let client = client(token.timeout(Duration::from_millis(50)));
    assert_eq!(error_kind(send_get(&client, &api.url()).await), AttachErrorKind::Timeout);
    assert_eq!(error_kind(send_get(&client, &api.url()).await), AttachErrorKind::Timeout);
    assert_eq!(issuer.fetches(), 1, "a timeout starts the cooldown");
    issuer.set_mode(IssuerMode::Issue);
    issuer.clock.advance(5);
    assert_eq!(send_get(&client, &api.url()).await.unwrap(), ok("token-2"));
}

#[tokio::test]
async fn panicking_source_returns_a_source_error() {
    let fixture = Fixture::with(IssuerMode::Panic).await;
    assert_eq!(error_kind(fixture.send().await), AttachErrorKind::Source);
    assert_eq!(error_kind(fixture.send().await), AttachErrorKind::Source);
    assert_eq!(fixture.issuer.fetches(), 1);
    fixture.issuer.set_mode(IssuerMode::Issue);
    fixture.issuer.clock.advance(5);
    assert_eq!(fixture.subject().await, "token-2");
}

#[tokio::test]
async fn invalidated_token_is_replaced() {
    let fixture = Fixture::with(IssuerMode::Issue).await;
    let rejected = fixture.token.clone();
    let client = ServiceBuilder::new()
        .layer(AttachLayer::new(fixture.token.clone()))
        .map_response(move |response: Response<Incoming>| {
            if response.status() == StatusCode::UNAUTHORIZED {
                rejected.invalidate();
            }
            response
        })
        .service(hyper_client());
    let url = fixture.api.url();
    assert_eq!(send_get(&client, &url).await.unwrap(), ok("token-1"));
    fixture.issuer.clock.advance(10);
    fixture.api.revoke("token-1");
    assert_eq!(send_get(&client, &url).await.unwrap().0, 401);
    assert_eq!(send_get(&client, &url).await.unwrap(), ok("token-2"));
    // A server that rejects every token does not cause a fetch for each request.
    fixture.api.revoke("token-2");
    for _ in 0..5 {
        assert_eq!(send_get(&client, &url).await.unwrap().0, 401);
    }
    assert_eq!(fixture.issuer.fetches(), 2);
    fixture.issuer.clock.advance(5);
    assert_eq!(send_get(&client, &url).await.unwrap().0, 401);
    assert_eq!(send_get(&client, &url).await.unwrap(), ok("token-3"));
}

#[tokio::test]
async fn clock_set_back_does_not_block_refreshes() {
    let fixture = Fixture::with(IssuerMode::Fail).await;
    fixture.issuer.clock.advance(1_000_000);
    assert_eq!(error_kind(fixture.send().await), AttachErrorKind::Source);
    fixture.issuer.set_mode(IssuerMode::Issue);
    fixture.issuer.clock.set_back(1_000_000);
    assert_eq!(
        fixture.subject().await,
        "token-2",
        "the cooldown ends although the clock is set back"
    );

    fixture.issuer.clock.advance(1_000_000);
    assert_eq!(fixture.subject().await, "token-3");
    fixture.issuer.clock.set_back(1_000_000);
    assert_eq!(fixture.subject().await, "token-4", "a token issued in the future is not used");

    fixture.issuer.clock.advance(700);
    assert_eq!(fixture.subject().await, "token-5");
    fixture.issuer.clock.set_back(10);
    assert_eq!(fixture.subject().await, "token-5", "small clock corrections are tolerated");
    fixture.token.invalidate();
    assert_eq!(fixture.subject().await, "token-6", "the token is old enough to be replaced");
}

#[tokio::test]
async fn setter_on_a_clone_creates_an_independent_token() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let token = RefreshingToken::new(issuer.source());
    let first = token.header_value().await.unwrap();
    let other = token.clone().cooldown(Duration::from_secs(1));
    assert_ne!(other.header_value().await.unwrap(), first);
    assert_eq!(token.clone().header_value().await.unwrap(), first);
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn token_source_can_be_chosen_at_run_time_and_shared() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let api = Api::start(&issuer).await;
    let fails = || ready(Err::<Token, Box<dyn Error + Send + Sync>>("no token".into()));
    let shared: Arc<dyn DynTokenSource> = Arc::new(issuer.source());
    let sources: [(Box<dyn DynTokenSource>, Option<&str>); 4] = [
        (Box::new(Arc::clone(&shared)), Some("token-1")),
        (Box::new(shared), Some("token-2")),
        (Box::new(Arc::new(issuer.source())), Some("token-3")),
        (Box::new(Box::new(fails) as Box<dyn DynTokenSource>), None),
    ];
    for (source, expected) in sources {
        let client = client(RefreshingToken::new(source).clock(issuer.clock.clock()));
        let sent = send_get(&client, &api.url()).await;
        assert_eq!(sent.ok(), expected.map(ok));
    }
}
