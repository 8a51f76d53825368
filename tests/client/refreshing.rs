//! Tokens that are fetched, and fetched again: with an issuer of ours, and a clock that is turned.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use tower::ServiceBuilder;
use tower_auth::client::{Attach, AttachErrorKind, AttachLayer, RefreshingToken};
use tower_auth_test_support::stub::until;

use crate::{Api, HyperClient, Issuer, Mood, ask, client, hyper_client, kind, ok};

/// A client with tokens of an issuer, which is in this mood; their clock is one.
struct Parties {
    issuer: Issuer,
    api: Api,
    token: RefreshingToken,
    client: Attach<HyperClient, RefreshingToken>,
}

impl Parties {
    async fn with(mood: Mood) -> Self {
        let issuer = Issuer::new(mood);
        let api = Api::start(&issuer).await;
        let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
        let client = client(token.clone());
        Self { issuer, api, token, client }
    }

    async fn ask(&self) -> Result<(u16, String), crate::BoxError> {
        ask(&self.client, &self.api.url()).await
    }

    async fn subject(&self) -> String {
        let (status, subject) = self.ask().await.unwrap();
        assert_eq!(status, 200);
        subject
    }

    fn ask_in_background(&self) -> tokio::task::JoinHandle<Result<(u16, String), crate::BoxError>> {
        let (client, url) = (self.client.clone(), self.api.url());
        tokio::spawn(async move { ask(&client, &url).await })
    }
}

