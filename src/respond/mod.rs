//! Responders, which turn a [`Rejection`](crate::Rejection) into a response.
//!
//! Layers use [`DefaultResponder`] unless another one is set, for example with
//! [`AuthenticateLayer::responder`](crate::AuthenticateLayer::responder).

pub(crate) mod default;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod problem;
pub(crate) mod reject;
pub(crate) mod responder;
pub(crate) mod response_future;

pub use self::{
    default::DefaultResponder,
    grpc::{GrpcOr, GrpcStatus},
    http::HttpStatus,
    problem::ProblemJson,
    responder::Respond,
    response_future::ResponseFuture,
};
