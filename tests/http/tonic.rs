//! The layers around a tonic server, tested with a tonic client and with plain HTTP/2.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::post};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tonic::{
    Code, Request, Status,
    body::Body,
    metadata::MetadataMap,
    service::{Interceptor, LayerExt as _, Routes, interceptor::InterceptedService},
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
use tower::util::MapResponseLayer;
use tower_auth::{
    AuthenticateLayer, Authenticator, BasicAuth, Denial, JwtAuth, Policy as _, Principal,
    Rejection, RequireScopes, any_of,
    authorize::Decision,
    basic::{BasicCredentials, Verdict},
    jwt::Keys,
    policy_fn,
    respond::{GrpcStatus, Respond as _},
    throttle::Throttle,
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, claims, now};
use tower_http::timeout::TimeoutLayer;

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Signs tokens, and builds the authenticator that verifies them.
struct Issuer(Signer);

impl Issuer {
    fn new() -> Self {
        Self(Signer::generate("HS256", "1"))
    }

    fn jwt_auth(&self) -> JwtAuth {
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

    fn expired_bearer(&self) -> String {
        let mut claims = claims();
        claims["exp"] = (now() - 600).into();
        format!("Bearer {}", self.0.token(&claims))
    }
}

/// An authenticator whose user directory is unavailable.
fn unavailable_auth() -> impl Authenticator {
    BasicAuth::new("staff", async |_: BasicCredentials| Verdict::unavailable("ldap-7 is down"))
        .unwrap()
}

/// Starts a health service on a free port, for callers with the scope `health:read`.
fn serve<A, H>(authenticator: A, health: HealthServer<H>) -> SocketAddr
where
    A: Authenticator + 'static,
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

/// Opens a new connection.
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

/// The status with which the server rejects this `authorization`. Asserts that a unary call and a
/// streaming call are rejected alike.
async fn rejection_status(channel: &Channel, authorization: Option<&str>) -> Status {
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
async fn missing_credentials_return_unauthenticated() {
    let channel = connect(serve(Issuer::new().jwt_auth(), health_reporter().1)).await;
    for authorization in [None, Some("Basic YWxpY2U6c2VjcmV0")] {
        let status = rejection_status(&channel, authorization).await;
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.message(), "credentials are required");
        assert_eq!(challenges(status.metadata()), [r#"Bearer realm="health""#]);
    }
}

#[tokio::test]
async fn invalid_token_returns_unauthenticated() {
    let issuer = Issuer::new();
    let channel = connect(serve(issuer.jwt_auth(), health_reporter().1)).await;
    let foreign = Issuer::new().bearer("health:read");
    for invalid in [foreign, issuer.expired_bearer(), "Bearer a.b.c".into()] {
        let status = rejection_status(&channel, Some(&invalid)).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{invalid}");
        assert_eq!(status.message(), "the credentials are not valid");
        let challenge = r#"Bearer realm="health", error="invalid_token""#;
        assert_eq!(challenges(status.metadata()), [challenge]);
    }
}

#[tokio::test]
async fn token_without_scope_returns_permission_denied() {
    let issuer = Issuer::new();
    let channel = connect(serve(issuer.jwt_auth(), health_reporter().1)).await;
    for scope in ["", "health", "health:write Health:read"] {
        let status = rejection_status(&channel, Some(&issuer.bearer(scope))).await;
        assert_eq!(status.code(), Code::PermissionDenied, "{scope}");
        let challenge = r#"Bearer realm="health", error="insufficient_scope", scope="health:read""#;
        assert_eq!(challenges(status.metadata()), [challenge]);
    }
}

#[tokio::test]
async fn outage_returns_unavailable_without_the_reason() {
    let channel = connect(serve(unavailable_auth(), health_reporter().1)).await;
    let status = rejection_status(&channel, Some("Basic YWxpY2U6c2VjcmV0")).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("retry-after").unwrap(), "5");
    assert!(challenges(status.metadata()).is_empty());
    assert!(!format!("{status:?}").contains("ldap-7"), "{status:?}");
}

#[tokio::test]
async fn valid_token_gets_the_response() {
    let issuer = Issuer::new();
    let (reporter, health) = health_reporter();
    reporter.set_service_status("orders", NotServing).await;
    let channel = connect(serve(issuer.jwt_auth(), health)).await;
    let mut client = client(channel, Some(&issuer.bearer("profile health:read")));

    let response = client.check(overall()).await.unwrap();
    assert_eq!(response.get_ref().status, status_code(Serving));
    let orders = HealthCheckRequest { service: "orders".into() };
    let response = client.check(orders).await.unwrap();
    assert_eq!(response.get_ref().status, status_code(NotServing));

    // Errors of the service itself are unchanged.
    let unknown = HealthCheckRequest { service: "unknown".into() };
    assert_eq!(client.check(unknown).await.unwrap_err().code(), Code::NotFound);
}

fn status_code(status: tonic_health::ServingStatus) -> i32 {
    tonic_health::pb::health_check_response::ServingStatus::from(status).into()
}

#[tokio::test]
async fn stream_continues_while_other_calls_of_the_connection_are_rejected() {
    let issuer = Issuer::new();
    let (reporter, health) = health_reporter();
    let channel = connect(serve(issuer.jwt_auth(), health)).await;
    let mut client = client(channel.clone(), Some(&issuer.bearer("health:read")));

    let mut stream = client.watch(overall()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, status_code(Serving));
    for next in [NotServing, Serving, NotServing] {
        assert_eq!(rejection_status(&channel, None).await.code(), Code::Unauthenticated);
        reporter.set_service_status("", next).await;
        assert_eq!(stream.message().await.unwrap().unwrap().status, status_code(next));
    }
}

/// Adds the subject of the caller to the response metadata.
struct EchoCaller(HealthService);

#[tonic::async_trait]
impl Health for EchoCaller {
    type WatchStream = <HealthService as Health>::WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let caller: Principal = request.extensions().get().cloned().unwrap();
        let mut response = self.0.check(request).await?;
        response.metadata_mut().insert("caller", caller.subject().parse().unwrap());
        Ok(response)
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let caller: Principal = request.extensions().get().cloned().unwrap();
        let mut response = self.0.watch(request).await?;
        response.metadata_mut().insert("caller", caller.subject().parse().unwrap());
        Ok(response)
    }
}

#[tokio::test]
async fn handler_reads_the_principal() {
    let issuer = Issuer::new();
    let health = HealthService::from_health_reporter(HealthReporter::new());
    let channel = connect(serve(issuer.jwt_auth(), HealthServer::new(EchoCaller(health)))).await;
    let mut client = client(channel, Some(&issuer.bearer("health:read")));

    let response = client.check(overall()).await.unwrap();
    assert_eq!(response.metadata().get("caller").unwrap(), "user-1");
    let stream = client.watch(overall()).await.unwrap();
    assert_eq!(stream.metadata().get("caller").unwrap(), "user-1");
}

#[tokio::test]
async fn policy_can_apply_to_one_service_only() {
    let issuer = Issuer::new();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let health = RequireScopes::all(["health:read"]).named_layer(health_reporter().1);
    let server =
        Server::builder().layer(AuthenticateLayer::new(issuer.jwt_auth())).add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));

    let channel = connect(address).await;
    assert_eq!(rejection_status(&channel, None).await.code(), Code::Unauthenticated);
    let without = issuer.bearer("orders:read");
    assert_eq!(rejection_status(&channel, Some(&without)).await.code(), Code::PermissionDenied);
    // An unknown method is not subject to the policy of the service, but to authentication.
    let (unknown, with) = ("/orders.Orders/List", issuer.bearer("orders:read"));
    let response = call(address, unknown, "application/grpc", &[&with]).await;
    assert_eq!(response.headers()["grpc-status"], "12");
    let response = call(address, unknown, "application/grpc", &[]).await;
    assert_eq!(response.headers()["grpc-status"], "16");
    let mut client = client(channel, Some(&issuer.bearer("health:read")));
    assert!(client.check(overall()).await.is_ok());
}

