//! Credentials for tonic channels, by layer and by interceptor, with a protected tonic server.

use std::{error::Error as _, net::SocketAddr};

use http::{Uri, header::AUTHORIZATION};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower::Layer as _;
use tower_auth::{
    AuthenticateLayer, BasicAuth, any_of,
    basic::Users,
    client::{
        Attach, AttachError, AttachErrorKind, AttachLayer, AuthorizationSource, BasicAuthorization,
        BearerToken, RefreshingToken,
    },
};

use crate::{Issuer, IssuerMode};

/// Returns a channel to a health service that accepts tokens of the issuer and the password of
/// `alice`.
async fn connect(issuer: &Issuer) -> Channel {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address: SocketAddr = incoming.local_addr().unwrap();
    let staff = BasicAuth::new("staff", Users::new([("alice", "secret")]).unwrap()).unwrap();
    let server = Server::builder()
        .layer(AuthenticateLayer::new(any_of((issuer.validator(), staff))))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Returns the result of a unary call, which must equal that of a streaming call.
async fn check_health<C>(client: HealthClient<Attach<Channel, C>>) -> Result<(), Status>
where
    C: AuthorizationSource + 'static,
{
    let mut client = client;
    let response = client.check(HealthCheckRequest::default()).await;
    match (response, client.watch(HealthCheckRequest::default()).await) {
        (Ok(_), Ok(stream)) => {
            assert!(stream.into_inner().message().await.unwrap().is_some());
            Ok(())
        }
        (Err(one), Err(other)) => {
            assert_eq!((one.code(), one.message()), (other.code(), other.message()));
            Err(one)
        }
        (one, other) => panic!("{one:?} {other:?}"),
    }
}

#[tokio::test]
async fn generated_client_sends_each_kind_of_credentials() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let channel = connect(&issuer).await;
    let alice = BasicAuthorization::new("alice", "secret").unwrap();
    check_health(HealthClient::new(AttachLayer::new(alice).layer(channel.clone()))).await.unwrap();
    let fixed = BearerToken::new(&issuer.jwt("robot")).unwrap();
    check_health(HealthClient::new(AttachLayer::new(fixed).layer(channel.clone()))).await.unwrap();
    let refreshing = RefreshingToken::new(issuer.source());
    check_health(HealthClient::new(AttachLayer::new(refreshing).layer(channel.clone())))
        .await
        .unwrap();
    assert_eq!(issuer.fetches(), 1);
    let wrong = BasicAuthorization::new("alice", "guess").unwrap();
    let status = check_health(HealthClient::new(AttachLayer::new(wrong).layer(channel))).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn failed_source_returns_its_error_as_status() {
    let issuer = Issuer::new(IssuerMode::Fail);
    let token = RefreshingToken::new(issuer.source());
    let channel = connect(&issuer).await;
    let status =
        check_health(HealthClient::new(AttachLayer::new(token).layer(channel))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    let error = status.source().and_then(|error| error.downcast_ref::<AttachError>()).unwrap();
    assert_eq!(error.kind(), AttachErrorKind::Source);
    assert!(format!("{error:#}").contains("the vault is sealed"), "{error:?}");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn origin_of_the_client_is_checked() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let channel = connect(&issuer).await;
    let alice = BasicAuthorization::new("alice", "secret").unwrap();
    let layer = AttachLayer::new(alice).only_to("https://api.example").unwrap();
    let client_for = |origin| {
        HealthClient::with_origin(layer.clone().layer(channel.clone()), Uri::from_static(origin))
    };
    check_health(client_for("https://api.example")).await.unwrap();
    let error = check_health(client_for("https://other.example")).await.unwrap_err();
    assert!(error.message().contains("other.example"), "{error}");
    // Without an origin, the channel selects the server.
    check_health(HealthClient::new(layer.layer(channel.clone()))).await.unwrap();
}

#[tokio::test]
async fn interceptor_attaches_the_fetched_token() {
    let issuer = Issuer::new(IssuerMode::Fail);
    let channel = connect(&issuer).await;
    let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
    let in_interceptor = token.clone();
    let mut client = HealthClient::with_interceptor(channel, move |mut request: Request<()>| {
        let value = in_interceptor
            .try_header_value()
            .map_err(|error| Status::unavailable(format!("{error:#}")))?;
        assert!(value.is_sensitive());
        request.metadata_mut().as_mut().insert(AUTHORIZATION, value);
        Ok(request)
    });
    token.header_value().await.unwrap_err();
    let status = client.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("the vault is sealed"), "{status}");

    issuer.clock.advance(5);
    issuer.set_mode(IssuerMode::Issue);
    token.header_value().await.unwrap();
    client.check(HealthCheckRequest::default()).await.unwrap();

    // Shortly before expiry, calls start the next fetch.
    issuer.clock.advance(550);
    tower_auth_test_support::stub::wait_until("the next token", async || {
        client.clone().check(HealthCheckRequest::default()).await.unwrap();
        issuer.fetches() == 3
    })
    .await;
}
