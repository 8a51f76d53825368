use std::{error::Error, fmt, net::IpAddr, sync::Arc};

use http::{HeaderName, request::Parts};

use super::{
    certificate_error::CertificateError,
    certificate_header::{CertificateHeader, Format},
    peer_certificate::PeerCertificate,
};
use crate::{config_error::ConfigError, one_or_many::OneOrMany, rejection::Rejection};

/// The size limit of a certificate in bytes.
pub(super) const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// A source of the certificate of a client: the TLS connection, or a header of a proxy.
///
/// ```
/// use tower_auth::mtls::ClientCertificate;
///
/// // The server inserts a `PeerCertificate` into the extensions of each request:
/// let connection = ClientCertificate::connection();
/// // Or nginx terminates TLS:
/// let proxied = ClientCertificate::escaped_pem_header("x-client-cert", "10.0.0.0/8")?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// [The module](super#servers) has the closures and configurations of common servers.
///
/// # Headers
///
/// A header is read only if the peer, which is the other end of the connection, is one of the
/// proxies. From any other peer, it is ignored: the request has no certificate. The peer is found
/// as for [`Forwarded`](crate::transport::Forwarded). The list of proxies is separate from that of
/// `Forwarded`, because a proxy that is trusted for addresses need not terminate TLS.
///
/// If a trusted proxy repeats the header, or sends a value that is unreadable or longer than
/// 128 KiB, the request is rejected with 400. An empty value stands for a client without a
/// certificate.
///
/// # Security
///
/// - **The proxy must replace the header** that a client sent, also on connections without a client
///   certificate, and on its ports without TLS.
/// - **The proxy must validate the chain**, as a server must that terminates TLS itself. For nginx,
///   this is `ssl_verify_client on`. With `optional_no_ca`, it passes on any certificate.
/// - Name only networks in which nothing but these proxies can send requests to this service.
/// - The layer removes the header of every request before it calls the service, so that a handler
///   cannot trust a forged one.
#[derive(Clone)]
#[must_use]
pub struct ClientCertificate(Source);

#[derive(Clone)]
enum Source {
    Connection,
    Function(Arc<CertificateFn>),
    Header(CertificateHeader),
}

type CertificateFn = dyn Fn(&Parts) -> Option<PeerCertificate> + Send + Sync;

impl ClientCertificate {
    /// Uses the [`PeerCertificate`] in the extensions of the request, which the server inserts.
    pub fn connection() -> Self {
        Self(Source::Connection)
    }

    /// Uses the certificate that a closure returns: a [`PeerCertificate`] or DER.
    ///
    /// [The module](super#servers) has closures for tonic and axum-server.
    ///
    /// # Security
    ///
    /// The closure must not read a header, because clients choose these.
    pub fn from_fn<F, C>(certificate: F) -> Self
    where
        F: Fn(&Parts) -> Option<C> + Send + Sync + 'static,
        C: Into<PeerCertificate>,
    {
        Self(Source::Function(Arc::new(move |head| certificate(head).map(Into::into))))
    }

    /// Reads the header `Client-Cert` (RFC 9440) of trusted proxies.
    ///
    /// The value is the DER in base64, with padding and between colons. `Client-Cert-Chain` is not
    /// read, but removed together with `Client-Cert`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network, one is not a network, or one contains all
    /// addresses.
    pub fn client_cert_header<K>(proxies: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        Self::header(HeaderName::from_static("client-cert"), Format::ClientCert, proxies)
    }

    /// Reads `Cert` in the header `X-Forwarded-Client-Cert` of trusted Envoy proxies.
    ///
    /// Only the last element counts, which the nearest proxy wrote for the client that connected to
    /// it. An element without `Cert` stands for a client without a certificate. If there are
    /// several proxies in a row, the first must use `SANITIZE_SET`, and the others `FORWARD_ONLY`,
    /// with mTLS between the proxies.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network, one is not a network, or one contains all
    /// addresses.
    ///
    /// # Security
    ///
    /// - The proxy that clients connect to must have `SANITIZE_SET` or `APPEND_FORWARD` as
    ///   `forward_client_cert_details`. With the other values, it passes on what a client sent.
    /// - Set nothing but `cert` in `set_current_client_cert_details`. Envoy does not quote the
    ///   names of a certificate, so a name with a comma would add an element.
    pub fn envoy_xfcc<K>(proxies: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        let name = HeaderName::from_static("x-forwarded-client-cert");
        Self::header(name, Format::EnvoyXfcc, proxies)
    }

    /// Reads a header of trusted proxies whose value is the percent-encoded PEM of one certificate,
    /// such as `$ssl_client_escaped_cert` of nginx.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is not a header name, there is no network, one is not a
    /// network, or one contains all addresses.
    pub fn escaped_pem_header<N, K>(
        name: N,
        proxies: impl OneOrMany<str, K>,
    ) -> Result<Self, ConfigError>
    where
        N: TryInto<HeaderName, Error: Error>,
    {
        let name = name.try_into().map_err(|error| {
            ConfigError::invalid(format!("the header of the client certificate: {error}"))
        })?;
        Self::header(name, Format::EscapedPem, proxies)
    }

    fn header<K>(
        name: HeaderName,
        format: Format,
        proxies: impl OneOrMany<str, K>,
    ) -> Result<Self, ConfigError> {
        Ok(Self(Source::Header(CertificateHeader::new(name, format, proxies)?)))
    }

    /// Reads the address of the other end of the connection with a closure.
    ///
    /// By default, it is what axum and tonic store in the extensions of a request. It has no effect
    /// on sources that are not headers. See [`Forwarded::peer`](crate::transport::Forwarded::peer)
    /// for an example.
    ///
    /// # Security
    ///
    /// The closure must not read a header, because clients choose these.
    pub fn peer<F>(mut self, address: F) -> Self
    where
        F: Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        if let Source::Header(header) = &mut self.0 {
            header.peer = Some(Arc::new(address));
        }
        self
    }

    /// Returns the certificate of the client that sent the request with this head.
    ///
    /// Returns `None` if the client has no certificate.
    ///
    /// # Errors
    ///
    /// Returns a rejection if the header of a trusted proxy is repeated or unreadable (400), or if
    /// the certificate is above 64 KiB (401).
    pub fn find(&self, head: &Parts) -> Result<Option<PeerCertificate>, Rejection> {
        let certificate = match &self.0 {
            Source::Connection => head.extensions.get::<PeerCertificate>().cloned(),
            Source::Function(certificate) => certificate(head),
            Source::Header(header) => header.find(head)?,
        };
        match certificate {
            Some(certificate) if certificate.der().len() > MAX_CERTIFICATE_BYTES => {
                Err(CertificateError::TooLarge.into())
            }
            certificate => Ok(certificate),
        }
    }

    /// Removes the header from the request, also if a trusted proxy sent it. Sources that are not
    /// headers change nothing.
    pub fn conceal(&self, head: &mut Parts) {
        if let Source::Header(header) = &self.0 {
            header.conceal(head);
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Connection => f.write_str("ClientCertificate(connection)"),
            Source::Function(_) => f.write_str("ClientCertificate(function)"),
            Source::Header(header) => f.debug_tuple("ClientCertificate").field(header).finish(),
        }
    }
}
