//! Many unknown tokens do not stop callers with known ones.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use futures_util::future::join_all;
use http::request::Parts;
use tower_auth::{
    AuthenticateLayer,
    bearer::{BearerAuth, TokenVerifier as _},
    introspection::{IntrospectionBuilder, IntrospectionErrorKind},
    throttle::Throttle,
    transport::Forwarded,
};
use tower_auth_test_support::api::Api;

use super::{Fixture, failure, head};

fn from(address: &str) -> Parts {
    let mut head = head();
    head.headers.insert("x-from", address.parse().unwrap());
    head
}

fn throttled(builder: IntrospectionBuilder) -> IntrospectionBuilder {
    let throttle =
        Throttle::by_address(|head| head.headers.get("x-from")?.to_str().ok()?.parse().ok());
    builder.throttle(throttle)
}

#[tokio::test]
async fn known_tokens_are_served_while_unknown_ones_flood_the_endpoint() {
    let fixture = Fixture::with(|builder| builder.max_concurrent(8).max_waiting(20)).await;
    for number in 0..4 {
        fixture.activate(&format!("known-{number}"));
        assert!(fixture.verify(&format!("known-{number}")).await.is_ok());
    }
    fixture.clock.advance(Duration::from_secs(30));
    fixture.endpoint.hold("flood");
    let flood: Vec<_> = (0..100)
        .map(|number| tokio::spawn(fixture.tokens.verify(&format!("flood-{number}"))))
        .collect();
    fixture.endpoint.wait_for_requests(4 + 6).await;
    for number in 0..4 {
        assert!(fixture.verify(&format!("known-{number}")).await.is_ok());
    }
    // Six are made, 20 wait, and the others are rejected at once.
    assert!(fixture.endpoint.most_in_flight() <= 8);
    fixture.endpoint.release();
    let results = join_all(flood).await.into_iter().map(|result| result.unwrap().unwrap_err());
    let (invalid, busy): (Vec<_>, Vec<_>) =
        results.partition(|rejection| rejection.kind().status() == 401);
    assert_eq!((invalid.len(), busy.len()), (26, 74));
    for rejection in &busy {
        assert_eq!(failure(rejection), IntrospectionErrorKind::Busy);
        assert_eq!(rejection.retry_after(), Some(Duration::from_secs(1)));
    }
    // A full queue is no failure of the endpoint.
    assert!(fixture.events().is_empty() && fixture.tokens.is_ready());
}

