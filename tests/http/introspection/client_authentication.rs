//! How this service authenticates at the endpoint.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tower_auth::{
    bearer::TokenVerifier as _,
    client::Token,
    introspection::{Introspection, IntrospectionBuilder, IntrospectionErrorKind},
    test_util::TestClock,
};

use super::{Endpoint, SECRET, active_at, endpoint::Script, failure};

struct Asked {
    tokens: Introspection,
    endpoint: Endpoint,
    clock: TestClock,
}

async fn with(change: impl FnOnce(IntrospectionBuilder) -> IntrospectionBuilder) -> Asked {
    let (endpoint, clock) = (Endpoint::start().await, TestClock::new());
    let builder = Introspection::builder(endpoint.url("/introspect?tenant=1")).audience("orders");
    let tokens = change(builder.clock(clock.clone())).build().unwrap();
    endpoint.set("t1", Script::json(&active_at(&clock)));
    Asked { tokens, endpoint, clock }
}

#[tokio::test]
async fn secret_is_sent_in_authorization_and_the_token_in_the_body() {
    let asked = with(|builder| builder.client_secret("or:ders", "p q/%é+")).await;
    assert!(asked.tokens.verify("t1").await.is_ok());
    let [request] = &*asked.endpoint.requests() else { panic!("not one request") };
    assert!(request.head.starts_with("POST /introspect?tenant=1 HTTP/1.1"));
    let pair = request.field("authorization").unwrap().strip_prefix("Basic ").unwrap();
    assert_eq!(STANDARD.decode(pair).unwrap(), b"or%3Aders:p+q%2F%25%C3%A9%2B");
    assert_eq!(request.field("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.field("accept"), Some("application/json"));
    assert_eq!(request.form.len(), 2);
    assert_eq!(
        (&*request.form["token"], &*request.form["token_type_hint"]),
        ("t1", "access_token")
    );
}

#[tokio::test]
async fn secret_can_be_sent_in_the_body() {
    let asked = with(|builder| builder.client_secret("orders", SECRET).client_secret_post()).await;
    assert!(asked.tokens.verify("t1").await.is_ok());
    let [request] = &*asked.endpoint.requests() else { panic!("not one request") };
    assert_eq!(request.field("authorization"), None);
    assert_eq!((&*request.form["client_id"], &*request.form["client_secret"]), ("orders", SECRET));
}

#[tokio::test]
async fn metadata_can_require_the_secret_in_the_body() {
    let (endpoint, clock) = (Endpoint::start().await, TestClock::new());
    let issuer = endpoint.url("");
    let metadata = json!({
        "issuer": issuer,
        "introspection_endpoint": endpoint.url("/ask"),
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_post"],
    });
    endpoint.set("/.well-known/openid-configuration", Script::json(&metadata));
    let tokens = Introspection::discover(issuer).client_secret("orders", SECRET);
    let tokens = tokens.audience("orders").clock(clock).build().unwrap();
    assert_eq!(tokens.verify("t1").await.unwrap_err().kind().status(), 401);
    let requests = endpoint.requests();
    assert_eq!(requests.last().unwrap().form["client_secret"], SECRET);
}

#[tokio::test]
async fn key_signs_an_assertion_for_the_endpoint() {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let der = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let asked = with(|builder| builder.private_key_jwt("orders", pem).client_key_id("k1")).await;
    assert!(asked.tokens.verify("t1").await.is_ok());
    let [request] = &*asked.endpoint.requests() else { panic!("not one request") };
    assert_eq!(request.field("authorization"), None);
    assert_eq!(request.form["client_id"], "orders");
    let assertion = &request.form["client_assertion"];
    assert_eq!(assertion.split('.').count(), 3);
    assert!(request.form["client_assertion_type"].ends_with("jwt-bearer"));
}

/// Returns a source of the tokens `own-1`, `own-2`, ..., and the number of the last one.
fn own_tokens() -> (impl Fn() -> std::future::Ready<Result<Token, std::io::Error>>, Arc<AtomicUsize>)
{
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let source = move || {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        std::future::ready(Ok(Token::new(format!("own-{number}"))))
    };
    (source, count)
}

#[tokio::test]
async fn own_token_is_replaced_once_if_the_endpoint_rejects_it() {
    let (source, count) = own_tokens();
    let asked = with(|builder| builder.token_source(source)).await;
    assert!(asked.tokens.verify("t1").await.is_ok());
    asked.clock.advance(Duration::from_secs(60));
    let rejected = Script::respond(401, "application/json", "{}");
    let active = Script::json(&active_at(&asked.clock));
    asked.endpoint.set_all("t2", vec![rejected.clone(), active]);
    assert!(asked.tokens.verify("t2").await.is_ok());
    let sent: Vec<_> = asked.endpoint.requests();
    let sent: Vec<_> = sent.iter().map(|request| request.field("authorization")).collect();
    assert_eq!(sent, [Some("Bearer own-1"), Some("Bearer own-1"), Some("Bearer own-2")]);
    // A second rejection is not repeated.
    asked.clock.advance(Duration::from_secs(60));
    asked.endpoint.set("t3", rejected);
    let error = asked.tokens.verify("t3").await.unwrap_err();
    assert_eq!(failure(&error), IntrospectionErrorKind::Rejected);
    assert_eq!((asked.endpoint.requests().len(), count.load(Ordering::SeqCst)), (5, 3));
    // Nor is one of a token that was fetched just now.
    let error = asked.tokens.verify("t3").await.unwrap_err();
    assert_eq!(failure(&error), IntrospectionErrorKind::Rejected);
    assert_eq!((asked.endpoint.requests().len(), count.load(Ordering::SeqCst)), (6, 3));
}

#[tokio::test]
async fn own_token_that_is_not_available_is_an_outage() {
    let source = async || Err::<Token, _>(std::io::Error::other("the vault is sealed"));
    let asked = with(|builder| builder.token_source(source)).await;
    let error = asked.tokens.verify("t1").await.unwrap_err();
    assert_eq!(failure(&error), IntrospectionErrorKind::Outage);
    assert_eq!(asked.endpoint.requests().len(), 0);
}
