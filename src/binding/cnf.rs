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
        // The text is a valid object, so it need not be parsed for its first member.
        let first = self.0.strip_prefix("{\"").and_then(|text| text.strip_prefix(name));
        if first.is_some_and(|text| text.starts_with("\":")) {
            return true;
        }
        Members::parse(&self.0).is_some_and(|members| members.get(&self.0, name).is_some())
    }

    /// Returns whether this member is the only one, and this string, which needs no escapes. May
    /// return `false` if the JSON is not written in the shortest form.
    #[cfg(feature = "mtls")]
    pub(crate) fn is_only(&self, name: &str, value: &str) -> bool {
        let text = self.0.strip_prefix("{\"").and_then(|text| text.strip_prefix(name));
        let text = text.and_then(|text| text.strip_prefix("\":\""));
        text.and_then(|text| text.strip_suffix("\"}")) == Some(value)
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

    #[test]
    fn member_is_found_at_any_position_and_with_escapes() {
        for json in [
            r#"{"jkt":1}"#,
            r#"{ "jkt" : 1 }"#,
            r#"{"a":{},"jkt":1}"#,
            r#"{"\u006akt":1}"#,
            r#"{"jkt":"\"}"}"#,
        ] {
            assert!(Cnf(json.into()).has_member("jkt"), "{json}");
        }
        for json in [
            "{}",
            r#"{"jk":1}"#,
            r#"{"jktt":1}"#,
            r#"{"ajkt":1}"#,
            r#"{"a":"jkt"}"#,
            r#"{"a":{"jkt":1}}"#,
            r#"{"jkt\"":1}"#,
        ] {
            assert!(!Cnf(json.into()).has_member("jkt"), "{json}");
        }
    }

    #[cfg(feature = "mtls")]
    #[test]
    fn only_member_is_compared_with_a_string() {
        let is_only = |json: &str| Cnf(json.into()).is_only("x5t#S256", "A-_9");
        assert!(is_only(r#"{"x5t#S256":"A-_9"}"#));
        for json in [
            "{}",
            r#"{"x5t#S256":"A-_"}"#,
            r#"{"x5t#S256":"A-_9A"}"#,
            r#"{"x5t#S256":"a-_9"}"#,
            r#"{"x5t#S25":"A-_9"}"#,
            r#"{"x5t#S256":["A-_9"]}"#,
            r#"{"x5t#S256":"A-_9","jkt":"A-_9"}"#,
            r#"{"jkt":"A-_9","x5t#S256":"A-_9"}"#,
        ] {
            assert!(!is_only(json), "{json}");
        }
    }
}
