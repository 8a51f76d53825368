//! Client certificates (TLS), and tokens that are bound to them (RFC 8705).
//!
//! [`ClientCertificate`] is a source of the certificate of the client that sent a request.
//! [`CertificateAuth`] identifies callers by a name in their certificate, without a token.
//! [`CertificateBinding`] accepts tokens that are bound to a certificate: a stolen token is of no
//! use without the private key.
//!
//! ```
//! # use tower_auth::{ConfigError, jwt::Keys};
//! use tower_auth::{
//!     AuthenticateLayer, JwtAuth,
//!     mtls::{CertificateBinding, ClientCertificate},
//! };
//!
//! # fn f(keys: Keys) -> Result<(), ConfigError> {
//! let tokens = JwtAuth::builder(keys)
//!     .issuer("https://id.example/")
//!     .audience("https://api.example")
//!     .binding(CertificateBinding::new(ClientCertificate::connection()))
//!     .build()?;
//! let layer = AuthenticateLayer::new(tokens);
//! # Ok(()) }
//! ```
//!
//! By default, the issuer decides which of its tokens are bound.
//! [`require_binding`](crate::jwt::JwtAuthBuilder::require_binding) rejects all others.
//!
//! # Servers
//!
//! The TLS layer requests the certificate and validates its chain. This crate does neither.
//!
//! | TLS ends at | source | validates certificates |
//! | --- | --- | --- |
//! | tonic | [`from_fn`], [below](#tonic) | `client_ca_root` |
//! | axum-server 0.9 or later | [`from_fn`], [below](#axum-server) | `WebPkiClientVerifier` |
//! | tokio-rustls | [`connection`], [below](#tokio-rustls) | `WebPkiClientVerifier` |
//! | nginx | [`escaped_pem_header`] | `ssl_verify_client on` |
//! | Envoy | [`envoy_xfcc`] | `require_client_certificate: true` |
//! | HAProxy | [`client_cert_header`] (RFC 9440) | `verify required` |
//! | Caddy | [`client_cert_header`] (RFC 9440) | `mode require_and_verify` |
//! | AWS ALB | [`escaped_pem_header`]: `x-amzn-mtls-clientcert-leaf` | mode `verify` |
//!
//! [`from_fn`]: ClientCertificate::from_fn
//! [`connection`]: ClientCertificate::connection
//! [`escaped_pem_header`]: ClientCertificate::escaped_pem_header
//! [`envoy_xfcc`]: ClientCertificate::envoy_xfcc
//! [`client_cert_header`]: ClientCertificate::client_cert_header
//!
//! ## tonic
//!
//! ```
//! # // A stand-in for tonic with TLS, which is not a dependency.
//! # mod tonic { pub mod transport { pub mod server {
//! #     pub type Certificates = std::sync::Arc<Vec<Vec<u8>>>;
//! #     #[derive(Clone)]
//! #     pub struct TcpConnectInfo;
//! #     #[derive(Clone)]
//! #     pub struct TlsConnectInfo<T>(pub Option<Certificates>, pub T);
//! #     impl<T> TlsConnectInfo<T> {
//! #         pub fn peer_certs(&self) -> Option<Certificates> { self.0.clone() }
//! #     }
//! # } } }
//! use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
//! use tower_auth::mtls::ClientCertificate;
//!
//! let source = ClientCertificate::from_fn(|head| {
//!     let info = head.extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?;
//!     Some(info.peer_certs()?.first()?.to_vec())
//! });
//! # let info = TlsConnectInfo(Some(vec![b"der".to_vec()].into()), TcpConnectInfo);
//! # let head = http::Request::builder().extension(info).body(()).unwrap().into_parts().0;
//! # assert_eq!(source.find(&head).unwrap().unwrap().der(), b"der");
//! ```
//!
//! ## axum-server
//!
//! ```
//! # // A stand-in for axum-server with TLS, which is not a dependency.
//! # mod axum_server { pub mod tls {
//! #     pub struct TlsInfo { pub peer_certificates: Vec<Vec<u8>> }
//! # } }
//! use std::sync::Arc;
//! use axum_server::tls::TlsInfo;
//! use tower_auth::mtls::ClientCertificate;
//!
//! let source = ClientCertificate::from_fn(|head| {
//!     head.extensions.get::<Arc<TlsInfo>>()?.peer_certificates.first().cloned()
//! });
//! # let info = Arc::new(TlsInfo { peer_certificates: vec![b"der".to_vec()] });
//! # let head = http::Request::builder().extension(info).body(()).unwrap().into_parts().0;
//! # assert_eq!(source.find(&head).unwrap().unwrap().der(), b"der");
//! ```
//!
//! ## tokio-rustls
//!
//! The server creates the [`PeerCertificate`] after the handshake, and adds it to each request of
//! the connection. What is computed from a certificate is then computed once for each connection,
//! and not once for each request as with a closure that returns DER.
//!
//! ```
//! # // A stand-in for tokio-rustls, which is not a dependency.
//! # mod tokio_rustls { pub mod server {
//! #     pub struct TlsStream<T>(pub T, pub Connection);
//! #     impl<T> TlsStream<T> {
//! #         pub fn get_ref(&self) -> (&T, &Connection) { (&self.0, &self.1) }
//! #     }
//! #     pub struct Connection;
//! #     impl Connection {
//! #         pub fn peer_certificates(&self) -> Option<&[Vec<u8>]> { None }
//! #     }
//! # } }
//! use http::Request;
//! use tokio_rustls::server::TlsStream;
//! use tower::{Service, ServiceExt};
//! use tower_auth::mtls::PeerCertificate;
//!
//! /// Wraps the service of one connection.
//! fn with_certificate<T, S, B>(
//!     stream: &TlsStream<T>,
//!     service: S,
//! ) -> impl Service<Request<B>, Response = S::Response, Error = S::Error>
//! where
//!     S: Service<Request<B>>,
//! {
//!     let (_, connection) = stream.get_ref();
//!     // The first certificate is that of the client.
//!     let sent = connection.peer_certificates().and_then(<[_]>::first);
//!     let certificate = sent.map(|der| PeerCertificate::from_der(der.to_vec()));
//!     service.map_request(move |mut request: Request<B>| {
//!         if let Some(certificate) = &certificate {
//!             request.extensions_mut().insert(certificate.clone());
//!         }
//!         request
//!     })
//! }
//! ```
//!
//! ## Proxies
//!
//! nginx:
//!
//! ```nginx
//! ssl_client_certificate /etc/nginx/clients.pem; # the CA of the clients
//! ssl_verify_client on; # `optional` if some clients have none; never `optional_no_ca`
//! proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
//! ```
//!
//! A `location` with a `proxy_set_header` of its own does not inherit the line: repeat it there.
//!
//! Envoy, in the `HttpConnectionManager`:
//!
//! ```yaml
//! forward_client_cert_details: SANITIZE_SET
//! set_current_client_cert_details: { cert: true }
//! ```
//!
//! HAProxy, in the `frontend` with `verify required`:
//!
//! ```text
//! http-request set-header Client-Cert :%[ssl_c_der,base64]:
//! ```
//!
//! Caddy, in `reverse_proxy`. For a client without a certificate, Caddy sends the placeholder,
//! which is a malformed value:
//!
//! ```text
//! header_up Client-Cert ":{http.request.tls.client.certificate_der_base64}:"
//! ```
//!
//! # Security
//!
//! - A certificate is public. It proves something only if the TLS layer has checked, in the
//!   handshake, that the client has the private key. All TLS servers do that for the certificates
//!   that they accept.
//! - `CertificateBinding` alone is secure without a validated chain, because the issuer names the
//!   certificate in the token (RFC 8705 §6.2).
//! - `CertificateAuth` trusts the names in a certificate. Without a validated chain, a client can
//!   choose them.
//! - See [`ClientCertificate`] for what a proxy must do.

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
#[cfg(test)]
mod vectors;

pub use self::{
    certificate_auth::CertificateAuth, certificate_auth_builder::CertificateAuthBuilder,
    certificate_binding::CertificateBinding, certificate_name::CertificateName,
    client_certificate::ClientCertificate, peer_certificate::PeerCertificate,
};
