use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, request::Parts};
use tower_layer::Layer;

use super::{
    admit::{Admit, Checked, HeadCheck, Shared, conceal_credentials},
    connection_info::ConnectionInfo,
    forwarded::Forwarded,
    https_redirect::HttpsRedirect,
};
#[cfg(feature = "jwt")]
use crate::credentials::location::TokenLocation;
use crate::{
    config_error::ConfigError,
    observe::{Observe, observer::Observer},
    one_or_many::OneOrMany,
    origin::split_port,
    path::is_plain_path,
    rejection::{Rejection, RejectionKind},
    respond::Inherit,
    url::is_loopback_host,
};

/// Rejects requests that were not sent over TLS, with 403
/// ([`HttpsRequired`](crate::RejectionKind::HttpsRequired)).
///
/// [`Forwarded`] determines whether a request was sent over TLS. Make this the outermost layer of
/// this crate, so that a plain-HTTP request reaches no authenticator:
///
/// ```
/// # use axum::{Router, routing::get};
/// use std::time::Duration;
/// use tower_auth::{
///     AuthenticateLayer, BasicAuth,
///     basic::Users,
///     transport::{Forwarded, HttpsLayer},
/// };
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// // TLS ends at a proxy in this network.
/// let https = HttpsLayer::new(Forwarded::from_proxies("10.0.0.0/8")?)
///     .redirect()
///     .redirect_hosts(["app.example"])?
///     .except(["/healthz"])?
///     .hsts(365 * DAY);
///
/// let staff = BasicAuth::new("staff", Users::new([("alice", "correct horse")])?)?;
/// let app: Router = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(AuthenticateLayer::new(staff))
///     .layer(https);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// If TLS ends in this process, use [`Forwarded::tls`].
///
/// # Security
///
/// A rejection does not undo what was sent: an attacker in the network can have read the
/// credentials of the rejected request, so replace them. [`hsts`](Self::hsts) prevents the next
/// such request of a browser. A redirect does not, because the attacker can change it. Configure
/// other clients with an https URL.
///
/// The layer is only as good as its [`Forwarded`]: a proxy that it trusts must set the headers that
/// it reads.
#[must_use]
pub struct HttpsLayer<R = Inherit> {
    shared: Shared<HttpsCheck, R>,
}

/// The check of an [`HttpsLayer`].
#[derive(Clone, Debug)]
pub struct HttpsCheck {
    forwarded: Forwarded,
    redirect: HttpsRedirect,
    exempt_paths: Vec<Box<str>>,
    hsts: Option<HeaderValue>,
    allows_loopback: bool,
}

impl HttpsLayer {
    /// Creates a layer that rejects every request that was not sent over TLS.
    pub fn new(forwarded: Forwarded) -> Self {
        let check = HttpsCheck {
            forwarded,
            redirect: HttpsRedirect::default(),
            exempt_paths: Vec::new(),
            hsts: None,
            allows_loopback: false,
        };
        let responder = Arc::new(Inherit::default());
        Self { shared: Shared { check, responder, observer: Observer::default() } }
    }
}

impl<R> HttpsLayer<R> {
    /// Redirects requests without credentials to the same URL with `https`, with 308.
    ///
    /// Only `GET` and `HEAD` are redirected, and only if the request has no cookies, no
    /// `Authorization`, no `Proxy-Authorization`, no query, no `Upgrade` and no
    /// `Sec-WebSocket-Protocol`. The client must have sent one valid host, without a port or with
    /// port 80, because the port for TLS is not known otherwise. All other requests are rejected. A
    /// redirect is not a rejection, so the responder does not render it and no event reports it.
    ///
    /// The path is the one that the layer receives. If a router or a proxy has removed a prefix, as
    /// `nest` of axum does for the layers of the inner router, the redirect lacks it.
    ///
    /// # Security
    ///
    /// A request with credentials is rejected, so that a client with a wrong URL fails instead of
    /// sending its credentials to the network each time. If your clients send credentials in other
    /// headers, name them with `token_from` (feature `jwt`).
    ///
    /// The client chooses the host of the redirect. Set [`redirect_hosts`](Self::redirect_hosts),
    /// in particular behind a proxy that passes on any host.
    pub fn redirect(mut self) -> Self {
        self.shared.check.redirect.enable();
        self
    }

