//! The address of the client, which the throttle counts, in a header that the proxy sets.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use axum::http::{HeaderName, request::Parts};
use tower_auth::{
    Authenticator, Challenges, Rejection, RejectionKind, Scheme, authenticate::Authentication,
    credentials::Credentials,
};

use crate::report_limit::ReportLimit;

/// Rejects logins without the address of the client.
///
/// The proxy adds the header to every request, so its absence is a fault in the configuration of
/// the proxy, or the request did not pass the proxy. If these logins shared one limit, ten
/// wrong passwords would lock out everyone. With a limit each, nothing would limit guessing.
/// They therefore get 500, and a line in the log once a minute.
pub(crate) struct RequireAddress<A> {
    inner: A,
    header: HeaderName,
    report: Mutex<ReportLimit>,
}

impl<A> RequireAddress<A> {
    pub(crate) fn new(inner: A, header: HeaderName) -> Self {
        Self { inner, header, report: Mutex::default() }
    }

    fn reject(&self) -> Rejection {
        let header = &self.header;
        if self.report.lock().unwrap_or_else(PoisonError::into_inner).is_due(Instant::now()) {
            tracing::error!(
                "a login was rejected because the header {header} with the client's address is \
                 missing or malformed: configure the proxy to set it, and let only the proxy \
                 connect to forward_auth"
            );
        }
        let reason = format!("the header {header} has no address");
        Rejection::new(RejectionKind::Misconfigured).because(reason)
    }
}

impl<A: Authenticator> Authenticator for RequireAddress<A> {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        if is_login(head) && client_address(head, &self.header).is_none() {
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

/// Returns whether the request has a user id and a password.
pub(crate) fn is_login(head: &Parts) -> bool {
    let sent = Credentials::from_headers(&head.headers);
    sent.is_ok_and(|sent| sent.is_some_and(|sent| sent.is_for(Scheme::BASIC)))
}

/// Returns the last address in the header, which is the one that the nearest proxy has set or
/// appended. A client can send only those before it.
pub(crate) fn client_address(head: &Parts, header: &HeaderName) -> Option<IpAddr> {
    let line = head.headers.get_all(header).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next()?.trim().parse().ok()
}
