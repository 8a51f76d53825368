//! A token that several runtimes share, as programs and tests have them, or none.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tower_auth::client::{AttachErrorKind, RefreshingToken};
use tower_auth_test_support::stub::until;

use crate::{Issuer, Mood};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Begins a fetch in a runtime that is driven no longer, and alive.
fn begin(issuer: &Issuer, token: &RefreshingToken) -> Runtime {
    let runtime = runtime();
    runtime.block_on(async {
        assert_eq!(token.try_header_value().unwrap_err().kind(), AttachErrorKind::Pending);
        until("a fetch", async || issuer.asked() > 0).await;
    });
    runtime
}

#[test]
fn what_cannot_wait_gets_the_token_that_is_there() {
    let issuer = Issuer::new(Mood::Issues);
    let token = RefreshingToken::new(issuer.source());
    runtime().block_on(async {
        assert_eq!(token.try_header_value().unwrap_err().kind(), AttachErrorKind::Pending);
        until("a token", async || token.try_header_value().is_ok()).await;
        assert!(token.try_header_value().unwrap().is_sensitive());
        assert_eq!(issuer.asked(), 1);
    });
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let issuer = Issuer::new(Mood::Issues);
    let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
    let error = token.try_header_value().unwrap_err();
    assert_eq!(error.kind(), AttachErrorKind::Runtime);
    assert!(error.to_string().contains("within a tokio runtime"));
    assert!(token.header_value().now_or_never().unwrap().is_err());
    // It is no failure of the source: a runtime makes it good at once.
    let first = runtime().block_on(token.header_value()).unwrap();
    assert_eq!(token.try_header_value().unwrap(), first);
    issuer.clock.by(560);
    assert_eq!(token.try_header_value().unwrap(), first, "a token that is good serves anywhere");
    issuer.clock.by(40);
    assert_eq!(token.try_header_value().unwrap_err().kind(), AttachErrorKind::Runtime);
}

#[test]
fn a_fetch_whose_runtime_has_ended_is_begun_again() {
    let issuer = Issuer::new(Mood::Hangs);
    let token = RefreshingToken::new(issuer.source());
    drop(begin(&issuer, &token));
    issuer.set(Mood::Issues);
    runtime().block_on(token.header_value()).unwrap();
    assert_eq!(issuer.asked(), 2);
}

#[test]
fn who_waits_for_a_fetch_whose_runtime_ends_begins_another() {
    let issuer = Issuer::new(Mood::Hangs);
    let token = RefreshingToken::new(issuer.source());
    let first = begin(&issuer, &token);
    runtime().block_on(async {
        let mut waiting = token.header_value();
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(issuer.asked(), 1);
        first.shutdown_background();
        issuer.set(Mood::Issues);
        waiting.await.unwrap();
    });
    assert_eq!(issuer.asked(), 2);
}

#[test]
fn a_fetch_whose_runtime_is_at_a_stand_is_given_up() {
    let issuer = Issuer::new(Mood::Hangs);
    let token = RefreshingToken::new(issuer.source()).timeout(Duration::from_millis(10));
    let token = token.cooldown(Duration::ZERO);
    let _stands = begin(&issuer, &token);
    issuer.set(Mood::Issues);
    runtime().block_on(async {
        let error = token.header_value().await.unwrap_err();
        assert_eq!(error.kind(), AttachErrorKind::Timeout);
        token.header_value().await.unwrap();
    });
    assert_eq!(issuer.asked(), 2);
}

/// Who comes while a fetch ends finds its token, and begins no other.
#[test]
fn threads_that_come_at_any_moment_share_one_fetch() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    for _ in 0..300 {
        let issuer = Issuer::new(Mood::Issues);
        let token = RefreshingToken::new(issuer.source());
        runtime.block_on(async {
            let come = |_| {
                let token = token.clone();
                tokio::spawn(async move {
                    until("a token", async || token.try_header_value().is_ok()).await;
                })
            };
            futures_util::future::try_join_all((0..8).map(come)).await.unwrap();
        });
        assert_eq!(issuer.asked(), 1);
    }
}