    /// Redirects only requests for these hosts, such as `app.example`. By default, requests for any
    /// host are redirected. Another call adds hosts. It has no effect without
    /// [`redirect`](Self::redirect).
    ///
    /// # Errors
    ///
    /// Returns an error if there is none, or one is not a host without a port.
    pub fn redirect_hosts<K>(mut self, hosts: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        self.shared.check.redirect.add_hosts(hosts)?;
        Ok(self)
    }

    /// Regards a token at this location as credentials: a request that has it is neither
    /// [redirected](Self::redirect) nor [exempt](Self::except). Another call adds a location.
    ///
    /// Name each location of the authenticators inside, except for cookies and `Authorization`,
    /// which are always checked.
    ///
    /// ```
    /// use tower_auth::{credentials::TokenLocation, transport::{Forwarded, HttpsLayer}};
    ///
    /// let https = HttpsLayer::new(Forwarded::from_proxies("10.0.0.0/8")?)
    ///     .redirect()
    ///     .token_from(TokenLocation::header("X-Access-Token"));
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    #[cfg(feature = "jwt")]
    pub fn token_from(mut self, location: TokenLocation) -> Self {
        self.shared.check.redirect.add_location(location);
        self
    }

    /// Accepts plain HTTP for these paths, such as the health check of a load balancer. Another
    /// call adds paths.
    ///
    /// A path is compared exactly with that of the request, as the layer receives it. A request
    /// with cookies, `Authorization`, `Proxy-Authorization` or a token that `token_from` names is
    /// rejected on these paths as well.
    ///
    /// # Errors
    ///
    /// Returns an error if a path does not start with `/`, or can be written in more than one way,
    /// for example with `..` or with a percent-encoded letter.
    pub fn except<K>(mut self, paths: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        for path in paths.values() {
            let path = path.as_ref();
            if !is_plain_path(path) {
                return Err(ConfigError::invalid(format!(
                    "{path:?} cannot be exempt from https: write a path that starts with /, \
                     without a query, empty segments, dot segments or needless percent-encoding"
                )));
            }
            self.shared.check.exempt_paths.push(path.into());
        }
        Ok(self)
    }

    /// Sends `Strict-Transport-Security` (RFC 6797) with the response to each request that was sent
    /// over TLS, also if it was rejected. A header that the handler set is kept.
    ///
    /// A browser that has seen it uses only TLS for this host, on every port, until `max_age` has
    /// passed since the last response, and users cannot bypass certificate errors. Start with
    /// minutes. Once all services of the host work with TLS, use a year. Fractions of a second are
    /// dropped. `Duration::ZERO` makes browsers forget the host.
    ///
    /// It is off by default, because other services of the host may need plain HTTP. It is
    /// recommended otherwise.
    pub fn hsts(self, max_age: Duration) -> Self {
        self.send_hsts(format!("max-age={}", max_age.as_secs()))
    }

    /// Like [`hsts`](Self::hsts), but for all subdomains of the host as well.
    ///
    /// Each of them must then support TLS, including those that other teams run.
    pub fn hsts_with_subdomains(self, max_age: Duration) -> Self {
        self.send_hsts(format!("max-age={}; includeSubDomains", max_age.as_secs()))
    }

    fn send_hsts(mut self, value: String) -> Self {
        // Digits and letters are always a valid value.
        self.shared.check.hsts = HeaderValue::try_from(value).ok();
        self
    }

