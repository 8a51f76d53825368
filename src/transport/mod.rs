//! What the connection and the proxies in front of the service say about a request.
//!
//! [`Forwarded`] is the one place that knows which proxies are trusted. It determines the address
//! of the client, the scheme and the host of a request, for everything that needs them.

pub(crate) mod admit;
pub(crate) mod connection_info;
pub(crate) mod forwarded;
pub(crate) mod forwarded_header;
pub(crate) mod host;
pub(crate) mod https;
pub(crate) mod https_redirect;
pub(crate) mod networks;
pub(crate) mod node;
pub(crate) mod peer;
pub(crate) mod same_origin;
#[cfg(test)]
mod tests;
pub(crate) mod x_forwarded;

pub use self::{
    admit::{Admit, AdmitFuture},
    connection_info::ConnectionInfo,
    forwarded::Forwarded,
    https::HttpsLayer,
    same_origin::SameOriginLayer,
};
