//! The layers around a tonic server, as a tonic client sees them, and as they are on the wire.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tonic::{
    Code, Request, Status,
    metadata::MetadataMap,
    service::{Interceptor, LayerExt as _, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus::{NotServing, Serving},
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_client::HealthClient,
        health_server::{Health, HealthServer},
    },
    server::{HealthReporter, HealthService, health_reporter},
};
use tower_auth::{
    AuthenticateLayer, Authenticator, BasicAuth, JwtAuth, Principal, RequireScopes,
    basic::{BasicCredentials, Verdict},
    jwt::Keys,
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, claims, now};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Tokens, and who signs them.
struct Issuer(Signer);

impl Issuer {
    fn new() -> Self {
        Self(Signer::generate("HS256", "1"))
    }

    fn tokens(&self) -> JwtAuth {
        let keys = Keys::from_json(json!({ "keys": [self.0.jwk()] }).to_string()).unwrap();
        JwtAuth::builder(keys)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .realm("health")
            .max_token_bytes(1024)
            .build()
            .unwrap()
    }

    fn bearer(&self, scope: &str) -> String {
        let mut claims = claims();
        claims["scope"] = scope.into();
        format!("Bearer {}", self.0.token(&claims))
    }

    fn expired(&self) -> String {
        let mut claims = claims();
        claims["exp"] = (now() - 600).into();
        format!("Bearer {}", self.0.token(&claims))
    }
}

/// Users, whose directory cannot be reached.
fn outage() -> impl Authenticator<Future: Send> + Send + Sync {
    BasicAuth::new("staff", async |_: BasicCredentials| Verdict::unavailable("ldap-7 is down"))
        .unwrap()
}

