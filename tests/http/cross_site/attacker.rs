//! Requests that a page of another site can cause.

use std::sync::LazyLock;

use http::request::Parts;
use proptest::{prelude::*, sample::select};
use tower_auth::{
    Authenticator, JwtAuth, RejectionKind, credentials::TokenLocation, transport::Forwarded,
};
use tower_auth_test_support::api::Issuer;

use super::{basic_header, head, rejection, staff};

/// How a page makes the browser send a request with the credentials of the user.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// A form, or `fetch` with `credentials: "include"` and without a preflight.
    Post,
    /// A `WebSocket`, over HTTP/1 or HTTP/2.
    WebSocket { is_http2: bool },
}

/// What a browser adds. All browsers send `Origin` with such a request; older ones do not send
/// `Sec-Fetch-Site`.
#[derive(Clone, Debug)]
struct Attack {
    cause: Cause,
    origin: &'static str,
    sends_site: bool,
    accept: &'static str,
    content_type: &'static str,
    protocols: Option<&'static str>,
}

/// Pages of other sites, with the value of `Sec-Fetch-Site` in a request to `https://app.test`.
const PAGES: [(&str, &str); 9] = [
    ("https://evil.test", "cross-site"),
    ("https://app.test.evil.test", "cross-site"),
    ("https://sibling.app.test", "same-site"),
    ("https://app.test:8443", "same-site"),
    ("http://app.test", "cross-site"),
    ("http://app.test:443", "cross-site"),
    // A sandboxed frame, a redirect through another site, a file.
    ("null", "cross-site"),
    ("chrome-extension://aaaabbbbccccdddd", "cross-site"),
    ("https://xn--app-test.test", "cross-site"),
];

fn attacks() -> impl Strategy<Value = Attack> {
    let cause = select(vec![
        Cause::Post,
        Cause::WebSocket { is_http2: false },
        Cause::WebSocket { is_http2: true },
    ]);
    let origin = select(PAGES.map(|(origin, _)| origin).to_vec());
    // A page can choose these freely (CORS-safelisted headers).
    let accept = select(vec!["*/*", "text/html", "application/grpc", "app.test"]);
    let content_type =
        select(vec!["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]);
    let protocols = select(vec![None, Some("chat.v1"), Some("https://app.test")]);
    (cause, origin, any::<bool>(), accept, content_type, protocols).prop_map(
        |(cause, origin, sends_site, accept, content_type, protocols)| Attack {
            cause,
            origin,
            sends_site,
            accept,
            content_type,
            protocols,
        },
    )
}

impl Attack {
    fn head(&self) -> Parts {
        let (method, upgrade) = match self.cause {
            Cause::Post => ("POST", None),
            Cause::WebSocket { is_http2: false } => ("GET", Some("websocket")),
            Cause::WebSocket { is_http2: true } => ("CONNECT", None),
        };
        let site = PAGES.iter().find(|(origin, _)| *origin == self.origin).unwrap().1;
        let mut lines = vec![("origin", self.origin), ("accept", self.accept)];
        lines.extend(upgrade.map(|protocol| ("upgrade", protocol)));
        lines.extend(self.sends_site.then_some(("sec-fetch-site", site)));
        match self.cause {
            Cause::Post => lines.push(("content-type", self.content_type)),
            Cause::WebSocket { .. } => {
                lines.extend(self.protocols.map(|value| ("sec-websocket-protocol", value)));
            }
        }
        let mut head = head(method, &lines);
        if matches!(self.cause, Cause::WebSocket { is_http2: true }) {
            head.headers.remove("host");
            head.uri = "https://app.test/".parse().unwrap();
        }
        head
    }
}

static ISSUER: LazyLock<Issuer> = LazyLock::new(Issuer::new);
static TOKENS: LazyLock<JwtAuth> = LazyLock::new(|| {
    let builder = ISSUER.builder().token_from(TokenLocation::cookie("__Host-token"));
    let builder = builder.token_from(TokenLocation::proxy_header("x-token"));
    builder
        .trusted_origin("https://admin.test")
        .forwarded(Forwarded::direct().tls())
        .build()
        .unwrap()
});
static TOKEN: LazyLock<String> = LazyLock::new(|| ISSUER.token());

#[track_caller]
fn assert_admitted_only_from_the_own_origin(authenticator: &impl Authenticator, mut head: Parts) {
    assert_eq!(rejection(authenticator, &head), Some(RejectionKind::CrossSite), "{head:?}");
    // The same request from the page itself or from a trusted page is admitted.
    for (origin, site) in [("https://app.test", "same-origin"), ("https://admin.test", "same-site")]
    {
        head.headers.insert("origin", origin.parse().unwrap());
        if head.headers.contains_key("sec-fetch-site") {
            head.headers.insert("sec-fetch-site", site.parse().unwrap());
        }
        assert_eq!(rejection(authenticator, &head), None, "{head:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn request_that_another_site_causes_is_rejected(attack in attacks()) {
        let staff = staff().trusted_origin("https://admin.test").unwrap();
        let mut head = attack.head();
        head.headers.insert("authorization", basic_header("alice", "secret").parse().unwrap());
        assert_admitted_only_from_the_own_origin(&staff, head.clone());
        head.headers.remove("authorization");
        let mut with_cookie = head.clone();
        let cookie = format!("a=b; __Host-token={}", *TOKEN);
        with_cookie.headers.insert("cookie", cookie.parse().unwrap());
        assert_admitted_only_from_the_own_origin(&*TOKENS, with_cookie);
        head.headers.insert("x-token", TOKEN.parse().unwrap());
        assert_admitted_only_from_the_own_origin(&*TOKENS, head);
    }
}
