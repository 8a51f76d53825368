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
    status: StatusCode,
}

impl Prepared {
    pub(crate) fn new<S>(mut service: S, authorization: Option<&str>, status: StatusCode) -> Self
    where
        S: Service<Request<()>, Response = Response<Body>, Error = Infallible> + 'static,
    {
        let request = request(authorization);
        let call = move |request| service.call(request).now_or_never().unwrap().unwrap();
        Self { call: Box::new(call), request, status }
    }

    /// Sends the same request through a few times, and sees what it is answered with. It is a step of its own, for what
    /// was made on the way to the service has to be freed before: the next requests find the allocator busy with it.
    pub(crate) fn warmed(mut self) -> Self {
        for _ in 0..16 {
            assert_eq!((self.call)(self.request.clone()).status(), self.status);
        }
        self
    }

    /// What is counted. It gives back what would be dropped otherwise, which is none of the request's cost.
    pub(crate) fn go(self) -> (Response<Body>, Call) {
        let Self { mut call, request, .. } = self;
        (call(black_box(request)), call)
    }
}

pub(crate) fn request(authorization: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    request
}

/// The service behind the layers, which answers at once.
pub(crate) fn inner(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    ready(Ok(Response::new(Body::default())))
}
