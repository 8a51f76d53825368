//! What happens while the endpoint does not answer.

use std::time::Duration;

use serde_json::json;
use tower_auth::{
    bearer::TokenVerifier as _,
    introspection::{Introspection, IntrospectionErrorKind},
    test_util::TestClock,
};

use super::{Endpoint, Fixture, SECRET, active_at, endpoint::Script, failure};

fn broken() -> Script {
    Script::respond(503, "text/plain", "maintenance")
}

#[tokio::test]
async fn cached_token_is_accepted_during_an_outage_until_its_entry_ends() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    assert!(fixture.verify("t1").await.is_ok());
    fixture.endpoint.set("t1", broken());
    fixture.clock.advance(Duration::from_secs(29));
    assert!(fixture.verify("t1").await.is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.failure("t1").await, IntrospectionErrorKind::Outage);
}

#[tokio::test]
async fn endpoint_that_fails_three_times_is_asked_again_after_a_pause() {
    let fixture = Fixture::new().await;
    fixture.endpoint.set_otherwise(broken());
    for number in 0..3 {
        assert!(fixture.tokens.is_ready());
        let kind = fixture.failure(&format!("t{number}")).await;
        assert_eq!(kind, IntrospectionErrorKind::Outage);
    }
    assert!(!fixture.tokens.is_ready());
    for _ in 0..10 {
        let rejection = fixture.verify("t4").await.unwrap_err();
        assert_eq!(failure(&rejection), IntrospectionErrorKind::Paused);
        assert!(rejection.retry_after().unwrap() <= Duration::from_secs(1));
    }
    assert_eq!((fixture.asked(), fixture.events().len()), (3, 3));
    // A single request finds out whether it works again.
    fixture.clock.advance(Duration::from_secs(1));
    fixture.endpoint.hold("t");
    let probe = tokio::spawn(fixture.tokens.verify("t5"));
    fixture.endpoint.wait_for_requests(4).await;
    assert_eq!(fixture.failure("t6").await, IntrospectionErrorKind::Paused);
    fixture.endpoint.release();
    let rejection = probe.await.unwrap().unwrap_err();
    assert_eq!(failure(&rejection), IntrospectionErrorKind::Outage);
    fixture.clock.advance(Duration::from_millis(900));
    assert_eq!(fixture.failure("t7").await, IntrospectionErrorKind::Paused);
    fixture.clock.advance(Duration::from_millis(1100));
    fixture.activate("t8");
    assert!(fixture.verify("t8").await.is_ok());
    assert!(fixture.tokens.is_ready());
    fixture.activate("t9");
    assert!(fixture.verify("t9").await.is_ok());
}

#[tokio::test]
async fn failures_with_unknown_tokens_do_not_pause_known_ones() {
    let fixture = Fixture::new().await;
    fixture.activate("known");
    assert!(fixture.verify("known").await.is_ok());
    fixture.endpoint.set_otherwise(broken());
    for number in 0..3 {
        assert_eq!(fixture.failure(&format!("t{number}")).await, IntrospectionErrorKind::Outage);
    }
    assert_eq!(fixture.failure("t4").await, IntrospectionErrorKind::Paused);
    fixture.clock.advance(Duration::from_secs(30));
    assert!(fixture.verify("known").await.is_ok());
    // It shows that the endpoint works.
    fixture.activate("new");
    assert!(fixture.verify("new").await.is_ok());
    // Known tokens have a count of their own.
    fixture.endpoint.set("known", broken());
    fixture.clock.advance(Duration::from_secs(30));
    for _ in 0..3 {
        assert_eq!(fixture.failure("known").await, IntrospectionErrorKind::Outage);
    }
    assert_eq!(fixture.failure("known").await, IntrospectionErrorKind::Paused);
    assert_eq!(fixture.failure("t5").await, IntrospectionErrorKind::Outage);
}

#[tokio::test]
async fn success_with_a_known_token_ends_the_pause_of_unknown_ones() {
    let fixture = Fixture::with(|builder| builder.cache_for(Duration::ZERO)).await;
    fixture.activate("known");
    assert!(fixture.verify("known").await.is_ok());
    fixture.endpoint.set_otherwise(broken());
    for number in 0..3 {
        assert_eq!(fixture.failure(&format!("t{number}")).await, IntrospectionErrorKind::Outage);
    }
    assert_eq!(fixture.failure("t4").await, IntrospectionErrorKind::Paused);
    assert!(fixture.verify("known").await.is_ok());
    fixture.activate("t4");
    assert!(fixture.verify("t4").await.is_ok());
}

