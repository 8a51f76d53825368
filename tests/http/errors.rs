//! The kinds, the texts and the sources of errors.

use std::{error::Error, io};

use http::Method;
use tower_auth::{
    Challenge, ConfigError, ConfigErrorKind, Denial, JwtAuth, Rejection, RejectionKind,
    RequireScopes, ResourceMetadata, Scheme,
    authorize::{Methods, RequireIssuer, RequireSubject, Routes, public},
    basic::Users,
    client::AttachError,
    jwks::FetchError,
    jwt::{Algorithm, DecodingKey, Keys},
    password::{Htpasswd, PasswordHash},
};

fn kind<T>(result: Result<T, ConfigError>) -> ConfigErrorKind {
    result.err().unwrap().kind()
}

#[test]
fn config_error_has_a_kind() {
    let keys = || Keys::new(Algorithm::HS256, DecodingKey::from_secret(&[7; 32]));
    let short = Keys::new(Algorithm::HS256, DecodingKey::from_secret(b"short"));
    let issuer = "https://issuer.example";
    let missing = [
        kind(RequireScopes::try_all([""; 0])),
        kind(RequireIssuer::try_any([""; 0])),
        kind(RequireIssuer::try_any("")),
        kind(RequireSubject::try_any([""; 0])),
        kind(RequireSubject::try_any("")),
        kind(Methods::new().try_on([Method::GET; 0], public())),
        kind(JwtAuth::builder(keys()).audience("api").build()),
        kind(JwtAuth::builder(keys()).issuer(issuer).audience([""; 0]).build()),
        kind(JwtAuth::builder(keys()).issuer(issuer).audience("a").token_type([""; 0]).build()),
    ];
    assert_eq!(missing, [ConfigErrorKind::Missing; 9]);
    let invalid = [
        kind(RequireScopes::try_any("two words")),
        kind(Challenge::basic("two\nlines")),
        kind(Routes::new().try_route("a", public())),
        kind(Routes::new().try_route("/{", public())),
        kind(Users::new([("a:b", "c")])),
        kind(PasswordHash::parse("$2y$")),
        kind(ResourceMetadata::builder("http://api.example", issuer).build()),
    ];
    assert_eq!(invalid, [ConfigErrorKind::Invalid; 7]);
    let bearer = Challenge::new(Scheme::BEARER).with_param("realm", "a").unwrap();
    let both = JwtAuth::builder(keys()).issuer(issuer).audience("a").dangerous_any_issuer();
    let conflict = [
        kind(bearer.with_param("realm", "b")),
        kind(Methods::new().on(Method::GET, public()).try_on(Method::GET, public())),
        kind(Routes::new().route("/a", public()).try_route("/a", public())),
        kind(Users::new([("a", "b"), ("a", "c")])),
        kind(both.build()),
    ];
    assert_eq!(conflict, [ConfigErrorKind::Conflict; 5]);
    let unusable = [
        kind(Keys::from_json("{}")),
        kind(JwtAuth::builder(short).issuer(issuer).audience("a").build()),
        kind(JwtAuth::builder(Keys::default()).issuer(issuer).audience("a").build()),
    ];
    assert_eq!(unusable, [ConfigErrorKind::Key; 3]);
    assert_eq!(kind(Htpasswd::open("/nonexistent/htpasswd")), ConfigErrorKind::Io);
    assert_eq!(ConfigError::new("custom").kind(), ConfigErrorKind::Other);
}

#[test]
fn config_error_has_the_source_of_the_failure() {
    let error = Htpasswd::open("/nonexistent/htpasswd").unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
    assert!(Routes::new().try_route("/{", public()).unwrap_err().source().is_some());
    let not_json = std::collections::BTreeMap::from([([1, 2], 3)]);
    let metadata = ResourceMetadata::builder("https://api.example", "https://issuer.example");
    assert!(metadata.member("a", not_json).build().unwrap_err().source().is_some());
}

/// Asserts that the text is one message, and that `{:#}` adds each source once.
fn assert_text(error: &dyn Error, has_chain: bool) {
    let (text, chain) = (error.to_string(), format!("{error:#}"));
    let source = error.source().expect("no source").to_string();
    assert!(!text.contains(&source), "{text}");
    let expected = if has_chain { format!("{text}: {source}") } else { text };
    assert_eq!(chain, expected);
}

#[test]
fn display_does_not_repeat_the_source() {
    let cause = "the vault is sealed";
    assert_text(&ConfigError::new("cannot read the keys").with_source(cause), true);
    assert_text(&Htpasswd::open("/nonexistent/htpasswd").unwrap_err(), true);
    assert_text(&Routes::new().try_route("/{", public()).unwrap_err(), true);
    assert_text(&AttachError::new(cause), true);
    assert_text(&FetchError::new(cause), true);
    assert_text(&Denial::unavailable().because(cause), false);
    assert_text(&Rejection::new(RejectionKind::Unavailable).because(cause), false);
    let denial = Denial::unavailable().because(cause);
    assert_text(&Rejection::new(RejectionKind::Unavailable).because(denial), false);
}

#[test]
fn message_without_the_source_says_how_to_fix_the_problem() {
    let file = Htpasswd::open("/nonexistent/htpasswd").unwrap_err().to_string();
    assert!(file.contains("/nonexistent/htpasswd") && file.contains("check that"), "{file}");
    let route = Routes::new().try_route("/{", public()).unwrap_err().to_string();
    assert!(route.contains("/{") && route.contains("use {name}"), "{route}");
    let routes = Routes::new().route("/users/{id}", public());
    let conflict = routes.try_route("/users/{name}", public()).unwrap_err().to_string();
    assert!(conflict.contains("/users/{id}") && conflict.contains("remove"), "{conflict}");
}
