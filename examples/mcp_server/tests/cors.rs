//! Clients in web pages of another origin (CORS).

use std::{future::IntoFuture as _, process::Stdio, time::Duration};

use axum::{Router, response::Html, routing::get};
use tokio::{process::Command, time::timeout};
use tower_auth_test_support::{
    program::{CHROMIUM_OPTIONS, Program},
    raw::{self, RawResponse},
    skip,
    stub::StubServer,
    token::Signer,
};

const PAGE: &str = "https://app.example";
const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

/// Starts the server with an issuer. Both run until they are dropped.
fn start() -> (Program, StubServer, String) {
    let stub = StubServer::start();
    stub.publish_keys([Signer::generate("ES256", "1").jwk()]);
    let args = [&*stub.publish_metadata("/issuer"), "127.0.0.1:0"];
    let mut server = Program::start(env!("CARGO_BIN_EXE_mcp_server"), &args);
    let address = server.address();
    (server, stub, address)
}

/// Returns the items of a header that is a list, in lower case.
fn items(response: &RawResponse, name: &str) -> Vec<String> {
    let lines = response.header_values(name).join(",");
    lines.split(',').map(|item| item.trim().to_ascii_lowercase()).collect()
}

/// The requests are those that Chromium sends for `fetch`.
#[test]
fn preflight_is_answered_without_a_token_and_the_challenge_is_exposed() {
    let (_server, _stub, address) = start();
    let requested = "authorization,content-type,mcp-protocol-version";
    for method in ["POST", "GET", "DELETE"] {
        let headers = [
            ("Origin", PAGE),
            ("Access-Control-Request-Method", method),
            ("Access-Control-Request-Headers", requested),
            ("Sec-Fetch-Mode", "cors"),
        ];
        let preflight = raw::send(&address, "OPTIONS", "/mcp", &headers, "");
        assert!((200..300).contains(&preflight.status), "{preflight:?}");
        assert_eq!(preflight.header("access-control-allow-origin"), "*");
        let methods = items(&preflight, "access-control-allow-methods");
        assert!(methods.contains(&method.to_ascii_lowercase()), "{preflight:?}");
        let allowed = items(&preflight, "access-control-allow-headers");
        assert!(requested.split(',').all(|name| allowed.iter().any(|it| it == name)));
        assert_eq!(preflight.header_values("access-control-allow-credentials"), [""; 0]);
        assert_eq!(preflight.header_values("www-authenticate"), [""; 0]);
    }
    let json = ("Content-Type", "application/json");
    for (authorization, error) in [(None, ""), (Some("Bearer a.b.c"), r#", error="invalid_token""#)]
    {
        let mut headers = vec![("Origin", PAGE), json];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let response = raw::send(&address, "POST", "/mcp", &headers, "{}");
        assert_eq!(response.status, 401);
        assert_eq!(response.header("access-control-allow-origin"), "*");
        assert!(
            items(&response, "access-control-expose-headers").contains(&"www-authenticate".into())
        );
        let expected = format!(
            r#"Bearer resource_metadata="http://{address}{METADATA}", scope="notes:read"{error}"#
        );
        assert_eq!(response.header("www-authenticate"), expected);
    }
    // The page follows the challenge to the metadata.
    let metadata = raw::get(&address, METADATA, &[("Origin", PAGE)]);
    assert_eq!((metadata.status, metadata.header("access-control-allow-origin")), (200, "*"));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_another_origin_reads_the_challenge_in_a_browser() {
    let (_server, _stub, address) = start();
    let script = format!(
        "<script>
        const headers = {{ authorization: 'Bearer a.b.c', 'content-type': 'application/json',
            'mcp-protocol-version': '2025-11-25' }};
        fetch('http://{address}/mcp', {{ method: 'POST', headers, body: '{{}}' }})
            .then(r => document.title = r.status + ' ' + r.headers.get('www-authenticate'))
            .catch(error => document.title = error);
        </script>"
    );
    let app = Router::new().route("/", get(async move || Html(script)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());

    let profile = tempfile::tempdir().unwrap();
    let profile = format!("--user-data-dir={}", profile.path().display());
    let mut browser = Command::new("chromium");
    browser.args(CHROMIUM_OPTIONS).args([&profile, &page]);
    browser.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(60), browser.output()).await.expect("it hangs");
    let Ok(output) = output else { return skip("chromium is not installed") };
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("<title>401 Bearer resource_metadata="), "{page}");
    assert!(page.contains(r#"error="invalid_token"</title>"#), "{page}");
}
