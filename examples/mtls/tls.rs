//! TLS that validates client certificates.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower_auth::mtls::PeerCertificate;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns an acceptor with `server.pem` and `server.key`, which trusts clients of `ca.pem`.
pub fn acceptor(folder: &Path) -> Result<TlsAcceptor, Box<dyn Error>> {
    // With an explicit provider: the default depends on the features of all dependencies.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(folder.join("ca.pem"))? {
        authorities.add(certificate?)?;
    }
    // The handshake fails if a client sends a certificate that is not valid. Without
    // `allow_unauthenticated`, it also fails for clients without a certificate, which then get no
    // 401.
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(folder.join("server.pem"))?.collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Returns `None` if the handshake fails, or takes too long.
pub async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await.ok()?.ok()
}

/// Returns the certificate of the client, which is the first of its chain.
pub fn peer_certificate(stream: &TlsStream<TcpStream>) -> Option<PeerCertificate> {
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates()?.first()?;
    Some(PeerCertificate::from_der(certificate.as_ref()))
}
