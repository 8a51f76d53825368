//! The configuration of nginx in the guide to deployment.

use std::{fs, net::SocketAddr, path::Path};

use axum::{Router, extract::Request, routing::any};
use reqwest::Client;
use tower_auth::transport::Forwarded;
use tower_auth_test_support::{
    ROOT,
    api::{Api, Reply},
    nginx::Nginx,
    openssl::OpenSsl,
};

/// Responds with what the service knows about the request.
fn echo() -> Router {
    let forwarded = Forwarded::from_proxies("127.0.0.1").unwrap();
    let handler = async move |request: Request| {
        let (head, _) = request.into_parts();
        let info = forwarded.info(&head);
        let address = info.client_address().map(|address| address.to_string());
        let has_certificate = ["client-cert", "x-forwarded-client-cert"]
            .iter()
            .any(|name| head.headers.get(*name).is_some_and(|value| !value.is_empty()));
        let length = head.headers.get("authorization").map_or(0, |value| value.len());
        let (address, host) = (address.unwrap_or_default(), info.host().unwrap_or("?"));
        format!("{address} {} {host} {length} {has_certificate}", info.scheme())
    };
    Router::new().fallback(any(handler))
}

fn nginx_of_the_guide(upstream: SocketAddr, openssl: &OpenSsl) -> String {
    let guide = fs::read_to_string(Path::new(ROOT).join("src/guide/deployment.md")).unwrap();
    let block = guide.split_once("```nginx\n").unwrap().1.split_once("```").unwrap().0;
    let path = |file: &str| openssl.path(file).display().to_string();
    let changes = [
        ("127.0.0.1:3000", upstream.to_string()),
        ("listen 443 ssl", "listen ADDRESS ssl".to_owned()),
        ("/etc/nginx/orders.pem", path("cert.pem")),
        ("/etc/nginx/orders.key", path("key.pem")),
    ];
    changes.iter().fold(block.to_owned(), |block, (from, to)| {
        assert!(block.contains(from), "{from}");
        block.replace(from, to)
    })
}

#[tokio::test]
async fn nginx_of_the_guide_reports_the_request_and_accepts_long_tokens() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
    fs::write(openssl.path("cert.pem"), openssl.certificate("key.pem")).unwrap();
    let upstream = Api::serve_with_addresses(echo()).await.address.parse().unwrap();
    let Some(nginx) = Nginx::start(&nginx_of_the_guide(upstream, &openssl)) else { return };
    let client = Client::builder().no_proxy().danger_accept_invalid_certs(true).build().unwrap();
    let get = async |path: &str, token: &str| {
        let request = client.get(format!("https://{}{path}", nginx.address));
        let forged = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "http"),
            ("client-cert", ":AAAA:"),
            ("x-forwarded-client-cert", "Cert=AAAA"),
            ("authorization", token),
        ];
        Reply::to(forged.iter().fold(request, |all, (name, value)| all.header(*name, *value))).await
    };
    // The longest token of `JwtAuth`.
    let token = format!("Bearer {}", "a".repeat(16 * 1024));
    let expected = format!("127.0.0.1 https {} {} false", nginx.address, token.len());
    let reply = get("/orders", &token).await;
    assert_eq!((reply.status.as_u16(), reply.body), (200, expected));
    for path in ["/readyz", "/livez", "/metrics"] {
        assert_eq!(get(path, "").await.status, 404, "{path}");
    }
}
