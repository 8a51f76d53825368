//! Tests the program as a black box.

mod cases;
mod jwks;
mod rfc6750;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tower_auth_test_support::{
    program::Program,
    raw, skip,
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

#[test]
fn missing_credentials_return_both_challenges() {
    let signer = Signer::generate("ES256", "1");
    let (_program, address) = start(BOTH, &signer);
    let response = raw::get(&address, "/both/", &[]);
    assert_eq!(response.status, 401);
    assert_eq!(
        response.header_values("www-authenticate"),
        [r#"Bearer realm="orders""#, r#"Basic realm="orders", charset="UTF-8""#]
    );
    assert_eq!(raw::get(&address, "/unknown/", &[]).status, 404);
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

#[test]
fn invalid_configuration_exits_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let error_of = |text: &str| {
        let path = dir.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let (errors, success) = Program::start(PROGRAM, &[path.to_str().unwrap()]).wait();
        assert!(!success, "{text}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        errors
    };
    let profile =
        |table: &str| error_of(&format!("listen = \"127.0.0.1:0\"\n[profiles.p]\n{table}"));
    let bearer = |line: &str| {
        profile(&format!(
            "[profiles.p.bearer]\nissuer = \"i\"\naudience = \"a\"\njwks_file = \"none.json\"\n{line}"
        ))
    };
    fs::write(dir.path().join("empty.json"), r#"{"keys": []}"#).unwrap();
    fs::write(dir.path().join("malformed.json"), "[1]").unwrap();

    assert!(error_of("listen = 1").contains("line 1"));
    assert!(
        error_of("listen = \"127.0.0.1:0\"\nprofile = 1\n").contains("unknown field `profile`")
    );
    assert!(profile("").contains("profile p"));
    assert!(profile("realm = \"r\"\nbasics = 1").contains("basics"));
    assert!(profile("[profiles.p.basic]\nusers = []").contains("realm"));
    assert!(
        profile("realm = \"r\"\n[profiles.p.basic]\nusers = [[\"a:b\", \"c\"]]").contains("colon")
    );
    let basic = |lines: &str| profile(&format!("realm = \"r\"\n[profiles.p.basic]\n{lines}"));
    fs::write(dir.path().join("malformed"), "a:$2y$05$x\n").unwrap();
    fs::write(dir.path().join("sha"), "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    assert!(basic("htpasswd = \"missing\"").contains("missing"));
    assert!(basic("htpasswd = \"malformed\"").contains("line 1"));
    assert!(basic("htpasswd = \"sha\"").contains("dangerous"));
    assert!(basic("users = []\nhtpasswd = \"sha\"").contains("`htpasswd`"));
    assert!(basic("users = []\nthrottle = { failures = 0 }").contains("at least 1"));
    assert!(bearer("").contains("none.json"));
    assert!(bearer("algorithms = [\"RS257\"]").contains("RS257"));
    assert!(profile(&bearer_with("empty.json")).contains("no key can verify"));
    assert!(profile(&bearer_with("malformed.json")).contains("not a JWK set"));
    let wide_leeway = bearer_with("jwks.json") + "leeway_seconds = 301";
    fs::write(
        dir.path().join("jwks.json"),
        json!({ "keys": [Signer::generate("ES256", "1").jwk()] }).to_string(),
    )
    .unwrap();
    assert!(profile(&wide_leeway).contains("300 s"));
    let no_scopes = bearer_with("jwks.json") + "[profiles.p.require]\nall_scopes = []";
    assert!(profile(&no_scopes).contains("no scope"));
    let require =
        |line: &str| profile(&format!("{}[profiles.p.require]\n{line}", bearer_with("jwks.json")));
    assert!(require("").contains("is empty"));
    assert!(require("roles = []").contains("at least one role"));
    assert!(require("roles = [\"\"]").contains("at least one role"));
    assert!(require("roles_claim = \"x\"").contains("`roles`"));
    assert!(require("claim = { a = [] }").contains("\"a\""));
    assert!(require("claim = { a = { b = 1 } }").contains("\"a\""));
    assert!(require("acr = \"a b\"").contains("acr"));
    assert!(require("max_age_seconds = -1").contains("line"));
    assert!(profile("errors = \"html\"").contains("problem+json"));

    let missing = dir.path().join("missing.toml");
    let (errors, success) = Program::start(PROGRAM, &[missing.to_str().unwrap()]).wait();
    assert!(!success && errors.contains("missing.toml"), "{errors}");
}

fn bearer_with(jwks: &str) -> String {
    format!("[profiles.p.bearer]\nissuer = \"i\"\naudience = \"a\"\njwks_file = \"{jwks}\"\n")
}

/// Uses the three lines of the README in a real nginx.
#[test]
fn nginx_serves_only_authenticated_requests() {
    if Command::new("nginx").arg("-v").output().is_err() {
        skip("nginx is not installed");
        return;
    }
    let signer = Signer::generate("ES256", "1");
    let (_program, address) = start(BOTH, &signer);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("page.html"), "served\n").unwrap();
    let (_nginx, nginx) = start_nginx(dir.path(), &address);

    let response = raw::get(&nginx, "/page.html", &[]);
    assert_eq!(response.status, 401);
    assert_eq!(
        response.header_values("www-authenticate").first(),
        Some(&r#"Bearer realm="orders""#)
    );

    let wrong_password = [("Authorization", "Basic YWxpY2U6d3Jvbmc=")];
    assert_eq!(raw::get(&nginx, "/page.html", &wrong_password).status, 401);

    let valid = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
    let response = raw::get(&nginx, "/page.html", &valid);
    assert_eq!((response.status, response.body.as_str()), (200, "served\n"));

    let bearer = format!("Bearer {}", signer.token(&claims()));
    assert_eq!(raw::get(&nginx, "/page.html", &[("Authorization", &bearer)]).status, 200);

    // gRPC rejections are HTTP 200, which nginx would accept. Requests must not select them.
    for grpc in ["application/grpc", "application/grpc-web"] {
        for method in ["GET", "POST"] {
            let response = raw::send(&nginx, method, "/page.html", &[("Content-Type", grpc)], "");
            assert_eq!(response.status, 401, "{method} {grpc}");
        }
    }
}

/// Starts the program with this configuration and a `jwks.json` with the signer's key. Returns the
/// address on which it listens.
fn start(config: &str, signer: &Signer) -> (Program, String) {
    let dir = tempfile::tempdir().unwrap();
    let jwks = json!({ "keys": [signer.jwk()] });
    fs::write(dir.path().join("jwks.json"), jwks.to_string()).unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, config).unwrap();
    let mut program = Program::start(PROGRAM, &[path.to_str().unwrap()]);
    let address = program.address();
    (program, address)
}

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_nginx(dir: &Path, forward_auth: &str) -> (Nginx, String) {
    // nginx cannot choose a free port, so find one first.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let prefix = dir.display();
    let config = format!(
        "daemon off; master_process off; pid {prefix}/pid; error_log stderr;
         events {{}}
         http {{
             access_log off;
             client_body_temp_path {prefix}/1; proxy_temp_path {prefix}/2;
             fastcgi_temp_path {prefix}/3; uwsgi_temp_path {prefix}/4; scgi_temp_path {prefix}/5;
             server {{
                 listen 127.0.0.1:{port};
                 location / {{ auth_request /auth; root {prefix}; }}
                 location = /auth {{
                     internal; proxy_pass http://{forward_auth}/both/;
                     proxy_pass_request_body off; proxy_set_header Content-Length \"\";
                 }}
             }}
         }}"
    );
    let path = dir.join("nginx.conf");
    fs::write(&path, config).unwrap();
    let child = Command::new("nginx")
        .args(["-e", "stderr", "-c", path.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let nginx = Nginx(child);
    let address = format!("127.0.0.1:{port}");
    // Retry until nginx listens.
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline, "nginx did not start");
        std::thread::yield_now();
    }
    (nginx, address)
}
