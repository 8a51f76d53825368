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

/// A service and the request that is counted.
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

    /// Sends the request several times and checks the response status.
    ///
    /// Warm-up is a separate step, because the temporary data of the setup must be freed before it.
    /// Otherwise the allocator handles that memory during the next requests.
    pub(crate) fn warmed(mut self) -> Self {
        for _ in 0..16 {
            assert_eq!((self.call)(self.request.clone()).status(), self.status);
        }
        self
    }

    /// Sends the counted request. Returns all values, so that their drop is not counted.
    pub(crate) fn run(self) -> (Response<Body>, Call) {
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

/// The inner service, which responds immediately.
pub(crate) fn inner(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    ready(Ok(Response::new(Body::default())))
}