#[tokio::test]
async fn paused_request_does_not_wait_for_others() {
    let fixture =
        Fixture::with(|builder| builder.cache_for(Duration::ZERO).max_concurrent(1)).await;
    fixture.activate("known");
    assert!(fixture.verify("known").await.is_ok());
    fixture.endpoint.set_otherwise(broken());
    for number in 0..3 {
        assert_eq!(fixture.failure(&format!("t{number}")).await, IntrospectionErrorKind::Outage);
    }
    fixture.endpoint.hold("known");
    let held = tokio::spawn(fixture.tokens.verify("known"));
    fixture.endpoint.wait_for_requests(5).await;
    assert_eq!(fixture.failure("t4").await, IntrospectionErrorKind::Paused);
    fixture.endpoint.release();
    assert!(held.await.unwrap().is_ok());
}

#[tokio::test]
async fn retry_after_is_the_rest_of_the_pause() {
    let fixture = Fixture::new().await;
    fixture.endpoint.set_otherwise(broken());
    for number in 0..12 {
        fixture.failure(&format!("t{number}")).await;
        if number > 1 {
            fixture.clock.advance(Duration::from_secs(30));
        }
    }
    // The pause after the last failure lasts for 15 s to 30 s.
    fixture.failure("t12").await;
    let pause = fixture.verify("t13").await.unwrap_err().retry_after().unwrap();
    assert!(pause >= Duration::from_secs(15) && pause <= Duration::from_secs(30), "{pause:?}");
    fixture.clock.advance(Duration::from_secs(10));
    let rest = fixture.verify("t13").await.unwrap_err().retry_after().unwrap();
    assert_eq!(pause - rest, Duration::from_secs(10));
}

#[tokio::test]
async fn failures_that_a_token_can_cause_do_not_pause_requests() {
    let fixture = Fixture::new().await;
    let json = |body: &str| Script::respond(200, "application/json", body);
    for script in [
        Script::respond(400, "application/json", "{}"),
        Script::respond(413, "application/json", "{}"),
        json("[]"),
        json(&" ".repeat(65 * 1024)),
    ] {
        fixture.endpoint.set("bad", script);
        for _ in 0..10 {
            assert_ne!(fixture.failure("bad").await, IntrospectionErrorKind::Paused);
        }
    }
    fixture.activate("good");
    assert!(fixture.verify("good").await.is_ok());
}

