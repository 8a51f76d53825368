//! Client certificates (TLS), and tokens that are bound to them (RFC 8705).

pub(crate) mod certificate_binding;
pub(crate) mod certificate_error;
mod certificate_header;
mod client_cert;
pub(crate) mod client_certificate;
mod envoy_xfcc;
mod escaped_pem;
pub(crate) mod peer_certificate;

pub use self::{
    certificate_binding::CertificateBinding, client_certificate::ClientCertificate,
    peer_certificate::PeerCertificate,
};
