//! Responders, which turn a [`Rejection`](crate::Rejection) into a response.
//!
//! Set a responder once, on the outermost layer, with
//! [`AuthenticateLayer::responder`](crate::AuthenticateLayer::responder). It renders the rejections
//! of that layer and of everything inside it. A layer without a responder [inherits](Inherit) that
//! of the layer around it.

pub(crate) mod grpc;
pub(crate) mod handler_rejection;
pub(crate) mod head_summary;
pub(crate) mod http;
pub(crate) mod inherit;
pub(crate) mod join_challenges;
#[cfg(feature = "session")]
pub(crate) mod navigation;
pub(crate) mod outer_responder;
pub(crate) mod problem;
pub(crate) mod reject;
pub(crate) mod render_again;
pub(crate) mod responder;
pub(crate) mod response_future;

pub use self::{
    grpc::{GrpcOr, GrpcStatus},
    http::HttpStatus,
    inherit::Inherit,
    join_challenges::JoinChallenges,
    problem::ProblemJson,
    responder::Respond,
};