#[tokio::test]
async fn concurrency_is_bounded_for_all_tokens() {
    let fixture = Fixture::with(|builder| builder.max_concurrent(4)).await;
    let all: Vec<_> = (0..200).map(|number| format!("t{number}")).collect();
    for token in &all {
        fixture.activate(token);
    }
    for _ in 0..2 {
        let results = join_all(all.iter().map(|token| fixture.verify(token))).await;
        assert!(results.iter().all(Result::is_ok));
        fixture.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(fixture.asked(), 400);
    assert!(fixture.endpoint.most_in_flight() <= 4, "{}", fixture.endpoint.most_in_flight());
}

/// With paused time, the runtime advances it whenever all tasks wait.
#[tokio::test(start_paused = true)]
async fn request_that_waits_for_half_of_the_timeout_is_rejected() {
    use bytes::Bytes;
    use http::{Request, Response};
    use tower_auth::introspection::Introspection;

    let client =
        |_: Request<Bytes>| std::future::pending::<Result<Response<Bytes>, std::io::Error>>();
    let builder = Introspection::builder("https://i.example").client(client);
    let tokens = builder.audience("orders").max_concurrent(1).build().unwrap();
    let first = tokio::spawn(tokens.verify("t1"));
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    let error = tokens.verify("t2").await.unwrap_err();
    assert_eq!(failure(&error), IntrospectionErrorKind::Busy);
    assert_eq!(started.elapsed(), Duration::from_millis(2500));
    assert_eq!(failure(&first.await.unwrap().unwrap_err()), IntrospectionErrorKind::Outage);
}

#[tokio::test]
async fn client_with_too_many_invalid_tokens_gets_429_without_a_request() {
    let fixture = Fixture::with(throttled).await;
    let mallory = from("192.0.2.1");
    let verify = async |token: &str, head: &Parts| {
        let result = fixture.tokens.verify_request(token.as_bytes(), head).await;
        result.map_or_else(|rejection| rejection.kind().status().as_u16(), |_| 200)
    };
    for token in ["known", "new"] {
        fixture.activate(token);
    }
    assert_eq!(verify("known", &from("192.0.2.9")).await, 200);
    for number in 0..10 {
        assert_eq!(verify(&format!("t{number}"), &mallory).await, 401);
    }
    assert_eq!(fixture.asked(), 11);
    for number in 10..20 {
        assert_eq!(verify(&format!("t{number}"), &mallory).await, 429);
    }
    assert_eq!(verify("new", &mallory).await, 429);
    assert_eq!(fixture.asked(), 11);
    // Others are not affected, nor are tokens that were accepted before.
    assert_eq!(verify("known", &mallory).await, 200);
    fixture.clock.advance(Duration::from_secs(31));
    assert_eq!(verify("known", &mallory).await, 200);
    assert_eq!(verify("new", &from("192.0.2.2")).await, 200);
}

#[tokio::test]
async fn token_that_was_revoked_is_not_known_any_more() {
    let fixture = Fixture::with(throttled).await;
    let mallory = from("192.0.2.1");
    let verify = async |token: &str| {
        let result = fixture.tokens.verify_request(token.as_bytes(), &mallory).await;
        result.map_or_else(|rejection| rejection.kind().status().as_u16(), |_| 200)
    };
    fixture.activate("t1");
    assert_eq!(verify("t1").await, 200);
    fixture.endpoint.set("t1", super::Script::json(&serde_json::json!({ "active": false })));
    fixture.clock.advance(Duration::from_secs(30));
    for number in 0..10 {
        assert_eq!(verify(&format!("u{number}")).await, 401);
    }
    assert_eq!(verify("u10").await, 429);
    assert_eq!(verify("t1").await, 401);
    // After the end of the entry, it is one of the unknown tokens.
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(verify("t1").await, 429);
}

#[tokio::test]
async fn valid_tokens_outages_and_repeated_tokens_do_not_count() {
    use super::Script;

    let fixture = Fixture::with(throttled).await;
    let client = from("192.0.2.1");
    let verify = async |token: &str| {
        let result = fixture.tokens.verify_request(token.as_bytes(), &client).await;
        result.map_or_else(|rejection| rejection.kind().status().as_u16(), |_| 200)
    };
    for number in 0..50 {
        let token = format!("t{number}");
        fixture.activate(&token);
        assert_eq!(verify(&token).await, 200);
        assert_eq!(verify("invalid").await, 401);
    }
    for number in 0..20 {
        let token = format!("bad{number}");
        fixture.endpoint.set(&token, Script::respond(400, "text/plain", ""));
        assert_eq!(verify(&token).await, 503);
    }
}

#[tokio::test]
async fn equal_tokens_of_one_client_count_once() {
    let fixture = Fixture::with(throttled).await;
    fixture.activate("t1");
    fixture.endpoint.hold("t");
    let client = from("192.0.2.1");
    let waiting: Vec<_> =
        (0..1000).map(|_| tokio::spawn(fixture.tokens.verify_request(b"t1", &client))).collect();
    fixture.endpoint.wait_for_requests(1).await;
    fixture.endpoint.release();
    assert!(join_all(waiting).await.into_iter().all(|result| result.unwrap().is_ok()));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn different_tokens_at_the_same_time_count_each() {
    let fixture = Fixture::with(throttled).await;
    fixture.endpoint.hold("t");
    let client = from("192.0.2.1");
    let verify =
        |number: u8| fixture.tokens.verify_request(format!("t{number}").as_bytes(), &client);
    let waiting: Vec<_> = (0..9).map(|number| tokio::spawn(verify(number))).collect();
    fixture.endpoint.wait_for_requests(9).await;
    fixture.endpoint.release();
    for result in join_all(waiting).await {
        assert_eq!(result.unwrap().unwrap_err().kind().status(), 401);
    }
    assert_eq!(verify(9).await.unwrap_err().kind().status(), 401);
    assert_eq!(verify(10).await.unwrap_err().kind().status(), 429);
}

#[tokio::test]
async fn callers_that_leave_before_their_turn_do_not_count() {
    let fixture = Fixture::with(|builder| throttled(builder).max_concurrent(1)).await;
    fixture.activate("valid");
    fixture.endpoint.hold("first");
    let client = from("192.0.2.1");
    let first = tokio::spawn(fixture.tokens.verify("first"));
    fixture.endpoint.wait_for_requests(1).await;
    for number in 0..30 {
        let left = fixture.tokens.verify_request(format!("t{number}").as_bytes(), &client);
        let left = tokio::spawn(left);
        tokio::task::yield_now().await;
        left.abort();
        tokio::task::yield_now().await;
    }
    fixture.endpoint.release();
    assert!(first.await.unwrap().is_err());
    assert!(fixture.tokens.verify_request(b"valid", &client).await.is_ok());
}

#[tokio::test]
async fn address_of_the_client_is_that_of_the_connection() {
    let fixture = Fixture::with(|builder| {
        let throttle = Throttle::new(Forwarded::direct());
        builder.throttle(throttle.failures(3, Duration::from_secs(60)))
    })
    .await;
    let layer = AuthenticateLayer::new(BearerAuth::new(fixture.tokens.clone()));
    let app = Router::new().route("/", get(|| async { "ok" })).layer(layer);
    let api = Api::serve_with_addresses(app).await;
    assert!(api.address.parse::<SocketAddr>().is_ok());
    for number in 0..3 {
        let reply = api.get_with_token(&format!("t{number}"), "/").await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.challenges(), [r#"Bearer error="invalid_token""#]);
    }
    let reply = api.get_with_token("t4", "/").await;
    assert_eq!(reply.status, 429);
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(fixture.asked(), 3);
}
