use std::time::Duration;

use super::{
    Identity, OidcLogin, OidcLoginBuilder,
    build::fingerprint,
    test_provider::{ISSUER, TestProvider},
};

async fn identity(_: super::ProviderToken) -> Result<Identity, std::io::Error> {
    Ok(Identity::new("example", "alice"))
}

fn oauth2() -> OidcLoginBuilder {
    TestProvider::new()
        .configure(OidcLogin::oauth2("https://id.example/authorize", "https://id.example/token"))
}

#[test]
fn faulty_configuration_is_an_error_that_says_what_to_do() {
    let provider = TestProvider::new();
    let openid = || provider.builder();
    let of = |issuer: &str| provider.configure(OidcLogin::discover(issuer));
    let redirect = |uri: &str| openid().redirect_uri(uri);
    let at = |authorize: &str, token: &str| {
        provider.configure(OidcLogin::oauth2(authorize, token)).identity(identity)
    };
    let key = "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----";
    for (builder, hint) in [
        (OidcLogin::discover(ISSUER), "call client_id"),
        (openid().client_id(""), "call client_id"),
        (openid().client_id("a\n"), "control characters"),
        (OidcLogin::discover(ISSUER).client_id("a"), "call redirect_uri"),
        (
            OidcLogin::discover(ISSUER).client_id("a").redirect_uri("https://app.example/callback"),
            "call then",
        ),
        (of("http://id.example"), "https"),
        (of("https://id.example/?s3cret"), "query"),
        (of("id.example"), "https"),
        (redirect("/callback"), "absolute https URL"),
        (redirect("http://app.example/callback"), "dangerous_allow_http"),
        (redirect("https://app.example/callback#s3cret"), "fragment"),
        (redirect("https://user:s3cret@app.example/callback"), "user information"),
        (redirect("app://callback"), "absolute https URL"),
        (redirect("https://app.example/login"), "are equal"),
        (redirect("https://app.example/{x}"), "braces"),
        (openid().logout_path("/login"), "are equal"),
        (openid().logout_path("/callback"), "are equal"),
        (openid().login_path("login"), "start it with one slash"),
        (openid().login_path("//login"), "start it with one slash"),
        (openid().login_path("/login?x"), "query"),
        (openid().after_login("https://app.example/"), "a page of this service"),
        (openid().after_login("/login?x"), "a page of this service"),
        (openid().after_login("/callback"), "a page of this service"),
        (openid().after_logout("//evil.example"), "invalid after_logout"),
        (openid().after_logout("http://app.example/"), "invalid after_logout"),
        (openid().client_secret("s3cret").client_key(key), "either client_secret or"),
        (openid().client_key(key), "PEM"),
        (openid().client_key_id("k1"), "client_key"),
        (openid().client_secret_post(), "call client_secret"),
        (openid().client_secret("s3cret\n"), "line break"),
        (openid().scopes(["openid email"]), "pass a list"),
        (openid().acr_values(["a b"]), "one string for each class"),
        (openid().prompt("a\nb"), "select_account"),
        (openid().prompt("none login"), "cannot be combined"),
        (openid().login_hint("a".repeat(257)), "256"),
        (openid().parameter("state", "x"), "cannot be added"),
        (openid().parameter("request_uri", "x"), "cannot be added"),
        (openid().parameter("", "x"), "cannot be added"),
        (openid().parameter("a", "1").parameter("a", "2"), "added twice"),
        (openid().leeway(Duration::from_secs(301)), "300"),
        (openid().timeout(Duration::ZERO), "timeout"),
        (openid().identity(identity), "drop the call"),
        (oauth2(), "call identity"),
        (oauth2().identity(identity).leeway(Duration::from_secs(301)), "300"),
        (oauth2().identity(identity).userinfo(), "OpenID provider"),
        (oauth2().identity(identity).max_age(Duration::ZERO), "OpenID provider"),
        (oauth2().identity(identity).acr_values(["a"]), "OpenID provider"),
        (
            oauth2().identity(identity).algorithms([jsonwebtoken::Algorithm::ES256]),
            "OpenID provider",
        ),
        (at("http://id.example/authorize", "https://id.example/token"), "authorization endpoint"),
        (at("https://id.example/authorize#x", "https://id.example/token"), "fragment"),
        (at("https://id.example/authorize", "http://id.example/token"), "https"),
    ] {
        let debug = format!("{builder:?}");
        assert!(!debug.contains("s3cret"), "{debug}");
        let error = builder.build().expect_err(hint).to_string();
        assert!(error.contains(hint), "{hint}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn login_needs_sessions_or_tokens() {
    let then = |login: super::Login| async move { Ok(login.principal().build()) };
    let login = || {
        OidcLogin::discover(ISSUER)
            .client_id("app")
            .redirect_uri("https://app.example/callback")
            .client(|_| async { Err::<http::Response<bytes::Bytes>, _>("not used") })
            .then(then)
    };
    let error = login().build().unwrap_err().to_string();
    assert!(error.contains("call sessions"), "{error}");
    #[cfg(feature = "issue")]
    {
        use crate::{issue::TokenIssuer, session::Sessions, store::SealedStore};

        let store = SealedStore::memory();
        let issuer = TokenIssuer::builder().issuer("https://app.example").audience("app");
        let issuer = issuer.store(store.clone()).build().unwrap();
        login().tokens(issuer.clone()).build().unwrap();
        let sessions = Sessions::builder(store).build().unwrap();
        let error = login().tokens(issuer).sessions(sessions).build().unwrap_err().to_string();
        assert!(error.contains("one of them"), "{error}");
    }
}

#[test]
fn valid_configuration_is_accepted_and_its_debug_output_has_no_secret() {
    let provider = TestProvider::new();
    for builder in [
        provider.builder().client_secret("s3cret"),
        provider.builder().redirect_uri("http://127.0.0.1:8080/callback"),
        provider.builder().redirect_uri("http://localhost/callback?s3cret"),
        provider.builder().redirect_uri("http://app.example/callback").dangerous_allow_http(),
        provider.configure(OidcLogin::discover("http://localhost:3000")),
        provider.configure(OidcLogin::discover("http://id.example")).dangerous_allow_http(),
        provider.builder().after_logout("https://app.example/bye").after_login("/home?x=1"),
        provider.builder().parameter("resource", "a").parameter("resource", "b"),
        oauth2().identity(identity).client_secret("s3cret"),
    ] {
        let login = builder.build().unwrap();
        let debug = format!("{login:?}");
        assert!(!debug.contains("s3cret"), "{debug}");
    }
}

#[test]
fn fingerprints_of_different_texts_differ() {
    let lists = [["ab", "c"], ["a", "bc"], ["", "abc"], ["abc", ""]];
    for (number, texts) in lists.iter().enumerate() {
        assert_eq!(fingerprint(texts).len(), 22);
        for other in lists.iter().skip(number + 1) {
            assert_ne!(fingerprint(texts), fingerprint(other));
        }
    }
}

#[cfg(not(feature = "jwks-reqwest"))]
#[test]
fn login_without_an_http_client_is_a_config_error() {
    let store = crate::store::SealedStore::memory();
    let sessions = crate::session::Sessions::builder(store).build().unwrap();
    let login = OidcLogin::discover(ISSUER)
        .client_id("app")
        .redirect_uri("https://app.example/callback")
        .then(|login| async move { Ok(login.principal().build()) })
        .sessions(sessions);
    let error = login.build().unwrap_err().to_string();
    assert!(
        error.contains("jwks-reqwest") && error.contains("OidcLoginBuilder::client"),
        "{error}"
    );
}
