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

pub(crate) type Body = Full<Bytes>;
type Call = Box<dyn FnMut(Request<()>) -> Response<Body>>;

/// A service, and the request whose instructions are counted.
pub(crate) struct PreparedRequest {
    call: Call,
    request: Request<()>,
    status: StatusCode,
}

impl PreparedRequest {
    pub(crate) fn new<S>(service: S, authorization: Option<&str>, status: StatusCode) -> Self
    where
        S: Service<Request<()>, Response = Response<Body>, Error = Infallible> + 'static,
    {
        Self::with(service, request(authorization), status)
    }

    pub(crate) fn with<S>(mut service: S, request: Request<()>, status: StatusCode) -> Self
    where
        S: Service<Request<()>, Response = Response<Body>, Error = Infallible> + 'static,
    {
        let call = move |request| service.call(request).now_or_never().unwrap().unwrap();
        Self { call: Box::new(call), request, status }
    }

    /// Sends the request a few times, and checks the status of the responses.
    ///
    /// This is not a part of `new`: the caller first frees the temporary values of the setup, whose
    /// deallocation would change the state of the allocator.
    pub(crate) fn warm_up(mut self) -> Self {
        for _ in 0..16 {
            assert_eq!((self.call)(self.request.clone()).status(), self.status);
        }
        self
    }

    /// Sends the request. Returns the service, too, so that its drop is not counted.
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

/// The inner service, which returns a response immediately.
pub(crate) fn inner(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    ready(Ok(Response::new(Body::default())))
}
