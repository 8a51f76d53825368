//! The stack for tonic's `Server`.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderName, Method, Version};
use serde_json::json;
use tonic::{
    Code, Request, Status,
    codec::CompressionEncoding,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tonic_web::GrpcWebLayer;
use tower_auth::{AuthenticateLayer, RequireScopes};
use tower_http::cors::CorsLayer;

use super::{Issuer, PAGE, Reply, allows_origin, cors, grpc, slow};

fn bind() -> (TcpIncoming, SocketAddr) {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    (incoming, address)
}

async fn connect(address: SocketAddr) -> Channel {
    Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Returns a call with these credentials.
fn call(authorization: Option<&str>) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().unwrap());
    }
    request
}

fn bearer(token: &str) -> Request<HealthCheckRequest> {
    call(Some(&format!("Bearer {token}")))
}

async fn check_with_password(channel: Channel) -> Result<(), Status> {
    let request = call(Some("Basic YWxpY2U6c2VjcmV0"));
    HealthClient::new(channel).check(request).await.map(|_| ())
}

#[tokio::test]
async fn recommended_server_serves_and_rejects() {
    let issuer = Issuer::new();
    let (incoming, address) = bind();
    tokio::spawn(grpc::serve(incoming, issuer.auth(), CorsLayer::new(), health_reporter().1));
    let client = HealthClient::new(connect(address).await);
    let mut client = client
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);

    let reply = client.check(call(None)).await.unwrap();
    assert_eq!(reply.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(client.watch(call(None)).await.unwrap_err().code(), Code::Unauthenticated);
    let token = issuer.token();
    let denied = client.watch(bearer(&token)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let token = issuer.token_with(json!({ "scope": "health" }));
    assert!(client.watch(bearer(&token)).await.is_ok());
}

/// A browser must be able to read why a call was rejected.
#[tokio::test]
async fn recommended_server_serves_and_rejects_grpc_web() {
    let issuer = Issuer::new();
    let (incoming, address) = bind();
    let names = ["authorization", "content-type", "x-grpc-web"].map(HeaderName::from_static);
    let cors = cors()
        .allow_methods([Method::POST])
        .allow_headers(names)
        .expose_headers(["grpc-status", "grpc-message"].map(HeaderName::from_static));
    tokio::spawn(grpc::serve(incoming, issuer.auth(), cors, health_reporter().1));
    let client = reqwest::Client::builder().no_proxy().http1_only().build().unwrap();
    let url = |method| format!("http://{address}/grpc.health.v1.Health/{method}");

    let preflight = client.request(Method::OPTIONS, url("Watch")).header("origin", PAGE);
    let preflight = preflight
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-grpc-web");
    let preflight = Reply::to(preflight).await;
    assert!(preflight.status == 200 && allows_origin(&preflight), "{preflight:?}");

    let call = async |method, token: Option<&str>| {
        let request = client.post(url(method)).header("origin", PAGE).header("x-grpc-web", "1");
        let request = request.header("content-type", "application/grpc-web+proto");
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        let response = request.body(vec![0; 5]).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_11));
        let headers = response.headers();
        assert!(headers["content-type"].to_str().unwrap().starts_with("application/grpc-web"));
        assert_eq!(headers["access-control-allow-origin"], PAGE);
        assert_eq!(headers["access-control-expose-headers"], "grpc-status,grpc-message");
        response
    };
    assert_eq!(call("Watch", None).await.headers()["grpc-status"], "16");
    assert_eq!(call("Watch", Some(&issuer.token())).await.headers()["grpc-status"], "7");
    let token = issuer.token_with(json!({ "scope": "health" }));
    let watched = call("Watch", Some(&token)).await;
    assert!(!watched.headers().contains_key("grpc-status"), "{watched:?}");
    let checked = call("Check", None).await.bytes().await.unwrap();
    assert!(checked.ends_with(b"grpc-status:0\r\n"), "{checked:?}");
}

#[tokio::test]
async fn rejection_inside_a_grpc_web_layer_has_no_grpc_status() {
    let issuer = Issuer::new();
    let (incoming, address) = bind();
    let server = Server::builder()
        .accept_http1(true)
        .layer(GrpcWebLayer::new())
        .layer(AuthenticateLayer::new(issuer.auth()))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    let client = reqwest::Client::builder().no_proxy().http1_only().build().unwrap();
    let request = client.post(format!("http://{address}/grpc.health.v1.Health/Check"));
    let reply = Reply::to(request.header("content-type", "application/grpc-web")).await;
    assert_eq!((reply.status.as_u16(), reply.headers.get("grpc-status")), (401, None));
}

#[tokio::test]
async fn first_layer_of_a_server_is_outermost() {
    let issuer = Issuer::new();
    let (tokens, policy) =
        (|| AuthenticateLayer::new(issuer.auth()), || RequireScopes::all("read"));
    let token = issuer.token();
    let (incoming, address) = bind();
    let right = Server::builder().layer(tokens()).layer(policy()).add_service(health_reporter().1);
    tokio::spawn(right.serve_with_incoming(incoming));
    let mut client = HealthClient::new(connect(address).await);
    assert!(client.check(bearer(&token)).await.is_ok());

    let (incoming, address) = bind();
    let wrong = Server::builder().layer(policy()).layer(tokens()).add_service(health_reporter().1);
    tokio::spawn(wrong.serve_with_incoming(incoming));
    let mut client = HealthClient::new(connect(address).await);
    let status = client.check(bearer(&token)).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}

#[tokio::test]
async fn server_limits_are_outside_the_authentication() {
    let (callers, mut starts, go) = slow();
    let (incoming, address) = bind();
    let server = Server::builder()
        .concurrency_limit_per_connection(1)
        .load_shed(true)
        .layer(AuthenticateLayer::new(callers))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    let channel = connect(address).await;
    let second = async {
        starts.recv().await.unwrap();
        let shed = check_with_password(channel.clone()).await;
        go.add_permits(1);
        shed
    };
    let (first, second) = tokio::join!(check_with_password(channel.clone()), second);
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn server_timeout_includes_the_authentication() {
    let (callers, _starts, _go) = slow();
    let (incoming, address) = bind();
    let server = Server::builder()
        .timeout(Duration::ZERO)
        .layer(AuthenticateLayer::new(callers))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    let status = check_with_password(connect(address).await).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
}
