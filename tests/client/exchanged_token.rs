//! `ExchangedToken` with an issuer on loopback, and with an HTTP client in the test.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::Empty;
use proptest::prelude::*;
use serde_json::json;
use tower::ServiceExt as _;
use tower_auth::{
    client::{
        AttachError, AttachErrorKind, Authorization, ExchangedToken, SubjectToken, TokenEndpoint,
    },
    observe::Event,
    test_util::TestClock,
};
use tower_auth_test_support::stub::wait_until;

use crate::{
    Api, Issuer, IssuerMode, client, send_get,
    token_server::{Reply, TokenServer},
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

async fn start(reply: Reply) -> (Issuer, TokenServer) {
    let issuer = Issuer::new(IssuerMode::Issue);
    let server = TokenServer::start(&issuer, reply).await;
    (issuer, server)
}

fn tokens(issuer: &Issuer, server: &TokenServer) -> ExchangedToken {
    let endpoint = server.endpoint().client_id("orders").client_secret("s3cret").build().unwrap();
    ExchangedToken::new(endpoint)
        .audience("stock")
        .scopes(["stock:read", "stock:write"])
        .clock(issuer.clock.clock())
        .observer(|_: &Event<'_>| {})
}

async fn value(tokens: &ExchangedToken, subject: &str) -> Result<String, AttachError> {
    let value = tokens.header_value(&SubjectToken::new(subject)).await?;
    assert!(value.is_sensitive());
    Ok(value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn token_of_the_caller_is_exchanged_for_the_request() {
    let (issuer, server) = start(Reply::Keep).await;
    let api = Api::start(&issuer).await;
    let client = client(tokens(&issuer, &server));
    let mut request = Request::get(api.url()).body(Empty::<Bytes>::new()).unwrap();
    request.extensions_mut().insert(SubjectToken::new("of-alice"));
    assert_eq!(client.clone().oneshot(request).await.unwrap().status(), 200);
    let sent = server.last_request();
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", "of-alice"),
        ("subject_token_type", ACCESS_TOKEN),
        ("requested_token_type", ACCESS_TOKEN),
        ("audience", "stock"),
        ("scope", "stock:read stock:write"),
    ] {
        assert_eq!(sent.value(name), value);
    }
    assert!(sent.authorization.unwrap().starts_with("Basic "));

    // Without a token of a caller, nothing is sent.
    let error = send_get(&client, &api.url()).await.unwrap_err();
    assert!(error.to_string().contains("SubjectToken"), "{error}");
    assert_eq!((server.hits(), api.hits()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_of_a_caller_share_one_exchange() {
    let (issuer, server) = start(Reply::Hang).await;
    let tokens = tokens(&issuer, &server);
    let requests: Vec<_> = (0..64)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { value(&tokens, "of-alice").await.unwrap() })
        })
        .collect();
    wait_until("the exchange", async || server.hits() == 1).await;
    server.set_reply(Reply::Keep);
    let values = join_all(requests).await;
    let first = values[0].as_ref().unwrap();
    assert!(values.iter().all(|value| value.as_ref().unwrap() == first));
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn token_is_kept_until_shortly_before_its_expiry() {
    let (issuer, server) = start(Reply::Keep).await;
    let tokens = tokens(&issuer, &server);
    let first = value(&tokens, "of-alice").await.unwrap();
    issuer.clock.advance(594);
    assert_eq!(value(&tokens, "of-alice").await.unwrap(), first);
    issuer.clock.advance(1);
    assert_ne!(value(&tokens, "of-alice").await.unwrap(), first);
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn token_without_a_lifetime_is_kept_for_a_minute() {
    let body = json!({ "access_token": "new", "token_type": "Bearer" });
    let (issuer, server) = start(Reply::Status(200, body)).await;
    let tokens = tokens(&issuer, &server);
    for (advance, hits) in [(0, 1), (54, 1), (1, 2)] {
        issuer.clock.advance(advance);
        assert_eq!(value(&tokens, "of-alice").await.unwrap(), "Bearer new");
        assert_eq!(server.hits(), hits, "{advance}");
    }
}

#[tokio::test]
async fn other_settings_do_not_use_the_tokens() {
    let (issuer, server) = start(Reply::Keep).await;
    let tokens = tokens(&issuer, &server);
    value(&tokens, "of-alice").await.unwrap();
    value(&tokens.clone(), "of-alice").await.unwrap();
    assert_eq!(server.hits(), 1);
    for (hits, other) in [
        (2, tokens.clone().scopes("stock:read")),
        (3, tokens.clone().audience("audit")),
        (4, tokens.clone().resource("urn:stock")),
    ] {
        value(&other, "of-alice").await.unwrap();
        assert_eq!(server.hits(), hits);
    }
}

#[tokio::test]
async fn error_tells_whether_the_caller_or_the_issuer_is_the_reason() {
    for (status, error, kind) in [
        (400, "invalid_request", AttachErrorKind::LoggedOut),
        (400, "invalid_grant", AttachErrorKind::LoggedOut),
        (400, "invalid_scope", AttachErrorKind::InsufficientScope),
        (400, "invalid_target", AttachErrorKind::Source),
        (400, "unauthorized_client", AttachErrorKind::Source),
        (401, "invalid_client", AttachErrorKind::Source),
        (401, "invalid_request", AttachErrorKind::Source),
        (429, "invalid_request", AttachErrorKind::Source),
        (500, "invalid_request", AttachErrorKind::Source),
        (503, "temporarily_unavailable", AttachErrorKind::Source),
    ] {
        let body = json!({ "error": error, "error_description": "no: of-alice" });
        let (issuer, server) = start(Reply::Status(status, body)).await;
        let tokens = tokens(&issuer, &server);
        let failure = value(&tokens, "of-alice").await.unwrap_err();
        let text = format!("{failure:#} {failure:?} {tokens:?}");
        assert_eq!(failure.kind(), kind, "{error}");
        assert!(text.contains(error) && !text.contains("of-alice"), "{text}");
        // The failure is kept for 5 s, for this caller only.
        server.set_reply(Reply::Keep);
        assert_eq!(value(&tokens, "of-alice").await.unwrap_err().kind(), kind);
        value(&tokens, "of-bob").await.unwrap();
        assert_eq!(server.hits(), 2);
        issuer.clock.advance(5);
        value(&tokens, "of-alice").await.unwrap();
    }
}

#[tokio::test]
async fn token_of_more_than_16_kib_is_not_exchanged_or_kept() {
    let long = "x".repeat(16 * 1024 + 1);
    let body = json!({ "access_token": long, "token_type": "Bearer", "expires_in": 600 });
    let (issuer, server) = start(Reply::Status(200, body)).await;
    let tokens = tokens(&issuer, &server);
    assert_eq!(value(&tokens, &long).await.unwrap_err().kind(), AttachErrorKind::Source);
    assert_eq!(server.hits(), 0);
    assert_eq!(value(&tokens, "of-alice").await.unwrap_err().kind(), AttachErrorKind::Source);
    assert_eq!(server.hits(), 1);
}

/// One step of a random run.
#[derive(Clone, Debug)]
enum Step {
    /// Requests of callers at the same time.
    Requests(Vec<u8>),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let requests = prop::collection::vec(0_u8..6, 1..12).prop_map(Step::Requests);
    prop::collection::vec(prop_oneof![requests, (0_u64..40).prop_map(Step::Advance)], 1..20)
}

proptest! {
    #[test]
    fn callers_never_get_the_token_of_another(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
            async move {
                let clock = TestClock::new();
                let exchanges = Arc::new(Mutex::new(Vec::new()));
                let log = Arc::clone(&exchanges);
                // Returns the subject token with a number. The lifetime depends on the caller.
                let exchange = move |request: Request<Bytes>| {
                    let form = String::from_utf8(request.body().to_vec()).unwrap();
                    let (_, subject) = form.rsplit_once("subject_token=").unwrap();
                    let mut log = log.lock().unwrap();
                    log.push(subject.to_owned());
                    let lifetime = 10 * (1 + subject.len());
                    let body = json!({
                        "access_token": format!("{subject}.{}", log.len()),
                        "token_type": "Bearer", "expires_in": lifetime,
                    });
                    let body = Bytes::from(body.to_string());
                    async move {
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>(Response::new(body))
                    }
                };
                let endpoint = TokenEndpoint::url("https://a.example/token").client(exchange);
                let tokens = ExchangedToken::new(endpoint.build().unwrap()).clock(clock.clone());
                for step in steps {
                    match step {
                        Step::Advance(seconds) => clock.advance(Duration::from_secs(seconds)),
                        Step::Requests(callers) => {
                            let before = exchanges.lock().unwrap().len();
                            // `a`, `aa` and so on: each text starts with the shorter ones.
                            let subject = |caller: u8| "a".repeat(usize::from(caller) + 1);
                            let pending = callers.iter().map(|caller| {
                                tokens.header_value(&SubjectToken::new(subject(*caller)))
                            });
                            let values = join_all(pending.collect::<Vec<Authorization>>()).await;
                            for (caller, value) in callers.iter().zip(values) {
                                let value = value.unwrap();
                                let text = value.to_str().unwrap();
                                let own = format!("Bearer {}.", subject(*caller));
                                assert!(text.starts_with(&own), "{text} {own}");
                            }
                            let mut new = exchanges.lock().unwrap()[before..].to_vec();
                            let count = new.len();
                            new.sort();
                            new.dedup();
                            assert_eq!(new.len(), count, "one exchange per caller");
                        }
                    }
                }
            },
        );
    }
}
