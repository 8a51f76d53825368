use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};

use crate::{Rejection, RejectionKind};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The content type to answer with, where a request is gRPC or gRPC-Web.
pub(super) fn content_type(headers: &HeaderMap) -> Option<&'static str> {
    let sent = headers.get(CONTENT_TYPE)?.as_bytes();
    let after = sent.strip_prefix(b"application/grpc")?;
    match after {
        [] | [b'+' | b';' | b' ', ..] => Some("application/grpc"),
        [b'-', b'w', b'e', b'b', b'-', b't', b'e', b'x', b't', ..] => {
            Some("application/grpc-web-text")
        }
        [b'-', b'w', b'e', b'b', ..] => Some("application/grpc-web"),
        _ => None,
    }
}

/// A response of headers alone, as "Trailers-Only" of the gRPC protocol asks: HTTP 200, and the
/// status in `grpc-status`.
pub(super) fn respond<B: Default>(
    rejection: &Rejection,
    content_type: &'static str,
) -> Response<B> {
    let mut response = Response::new(B::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(STATUS, HeaderValue::from_static(code(rejection.kind())));
    headers.insert(MESSAGE, message(rejection.kind().message()));
    response
}

/// The codes of `google.rpc.Code`.
fn code(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::MissingCredentials
        | RejectionKind::MalformedRequest
        | RejectionKind::InvalidCredentials => "16", // UNAUTHENTICATED
        RejectionKind::InsufficientScope | RejectionKind::Forbidden => "7", // PERMISSION_DENIED
        RejectionKind::CredentialsTooLarge | RejectionKind::TooManyRequests => "8", // RESOURCE_EXHAUSTED
        RejectionKind::Unavailable => "14",                                         // UNAVAILABLE
        RejectionKind::Misconfigured => "13",                                       // INTERNAL
    }
}

/// Our messages are ASCII without `%`, which `grpc-message` takes as it is. A test holds them to it.
fn message(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered_as(content_type_sent: &'static str) -> Option<&'static str> {
        let sent = HeaderValue::from_static(content_type_sent);
        content_type(&HeaderMap::from_iter([(CONTENT_TYPE, sent)]))
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        assert_eq!(answered_as("application/grpc"), Some("application/grpc"));
        assert_eq!(answered_as("application/grpc+proto"), Some("application/grpc"));
        assert_eq!(answered_as("application/grpc-web+proto"), Some("application/grpc-web"));
        assert_eq!(answered_as("application/grpcx"), None);
        assert_eq!(answered_as("application/json"), None);
    }

    #[test]
    fn messages_need_no_percent_encoding() {
        use RejectionKind as Kind;
        for kind in [
            Kind::MissingCredentials,
            Kind::MalformedRequest,
            Kind::InvalidCredentials,
            Kind::CredentialsTooLarge,
            Kind::InsufficientScope,
            Kind::Forbidden,
            Kind::TooManyRequests,
            Kind::Unavailable,
            Kind::Misconfigured,
        ] {
            assert!(kind.message().bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'));
        }
    }
}
