use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, Version, header::CONTENT_TYPE,
    request::Parts,
};

use super::responder::Respond;
use crate::rejection::{Rejection, RejectionKind};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Answers as gRPC does, whatever the request is: with HTTP 200 and headers alone ("Trailers-Only"), and
/// with the status in `grpc-status`. That is 16 for credentials that are missing or not good, 7 for a
/// policy's refusal, and 14 for an outage.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcStatus(());

impl GrpcStatus {
    /// Answers gRPC requests, and lets `other` answer all that are none. gRPC and gRPC-Web are known by their
    /// method and content type.
    pub fn or<R>(self, other: R) -> GrpcOr<R> {
        GrpcOr { grpc: self, other }
    }
}

impl<B: Default> Respond<B> for GrpcStatus {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        let mut response = Response::new(B::default());
        let content_type = content_type(&head.headers).unwrap_or("application/grpc");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(STATUS, HeaderValue::from_static(code(rejection.kind())));
        // Our messages are ASCII without `%`, which `grpc-message` takes as it is.
        headers.insert(MESSAGE, HeaderValue::from_static(rejection.kind().message()));
        response
    }
}

/// Answers gRPC requests as gRPC does, and others otherwise: see [`GrpcStatus::or`].
#[derive(Clone, Copy, Debug)]
pub struct GrpcOr<R> {
    grpc: GrpcStatus,
    other: R,
}

impl<B: Default, R: Respond<B>> Respond<B> for GrpcOr<R> {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        if is_grpc(head) {
            self.grpc.respond(rejection, head)
        } else {
            self.other.respond(rejection, head)
        }
    }
}

/// gRPC is POST over HTTP/2; gRPC-Web is POST over any version.
fn is_grpc(head: &Parts) -> bool {
    head.method == Method::POST
        && match content_type(&head.headers) {
            Some("application/grpc") => head.version == Version::HTTP_2,
            web => web.is_some(),
        }
}

/// The content type to answer with, where a request is gRPC or gRPC-Web.
fn content_type(headers: &HeaderMap) -> Option<&'static str> {
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

/// The codes of `google.rpc.Code`.
fn code(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::MissingCredentials
        | RejectionKind::MalformedRequest
        | RejectionKind::InvalidCredentials
        | RejectionKind::InsufficientAuthentication => "16", // UNAUTHENTICATED
        RejectionKind::InsufficientScope | RejectionKind::Forbidden => "7", // PERMISSION_DENIED
        RejectionKind::CredentialsTooLarge | RejectionKind::TooManyRequests => "8", // RESOURCE_EXHAUSTED
        RejectionKind::Unavailable => "14",                                         // UNAVAILABLE
        RejectionKind::Misconfigured => "13",                                       // INTERNAL
    }
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
            Kind::InsufficientAuthentication,
            Kind::Forbidden,
            Kind::TooManyRequests,
            Kind::Unavailable,
            Kind::Misconfigured,
        ] {
            assert!(kind.message().bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'));
        }
    }
}
