//! Requests with equal tokens share one request to the endpoint.

use std::{future::Future, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::join_all};
use http::{Request, Response};
use tower_auth::{
    bearer::{TokenVerifier as _, Verification},
    introspection::{Introspection, IntrospectionErrorKind},
    jwt::TokenError,
};

use super::{Fixture, endpoint::Script, failure};

/// Polls a verification, so that it starts.
fn started(mut verification: Verification) -> Verification {
    assert!((&mut verification).now_or_never().is_none(), "decided at once");
    verification
}

#[tokio::test]
async fn thousand_requests_with_one_token_cause_one_request() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    fixture.endpoint.hold("t");
    let waiting: Vec<_> = (0..1000).map(|_| started(fixture.tokens.verify("t1"))).collect();
    fixture.endpoint.wait_for_requests(1).await;
    fixture.endpoint.release();
    for result in join_all(waiting).await {
        assert_eq!(result.unwrap().subject(), "alice");
    }
    assert_eq!(fixture.asked(), 1);
    assert!(fixture.verify("t1").await.is_ok());
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_in_several_threads_cause_one_request() {
    let fixture = Fixture::new().await;
    for round in 0..20 {
        let token = format!("t{round}");
        fixture.activate(&token);
        let tasks = (0..50).map(|_| {
            let (tokens, token) = (fixture.tokens.clone(), token.clone());
            tokio::spawn(async move { tokens.verify(&token).await.is_ok() })
        });
        assert!(join_all(tasks).await.into_iter().all(Result::unwrap));
        assert_eq!(fixture.asked(), round + 1);
    }
}

#[tokio::test]
async fn rejected_token_is_rejected_for_all_who_wait() {
    let fixture = Fixture::new().await;
    fixture.endpoint.hold("t");
    let waiting: Vec<_> = (0..10).map(|_| started(fixture.tokens.verify("t1"))).collect();
    fixture.endpoint.release();
    for result in join_all(waiting).await {
        assert_eq!(result.unwrap_err().kind().status(), 401);
    }
    assert_eq!(fixture.asked(), 1);
    assert_eq!(fixture.reason("t1").await, TokenError::Inactive);
}

#[tokio::test]
async fn failed_request_fails_for_all_who_wait_and_is_not_cached() {
    let fixture = Fixture::new().await;
    fixture.endpoint.set("t1", Script::respond(500, "text/plain", ""));
    fixture.endpoint.hold("t");
    let waiting: Vec<_> = (0..10).map(|_| started(fixture.tokens.verify("t1"))).collect();
    fixture.endpoint.release();
    for result in join_all(waiting).await {
        assert_eq!(failure(&result.unwrap_err()), IntrospectionErrorKind::Outage);
    }
    assert_eq!((fixture.asked(), fixture.events().len()), (1, 1));
    fixture.activate("t1");
    assert!(fixture.verify("t1").await.is_ok());
}

#[tokio::test]
async fn caller_that_disconnects_does_not_affect_the_others() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    fixture.endpoint.hold("t");
    let first = started(fixture.tokens.verify("t1"));
    let second = started(fixture.tokens.verify("t1"));
    fixture.endpoint.wait_for_requests(1).await;
    // The one who started the request leaves.
    drop(first);
    let third = started(fixture.tokens.verify("t1"));
    fixture.endpoint.release();
    assert!(second.await.is_ok() && third.await.is_ok());
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn request_that_was_sent_is_completed_even_if_all_callers_leave() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    fixture.endpoint.hold("t");
    drop(started(fixture.tokens.verify("t1")));
    // It is sent if its task has started, and not otherwise.
    let waiting = started(fixture.tokens.verify("t1"));
    fixture.endpoint.wait_for_requests(1).await;
    drop(waiting);
    fixture.endpoint.release();
    tower_auth_test_support::stub::wait_until("the result is cached", || {
        let cached = fixture.tokens.verify("t1").now_or_never();
        async move { matches!(cached, Some(Ok(_))) }
    })
    .await;
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn request_that_waits_for_its_turn_ends_when_all_callers_leave() {
    let fixture = Fixture::with(|builder| builder.max_concurrent(1).max_waiting(1)).await;
    for token in ["t1", "t2", "t3"] {
        fixture.activate(token);
    }
    fixture.endpoint.hold("t");
    let first = started(fixture.tokens.verify("t1"));
    fixture.endpoint.wait_for_requests(1).await;
    let second = started(fixture.tokens.verify("t2"));
    tokio::task::yield_now().await;
    assert_eq!(fixture.failure("t3").await, IntrospectionErrorKind::Busy);
    drop(second);
    tokio::task::yield_now().await;
    // Its place is free.
    let third = started(fixture.tokens.verify("t3"));
    tokio::task::yield_now().await;
    fixture.endpoint.release();
    assert!(first.await.is_ok() && third.await.is_ok());
    let asked: Vec<_> = fixture.endpoint.requests();
    assert_eq!(asked.iter().map(|request| request.token()).collect::<Vec<_>>(), ["t1", "t3"]);
}

