//! Requests that pages of other origins cause a browser to send.

use serde_json::json;
use tower_auth::RejectionKind;
use tower_auth_test_support::chromium::Chromium;

use crate::site::{ANY_SITE, BASIC, Kind, LAX, Received, Service, attacker, attacker_without_tls};

pub const ATTACKS: &str = include_str!("attacks.js");
const OWN_REQUESTS: &str = include_str!("own_requests.js");

/// The requests of `attacks.js` that would change something.
pub const UNSAFE: [&str; 9] = [
    "beacon",
    "fetch-cors",
    "fetch-no-cors",
    "form",
    "form-in-frame",
    "form-in-sandbox",
    "form-to-frame",
    "websocket",
    "xhr",
];

/// Logs in to the service and runs the attacks on a page with this URL. Returns the unsafe requests
/// that the service received.
async fn attack(chromium: &mut Chromium, service: &Service, page: &str) -> Vec<Received> {
    service.log_in(chromium);
    assert_eq!(chromium.open(page), 200);
    chromium.evaluate(ATTACKS, &*service.url);
    let mut received = service.wait_for(&[&UNSAFE[..], &["image"]].concat()).await;
    let image = received.pop().unwrap();
    assert_eq!(image.status, if image.has_credential { 200 } else { 401 });
    for request in &received {
        assert!(request.origin.is_some(), "{request:?}");
        // Chromium does not send it with a WebSocket handshake, so only `Origin` remains.
        assert_eq!(request.has_fetch_site, request.name != "websocket", "{request:?}");
    }
    received
}

/// Asserts that the browser sent the credential with each attack, and that the service rejected it.
async fn assert_rejects(chromium: &mut Chromium, service: &Service, page: &str) {
    for request in attack(chromium, service, page).await {
        assert_rejected(&request);
    }
    assert_eq!(service.take_notes(), [""; 0], "{page}");
}

fn assert_rejected(request: &Received) {
    assert!(request.has_credential, "{request:?}");
    assert_eq!(request.rejection, Some(RejectionKind::CrossSite), "{request:?}");
    assert_eq!(request.status, 403, "{request:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sibling_site_changes_nothing_although_lax_cookies_are_sent() {
    let Some(mut chromium) = Chromium::start() else { return };
    let service = Service::start(LAX).await;
    let sibling = format!("https://sibling.app.test:{}", attacker());
    for request in attack(&mut chromium, &service, &sibling).await {
        match &*request.name {
            // The opaque origin of the frame is another site.
            "form-in-sandbox" => assert_eq!(request.status, 401),
            _ => assert_rejected(&request),
        }
    }
    assert_eq!(service.take_notes(), [""; 0]);
}

/// Returns pages of all other origins, over TLS except for the last one.
fn pages() -> [String; 4] {
    let port = attacker();
    [
        format!("https://sibling.app.test:{port}"),
        format!("https://evil.test:{port}"),
        // Another port of the same host.
        format!("https://app.test:{port}"),
        format!("http://app.test:{}", attacker_without_tls()),
    ]
}

/// Runs the attacks of all pages, with and without `Sec-Fetch-Site`.
async fn assert_rejects_all_pages(kind: Kind) {
    let Some(mut chromium) = Chromium::start() else { return };
    let pages = pages();
    for has_fetch_metadata in [true, false] {
        let service = Service::start(Kind { has_fetch_metadata, ..kind }).await;
        for page in &pages {
            assert_rejects(&mut chromium, &service, page).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_change_nothing_if_cookies_are_sent_to_all_sites() {
    assert_rejects_all_pages(ANY_SITE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_change_nothing_with_cached_basic_credentials() {
    assert_rejects_all_pages(BASIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_site_has_no_lax_cookie() {
    let Some(mut chromium) = Chromium::start() else { return };
    let service = Service::start(LAX).await;
    for page in [
        format!("https://evil.test:{}", attacker()),
        format!("http://app.test:{}", attacker_without_tls()),
    ] {
        for request in attack(&mut chromium, &service, &page).await {
            assert!(!request.has_credential, "{request:?}");
            assert_eq!(request.status, 401, "{request:?}");
        }
        assert_eq!(service.take_notes(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_succeed_without_the_check() {
    let Some(mut chromium) = Chromium::start() else { return };
    let pages = pages();
    for kind in [ANY_SITE, BASIC] {
        let service = Service::start(Kind { is_protected: false, ..kind }).await;
        for page in &pages {
            for request in attack(&mut chromium, &service, page).await {
                let expected = if request.name == "websocket" { 101 } else { 201 };
                assert_eq!(request.status, expected, "{page}: {request:?}");
            }
            assert_eq!(service.take_notes(), UNSAFE, "{page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_page_is_accepted() {
    let Some(mut chromium) = Chromium::start() else { return };
    for has_fetch_metadata in [true, false] {
        for kind in [LAX, ANY_SITE, BASIC] {
            let service = Service::start(Kind { has_fetch_metadata, ..kind }).await;
            service.log_in(&mut chromium);
            let seen = chromium.evaluate(OWN_REQUESTS, ());
            assert_eq!(seen, json!([201, "added"]));
            assert_eq!(service.take_notes(), ["fetch", "form", "websocket"]);
            for request in service.wait_for(&["fetch", "form", "websocket"]).await {
                assert_eq!(request.origin.as_deref(), Some(&*service.url));
            }
        }
    }
}
