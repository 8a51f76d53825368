//! The table `[profiles.NAME.preflight]`: CORS preflights are admitted without credentials.

use axum::http::HeaderName;
use serde::Deserialize;

use crate::fault::Fault;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Preflight {
    /// The header in which the proxy sends the method of the request that it asks about.
    method_header: String,
}

impl Preflight {
    pub(crate) fn method_header(&self) -> Result<HeaderName, Fault> {
        let invalid = |_| Fault::new("preflight.method_header", "must be the name of a header");
        self.method_header.parse().map_err(invalid)
    }
}
