//! Requests through nginx, Traefik and Caddy, configured as in README.md.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tower_auth_test_support::{raw::RawResponse, skip, token::claims};

use crate::{
    proxies::{Proxy, Site},
    readme,
};

const PASSWORD: &str = "correct horse battery staple";

fn basic(user_id: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user_id}:{password}")))
}

/// Returns the values of a header of the request that the service got.
fn received<'a>(response: &'a RawResponse, name: &str) -> Vec<&'a str> {
    assert_eq!(response.status, 200, "{response:?}");
    let prefix = format!("{name}:");
    response.body.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::trim).collect()
}

fn for_each_proxy(test: impl Fn(Site)) {
    Proxy::ALL.into_iter().filter_map(Site::start).for_each(test);
}

#[test]
fn only_authenticated_requests_reach_the_service() {
    for_each_proxy(|site| {
        let response = site.get(&[]);
        assert_eq!(response.status, 401, "{:?}", site.proxy);
        assert_eq!(
            response.header_values("www-authenticate"),
            [r#"Bearer realm="site", Basic realm="site", charset="UTF-8""#],
        );
        assert_eq!(site.get(&[("Authorization", &basic("alice", "wrong"))]).status, 401);
        assert_eq!(site.get(&[("Authorization", &basic("alice", PASSWORD))]).status, 200);
        let bearer = format!("Bearer {}", site.signer.token(&claims()));
        assert_eq!(site.get(&[("Authorization", &bearer)]).status, 200);
        // gRPC rejections are HTTP 200, which a proxy would accept. Requests must not select them.
        for grpc in ["application/grpc", "application/grpc-web"] {
            for method in ["GET", "POST"] {
                let response = site.send(method, &[("Content-Type", grpc)]);
                assert_eq!(response.status, 401, "{:?} {method} {grpc}", site.proxy);
            }
        }
    });
}

#[test]
fn guesses_with_rotating_address_headers_are_throttled() {
    for_each_proxy(|site| {
        // nginx itself responds with 500 to a 429.
        let throttled = if site.proxy == Proxy::Nginx { 500 } else { 429 };
        let mut checked = 0;
        for guess in 0..2_000_u32 {
            let [_, a, b, c] = guess.to_be_bytes();
            let address = format!("10.{a}.{b}.{c}");
            let forwarded = format!("for={address}");
            let authorization = basic("alice", &guess.to_string());
            let response = site.get(&[
                ("X-Real-IP", &address),
                ("X-Forwarded-For", &address),
                ("Forwarded", &forwarded),
                ("Authorization", &authorization),
            ]);
            match response.status {
                401 => checked += 1,
                status => assert_eq!(status, throttled, "{:?}", site.proxy),
            }
        }
        assert_eq!(checked, 10, "{:?}", site.proxy);
        // The correct password from that address is not checked either.
        let right = basic("alice", PASSWORD);
        assert_eq!(site.get(&[("Authorization", &right)]).status, throttled);
        assert_eq!(site.get_from("127.0.0.2", &[("Authorization", &right)]).status, 200);
    });
}

#[test]
fn clients_without_address_header_are_not_locked_out_together() {
    for_each_proxy(|site| {
        for client in 10..30 {
            let wrong = basic(&format!("user-{client}"), "wrong");
            let response =
                site.get_from(&format!("127.0.0.{client}"), &[("Authorization", &wrong)]);
            assert_eq!(response.status, 401, "{:?}", site.proxy);
        }
        let right = basic("alice", PASSWORD);
        assert_eq!(site.get_from("127.0.0.30", &[("Authorization", &right)]).status, 200);
    });
}

/// Without the line of README.md, nginx sends no address. This is reported, and no one can log in.
#[test]
fn login_through_a_proxy_that_sends_no_address_returns_500_and_is_logged() {
    let line = "        proxy_set_header X-Real-IP $remote_addr;\n";
    let block = readme::block("nginx");
    assert!(block.contains(line));
    let block = block.replace(line, "");
    let Some(site) = Site::start_with(Proxy::Nginx, readme::block("toml"), block) else { return };
    let right = basic("alice", PASSWORD);
    for _ in 0..3 {
        assert_eq!(site.get(&[("Authorization", &right)]).status, 500);
    }
    assert_eq!(site.get(&[("Authorization", &right), ("X-Real-IP", "unknown")]).status, 500);
    // Tokens are not throttled.
    let bearer = format!("Bearer {}", site.signer.token(&claims()));
    assert_eq!(site.get(&[("Authorization", &bearer)]).status, 200);
    let errors = site.program.wait_for_error("a login was rejected");
    assert!(errors.contains("ERROR") && errors.contains("x-real-ip"), "{errors}");
    assert_eq!(errors.matches("a login was rejected").count(), 1, "{errors}");
}

#[test]
fn service_gets_the_caller_in_encoded_headers() {
    for_each_proxy(|site| {
        let caller = |changes: Value| {
            let mut claims = claims();
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            let bearer = format!("Bearer {}", site.signer.token(&claims));
            let response = site.get(&[("Authorization", &bearer)]);
            ["x-auth-subject", "x-auth-issuer", "x-auth-scopes", "x-auth-tenant"]
                .map(|name| received(&response, name).join("|"))
        };
        let [subject, issuer, scopes, tenant] = caller(json!({ "tenant": "acme" }));
        assert_eq!((&*subject, &*issuer), ("user-1", "https://issuer.example"));
        assert_eq!((&*scopes, &*tenant), ("read write", "acme"));

        for (sub, encoded) in [
            ("a\r\nb", "a%0D%0Ab"),
            ("a\r\nX-Auth-Scopes: admin\r\n\r\n", "a%0D%0AX-Auth-Scopes:%20admin%0D%0A%0D%0A"),
            ("josé", "jos%C3%A9"),
            ("a%0D%0Ab", "a%250D%250Ab"),
            ("\0\t\u{7f} +", "%00%09%7F%20+"),
        ] {
            let [subject, _, scopes, _] = caller(json!({ "sub": sub }));
            assert_eq!(subject, encoded, "{:?} {sub:?}", site.proxy);
            assert_eq!(scopes, "read write");
        }
        for (claim, encoded) in [
            (json!("two words"), "two%20words"),
            (json!(["a", "b c", "", "é"]), "a b%20c %C3%A9"),
            (json!([1, true, null]), "1 true"),
            (json!(12_345_678_901_234_567_u64), "12345678901234567"),
            (json!(false), "false"),
            (json!(null), ""),
            (json!({ "é": "\r\n" }), r#"{"%C3%A9":"\r\n"}"#),
        ] {
            let [_, _, _, tenant] = caller(json!({ "tenant": claim }));
            assert_eq!(tenant, encoded, "{:?} {claim}", site.proxy);
        }
    });
}

#[test]
fn client_cannot_forge_the_headers_of_the_caller() {
    const NAMES: [&str; 4] = ["X-Auth-Subject", "X-Auth-Issuer", "X-Auth-Scopes", "X-Auth-Tenant"];
    for_each_proxy(|site| {
        let (password, token) = (basic("alice", PASSWORD), site.signer.token(&claims()));
        let bearer = format!("Bearer {token}");
        // Alice has no issuer, no scopes and no tenant, and the token has no tenant.
        for (authorization, expected) in [
            (&password, ["alice", "", "", ""]),
            (&bearer, ["user-1", "https://issuer.example", "read write", ""]),
        ] {
            for spelling in [str::to_owned, str::to_ascii_lowercase, str::to_ascii_uppercase] {
                let names = NAMES.map(spelling);
                let mut headers = vec![("Authorization", authorization.as_str())];
                // Twice, because a proxy could replace only the first one.
                headers.extend(names.iter().chain(&names).map(|name| (name.as_str(), "forged")));
                let response = site.get(&headers);
                for (name, expected) in NAMES.into_iter().zip(expected) {
                    let values = received(&response, &name.to_ascii_lowercase()).join("|");
                    assert_eq!(values, expected, "{:?} {name}", site.proxy);
                }
                assert!(!response.body.contains("forged"), "{:?} {response:?}", site.proxy);
            }
        }
    });
}

/// A proxy removes the headers that `Connection` lists. If it did so after it has set the headers
/// of the caller, the caller could pass for one without an issuer.
#[test]
fn client_cannot_remove_the_headers_of_the_caller() {
    for_each_proxy(|site| {
        let bearer = format!("Bearer {}", site.signer.token(&claims()));
        for options in [
            "X-Auth-Issuer",
            "close, x-auth-issuer,X-AUTH-SUBJECT",
            // A name that is left when a part of it is removed.
            "X-Auth-Auth-Issuer, X-X-Auth-Auth-Issuer, XX-Auth--Auth-Issuer",
        ] {
            let response = site.get(&[
                ("Authorization", &bearer),
                ("Connection", "x-auth-scopes"),
                ("Connection", options),
                ("X-Auth-Issuer", "forged"),
            ]);
            let values = ["x-auth-subject", "x-auth-issuer", "x-auth-scopes"]
                .map(|name| received(&response, name).join("|"));
            let expected = ["user-1", "https://issuer.example", "read write"];
            assert_eq!(values, expected, "{:?} {options}", site.proxy);
        }
    });
}

#[test]
fn preflight_reaches_the_service_and_cannot_be_forged() {
    const PREFLIGHT: [(&str, &str); 2] =
        [("Origin", "https://app.example"), ("Access-Control-Request-Method", "PUT")];
    for_each_proxy(|site| {
        let response = site.send("OPTIONS", &PREFLIGHT);
        assert_eq!(response.status, 200, "{:?}", site.proxy);
        let forged = [PREFLIGHT[0], PREFLIGHT[1], ("X-Auth-Subject", "forged")];
        assert_eq!(received(&site.send("OPTIONS", &forged), "x-auth-subject").join("|"), "");
        assert_eq!(site.send("OPTIONS", &PREFLIGHT[..1]).status, 401);
        for method in ["GET", "PUT"] {
            assert_eq!(site.send(method, &PREFLIGHT).status, 401);
            let forged = [PREFLIGHT[0], PREFLIGHT[1], ("X-Forwarded-Method", "OPTIONS")];
            assert_eq!(site.send(method, &forged).status, 401, "{:?} {method}", site.proxy);
        }
    });
}

type Headers = &'static [(&'static str, &'static str)];

/// The requests of browsers, with `alice`'s password: the method, the headers, and whether the
/// request is admitted. `OWN` stands for the origin of the site.
const BROWSER_REQUESTS: &[(&str, Headers, bool)] = &[
    ("POST", &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")], false),
    ("POST", &[("Origin", "https://evil.example")], false),
    ("POST", &[("Origin", "null")], false),
    ("DELETE", &[("Sec-Fetch-Site", "same-site")], false),
    ("POST", &[("Origin", "OWN"), ("Sec-Fetch-Site", "same-origin")], true),
    ("POST", &[("Origin", "OWN")], true),
    ("PUT", &[("Sec-Fetch-Site", "none")], true),
    ("POST", &[("Origin", "https://admin.example"), ("Sec-Fetch-Site", "cross-site")], true),
    ("POST", &[], true),
    ("GET", &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")], true),
    ("GET", &[("Sec-Fetch-Site", "cross-site"), ("X-HTTP-Method-Override", "PUT")], false),
    // WebSocket handshakes
    ("GET", &[("Origin", "https://evil.example"), ("Sec-WebSocket-Version", "13")], false),
    ("GET", &[("Origin", "OWN"), ("Sec-WebSocket-Version", "13")], true),
];

#[test]
fn cross_site_request_with_a_password_is_rejected() {
    for_each_proxy(|site| {
        let (own, password) = (format!("http://{}", site.address), basic("alice", PASSWORD));
        let bearer = format!("Bearer {}", site.signer.token(&claims()));
        for (method, headers, is_admitted) in BROWSER_REQUESTS {
            let with = |authorization| {
                let headers =
                    headers.iter().map(|(name, value)| (*name, value.replace("OWN", &own)));
                let mut headers: Vec<_> = headers.collect();
                if headers.iter().any(|(name, _)| *name == "Sec-WebSocket-Version") {
                    headers.push(("Connection", "Upgrade".to_owned()));
                    headers.push(("Upgrade", "websocket".to_owned()));
                }
                let lines = headers.iter().map(|(name, value)| (*name, value.as_str()));
                let lines: Vec<_> = lines.chain([("Authorization", authorization)]).collect();
                site.send(method, &lines).status
            };
            let expected = if *is_admitted { 200 } else { 403 };
            assert_eq!(with(&password), expected, "{:?} {method} {headers:?}", site.proxy);
            assert_eq!(with(&bearer), 200, "{:?} {method} {headers:?}", site.proxy);
        }
    });
}

#[test]
fn curl_can_post_with_a_password() {
    if Command::new("curl").arg("--version").output().is_err() {
        return skip("curl is not installed");
    }
    for_each_proxy(|site| {
        let (user, url) = (format!("alice:{PASSWORD}"), format!("http://{}/page", site.address));
        for arguments in
            [&["-d", "a=b"][..], &["-X", "PUT"], &["--http2"], &["--http2", "-d", "a=b"]]
        {
            let mut curl = Command::new("curl");
            curl.args(["-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"]);
            curl.args(["-u", &user]).args(arguments).arg(&url);
            let status = String::from_utf8(curl.output().unwrap().stdout).unwrap();
            assert_eq!(status, "200", "{:?} {arguments:?}", site.proxy);
        }
    });
}

/// Without the line of README.md, every request would look like a GET.
#[test]
fn browser_login_through_a_proxy_that_sends_no_method_returns_500_and_is_logged() {
    let line = "        proxy_set_header X-Forwarded-Method $request_method;\n";
    let block = readme::block("nginx");
    assert!(block.contains(line));
    let block = block.replace(line, "");
    let Some(site) = Site::start_with(Proxy::Nginx, readme::block("toml"), block) else { return };
    let right = ("Authorization", basic("alice", PASSWORD));
    let right = (right.0, right.1.as_str());
    let own = format!("http://{}", site.address);
    for browser in [("Origin", own.as_str()), ("Sec-Fetch-Site", "cross-site")] {
        for method in ["GET", "POST"] {
            assert_eq!(site.send(method, &[right, browser]).status, 500);
        }
    }
    let twice =
        [right, ("Origin", &own), ("X-Forwarded-Method", "GET"), ("X-Forwarded-Method", "GET")];
    assert_eq!(site.send("POST", &twice).status, 500);
    assert_eq!(site.send("POST", &[right]).status, 200);
    let errors = site.program.wait_for_error("a login of a browser was rejected");
    assert!(errors.contains("ERROR") && errors.contains("x-forwarded-method"), "{errors}");
    assert_eq!(errors.matches("a login of a browser").count(), 1, "{errors}");
}

#[test]
fn curl_finds_the_basic_challenge_through_nginx() {
    if Command::new("curl").arg("--version").output().is_err() {
        return skip("curl is not installed");
    }
    let status = |config: String| {
        let site = Site::start_with(Proxy::Nginx, config, readme::block("nginx"))?;
        let user = format!("alice:{PASSWORD}");
        let arguments = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--anyauth", "-u", &user];
        let url = format!("http://{}/page", site.address);
        let output = Command::new("curl").args(arguments).arg(url).output().unwrap();
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let config = readme::block("toml");
    let Some(one_line) = status(config.clone()) else { return };
    assert_eq!(one_line, "200");
    // nginx forwards only the first of two lines.
    let lines = config.replace("realm = \"site\"\n", "realm = \"site\"\nchallenges = \"lines\"\n");
    assert_eq!(status(lines).unwrap(), "401");
}
