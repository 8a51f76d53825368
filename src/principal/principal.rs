use std::{any::Any, fmt, sync::Arc, time::SystemTime};

#[cfg(feature = "jwt")]
use serde::de::{Deserialize, DeserializeOwned};

#[cfg(feature = "jwt")]
use super::{claims_error::ClaimsError, claims_set::ClaimsSet};
use super::{scopes::Scopes, verified::Verified};
#[cfg(feature = "jwt")]
use crate::binding::cnf::Cnf;
use crate::header::{Challenge, Scheme};

/// The authenticated caller of a request.
///
/// [`AuthenticateLayer`](crate::AuthenticateLayer) inserts it into the extensions of the request,
/// where policies, handlers and extractors read it. Cloning it increments a reference count.
///
/// Tests and custom schemes create one with a builder:
///
/// ```
/// use tower_auth::{Principal, Scheme};
///
/// let caller = Principal::builder("alice", Scheme::BASIC).scopes(["orders:read"]).build();
/// assert_eq!(caller.subject(), "alice");
/// assert!(caller.scopes().contains("orders:read"));
/// ```
#[derive(Clone)]
pub struct Principal {
    pub(super) verified: Arc<Verified>,
    presented: Option<Arc<Presented>>,
}

/// How the caller presented its credentials.
///
/// It is separate from what was verified, so that the principal of a cached token can get the
/// scheme and the challenge of a layer without a copy.
#[derive(Debug)]
pub(crate) struct Presented {
    pub(crate) scheme: Scheme,
    pub(crate) challenge: Challenge,
}

impl Principal {
    /// Returns the name of the caller: the user id of Basic, or the `sub` claim of a JWT.
    ///
    /// It is unique only together with the [`issuer`](Self::issuer).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.verified.subject
    }

    /// Returns the scheme that authenticated the caller.
    #[must_use]
    #[inline]
    pub fn scheme(&self) -> Scheme {
        self.presented.as_ref().map_or(self.verified.scheme, |presented| presented.scheme)
    }

    /// Returns the issuer of the credentials: the `iss` claim of a JWT.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.verified.issuer.as_deref()
    }

    /// Returns the scopes that the caller was granted.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.verified.scopes
    }

    /// Returns when the credentials expire: the `exp` claim of a JWT, without leeway.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.verified.expires_at
    }

    /// Returns the challenge of the scheme.
    ///
    /// If the scheme is Bearer or DPoP, rejections by policies add their parameters to it.
    #[must_use]
    #[inline]
    pub fn challenge(&self) -> Option<&Challenge> {
        match &self.presented {
            Some(presented) => Some(&presented.challenge),
            None => self.verified.challenge.as_ref(),
        }
    }

    /// Returns the key to which the credentials are bound: the `cnf` claim of a JWT.
    ///
    /// For the caller of a request, a [`Binding`](crate::binding::Binding) has confirmed it.
    #[cfg(feature = "jwt")]
    #[must_use]
    #[inline]
    pub fn confirmation(&self) -> Option<&Cnf> {
        self.verified.confirmation.as_ref()
    }

    /// Returns the value of this type that was attached with
    /// [`PrincipalBuilder::extension`](crate::PrincipalBuilder::extension).
    #[must_use]
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.verified.extensions.get()
    }

    /// Sets the scheme and the challenge with which the caller presented its credentials.
    #[cfg(any(feature = "basic", feature = "jwt"))]
    #[inline]
    pub(crate) fn presented_as(self, presented: &Arc<Presented>) -> Self {
        Self { presented: Some(Arc::clone(presented)), ..self }
    }
}

#[cfg(feature = "jwt")]
impl Principal {
    /// Returns the claims as your own type.
    ///
    /// They are deserialized once for each principal and type. All requests with the same cached
    /// token share the result. If the first calls run at the same time, each may deserialize, but
    /// all return the same value.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tower_auth::{Principal, Scheme};
    ///
    /// #[derive(Deserialize)]
    /// struct Tenant {
    ///     tenant: String,
    /// }
    ///
    /// let caller = Principal::builder("alice", Scheme::BEARER)
    ///     .claims(&serde_json::json!({ "sub": "alice", "tenant": "acme" }))?
    ///     .build();
    /// assert_eq!(caller.claims_as::<Tenant>()?.tenant, "acme");
    /// # Ok::<(), tower_auth::ClaimsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the caller has no claims, for example with Basic, or if they do not
    /// match the type.
    pub fn claims_as<C>(&self) -> Result<Arc<C>, ClaimsError>
    where
        C: DeserializeOwned + Any + Send + Sync,
    {
        let typed = &self.verified.typed_claims;
        match typed.get() {
            Some(claims) => Ok(claims),
            None => self.claims_set()?.deserialize().map(|claims| typed.get_or_insert(claims)),
        }
    }

