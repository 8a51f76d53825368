//! The address of the other end of the connection.

use std::net::IpAddr;

use http::request::Parts;

/// The other end of the connection: a client or a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: Option<IpAddr>,
    /// Whether the framework reports that the connection uses TLS.
    pub(crate) is_tls: bool,
}

impl Peer {
    /// Returns what the framework stores in the extensions of a request.
    pub(crate) fn of(head: &Parts) -> Self {
        #[cfg(all(feature = "axum", not(target_family = "wasm")))]
        if let Some(axum::extract::ConnectInfo(address)) =
            head.extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>()
        {
            return Self { address: Some(address.ip()), is_tls: false };
        }
        let _ = head;
        Self { address: None, is_tls: false }
    }
}