#[tokio::test]
async fn panic_of_the_http_client_fails_the_request_only() {
    let clock = tower_auth::test_util::TestClock::new();
    let (panics, response) = (std::sync::atomic::AtomicBool::new(true), super::active_at(&clock));
    let client = move |_: Request<Bytes>| {
        let panics = panics.swap(false, std::sync::atomic::Ordering::SeqCst);
        let body = Bytes::from(response.to_string());
        async move {
            assert!(!panics, "the HTTP client panics");
            let response = Response::builder().header("content-type", "application/json");
            Ok::<_, std::io::Error>(response.body(body).unwrap())
        }
    };
    let builder = Introspection::builder("https://i.example/introspect").client(client);
    let tokens = builder.audience("orders").clock(clock).build().unwrap();
    let error = tokens.verify("t1").await.unwrap_err();
    assert_eq!(failure(&error), IntrospectionErrorKind::Runtime);
    assert!(tokens.verify("t1").await.is_ok());
}

/// Returns a verifier whose endpoint never responds.
fn silent() -> Introspection {
    let client =
        |_: Request<Bytes>| std::future::pending::<Result<Response<Bytes>, std::io::Error>>();
    let builder = Introspection::builder("https://i.example/introspect").client(client);
    builder.audience("orders").timeout(Duration::from_secs(5)).build().unwrap()
}

#[test]
fn runtime_that_shuts_down_releases_callers_in_another_one() {
    let tokens = silent();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let start_in = |runtime: &tokio::runtime::Runtime| {
        let _entered = runtime.enter();
        started(tokens.verify("t1"))
    };
    let (starting, waiting) = (start_in(&first), start_in(&second));
    drop(first);
    let error = second.block_on(waiting).unwrap_err();
    assert_eq!(failure(&error), IntrospectionErrorKind::Runtime);
    drop(starting);
    // The next request starts again.
    drop(start_in(&second));
}

#[test]
fn request_outside_of_a_runtime_is_unavailable() {
    let tokens = silent();
    let result = tokens.verify("t1").now_or_never().unwrap();
    assert_eq!(failure(&result.unwrap_err()), IntrospectionErrorKind::Runtime);
}

/// With paused time, the runtime advances it whenever all tasks wait.
#[tokio::test(start_paused = true)]
async fn endpoint_that_does_not_respond_fails_after_the_timeout() {
    let started = tokio::time::Instant::now();
    let error = silent().verify("t1").await.unwrap_err();
    assert_eq!(failure(&error), IntrospectionErrorKind::Outage);
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn runtime_without_progress_does_not_block_the_caller() {
    let tokens = silent();
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = other.handle().clone();
    // The task is spawned in a runtime that does not run.
    let mut waiting = pin!(tokens.verify("t1"));
    {
        let _guard = handle.enter();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
    }
    let begun = tokio::time::Instant::now();
    let second = tokens.verify("t1").await.unwrap_err();
    assert_eq!(failure(&second), IntrospectionErrorKind::Runtime);
    assert_eq!(begun.elapsed().as_secs(), 6);
    other.shutdown_background();
}
