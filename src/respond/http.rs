use http::{Response, request::Parts};

use super::responder::Respond;
use crate::rejection::Rejection;

/// Responds with the HTTP status of the rejection and an empty body to every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpStatus(());

impl<B: Default> Respond<B> for HttpStatus {
    fn respond(&self, rejection: &Rejection, _: &Parts) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = rejection.kind().status();
        response
    }
}
