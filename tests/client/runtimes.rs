//! `RefreshingToken` in several runtimes, and without a runtime.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tower_auth::client::{AttachErrorKind, RefreshingToken};
use tower_auth_test_support::stub::wait_until;

use crate::{Issuer, IssuerMode};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Starts a fetch in a runtime, and returns the runtime. It stays alive but runs no tasks.
fn start_fetch(issuer: &Issuer, token: &RefreshingToken) -> Runtime {
    let runtime = runtime();
    runtime.block_on(async {
        assert_eq!(token.try_header_value().unwrap_err().kind(), AttachErrorKind::Pending);
        wait_until("a fetch", async || issuer.fetches() > 0).await;
    });
    runtime
}

#[test]
fn try_header_value_returns_the_fetched_token() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let token = RefreshingToken::new(issuer.source());
    runtime().block_on(async {
        assert_eq!(token.try_header_value().unwrap_err().kind(), AttachErrorKind::Pending);
        wait_until("a token", async || token.try_header_value().is_ok()).await;
        assert!(token.try_header_value().unwrap().is_sensitive());
        assert_eq!(issuer.fetches(), 1);
    });
}

#[test]
fn fetch_without_a_runtime_returns_an_error() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
    let error = token.try_header_value().unwrap_err();
    assert_eq!(error.kind(), AttachErrorKind::Runtime);
    assert!(error.to_string().contains("within a tokio runtime"));
    assert!(token.header_value().now_or_never().unwrap().is_err());
    // This does not start the cooldown: a call in a runtime succeeds at once.
    let first = runtime().block_on(token.header_value()).unwrap();
    assert_eq!(token.try_header_value().unwrap(), first);
    issuer.clock.advance(560);
    assert_eq!(token.try_header_value().unwrap(), first, "a valid token needs no runtime");
    issuer.clock.advance(40);
    assert_eq!(token.try_header_value().unwrap_err().kind(), AttachErrorKind::Runtime);
}

#[test]
fn fetch_is_restarted_after_its_runtime_ended() {
    let issuer = Issuer::new(IssuerMode::Hang);
    let token = RefreshingToken::new(issuer.source());
    drop(start_fetch(&issuer, &token));
    issuer.set_mode(IssuerMode::Issue);
    runtime().block_on(token.header_value()).unwrap();
    assert_eq!(issuer.fetches(), 2);
}

#[test]
fn waiting_caller_restarts_fetch_when_its_runtime_ends() {
    let issuer = Issuer::new(IssuerMode::Hang);
    let token = RefreshingToken::new(issuer.source());
    let first = start_fetch(&issuer, &token);
    runtime().block_on(async {
        let mut waiting = token.header_value();
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(issuer.fetches(), 1);
        first.shutdown_background();
        issuer.set_mode(IssuerMode::Issue);
        waiting.await.unwrap();
    });
    assert_eq!(issuer.fetches(), 2);
}

#[test]
fn fetch_on_an_idle_runtime_times_out() {
    let issuer = Issuer::new(IssuerMode::Hang);
    let token = RefreshingToken::new(issuer.source()).timeout(Duration::from_millis(10));
    let token = token.cooldown(Duration::ZERO);
    let _idle = start_fetch(&issuer, &token);
    issuer.set_mode(IssuerMode::Issue);
    runtime().block_on(async {
        let error = token.header_value().await.unwrap_err();
        assert_eq!(error.kind(), AttachErrorKind::Timeout);
        token.header_value().await.unwrap();
    });
    assert_eq!(issuer.fetches(), 2);
}

/// A caller that arrives when a fetch ends gets its token and starts no other fetch.
#[test]
fn concurrent_threads_share_one_fetch() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    for _ in 0..300 {
        let issuer = Issuer::new(IssuerMode::Issue);
        let token = RefreshingToken::new(issuer.source());
        runtime.block_on(async {
            let poll_token = |_| {
                let token = token.clone();
                tokio::spawn(async move {
                    wait_until("a token", async || token.try_header_value().is_ok()).await;
                })
            };
            futures_util::future::try_join_all((0..8).map(poll_token)).await.unwrap();
        });
        assert_eq!(issuer.fetches(), 1);
    }
}
