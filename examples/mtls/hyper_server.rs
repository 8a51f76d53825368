//! The same with hyper, without `axum::serve`.

use std::sync::Arc;

use axum::{Extension, Router, serve::Listener};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_rustls::TlsAcceptor;
use tower_auth::mtls::ClientCertificate;

use crate::tls::{handshake, peer_certificate};

const MAX_CONNECTIONS: usize = 10_000;

/// Returns the certificate that [`serve`] inserts into the extensions of each request.
pub fn client_certificate() -> ClientCertificate {
    ClientCertificate::connection()
}

pub async fn serve(mut listener: TcpListener, acceptor: TlsAcceptor, app: Router) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let (stream, _) = Listener::accept(&mut listener).await;
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            let Some(stream) = handshake(&acceptor, stream).await else { return };
            // Once for each connection: all requests share what is computed from it.
            let app = match peer_certificate(&stream) {
                Some(certificate) => app.layer(Extension(certificate)),
                None => app,
            };
            let service = TowerToHyperService::new(app);
            let server = auto::Builder::new(TokioExecutor::new());
            _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            drop(permit);
        });
    }
}
