use std::{fmt, sync::Arc};

use http::request::Parts;

use super::{
    certificate_auth_builder::CertificateAuthBuilder, certificate_caller::CallerSettings,
    certificate_fault::CertificateFault, client_certificate::ClientCertificate,
    peer_certificate::PeerCertificate,
};
use crate::{
    authenticate::{Authentication, Authenticator},
    clock::Clock,
    credentials::cross_site::CrossSite,
    header::{Challenges, Scheme},
    principal::{Principal, map_principal::map_confirmed},
    rejection::{Rejection, RejectionKind},
};

/// Authenticates requests with the client certificate of the TLS connection.
///
/// A name in the certificate becomes the subject of the caller, and a closure decides which callers
/// are accepted and what their scopes are:
///
/// ```
/// use tower_auth::{
///     AuthenticateLayer, ConfigError, Principal,
///     mtls::{CertificateAuth, CertificateName, ClientCertificate},
/// };
///
/// let services = CertificateAuth::builder(ClientCertificate::connection())
///     .subject_from(CertificateName::Dns)
///     .principal(|caller: Principal| {
///         let scopes: &[&str] = match caller.subject() {
///             "batch.internal" => &["orders:read"],
///             "shop.internal" => &["orders:read", "orders:write"],
///             // 401
///             _ => return None,
///         };
///         Some(caller.to_builder().scopes(scopes).build())
///     })
///     .build()?;
/// let layer = AuthenticateLayer::new(services);
/// # Ok::<(), ConfigError>(())
/// ```
///
/// The principal expires with the certificate. [`Principal::extension`] returns its
/// [`PeerCertificate`].
///
/// A request without a certificate has no credentials: [`any_of`](crate::any_of) tries the next
/// authenticator. A certificate that does not identify a caller is rejected with 401. It is parsed
/// once for each connection, and its validity is checked for each request. Clones share the
/// configuration. [The guide to certificates][guide] describes how to configure servers and
/// proxies.
///
/// # Checks
///
/// A certificate must
///
/// - be valid DER (RFC 5280) of at most 64 KiB, without a repeated extension, and with at most 64
///   subject alternative names;
/// - have exactly one name of the type that
///   [`subject_from`](CertificateAuthBuilder::subject_from) names;
/// - be valid now: a connection can outlive it;
/// - not be that of a certificate authority;
/// - be for TLS clients (`clientAuth`), if it has an extended key usage.
///
/// # Security
///
/// **The TLS layer must validate the chain** against the certificate authorities that you trust to
/// name callers. This type reads only the certificate of the client. It does not verify signatures
/// and does not look for revocations. A public certificate authority gives a certificate to anyone.
///
/// A client certificate is an ambient credential: a browser that has one sends it with requests
/// that other sites cause. The cross-site check rejects these (403). It does not affect clients
/// that are not browsers, except for WebSockets, which need an `Origin`. See
/// [`trusted_origin`](CertificateAuthBuilder::trusted_origin).
///
/// [guide]: https://docs.rs/tower-auth/latest/tower_auth/guide/certificates/
#[derive(Clone)]
pub struct CertificateAuth(Arc<State>);

pub(super) struct State {
    pub(super) certificate: ClientCertificate,
    pub(super) settings: CallerSettings,
    pub(super) accept: Option<Box<AcceptFn>>,
    pub(super) cross_site: CrossSite,
    pub(super) challenges: Challenges,
    pub(super) clock: Box<dyn Clock>,
}

pub(super) type AcceptFn = dyn Fn(Principal) -> Option<Principal> + Send + Sync;

impl CertificateAuth {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(state))
    }

    /// Creates a builder, with the source of the certificates.
    pub fn builder(certificate: ClientCertificate) -> CertificateAuthBuilder {
        CertificateAuthBuilder::new(certificate)
    }

    /// Identifies the caller of a certificate without a request, for example for a protocol other
    /// than HTTP.
    ///
    /// The result is the same as for a request with this certificate.
    ///
    /// ```
    /// use tower_auth::mtls::{CertificateAuth, PeerCertificate};
    ///
    /// fn may_connect(services: &CertificateAuth, certificate: &PeerCertificate) -> bool {
    ///     services.verify(certificate).is_ok_and(|caller| caller.scopes().contains("stream"))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`InvalidCredentials`](RejectionKind::InvalidCredentials) if the certificate does
    /// not identify a caller.
    pub fn verify(&self, certificate: &PeerCertificate) -> Result<Principal, Rejection> {
        self.0.identify(certificate).map_err(|fault| {
            let rejection = Rejection::new(RejectionKind::InvalidCredentials).with_source(fault);
            rejection.with_scheme_challenges(&self.0.challenges)
        })
    }

    fn check(
        &self,
        found: Result<PeerCertificate, Rejection>,
        head: &Parts,
    ) -> Result<Principal, Rejection> {
        self.0.cross_site.check(head)?;
        self.verify(&found?)
    }
}

impl State {
    fn identify(&self, certificate: &PeerCertificate) -> Result<Principal, CertificateFault> {
        let caller = certificate.identify(&self.settings, self.clock.now())?;
        let Some(accept) = &self.accept else { return Ok(caller) };
        let mapped = accept(caller.clone()).ok_or(CertificateFault::UnknownCaller)?;
        Ok(map_confirmed(&|_| mapped.clone(), caller))
    }
}

impl Authenticator for CertificateAuth {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let found = self.0.certificate.find(head).transpose()?;
        let result = self.check(found, head);
        let of_certificate = |rejection: Rejection| rejection.of_scheme(Scheme::CERTIFICATE);
        Some(Authentication::ready(result.map_err(of_certificate)))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenges.clone()
    }

    fn conceal(&self, head: &mut Parts) {
        self.0.certificate.conceal(head);
    }
}

impl fmt::Debug for CertificateAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuth")
            .field("certificate", &self.0.certificate)
            .field("subject_from", &self.0.settings.subject)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "certificate_auth_tests.rs"]
mod tests;
