//! API keys in the metadata of gRPC calls.

use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower_auth::{
    AuthenticateLayer, RequireScopes, bearer::BearerAuth, credentials::TokenLocation,
};

use super::{Fixture, unknown_key};

async fn serve(service: &Fixture) -> Channel {
    let keys = BearerAuth::new(service.keys.clone());
    let keys = keys.token_from(TokenLocation::header("x-api-key"));
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .layer(AuthenticateLayer::new(keys))
        .layer(RequireScopes::all(["write"]))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn call(channel: &Channel, key: Option<&str>) -> Result<(), Status> {
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(key) = key {
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    }
    HealthClient::new(channel.clone()).check(request).await.map(drop)
}

#[tokio::test]
async fn call_with_a_key_is_admitted_and_others_are_rejected() {
    let service = Fixture::new();
    let key = service.create();
    let (unknown, channel) = (unknown_key(), serve(&service).await);
    let code = async |key| call(&channel, key).await.unwrap_err().code();
    call(&channel, Some(key.key())).await.unwrap();
    assert_eq!(code(None).await, Code::Unauthenticated);
    assert_eq!(code(Some(&unknown)).await, Code::Unauthenticated);
    service.accounts.set("alice", Some(&["read"]));
    assert_eq!(code(Some(key.key())).await, Code::PermissionDenied);
    service.store.set_down(true);
    assert_eq!(code(Some(key.key())).await, Code::Unavailable);
    service.store.set_down(false);
    service.keys.revoke("alice", &key.info().id).await.unwrap();
    assert_eq!(code(Some(key.key())).await, Code::Unauthenticated);
}