#[tokio::test]
async fn credentials_that_the_endpoint_rejects_are_an_outage_with_an_event() {
    let fixture = Fixture::new().await;
    fixture.endpoint.set_otherwise(Script::respond(401, "application/json", r#"{"active":false}"#));
    let rejection = fixture.verify("t1").await.unwrap_err();
    assert_eq!(failure(&rejection), IntrospectionErrorKind::Rejected);
    let [event] = &*fixture.events() else { panic!("{:?}", fixture.events()) };
    for text in ["IntrospectionFailed", "https://server.example", "credentials of this service"] {
        assert!(event.contains(text), "{event}");
    }
}

#[tokio::test]
async fn no_event_or_error_contains_the_token_or_the_secret() {
    let fixture = Fixture::new().await;
    let token = "s3cret-token";
    let body = format!(r#"{{"error":"{token} {SECRET}"}}"#);
    let mut texts = vec![format!("{:?}", fixture.tokens)];
    for script in [
        Script::respond(400, "application/json", &body),
        Script::respond(401, &format!("text/{token}"), &body),
        Script::respond(200, "application/json", &body.replace("\"error\"", "\"active\"")),
        Script::respond(200, "text/html", &body),
        Script::respond(200, "application/json", &format!("{body}{body}")),
        Script(format!("HTTP/1.1 302 X\r\nlocation: /{token}\r\n\r\n").into()),
        Script(format!("{token} {SECRET}").into()),
        Script(Vec::new()),
    ] {
        fixture.endpoint.set(token, script);
        let rejection = fixture.verify(token).await.unwrap_err();
        texts.push(format!("{rejection:?} {rejection:#?} {rejection}"));
        let mut source = std::error::Error::source(&rejection);
        while let Some(error) = source {
            texts.push(format!("{error} {error:#} {error:?}"));
            source = error.source();
        }
        fixture.clock.advance(Duration::from_secs(60));
    }
    texts.extend(fixture.events());
    assert!(texts.len() > 15);
    for text in texts {
        assert!(!text.contains(token) && !text.contains(SECRET), "{text}");
    }
    for request in fixture.endpoint.requests() {
        assert!(!request.head.contains(token), "{}", request.head);
    }
}

struct Discovered {
    tokens: Introspection,
    endpoint: Endpoint,
    clock: TestClock,
}

const METADATA: &str = "/.well-known/openid-configuration";
const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";

async fn discovered() -> Discovered {
    let (endpoint, clock) = (Endpoint::start().await, TestClock::new());
    let issuer = endpoint.url("");
    let tokens = Introspection::discover(&issuer).client_secret("orders", SECRET);
    let tokens = tokens.audience("orders").clock(clock.clone()).build().unwrap();
    let mut response = active_at(&clock);
    response["iss"] = issuer.into();
    endpoint.set("t1", Script::json(&response));
    endpoint.set(METADATA, Script::respond(404, "text/plain", ""));
    endpoint.set(OAUTH_METADATA, Script::respond(404, "text/plain", ""));
    Discovered { tokens, endpoint, clock }
}

impl Discovered {
    fn metadata(&self) -> serde_json::Value {
        let (issuer, endpoint) = (self.endpoint.url(""), self.endpoint.url("/ask"));
        json!({ "issuer": issuer, "introspection_endpoint": endpoint })
    }

    /// Returns how often the endpoint has received a request for this path.
    fn hits(&self, path: &str) -> usize {
        let requests = self.endpoint.requests();
        requests.iter().filter(|one| one.head.split(' ').nth(1) == Some(path)).count()
    }
}

#[tokio::test]
async fn endpoint_is_discovered_once_with_the_first_token() {
    let fixture = discovered().await;
    fixture.endpoint.set(METADATA, Script::json(&fixture.metadata()));
    assert!(fixture.tokens.is_ready() && fixture.hits(METADATA) == 0);
    let all: Vec<_> = (0..20).map(|number| format!("u{number}")).collect();
    let all = all.iter().map(|token| fixture.tokens.verify(token));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_err));
    let caller = fixture.tokens.verify("t1").await.unwrap();
    assert_eq!(caller.issuer(), Some(&*fixture.endpoint.url("")));
    assert_eq!((fixture.hits(METADATA), fixture.hits("/ask")), (1, 21));
}

#[tokio::test]
async fn oauth_metadata_is_used_if_there_is_no_other() {
    let fixture = discovered().await;
    fixture.endpoint.set(OAUTH_METADATA, Script::json(&fixture.metadata()));
    assert!(fixture.tokens.verify("t1").await.is_ok());
}

#[tokio::test]
async fn failed_discovery_is_repeated_with_a_pause() {
    let fixture = discovered().await;
    fixture.endpoint.hold("/");
    let all: Vec<_> = (0..30).map(|number| format!("u{number}")).collect();
    let all: Vec<_> = all.iter().map(|token| tokio::spawn(fixture.tokens.verify(token))).collect();
    fixture.endpoint.wait_for_requests(1).await;
    fixture.endpoint.release();
    for result in futures_util::future::join_all(all).await {
        failure(&result.unwrap().unwrap_err());
    }
    assert_eq!(fixture.hits(METADATA), 3);
    let rejection = fixture.tokens.verify("t1").await.unwrap_err();
    assert_eq!(failure(&rejection), IntrospectionErrorKind::Paused);
    fixture.endpoint.set(METADATA, Script::json(&fixture.metadata()));
    fixture.clock.advance(Duration::from_secs(2));
    assert!(fixture.tokens.verify("t1").await.is_ok());
}

#[tokio::test]
async fn metadata_that_cannot_be_used_is_unavailable() {
    let fixture = discovered().await;
    let (issuer, url) = (fixture.endpoint.url(""), fixture.endpoint.url("/ask"));
    for metadata in [
        json!({ "issuer": issuer }),
        json!({ "issuer": issuer, "introspection_endpoint": 7 }),
        json!({ "issuer": issuer, "token_endpoint": url }),
        json!({ "issuer": "https://other.example", "introspection_endpoint": url }),
        json!({ "issuer": issuer, "introspection_endpoint": "http://i.example/ask" }),
        json!({ "issuer": issuer, "introspection_endpoint": "/ask" }),
        json!({ "issuer": issuer, "introspection_endpoint": "file:///ask" }),
        json!({ "issuer": issuer, "introspection_endpoint": "https://u:p@i.example/ask" }),
    ] {
        fixture.endpoint.set(METADATA, Script::json(&metadata));
        let rejection = fixture.tokens.verify("t1").await.unwrap_err();
        assert_eq!(rejection.kind().status(), 503, "{metadata}");
        fixture.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(fixture.hits("/ask"), 0);
}
