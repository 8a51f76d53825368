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
/// (RFC 8705 §6.2).
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
        let certificate = match evidence.map(Evidence::into_peer_certificate) {
            Some(Ok(Some(certificate))) => certificate,
            Some(Err(rejection)) => return Confirmation::ready(Err(rejection)),
            _ => return Confirmation::ready(Err(invalid("the client has no certificate"))),
        };
        // A hash is not a secret, so the time of the comparison does not matter.
        let thumbprint = certificate.thumbprint();
        if cnf.is_only(Self::MEMBER, thumbprint) {
            return Confirmation::ready(Ok(()));
        }
        Confirmation::ready(match cnf.members::<Members<'_>>() {
            Ok(members) if *members.thumbprint == *thumbprint => Ok(()),
            Ok(_) => Err(invalid("the token is bound to another certificate")),
            Err(_) => Err(invalid("`x5t#S256` is not a string")),
        })
    }

    fn members(&self) -> &[&str] {
        &[Self::MEMBER]
    }

    fn conceal(&self, head: &mut Parts) {
        self.certificate.conceal(head);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use serde_json::json;

    use super::*;
    use crate::mtls::{
        peer_certificate::PeerCertificate,
        vectors::{RFC_8705_THUMBPRINT, rfc_8705},
    };

    fn confirm(cnf: &serde_json::Value, certificate: Option<&[u8]>) -> Result<(), Rejection> {
        let binding = CertificateBinding::new(ClientCertificate::connection());
        let mut request = Request::new(());
        if let Some(der) = certificate {
            request.extensions_mut().insert(PeerCertificate::from(der));
        }
        let evidence = binding.evidence(&request.into_parts().0);
        assert_eq!(evidence.is_some(), certificate.is_some());
        let confirmation = binding.confirm(&Cnf::new(cnf).unwrap(), evidence, "token");
        confirmation.into_ready().unwrap().into_result()
    }

    #[test]
    fn token_and_certificate_of_rfc_8705_are_confirmed() {
        let cnf = json!({ "x5t#S256": RFC_8705_THUMBPRINT });
        assert!(confirm(&cnf, Some(&rfc_8705())).is_ok());
        let with_others = json!({ "jwk": {}, "x5t#S256": RFC_8705_THUMBPRINT });
        assert!(confirm(&with_others, Some(&rfc_8705())).is_ok());

        let mut other = rfc_8705();
        other.push(0);
        for certificate in [None, Some(&other[..]), Some(&rfc_8705()[1..]), Some(&[])] {
            let rejection = confirm(&cnf, certificate).unwrap_err();
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        }
    }

    #[test]
    fn member_that_is_not_exactly_the_thumbprint_is_rejected() {
        let thumbprint = RFC_8705_THUMBPRINT;
        for member in [
            json!(""),
            json!(thumbprint[..42]),
            json!(format!("{thumbprint}=")),
            json!(format!("{thumbprint}A")),
            json!(format!(" {thumbprint}")),
            json!(thumbprint.to_lowercase()),
            // The last two bits are not part of the hash.
            json!(thumbprint.replace("5v0", "5v1")),
            json!(thumbprint.replace('A', "B")),
            json!([thumbprint]),
            json!({ "x5t#S256": thumbprint }),
            json!(null),
            json!(1),
        ] {
            let rejection = confirm(&json!({ "x5t#S256": member }), Some(&rfc_8705())).unwrap_err();
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{member}");
        }
        for name in ["x5t", "x5t#s256", "jkt"] {
            assert!(confirm(&json!({ name: thumbprint }), Some(&rfc_8705())).is_err(), "{name}");
        }
    }

    #[test]
    fn thumbprint_is_compared_as_json_defines_it() {
        let escaped = RFC_8705_THUMBPRINT.replace('A', "\\u0041");
        for (member, is_confirmed) in [
            (format!(r#"{{ "x5t#S256" : "{RFC_8705_THUMBPRINT}" }}"#), true),
            (format!(r#"{{"x5t#S256":"{escaped}"}}"#), true),
            (format!(r#"{{"x5t\u0023S256":"{RFC_8705_THUMBPRINT}"}}"#), true),
            (format!(r#"{{"x5t#S256":"\u0042{RFC_8705_THUMBPRINT}"}}"#), false),
        ] {
            let binding = CertificateBinding::new(ClientCertificate::connection());
            let mut request = Request::new(());
            request.extensions_mut().insert(PeerCertificate::from(rfc_8705()));
            let evidence = binding.evidence(&request.into_parts().0);
            let confirmation = binding.confirm(&Cnf(member.as_str().into()), evidence, "token");
            let result = confirmation.into_ready().unwrap().into_result();
            assert_eq!(result.is_ok(), is_confirmed, "{member}");
        }
    }

    /// For a binding that wraps this one.
    #[test]
    fn certificate_that_another_binding_set_is_confirmed() {
        let binding = CertificateBinding::new(ClientCertificate::connection());
        let head = Request::new(()).into_parts().0;
        let cnf = Cnf::new(&json!({ "x5t#S256": RFC_8705_THUMBPRINT })).unwrap();
        for (der, is_confirmed) in [(rfc_8705(), true), (vec![], false)] {
            let evidence = Evidence::of_request(&head).with_certificate(der);
            let confirmation = binding.confirm(&cnf, Some(evidence), "token");
            let result = confirmation.into_ready().unwrap().into_result();
            assert_eq!(result.is_ok(), is_confirmed);
        }
    }
}
