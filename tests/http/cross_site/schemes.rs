//! Which credentials the check applies to, and whose settings.

use std::sync::Arc;

use axum::{Router, routing::any};
use http::{Request, header::AUTHORIZATION, request::Parts};
use tower_auth::{
    AuthenticateLayer, Authenticator, Challenge, ConfigError, Principal, RejectionKind, Scheme,
    any_of,
    bearer::{BearerAuth, TokenVerifier, Verification},
    credentials::TokenLocation,
    jwt::{Issuers, JwtAuthBuilder, Tenants},
    transport::Forwarded,
};
use tower_auth_test_support::api::{Api, Issuer, Reply, greet};

use super::{basic_header, staff};

const CROSS_SITE: Result<(), RejectionKind> = Err(RejectionKind::CrossSite);

/// A `POST` that a page of another site causes.
fn cross_site_head(lines: &[(&str, &str)]) -> Parts {
    let request = Request::builder().method("POST").header("host", "app.test");
    let request =
        request.header("origin", "https://evil.test").header("sec-fetch-site", "cross-site");
    let request =
        lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

async fn authenticate(
    authenticator: &impl Authenticator,
    head: &Parts,
) -> Result<(), RejectionKind> {
    let result = authenticator.authenticate(head).expect("the request has credentials");
    result.await.into_result().map(drop).map_err(|rejection| rejection.kind())
}

#[tokio::test]
async fn ambient_token_is_rejected_and_other_tokens_pass() {
    let issuer = Issuer::new();
    let token = issuer.token();
    let ambient = [
        (TokenLocation::cookie("__Host-token"), "cookie", format!("__Host-token={token}")),
        (TokenLocation::dangerous_cookie("token"), "cookie", format!("token={token}")),
        (TokenLocation::proxy_header("x-token"), "x-token", token.clone()),
        (TokenLocation::from_fn(from_header), "x-token", token.clone()),
    ];
    let other = [
        (TokenLocation::authorization(), "authorization", format!("Bearer {token}")),
        (TokenLocation::header("x-token"), "x-token", token.clone()),
        (TokenLocation::header_with_prefix("x-token", "a "), "x-token", format!("a {token}")),
        (
            TokenLocation::websocket_protocol_with_prefix("bearer."),
            "sec-websocket-protocol",
            format!("bearer.{token}"),
        ),
        (TokenLocation::from_fn(from_header).not_ambient(), "x-token", token.clone()),
    ];
    for (location, name, value) in ambient {
        let tokens = issuer.builder().token_from(location).build().unwrap();
        let mut head = cross_site_head(&[(name, &value)]);
        assert_eq!(authenticate(&tokens, &head).await, CROSS_SITE, "{tokens:?}");
        head.headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
        assert_eq!(authenticate(&tokens, &head).await, Ok(()), "{tokens:?}");
    }
    for (location, name, value) in other {
        let tokens = issuer.builder().token_from(location).build().unwrap();
        let mut head = cross_site_head(&[(name, &value), ("upgrade", "websocket")]);
        assert_eq!(authenticate(&tokens, &head).await, Ok(()), "{tokens:?}");
        // Nor are other parts of the request checked.
        head.uri = "https://other.test/".parse().unwrap();
        assert_eq!(authenticate(&tokens, &head).await, Ok(()), "{tokens:?}");
    }
}

fn from_header(head: &Parts) -> Option<String> {
    Some(head.headers.get("x-token")?.to_str().unwrap().to_owned())
}

/// Accepts every token.
struct AnyToken;

impl TokenVerifier for AnyToken {
    fn verify(&self, _: &str) -> Verification {
        Verification::ready(Ok(Principal::builder("alice", Scheme::BEARER).build()))
    }
}

#[tokio::test]
async fn token_of_a_scheme_that_browsers_send_on_their_own_is_ambient() {
    let expecting = |scheme: &'static str| {
        BearerAuth::new(AnyToken).challenge(Challenge::new(Scheme::new(scheme))).unwrap()
    };
    for scheme in ["Basic", "basic", "Digest", "Negotiate", "NTLM"] {
        let mut head = cross_site_head(&[("authorization", &format!("{scheme} YTpi"))]);
        let nested = BearerAuth::new(expecting(scheme));
        assert_eq!(authenticate(&nested, &head).await, CROSS_SITE, "{nested:?}");
        let prefix = format!("{scheme} ");
        for tokens in [
            expecting(scheme),
            expecting(scheme).token_from(TokenLocation::authorization()),
            BearerAuth::new(AnyToken)
                .token_from(TokenLocation::header_with_prefix("Authorization", prefix)),
        ] {
            head.headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
            assert_eq!(authenticate(&tokens, &head).await, CROSS_SITE, "{tokens:?}");
            head.headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
            assert_eq!(authenticate(&tokens, &head).await, Ok(()), "{tokens:?}");
        }
    }
    for scheme in ["Bearer", "DPoP", "ApiKey", "Basics"] {
        let head = cross_site_head(&[("authorization", &format!("{scheme} YTpi"))]);
        let prefix = format!("{scheme} ");
        for tokens in [
            expecting(scheme),
            expecting(scheme).token_from(TokenLocation::authorization()),
            BearerAuth::new(AnyToken)
                .token_from(TokenLocation::header_with_prefix("Authorization", prefix)),
        ] {
            assert_eq!(authenticate(&tokens, &head).await, Ok(()), "{tokens:?}");
        }
    }
    // Browsers add no other header on their own.
    let tokens = expecting("Basic").token_from(TokenLocation::header("x-token"));
    let head = cross_site_head(&[("x-token", "a")]);
    assert_eq!(authenticate(&tokens, &head).await, Ok(()));
}

