//! Around a tonic channel, and in an interceptor, with a tonic server behind this crate's layer.

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

use crate::{Issuer, Mood};

/// A channel to a health service for holders of the issuer's tokens, and for `alice`.
async fn connect(issuer: &Issuer) -> Channel {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address: SocketAddr = incoming.local_addr().unwrap();
    let staff = BasicAuth::new("staff", Users::new([("alice", "secret")]).unwrap()).unwrap();
    let server = Server::builder()
        .layer(AuthenticateLayer::new(any_of(issuer.tokens(), staff)))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// How a call that is answered once ends, and one that is answered by a stream.
async fn check<C>(client: HealthClient<Attach<Channel, C>>) -> Result<(), Status>
where
    C: AuthorizationSource + 'static,
{
    let mut client = client;
    let answer = client.check(HealthCheckRequest::default()).await;
    match (answer, client.watch(HealthCheckRequest::default()).await) {
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
async fn a_generated_client_takes_the_layer() {
    let issuer = Issuer::new(Mood::Issues);
    let channel = connect(&issuer).await;
    let alice = BasicAuthorization::new("alice", "secret").unwrap();
    check(HealthClient::new(AttachLayer::new(alice).layer(channel.clone()))).await.unwrap();
    let fixed = BearerToken::new(&issuer.jwt("robot")).unwrap();
    check(HealthClient::new(AttachLayer::new(fixed).layer(channel.clone()))).await.unwrap();
    let refreshing = RefreshingToken::new(issuer.source());
    check(HealthClient::new(AttachLayer::new(refreshing).layer(channel.clone()))).await.unwrap();
    assert_eq!(issuer.asked(), 1);
    let guess = BasicAuthorization::new("alice", "guess").unwrap();
    let status = check(HealthClient::new(AttachLayer::new(guess).layer(channel))).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_call_without_a_token_fails_and_says_why() {
    let issuer = Issuer::new(Mood::Fails);
    let token = RefreshingToken::new(issuer.source());
    let channel = connect(&issuer).await;
    let status =
        check(HealthClient::new(AttachLayer::new(token).layer(channel))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert!(status.message().contains("the vault is sealed"), "{status}");
    let error = status.source().and_then(|error| error.downcast_ref::<AttachError>());
    assert_eq!(error.unwrap().kind(), AttachErrorKind::Source);
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn an_origin_that_a_client_names_is_looked_at() {
    let issuer = Issuer::new(Mood::Issues);
    let channel = connect(&issuer).await;
    let alice = BasicAuthorization::new("alice", "secret").unwrap();
    let layer = AttachLayer::new(alice).only_to("https://api.example").unwrap();
    let to = |origin| {
        HealthClient::with_origin(layer.clone().layer(channel.clone()), Uri::from_static(origin))
    };
    check(to("https://api.example")).await.unwrap();
    let refused = check(to("https://other.example")).await.unwrap_err();
    assert!(refused.message().contains("other.example"), "{refused}");
    // What names none is the channel's to know.
    check(HealthClient::new(layer.layer(channel.clone()))).await.unwrap();
}

#[tokio::test]
async fn an_interceptor_takes_the_token_that_is_there() {
    let issuer = Issuer::new(Mood::Fails);
    let channel = connect(&issuer).await;
    let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
    let given = token.clone();
    let mut client = HealthClient::with_interceptor(channel, move |mut request: Request<()>| {
        let value =
            given.try_header_value().map_err(|error| Status::unavailable(error.to_string()))?;
        assert!(value.is_sensitive());
        request.metadata_mut().as_mut().insert(AUTHORIZATION, value);
        Ok(request)
    });
    token.header_value().await.unwrap_err();
    let status = client.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("the vault is sealed"), "{status}");

    issuer.clock.by(5);
    issuer.set(Mood::Issues);
    token.header_value().await.unwrap();
    client.check(HealthCheckRequest::default()).await.unwrap();

    // Ahead of its expiry, calls have the next one fetched.
    issuer.clock.by(550);
    tower_auth_test_support::stub::until("the next token", async || {
        client.clone().check(HealthCheckRequest::default()).await.unwrap();
        issuer.asked() == 3
    })
    .await;
}
