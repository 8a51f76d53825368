use super::builder::SessionsBuilder;
use crate::{one_or_many::OneOrMany, transport::forwarded::Forwarded};

/// Settings of the cross-site check. The cookie is ambient: a browser sends it on its own.
impl SessionsBuilder {
    /// Sets how the scheme, the host and the client address of a request are determined. The
    /// default is [`Forwarded::direct`]. Behind a proxy, set [`Forwarded::from_proxies`].
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.cross_site.set_forwarded(forwarded);
        self
    }

    /// Accepts requests that pages of another origin cause, such as `https://admin.example`.
    ///
    /// # Security
    ///
    /// Pages of this origin can do what the user can do, so trust only your own.
    pub fn trusted_origin<K>(mut self, origins: impl OneOrMany<str, K>) -> Self {
        self.cross_site.trust_origins(origins);
        self
    }

    /// Accepts sessions only if the request is for one of these hosts. By default, any host is
    /// accepted.
    pub fn hosts<K>(mut self, hosts: impl OneOrMany<str, K>) -> Self {
        self.cross_site.accept_hosts(hosts);
        self
    }

    /// Accepts sessions in requests that another site causes.
    ///
    /// # Security
    ///
    /// Any page that a user visits can then act as that user.
    pub fn dangerous_allow_cross_site(mut self) -> Self {
        self.cross_site.allow_cross_site();
        self
    }
}
