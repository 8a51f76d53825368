//! What is written to standard error.

use std::fs;

use serde_json::json;
use tower_auth_test_support::{
    openssl::OpenSsl,
    program::{Program, free_port},
    raw,
    stub::{StubResponse, StubServer},
    token::{Signer, claims},
};

use crate::PROGRAM;

/// Starts the program with one profile `p`, which has this table `bearer`.
fn start(bearer: &str, log: Option<&str>) -> (Program, String, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[profiles.p]\nrealm = \"r\"\n\
         [profiles.p.basic]\nusers = [[\"alice\", \"hunter2\"]]\n\
         [profiles.p.bearer]\naudience = \"https://api.example\"\n{bearer}"
    );
    let path = dir.path().join("config.toml");
    fs::write(&path, config).unwrap();
    let log: Vec<_> = log.map(|log| ("RUST_LOG", log)).into_iter().collect();
    let mut program = Program::start_with_env(PROGRAM, &[path.to_str().unwrap()], &log);
    let address = program.address();
    (program, address, dir)
}

fn get(address: &str, authorization: &str) -> u16 {
    raw::get(address, "/p/", &[("Authorization", authorization)]).status
}

#[test]
fn failed_fetch_is_logged_with_the_profile_and_both_spellings_of_the_issuer() {
    let stub = StubServer::start();
    let issuer = stub.publish_metadata("/tenant");
    let metadata = json!({ "issuer": format!("{issuer}/"), "jwks_uri": stub.url("/jwks") });
    stub.set_response(
        "/tenant/.well-known/openid-configuration",
        StubResponse::Document(metadata.to_string()),
    );
    let (program, address, _dir) =
        start(&format!("issuer = \"{issuer}\"\ndiscovery = true\n"), None);
    let line = program.wait_for_error("cannot be fetched");
    assert!(line.contains(&format!("{:?} instead of {issuer:?}", format!("{issuer}/"))), "{line}");
    assert!(line.contains("profile=\"p\"") && line.contains("ERROR"), "{line}");

    let token = Signer::generate("ES256", "1");
    let mut claims = claims();
    claims["iss"] = issuer.into();
    assert_eq!(get(&address, &format!("Bearer {}", token.token(&claims))), 503);
    let errors = program.wait_for_error("cannot check the request");
    assert!(errors.contains("WARN"), "{errors}");
}

#[test]
fn untrusted_certificate_is_logged_with_its_cause() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
    let port = free_port();
    let certificate = openssl.certificate("key.pem");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("certificate.pem");
    fs::write(&path, certificate).unwrap();
    let arguments = format!(
        "s_server -www -quiet -accept 127.0.0.1:{port} -key {} -cert {}",
        openssl.path("key.pem").display(),
        path.display()
    );
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let _server = Program::start("openssl", &arguments);
    let url = format!("https://127.0.0.1:{port}/keys");
    let (program, ..) = start(&format!("issuer = \"i\"\njwks_url = \"{url}\"\n"), None);
    let errors = program.wait_for_error("invalid peer certificate");
    assert!(errors.contains("keys cannot be fetched"), "{errors}");
}

#[test]
fn skipped_key_is_logged_with_the_reason() {
    let (stub, key) = (StubServer::start(), Signer::generate("ES256", "1"));
    stub.publish_keys([key.jwk(), json!({ "kty": "XYZ", "kid": "odd" })]);
    let url = stub.url("/jwks");
    let (program, ..) = start(&format!("issuer = \"i\"\njwks_url = \"{url}\"\n"), None);
    let line = program.wait_for_error("a key is not used");
    assert!(
        line.contains("odd") && line.contains("WARN") && line.contains("issuer=\"i\""),
        "{line}"
    );
}

/// The library's errors name its functions, which the users of this program do not know.
#[test]
fn document_of_another_form_is_logged_with_the_setting_and_no_function() {
    let stub = StubServer::start();
    let (map, set) = (json!({ "1": "PEM" }), json!({ "keys": [] }));
    for (document, pem_map, hint) in [(map, false, "set pem_map"), (set, true, "remove pem_map")] {
        stub.set_response("/jwks", StubResponse::Document(document.to_string()));
        let url = stub.url("/jwks");
        let bearer = format!("issuer = \"i\"\njwks_url = \"{url}\"\npem_map = {pem_map}\n");
        let (program, ..) = start(&bearer, None);
        let line = program.wait_for_error("keys cannot be fetched");
        assert!(line.contains(hint), "{line}");
        assert!(
            !["call", "from_json", "from_pem_map"].iter().any(|name| line.contains(name)),
            "{line}"
        );
    }
}

#[test]
fn rejection_reasons_are_logged_at_debug_and_no_credential_at_any_level() {
    let (stub, key) = (StubServer::start(), Signer::generate("ES256", "1"));
    stub.publish_keys([key.jwk()]);
    let url = stub.url("/jwks?key=hunter2");
    let bearer = format!("issuer = \"https://issuer.example\"\njwks_url = \"{url}\"\n");
    let mut expired = claims();
    expired["exp"] = 1.into();
    let (valid, expired) = (key.token(&claims()), key.token(&expired));
    let requests = |log: Option<&str>| {
        let (program, address, _dir) = start(&bearer, log);
        assert_eq!(get(&address, &format!("Bearer {expired}")), 401);
        assert_eq!(get(&address, &format!("Bearer {valid}")), 200);
        assert_eq!(get(&address, "Basic YWxpY2U6aHVudGVyMg=="), 200);
        assert_eq!(get(&address, "Basic YWxpY2U6aHVudGVyMw=="), 401);
        program.kill()
    };
    let by_default = requests(None);
    assert!(by_default.contains("key set changed"), "{by_default}");
    assert!(!by_default.contains("request"), "{by_default}");

    let debug = requests(Some("tower_auth=debug,forward_auth=debug"));
    assert!(debug.contains("request rejected") && debug.contains("expired"), "{debug}");
    assert!(debug.contains("request admitted"), "{debug}");

    let all = requests(Some("trace"));
    let parts = valid.split('.').chain(expired.split('.')).filter(|part| part.len() > 40);
    for secret in parts.chain(["hunter2", "YWxpY2U6"]) {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[test]
fn listener_that_clients_can_reach_is_reported_if_the_proxy_sends_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let warns = |listen: &str, throttle: &str| {
        let config = format!(
            "listen = \"{listen}\"\n[profiles.p]\nrealm = \"r\"\n\
             [profiles.p.basic]\nusers = []\n{throttle}"
        );
        fs::write(&path, config).unwrap();
        let mut program = Program::start(PROGRAM, &[path.to_str().unwrap()]);
        program.address();
        program.kill().contains("WARN")
    };
    let header = "throttle = { address_header = \"x-real-ip\" }";
    assert!(warns("0.0.0.0:0", header));
    assert!(warns("[::]:0", header));
    assert!(!warns("127.0.0.1:0", header));
    assert!(!warns("0.0.0.0:0", "throttle = {}"));
}

#[test]
fn invalid_log_filter_is_reported_at_start() {
    let log = [("RUST_LOG", "tower_auth=loud")];
    let (errors, success) = Program::start_with_env(PROGRAM, &["missing.toml"], &log).wait();
    assert!(!success && errors.contains("RUST_LOG"), "{errors}");
}
