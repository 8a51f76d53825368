//! Client certificates (TLS), and tokens that are bound to them (RFC 8705).

pub(crate) mod certificate_auth;
mod certificate_auth_builder;
pub(crate) mod certificate_binding;
mod certificate_caller;
pub(crate) mod certificate_error;
mod certificate_fault;
mod certificate_header;
mod certificate_name;
mod client_cert;
pub(crate) mod client_certificate;
mod envoy_xfcc;
mod escaped_pem;
mod parsed_certificate;
pub(crate) mod peer_certificate;
mod spiffe_id;
mod subject_names;
#[cfg(test)]
mod test_certificate;

pub use self::{
    certificate_auth::CertificateAuth, certificate_auth_builder::CertificateAuthBuilder,
    certificate_binding::CertificateBinding, certificate_name::CertificateName,
    client_certificate::ClientCertificate, peer_certificate::PeerCertificate,
};
