use super::JwtAuthBuilder;
use crate::{one_or_many::OneOrMany, transport::forwarded::Forwarded};

/// Settings for tokens from an ambient location, such as a cookie.
impl JwtAuthBuilder {
    /// Sets how the client address, the scheme and the host of a request are determined. Behind a
    /// proxy, this is [`Forwarded::from_proxies`]. The default is [`Forwarded::direct`].
    ///
    /// The cross-site check compares the scheme and the host with `Origin`, for browsers that do
    /// not send `Sec-Fetch-Site`.
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.cross_site.set_forwarded(forwarded);
        self
    }

    /// Accepts cookies and other ambient tokens in requests from pages of another origin, such as
    /// `https://admin.example`.
    ///
    /// Write it as browsers send it in `Origin`: in lower case, without a default port and without
    /// a path. Another call adds origins.
    pub fn trusted_origin<K>(mut self, origins: impl OneOrMany<str, K>) -> Self {
        self.cross_site.trust_origins(origins);
        self
    }

    /// Accepts cookies and other ambient tokens only if the request is for one of these hosts, such
    /// as `app.example` or `app.example:8443`. By default, any host is accepted. Another call adds
    /// hosts.
    ///
    /// # Security
    ///
    /// This protects against DNS rebinding, with which a page of an attacker appears to have the
    /// same origin as the service.
    pub fn hosts<K>(mut self, hosts: impl OneOrMany<str, K>) -> Self {
        self.cross_site.accept_hosts(hosts);
        self
    }

    /// Accepts cookies and other ambient tokens in requests that another site caused.
    ///
    /// # Security
    ///
    /// Any page that a user visits can then act as that user. The service must reject such requests
    /// itself, for example with a token in each form.
    pub fn dangerous_allow_cross_site(mut self) -> Self {
        self.cross_site.allow_cross_site();
        self
    }
}
