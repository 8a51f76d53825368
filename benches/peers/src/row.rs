use std::{convert::Infallible, fmt, hint::black_box};

use futures_util::FutureExt;
use http::{Request, Response};
use tower::Service;

use crate::request;

/// A row of the tables, and what it measures.
pub struct Row {
    pub name: RowName,
    work: Box<dyn Work>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowName {
    pub group: &'static str,
    /// The algorithm, or a description of the credentials.
    pub case: &'static str,
    /// The crate, and how it is used.
    pub item: &'static str,
}

trait Work {
    /// Prepares this many calls.
    fn prepare(&mut self, count: usize);

    /// Makes the calls.
    fn run(&mut self);
}

impl RowName {
    #[must_use]
    pub const fn new(group: &'static str, case: &'static str, item: &'static str) -> Self {
        Self { group, case, item }
    }
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.group, self.case, self.item)
    }
}

impl Row {
    /// Creates a row that sends a request through a service that completes at its first poll.
    pub(crate) fn request<S, B>(name: RowName, service: S, authorization: Option<&str>) -> Self
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible> + 'static,
    {
        let request = request(authorization);
        Self { name, work: Box::new(Requests { service, request, prepared: Vec::new() }) }
    }

    /// Creates a row that calls a function.
    pub(crate) fn call<T>(name: RowName, function: impl FnMut() -> T + 'static) -> Self {
        Self { name, work: Box::new(Calls { function, count: 0 }) }
    }

    /// Prepares the next `count` calls, so that `run` only makes them.
    pub fn prepare(&mut self, count: usize) {
        self.work.prepare(count);
    }

    pub fn run(&mut self) {
        self.work.run();
    }
}

struct Requests<S> {
    service: S,
    request: Request<()>,
    prepared: Vec<Request<()>>,
}

impl<S, B> Work for Requests<S>
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    fn prepare(&mut self, count: usize) {
        self.prepared.extend((0..count).map(|_| self.request.clone()));
    }

    fn run(&mut self) {
        for request in self.prepared.drain(..) {
            drop(black_box(self.service.call(request).now_or_never().unwrap().unwrap()));
        }
    }
}

struct Calls<F> {
    function: F,
    count: usize,
}

impl<T, F: FnMut() -> T> Work for Calls<F> {
    fn prepare(&mut self, count: usize) {
        self.count = count;
    }

    fn run(&mut self) {
        for _ in 0..self.count {
            black_box((self.function)());
        }
    }
}
