//! The program as its users see it.

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
fn it_says_who_was_admitted() {
    let signer = Signer::generate("ES256", "1");
    let (_program, address) = start(BOTH, &signer);

    let bearer = format!("Bearer {}", signer.token(&claims()));
    let answer = raw::get(&address, "/both/any/path?x=1", &[("Authorization", &bearer)]);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "subject": "user-1",
            "scheme": "Bearer",
            "scopes": ["read", "write"],
            "issuer": "https://issuer.example",
        })
    );

    let basic = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
    let answer = raw::send(&address, "PROPFIND", "/both/", &basic, "");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({ "subject": "alice", "scheme": "Basic", "scopes": [], "issuer": null })
    );
}

#[test]
fn it_asks_for_both_schemes() {
    let signer = Signer::generate("ES256", "1");
    let (_program, address) = start(BOTH, &signer);
    let answer = raw::get(&address, "/both/", &[]);
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.header_values("www-authenticate"),
        [r#"Bearer realm="orders""#, r#"Basic realm="orders", charset="UTF-8""#]
    );
    assert_eq!(raw::get(&address, "/unknown/", &[]).status, 404);
}

#[test]
fn no_request_can_ask_to_be_refused_with_200() {
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
fn a_profile_asks_for_roles_claims_and_logins() {
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
    let ask = |path: &str, more: &[(&str, Value)]| {
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
        for (name, value) in more {
            claims[*name] = value.clone();
        }
        let bearer = format!("Bearer {}", signer.token(&claims));
        raw::get(&address, path, &[("Authorization", &bearer)])
    };
    let both = |more: &[(&str, Value)]| ask("/both/", more);
    assert_eq!(both(&[]).status, 200);
    assert_eq!(both(&[("roles", json!(["auditor"]))]).status, 200);
    for refused in
        [("roles", json!(["Clerk"])), ("tenant", json!("other")), ("realm", json!({ "level": 3 }))]
    {
        let answer = both(std::slice::from_ref(&refused));
        assert_eq!(answer.status, 403, "{refused:?}");
        assert!(answer.header_values("www-authenticate").is_empty());
    }
    let step_up = |answer: raw::RawResponse| {
        assert_eq!(answer.status, 401);
        answer.header("www-authenticate").to_owned()
    };
    let error =
        r#"Bearer realm="orders", error="insufficient_user_authentication", scope="read admin""#;
    // All that the next login has to bring, whichever part of it is missing.
    let whole = format!(r#"{error}, acr_values="gold silver", max_age="300""#);
    assert_eq!(step_up(both(&[("acr", json!("bronze"))])), whole);
    assert_eq!(step_up(both(&[("auth_time", json!(now() - 400))])), whole);
    let basic = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
    assert_eq!(raw::get(&address, "/both/", &basic).status, 403);

    assert_eq!(ask("/keycloak/", &[]).status, 200);
    assert_eq!(ask("/keycloak/", &[("realm_access", json!({}))]).status, 403);
}

#[test]
fn refusals_can_be_problem_documents() {
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
        // And for whoever says to be gRPC, too.
        (vec![("Content-Type", "application/grpc-web")], 401, "Unauthorized"),
    ] {
        let answer = raw::send(&address, "POST", "/both/", &headers, "");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!((answer.status, &problem["status"]), (status, &json!(status)));
        assert_eq!(problem["title"], title);
    }
}

#[test]
fn users_can_be_in_an_htpasswd_file_and_guessing_is_slowed_down() {
    let dir = tempfile::tempdir().unwrap();
    // Of "secret": as `htpasswd -B -C 4` and `htpasswd -m` write it.
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
    let ask = |pair: &str, from: &str| {
        let basic = format!("Basic {}", STANDARD.encode(pair));
        raw::get(&address, "/site/", &[("Authorization", &basic), ("X-Real-IP", from)])
    };
    assert_eq!(ask("alice:secret", "10.0.0.1").json()["subject"], "alice");
    assert_eq!(ask("bob:secret", "10.0.0.1").status, 200);
    for pair in ["alice:guess", "bob:guess", "nobody:guess"] {
        assert_eq!(ask(pair, "10.0.0.2").status, 401);
    }
    let limited = ask("alice:secret", "10.0.0.2");
    assert_eq!(limited.status, 429);
    assert!(limited.header("retry-after").parse::<u64>().unwrap() > 60);
    // What a client puts in front of the proxy's own word makes it nobody else.
    assert_eq!(ask("alice:secret", "10.0.0.9, 10.0.0.2").status, 429);
    assert_eq!(ask("alice:secret", "10.0.0.3").status, 200);
}

#[test]
fn a_faulty_configuration_ends_it_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let with = |text: &str| {
        let path = dir.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let (errors, success) = Program::start(PROGRAM, &[path.to_str().unwrap()]).wait();
        assert!(!success, "{text}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        errors
    };
    let profile = |table: &str| with(&format!("listen = \"127.0.0.1:0\"\n[profiles.p]\n{table}"));
    let bearer = |line: &str| {
        profile(&format!(
            "[profiles.p.bearer]\nissuer = \"i\"\naudience = \"a\"\njwks_file = \"none.json\"\n{line}"
        ))
    };
    fs::write(dir.path().join("empty.json"), r#"{"keys": []}"#).unwrap();
    fs::write(dir.path().join("odd.json"), "[1]").unwrap();

    assert!(with("listen = 1").contains("line 1"));
    assert!(with("listen = \"127.0.0.1:0\"\nprofile = 1\n").contains("unknown field `profile`"));
    assert!(profile("").contains("profile p"));
    assert!(profile("realm = \"r\"\nbasics = 1").contains("basics"));
    assert!(profile("[profiles.p.basic]\nusers = []").contains("realm"));
    assert!(
        profile("realm = \"r\"\n[profiles.p.basic]\nusers = [[\"a:b\", \"c\"]]").contains("colon")
    );
    let basic = |lines: &str| profile(&format!("realm = \"r\"\n[profiles.p.basic]\n{lines}"));
    fs::write(dir.path().join("bad"), "a:$2y$05$x\n").unwrap();
    fs::write(dir.path().join("sha"), "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    assert!(basic("htpasswd = \"missing\"").contains("missing"));
    assert!(basic("htpasswd = \"bad\"").contains("line 1"));
    assert!(basic("htpasswd = \"sha\"").contains("dangerous"));
    assert!(basic("users = []\nhtpasswd = \"sha\"").contains("`htpasswd`"));
    assert!(basic("users = []\nthrottle = { failures = 0 }").contains("at least 1"));
    assert!(bearer("").contains("none.json"));
    assert!(bearer("algorithms = [\"RS257\"]").contains("RS257"));
    assert!(profile(&bearer_with("empty.json")).contains("no key can verify"));
    assert!(profile(&bearer_with("odd.json")).contains("not a JWK set"));
    let wide = bearer_with("jwks.json") + "leeway_seconds = 301";
    fs::write(
        dir.path().join("jwks.json"),
        json!({ "keys": [Signer::generate("ES256", "1").jwk()] }).to_string(),
    )
    .unwrap();
    assert!(profile(&wide).contains("300 s"));
    let empty = bearer_with("jwks.json") + "[profiles.p.require]\nall_scopes = []";
    assert!(profile(&empty).contains("no scope"));
    let require =
        |line: &str| profile(&format!("{}[profiles.p.require]\n{line}", bearer_with("jwks.json")));
    assert!(require("").contains("is empty"));
    assert!(require("roles = []").contains("no role"));
    assert!(require("roles = [\"\"]").contains("no role"));
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

/// The three lines of the README, in the real nginx.
#[test]
fn nginx_asks_it_before_it_serves() {
    if Command::new("nginx").arg("-v").output().is_err() {
        skip("there is no nginx on this machine");
        return;
    }
    let signer = Signer::generate("ES256", "1");
    let (_program, address) = start(BOTH, &signer);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("page.html"), "served\n").unwrap();
    let (_nginx, nginx) = start_nginx(dir.path(), &address);

    let answer = raw::get(&nginx, "/page.html", &[]);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header_values("www-authenticate").first(), Some(&r#"Bearer realm="orders""#));

    let wrong = [("Authorization", "Basic YWxpY2U6d3Jvbmc=")];
    assert_eq!(raw::get(&nginx, "/page.html", &wrong).status, 401);

    let right = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
    let answer = raw::get(&nginx, "/page.html", &right);
    assert_eq!((answer.status, answer.body.as_str()), (200, "served\n"));

    let bearer = format!("Bearer {}", signer.token(&claims()));
    assert_eq!(raw::get(&nginx, "/page.html", &[("Authorization", &bearer)]).status, 200);

    // A gRPC refusal would be HTTP 200, and so an admission: nobody can ask for one.
    for grpc in ["application/grpc", "application/grpc-web"] {
        for method in ["GET", "POST"] {
            let answer = raw::send(&nginx, method, "/page.html", &[("Content-Type", grpc)], "");
            assert_eq!(answer.status, 401, "{method} {grpc}");
        }
    }
}

/// Starts the program with this configuration, beside a `jwks.json` that holds the signer's key, and gives the
/// address at which it listens.
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
    // nginx cannot be asked for a free port, so one is found first.
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
    // Until it listens, connecting is refused at once.
    let give_up = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < give_up, "nginx did not start");
        std::thread::yield_now();
    }
    (nginx, address)
}
