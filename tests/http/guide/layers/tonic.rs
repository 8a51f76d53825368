//! The stack for tonic's `Server`.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower_auth::{AuthenticateLayer, RequireScopes};

use super::{Issuer, grpc, slow};

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
    tokio::spawn(grpc::serve(incoming, issuer.auth(), health_reporter().1));
    let mut client = HealthClient::new(connect(address).await);

    assert!(client.check(call(None)).await.is_ok());
    assert_eq!(client.watch(call(None)).await.unwrap_err().code(), Code::Unauthenticated);
    let token = issuer.token();
    let denied = client.watch(bearer(&token)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let token = issuer.token_with(json!({ "scope": "health" }));
    assert!(client.watch(bearer(&token)).await.is_ok());
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
