use std::time::Duration;

use tonic::transport::{Error, Server, server::TcpIncoming};
use tonic_health::pb::health_server::{Health, HealthServer};
use tower_auth::{
    AuthenticateLayer, Authenticator, RequireScopes,
    authorize::{Routes, public},
};
use tower_http::{sensitive_headers::SetSensitiveRequestHeadersLayer, trace::TraceLayer};

/// With tonic's `Server`: from the outermost to the innermost.
pub async fn serve<A, H>(
    incoming: TcpIncoming,
    callers: A,
    health: HealthServer<H>,
) -> Result<(), Error>
where
    A: Authenticator + 'static,
    H: Health,
{
    let policies = Routes::new()
        .route("/grpc.health.v1.Health/Check", public())
        .route("/grpc.health.v1.Health/{method}", RequireScopes::all("health"));
    Server::builder()
        .timeout(Duration::from_secs(10)) // outside all layers, as the next two
        .concurrency_limit_per_connection(100)
        .load_shed(true)
        .layer(SetSensitiveRequestHeadersLayer::new([http::header::AUTHORIZATION]))
        .layer(TraceLayer::new_for_grpc())
        .layer(AuthenticateLayer::optional(callers))
        .layer(policies)
        .add_service(health)
        .serve_with_incoming(incoming)
        .await
}
