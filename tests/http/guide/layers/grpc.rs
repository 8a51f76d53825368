use std::time::Duration;

use tonic::{
    codec::CompressionEncoding,
    transport::{Error, Server, server::TcpIncoming},
};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_web::GrpcWebLayer;
use tower_auth::{
    AuthenticateLayer, Authenticator, RequireScopes,
    authorize::{Routes, public},
};
use tower_http::{
    cors::CorsLayer, sensitive_headers::SetSensitiveRequestHeadersLayer, trace::TraceLayer,
};

/// With tonic's `Server`: from the outermost to the innermost.
pub async fn serve<A, H>(
    incoming: TcpIncoming,
    callers: A,
    cors: CorsLayer,
    health: HealthServer<H>,
) -> Result<(), Error>
where
    A: Authenticator + 'static,
    H: Health,
{
    let policies = Routes::new()
        .route("/grpc.health.v1.Health/Check", public())
        .route("/grpc.health.v1.Health/{method}", RequireScopes::all("health"));
    let health = health
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    Server::builder()
        .accept_http1(true) // for gRPC-Web
        .timeout(Duration::from_secs(10)) // outside all layers, as the next two
        .concurrency_limit_per_connection(100)
        .load_shed(true)
        .layer(SetSensitiveRequestHeadersLayer::new([http::header::AUTHORIZATION]))
        .layer(TraceLayer::new_for_grpc())
        .layer(cors)
        .layer(AuthenticateLayer::optional(callers))
        .layer(policies)
        .layer(GrpcWebLayer::new())
        .add_service(health)
        .serve_with_incoming(incoming)
        .await
}
