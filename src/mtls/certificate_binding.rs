use std::borrow::Cow;

use http::request::Parts;
use serde::Deserialize;

use super::client_certificate::ClientCertificate;
use crate::{
    binding::{
        binding::{Binding, Confirmation},
        cnf::Cnf,
        evidence::Evidence,
    },
    rejection::{Rejection, RejectionKind},
};

/// Confirms tokens that are bound to a client certificate (RFC 8705 §3).
///
/// The member `x5t#S256` of `cnf` must be the [thumbprint](super::PeerCertificate::thumbprint) of
/// the certificate of the request. Otherwise, the token is rejected with 401 `invalid_token`.
///
/// ```
/// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
/// use tower_auth::mtls::{CertificateBinding, ClientCertificate};
///
/// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
/// JwtAuth::builder(keys)
///     .issuer("https://id.example/")
///     .audience("https://api.example")
///     .binding(CertificateBinding::new(ClientCertificate::connection()))
///     .build()
/// # }
/// ```
///
/// # Security
///
/// A stolen token is of no use without the private key of the certificate. The certificate itself
/// is not checked: it need not have a valid chain, because the issuer has bound the token to it
/// (RFC 8705 §6.1).
#[derive(Clone, Debug)]
pub struct CertificateBinding {
    certificate: ClientCertificate,
}

impl CertificateBinding {
    const MEMBER: &'static str = "x5t#S256";

    /// Creates a binding to the certificates of a source.
    #[must_use]
    pub fn new(certificate: ClientCertificate) -> Self {
        Self { certificate }
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, rename = "x5t#S256")]
    thumbprint: Cow<'a, str>,
}

impl Binding for CertificateBinding {
    fn evidence(&self, head: &Parts) -> Option<Evidence> {
        match self.certificate.find(head) {
            Ok(certificate) => Some(Evidence::of_request(head).with_peer_certificate(certificate?)),
            Err(rejection) => Some(Evidence::of_request(head).with_rejection(rejection)),
        }
    }

    fn confirm(&self, cnf: &Cnf, evidence: Option<Evidence>, _token: &str) -> Confirmation {
        let invalid =
            |reason: &str| Rejection::new(RejectionKind::InvalidCredentials).because(reason);
        let Some(evidence) = evidence else {
            return Confirmation::ready(Err(invalid("the client has no certificate")));
        };
        Confirmation::ready(
            match (evidence.into_peer_certificate(), cnf.members::<Members<'_>>()) {
                (Ok(Some(certificate)), Ok(members)) => {
                    // A hash is not a secret, so the time of the comparison does not matter.
                    match *members.thumbprint == *certificate.thumbprint() {
                        true => Ok(()),
                        false => Err(invalid("the token is bound to another certificate")),
                    }
                }
                (Err(rejection), _) => Err(rejection),
                _ => Err(invalid("`x5t#S256` is not a thumbprint")),
            },
        )
    }

    fn members(&self) -> &[&str] {
        &[Self::MEMBER]
    }

    fn conceal(&self, head: &mut Parts) {
        self.certificate.conceal(head);
    }
}
