//! A listener for `axum::serve` that accepts TLS connections.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    extract::connect_info::{ConnectInfo, Connected},
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower_auth::mtls::{ClientCertificate, PeerCertificate};

use crate::tls::{handshake, peer_certificate};

const MAX_HANDSHAKES: usize = 256;

/// What handlers can extract with `ConnectInfo<ClientConnection>`.
#[derive(Clone)]
pub struct ClientConnection {
    certificate: Option<PeerCertificate>,
}

/// Returns the certificate of the connection of a request.
pub fn client_certificate() -> ClientCertificate {
    ClientCertificate::from_fn(|head| {
        head.extensions.get::<ConnectInfo<ClientConnection>>()?.0.certificate.clone()
    })
}

/// `axum::serve` calls this once for each connection.
impl Connected<IncomingStream<'_, TlsListener>> for ClientConnection {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self { certificate: peer_certificate(stream.io()) }
    }
}

pub struct TlsListener {
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    /// Starts to accept connections. Handshakes run in tasks, so that a slow client does not delay
    /// others.
    pub fn new(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, connections) = mpsc::channel(1);
        let permits = Arc::new(Semaphore::new(MAX_HANDSHAKES));
        let mut listener = listener;
        tokio::spawn(async move {
            while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
                // Retries if the process has too many open files.
                let (stream, client) = Listener::accept(&mut listener).await;
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    if let Some(stream) = handshake(&acceptor, stream).await {
                        // Fails if the server has stopped.
                        _ = sender.send((stream, client)).await;
                    }
                    drop(permit);
                });
            }
        });
        Ok(Self { connections, address })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