/// Sends one call over plain HTTP/2, with one header line for each item of `authorization`.
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
    // An empty gRPC message: not compressed, length 0.
    let message = Full::new(Bytes::from_static(&[0; 5]));
    sender.send_request(request.body(message).unwrap()).await.unwrap()
}

fn grpc_statuses(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("grpc-status").iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn rejection_is_trailers_only_on_the_wire() {
    let issuer = Issuer::new();
    let jwt_server = serve(issuer.jwt_auth(), health_reporter().1);
    let unavailable_server = serve(unavailable_auth(), health_reporter().1);
    let (valid, unscoped) = (issuer.bearer("health:read"), issuer.bearer(""));
    let oversized = issuer.bearer(&"x".repeat(1024));
    for (address, authorization, code) in [
        (jwt_server, &[][..], "16"),
        (jwt_server, &["Bearer a.b.c"], "16"),
        (jwt_server, &["Bearer"], "16"),
        (jwt_server, &[&*valid, &*valid], "16"),
        (jwt_server, &[&*unscoped], "7"),
        (jwt_server, &[&*oversized], "8"),
        (unavailable_server, &["Basic YWxpY2U6c2VjcmV0"], "14"),
    ] {
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let response = call(address, CHECK, content_type, authorization).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
            assert_eq!(grpc_statuses(response.headers()), [code], "{authorization:?}");
            assert!(response.headers().contains_key("grpc-message"));
            assert!(response.body().is_end_stream());
        }
    }

    // For comparison, a served call has its status in the trailers.
    let response = call(jwt_server, CHECK, "application/grpc", &[&valid]).await;
    assert!(!response.body().is_end_stream());
    assert!(grpc_statuses(response.headers()).is_empty());
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(grpc_statuses(collected.trailers().unwrap()), ["0"]);
}

