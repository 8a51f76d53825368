//! A closure writes the refusals, in a body of any type.

use std::convert::Infallible;

use http::{Request, Response, request::Parts};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_auth::{AuthenticateLayer, Rejection, RejectionKind};
use tower_auth_test_support::token::Signer;

use super::{Api, Page, basic, everybody, sorry, welcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_answers_with_a_body_that_has_no_default() {
    let api = Api::serve().await;
    let (good, reader) = (api.bearer("sub", "user-1"), api.bearer("scope", "read"));

    for (lines, status, text) in [
        (vec![&*good], 200, "welcome"),
        (vec![], 401, RejectionKind::MissingCredentials.message()),
        (vec!["Bearer x"], 401, RejectionKind::InvalidCredentials.message()),
        (vec![&*good, &*good], 400, RejectionKind::MalformedRequest.message()),
        (vec![&*reader], 403, RejectionKind::InsufficientScope.message()),
    ] {
        let answer = api.ask(&lines);
        assert_eq!(answer.status, status);
        assert!(answer.body.contains(text), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_and_retry_after_are_added_to_what_a_closure_writes() {
    let api = Api::serve().await;
    let basic_line = r#"Basic realm="staff", charset="UTF-8""#;

    let missing = api.ask(&[]);
    assert_eq!(missing.all("www-authenticate"), ["Bearer", basic_line]);
    assert!(missing.all("retry-after").is_empty());

    let invalid = api.ask(&[&api.bearer("exp", 1)]);
    assert_eq!(invalid.all("www-authenticate"), [r#"Bearer error="invalid_token""#, basic_line]);
    let reader = api.ask(&[&api.bearer("scope", "read")]);
    assert_eq!(
        reader.one("www-authenticate"),
        r#"Bearer error="insufficient_scope", scope="write""#
    );
    let outage = api.ask(&[&basic("carol", "secret")]);
    assert_eq!((outage.status, outage.one("retry-after")), (503, "5"));
    assert!(outage.all("www-authenticate").is_empty());
}

#[tokio::test]
async fn what_a_closure_wrote_itself_stays() {
    let own = |rejection: &Rejection, head: &Parts| {
        let mut response = sorry(rejection, head);
        response.headers_mut().insert("www-authenticate", "Own".parse().unwrap());
        response.headers_mut().insert("retry-after", "77".parse().unwrap());
        response
    };
    let layer = AuthenticateLayer::new(everybody(&Signer::generate("ES256", "1"))).responder(own);
    let service = ServiceBuilder::new().layer(layer).service(service_fn(welcome));

    for credentials in [basic("carol", "secret"), basic("bob", "secret")] {
        let request = Request::builder().header("authorization", credentials).body(()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        for (name, value) in [("www-authenticate", "Own"), ("retry-after", "77")] {
            let lines: Vec<_> = response.headers().get_all(name).iter().collect();
            assert_eq!(lines, [value]);
        }
    }
}

#[tokio::test]
async fn the_body_of_the_inner_service_keeps_its_type() {
    async fn text(_: Request<()>) -> Result<Response<String>, Infallible> {
        Ok(Response::new("welcome".into()))
    }
    let service = AuthenticateLayer::optional(everybody(&Signer::generate("ES256", "1")))
        .layer(service_fn(text));
    let response: Response<String> = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.body(), "welcome");

    let layer =
        AuthenticateLayer::optional(everybody(&Signer::generate("ES256", "1"))).responder(sorry);
    let service = layer.layer(service_fn(welcome::<()>));
    let response: Response<Page> = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.body().0, Some("welcome"));
}
