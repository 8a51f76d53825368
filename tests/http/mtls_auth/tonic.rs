//! A tonic server with TLS, and clients with certificates.

use tonic::{
    Code,
    transport::{
        Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
        server::{TcpConnectInfo, TcpIncoming, TlsConnectInfo},
    },
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower_auth::{
    AuthenticateLayer, RequireScopes,
    mtls::{CertificateAuth, CertificateName, ClientCertificate, PeerCertificate},
};

use super::pki::{Issued, Pki};

fn auth() -> CertificateAuth {
    let certificate = ClientCertificate::from_fn(|head| {
        let info = head.extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?;
        Some(PeerCertificate::from_der(info.peer_certs()?.first()?.as_ref()))
    });
    CertificateAuth::builder(certificate)
        .subject_from(CertificateName::spiffe("prod.example"))
        .principal(|caller| match caller.subject() {
            "spiffe://prod.example/prober" => {
                Some(caller.to_builder().scopes(["health:read"]).build())
            }
            "spiffe://prod.example/batch" => Some(caller),
            _ => None,
        })
        .build()
        .unwrap()
}

fn serve(pki: &Pki) -> String {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("https://{}", incoming.local_addr().unwrap());
    let Issued { certificate, key } = pki.server();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(&pki.ca))
        .client_auth_optional(true);
    let server = Server::builder()
        .tls_config(tls)
        .unwrap()
        .layer(AuthenticateLayer::new(auth()))
        .layer(RequireScopes::all(["health:read"]))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    url
}

async fn check(url: &str, pki: &Pki, issued: Option<Issued>) -> Code {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&pki.ca));
    if let Some(Issued { certificate, key }) = issued {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::new(url.to_owned()).unwrap().tls_config(tls).unwrap();
    let channel: Channel = endpoint.connect().await.unwrap();
    let result = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    result.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_get_the_status_of_their_certificate() {
    let Some(pki) = Pki::new() else { return };
    let url = serve(&pki);
    let id = |name: &str| Some(pki.client(&format!("URI:spiffe://{name}")));
    for (issued, code) in [
        (id("prod.example/prober"), Code::Ok),
        (id("prod.example/batch"), Code::PermissionDenied),
        (id("prod.example/other"), Code::Unauthenticated),
        (id("test.example/prober"), Code::Unauthenticated),
        (None, Code::Unauthenticated),
    ] {
        assert_eq!(check(&url, &pki, issued).await, code);
    }
}
