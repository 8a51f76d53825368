//! The API, and who may call it.

use axum::{
    Router,
    routing::{delete, get},
};
use tower_auth::{
    AuthenticateLayer, ConfigError, Principal, RequireScopes,
    mtls::{CertificateAuth, CertificateName, ClientCertificate},
};

pub fn app(certificate: ClientCertificate) -> Result<Router, ConfigError> {
    let services = CertificateAuth::builder(certificate)
        .subject_from(CertificateName::spiffe("prod.example"))
        .principal(|caller: Principal| {
            let scopes: &[&str] = match caller.subject() {
                "spiffe://prod.example/batch" => &["orders:read"],
                "spiffe://prod.example/shop" => &["orders:read", "orders:write"],
                // 401
                _ => return None,
            };
            Some(caller.to_builder().scopes(scopes).build())
        })
        .realm("orders")
        .build()?;
    Ok(Router::new()
        .route("/orders", get(list).layer(RequireScopes::all(["orders:read"])))
        .route("/orders/{id}", delete(cancel).layer(RequireScopes::all(["orders:write"])))
        .layer(AuthenticateLayer::new(services)))
}

async fn list(caller: Principal) -> String {
    format!("hello {}\n", caller.subject())
}

async fn cancel(caller: Principal) -> String {
    format!("cancelled by {}\n", caller.subject())
}
