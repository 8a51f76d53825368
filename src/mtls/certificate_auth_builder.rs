use std::{fmt, sync::Arc};

use super::{
    certificate_auth::{AcceptFn, CertificateAuth, State},
    certificate_caller::CallerSettings,
    certificate_name::CertificateName,
    client_certificate::ClientCertificate,
};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    credentials::cross_site::CrossSite,
    header::{Challenge, Scheme},
    one_or_many::OneOrMany,
    principal::{Principal, principal::Presented},
    transport::forwarded::Forwarded,
};

/// Builds a [`CertificateAuth`].
#[must_use]
pub struct CertificateAuthBuilder {
    certificate: ClientCertificate,
    subject: Option<CertificateName>,
    accept: Option<Box<AcceptFn>>,
    issuer: Option<Arc<str>>,
    realm: Option<String>,
    cross_site: CrossSite,
    clock: Box<dyn Clock>,
}

impl CertificateAuthBuilder {
    pub(super) fn new(certificate: ClientCertificate) -> Self {
        Self {
            certificate,
            subject: None,
            accept: None,
            issuer: None,
            realm: None,
            cross_site: CrossSite::default(),
            clock: Box::new(SystemClock),
        }
    }

    /// Sets the name in the certificate that becomes the subject. This is required.
    pub fn subject_from(mut self, name: CertificateName) -> Self {
        self.subject = Some(name);
        self
    }

    /// Decides which callers are accepted, and changes their principals, for example to add scopes.
    ///
    /// `None` rejects the request with 401. Without this, every caller with a valid certificate is
    /// accepted, without scopes. The closure runs for each request, so a change of what it reads
    /// takes effect on open connections. It must not block. Create the changed copy with
    /// [`Principal::to_builder`].
    ///
    /// ```
    /// # use tower_auth::mtls::CertificateAuthBuilder;
    /// use std::collections::HashMap;
    /// use tower_auth::Principal;
    ///
    /// # fn f(builder: CertificateAuthBuilder) {
    /// let table = HashMap::from([
    ///     ("spiffe://prod.example/batch", vec!["orders:read"]),
    ///     ("spiffe://prod.example/shop", vec!["orders:read", "orders:write"]),
    /// ]);
    /// let builder = builder.principal(move |caller: Principal| {
    ///     let scopes = table.get(caller.subject())?;
    ///     Some(caller.to_builder().scopes(scopes).build())
    /// });
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// The closure cannot set a later [`expires_at`](Principal::expires_at).
    pub fn principal<F>(mut self, accept: F) -> Self
    where
        F: Fn(Principal) -> Option<Principal> + Send + Sync + 'static,
    {
        self.accept = Some(Box::new(accept));
        self
    }

    /// Sets the [`issuer`](Principal::issuer) of the principals. By default, they have none.
    ///
    /// It distinguishes them from callers with the same subject that another authenticator
    /// identifies. The certificate is not compared with it.
    pub fn issuer(mut self, issuer: impl Into<Arc<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the `realm` parameter of the challenge (RFC 9110 §11.5).
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if [`subject_from`](Self::subject_from) is missing, if a trust domain or an
    /// origin is malformed, if the realm contains a control character, or if the settings of the
    /// cross-site check contradict each other.
    pub fn build(self) -> Result<CertificateAuth, ConfigError> {
        let Some(subject) = self.subject else {
            return Err(ConfigError::missing(
                "subject_from is missing: set the name in the certificate that becomes the \
                 subject, such as CertificateName::Dns",
            ));
        };
        subject.validate()?;
        if self.issuer.as_deref() == Some("") {
            return Err(ConfigError::missing(
                "the issuer of the certificates is an empty string: give its name or remove the \
                 call",
            ));
        }
        self.cross_site.validate()?;
        let challenge = Challenge::new(Scheme::CERTIFICATE);
        let challenge = match &self.realm {
            Some(realm) => challenge.with_param("realm", realm)?,
            None => challenge,
        };
        let challenges = challenge.clone().into();
        let presented = Arc::new(Presented { scheme: Scheme::CERTIFICATE, challenge });
        Ok(CertificateAuth::new(State {
            certificate: self.certificate,
            settings: CallerSettings { subject, issuer: self.issuer, presented },
            accept: self.accept,
            cross_site: self.cross_site,
            challenges,
            clock: self.clock,
        }))
    }
}

/// Settings of the cross-site check. A client certificate is ambient: a browser sends it on its
/// own.
impl CertificateAuthBuilder {
    /// Sets how the scheme and the host of a request are determined. The default is
    /// [`Forwarded::direct`]. Behind a proxy that terminates TLS or changes `Host`, set
    /// [`Forwarded::from_proxies`].
    ///
    /// The cross-site check compares them with `Origin`, for browsers that do not send
    /// `Sec-Fetch-Site`. If this process terminates TLS, set
    /// [`Forwarded::tls`](crate::transport::Forwarded::tls).
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

    /// Accepts certificates only if the request is for one of these hosts. By default, any host is
    /// accepted.
    pub fn hosts<K>(mut self, hosts: impl OneOrMany<str, K>) -> Self {
        self.cross_site.accept_hosts(hosts);
        self
    }

    /// Accepts certificates in requests that another site causes.
    ///
    /// # Security
    ///
    /// Any page that a user visits can then act as that user. If no browser has a certificate that
    /// the TLS layer accepts, this is safe, and allows WebSocket clients that send no `Origin`.
    pub fn dangerous_allow_cross_site(mut self) -> Self {
        self.cross_site.allow_cross_site();
        self
    }
}

impl fmt::Debug for CertificateAuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthBuilder")
            .field("certificate", &self.certificate)
            .field("subject_from", &self.subject)
            .finish_non_exhaustive()
    }
}
