use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, Version, header::CONTENT_TYPE,
    request::Parts,
};

use super::responder::Respond;
use crate::rejection::{Rejection, RejectionKind};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Responds with a gRPC status to every request, including requests that are not gRPC.
///
/// The response is HTTP 200 without a body ("Trailers-Only"). Its `grpc-status` is
///
/// | code | name | rejection |
/// | --- | --- | --- |
/// | 16 | `UNAUTHENTICATED` | the credentials are missing, malformed, invalid or insufficient |
/// | 7 | `PERMISSION_DENIED` | a policy denies access; a cross-site request; plain HTTP |
/// | 8 | `RESOURCE_EXHAUSTED` | the credentials or the body are too large; too many attempts |
/// | 10 | `ABORTED` | an equal request is being processed |
/// | 14 | `UNAVAILABLE` | a backend is unavailable |
/// | 13 | `INTERNAL` | the service is misconfigured |
///
/// To serve other requests as well, combine it with another responder: [`GrpcStatus::or`].
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcStatus(());

impl GrpcStatus {
    /// Responds to gRPC and gRPC-Web requests, and uses `other` for all other requests.
    ///
    /// A gRPC request is a POST over HTTP/2 with the content type of gRPC. A gRPC-Web request is a
    /// POST over any HTTP version with the content type of gRPC-Web.
    pub fn or<R>(self, other: R) -> GrpcOr<R> {
        GrpcOr { grpc: self, other }
    }
}

impl<B: Default> Respond<B> for GrpcStatus {
    #[inline]
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        let mut response = Response::new(B::default());
        let content_type = response_content_type(&head.headers).unwrap_or("application/grpc");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(STATUS, HeaderValue::from_static(status_code(rejection.kind())));
        // The messages are printable ASCII without `%`, so they need no percent-encoding.
        headers.insert(MESSAGE, HeaderValue::from_static(rejection.kind().message()));
        response
    }
}

/// Responds to gRPC requests with a gRPC status, and to other requests with another responder.
///
/// Created by [`GrpcStatus::or`].
#[derive(Clone, Copy, Debug)]
pub struct GrpcOr<R> {
    grpc: GrpcStatus,
    other: R,
}

impl<B: Default, R: Respond<B>> Respond<B> for GrpcOr<R> {
    #[inline]
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        if is_grpc(head) {
            self.grpc.respond(rejection, head)
        } else {
            self.other.respond(rejection, head)
        }
    }

    fn redirects_navigations(&self) -> bool {
        self.other.redirects_navigations()
    }
}

/// Returns whether a request is gRPC (POST over HTTP/2) or gRPC-Web (POST over any version).
fn is_grpc(head: &Parts) -> bool {
    head.method == Method::POST
        && match response_content_type(&head.headers) {
            Some("application/grpc") => head.version == Version::HTTP_2,
            content_type => content_type.is_some(),
        }
}

/// Returns the content type of the response if the request is gRPC or gRPC-Web.
fn response_content_type(headers: &HeaderMap) -> Option<&'static str> {
    let content_type = headers.get(CONTENT_TYPE)?.as_bytes();
    match content_type.strip_prefix(b"application/grpc")? {
        [] | [b'+' | b';' | b' ', ..] => Some("application/grpc"),
        [b'-', b'w', b'e', b'b', b'-', b't', b'e', b'x', b't', ..] => {
            Some("application/grpc-web-text")
        }
        [b'-', b'w', b'e', b'b', ..] => Some("application/grpc-web"),
        _ => None,
    }
}

/// Returns the gRPC status code (`google.rpc.Code`) of a kind.
fn status_code(kind: RejectionKind) -> &'static str {
    match kind {
        // UNAUTHENTICATED
        RejectionKind::MissingCredentials
        | RejectionKind::MalformedRequest
        | RejectionKind::InvalidCredentials
        | RejectionKind::InsufficientAuthentication => "16",
        // PERMISSION_DENIED
        RejectionKind::InsufficientScope
        | RejectionKind::Forbidden
        | RejectionKind::CrossSite
        | RejectionKind::HttpsRequired => "7",
        // RESOURCE_EXHAUSTED
        RejectionKind::CredentialsTooLarge
        | RejectionKind::ContentTooLarge
        | RejectionKind::TooManyRequests => "8",
        // ABORTED
        RejectionKind::Conflict => "10",
        // UNAVAILABLE
        RejectionKind::Unavailable => "14",
        // INTERNAL
        RejectionKind::Misconfigured => "13",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response_type(request_type: &'static str) -> Option<&'static str> {
        let request_type = HeaderValue::from_static(request_type);
        response_content_type(&HeaderMap::from_iter([(CONTENT_TYPE, request_type)]))
    }

    #[test]
    fn response_content_type_matches_grpc_and_grpc_web_requests() {
        assert_eq!(response_type("application/grpc"), Some("application/grpc"));
        assert_eq!(response_type("application/grpc+proto"), Some("application/grpc"));
        assert_eq!(response_type("application/grpc-web+proto"), Some("application/grpc-web"));
        assert_eq!(response_type("application/grpcx"), None);
        assert_eq!(response_type("application/json"), None);
    }

    #[test]
    fn each_kind_has_its_code_and_a_message_without_percent_encoding() {
        use RejectionKind as Kind;
        for (kind, code) in [
            (Kind::MissingCredentials, "16"),
            (Kind::MalformedRequest, "16"),
            (Kind::InvalidCredentials, "16"),
            (Kind::CredentialsTooLarge, "8"),
            (Kind::ContentTooLarge, "8"),
            (Kind::Conflict, "10"),
            (Kind::InsufficientScope, "7"),
            (Kind::InsufficientAuthentication, "16"),
            (Kind::Forbidden, "7"),
            (Kind::CrossSite, "7"),
            (Kind::HttpsRequired, "7"),
            (Kind::TooManyRequests, "8"),
            (Kind::Unavailable, "14"),
            (Kind::Misconfigured, "13"),
        ] {
            assert_eq!(status_code(kind), code, "{kind:?}");
            assert!(kind.message().bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'));
        }
    }
}
