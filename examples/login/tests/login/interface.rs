//! The interface of one instance.

use serde_json::json;
use tower_auth_test_support::{program::run_curl_lines, raw::get};

use crate::service::{Service, accounts};

const LINES: usize = 21;

#[test]
fn curl_lines_return_the_printed_status() {
    let (_folder, file) = accounts();
    run_curl_lines(Service::program(&file, &[]), LINES);
}

/// The example must work as the readers of the README start it.
#[test]
fn curl_lines_of_the_readme_are_the_printed_ones() {
    let (_folder, file) = accounts();
    let mut service = Service::start(&file, &[]);
    let readme = include_str!("../../README.md");
    for _ in 0..LINES {
        let line = service.program.read_line().unwrap();
        let line = line.replace(&service.address, "127.0.0.1:3000");
        assert!(readme.contains(&format!("\n{line}\n")), "{line}");
    }
}

#[test]
fn tokens_are_issued_refreshed_and_revoked() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let login = service.try_to_log_in("alice", "correct horse");
    assert_eq!(login.json()["expires_in"], 600);
    let first = crate::service::tokens(&login);
    let me = service.me(&first.access);
    assert_eq!((me.status, me.json()), (200, json!({ "subject": "alice" })));

    let second = service.refresh(&first.refresh);
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(service.me(&second.access).status, 200);
    // A client that has lost the response sends the first one again.
    assert_eq!(service.refresh(&first.refresh).refresh, second.refresh);

    let other = service.log_in();
    service.log_out(&second.refresh);
    for tokens in [&first, &second] {
        assert_eq!(service.me(&tokens.access).status, 401);
        service.assert_refresh_is_rejected(&tokens.refresh);
    }
    assert_eq!(service.me(&other.access).status, 200);
    service.refresh(&other.refresh);
}

#[test]
fn logout_everywhere_ends_all_logins_and_allows_new_ones() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let logins = [service.log_in(), service.log_in()];
    let response = service.post_with_token("/logout/all", &logins[0].access);
    assert_eq!((response.status, response.json()), (200, json!({ "api_keys": [] })));
    for login in &logins {
        assert_eq!(service.me(&login.access).status, 401);
        service.assert_refresh_is_rejected(&login.refresh);
    }
    let login = service.log_in();
    assert_eq!(service.me(&login.access).status, 200);
    assert_eq!(service.post_with_token("/logout/all", "x").status, 401);
}

#[test]
fn wrong_passwords_return_401_then_429() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    for (username, password) in [("alice", "guess"), ("nobody", "correct horse")] {
        let response = service.try_to_log_in(username, password);
        assert_eq!(
            (response.status, response.json()["error"].as_str()),
            (401, Some("invalid_grant"))
        );
        // A browser would open a dialog for `Basic`.
        assert!(response.header("www-authenticate").starts_with("Bearer"), "{response:?}");
    }
    // Twenty, because the window of the limit may end in between.
    let limited = (0..20)
        .map(|_| service.try_to_log_in("alice", "guess"))
        .find(|response| response.status != 401)
        .unwrap();
    assert_eq!(limited.status, 429);
    assert!(limited.header("retry-after").parse::<u32>().unwrap() > 0);
}

#[test]
fn malformed_refresh_token_returns_invalid_grant() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let valid = service.log_in().refresh;
    for token in ["x", "a.b.c.d", &valid[1..], &format!("{valid}A")] {
        service.assert_refresh_is_rejected(token);
    }
    service.refresh(&valid);
}

#[test]
fn page_routes_use_the_cookie_and_reject_other_sites() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let alice = json!({ "username": "alice", "password": "correct horse" });
    let login = service.post("/page/login", alice.clone());
    assert_eq!(login.status, 200);
    assert_eq!(login.json().get("refresh_token"), None);
    let attributes: Vec<_> = login.header("set-cookie").split("; ").collect();
    assert!(attributes[0].starts_with("__Host-refresh="), "{attributes:?}");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(attributes.contains(&attribute), "{attributes:?}");
    }
    let cookie = ("cookie", attributes[0]);
    let send = |path: &str, headers: &[(&str, &str)]| {
        tower_auth_test_support::raw::send(&service.address, "POST", path, headers, "")
    };
    let site = ("sec-fetch-site", "cross-site");
    for path in ["/page/login", "/page/token/refresh", "/page/logout", "/page/logout/all"] {
        assert_eq!(send(path, &[cookie, site]).status, 403, "{path}");
    }
    assert_eq!(send("/page/token/refresh", &[cookie]).status, 200);
    // The routes for programs do not read the cookie.
    assert_eq!(send("/token/refresh", &[cookie]).status, 400);
    assert_eq!(send("/page/logout", &[cookie]).status, 204);
    assert_eq!(send("/page/token/refresh", &[cookie]).status, 400);
}

#[test]
fn jwk_set_has_the_key_of_a_token() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let token = service.log_in().access;
    let header = tower_auth_test_support::provider::token_part(&token, 0);
    assert_eq!((&header["alg"], &header["typ"]), (&"EdDSA".into(), &"at+jwt".into()));
    let keys = get(&service.address, "/.well-known/jwks.json", &[]);
    assert_eq!(keys.status, 200);
    let keys = keys.json();
    let keys = keys["keys"].as_array().unwrap();
    assert!(keys.iter().any(|key| key["kid"] == header["kid"]), "{keys:?}");
    assert!(keys.iter().all(|key| key.get("d").is_none()), "{keys:?}");
}

#[test]
fn page_has_a_content_policy_and_no_inline_script() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let page = get(&service.address, "/", &[]);
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert_eq!(page.body.matches("<script").count(), 1);
    let script = get(&service.address, "/page.js", &[]);
    assert_eq!((script.status, script.header("content-type")), (200, "text/javascript"));
    for storage in ["localStorage", "sessionStorage", "indexedDB", "document.cookie"] {
        assert!(!script.body.contains(storage), "{storage}");
    }
}
