use std::{convert::Infallible, fmt};

use http::{Request, Response};
use tower::Service;

/// The name of a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub group: &'static str,
    /// The algorithm, or a description of the credentials.
    pub case: &'static str,
    pub name: &'static str,
}

impl Row {
    #[must_use]
    pub const fn new(group: &'static str, case: &'static str, name: &'static str) -> Self {
        Self { group, case, name }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, case, name } = self;
        if case.is_empty() {
            write!(f, "{group}/{name}")
        } else {
            write!(f, "{group}/{case}/{name}")
        }
    }
}

/// Processes each row: measures the time, or counts the allocations.
pub trait Rows {
    /// Sends one request through a service that completes at its first poll.
    fn request<S, B>(&mut self, row: Row, service: S, authorization: Option<&str>)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>;

    /// Calls a function.
    fn call<T>(&mut self, row: Row, function: impl FnMut() -> T);
}
