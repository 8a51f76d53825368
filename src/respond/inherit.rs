use http::{Response, request::Parts};

use super::{
    grpc::GrpcStatus, http::HttpStatus, outer_responder::OuterResponder, responder::Respond,
};
use crate::rejection::Rejection;

/// Leaves the rendering of rejections to the responder of an outer layer. Every layer starts with
/// it.
///
/// If no outer layer has a responder either, a rejected gRPC request gets a [`GrpcStatus`], and any
/// other request gets an [`HttpStatus`]. These responses have an empty body, so the body must
/// implement `Default`. For a body that does not, set a responder.
///
/// # Security
///
/// The caller determines whether a request is a gRPC request: by its method, HTTP version and
/// `content-type`. The response to a rejected gRPC request is HTTP 200. If the service does not
/// serve gRPC and something reads only the HTTP status of its responses, such as a proxy that
/// delegates authentication to it, set [`HttpStatus`] on the outermost layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inherit(());

impl<B: Default> Respond<B> for Inherit {
    #[inline]
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        // The outer layer renders the rejection again. If something hides the rejection from it,
        // the HTTP status must not be the 200 of gRPC.
        if OuterResponder::is_marked(head) {
            return HttpStatus::default().respond(rejection, head);
        }
        GrpcStatus::default().or(HttpStatus::default()).respond(rejection, head)
    }

    #[inline]
    fn is_inherited(&self) -> bool {
        true
    }
}