#[tokio::test]
async fn invalid_ambient_credentials_are_cross_site_as_well() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().token_from(TokenLocation::cookie("__Host-token")).build();
    let head = cross_site_head(&[("cookie", "__Host-token=invalid")]);
    assert_eq!(authenticate(&tokens.unwrap(), &head).await, CROSS_SITE);
    let head = cross_site_head(&[("authorization", "Basic !")]);
    assert_eq!(authenticate(&staff(), &head).await, CROSS_SITE);
}

#[tokio::test]
async fn any_of_checks_basic_and_not_bearer() {
    let issuer = Issuer::new();
    let schemes = any_of((issuer.auth(), staff()));
    let bearer = format!("Bearer {}", issuer.token());
    let head = cross_site_head(&[(AUTHORIZATION.as_str(), &bearer)]);
    assert_eq!(authenticate(&schemes, &head).await, Ok(()));
    let head = cross_site_head(&[(AUTHORIZATION.as_str(), &basic_header("alice", "secret"))]);
    assert_eq!(authenticate(&schemes, &head).await, CROSS_SITE);
}

#[tokio::test]
async fn optional_layer_rejects_a_cross_site_cookie_without_a_challenge() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().token_from(TokenLocation::cookie("__Host-token"));
    let greet = any(async |caller: Option<Principal>| match caller {
        Some(caller) => greet(caller).await,
        None => "hello".to_owned(),
    });
    let layer = AuthenticateLayer::optional(tokens.build().unwrap());
    let api = Api::serve(Router::new().route("/", greet).layer(layer)).await;
    let cookie = format!("__Host-token={}", issuer.token());
    let send = async |site: &str, cookie: Option<&str>| {
        let request = api.request(http::Method::POST, "/").header("sec-fetch-site", site);
        Reply::to(cookie.map_or(request.try_clone().unwrap(), |it| request.header("cookie", it)))
            .await
    };
    let rejected = send("cross-site", Some(&cookie)).await;
    assert_eq!((rejected.status.as_u16(), rejected.challenges()), (403, vec![]));
    assert_eq!(send("same-origin", Some(&cookie)).await.body, "hello user-1");
    assert_eq!(send("cross-site", None).await.body, "hello");
}

/// Adds the cookie, a trusted origin and the hosts.
fn with_settings(builder: JwtAuthBuilder) -> JwtAuthBuilder {
    let builder = builder.token_from(TokenLocation::cookie("__Host-token"));
    builder.trusted_origin("https://evil.test").hosts(["app.test"])
}