    /// Accepts plain HTTP if the client and the host are on this machine, for development.
    ///
    /// The client address must be a loopback address, so [`Forwarded`] must know it. The host must
    /// be `localhost`, an address in 127.0.0.0/8, or `[::1]`, with any port. The request must not
    /// have passed a proxy that says so, with `Forwarded`, `Via`, `X-Real-IP` or a header that
    /// starts with `X-Forwarded-`.
    ///
    /// ```
    /// use tower_auth::transport::{Forwarded, HttpsLayer};
    ///
    /// let mut https = HttpsLayer::new(Forwarded::direct());
    /// if cfg!(debug_assertions) {
    ///     https = https.dangerous_allow_loopback();
    /// }
    /// ```
    ///
    /// # Security
    ///
    /// Do not use it in production behind a proxy on the same machine. All connections then come
    /// from a loopback address. If the proxy adds none of these headers, any client can bypass the
    /// layer: with `Host: localhost` if the proxy passes it on, and with any host if the proxy
    /// replaces it with the address of this service, as nginx does by default.
    pub fn dangerous_allow_loopback(mut self) -> Self {
        self.shared.check.allows_loopback = true;
        self
    }

    /// Sets the responder, which renders the rejections of this layer and of everything inside it.
    /// It does not render redirects.
    ///
    /// Without one, a rejected request gets an empty body, and a gRPC request gets
    /// `PERMISSION_DENIED` (7).
    pub fn responder<R2>(self, responder: R2) -> HttpsLayer<R2> {
        let Shared { check, observer, .. } = self.shared;
        HttpsLayer { shared: Shared { check, responder: Arc::new(responder), observer } }
    }

    /// Sets the observer, which receives the events of this layer and of everything inside it, like
    /// [`AuthenticateLayer::observer`](crate::AuthenticateLayer::observer).
    ///
    /// This layer reports only rejections. Their events have the client address that its
    /// [`Forwarded`] determines.
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.shared.observer = self.shared.observer.with_observer(observer);
        self
    }
}

impl<C: Default> HeadCheck<C> for HttpsCheck {
    fn check(&self, head: &Parts) -> Checked<C> {
        let info = self.forwarded.info(head);
        if info.is_https() {
            return Checked::Admitted { hsts: self.hsts.clone() };
        }
        if self.allows_plain_http(head, &info) {
            // Browsers ignore the header over plain HTTP, where an attacker can add it
            // (RFC 6797 §7.2).
            return Checked::Admitted { hsts: None };
        }
        match self.redirect.response(head, info.host()) {
            Some(response) => Checked::Answered(response),
            None => Checked::Rejected(Rejection::new(RejectionKind::HttpsRequired).because(
                "the request was not sent over TLS, as far as Forwarded knows: call \
                 Forwarded::tls if TLS ends in this process, or Forwarded::from_proxies if it \
                 ends at a proxy",
            )),
        }
    }

    fn conceal(&self, head: &mut Parts) {
        conceal_credentials(head);
        self.redirect.conceal(head);
    }

    fn forwarded(&self) -> &Forwarded {
        &self.forwarded
    }
}

impl HttpsCheck {
    fn allows_plain_http(&self, head: &Parts, info: &ConnectionInfo<'_>) -> bool {
        let is_exempt = |path: &str| self.exempt_paths.iter().any(|exempt| &**exempt == path);
        (is_exempt(head.uri.path()) && !self.redirect.has_credentials(head))
            || (self.allows_loopback && is_local(head, info))
    }
}

/// Returns whether the client is on this machine and uses a host name of this machine.
fn is_local(head: &Parts, info: &ConnectionInfo<'_>) -> bool {
    let is_from_proxy = |name: &HeaderName| match name.as_str() {
        "forwarded" | "via" | "x-real-ip" => true,
        other => other.starts_with("x-forwarded-"),
    };
    info.host().and_then(split_port).is_some_and(|(host, _)| is_loopback_host(host))
        && info.client_address().is_some_and(|address| address.is_loopback())
        && !head.headers.keys().any(is_from_proxy)
}

impl<S, R> Layer<S> for HttpsLayer<R> {
    type Service = Admit<S, HttpsCheck, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Admit::new(inner, self.shared.clone())
    }
}

impl<R> Clone for HttpsLayer<R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<R> fmt::Debug for HttpsLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsLayer").field("check", &self.shared.check).finish_non_exhaustive()
    }
}
