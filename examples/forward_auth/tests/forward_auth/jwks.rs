//! Profiles that fetch their keys over HTTP.

use tower_auth_test_support::{
    raw,
    stub::StubServer,
    token::{Signer, claims},
};

use crate::start;

fn token(signer: &Signer, issuer: &str, audience: &str) -> String {
    let mut claims = claims();
    (claims["iss"], claims["aud"]) = (issuer.into(), audience.into());
    signer.token(&claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_fetch_keys_from_url_discovery_and_several_issuers() {
    let (stub, key) = (StubServer::start(), Signer::generate("ES256", "1"));
    stub.publish_keys([key.jwk()]);
    let [one, two] = ["/one", "/two"].map(|path| stub.publish_metadata(path));
    let (url, dead_url) = (stub.url("/jwks"), stub.url("/none"));
    let config = format!(
        r#"
listen = "127.0.0.1:0"
[profiles.url.bearer]
issuer = "{one}"
audience = "a"
jwks_url = "{url}"
[profiles.url.bearer.jwks]
refresh_seconds = 600
cooldown_seconds = 30
timeout_seconds = 5
max_stale_seconds = 3600
[profiles.discovery.bearer]
issuer = "{one}"
audience = "a"
discovery = true
[profiles.several.bearer]
audience = "a"
[[profiles.several.bearer.issuers]]
issuer = "{one}"
discovery = true
[[profiles.several.bearer.issuers]]
issuer = "{two}"
audience = "b"
jwks_url = "{url}"
[profiles.dead.bearer]
issuer = "{one}"
audience = "a"
jwks_url = "{dead_url}"
"#
    );
    let (_program, address) = start(&config, &key);
    let [a, b] = [token(&key, &one, "a"), token(&key, &two, "b")];
    let wrong_audience = token(&key, &two, "a");
    for (profile, token, status) in [
        ("url", &a, 200),
        ("discovery", &a, 200),
        ("several", &a, 200),
        ("several", &b, 200),
        ("several", &wrong_audience, 401),
        ("url", &b, 401),
        ("dead", &a, 503),
    ] {
        let bearer = format!("Bearer {token}");
        let response = raw::get(&address, &format!("/{profile}/"), &[("Authorization", &bearer)]);
        assert_eq!(response.status, status, "{profile}");
    }
}

/// `configuration.rs` has the same URLs without the key, which are refused.
#[test]
fn http_issuers_need_a_dangerous_key() {
    let key = Signer::generate("ES256", "1");
    let config = r#"
listen = "127.0.0.1:0"
[profiles.url.bearer]
issuer = "i"
audience = "a"
jwks_url = "http://issuer.example/k"
dangerous_allow_http = true
[profiles.discovery.bearer]
issuer = "http://i.example"
audience = "a"
discovery = true
dangerous_allow_http = true
"#;
    let (_program, address) = start(config, &key);
    assert_eq!(raw::get(&address, "/url/", &[]).status, 401);
}
