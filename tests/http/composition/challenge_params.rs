//! Custom parameters of the Bearer challenge.

use axum::{Router, routing::get};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, Authenticator, Challenge, ConfigErrorKind, Principal, Rejection,
    RejectionKind, RequireScopes, Scheme, any_of, authorize::RequireAuthentication,
    bearer::BearerAuth, jwt::Tenants,
};
use tower_auth_test_support::raw;

use super::{Api, Issuer, greet, staff};

async fn serve<A>(authenticator: A) -> Api
where
    A: Authenticator + 'static,
{
    let revoked =
        async |_: Principal| Err::<(), _>(Rejection::new(RejectionKind::InvalidCredentials));
    let login = RequireAuthentication::acr(["gold"]);
    let app = Router::new()
        .route("/", get(greet))
        .route("/admin", get(greet).layer(RequireScopes::all(["admin"])))
        .route("/login", get(greet).layer(login))
        .route("/revoked", get(revoked))
        .layer(AuthenticateLayer::new(authenticator));
    Api::serve(app).await
}

/// Clients of Docker's registry protocol need `realm`, `service` and `scope` to get a token, also
/// if they have sent one that is not valid any more.
#[tokio::test(flavor = "multi_thread")]
async fn params_are_sent_for_missing_invalid_and_insufficient_tokens() {
    let issuer = Issuer::new();
    let docker = || {
        let builder = issuer.builder().realm("https://auth.example/token");
        builder
            .challenge_scopes(["repository:team/app:pull,push"])
            .challenge_param("service", "registry.example")
            .challenge_param("error_uri", "https://docs.example/errors")
            .build()
            .unwrap()
    };
    // The same challenge, built in another way.
    let challenge = Challenge::new(Scheme::BEARER)
        .with_param("realm", "https://auth.example/token")
        .and_then(|challenge| challenge.with_param("scope", "repository:team/app:pull,push"))
        .and_then(|challenge| challenge.with_param("service", "registry.example"))
        .and_then(|challenge| challenge.with_param("error_uri", "https://docs.example/errors"))
        .unwrap();
    let changed = issuer.auth().challenge(challenge).unwrap();
    for api in [serve(docker()).await, serve(BearerAuth::new(docker())).await, serve(changed).await]
    {
        let realm = r#"Bearer realm="https://auth.example/token""#;
        let scope = r#"scope="repository:team/app:pull,push""#;
        let service = r#"service="registry.example""#;
        let uri = r#"error_uri="https://docs.example/errors""#;
        let missing = api.get_anonymous("/").await;
        assert_eq!(missing.status, 401);
        assert_eq!(missing.challenges(), [format!("{realm}, {scope}, {service}")]);
        let invalid = api.get_with_token(&issuer.expired_token(), "/").await;
        assert_eq!(invalid.status, 401);
        let error = r#"error="invalid_token""#;
        assert_eq!(invalid.challenges(), [format!("{realm}, {scope}, {service}, {uri}, {error}")]);
        let insufficient = api.get_with_token(&issuer.token(), "/admin").await;
        assert_eq!(insufficient.status, 403);
        let error = r#"error="insufficient_scope", scope="admin""#;
        assert_eq!(insufficient.challenges(), [format!("{realm}, {service}, {uri}, {error}")]);
        let login = api.get_with_token(&issuer.token(), "/login").await;
        assert_eq!(login.status, 401);
        let error = r#"error="insufficient_user_authentication", acr_values="gold""#;
        assert_eq!(login.challenges(), [format!("{realm}, {service}, {uri}, {error}")]);
        // The rejection of a handler has no error, so it has no error_uri.
        let revoked = api.get_with_token(&issuer.token(), "/revoked").await;
        assert_eq!(revoked.status, 401);
        assert_eq!(revoked.challenges(), [format!("{realm}, {scope}, {service}")]);
        let malformed = raw::get(&api.address, "/", &[("Authorization", "Bearer a b")]);
        assert_eq!(malformed.status, 400);
        let error = r#"error="invalid_request""#;
        let expected = format!("{realm}, {scope}, {service}, {error}");
        assert_eq!(malformed.header_values("www-authenticate"), [&*expected]);
    }
}

#[tokio::test]
async fn authorization_uri_is_sent_beside_another_scheme_and_by_tenants() {
    const ENTRA: &str = "https://login.microsoftonline.com/common/oauth2/authorize";
    let issuer = Issuer::new();
    let tokens = issuer.builder().challenge_param("authorization_uri", ENTRA).build().unwrap();
    let api = serve(any_of((tokens, staff()))).await;
    let plain = format!(r#"Bearer realm="api", authorization_uri="{ENTRA}""#);
    let basic = r#"Basic realm="staff", charset="UTF-8""#;
    assert_eq!(api.get_anonymous("/").await.challenges(), [&*plain, basic]);
    let invalid = format!(r#"{plain}, error="invalid_token""#);
    assert_eq!(api.get_with_token("a.b.c", "/").await.challenges(), [&*invalid, basic]);

    let challenge = Challenge::new(Scheme::BEARER).with_param("authorization_uri", ENTRA).unwrap();
    let verifier = issuer.auth();
    let resolver = move |_| std::future::ready(Ok::<_, String>(Some(verifier.clone())));
    let api = serve(Tenants::new(challenge, resolver).unwrap()).await;
    let plain = format!(r#"Bearer authorization_uri="{ENTRA}""#);
    assert_eq!(api.get_anonymous("/").await.challenges(), [&*plain]);
    let expired = api.get_with_token(&issuer.expired_token(), "/").await;
    assert_eq!(expired.challenges(), [format!(r#"{plain}, error="invalid_token""#)]);
    assert_eq!(api.get_with_token(&issuer.token_with(json!({})), "/").await.status, 200);
}

#[test]
fn parameter_with_a_method_of_its_own_is_a_config_error_that_names_it() {
    for (name, method) in [
        ("realm", "call realm"),
        ("Realm", "call realm"),
        ("scope", "challenge_scopes"),
        ("resource_metadata", "call resource_metadata"),
        ("acr_values", "RequireAuthentication"),
        ("max_age", "RequireAuthentication"),
        ("error", "Rejection::with_challenge"),
        ("ERROR_description", "Rejection::with_challenge"),
    ] {
        let error = Issuer::new().builder().challenge_param(name, "a").build().unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Conflict, "{name}");
        assert!(error.to_string().contains(method) && error.to_string().contains(name), "{error}");
    }
    for (name, value) in [("", "a"), ("a b", "a"), ("service", "a\nb"), ("error_uri", "a b")] {
        let error = Issuer::new().builder().challenge_param(name, value).build().unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Invalid, "{name:?}");
    }
    let twice = Issuer::new().builder().challenge_param("a", "1").challenge_param("A", "2");
    assert_eq!(twice.build().unwrap_err().kind(), ConfigErrorKind::Conflict);
}
