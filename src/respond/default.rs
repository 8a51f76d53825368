use http::{Response, request::Parts};

use super::{grpc::GrpcStatus, http::HttpStatus, responder::Respond};
use crate::rejection::Rejection;

/// The default responder of the layers: [`GrpcStatus`] for gRPC requests, and [`HttpStatus`] for
/// all others.
///
/// # Security
///
/// The caller determines whether a request is a gRPC request: by its method, HTTP version and
/// `content-type`. The response to a rejected gRPC request is HTTP 200. If the service does not
/// serve gRPC and something reads only the HTTP status of its responses, such as a proxy that
/// delegates authentication to it, use [`HttpStatus`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultResponder(());

impl<B: Default> Respond<B> for DefaultResponder {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        GrpcStatus::default().or(HttpStatus::default()).respond(rejection, head)
    }
}
