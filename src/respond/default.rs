use http::{Response, request::Parts};

use super::{grpc::GrpcStatus, http::HttpStatus, responder::Respond};
use crate::rejection::Rejection;

/// What the layers use where they are told nothing else: [`GrpcStatus`] for gRPC requests, and
/// [`HttpStatus`] for all others.
///
/// # Security
///
/// A request is gRPC where it says so itself, with its method, HTTP version and `content-type`, and a
/// gRPC refusal is HTTP 200. A service that speaks no gRPC, and whose answers are read by their HTTP
/// status alone, such as by a proxy that asks it whether to let somebody in, must use [`HttpStatus`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultResponder(());

impl<B: Default> Respond<B> for DefaultResponder {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        GrpcStatus::default().or(HttpStatus::default()).respond(rejection, head)
    }
}
