//! The second factor of a login.

use std::time::Duration;

use axum::{Router, routing::get};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, Policy as _, RequireAuthentication,
    issue::{AuthenticationInfo, LoginAttempt, SecondFactor, TokenRoutesBuilder},
    transport::Forwarded,
};
use tower_auth_test_support::api::{Reply, greet};

use super::{
    Client, PASSWORD, Setup, Tokens, assert_error, checked, claims_of, loopback, send_json,
};

/// Asks for a code, which is 123456. The other texts cause other results.
async fn check_code(attempt: LoginAttempt) -> SecondFactor {
    assert_eq!(attempt.user().subject(), "alice");
    for hidden in ["username", "password", "client_id", "scope"] {
        assert_eq!(attempt.get(hidden), None);
    }
    let debug = format!("{attempt:?}");
    assert!(!debug.contains(PASSWORD) && !debug.contains("123456"), "{debug}");
    let two_factors = AuthenticationInfo::new().amr(["pwd", "otp"]).acr("two-factor");
    match attempt.get("otp") {
        None => SecondFactor::required(["otp", "sms"]),
        Some("123456") => SecondFactor::Accepted(two_factors),
        Some("outage") => SecondFactor::unavailable("the service does not answer"),
        Some("earlier") => {
            let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
            SecondFactor::Accepted(AuthenticationInfo::new().auth_time(time))
        }
        Some("context") => {
            assert_eq!(attempt.client_id(), Some("console"));
            assert_eq!(attempt.client_address().unwrap().to_string(), loopback());
            SecondFactor::Accepted(AuthenticationInfo::new())
        }
        Some(_) => SecondFactor::Rejected,
    }
}

async fn log_in(client: &Client, password: &str, otp: Option<&str>) -> Reply {
    let parameters = json!({
        "username": "alice", "password": password, "otp": otp, "client_id": "console",
    });
    client.json("/login", &parameters).await
}

fn routes(setup: &Setup) -> TokenRoutesBuilder {
    setup.builder().second_factor(check_code)
}

#[tokio::test]
async fn missing_second_factor_returns_401_with_the_methods_and_is_not_counted() {
    let setup = Setup::new();
    let client = setup.serve(routes(&setup)).await;
    for otp in [None, Some("")] {
        for _ in 0..20 {
            let reply = log_in(&client, PASSWORD, otp).await;
            let body = r#"{"error":"second_factor_required","methods":["otp","sms"]}"#;
            assert_eq!((reply.status.as_u16(), &*reply.body), (401, body));
            assert_eq!(reply.challenges(), ["Bearer"]);
        }
    }
    assert_eq!(log_in(&client, PASSWORD, Some("123456")).await.status, 200);
}

#[tokio::test]
async fn wrong_second_factor_gets_the_response_of_a_wrong_password() {
    let setup = Setup::new();
    let client = setup.serve(routes(&setup)).await;
    let wrong_code = log_in(&client, PASSWORD, Some("000000")).await;
    let wrong_password = log_in(&client, "wrong", Some("123456")).await;
    assert_error(&wrong_code, 401, "invalid_grant");
    assert_error(&wrong_password, 401, "invalid_grant");
    assert_eq!(wrong_code.challenges(), wrong_password.challenges());
    assert_eq!(wrong_code.headers.len(), wrong_password.headers.len());
}

#[tokio::test]
async fn ten_wrong_second_factors_return_429() {
    let setup = Setup::new();
    let client = setup.serve(routes(&setup)).await;
    for code in 0..10 {
        let reply = log_in(&client, PASSWORD, Some(&format!("00000{code}"))).await;
        assert_error(&reply, 401, "invalid_grant");
    }
    assert_error(&log_in(&client, PASSWORD, Some("123456")).await, 429, "too_many_requests");
    // Also without a code: the response would reveal that the password is right.
    assert_error(&log_in(&client, PASSWORD, None).await, 429, "too_many_requests");
    setup.advance(30);
    assert_eq!(log_in(&client, PASSWORD, Some("123456")).await.status, 200);
}

