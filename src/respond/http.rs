use http::{Response, request::Parts};

use super::responder::Respond;
use crate::rejection::Rejection;

/// Answers with the rejection's status and an empty body, whatever the request is.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpStatus(());

impl<B: Default> Respond<B> for HttpStatus {
    fn respond(&self, rejection: &Rejection, _: &Parts) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = rejection.kind().status();
        response
    }
}
