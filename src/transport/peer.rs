//! The address of the other end of the connection.

use std::net::IpAddr;

use http::request::Parts;

/// A closure of an application that returns the address of the other end of the connection.
pub(crate) type PeerFn = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

/// Returns the address of the client or proxy that opened the connection, which the framework
/// stores in the extensions of a request.
pub(crate) fn peer_address(head: &Parts) -> Option<IpAddr> {
    #[cfg(all(feature = "axum", not(target_family = "wasm")))]
    if let Some(axum::extract::ConnectInfo(address)) =
        head.extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>()
    {
        return Some(address.ip());
    }
    // tonic inserts it for TLS connections as well.
    #[cfg(feature = "tonic")]
    if let Some(info) = head.extensions.get::<tonic::transport::server::TcpConnectInfo>() {
        return info.remote_addr().map(|address| address.ip());
    }
    let _ = head;
    None
}
