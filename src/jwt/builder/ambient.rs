use super::JwtAuthBuilder;
use crate::{one_or_many::OneOrMany, transport::forwarded::Forwarded};

/// Settings for tokens from an ambient [location](crate::credentials::TokenLocation), such as a
/// cookie.
impl JwtAuthBuilder {
    /// Sets how the scheme and the host of a request are determined. The default is
    /// [`Forwarded::direct`]. Behind a proxy that terminates TLS or changes `Host`, set
    /// [`Forwarded::from_proxies`].
    ///
    /// The cross-site check compares them with `Origin`, for browsers that do not send
    /// `Sec-Fetch-Site`.
    ///
    /// ```
    /// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
    /// use tower_auth::credentials::TokenLocation;
    /// use tower_auth::transport::Forwarded;
    ///
    /// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
    /// JwtAuth::builder(keys)
    ///     .issuer("https://issuer.example")
    ///     .audience("orders")
    ///     .token_from(TokenLocation::cookie("__Host-token"))
    ///     .forwarded(Forwarded::from_proxies("10.0.0.0/8")?)
    ///     .build()
    /// # }
    /// ```
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.cross_site.set_forwarded(forwarded);
        self
    }

    /// Accepts cookies and other ambient tokens in requests that pages of another origin cause,
    /// such as `https://admin.example`.
    ///
    /// It is compared byte for byte with `Origin`, so write it as browsers do: in lower case,
    /// without the default port and without a path. Origins of apps, such as
    /// `capacitor://localhost`, are accepted as well. Another call adds origins.
    ///
    /// [`build`](Self::build) returns an error, with the right form, if browsers do not send an
    /// origin in this form, or if
    /// [`dangerous_allow_cross_site`](Self::dangerous_allow_cross_site) was called.
    ///
    /// ```
    /// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
    /// JwtAuth::builder(keys)
    ///     .issuer("https://issuer.example")
    ///     .audience("orders")
    ///     .token_from(TokenLocation::cookie("__Host-token"))
    ///     .trusted_origin(["https://admin.example", "https://app.example:8443"])
    ///     .build()
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// Pages of this origin can do what the user can do, so trust only your own. An attacker in the
    /// network can change the pages of an `http` origin, so trust these only on loopback.
    pub fn trusted_origin<K>(mut self, origins: impl OneOrMany<str, K>) -> Self {
        self.cross_site.trust_origins(origins);
        self
    }

    /// Accepts cookies and other ambient tokens only if the request is for one of these hosts, with
    /// any method. By default, any host is accepted. Another call adds hosts.
    ///
    /// `app.example` stands for every port, and `app.example:8443` for this one. A request for
    /// another host is rejected with 403.
    ///
    /// [`build`](Self::build) returns an error if one of them is not a host, or the list is empty.
    ///
    /// ```
    /// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
    /// JwtAuth::builder(keys)
    ///     .issuer("https://issuer.example")
    ///     .audience("orders")
    ///     .token_from(TokenLocation::cookie("__Host-token"))
    ///     .hosts(["app.example", "localhost:8080"])
    ///     .build()
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// This protects against DNS rebinding: the name of an attacker's page changes to the address
    /// of this service, so that the page appears to have the origin of the service. Such a page has
    /// no cookies of the service, but the browser may ask for a password or send a client
    /// certificate.
    pub fn hosts<K>(mut self, hosts: impl OneOrMany<str, K>) -> Self {
        self.cross_site.accept_hosts(hosts);
        self
    }

    /// Accepts cookies and other ambient tokens in requests that another site causes.
    /// [`hosts`](Self::hosts) remains in effect.
    ///
    /// ```
    /// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
    /// JwtAuth::builder(keys)
    ///     .issuer("https://issuer.example")
    ///     .audience("orders")
    ///     .token_from(TokenLocation::cookie("__Host-token"))
    ///     .dangerous_allow_cross_site()
    ///     .build()
    /// # }
    /// ```
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