/// Checks that the trusted origin and the hosts are in effect.
async fn assert_settings(tokens: &impl Authenticator, token: &str) {
    let mut head = cross_site_head(&[("cookie", &format!("__Host-token={token}"))]);
    assert_eq!(authenticate(tokens, &head).await, Ok(()));
    head.headers.insert("origin", "https://other.test".parse().unwrap());
    assert_eq!(authenticate(tokens, &head).await, CROSS_SITE);
    head.headers.insert("origin", "https://evil.test".parse().unwrap());
    head.headers.insert("host", "rebound.test".parse().unwrap());
    assert_eq!(authenticate(tokens, &head).await, CROSS_SITE);
}

#[tokio::test]
async fn wrapped_authenticators_keep_the_settings() {
    let issuer = Issuer::new();
    let token = issuer.token();
    let tokens = with_settings(issuer.builder()).build().unwrap();
    assert_settings(&tokens, &token).await;
    assert_settings(&tokens.clone(), &token).await;
    assert_settings(&BearerAuth::new(tokens.clone()), &token).await;
    assert_settings(&BearerAuth::new(Arc::new(tokens.clone())), &token).await;
    assert_settings(&tokens.clone().map_principal(|caller| caller), &token).await;
    assert_settings(&BearerAuth::new(tokens.clone().map_principal(|caller| caller)), &token).await;
    let challenge = Challenge::new(Scheme::BEARER).with_param("realm", "other").unwrap();
    assert_settings(&tokens.challenge(challenge).unwrap(), &token).await;

    let around = |verifier: Box<dyn TokenVerifier>| {
        let tokens = BearerAuth::new(verifier).token_from(TokenLocation::cookie("__Host-token"));
        let tokens = tokens.trusted_origin("https://evil.test").unwrap();
        tokens.hosts("app.test").unwrap()
    };
    let tenant = issuer.auth();
    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), move |_| {
        std::future::ready(Ok::<_, ConfigError>(Some(tenant.clone())))
    });
    for verifier in [
        Box::new(issuer.auth()) as Box<dyn TokenVerifier>,
        Box::new(Issuers::new([issuer.auth()]).unwrap()),
        Box::new(Issuers::new([issuer.auth()]).unwrap().map_principal(|caller| caller)),
        Box::new(tenants.unwrap()),
    ] {
        assert_settings(&around(verifier), &token).await;
    }
}

/// They would not be used, or those of one issuer would be used for another.
#[tokio::test]
async fn cross_site_settings_of_one_issuer_are_a_conflict() {
    let issuer = Issuer::new();
    let auth = || issuer.auth();
    for tokens in [
        auth().forwarded(Forwarded::direct()),
        auth().trusted_origin("https://admin.test").unwrap(),
        auth().hosts("app.test").unwrap(),
        auth().dangerous_allow_cross_site(),
    ] {
        let error = Issuers::new([tokens.clone()]).unwrap_err();
        assert!(error.to_string().contains("BearerAuth around"), "{error}");

        let tenants = Tenants::new(Challenge::new(Scheme::BEARER), move |_| {
            std::future::ready(Ok::<_, ConfigError>(Some(tokens.clone())))
        });
        let bearer = format!("Bearer {}", issuer.token());
        let head = cross_site_head(&[("authorization", &bearer)]);
        assert_eq!(authenticate(&tenants.unwrap(), &head).await, Err(RejectionKind::Misconfigured));
    }
}

#[tokio::test]
async fn clone_of_basic_authentication_keeps_its_own_settings() {
    let strict = staff();
    let trusting = strict.clone().trusted_origin("https://evil.test").unwrap();
    let head = cross_site_head(&[("authorization", &basic_header("alice", "secret"))]);
    assert_eq!(authenticate(&trusting, &head).await, Ok(()));
    assert_eq!(authenticate(&trusting.clone(), &head).await, Ok(()));
    assert_eq!(authenticate(&strict, &head).await, CROSS_SITE);
}