#[tokio::test]
async fn nothing_is_fetched_before_it_is_needed() {
    let parties = Parties::with(Mood::Issues).await;
    assert_eq!(parties.issuer.asked(), 0);
    assert_eq!(parties.subject().await, "token-1");
    assert_eq!(parties.subject().await, "token-1");
    assert_eq!(parties.issuer.asked(), 1);
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_who_wait() {
    let parties = Parties::with(Mood::Hangs).await;
    let waiting: Vec<_> = (0..50).map(|_| parties.ask_in_background()).collect();
    until("a fetch", async || parties.issuer.asked() > 0).await;
    assert_eq!(parties.api.hits(), 0);
    parties.issuer.set(Mood::Issues);
    for answer in join_all(waiting).await {
        assert_eq!(answer.unwrap().unwrap(), ok("token-1"));
    }
    assert_eq!(parties.issuer.asked(), 1);
}

#[tokio::test]
async fn a_fetch_goes_on_without_the_request_that_began_it() {
    let parties = Parties::with(Mood::Hangs).await;
    let first = parties.ask_in_background();
    until("a fetch", async || parties.issuer.asked() > 0).await;
    let second = parties.ask_in_background();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    parties.issuer.set(Mood::Issues);
    assert_eq!(second.await.unwrap().unwrap(), ok("token-1"));
    assert_eq!(parties.issuer.asked(), 1);
}

#[tokio::test]
async fn a_fetch_that_nobody_waits_for_serves_the_next() {
    let parties = Parties::with(Mood::Hangs).await;
    let only = parties.ask_in_background();
    until("a fetch", async || parties.issuer.asked() > 0).await;
    only.abort();
    assert!(only.await.unwrap_err().is_cancelled());
    parties.issuer.set(Mood::Issues);
    until("a token", async || parties.token.try_header_value().is_ok()).await;
    assert_eq!(parties.subject().await, "token-1");
    assert_eq!(parties.issuer.asked(), 1);
}

#[tokio::test]
async fn a_token_is_replaced_ahead_and_serves_meanwhile() {
    let parties = Parties::with(Mood::Issues).await;
    assert_eq!(parties.subject().await, "token-1");
    parties.issuer.clock.by(530);
    assert_eq!(parties.subject().await, "token-1");
    assert_eq!(parties.issuer.asked(), 1);

    parties.issuer.clock.by(20);
    parties.issuer.set(Mood::Hangs);
    for _ in 0..5 {
        assert_eq!(parties.subject().await, "token-1");
    }
    until("a fetch", async || parties.issuer.asked() > 1).await;
    parties.issuer.set(Mood::Issues);
    until("the next token", async || parties.subject().await == "token-2").await;
    assert_eq!(parties.issuer.asked(), 2);
}

#[tokio::test]
async fn a_token_that_has_expired_is_waited_for() {
    let parties = Parties::with(Mood::Issues).await;
    assert_eq!(parties.subject().await, "token-1");
    parties.issuer.clock.by(596);
    assert_eq!(parties.subject().await, "token-2");
}

#[tokio::test]
async fn an_outage_ahead_of_expiry_is_not_noticed() {
    let parties = Parties::with(Mood::Issues).await;
    assert_eq!(parties.subject().await, "token-1");
    parties.issuer.clock.by(550);
    parties.issuer.set(Mood::Fails);
    for asked in [2, 3] {
        until("a fetch", async || {
            assert_eq!(parties.subject().await, "token-1");
            parties.issuer.asked() == asked
        })
        .await;
        for _ in 0..5 {
            assert_eq!(parties.subject().await, "token-1");
        }
        assert_eq!(parties.issuer.asked(), asked, "within the cooldown, there is no other");
        parties.issuer.clock.by(6);
    }
    parties.issuer.clock.by(40);
    assert_eq!(kind(parties.ask().await), AttachErrorKind::Source);
    parties.issuer.clock.by(6);
    parties.issuer.set(Mood::Issues);
    assert_eq!(parties.subject().await, "token-5");
}

#[tokio::test]
async fn a_source_that_fails_is_left_alone_for_a_while() {
    let parties = Parties::with(Mood::Fails).await;
    for _ in 0..5 {
        let error = parties.ask().await.unwrap_err();
        assert!(error.to_string().contains("the vault is sealed"), "{error}");
        assert_eq!(error.source().unwrap().to_string(), "the vault is sealed");
        assert_eq!(kind::<()>(Err(error)), AttachErrorKind::Source);
    }
    assert_eq!((parties.issuer.asked(), parties.api.hits()), (1, 0));
    parties.issuer.set(Mood::Issues);
    assert_eq!(kind(parties.ask().await), AttachErrorKind::Source);
    parties.issuer.clock.by(5);
    assert_eq!(parties.subject().await, "token-2");
}

#[tokio::test]
async fn all_who_wait_for_a_fetch_that_fails_are_told() {
    let parties = Parties::with(Mood::Hangs).await;
    let waiting: Vec<_> = (0..20).map(|_| parties.ask_in_background()).collect();
    until("a fetch", async || parties.issuer.asked() > 0).await;
    parties.issuer.set(Mood::Fails);
    for answer in join_all(waiting).await {
        assert_eq!(kind(answer.unwrap()), AttachErrorKind::Source);
    }
    assert_eq!(parties.issuer.asked(), 1);
}

#[tokio::test]
async fn a_source_that_hangs_is_not_waited_for_longer_than_it_may_take() {
    let issuer = Issuer::new(Mood::Hangs);
    let api = Api::start(&issuer).await;
    let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
    let client = client(token.timeout(Duration::from_millis(50)));
    assert_eq!(kind(ask(&client, &api.url()).await), AttachErrorKind::Timeout);
    assert_eq!(kind(ask(&client, &api.url()).await), AttachErrorKind::Timeout);
    assert_eq!(issuer.asked(), 1, "it counts as a failure");
    issuer.set(Mood::Issues);
    issuer.clock.by(5);
    assert_eq!(ask(&client, &api.url()).await.unwrap(), ok("token-2"));
}

#[tokio::test]
async fn a_source_that_panics_fails() {
    let parties = Parties::with(Mood::Panics).await;
    assert_eq!(kind(parties.ask().await), AttachErrorKind::Source);
    assert_eq!(kind(parties.ask().await), AttachErrorKind::Source);
    assert_eq!(parties.issuer.asked(), 1);
    parties.issuer.set(Mood::Issues);
    parties.issuer.clock.by(5);
    assert_eq!(parties.subject().await, "token-2");
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced() {
    let parties = Parties::with(Mood::Issues).await;
    let refused = parties.token.clone();
    let client = ServiceBuilder::new()
        .layer(AttachLayer::new(parties.token.clone()))
        .map_response(move |response: Response<Incoming>| {
            if response.status() == StatusCode::UNAUTHORIZED {
                refused.invalidate();
            }
            response
        })
        .service(hyper_client());
    let url = parties.api.url();
    assert_eq!(ask(&client, &url).await.unwrap(), ok("token-1"));
    parties.issuer.clock.by(10);
    parties.api.revoke("token-1");
    assert_eq!(ask(&client, &url).await.unwrap().0, 401);
    assert_eq!(ask(&client, &url).await.unwrap(), ok("token-2"));
    // Nor is a server that refuses every token a reason to fetch one for each request.
    parties.api.revoke("token-2");
    for _ in 0..5 {
        assert_eq!(ask(&client, &url).await.unwrap().0, 401);
    }
    assert_eq!(parties.issuer.asked(), 2);
    parties.issuer.clock.by(5);
    assert_eq!(ask(&client, &url).await.unwrap().0, 401);
    assert_eq!(ask(&client, &url).await.unwrap(), ok("token-3"));
}

#[tokio::test]
async fn a_clock_that_is_turned_back_stops_nothing() {
    let parties = Parties::with(Mood::Fails).await;
    parties.issuer.clock.by(1_000_000);
    assert_eq!(kind(parties.ask().await), AttachErrorKind::Source);
    parties.issuer.set(Mood::Issues);
    parties.issuer.clock.back(1_000_000);
    assert_eq!(parties.subject().await, "token-2", "the cooldown is not a million seconds long");

    parties.issuer.clock.by(1_000_000);
    assert_eq!(parties.subject().await, "token-3");
    parties.issuer.clock.back(1_000_000);
    assert_eq!(parties.subject().await, "token-4", "a token from the future is none");

    parties.issuer.clock.by(700);
    assert_eq!(parties.subject().await, "token-5");
    parties.issuer.clock.back(10);
    assert_eq!(parties.subject().await, "token-5", "clocks are set by seconds");
    parties.token.invalidate();
    assert_eq!(parties.subject().await, "token-6", "it is not young");
}

#[tokio::test]
async fn each_setter_makes_a_token_of_its_own() {
    let issuer = Issuer::new(Mood::Issues);
    let token = RefreshingToken::new(issuer.source());
    let first = token.header_value().await.unwrap();
    let other = token.clone().cooldown(Duration::from_secs(1));
    assert_ne!(other.header_value().await.unwrap(), first);
    assert_eq!(token.clone().header_value().await.unwrap(), first);
    assert_eq!(issuer.asked(), 2);
}
