use std::{fmt, net::IpAddr};

use http::{Method, Uri, request::Parts};

use super::escaped::Escaped;
use crate::transport::forwarded::Forwarded;

/// The method, the path, the route and the client address of a request. Headers and the query are
/// left out, because they may contain secrets.
///
/// The route and the address are determined when an observer asks for them.
#[derive(Clone, Copy)]
pub struct RequestSummary<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Head(&'a Parts, Option<&'a Forwarded>),
    Kept(KeptRequest<'a>),
}

/// What a layer has kept of a request that it has passed on.
#[derive(Clone, Copy)]
pub(crate) struct KeptRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) route: Option<&'a str>,
    pub(crate) client_address: Option<IpAddr>,
}

impl<'a> RequestSummary<'a> {
    #[inline]
    pub(crate) fn of(head: &'a Parts, forwarded: Option<&'a Forwarded>) -> Self {
        Self(Source::Head(head, forwarded))
    }

    pub(crate) fn kept(request: KeptRequest<'a>) -> Self {
        Self(Source::Kept(request))
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        match self.0 {
            Source::Head(head, _) => &head.method,
            Source::Kept(request) => request.method,
        }
    }

    /// Returns the path, as the layer received it. A router may have removed a prefix.
    ///
    /// The client chooses it, and it can contain any UTF-8, also characters that a terminal
    /// interprets. Escape it before you log it. The `Debug` text of this type is escaped.
    #[must_use]
    pub fn path(&self) -> &'a str {
        match self.0 {
            Source::Head(head, _) => head.uri.path(),
            Source::Kept(request) => request.uri.path(),
        }
    }

    /// Returns the route that axum has matched, such as `/users/{id}`.
    ///
    /// It is the whole route, also in a nested router. It is not known for a fallback, in a layer
    /// outside of the router, and without the feature `axum`. The route of a service of tonic is
    /// such as `/package.Service/{*rest}`.
    ///
    /// The set of routes is closed, unless the service adds routes while it runs, so a route can be
    /// a label of a metric. A [path](Self::path) cannot.
    #[must_use]
    pub fn route(&self) -> Option<&'a str> {
        match self.0 {
            #[cfg(feature = "axum")]
            Source::Head(head, _) => {
                let matched = head.extensions.get::<axum::extract::MatchedPath>();
                matched.map(|matched| matched.as_str())
            }
            #[cfg(not(feature = "axum"))]
            Source::Head(..) => None,
            Source::Kept(request) => request.route,
        }
    }

    /// Returns the address of the client. It is known if
    /// [`AuthenticateLayer::forwarded`](crate::AuthenticateLayer::forwarded) was called and
    /// determines it. A rejection by an [`HttpsLayer`](crate::transport::HttpsLayer) or a
    /// [`SameOriginLayer`](crate::transport::SameOriginLayer) has the address that the `Forwarded`
    /// of that layer determines.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        match self.0 {
            Source::Head(head, forwarded) => forwarded?.info(head).client_address(),
            Source::Kept(request) => request.client_address,
        }
    }
}

impl fmt::Debug for RequestSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), Escaped(self.path()))
    }
}
