use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::extract::{FromRequestParts, RawPathParams};
use http::{Request, request::Parts};

use crate::authorize::denial::Denial;

/// Returns the value of a path parameter, as matched and decoded by axum.
///
/// Returns `None` if no route matched, if the route has no parameters, or if a parameter cannot be
/// decoded. Axum does not distinguish the first two cases.
///
/// # Errors
///
/// Returns a `misconfigured` denial if the route has only other parameters, or has the parameter
/// twice.
pub(crate) fn path_param(head: &Parts, name: &str) -> Result<Option<String>, Denial> {
    let mut copy = Request::new(()).into_parts().0;
    copy.extensions = head.extensions.clone();
    let params = pin!(RawPathParams::from_request_parts(&mut copy, &()));
    // The extractor is always ready at the first poll.
    let Poll::Ready(Ok(params)) = params.poll(&mut Context::from_waker(Waker::noop())) else {
        return Ok(None);
    };
    let mut matches = params.iter().filter(|(param, _)| *param == name);
    match (matches.next(), matches.next()) {
        (None, _) if params.iter().next().is_none() => Ok(None),
        (Some((_, value)), None) => Ok(Some(value.to_owned())),
        (None, _) => {
            Err(Denial::misconfigured().because(format!("the route has no parameter {name:?}")))
        }
        (Some(_), Some(_)) => Err(Denial::misconfigured()
            .because(format!("the route has two parameters {name:?}: use different names"))),
    }
}