    /// Deserializes the claims into a type that borrows from the principal, each time.
    ///
    /// For a type that owns its values, use [`claims_as`](Self::claims_as), which keeps the result.
    /// A `&str` does not match a string that contains a JSON escape; a `Cow<str>` with
    /// `#[serde(borrow)]` does.
    ///
    /// # Errors
    ///
    /// As for [`claims_as`](Self::claims_as).
    pub fn claims<'a, C: Deserialize<'a>>(&'a self) -> Result<C, ClaimsError> {
        self.claims_set()?.deserialize()
    }

    /// Deserializes a single claim.
    ///
    /// A path that starts with `/` is a JSON Pointer (RFC 6901) to a nested claim. Any other path
    /// is the literal name of a top-level claim, including any dots.
    ///
    /// ```
    /// use tower_auth::{Principal, Scheme};
    ///
    /// let caller = Principal::builder("alice", Scheme::BEARER)
    ///     .claims(&serde_json::json!({ "tenant": { "name": "acme", "seats": 5 } }))?
    ///     .build();
    /// assert_eq!(caller.claim::<u32>("/tenant/seats")?, 5);
    /// assert!(caller.claim::<String>("plan").is_err());
    /// # Ok::<(), tower_auth::ClaimsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the caller has no such claim, also for an `Option`, or if the claim does
    /// not match the type.
    pub fn claim<'a, C: Deserialize<'a>>(&'a self, path: &str) -> Result<C, ClaimsError> {
        self.claims_set()?;
        let json = self.claim_json(path).ok_or_else(|| ClaimsError::missing(path))?;
        serde_json::from_str(json).map_err(|_| ClaimsError::mismatch(Some(path)))
    }

    /// Returns the JSON of a single claim. The path is as for [`claim`](Self::claim).
    #[inline]
    pub(crate) fn claim_json(&self, path: &str) -> Option<&str> {
        self.verified.claims.as_ref()?.find(path).ok()?
    }

    /// Returns why the claim at this path is unreadable for a policy. A claim that is absent is
    /// not.
    #[cold]
    pub(crate) fn claim_fault(
        &self,
        path: &str,
        is_readable: impl FnOnce(&str) -> bool,
    ) -> Option<ClaimsError> {
        let claims = self.verified.claims.as_ref()?;
        match claims.find(path) {
            Ok(None) if claims.is_nested_name(path) => Some(ClaimsError::nested_name(path)),
            Ok(None | Some("null")) => None,
            Ok(Some(json)) if is_readable(json) => None,
            Ok(Some(_)) | Err(_) => Some(ClaimsError::mismatch(Some(path))),
        }
    }

    /// Returns the claims as JSON.
    #[cfg(feature = "session")]
    pub(crate) fn claims_text(&self) -> Option<&str> {
        self.verified.claims.as_ref().map(ClaimsSet::as_json)
    }

    fn claims_set(&self) -> Result<&ClaimsSet, ClaimsError> {
        self.verified.claims.as_ref().ok_or(ClaimsError::no_claims())
    }
}

#[cfg(feature = "revocation")]
impl Principal {
    /// Returns what the verifier returned, before closures changed it.
    #[inline]
    pub(crate) fn as_verified(&self) -> &Verified {
        self.verified.as_verified.as_ref().unwrap_or(&self.verified)
    }

    /// Remembers what the verifier returned, which revocations refer to, if `self` is another
    /// caller or has other claims.
    pub(crate) fn mapped_from(self, before: &Self) -> Self {
        let original = before.verified.as_verified.as_ref().unwrap_or(&before.verified);
        let is_known = match &self.verified.as_verified {
            Some(known) => Arc::ptr_eq(known, original),
            None => {
                Arc::ptr_eq(&self.verified, original)
                    || (self.verified.subject == original.subject
                        && self.verified.claims_json() == original.claims_json())
            }
        };
        if is_known {
            return self;
        }
        let mut verified = Verified::clone(&self.verified);
        verified.as_verified = Some(Arc::clone(original));
        Self { verified: Arc::new(verified), presented: self.presented }
    }
}

