//! Which URLs lead to this machine alone.

use std::net::IpAddr;

use http::Uri;

/// Whether the host is `localhost`, or an address of 127.0.0.0/8 or `::1` in its usual spelling.
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
