use std::{error::Error, fmt};

/// Why [`Principal::claims`](crate::Principal::claims) gave no claims.
///
/// It says where the claims do not fit, and not how: that could put a claim's value into a log.
#[derive(Clone, Debug)]
pub struct ClaimsError(Option<usize>);

impl ClaimsError {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn shape(error: &serde_json::Error) -> Self {
        Self(Some(error.column()))
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("the caller's scheme knows no claims"),
            Some(column) => write!(f, "the claims do not fit the type, at column {column}"),
        }
    }
}

impl Error for ClaimsError {}
