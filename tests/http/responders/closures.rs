//! Closures as responders, with any body type.

use std::convert::Infallible;

use http::{Request, Response, request::Parts};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_auth::{AuthenticateLayer, Rejection, RejectionKind};
use tower_auth_test_support::token::Signer;

use super::{Api, Page, basic_header, jwt_or_basic, rejection_page, welcome};

#[tokio::test(flavor = "multi_thread")]
async fn closure_may_return_a_body_without_default() {
    let api = Api::serve().await;
    let (valid, read_only) = (api.bearer("sub", "user-1"), api.bearer("scope", "read"));

    for (lines, status, text) in [
        (vec![&*valid], 200, "welcome"),
        (vec![], 401, RejectionKind::MissingCredentials.message()),
        (vec!["Bearer x"], 401, RejectionKind::InvalidCredentials.message()),
        (vec![&*valid, &*valid], 400, RejectionKind::MalformedRequest.message()),
        (vec![&*read_only], 403, RejectionKind::InsufficientScope.message()),
    ] {
        let response = api.send(&lines);
        assert_eq!(response.status, status);
        assert!(response.body.contains(text), "{response:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_and_retry_after_are_added_to_the_closure_response() {
    let api = Api::serve().await;
    let basic_line = r#"Basic realm="staff", charset="UTF-8""#;

    let missing = api.send(&[]);
    assert_eq!(missing.header_values("www-authenticate"), ["Bearer", basic_line]);
    assert!(missing.header_values("retry-after").is_empty());

    let invalid = api.send(&[&api.bearer("exp", 1)]);
    assert_eq!(
        invalid.header_values("www-authenticate"),
        [r#"Bearer error="invalid_token""#, basic_line]
    );
    let denied = api.send(&[&api.bearer("scope", "read")]);
    assert_eq!(
        denied.header("www-authenticate"),
        r#"Bearer error="insufficient_scope", scope="write""#
    );
    let outage = api.send(&[&basic_header("carol", "secret")]);
    assert_eq!((outage.status, outage.header("retry-after")), (503, "5"));
    assert!(outage.header_values("www-authenticate").is_empty());
}

#[tokio::test]
async fn headers_set_by_the_closure_are_kept() {
    let custom = |rejection: &Rejection, head: &Parts| {
        let mut response = rejection_page(rejection, head);
        response.headers_mut().insert("www-authenticate", "Own".parse().unwrap());
        response.headers_mut().insert("retry-after", "77".parse().unwrap());
        response
    };
    let layer =
        AuthenticateLayer::new(jwt_or_basic(&Signer::generate("ES256", "1"))).responder(custom);
    let service = ServiceBuilder::new().layer(layer).service(service_fn(welcome));

    for credentials in [basic_header("carol", "secret"), basic_header("bob", "secret")] {
        let request = Request::builder().header("authorization", credentials).body(()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        for (name, value) in [("www-authenticate", "Own"), ("retry-after", "77")] {
            let lines: Vec<_> = response.headers().get_all(name).iter().collect();
            assert_eq!(lines, [value]);
        }
    }
}

#[tokio::test]
async fn layer_keeps_the_body_type_of_the_inner_service() {
    async fn text(_: Request<()>) -> Result<Response<String>, Infallible> {
        Ok(Response::new("welcome".into()))
    }
    let service = AuthenticateLayer::optional(jwt_or_basic(&Signer::generate("ES256", "1")))
        .layer(service_fn(text));
    let response: Response<String> = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.body(), "welcome");

    let layer = AuthenticateLayer::optional(jwt_or_basic(&Signer::generate("ES256", "1")))
        .responder(rejection_page);
    let service = layer.layer(service_fn(welcome::<()>));
    let response: Response<Page> = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.body().0, Some("welcome"));
}
