use std::{error::Error, fmt};

use super::claims_deserializer::Fault;
use crate::rejection::{Rejection, RejectionKind};

/// Why claims cannot be read or set.
///
/// The error names the claim, but contains no values, so that it is safe to log.
#[derive(Clone, Debug)]
pub struct ClaimsError(Kind);

#[derive(Clone, Debug)]
enum Kind {
    NoClaims,
    Missing(Box<str>),
    Mismatch(Option<Box<str>>),
    NestedName(Box<str>),
    NotAnObject,
}

impl ClaimsError {
    /// The principal has no claims.
    pub(crate) const fn no_claims() -> Self {
        Self(Kind::NoClaims)
    }

    /// The principal does not have this claim.
    pub(crate) fn missing(claim: &str) -> Self {
        Self(Kind::Missing(claim.into()))
    }

    /// The type does not match this claim, or the claims as a whole.
    pub(crate) fn mismatch(claim: Option<&str>) -> Self {
        Self(Kind::Mismatch(claim.map(Box::from)))
    }

    /// There is no claim with this name, which looks like a path to a nested claim.
    pub(crate) fn nested_name(name: &str) -> Self {
        Self(Kind::NestedName(name.into()))
    }

    /// A value cannot be claims.
    pub(crate) const fn not_an_object() -> Self {
        Self(Kind::NotAnObject)
    }

    /// Returns the claim that is missing or does not match, if it is known: its name, or the path
    /// that was passed to [`Principal::claim`](crate::Principal::claim).
    ///
    /// For a value inside a claim, it is the top-level claim. With `#[serde(flatten)]` or a tagged
    /// enum, it can be the name of a member inside it.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tower_auth::{Principal, Scheme};
    ///
    /// #[derive(Debug, Deserialize)]
    /// struct Plan {
    ///     seats: u32,
    /// }
    ///
    /// let caller = Principal::builder("alice", Scheme::BEARER)
    ///     .claims(&serde_json::json!({ "seats": "five" }))?
    ///     .build();
    /// assert_eq!(caller.claims_as::<Plan>().unwrap_err().claim(), Some("seats"));
    /// # Ok::<(), tower_auth::ClaimsError>(())
    /// ```
    #[must_use]
    pub fn claim(&self) -> Option<&str> {
        match &self.0 {
            Kind::Missing(claim) | Kind::Mismatch(Some(claim)) | Kind::NestedName(claim) => {
                Some(claim)
            }
            Kind::NoClaims | Kind::Mismatch(None) | Kind::NotAnObject => None,
        }
    }
}

#[cfg(feature = "tracing")]
impl ClaimsError {
    /// Returns whether the caller has claims that do not match the type.
    pub(crate) fn is_mismatch(&self) -> bool {
        matches!(self.0, Kind::Missing(_) | Kind::Mismatch(_) | Kind::NestedName(_))
    }
}

impl From<Fault> for ClaimsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing(claim) => Self::missing(claim),
            Fault::Mismatch(claim) => Self(Kind::Mismatch(Some(claim))),
            Fault::Other => Self::mismatch(None),
        }
    }
}

/// Another login would not help the caller, so this is a 403. If the claims do not match, a warning
/// names the claim. Claims that a service itself sets wrongly are a 500.
impl From<ClaimsError> for Rejection {
    fn from(error: ClaimsError) -> Self {
        let kind = match error.0 {
            Kind::NotAnObject => RejectionKind::Misconfigured,
            Kind::NoClaims | Kind::Missing(_) | Kind::Mismatch(_) | Kind::NestedName(_) => {
                RejectionKind::Forbidden
            }
        };
        Self::new(kind).with_source(error)
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::NoClaims => f.write_str("the caller has no claims"),
            Kind::Missing(claim) => write!(f, "the claim {claim:?} is missing"),
            Kind::Mismatch(Some(claim)) => {
                write!(f, "the claim {claim:?} does not match the requested type")
            }
            Kind::NestedName(name) => write!(
                f,
                "the claim {name:?} is missing: if it is a path, write it as a JSON Pointer, such \
                 as `/realm_access/roles`"
            ),
            Kind::Mismatch(None) => f.write_str("the claims do not match the requested type"),
            Kind::NotAnObject => f.write_str(
                "the value is not a JSON object with different names and at most 32 levels, or it \
                 has an internal name of serde_json",
            ),
        }
    }
}

impl Error for ClaimsError {}
