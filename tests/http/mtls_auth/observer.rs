//! What an observer learns of callers with certificates.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, routing::get};
use http::Request;
use tower::ServiceExt as _;
use tower_auth::{
    AuthenticateLayer,
    mtls::{CertificateAuth, CertificateName, ClientCertificate, PeerCertificate},
    observe::Event,
};

use super::pki::Pki;

#[tokio::test]
async fn events_have_the_scheme_certificate() {
    let Some(pki) = Pki::new() else { return };
    let schemes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&schemes);
    let auth = CertificateAuth::builder(ClientCertificate::connection())
        .subject_from(CertificateName::Dns)
        .build()
        .unwrap();
    let layer = AuthenticateLayer::new(auth).observer(move |event: &Event<'_>| {
        seen.lock().unwrap().push((event.name(), event.scheme().map(|scheme| scheme.as_str())));
    });
    let app = Router::new().route("/", get(async || "")).layer(layer);
    let valid = pki.client("DNS:a.example").peer();
    for certificate in [valid, PeerCertificate::from_der([0x30])] {
        let request = Request::get("/").extension(certificate).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap();
    }
    let certificate = Some("Certificate");
    assert_eq!(*schemes.lock().unwrap(), [("admitted", certificate), ("rejected", certificate)]);
}
