use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::extract::{FromRequestParts, RawPathParams};
use http::{Request, request::Parts};

use crate::authorize::denial::Denial;

/// A parameter of the path, as axum has found and decoded it: none where no route has matched (which looks like a
/// route without parameters), or where it cannot be decoded. A route with others than this one, or with two of
/// this name, is no place to ask for it.
pub(crate) fn path_param(head: &Parts, name: &str) -> Result<Option<String>, Denial> {
    let mut copy = Request::new(()).into_parts().0;
    copy.extensions = head.extensions.clone();
    let params = pin!(RawPathParams::from_request_parts(&mut copy, &()));
    // It waits for nothing.
    let Poll::Ready(Ok(params)) = params.poll(&mut Context::from_waker(Waker::noop())) else {
        return Ok(None);
    };
    let mut found = params.iter().filter(|(known, _)| *known == name);
    match (found.next(), found.next()) {
        (None, _) if params.iter().next().is_none() => Ok(None),
        (Some((_, value)), None) => Ok(Some(value.to_owned())),
        (None, _) => {
            Err(Denial::misconfigured().because(format!("the route has no parameter {name:?}")))
        }
        (Some(_), Some(_)) => Err(Denial::misconfigured()
            .because(format!("the route has two parameters {name:?}: name them apart"))),
    }
}
