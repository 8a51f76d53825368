use std::{error::Error, fmt};

/// Why [`Principal::claims`](crate::Principal::claims) cannot return the claims.
///
/// The error contains the position of a mismatch, but no values, so that it is safe to log.
#[derive(Clone, Debug)]
pub struct ClaimsError(Option<usize>); // the column, or `None` if there are no claims

impl ClaimsError {
    /// The principal has no claims.
    pub(crate) const fn no_claims() -> Self {
        Self(None)
    }

    /// The claims do not match the type.
    pub(crate) fn mismatch(error: &serde_json::Error) -> Self {
        Self(Some(error.column()))
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("the caller has no claims"),
            Some(column) => {
                write!(f, "the claims do not match the requested type, at column {column}")
            }
        }
    }
}

impl Error for ClaimsError {}