#[cfg(feature = "token-cache")]
impl Principal {
    /// See [`Verified::heap_bytes`].
    pub(crate) fn heap_bytes(&self) -> usize {
        self.verified.heap_bytes()
    }
}

impl From<Verified> for Principal {
    #[inline]
    fn from(verified: Verified) -> Self {
        Self { verified: Arc::new(verified), presented: None }
    }
}

/// Principals are equal if they have the same subject, scheme, issuer, scopes (in any order),
/// expiry, claims and confirmation. The challenge and the extensions are not compared.
impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&self.verified, &other.verified);
        let same_fields = self.subject() == other.subject()
            && self.scheme() == other.scheme()
            && one.issuer == two.issuer
            && one.scopes == two.scopes
            && one.expires_at == two.expires_at;
        #[cfg(feature = "jwt")]
        let same_fields =
            same_fields && one.claims == two.claims && one.confirmation == two.confirmation;
        same_fields
    }
}

impl Eq for Principal {}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verified.fmt_as("Principal", f)
    }
}

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::principal::PrincipalBuilder;

    fn alice() -> PrincipalBuilder {
        let claims = json!({ "sub": "alice", "seats": 5, "a": { "b": ["x"] }, "name": "\"A\"" });
        let builder = Principal::builder("alice", Scheme::BEARER).issuer("i").scopes(["a", "b"]);
        builder.claims(&claims).unwrap()
    }

    #[test]
    fn error_names_the_claim_that_is_missing_or_does_not_match() {
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code)]
        struct Seats {
            seats: u32,
            plan: Option<String>,
        }
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Strict {
            sub: String,
        }
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code)]
        struct Renamed {
            #[serde(rename = "email", alias = "mail")]
            address: String,
        }
        let caller = alice().build();
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code)]
        struct Newtype(Renamed);
        assert_eq!(caller.claims_as::<Seats>().unwrap().seats, 5);
        assert!(caller.claims_as::<Option<Seats>>().unwrap().is_some());
        let claim = |error: ClaimsError| error.claim().map(str::to_owned);
        let text = alice().claims(&json!({ "seats": "5" })).unwrap().build();
        assert_eq!(claim(text.claims_as::<Seats>().unwrap_err()).as_deref(), Some("seats"));
        assert!(!text.claims_as::<Seats>().unwrap_err().to_string().contains("\"5\""));
        let missing = caller.claims_as::<Renamed>().unwrap_err();
        assert_eq!(missing.to_string(), "the claim \"email\" is missing");
        let missing = caller.claims_as::<Newtype>().unwrap_err();
        assert_eq!(missing.claim(), Some("email"));
        // Claims that are not named are ignored, unless the struct says otherwise.
        let unknown = claim(caller.claims_as::<Strict>().unwrap_err()).unwrap();
        assert!(["seats", "a", "name"].contains(&&*unknown), "{unknown}");
        let twice = alice().claims(&json!({ "mail": "a", "email": "b" })).unwrap().build();
        assert_eq!(claim(twice.claims_as::<Renamed>().unwrap_err()).as_deref(), Some("email"));
        assert_eq!(claim(caller.claims_as::<Vec<u8>>().unwrap_err()), None);
        let basic = Principal::builder("alice", Scheme::BASIC).build();
        assert_eq!(basic.claims_as::<Value>().unwrap_err().to_string(), "the caller has no claims");
    }

    #[test]
    fn single_claim_is_read_by_name_or_pointer() {
        let caller = alice().build();
        assert_eq!(caller.claim::<u32>("seats").unwrap(), 5);
        assert_eq!(caller.claim::<String>("name").unwrap(), "\"A\"");
        assert_eq!(caller.claim::<&str>("/a/b/0").unwrap(), "x");
        assert_eq!(caller.claim::<Value>("a").unwrap(), json!({ "b": ["x"] }));
        for (path, error) in [
            ("seat", "the claim \"seat\" is missing"),
            ("/a/b/0/c", "the claim \"/a/b/0/c\" is missing"),
            ("sub", "the claim \"sub\" does not match the requested type"),
        ] {
            assert_eq!(caller.claim::<u32>(path).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn claims_are_deserialized_once_for_each_type_and_again_if_they_change() {
        let caller = alice().build();
        let (first, clone) = (caller.claims_as::<Value>().unwrap(), caller.clone());
        assert!(Arc::ptr_eq(&first, &clone.claims_as().unwrap()));
        let changed = caller.to_builder().claims(&json!({ "sub": "bob" })).unwrap().build();
        assert_eq!(*changed.claims_as::<Value>().unwrap(), json!({ "sub": "bob" }));
        assert!(Arc::ptr_eq(&first, &caller.claims_as().unwrap()));
    }

    #[test]
    fn principals_are_equal_if_the_same_was_verified() {
        let caller = alice().build();
        let reordered = json!({ "name": "\"A\"", "a": { "b": ["x"] }, "seats": 5, "sub": "alice" });
        let same = alice().scopes(["b", "a"]).claims(&reordered).unwrap().extension(7);
        assert_eq!(caller, same.build());
        assert_eq!(caller, caller.to_builder().build());
        let cnf = Cnf::new(&json!({ "jkt": "x" })).unwrap();
        for other in [
            alice().issuer("j"),
            alice().scopes("a"),
            alice().expires_at(SystemTime::UNIX_EPOCH),
            alice().claims(&json!({ "sub": "alice" })).unwrap(),
            alice().confirmation(cnf),
            Principal::builder("alice", Scheme::BASIC),
            Principal::builder("bob", Scheme::BEARER),
        ] {
            assert_ne!(caller, other.build());
        }
    }

    #[test]
    fn extension_replaces_one_of_the_same_type_only() {
        let caller = alice().extension(1_u8).extension("text").build();
        let changed = caller.to_builder().extension(2_u8).build();
        assert_eq!((caller.extension(), changed.extension()), (Some(&1_u8), Some(&2_u8)));
        assert_eq!(changed.extension(), Some(&"text"));
        assert_eq!(caller.extension::<u16>(), None);
        // A value of the same type as the claims is something else.
        let caller = caller.to_builder().extension(json!("mine")).build();
        assert_eq!(caller.claims_as::<Value>().unwrap()["sub"], "alice");
        assert_eq!(caller.extension::<Value>(), Some(&json!("mine")));
    }

    #[test]
    fn claims_that_are_not_a_strict_object_are_rejected() {
        let deep = (0..40).fold(json!(1), |value, _| json!([value]));
        for invalid in [json!("text"), json!([1]), json!(null), json!({ "a": deep })] {
            assert!(alice().claims(&invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn whole_numbers_of_128_bits_are_not_read_from_fractions() {
        for number in ["1.5", "1e3"] {
            let json: Value = serde_json::from_str(&format!("{{\"limit\": {number}}}")).unwrap();
            let caller = alice().claims(&json).unwrap().build();
            assert!(caller.claims_as::<BTreeMap<String, i128>>().is_err(), "{number}");
            assert!(caller.claims_as::<BTreeMap<String, u128>>().is_err(), "{number}");
        }
    }

    #[test]
    fn type_that_does_not_read_all_claims_is_rejected() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[allow(dead_code)]
        enum Only {
            Acme(String),
        }
        let claims = json!({ "acme": "admin", "sub": "bob" });
        assert!(alice().claims(&claims).unwrap().build().claims_as::<Only>().is_err());
        let only = alice().claims(&json!({ "acme": "admin" })).unwrap().build();
        assert!(only.claims_as::<Only>().is_ok());
    }

    #[test]
    fn names_are_deserialized_as_by_serde_json() {
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
        struct Name(String);
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
        enum Known {
            #[serde(rename = "1")]
            One,
        }
        let caller = alice().claims(&json!({ "1": 2 })).unwrap().build();
        assert_eq!(caller.claims::<BTreeMap<Name, u8>>().unwrap()[&Name("1".into())], 2);
        assert_eq!(caller.claims::<BTreeMap<Option<u32>, u8>>().unwrap()[&Some(1)], 2);
        assert_eq!(caller.claims::<BTreeMap<Known, u8>>().unwrap()[&Known::One], 2);
        assert!(caller.claims::<BTreeMap<bool, u8>>().is_err());
        for name in [" 1", "1\n", "1 2"] {
            let caller = alice().claims(&json!({ name: 2 })).unwrap().build();
            assert!(caller.claims::<BTreeMap<u32, u8>>().is_err(), "{name:?}");
        }
    }
}