#[tokio::test]
async fn request_without_grpc_content_type_gets_an_http_status() {
    let issuer = Issuer::new();
    let address = serve(issuer.jwt_auth(), health_reporter().1);
    let unscoped = issuer.bearer("");
    for (authorization, status) in [(&[][..], 401), (&["Bearer"], 400), (&[&*unscoped], 403)] {
        let response = call(address, CHECK, "application/json", authorization).await;
        assert_eq!(response.status(), status);
        assert!(grpc_statuses(response.headers()).is_empty());
        assert!(response.headers().contains_key("www-authenticate"));
    }
}

/// One responder on the outer layer, and other layers between it and the policy.
#[tokio::test]
async fn outer_responder_renders_missing_scope_outage_and_throttling() {
    let issuer = Issuer::new();
    let directory = async |sent: BasicCredentials| match sent.user_id() {
        "outage" => Verdict::unavailable("ldap-7 is down"),
        _ => Verdict::Invalid,
    };
    let throttle = Throttle::by_address(|_: &Parts| "192.0.2.1".parse().ok());
    let staff = BasicAuth::new("staff", directory).unwrap().throttle(throttle).unwrap();
    let with_kind = |rejection: &Rejection, head: &Parts| {
        let mut response: Response<Body> = GrpcStatus::default().respond(rejection, head);
        let kind = format!("{:?} {}", rejection.kind(), head.uri.path());
        response.headers_mut().insert("x-kind", kind.parse().unwrap());
        response
    };
    let outage = policy_fn("quota", |_, head| match head.headers.contains_key("x-quota") {
        true => Decision::pending(async { Err(Denial::unavailable()) }),
        false => Decision::ready(Ok(())),
    });
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .layer(AuthenticateLayer::new(any_of((issuer.jwt_auth(), staff))).responder(with_kind))
        .layer(TimeoutLayer::with_status_code(StatusCode::OK, Duration::from_secs(30)))
        .layer(MapResponseLayer::new(|mut response: Response<Body>| {
            response.headers_mut().insert("x-inner", HeaderValue::from_static("kept"));
            response
        }))
        .layer(RequireScopes::all(["health:read"]).and(outage))
        .add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    let channel = connect(address).await;

    let scope = rejection_status(&channel, Some(&issuer.bearer(""))).await;
    let missing = rejection_status(&channel, None).await;
    let directory = rejection_status(&channel, Some("Basic b3V0YWdlOng=")).await;
    for (status, code, kind, from_inside) in [
        (&missing, Code::Unauthenticated, "MissingCredentials", false),
        (&scope, Code::PermissionDenied, "InsufficientScope", true),
        (&directory, Code::Unavailable, "Unavailable", false),
    ] {
        assert_eq!(status.code(), code, "{status:?}");
        let kind = format!("{kind} {CHECK}");
        assert_eq!(status.metadata().get("x-kind").unwrap(), kind.as_str());
        assert_eq!(status.metadata().get("x-inner").is_some(), from_inside);
        assert_eq!(status.metadata().get_all("x-kind").iter().count(), 1);
    }
    let challenge = r#"Bearer realm="health", error="insufficient_scope", scope="health:read""#;
    assert_eq!(challenges(scope.metadata()), [challenge]);

    let mut quota = Request::new(overall());
    quota.metadata_mut().insert("x-quota", "1".parse().unwrap());
    let with_scope = issuer.bearer("health:read");
    let quota = client(channel.clone(), Some(&with_scope)).check(quota).await.unwrap_err();
    assert_eq!(quota.code(), Code::Unavailable);
    assert_eq!(quota.metadata().get("x-kind").unwrap(), &*format!("Unavailable {CHECK}"));
    assert_eq!(quota.metadata().get("retry-after").unwrap(), "5");

    for _ in 0..100 {
        let wrong = client(channel.clone(), Some("Basic YWxpY2U6eA==")).check(overall()).await;
        let wrong = wrong.unwrap_err();
        if wrong.code() == Code::ResourceExhausted {
            let kind = format!("TooManyRequests {CHECK}");
            assert_eq!(wrong.metadata().get("x-kind").unwrap(), kind.as_str());
            return;
        }
        assert_eq!(wrong.code(), Code::Unauthenticated);
    }
    panic!("no login was throttled");
}

/// A handler and an extractor of an axum route that tonic serves.
#[tokio::test]
async fn outer_responder_renders_rejections_of_handlers_and_extractors_as_grpc() {
    let issuer = Issuer::new();
    let denied = async || Err::<(), _>(Denial::insufficient_scope(["health:write"]));
    let app = Router::new()
        .route("/grpc.health.v1.Health/Check", post(denied))
        .route("/grpc.health.v1.Health/Watch", post(async |_: Principal| ()));
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .layer(AuthenticateLayer::optional(issuer.jwt_auth()).responder(GrpcStatus::default()))
        .add_routes(Routes::from(app));
    tokio::spawn(server.serve_with_incoming(incoming));
    let channel = connect(address).await;

    let mut with_token = client(channel.clone(), Some(&issuer.bearer("health:read")));
    let denial = with_token.check(overall()).await.unwrap_err();
    assert_eq!(denial.code(), Code::PermissionDenied);
    let challenge = r#"Bearer realm="health", error="insufficient_scope", scope="health:write""#;
    assert_eq!(challenges(denial.metadata()), [challenge]);
    let missing = client(channel, None).watch(overall()).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unauthenticated);
    assert_eq!(challenges(missing.metadata()), [r#"Bearer realm="health""#]);
}
