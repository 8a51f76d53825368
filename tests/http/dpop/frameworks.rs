//! HTTP/2, gRPC and a real proxy.

use std::net::SocketAddr;

use axum::{Router, routing::any};
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{
    Code, Request,
    metadata::{Ascii, MetadataValue},
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower_auth::{
    AuthenticateLayer, JwtAuth, dpop::DpopBinding, store::SealedStore, test_util::TokenMint,
    transport::Forwarded,
};
use tower_auth_test_support::{
    api::{Api, Reply, greet},
    dpop::DpopClient,
    nginx::Nginx,
    token::now,
};

struct Setup {
    tokens: JwtAuth,
    token: String,
    client: DpopClient,
}

impl Setup {
    fn new(forwarded: Forwarded) -> Self {
        let mint = TokenMint::new("https://issuer.example");
        let binding = DpopBinding::builder(SealedStore::memory()).forwarded(forwarded);
        let tokens = mint.validator("orders").binding(binding.build().unwrap()).build().unwrap();
        let client = DpopClient::new("ES256");
        let cnf = json!({ "jkt": client.thumbprint() });
        let token = mint.token("alice").audience("orders").claim("cnf", cnf).sign();
        Self { tokens, token, client }
    }

    fn proof(&self, method: &str, url: &str) -> String {
        self.client.proof(method, url, &self.token, now())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_request_is_accepted() {
    let setup = Setup::new(Forwarded::direct());
    let app =
        Router::new().fallback(any(greet)).layer(AuthenticateLayer::new(setup.tokens.clone()));
    let address = Api::serve(app).await.address;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{address}/a?b=c");
    for (htu, status) in [(&*url, 200), ("http://other.example/a", 401)] {
        let response = client
            .get(&url)
            .header("authorization", format!("DPoP {}", setup.token))
            .header("dpop", setup.proof("GET", htu))
            .send()
            .await
            .unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(response.status(), status, "{htu}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_call_is_accepted_with_a_proof_for_post() {
    let setup = Setup::new(Forwarded::direct());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (_, health) = health_reporter();
    let server = Server::builder()
        .layer(AuthenticateLayer::new(setup.tokens.clone()))
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let url = format!("http://{address}/grpc.health.v1.Health/Check");
    let call = async |proof: &str| {
        let mut request = Request::new(HealthCheckRequest::default());
        let metadata = request.metadata_mut();
        let value = |text: &str| text.parse::<MetadataValue<Ascii>>().unwrap();
        metadata.insert("authorization", value(&format!("DPoP {}", setup.token)));
        metadata.insert("dpop", value(proof));
        HealthClient::new(channel.clone()).check(request).await.map(drop)
    };
    let proof = setup.proof("POST", &url);
    call(&proof).await.unwrap();
    for rejected in [&*proof, &setup.proof("GET", &url), &setup.proof("POST", "http://x/y")] {
        assert_eq!(call(rejected).await.unwrap_err().code(), Code::Unauthenticated);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_through_nginx_is_accepted_with_the_url_of_the_client() {
    let setup = Setup::new(Forwarded::from_proxies("127.0.0.1").unwrap());
    let app =
        Router::new().fallback(any(greet)).layer(AuthenticateLayer::new(setup.tokens.clone()));
    let upstream = Api::serve_with_addresses(app).await.address;
    let Some(nginx) = Nginx::start(&format!(
        "server {{
             listen ADDRESS;
             proxy_set_header Host $http_host;
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
             proxy_set_header X-Forwarded-Proto https; # as if nginx terminated TLS
             location / {{ proxy_pass http://{upstream}; }}
         }}"
    )) else {
        return;
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (host, status) in [
        (format!("https://{}", nginx.address), 200),
        (format!("http://{}", nginx.address), 401),
        (format!("https://{upstream}"), 401),
    ] {
        let request = client
            .get(format!("http://{}/a/b", nginx.address))
            .header("authorization", format!("DPoP {}", setup.token))
            .header("dpop", setup.proof("GET", &format!("{host}/a/b")));
        assert_eq!(Reply::to(request).await.status, status, "{host}");
    }
}
