use std::{convert::Infallible, fmt};

use http::{Request, Response};
use tower::Service;

/// What one row of the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub group: &'static str,
    /// The algorithm, or what was sent.
    pub with: &'static str,
    pub name: &'static str,
}

impl Row {
    #[must_use]
    pub const fn new(group: &'static str, with: &'static str, name: &'static str) -> Self {
        Self { group, with, name }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, with, name } = self;
        if with.is_empty() {
            write!(f, "{group}/{name}")
        } else {
            write!(f, "{group}/{with}/{name}")
        }
    }
}

/// What is done with each row: it is timed, or its allocations are counted.
pub trait Rows {
    /// One request through a service that answers at its first poll.
    fn request<S, B>(&mut self, row: Row, service: S, authorization: Option<&str>)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>;

    /// One call of a function.
    fn call<T>(&mut self, row: Row, function: impl FnMut() -> T);
}
