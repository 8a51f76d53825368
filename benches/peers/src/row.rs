use std::{convert::Infallible, fmt};

use http::{Request, Response};
use tower::Service;

/// Identifies one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub group: &'static str,
    /// The algorithm, or the kind of request.
    pub variant: &'static str,
    pub name: &'static str,
}

impl Row {
    #[must_use]
    pub const fn new(group: &'static str, variant: &'static str, name: &'static str) -> Self {
        Self { group, variant, name }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, variant, name } = self;
        if variant.is_empty() {
            write!(f, "{group}/{name}")
        } else {
            write!(f, "{group}/{variant}/{name}")
        }
    }
}

/// Measures the rows: their time or their allocations.
pub trait Rows {
    /// Measures one request through a service that responds at the first poll.
    fn request<S, B>(&mut self, row: Row, service: S, authorization: Option<&str>)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>;

    /// Measures one call of a function.
    fn call<T>(&mut self, row: Row, function: impl FnMut() -> T);
}
