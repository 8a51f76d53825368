//! Tests the program as a black box.

mod behind_proxies;
mod cases;
mod configuration;
mod jwks;
mod keys;
mod logs;
mod misspelt;
mod proxies;
mod readme;
mod report_limit;
mod rfc6750;
mod secrets;
mod service;
mod tokens;

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower_auth_test_support::{
    program::Program,
    raw,
    token::{Signer, claims, now},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_forward_auth");

const BOTH: &str = r#"
listen = "127.0.0.1:0"

[profiles.both]
realm = "orders"
[profiles.both.basic]
users = [["alice", "secret"]]
[profiles.both.bearer]
issuer = ["https://other.example", "https://issuer.example"]
audience = "https://api.example"
jwks_file = "jwks.json"
"#;

#[test]
fn accepted_request_returns_the_caller() {
    let signer = Signer::generate("ES256", "1");
    let (_program, address) = start(BOTH, &signer);

    let bearer = format!("Bearer {}", signer.token(&claims()));
    let response = raw::get(&address, "/both/any/path?x=1", &[("Authorization", &bearer)]);
    assert_eq!(response.status, 200);
    assert_eq!(
        response.json(),
        json!({
            "subject": "user-1",
            "scheme": "Bearer",
            "scopes": ["read", "write"],
            "issuer": "https://issuer.example",
        })
    );

    let basic = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
    let response = raw::send(&address, "PROPFIND", "/both/", &basic, "");
    assert_eq!(response.status, 200);
    assert_eq!(
        response.json(),
        json!({ "subject": "alice", "scheme": "Basic", "scopes": [], "issuer": null })
    );
}

/// A proxy then replaces each header that the client sent. `behind_proxies.rs` has the encoding.
#[test]
fn accepted_request_has_every_header_and_rejected_request_has_none() {
    let signer = Signer::generate("ES256", "1");
    let config = format!(
        "{BOTH}[profiles.both.headers]\nsubject = \"remote-user\"\nissuer = \"x-issuer\"\n\
         scopes = \"x-scopes\"\nclaims = {{ \"/a/b\" = \"x-b\", tenant = \"x-tenant\" }}\n"
    );
    let (_program, address) = start(&config, &signer);
    let names = ["remote-user", "x-issuer", "x-scopes", "x-b", "x-tenant"];
    let basic = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
    let response = raw::get(&address, "/both/", &basic);
    assert_eq!(names.map(|name| response.header(name)), ["alice", "", "", "", ""]);

    let mut claims = claims();
    claims["a"] = json!({ "b": 1e3 });
    let bearer = format!("Bearer {}", signer.token(&claims));
    let response = raw::get(&address, "/both/", &[("Authorization", &bearer)]);
    let issuer = "https://issuer.example";
    let expected = ["user-1", issuer, "read write", "1000.0", ""];
    assert_eq!(names.map(|name| response.header(name)), expected);

    let response = raw::get(&address, "/both/", &[]);
    assert!(names.iter().all(|name| response.header_values(name).is_empty()), "{response:?}");
}

#[test]
fn missing_credentials_return_both_challenges() {
    let signer = Signer::generate("ES256", "1");
    let (bearer, basic) = (r#"Bearer realm="orders""#, r#"Basic realm="orders", charset="UTF-8""#);
    let one_line = format!("{bearer}, {basic}");
    let lines = BOTH.replace("realm = \"orders\"", "realm = \"orders\"\nchallenges = \"lines\"");
    for (config, challenges) in [(BOTH, vec![&*one_line]), (&lines, vec![bearer, basic])] {
        let (_program, address) = start(config, &signer);
        let response = raw::get(&address, "/both/", &[]);
        assert_eq!(response.status, 401);
        assert_eq!(response.header_values("www-authenticate"), challenges);
        assert_eq!(raw::get(&address, "/unknown/", &[]).status, 404);
    }
}

#[test]
fn grpc_content_type_does_not_return_200_for_a_rejection() {
    let signer = Signer::generate("ES256", "1");
    let scopes = format!("{BOTH}\n[profiles.both.require]\nall_scopes = [\"admin\"]");
    let (_program, address) = start(&scopes, &signer);
    let basic = ("Authorization", "Basic YWxpY2U6c2VjcmV0");
    for grpc in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
        for method in ["GET", "POST"] {
            let grpc = ("Content-Type", grpc);
            assert_eq!(raw::send(&address, method, "/both/", &[grpc], "").status, 401);
            assert_eq!(raw::send(&address, method, "/both/", &[grpc, basic], "").status, 403);
        }
    }
}

#[test]
fn profile_requires_roles_claims_and_recent_login() {
    let signer = Signer::generate("ES256", "1");
    let config = format!(
        r#"{BOTH}
[profiles.both.require]
any_scopes = ["read", "admin"]
roles = ["clerk", "auditor"]
claim = {{ tenant = "acme", "/realm/level" = [1, 2] }}
acr = ["gold", "silver"]
max_age_seconds = 300

[profiles.keycloak.bearer]
issuer = "https://issuer.example"
audience = "https://api.example"
jwks_file = "jwks.json"
[profiles.keycloak.require]
roles = "admin"
roles_claim = "/realm_access/roles"
"#
    );
    let (_program, address) = start(&config, &signer);
    let get = |path: &str, changes: &[(&str, Value)]| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(
            json!({
                "roles": ["clerk"], "tenant": "acme", "realm": { "level": 2 }, "acr": "silver",
                "auth_time": now(), "realm_access": { "roles": ["admin"] },
            })
            .as_object()
            .unwrap()
            .clone(),
        );
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        let bearer = format!("Bearer {}", signer.token(&claims));
        raw::get(&address, path, &[("Authorization", &bearer)])
    };
    let both = |changes: &[(&str, Value)]| get("/both/", changes);
    assert_eq!(both(&[]).status, 200);
    assert_eq!(both(&[("roles", json!(["auditor"]))]).status, 200);
    for change in
        [("roles", json!(["Clerk"])), ("tenant", json!("other")), ("realm", json!({ "level": 3 }))]
    {
        let response = both(std::slice::from_ref(&change));
        assert_eq!(response.status, 403, "{change:?}");
        assert!(response.header_values("www-authenticate").is_empty());
    }
    let step_up = |response: raw::RawResponse| {
        assert_eq!(response.status, 401);
        response.header("www-authenticate").to_owned()
    };
    let error =
        r#"Bearer realm="orders", error="insufficient_user_authentication", scope="read admin""#;
    // The challenge contains all requirements, whichever of them is missing.
    let challenge = format!(r#"{error}, acr_values="gold silver", max_age="300""#);
    assert_eq!(step_up(both(&[("acr", json!("bronze"))])), challenge);
    assert_eq!(step_up(both(&[("auth_time", json!(now() - 400))])), challenge);
    let basic = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
    assert_eq!(raw::get(&address, "/both/", &basic).status, 403);

    assert_eq!(get("/keycloak/", &[]).status, 200);
    assert_eq!(get("/keycloak/", &[("realm_access", json!({}))]).status, 403);
}

#[test]
fn rejections_are_problem_documents_if_configured() {
    let signer = Signer::generate("ES256", "1");
    let config = BOTH
        .replace("realm = \"orders\"", "realm = \"orders\"\nerrors = \"problem+json\"")
        + "[profiles.both.require]\nall_scopes = [\"admin\"]";
    let (_program, address) = start(&config, &signer);
    let bearer = format!("Bearer {}", signer.token(&claims()));
    for (headers, status, title) in [
        (vec![], 401, "Unauthorized"),
        (vec![("Authorization", "Bearer")], 400, "Bad Request"),
        (vec![("Authorization", &*bearer)], 403, "Forbidden"),
        // Also for a gRPC content type.
        (vec![("Content-Type", "application/grpc-web")], 401, "Unauthorized"),
    ] {
        let response = raw::send(&address, "POST", "/both/", &headers, "");
        assert_eq!(response.header("content-type"), "application/problem+json");
        let problem = response.json();
        assert_eq!((response.status, &problem["status"]), (status, &json!(status)));
        assert_eq!(problem["title"], title);
    }
}

#[test]
fn htpasswd_users_are_accepted_and_guessing_is_throttled() {
    let dir = tempfile::tempdir().unwrap();
    // Hashes of "secret", written by `htpasswd -B -C 4` and `htpasswd -m`.
    let users = "# staff\nalice:$2y$04$HGPh6RsKaj7ZyTY2TiWdFOQIPUpqstDdIKTkRv9dJrJSVF31Bji6e\n\
                 bob:$apr1$zMJRUo5P$7553C1rNOFqYuENI0//Aa/\n";
    fs::write(dir.path().join("users"), users).unwrap();
    let config = r#"
listen = "127.0.0.1:0"
[profiles.site]
realm = "site"
[profiles.site.basic]
htpasswd = "users"
throttle = { failures = 3, per_seconds = 3600, address_header = "x-real-ip" }
"#;
    let path = dir.path().join("config.toml");
    fs::write(&path, config).unwrap();
    let mut program = Program::start(PROGRAM, &[path.to_str().unwrap()]);
    let address = program.address();
    let log_in = |user_pass: &str, client: &str| {
        let basic = format!("Basic {}", STANDARD.encode(user_pass));
        raw::get(&address, "/site/", &[("Authorization", &basic), ("X-Real-IP", client)])
    };
    assert_eq!(log_in("alice:secret", "10.0.0.1").json()["subject"], "alice");
    assert_eq!(log_in("bob:secret", "10.0.0.1").status, 200);
    for user_pass in ["alice:guess", "bob:guess", "nobody:guess"] {
        assert_eq!(log_in(user_pass, "10.0.0.2").status, 401);
    }
    let limited = log_in("alice:secret", "10.0.0.2");
    assert_eq!(limited.status, 429);
    assert!(limited.header("retry-after").parse::<u64>().unwrap() > 60);
    // An address that the client adds before the proxy's own value is ignored.
    assert_eq!(log_in("alice:secret", "10.0.0.9, 10.0.0.2").status, 429);
    assert_eq!(log_in("alice:secret", "10.0.0.3").status, 200);
}

/// Starts the program with this configuration and a `jwks.json` with the signer's key. Returns the
/// program with its directory, and the address on which it listens.
fn start(config: &str, signer: &Signer) -> ((Program, TempDir), String) {
    let dir = tempfile::tempdir().unwrap();
    let jwks = json!({ "keys": [signer.jwk()] });
    fs::write(dir.path().join("jwks.json"), jwks.to_string()).unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, config).unwrap();
    let mut program = Program::start(PROGRAM, &[path.to_str().unwrap()]);
    let address = program.address();
    ((program, dir), address)
}