/// A health service on a free port, for callers with the scope `health:read`.
fn serve<A, H>(authenticator: A, health: HealthServer<H>) -> SocketAddr
where
    A: Authenticator<Future: Send> + Send + Sync + 'static,
    H: Health,
{
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .layer(AuthenticateLayer::new(authenticator))
        .layer(RequireScopes::all(["health:read"]))
        .add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

/// A connection of its own.
async fn connect(address: SocketAddr) -> Channel {
    Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// A client that sends this `authorization` with every call.
fn client(
    channel: Channel,
    authorization: Option<&str>,
) -> HealthClient<InterceptedService<Channel, impl Interceptor + use<>>> {
    let value = authorization.map(|value| value.parse().unwrap());
    HealthClient::with_interceptor(channel, move |mut request: Request<()>| {
        if let Some(value) = value.clone() {
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    })
}

fn overall() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

/// How the server refuses this `authorization`: a call that is answered once, and one that is answered
/// with a stream, are refused alike.
async fn refusal(channel: &Channel, authorization: Option<&str>) -> Status {
    let mut client = client(channel.clone(), authorization);
    let check = client.check(overall()).await.unwrap_err();
    let watch = client.watch(overall()).await.unwrap_err();
    assert_eq!((check.code(), check.message()), (watch.code(), watch.message()));
    check
}

fn challenges(metadata: &MetadataMap) -> Vec<&str> {
    metadata.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_call_without_credentials_is_unauthenticated() {
    let channel = connect(serve(Issuer::new().tokens(), health_reporter().1)).await;
    for nothing in [None, Some("Basic YWxpY2U6c2VjcmV0")] {
        let status = refusal(&channel, nothing).await;
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.message(), "credentials are required");
        assert_eq!(challenges(status.metadata()), [r#"Bearer realm="health""#]);
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_unauthenticated() {
    let issuer = Issuer::new();
    let channel = connect(serve(issuer.tokens(), health_reporter().1)).await;
    let foreign = Issuer::new().bearer("health:read");
    for bad in [foreign, issuer.expired(), "Bearer a.b.c".into()] {
        let status = refusal(&channel, Some(&bad)).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{bad}");
        assert_eq!(status.message(), "the credentials are not valid");
        let challenge = r#"Bearer realm="health", error="invalid_token""#;
        assert_eq!(challenges(status.metadata()), [challenge]);
    }
}

#[tokio::test]
async fn a_token_without_the_scope_is_denied() {
    let issuer = Issuer::new();
    let channel = connect(serve(issuer.tokens(), health_reporter().1)).await;
    for scope in ["", "health", "health:write Health:read"] {
        let status = refusal(&channel, Some(&issuer.bearer(scope))).await;
        assert_eq!(status.code(), Code::PermissionDenied, "{scope}");
        let challenge = r#"Bearer realm="health", error="insufficient_scope", scope="health:read""#;
        assert_eq!(challenges(status.metadata()), [challenge]);
    }
}

#[tokio::test]
async fn an_outage_is_unavailable_and_names_no_reason() {
    let channel = connect(serve(outage(), health_reporter().1)).await;
    let status = refusal(&channel, Some("Basic YWxpY2U6c2VjcmV0")).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("retry-after").unwrap(), "5");
    assert!(challenges(status.metadata()).is_empty());
    assert!(!format!("{status:?}").contains("ldap-7"), "{status:?}");
}

#[tokio::test]
async fn a_good_token_gets_the_answer() {
    let issuer = Issuer::new();
    let (reporter, health) = health_reporter();
    reporter.set_service_status("orders", NotServing).await;
    let channel = connect(serve(issuer.tokens(), health)).await;
    let mut client = client(channel, Some(&issuer.bearer("profile health:read")));

    let answer = client.check(overall()).await.unwrap();
    assert_eq!(answer.get_ref().status, status(Serving));
    let orders = HealthCheckRequest { service: "orders".into() };
    let answer = client.check(orders).await.unwrap();
    assert_eq!(answer.get_ref().status, status(NotServing));

    // What the service itself says is not touched.
    let unknown = HealthCheckRequest { service: "unknown".into() };
    assert_eq!(client.check(unknown).await.unwrap_err().code(), Code::NotFound);
}

fn status(status: tonic_health::ServingStatus) -> i32 {
    tonic_health::pb::health_check_response::ServingStatus::from(status).into()
}

#[tokio::test]
async fn a_stream_goes_on_while_other_calls_of_its_connection_are_refused() {
    let issuer = Issuer::new();
    let (reporter, health) = health_reporter();
    let channel = connect(serve(issuer.tokens(), health)).await;
    let mut client = client(channel.clone(), Some(&issuer.bearer("health:read")));

    let mut stream = client.watch(overall()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, status(Serving));
    for next in [NotServing, Serving, NotServing] {
        assert_eq!(refusal(&channel, None).await.code(), Code::Unauthenticated);
        reporter.set_service_status("", next).await;
        assert_eq!(stream.message().await.unwrap().unwrap().status, status(next));
    }
}

/// Says who called, in the metadata of its answer.
struct WhoCalls(HealthService);

#[tonic::async_trait]
impl Health for WhoCalls {
    type WatchStream = <HealthService as Health>::WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let caller: Principal = request.extensions().get().cloned().unwrap();
        let mut answer = self.0.check(request).await?;
        answer.metadata_mut().insert("caller", caller.subject().parse().unwrap());
        Ok(answer)
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let caller: Principal = request.extensions().get().cloned().unwrap();
        let mut answer = self.0.watch(request).await?;
        answer.metadata_mut().insert("caller", caller.subject().parse().unwrap());
        Ok(answer)
    }
}

#[tokio::test]
async fn a_handler_reads_who_calls() {
    let issuer = Issuer::new();
    let health = HealthService::from_health_reporter(HealthReporter::new());
    let channel = connect(serve(issuer.tokens(), HealthServer::new(WhoCalls(health)))).await;
    let mut client = client(channel, Some(&issuer.bearer("health:read")));

    let answer = client.check(overall()).await.unwrap();
    assert_eq!(answer.metadata().get("caller").unwrap(), "user-1");
    let stream = client.watch(overall()).await.unwrap();
    assert_eq!(stream.metadata().get("caller").unwrap(), "user-1");
}

#[tokio::test]
async fn scopes_can_be_asked_for_by_one_service_alone() {
    let issuer = Issuer::new();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let health = RequireScopes::all(["health:read"]).named_layer(health_reporter().1);
    let server =
        Server::builder().layer(AuthenticateLayer::new(issuer.tokens())).add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));

    let channel = connect(address).await;
    assert_eq!(refusal(&channel, None).await.code(), Code::Unauthenticated);
    let without = issuer.bearer("orders:read");
    assert_eq!(refusal(&channel, Some(&without)).await.code(), Code::PermissionDenied);
    // A method that no service has is beyond that service's policy, and not beyond authentication.
    let (unknown, with) = ("/orders.Orders/List", issuer.bearer("orders:read"));
    let answer = call(address, unknown, "application/grpc", &[&with]).await;
    assert_eq!(answer.headers()["grpc-status"], "12");
    let answer = call(address, unknown, "application/grpc", &[]).await;
    assert_eq!(answer.headers()["grpc-status"], "16");
    let mut client = client(channel, Some(&issuer.bearer("health:read")));
    assert!(client.check(overall()).await.is_ok());
}

/// One call over plain HTTP/2, with one `authorization` line for each of `authorization`.
async fn call(
    address: SocketAddr,
    path: &str,
    content_type: &str,
    authorization: &[&str],
) -> Response<Incoming> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{address}{path}"))
        .header(CONTENT_TYPE, content_type)
        .header("te", "trailers");
    for line in authorization {
        request = request.header("authorization", *line);
    }
    // A gRPC message of no bytes: not compressed, length 0.
    let message = Full::new(Bytes::from_static(&[0; 5]));
    sender.send_request(request.body(message).unwrap()).await.unwrap()
}

fn grpc_statuses(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("grpc-status").iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_refusal_is_headers_alone_on_the_wire() {
    let issuer = Issuer::new();
    let tokens = serve(issuer.tokens(), health_reporter().1);
    let users = serve(outage(), health_reporter().1);
    let (good, poor) = (issuer.bearer("health:read"), issuer.bearer(""));
    let long = issuer.bearer(&"x".repeat(1024));
    for (address, authorization, code) in [
        (tokens, &[][..], "16"),
        (tokens, &["Bearer a.b.c"], "16"),
        (tokens, &["Bearer"], "16"),
        (tokens, &[&*good, &*good], "16"),
        (tokens, &[&*poor], "7"),
        (tokens, &[&*long], "8"),
        (users, &["Basic YWxpY2U6c2VjcmV0"], "14"),
    ] {
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let answer = call(address, CHECK, content_type, authorization).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/grpc");
            assert_eq!(grpc_statuses(answer.headers()), [code], "{authorization:?}");
            assert!(answer.headers().contains_key("grpc-message"));
            assert!(answer.body().is_end_stream());
        }
    }

    // An answer of the service, for comparison: its status comes after the message.
    let answer = call(tokens, CHECK, "application/grpc", &[&good]).await;
    assert!(!answer.body().is_end_stream());
    assert!(grpc_statuses(answer.headers()).is_empty());
    let collected = answer.into_body().collect().await.unwrap();
    assert_eq!(grpc_statuses(collected.trailers().unwrap()), ["0"]);
}

#[tokio::test]
async fn who_does_not_speak_grpc_gets_http_statuses() {
    let issuer = Issuer::new();
    let address = serve(issuer.tokens(), health_reporter().1);
    let poor = issuer.bearer("");
    for (authorization, status) in [(&[][..], 401), (&["Bearer"], 400), (&[&*poor], 403)] {
        let answer = call(address, CHECK, "application/json", authorization).await;
        assert_eq!(answer.status(), status);
        assert!(grpc_statuses(answer.headers()).is_empty());
        assert!(answer.headers().contains_key("www-authenticate"));
    }
}
