use super::*;

async fn send(_: Request<Bytes>) -> Result<Response<Bytes>, BoxError> {
    Err("not used".into())
}

fn url(url: &str) -> IntrospectionBuilder {
    Introspection::builder(url).client(send)
}

fn valid() -> IntrospectionBuilder {
    url("https://i.example/introspect").client_secret("orders", "s3cret").audience("orders")
}

#[test]
fn incomplete_or_contradictory_settings_are_config_errors() {
    let issuer = |issuer: &str| Introspection::discover(issuer).client(send);
    let source = async || Ok::<_, BoxError>(crate::client::Token::new("s3cret"));
    for (builder, hint) in [
        (url("https://i.example"), "no audience"),
        (valid().dangerous_any_audience(), "dangerous_any_audience"),
        (url("http://i.example/introspect").audience("a"), "https"),
        (url("https://u:s3cret@i.example").audience("a"), "user information"),
        (url("https://i.example/introspect#s3cret").audience("a"), "introspection endpoint"),
        (issuer("http://i.example").audience("a"), "https"),
        (issuer("https://i.example").issuer("https://j.example").audience("a"), "one issuer"),
        (url("https://i.example").audience(""), "empty"),
        (valid().issuer(""), "empty"),
        (valid().token_source(source), "token_source"),
        (valid().private_key_jwt("orders", "no PEM"), "either client_secret"),
        (url("https://i.example").audience("a").private_key_jwt("a", "s3cret"), "PEM"),
        (url("https://i.example").audience("a").client_secret("a", "s3cret\n"), "line break"),
        (valid().leeway(Duration::from_secs(301)), "leeway"),
        (valid().cache_for(Duration::from_secs(3601)), "cache_for"),
        (valid().negative_for(Duration::from_secs(3601)), "negative_for"),
        (valid().cache_bytes(1), "cache_bytes must be at least 4,096"),
        (valid().cache_bytes(4_095), "cache_bytes must be at least 4,096"),
        (valid().timeout(Duration::ZERO), "timeout"),
        (valid().timeout(Duration::from_secs(61)), "timeout"),
        (valid().max_concurrent(0), "max_concurrent"),
        (valid().max_concurrent(65_537), "max_concurrent"),
        (valid().max_waiting(65_537), "max_waiting"),
        (valid().max_response_bytes(0), "max_response_bytes"),
        (valid().max_response_bytes(1 << 21), "max_response_bytes"),
        (valid().subject_from([""; 0]), "subject"),
        (valid().subject_from("exp"), "subject"),
        (valid().scopes_from("sub"), "scopes"),
        (valid().audience_from("exp"), "audience"),
        (valid().require_claim_value("a", [""; 0]), "require_claim_value"),
        (valid().require_claim("/a/b"), "call require_claim_value or check"),
        (valid().scopes_from("/a/~"), "write `~` as `~0`"),
        (valid().token_type("x").dangerous_any_token_type(), "remove token_type"),
        (url("https://i.example").audience("a").client_secret("a", ""), "environment variable"),
        (
            url("https://i.example").audience("a").client_secret("", "s3cret"),
            "environment variable",
        ),
    ] {
        assert!(!format!("{builder:?}").contains("s3cret"), "{builder:?}");
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(hint) && !error.contains("s3cret"), "{error}");
    }
}

#[test]
fn limits_can_be_used_up() {
    for builder in [
        valid(),
        valid().leeway(Duration::from_secs(300)),
        valid().cache_for(HOUR).negative_for(HOUR),
        valid().cache_bytes(0).cache_for(Duration::ZERO).negative_for(Duration::ZERO),
        valid().timeout(Duration::from_secs(60)),
        valid().max_concurrent(1).max_waiting(0),
        valid().max_concurrent(MAX_REQUESTS).max_waiting(MAX_REQUESTS),
        valid().max_response_bytes(1 << 20),
        url("http://127.0.0.1:1/introspect?tenant=1").audience("a"),
        url("http://i.example/introspect").dangerous_allow_http().audience("a"),
        url("https://i.example").dangerous_any_audience(),
        Introspection::discover("https://i.example").client(send).audience("a"),
    ] {
        let tokens = builder.build().unwrap();
        assert!(!format!("{tokens:?}").contains("s3cret"));
    }
}

#[test]
fn discovered_issuer_is_the_issuer_of_the_tokens() {
    use crate::bearer::TokenVerifier as _;

    let tokens = Introspection::discover("https://i.example").client(send).audience("a");
    assert_eq!(tokens.build().unwrap().issuers(), [Arc::from("https://i.example")]);
    assert!(valid().build().unwrap().issuers().is_empty());
}

#[cfg(not(feature = "jwks-reqwest"))]
#[test]
fn verifier_without_a_client_is_a_config_error() {
    let builder = Introspection::builder("https://i.example").audience("a");
    let error = builder.build().unwrap_err().to_string();
    assert!(
        error.contains("jwks-reqwest") && error.contains("IntrospectionBuilder::client"),
        "{error}"
    );
}
