//! One request through a service.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use tower::Service;

type Body = Full<Bytes>;
type Call = Box<dyn FnMut(Request<()>) -> Response<Body>>;

/// A service, and the request that is counted.
pub(crate) struct Prepared {
    call: Call,
    request: Request<()>,
}

impl Prepared {
    /// The same request has gone through the same service before, and was answered with this status.
    pub(crate) fn new<S>(mut service: S, authorization: Option<&str>, status: StatusCode) -> Self
    where
        S: Service<Request<()>, Response = Response<Body>, Error = Infallible> + 'static,
    {
        let mut request = Request::new(());
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
        }
        let mut call: Call =
            Box::new(move |request| service.call(request).now_or_never().unwrap().unwrap());
        for _ in 0..2 {
            assert_eq!(call(request.clone()).status(), status);
        }
        Self { call, request }
    }

    /// What is counted. It gives back what would be dropped otherwise, which is none of the request's cost.
    pub(crate) fn go(self) -> (Response<Body>, Call) {
        let Self { mut call, request } = self;
        (call(black_box(request)), call)
    }
}

/// The service behind the layers, which answers at once.
pub(crate) fn inner(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    ready(Ok(Response::new(Body::default())))
}
