use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    json::members::Members, observe::escaped::Escaped, principal::claims_error::ClaimsError,
};

/// The `cnf` of a token: a JSON object that names the key of its caller (RFC 7800 §3.1).
///
/// Its members depend on the binding: `jkt` for DPoP (RFC 9449 §6.1), `x5t#S256` for a client
/// certificate (RFC 8705 §3.1).
///
/// ```
/// use serde::Deserialize;
/// use tower_auth::binding::Cnf;
///
/// #[derive(Deserialize)]
/// struct Members<'a> {
///     jkt: Option<&'a str>,
/// }
///
/// let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
/// let cnf = Cnf::new(&serde_json::json!({ "jkt": thumbprint }))?;
/// let members: Members<'_> = cnf.members()?;
/// assert_eq!(members.jkt, Some(thumbprint));
/// # Ok::<(), tower_auth::ClaimsError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Cnf(pub(crate) Arc<str>);

impl Cnf {
    /// Creates a confirmation claim from its members, for a custom
    /// [`TokenVerifier`](crate::bearer::TokenVerifier).
    ///
    /// # Errors
    ///
    /// Returns an error if the members cannot be serialized as a JSON object, or are nested deeper
    /// than 32 levels.
    pub fn new<M: Serialize + ?Sized>(members: &M) -> Result<Self, ClaimsError> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::to_value(members)
            .and_then(serde_json::from_value)
            .map_err(|_| ClaimsError::not_an_object())?;
        let json: Arc<str> = serde_json::Value::Object(object).to_string().into();
        Members::parse(&json).ok_or(ClaimsError::not_an_object())?;
        Ok(Self(json))
    }

    /// Returns whether there is a member with this name.
    pub(crate) fn has_member(&self, name: &str) -> bool {
        Members::parse(&self.0).is_some_and(|members| members.get(&self.0, name).is_some())
    }

    /// Deserializes the members. The type may borrow from `self`.
    ///
    /// # Errors
    ///
    /// Returns an error if the members do not match the type.
    pub fn members<'a, M: Deserialize<'a>>(&'a self) -> Result<M, ClaimsError> {
        serde_json::from_str(&self.0).map_err(|_| ClaimsError::mismatch(Some("cnf")))
    }
}

/// Prints the JSON object. It names a key, but contains no secret.
impl fmt::Debug for Cnf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cnf({})", Escaped(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_json_objects_are_accepted() {
        for invalid in [json!(null), json!("jkt"), json!(["jkt"]), json!(1)] {
            assert!(Cnf::new(&invalid).is_err(), "{invalid}");
        }
        let cnf = Cnf::new(&json!({ "jwk": { "kty": "EC" } })).unwrap();
        assert_eq!(cnf.members::<Value>().unwrap()["jwk"]["kty"], "EC");
    }
}
