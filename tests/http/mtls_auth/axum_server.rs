//! An axum-server with TLS, and clients with certificates.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    routing::{get, post},
};
use axum_server::{tls::TlsInfo, tls_rustls::RustlsConfig};
use http::{StatusCode, header::WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, Identity, RequestBuilder};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, Authenticator, JwtAuth, Principal, RequireScopes, any_of,
    jwt::Keys,
    mtls::{
        CertificateAuth, CertificateAuthBuilder, CertificateName, ClientCertificate,
        PeerCertificate,
    },
    test_util::TestClock,
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, claims};

use super::pki::{Issued, Pki};

struct Server {
    pki: Pki,
    url: String,
}

fn builder() -> CertificateAuthBuilder {
    let certificate = ClientCertificate::from_fn(|head| {
        let info = head.extensions.get::<Arc<TlsInfo>>()?;
        Some(PeerCertificate::from_der(info.peer_certificates.first()?.as_slice()))
    });
    CertificateAuth::builder(certificate)
        .subject_from(CertificateName::Dns)
        .realm("orders")
        .principal(|caller| {
            let scopes: &[&str] = match caller.subject() {
                "batch.internal" => &["orders:read"],
                "shop.internal" => &["orders:read", "orders:write"],
                _ => return None,
            };
            Some(caller.to_builder().scopes(scopes).build())
        })
}

impl Server {
    fn start(pki: Pki, authenticator: impl Authenticator + 'static) -> Self {
        let hello = async |caller: Principal| {
            let certificate = caller.extension::<PeerCertificate>();
            let thumbprint = certificate.map_or("none", PeerCertificate::thumbprint);
            format!("{} {thumbprint}", caller.subject())
        };
        let protocol =
            async |Extension(info): Extension<Arc<TlsInfo>>| info.alpn_protocol.clone().unwrap();
        let app = Router::new()
            .route("/", get(hello))
            .route("/protocol", get(protocol))
            .route("/orders", post(hello).layer(RequireScopes::all(["orders:write"])))
            .layer(AuthenticateLayer::new(authenticator));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let config = RustlsConfig::from_config(pki.server_config());
        let server = axum_server::from_tcp_rustls(listener, config).unwrap();
        tokio::spawn(server.serve(app.into_make_service()));
        Self { pki, url }
    }

    fn client(&self, issued: Option<&Issued>) -> Client {
        let ca = Certificate::from_pem(self.pki.ca.as_bytes()).unwrap();
        let mut builder = Client::builder().no_proxy().tls_backend_rustls().tls_certs_only([ca]);
        if let Some(Issued { certificate, key }) = issued {
            let identity = Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
            builder = builder.identity(identity);
        }
        builder.build().unwrap()
    }

    fn client_with(&self, name: &str) -> Client {
        self.client(Some(&self.pki.client(&format!("DNS:{name}"))))
    }

    fn get(&self, client: &Client) -> RequestBuilder {
        client.get(format!("{}/", self.url))
    }

    fn post(&self, client: &Client) -> RequestBuilder {
        client.post(format!("{}/orders", self.url))
    }
}

/// Returns the status and the challenges.
async fn send(request: RequestBuilder) -> (StatusCode, Vec<String>) {
    let response = request.send().await.unwrap();
    let lines = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let challenges = lines.map(|line| line.to_str().unwrap().to_owned()).collect();
    (response.status(), challenges)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_identifies_the_caller() {
    let Some(pki) = Pki::new() else { return };
    let server = Server::start(pki, builder().build().unwrap());
    let issued = server.pki.client("DNS:batch.internal");
    let client = server.client(Some(&issued));
    let text = server.get(&client).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, format!("batch.internal {}", issued.peer().thumbprint()));

    let challenge = vec![r#"Certificate realm="orders""#.to_owned()];
    let unauthorized = (StatusCode::UNAUTHORIZED, challenge);
    assert_eq!(send(server.get(&server.client(None))).await, unauthorized);
    assert_eq!(send(server.get(&server.client_with("other.internal"))).await, unauthorized);
    assert_eq!(send(server.get(&server.client_with("*.internal"))).await, unauthorized);

    assert_eq!(send(server.post(&client)).await.0, StatusCode::FORBIDDEN);
    let shop = server.client_with("shop.internal");
    assert_eq!(send(server.post(&shop)).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_another_authority_never_reaches_the_service() {
    let (Some(pki), Some(other)) = (Pki::new(), Pki::new()) else { return };
    let server = Server::start(pki, builder().build().unwrap());
    let client = server.client(Some(&other.client("DNS:batch.internal")));
    // With HTTP/2, reqwest sometimes misses that the server has closed the connection, and waits.
    for _ in 0..3 {
        let request = server.get(&client).timeout(Duration::from_secs(10));
        if !request.send().await.unwrap_err().is_timeout() {
            return;
        }
    }
    panic!("the server has not closed the connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_outlives_the_certificate_is_rejected() {
    let Some(pki) = Pki::new() else { return };
    // The certificate is issued later.
    let clock = TestClock::at(SystemTime::now() + Duration::from_secs(3600));
    let auth = builder().clock(clock.clone()).build().unwrap();
    let server = Server::start(pki, auth);
    let client = server.client_with("batch.internal");
    let protocol = client.get(format!("{}/protocol", server.url)).send().await.unwrap();
    // All requests share one connection.
    assert_eq!(protocol.text().await.unwrap(), "h2");
    assert_eq!(send(server.get(&client)).await.0, StatusCode::OK);
    clock.advance(Duration::from_secs(3 * 24 * 3600));
    assert_eq!(send(server.get(&client)).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_from_other_sites_are_rejected() {
    let Some(pki) = Pki::new() else { return };
    let server = Server::start(pki, builder().build().unwrap());
    let client = server.client_with("shop.internal");
    for (name, value) in
        [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")]
    {
        let status = send(server.post(&client).header(name, value)).await.0;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(send(server.get(&client).header(name, value)).await.0, StatusCode::OK);
    }
    let same_site = server.post(&client).header("sec-fetch-site", "same-origin");
    assert_eq!(send(same_site).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_accepted_from_clients_without_a_certificate() {
    let Some(pki) = Pki::new() else { return };
    let signer = Signer::generate("ES256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let server = Server::start(pki, any_of((builder().build().unwrap(), tokens)));
    let token = signer.token(&claims());
    let anonymous = server.client(None);
    let challenges = vec![r#"Certificate realm="orders""#.to_owned(), "Bearer".to_owned()];
    assert_eq!(send(server.get(&anonymous)).await, (StatusCode::UNAUTHORIZED, challenges));
    assert_eq!(send(server.get(&anonymous).bearer_auth(&token)).await.0, StatusCode::OK);
    // The certificate is first, and is final.
    let batch = server.client_with("batch.internal");
    assert_eq!(send(server.get(&batch).bearer_auth("invalid")).await.0, StatusCode::OK);
    let other = server.client_with("other.internal");
    let status = send(server.get(&other).bearer_auth(&token)).await.0;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}