#[tokio::test]
async fn wrong_password_does_not_reach_the_second_factor() {
    let setup = Setup::new();
    let routes = setup.builder().second_factor(async |_| unreachable!());
    let client = setup.serve(routes).await;
    for otp in [None, Some("123456")] {
        assert_error(&log_in(&client, "wrong", otp).await, 401, "invalid_grant");
    }
}

#[tokio::test]
async fn outage_of_the_second_factor_returns_503_and_is_not_counted() {
    let setup = Setup::new();
    let client = setup.serve(routes(&setup)).await;
    for _ in 0..20 {
        let reply = log_in(&client, PASSWORD, Some("outage")).await;
        assert_error(&reply, 503, "temporarily_unavailable");
    }
    assert_eq!(log_in(&client, PASSWORD, Some("123456")).await.status, 200);
}

#[tokio::test]
async fn second_factor_gets_the_client_and_its_address() {
    let setup = Setup::new();
    let client = setup.serve(routes(&setup)).await;
    assert_eq!(log_in(&client, PASSWORD, Some("context")).await.status, 200);
}

#[tokio::test]
async fn address_is_the_one_that_the_proxy_reports() {
    let setup = Setup::new();
    let forwarded = Forwarded::from_proxies("127.0.0.0/8").unwrap();
    let check = async |attempt: LoginAttempt| {
        assert_eq!(attempt.client_address().unwrap().to_string(), "192.0.2.7");
        SecondFactor::Rejected
    };
    let client = setup.serve(setup.builder().forwarded(forwarded).second_factor(check)).await;
    let request = client.post("/login").header("x-forwarded-for", "192.0.2.7");
    let parameters = json!({ "username": "alice", "password": PASSWORD });
    assert_error(&checked(send_json(request, &parameters).await), 401, "invalid_grant");
    let events = setup.events.take();
    assert!(events[0].ends_with(" from 192.0.2.7"), "{events:?}");
}

#[tokio::test]
async fn second_factor_sets_amr_acr_and_auth_time() {
    let setup = Setup::new();
    let client = setup.serve(routes(&setup)).await;
    let claims = async |otp: &str| {
        claims_of(&Tokens::of(&log_in(&client, PASSWORD, Some(otp)).await).access)
    };
    let strong = claims("123456").await;
    assert_eq!((&strong["amr"], &strong["acr"]), (&json!(["pwd", "otp"]), &json!("two-factor")));
    assert_eq!(strong["auth_time"], strong["iat"]);
    let earlier = claims("earlier").await;
    assert_eq!((&earlier["amr"], &earlier["auth_time"]), (&json!(["pwd"]), &json!(1_000_000)));
    assert!(earlier.get("acr").is_none());
}

#[tokio::test]
async fn login_with_second_factor_satisfies_require_authentication() {
    let setup = Setup::new();
    let fresh = RequireAuthentication::max_age(Duration::from_secs(300)).clock(setup.clock.clone());
    let strong = RequireAuthentication::acr("two-factor");
    let app = Router::new()
        .route("/transfer", get(greet).layer(strong.and(fresh)))
        .layer(AuthenticateLayer::new(setup.issuer.verifier()))
        .merge(routes(&setup).build().unwrap().into_router());
    let client = setup.serve_app(app).await;
    let transfer = async |token: &str| client.api.get_with_token(token, "/transfer").await;

    let weak = Tokens::of(&log_in(&client, PASSWORD, Some("context")).await);
    let reply = transfer(&weak.access).await;
    assert_eq!(reply.status, 401);
    assert!(reply.challenges()[0].contains("insufficient_user_authentication"), "{reply:?}");

    let strong = Tokens::of(&log_in(&client, PASSWORD, Some("123456")).await);
    assert_eq!(transfer(&strong.access).await.body, "hello alice");
    // A refresh does not make the login more recent.
    setup.advance(301);
    let parameters = json!({ "refresh_token": strong.refresh, "client_id": "console" });
    let refreshed = Tokens::of(&client.json("/token/refresh", &parameters).await);
    assert_eq!(claims_of(&refreshed.access)["acr"], "two-factor");
    assert_eq!(transfer(&refreshed.access).await.status, 401);
    let again = Tokens::of(&log_in(&client, PASSWORD, Some("123456")).await);
    assert_eq!(transfer(&again.access).await.status, 200);
}
