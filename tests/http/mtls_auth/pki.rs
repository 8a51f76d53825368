//! A certificate authority, and the certificates that it issues.

use std::{fs, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tower_auth::mtls::PeerCertificate;
use tower_auth_test_support::openssl::OpenSsl;

pub struct Pki {
    openssl: OpenSsl,
    pub ca: String,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Pki {
    /// Returns `None` and reports that the test is skipped if openssl is not installed.
    pub fn new() -> Option<Self> {
        let openssl = OpenSsl::find()?;
        openssl.generate("ca.key", "EC -pkeyopt ec_paramgen_curve:P-256");
        let ca = openssl.text("req -x509 -new -key ca.key -subj /CN=ca -days 2");
        fs::write(openssl.path("ca.pem"), &ca).unwrap();
        Some(Self { openssl, ca })
    }

    /// Issues a certificate with this common name and these lines of an extension file.
    pub fn issue(&self, name: &str, extensions: &[&str]) -> Issued {
        let Self { openssl, .. } = self;
        openssl.generate("key.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
        openssl.run(&format!("req -new -key key.pem -subj /CN={name} -out request.pem"));
        fs::write(openssl.path("extensions"), extensions.join("\n")).unwrap();
        let certificate = openssl.text(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile extensions",
        );
        let key = fs::read_to_string(openssl.path("key.pem")).unwrap();
        Issued { certificate, key }
    }

    /// Issues the certificate of a client with these subject alternative names.
    pub fn client(&self, names: &str) -> Issued {
        let names = format!("subjectAltName={names}");
        self.issue("common.example", &["extendedKeyUsage=clientAuth", &names])
    }

    pub fn server(&self) -> Issued {
        self.issue("server", &["subjectAltName=DNS:localhost,IP:127.0.0.1"])
    }

    /// Returns a configuration that accepts clients without a certificate and those of this
    /// authority.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let server = self.server();
        let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl Issued {
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap().to_vec()
    }

    pub fn peer(&self) -> PeerCertificate {
        PeerCertificate::from_der(self.der())
    }
}
