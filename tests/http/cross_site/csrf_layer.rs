//! A comparison with `tower_http::csrf::CsrfLayer`. Every difference has a written reason.

use std::{collections::BTreeMap, convert::Infallible};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_auth::{RejectionKind, transport::Forwarded};
use tower_http::csrf::CsrfLayer;

use super::{head, rejection, staff};

const TRUSTED: &str = "https://trusted.test";

#[derive(Clone, Copy, Debug)]
struct Case {
    method: &'static str,
    upgrade: Option<&'static str>,
    site: Option<&'static str>,
    origin: Option<&'static str>,
    host: Option<&'static str>,
    authority: Option<&'static str>,
    trusts: bool,
    is_https: bool,
}

fn cases() -> impl Iterator<Item = Case> {
    let methods = [
        ("GET", None),
        ("GET", Some("websocket")),
        ("GET", Some("h2c")),
        ("HEAD", None),
        ("OPTIONS", None),
        ("TRACE", None),
        ("POST", None),
        ("POST", Some("h2c")),
        ("PUT", None),
        ("DELETE", None),
        ("CONNECT", None),
    ];
    let sites = [
        None,
        Some("same-origin"),
        Some("same-site"),
        Some("cross-site"),
        Some("none"),
        Some("Same-Origin"),
        Some(""),
    ];
    let origins = [
        None,
        Some("https://app.test"),
        Some("http://app.test"),
        Some("https://app.test:443"),
        Some("https://APP.test"),
        Some("https://app.test:8443"),
        Some("https://app.test/"),
        Some("https://user@app.test"),
        Some("https://evil.test"),
        Some(TRUSTED),
        Some("null"),
        Some(""),
    ];
    let hosts = [
        None,
        Some("app.test"),
        Some("App.test"),
        Some("app.test:443"),
        Some("app.test:80"),
        Some("app.test:8443"),
        Some("user@app.test"),
    ];
    let authorities = [None, Some("app.test"), Some("evil.test")];
    methods.into_iter().flat_map(move |(method, upgrade)| {
        sites.into_iter().flat_map(move |site| {
            origins.into_iter().flat_map(move |origin| {
                hosts.into_iter().flat_map(move |host| {
                    authorities.into_iter().flat_map(move |authority| {
                        [(false, false), (false, true), (true, false), (true, true)].map(
                            |(trusts, is_https)| Case {
                                method,
                                upgrade,
                                site,
                                origin,
                                host,
                                authority,
                                trusts,
                                is_https,
                            },
                        )
                    })
                })
            })
        })
    })
}

impl Case {
    fn head(&self) -> Parts {
        let lines =
            [("upgrade", self.upgrade), ("sec-fetch-site", self.site), ("origin", self.origin)];
        let lines: Vec<_> =
            lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let mut head = head(self.method, &lines);
        head.headers.remove("host");
        if let Some(host) = self.host {
            head.headers.insert("host", host.parse().unwrap());
        }
        let scheme = if self.is_https { "https" } else { "http" };
        if let Some(authority) = self.authority {
            head.uri = format!("{scheme}://{authority}/").parse().unwrap();
        }
        head
    }

    /// Why the results differ. `ours` is `None` if this crate admits the request.
    fn reason(&self, ours: Option<RejectionKind>) -> Option<&'static str> {
        let is_upgrade = self.upgrade == Some("websocket") || self.method == "CONNECT";
        let is_read = matches!(self.method, "GET" | "HEAD" | "OPTIONS");
        let default_port = if self.is_https { 443 } else { 80 };
        let is_same = |host: &str| {
            let with_port = format!("app.test:{default_port}");
            let host = host.to_ascii_lowercase();
            host == "app.test" || host == with_port
        };
        match ours {
            Some(RejectionKind::MalformedRequest) => {
                let is_other = match (self.host, self.authority) {
                    (Some(host), Some("app.test")) => !is_same(host),
                    (Some(_), Some(_)) => true,
                    _ => false,
                };
                is_other.then_some("Host differs from the target: 400, CsrfLayer ignores Host")
            }
            None if self.method == "TRACE" => {
                Some("TRACE is safe (RFC 9110), and browsers cannot send it")
            }
            None => {
                let (scheme, origin_host) = self.origin?.split_once("://")?;
                let is_own = (scheme == "https") == self.is_https && is_same(origin_host);
                let is_own = is_own && self.authority.or(self.host).is_some_and(is_same);
                is_own.then_some("default ports and the case of hosts do not matter")
            }
            Some(_) if is_read && is_upgrade => {
                Some("CsrfLayer does not check upgrades with GET, such as WebSocket")
            }
            Some(_) if is_upgrade && self.site.is_none() && self.origin.is_none() => {
                Some("an upgrade needs an Origin")
            }
            Some(_) if self.site == Some("") => {
                Some("an empty Sec-Fetch-Site is not a missing one")
            }
            Some(_) if self.origin == Some("") => Some("an empty Origin is not a missing one"),
            Some(_) if self.origin == Some("https://user@app.test") => {
                Some("an Origin with user information is never sent by a browser")
            }
            Some(_) if self.origin == Some("https://app.test/") => {
                Some("an Origin with a path is never sent by a browser")
            }
            Some(_) => {
                let scheme = self.origin?.split_once("://")?.0;
                let is_other_scheme = (scheme == "https") != self.is_https;
                is_other_scheme.then_some("the scheme of Origin differs, CsrfLayer ignores it")
            }
        }
    }
}

fn passes_csrf_layer(layer: &CsrfLayer, head: Parts) -> bool {
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let response = layer.layer(inner).oneshot(Request::from_parts(head, ()));
    response.now_or_never().unwrap().unwrap().status() == StatusCode::OK
}

#[test]
fn differences_from_csrf_layer_have_reasons() {
    let layer = |trusts: bool| match trusts {
        true => CsrfLayer::new().add_trusted_origin(TRUSTED).unwrap(),
        false => CsrfLayer::new(),
    };
    let layers = [false, true].map(layer);
    let auth = |trusts: bool, is_https: bool| {
        let forwarded = if is_https { Forwarded::direct().tls() } else { Forwarded::direct() };
        let staff = staff().forwarded(forwarded);
        if trusts { staff.trusted_origin(TRUSTED).unwrap() } else { staff }
    };
    let all = [[auth(false, false), auth(false, true)], [auth(true, false), auth(true, true)]];

    let mut reasons = BTreeMap::<_, usize>::new();
    let (mut equal, mut unexplained) = (0, Vec::new());
    for case in cases() {
        let head = case.head();
        let ours = rejection(&all[usize::from(case.trusts)][usize::from(case.is_https)], &head);
        let theirs = passes_csrf_layer(&layers[usize::from(case.trusts)], head);
        if ours.is_none() == theirs {
            equal += 1;
            continue;
        }
        match case.reason(ours) {
            Some(reason) => *reasons.entry(reason).or_default() += 1,
            None => unexplained.push((case, ours)),
        }
    }
    assert!(unexplained.is_empty(), "{} such as {:?}", unexplained.len(), unexplained[0]);
    assert!(equal > 10_000);
    assert_eq!(reasons.len(), 10, "{reasons:#?}");
}
