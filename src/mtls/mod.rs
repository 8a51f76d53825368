//! Client certificates (TLS), and tokens that are bound to them (RFC 8705).

mod certificate_fault;
mod certificate_name;
mod parsed_certificate;
mod spiffe_id;
mod subject_names;
#[cfg(test)]
mod test_certificate;

pub use self::certificate_name::CertificateName;
