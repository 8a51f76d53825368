//! The client's request, which the subrequest of a proxy describes in headers.

use std::{
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use axum::{
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue,
        header::{ORIGIN, SEC_WEBSOCKET_VERSION, UPGRADE},
        request::Parts,
    },
};
use tower_auth::{
    Authenticator, Challenges, ConfigError, Rejection, RejectionKind, authenticate::Authentication,
    transport::Forwarded,
};

use crate::{address::is_login, report_limit::ReportLimit};

/// The header with the method of the client's request, if the configuration does not name another.
pub(crate) const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");

/// Marks a request that has the method of the client's request.
#[derive(Clone, Copy)]
struct MethodRestored;

/// Replaces the method of the subrequest, which is GET, by that of the client's request. A
/// WebSocket handshake gets its `Upgrade` again, which proxies do not pass on.
pub(crate) async fn restore(State(method): State<HeaderName>, mut request: Request) -> Request {
    let mut lines = request.headers().get_all(method).iter();
    if let (Some(line), None) = (lines.next(), lines.next())
        && let Ok(method) = line.as_bytes().try_into()
    {
        *request.method_mut() = method;
        request.extensions_mut().insert(MethodRestored);
    }
    if request.headers().contains_key(SEC_WEBSOCKET_VERSION) {
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    request
}

/// Reads the scheme and the host of the client's request.
///
/// Only the proxy can connect, so its address does not matter.
pub(crate) fn forwarded() -> Result<Forwarded, ConfigError> {
    let proxy = Ipv4Addr::LOCALHOST;
    let proxied = Forwarded::from_proxies(proxy.to_string())?.forwarded_host();
    Ok(proxied.peer(move |_| Some(proxy.into())))
}

/// Rejects logins of browsers without the method of the client's request.
///
/// All of them would look like GET requests, which may come from another site. The absence of the
/// header is a fault in the configuration of the proxy: 500, and a line in the log once a minute.
pub(crate) struct RequireMethod<A> {
    inner: A,
    header: HeaderName,
    report: Mutex<ReportLimit>,
}

impl<A> RequireMethod<A> {
    pub(crate) fn new(inner: A, header: HeaderName) -> Self {
        Self { inner, header, report: Mutex::default() }
    }

    fn reject(&self) -> Rejection {
        let header = &self.header;
        if self.report.lock().unwrap_or_else(PoisonError::into_inner).is_due(Instant::now()) {
            tracing::error!(
                "a login of a browser was rejected because the header {header} with the method of \
                 the client's request is missing or malformed: configure the proxy to set it"
            );
        }
        let reason = format!("the header {header} has no method");
        Rejection::new(RejectionKind::Misconfigured).because(reason)
    }
}

impl<A: Authenticator> Authenticator for RequireMethod<A> {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let is_browser =
            head.headers.contains_key(ORIGIN) || head.headers.contains_key("sec-fetch-site");
        let has_method = head.extensions.get::<MethodRestored>().is_some();
        if is_browser && !has_method && is_login(head) {
            return Some(Authentication::ready(Err(self.reject())));
        }
        self.inner.authenticate(head)
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        self.inner.challenges(head)
    }

    fn conceal(&self, head: &mut Parts) {
        self.inner.conceal(head);
    }
}
