use std::{borrow::Cow, fmt, sync::Arc};

use http::{
    HeaderName,
    header::{COOKIE, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
};

use super::{
    cookie,
    error::CredentialsError,
    header_token::{in_authorization, in_header},
    websocket_protocol,
};
use crate::header::{Scheme, sensitive::mark_sensitive};

/// The part of a request that a [`TokenLocation`](super::TokenLocation) reads and hides.
#[derive(Clone)]
pub(super) enum Source {
    Authorization,
    /// The value of a header after a prefix, which may be empty.
    Header {
        name: HeaderName,
        prefix: Box<str>,
    },
    /// The value of a cookie.
    Cookie {
        name: Box<str>,
        /// Whether inner services see it.
        is_kept: bool,
    },
    /// The rest of an entry of `Sec-WebSocket-Protocol` that starts with a prefix.
    WebSocketProtocol {
        prefix: Box<str>,
        is_base64url: bool,
    },
    Closure(Arc<FindToken>),
}

pub(super) type FindToken = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// A token that may be invalid, or the reason why it cannot be read.
pub(super) type Found<'h> = Result<Cow<'h, [u8]>, CredentialsError>;

impl Source {
    /// Returns whether both find the same token in each request. Closures are never the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Authorization, Self::Authorization) => true,
            (Self::Header { name, prefix }, Self::Header { name: other, prefix: others }) => {
                name == other && prefix == others
            }
            (Self::Cookie { name, .. }, Self::Cookie { name: other, .. }) => name == other,
            (
                Self::WebSocketProtocol { prefix, .. },
                Self::WebSocketProtocol { prefix: other, .. },
            ) => prefix == other,
            _ => false,
        }
    }

    /// Returns the token, or `None` if the request has none here.
    pub(super) fn find<'h>(&self, head: &'h Parts, scheme: Scheme) -> Option<Found<'h>> {
        let borrowed = match self {
            Self::Authorization => in_authorization(&head.headers, scheme)?,
            Self::Header { name, prefix } => in_header(&head.headers, name, prefix)?,
            Self::Cookie { name, .. } => cookie::find(&head.headers, name)?,
            Self::WebSocketProtocol { prefix, is_base64url } => {
                let token = websocket_protocol::find_token(&head.headers, prefix)?;
                if *is_base64url {
                    return Some(token.and_then(websocket_protocol::decode).map(Cow::Owned));
                }
                token
            }
            Self::Closure(find) => return Some(Ok(Cow::Owned(find(head)?.into_bytes()))),
        };
        Some(borrowed.map(Cow::Borrowed))
    }

    /// Hides the token from inner services.
    pub(super) fn conceal(&self, head: &mut Parts) {
        match self {
            // `Authenticator::conceal` marks `Authorization` in any case.
            Self::Authorization | Self::Closure(_) => {}
            Self::Header { name, .. } => mark_sensitive(&mut head.headers, name),
            Self::Cookie { is_kept: true, .. } => mark_sensitive(&mut head.headers, &COOKIE),
            Self::Cookie { name, .. } => cookie::remove(&mut head.headers, name),
            Self::WebSocketProtocol { prefix, .. } => {
                websocket_protocol::remove_tokens(&mut head.headers, prefix);
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorization => f.write_str("Authorization"),
            Self::Header { name, prefix } => write!(f, "{name}: {prefix}"),
            Self::Cookie { name, .. } => write!(f, "cookie {name}"),
            Self::WebSocketProtocol { prefix, .. } => {
                write!(f, "{SEC_WEBSOCKET_PROTOCOL}: {prefix}")
            }
            Self::Closure(_) => f.write_str("from_fn"),
        }
    }
}
