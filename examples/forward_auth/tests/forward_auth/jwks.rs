//! Profiles that fetch their keys over HTTP.

use serde_json::json;
use tower_auth_test_support::{
    openssl::OpenSsl,
    raw,
    stub::{StubResponse, StubServer},
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

#[tokio::test(flavor = "multi_thread")]
async fn metadata_at_another_url_must_name_the_issuer() {
    let (stub, key) = (StubServer::start(), Signer::generate("ES256", "1"));
    stub.publish_keys([key.jwk()]);
    let issuer = "http://adfs.example/services/trust";
    for (path, named) in [("/right", issuer), ("/wrong", "http://other.example")] {
        let metadata = json!({ "issuer": named, "jwks_uri": stub.url("/jwks") });
        stub.set_response(path, StubResponse::Document(metadata.to_string()));
    }
    let config = format!(
        r#"
listen = "127.0.0.1:0"
[profiles.right.bearer]
issuer = "{issuer}"
audience = "a"
discovery_url = "{}"
[profiles.wrong.bearer]
issuer = "{issuer}"
audience = "a"
discovery_url = "{}"
"#,
        stub.url("/right"),
        stub.url("/wrong"),
    );
    let (_program, address) = start(&config, &key);
    let bearer = format!("Bearer {}", token(&key, issuer, "a"));
    for (profile, status) in [("right", 200), ("wrong", 503)] {
        let response = raw::get(&address, &format!("/{profile}/"), &[("Authorization", &bearer)]);
        assert_eq!(response.status, status, "{profile}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_read_from_a_pem_map_at_a_url_and_in_a_file() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
    let key = openssl.signer("ES256", "key.pem");
    let map = json!({ "1": openssl.text("pkey -in key.pem -pubout") }).to_string();
    let stub = StubServer::start();
    stub.set_response("/map", StubResponse::Document(map.clone()));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("map.json");
    std::fs::write(&file, map).unwrap();
    let config = format!(
        r#"
listen = "127.0.0.1:0"
[profiles.url.bearer]
issuer = "i"
audience = "a"
jwks_url = "{}"
pem_map = true
[profiles.file.bearer]
issuer = "i"
audience = "a"
jwks_file = "{}"
pem_map = true
"#,
        stub.url("/map"),
        file.display(),
    );
    let (_program, address) = start(&config, &key);
    let mut claims = claims();
    (claims["iss"], claims["aud"]) = ("i".into(), "a".into());
    let right = key.token_with(&json!({ "alg": "ES256", "kid": "1" }), &claims);
    let wrong = Signer::generate("ES256", "1").token(&claims);
    for profile in ["url", "file"] {
        for (token, status) in [(&right, 200), (&wrong, 401)] {
            let bearer = format!("Bearer {token}");
            let headers = [("Authorization", &*bearer)];
            let response = raw::get(&address, &format!("/{profile}/"), &headers);
            assert_eq!(response.status, status, "{profile}");
        }
    }
}

/// `configuration.rs` has the same URLs without the key, which are refused.
#[test]
fn http_issuers_need_a_dangerous_setting() {
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
