use std::{fmt, sync::Arc};

use http::request::Parts;
use tower_layer::Layer;

use super::{
    admit::{Admit, Checked, HeadCheck, Shared},
    forwarded::Forwarded,
};
use crate::{
    config_error::ConfigError,
    credentials::cross_site::CrossSite,
    observe::{Observe, observer::Observer},
    one_or_many::OneOrMany,
    respond::Inherit,
};

/// Rejects requests that another site may have caused, for routes without credentials, such as a
/// login form.
///
/// Routes with credentials do not need it: the authenticators apply the same check to credentials
/// that a browser adds on its own. `GET`, `HEAD` and `OPTIONS` pass, unless they ask for another
/// protocol, such as WebSocket, or have a header that overrides the method. All other requests must
/// come from a page of this service, or from a client that is not a browser. A rejected request
/// gets 403 ([`CrossSite`](crate::RejectionKind::CrossSite)).
///
/// ```
/// # use axum::{Router, routing::get};
/// use tower_auth::transport::{Forwarded, SameOriginLayer};
///
/// let same_origin = SameOriginLayer::new()
///     .forwarded(Forwarded::from_proxies("10.0.0.0/8")?)
///     .hosts(["app.example"])?;
///
/// let login: Router = Router::new()
///     .route("/login", get(async || "a form").post(async || "checks the password"))
///     .layer(same_origin);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// Put it inside the CORS layer, which answers preflights.
///
/// # Security
///
/// Without it, another site can log a user in to an account of the attacker (login CSRF). The user
/// then enters data there, and the attacker reads them.
///
/// The redirect of an OpenID Connect provider to its callback comes from another site by design.
/// Do not use the layer for it: the callback checks `state`, which protects it.
///
/// `GET` must not change anything: another site can cause one, and this layer lets it pass.
#[must_use]
pub struct SameOriginLayer<R = Inherit> {
    shared: Shared<SameOriginCheck, R>,
}

/// The check of a [`SameOriginLayer`].
#[derive(Clone, Debug)]
pub struct SameOriginCheck(CrossSite);

impl SameOriginLayer {
    /// Creates a layer that compares the origin of a page with the scheme and the host of the
    /// request.
    pub fn new() -> Self {
        Self {
            shared: Shared {
                check: SameOriginCheck(CrossSite::default()),
                responder: Arc::new(Inherit::default()),
                observer: Observer::default(),
            },
        }
    }
}

impl Default for SameOriginLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> SameOriginLayer<R> {
    /// Sets how the scheme and the host of a request are determined. The default is
    /// [`Forwarded::direct`]. Behind a proxy that terminates TLS or changes `Host`, set
    /// [`Forwarded::from_proxies`].
    ///
    /// The cross-site check compares them with `Origin`, for browsers that do not send
    /// `Sec-Fetch-Site`.
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.shared.check.0.set_forwarded(forwarded);
        self
    }

    /// Accepts requests that pages of another origin cause, such as `https://admin.example`.
    ///
    /// It is compared byte for byte with `Origin`, so write it as browsers do: in lower case,
    /// without the default port and without a path. Origins of apps, such as
    /// `capacitor://localhost`, are accepted as well. Another call adds origins.
    ///
    /// # Security
    ///
    /// Pages of this origin can do what the user can do, so trust only your own. An attacker in the
    /// network can change the pages of an `http` origin, so trust these only on loopback.
    ///
    /// # Errors
    ///
    /// Returns an error, with the right form, if browsers do not send an origin in this form.
    pub fn trusted_origin<K>(
        mut self,
        origins: impl OneOrMany<str, K>,
    ) -> Result<Self, ConfigError> {
        self.shared.check.0.trust_origins(origins);
        self.shared.check.0.validate()?;
        Ok(self)
    }

    /// Accepts only requests for these hosts, with any method. By default, any host is accepted.
    /// Another call adds hosts.
    ///
    /// `app.example` stands for every port, and `app.example:8443` for this one. A request for
    /// another host is rejected with 403.
    ///
    /// # Security
    ///
    /// This protects against DNS rebinding: the name of an attacker's page changes to the address
    /// of this service, so that the page appears to have the origin of the service.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is not a host, or the list is empty.
    pub fn hosts<K>(mut self, hosts: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        self.shared.check.0.accept_hosts(hosts);
        self.shared.check.0.validate()?;
        Ok(self)
    }

    /// Sets the responder, which renders the rejections of this layer and of everything inside it.
    ///
    /// The default is [`Inherit`]: an outer layer renders them.
    pub fn responder<R2>(self, responder: R2) -> SameOriginLayer<R2> {
        let Shared { check, observer, .. } = self.shared;
        SameOriginLayer { shared: Shared { check, responder: Arc::new(responder), observer } }
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

impl<C> HeadCheck<C> for SameOriginCheck {
    fn check(&self, head: &Parts) -> Checked<C> {
        match self.0.check(head) {
            Ok(()) => Checked::Admitted { hsts: None },
            Err(rejection) => Checked::Rejected(rejection),
        }
    }

    fn forwarded(&self) -> &Forwarded {
        self.0.forwarded()
    }
}

impl<S, R> Layer<S> for SameOriginLayer<R> {
    type Service = Admit<S, SameOriginCheck, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Admit::new(inner, self.shared.clone())
    }
}

impl<R> Clone for SameOriginLayer<R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<R> fmt::Debug for SameOriginLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SameOriginLayer").field("check", &self.shared.check).finish_non_exhaustive()
    }
}
