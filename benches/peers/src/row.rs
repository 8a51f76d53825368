use std::{convert::Infallible, fmt};

use futures_util::FutureExt;
use http::{Request, Response};
use tower::Service;

use crate::request;

pub type Row = tower_auth_test_support::rounds::Row<RowName>;

/// The name of a row of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowName {
    pub group: &'static str,
    /// The algorithm, or a description of the credentials.
    pub case: &'static str,
    /// The crate, and how it is used.
    pub item: &'static str,
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

/// Creates a row that sends a request through a service that completes at its first poll.
pub(crate) fn request_row<S, B>(name: RowName, mut service: S, authorization: Option<&str>) -> Row
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + 'static,
{
    let request = request(authorization);
    Row::new(
        name,
        move || request.clone(),
        move |request| service.call(request).now_or_never().unwrap().unwrap(),
    )
}

/// Creates a row that calls a function.
pub(crate) fn call_row<T>(name: RowName, mut function: impl FnMut() -> T + 'static) -> Row {
    Row::new(name, || (), move |()| function())
}
