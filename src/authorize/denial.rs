use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::Response;

use super::requirements::Requirements;
use crate::{
    header::{Challenge, Scheme, grammar::is_scope_token},
    one_or_many::OneOrMany,
    principal::caller::Caller,
    rejection::{Rejection, RejectionKind},
    respond::handler_rejection::HandlerRejection,
};

/// The rejection of a request by a policy.
#[derive(Clone, Debug)]
#[must_use]
pub struct Denial(Box<DenialData>);

#[derive(Clone, Debug)]
struct DenialData {
    /// How the denial is rendered.
    kind: Kind,
    /// Whether the policy could not decide. Then `not` must not turn the denial into permission.
    indeterminate: bool,
    requirements: Requirements,
    reason: Option<Arc<dyn Error + Send + Sync>>,
}

/// The kinds in the order of their precedence in [`Denial::and`]: first what the client can fix,
/// then what could not be decided, then what no other policy can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Scope,
    Authentication,
    Unavailable,
    Misconfigured,
    Forbidden,
}

impl Denial {
    /// Rejects the request with 403: the caller may not do this.
    pub fn forbidden() -> Self {
        Self::new(Kind::Forbidden, Requirements::none())
    }

    /// Rejects the request with 403: the caller needs these scopes (RFC 6750 §3.1).
    ///
    /// Name all scopes that the route needs, including those that the caller already has. The
    /// client can then request a token with all of them.
    pub fn insufficient_scope<K>(required: impl OneOrMany<str, K>) -> Self {
        Self::new(Kind::Scope, Requirements::scopes(required))
    }

    /// Rejects the request with 401: the caller must log in again (RFC 9470 §3).
    ///
    /// The new login must have one of these `acr` values, be at most `max_age` ago, or both.
    ///
    /// The callers are those for whom another login helps: those with a token ([`Scheme::BEARER`],
    /// [`Scheme::DPOP`]) or a session ([`Scheme::COOKIE`]). All others get a 403.
    pub fn insufficient_user_authentication<K>(
        acr_values: impl OneOrMany<str, K>,
        max_age: Option<Duration>,
    ) -> Self {
        Self::new(Kind::Authentication, Requirements::login(acr_values, max_age))
    }

    /// Rejects the request with 503: the policy cannot be evaluated at the moment, for example
    /// because a database is unavailable.
    pub fn unavailable() -> Self {
        Self::new(Kind::Unavailable, Requirements::none())
    }

    /// Rejects the request with 500: the policy does not fit the route, for example because it
    /// reads a path parameter that the route does not have.
    ///
    /// The [observer](crate::observe) is told, which by default logs an error.
    pub fn misconfigured() -> Self {
        Self::new(Kind::Misconfigured, Requirements::none())
    }

    /// Rejects the request with 403: what the policy checks is missing, so it cannot decide.
    ///
    /// Unlike [`forbidden`](Self::forbidden), [`Policy::not`](super::Policy::not) does not turn
    /// it into permission.
    ///
    /// ```
    /// use tower_auth::{Denial, policy_fn};
    ///
    /// let named_in_query = policy_fn("named in the query", |caller, head| {
    ///     let query = head.uri.query().ok_or_else(Denial::indeterminate)?;
    ///     if query == caller.subject() { Ok(()) } else { Err(Denial::forbidden()) }
    /// });
    /// ```
    pub fn indeterminate() -> Self {
        let mut denial = Self::forbidden();
        denial.0.indeterminate = true;
        denial
    }

    /// Adds the reason, for the operator only.
    ///
    /// The built-in responders do not send it to the caller, but it may be logged. It must not
    /// contain secrets.
    pub fn because(mut self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.reason = Some(Arc::from(reason.into()));
        self
    }

    /// Returns the kind of the rejection, for a caller with a token or a session.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        match self.0.kind {
            Kind::Scope => RejectionKind::InsufficientScope,
            Kind::Authentication => RejectionKind::InsufficientAuthentication,
            Kind::Unavailable => RejectionKind::Unavailable,
            Kind::Misconfigured => RejectionKind::Misconfigured,
            Kind::Forbidden => RejectionKind::Forbidden,
        }
    }

    /// Returns the scopes that the rejection names as required.
    ///
    /// Returns none if another scope or login would not help the caller.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.requirements.scopes.iter().map(|scope| &**scope)
    }

    fn new(kind: Kind, requirements: Requirements) -> Self {
        let indeterminate = matches!(kind, Kind::Unavailable | Kind::Misconfigured);
        Self(Box::new(DenialData { kind, indeterminate, requirements, reason: None }))
    }

    /// Returns a plain 403 if the request is not allowed.
    pub(crate) fn forbidden_unless(allowed: bool) -> Result<(), Self> {
        if allowed { Ok(()) } else { Err(Self::forbidden()) }
    }

    /// Returns whether the policy could not decide.
    ///
    /// This is the truth value of the denial, which does not follow from its kind: a policy that
    /// is denied for a scope, in [`and`](Self::and) with one that is unavailable, is denied, and
    /// yet its rejection is a 503.
    #[inline]
    pub(crate) fn is_indeterminate(&self) -> bool {
        self.0.indeterminate
    }

    /// Returns whether no other denial can change this one in [`and`](Self::and).
    pub(crate) fn is_final(&self) -> bool {
        self.0.kind == Kind::Forbidden && !self.0.indeterminate
    }

    fn is_fault(&self) -> bool {
        matches!(self.0.kind, Kind::Unavailable | Kind::Misconfigured)
    }

    /// Adds the requirements of other policies, so that the client can obtain everything at once.
    ///
    /// Does nothing if another scope or login would not help the caller.
    pub(crate) fn with_requirements(mut self, others: Requirements) -> Self {
        if self.0.kind <= Kind::Authentication {
            self.0.requirements = self.0.requirements.and(others);
        }
        self
    }

    /// Combines the denials of two policies that must both allow the request.
    ///
    /// The denial with the later [`Kind`] is rendered, because it is harder to fix. The result is
    /// indeterminate only if both are.
    pub(crate) fn and(self, other: Self) -> Self {
        let indeterminate = self.0.indeterminate && other.0.indeterminate;
        let (mut later, earlier) =
            if self.0.kind >= other.0.kind { (self, other) } else { (other, self) };
        later.0.indeterminate = indeterminate;
        later.with_requirements(earlier.0.requirements)
    }

    /// Combines the denials of two policies of which one must allow the request.
    ///
    /// A fault or an outage is rendered, because that policy might allow the request later.
    /// Otherwise, it is the denial with the earlier [`Kind`], because it is easier to fix. The
    /// result is indeterminate if one of them is.
    pub(crate) fn or(self, other: Self) -> Self {
        let indeterminate = self.0.indeterminate || other.0.indeterminate;
        let fault = self.is_fault() || other.is_fault();
        let same = self.0.kind == other.0.kind;
        let (mut earlier, later) =
            if self.0.kind <= other.0.kind { (self, other) } else { (other, self) };
        if fault && !earlier.is_fault() {
            earlier = later;
        } else if same {
            earlier.0.requirements = earlier.0.requirements.or(later.0.requirements);
        }
        earlier.0.indeterminate = indeterminate;
        earlier
    }

    /// Converts the denial into a rejection.
    ///
    /// For callers of the schemes Bearer and DPoP, a denial that asks for scopes or a login becomes
    /// a challenge (RFC 6750 §3.1, RFC 9470 §3). A login also helps callers with a session, who get
    /// the same error in the challenge of their cookie. Other schemes define no challenge for
    /// missing permissions, and a 403 does not need one.
    pub(crate) fn into_rejection(self, scheme: Scheme, challenge: Option<&Challenge>) -> Rejection {
        let (has_errors, is_session) = (scheme.has_oauth_errors(), scheme == Scheme::COOKIE);
        let (kind, error) = match self.kind() {
            kind @ RejectionKind::InsufficientScope => {
                (kind, has_errors.then_some("insufficient_scope"))
            }
            kind @ RejectionKind::InsufficientAuthentication if has_errors || is_session => {
                (kind, Some("insufficient_user_authentication"))
            }
            RejectionKind::InsufficientAuthentication => (RejectionKind::Forbidden, None),
            kind => (kind, None),
        };
        let mut rejection = Rejection::new(kind);
        if let Some(error) = error {
            rejection = rejection.with_challenge(self.challenge(scheme, challenge, error));
        }
        rejection.with_source(self)
    }

    /// Returns the `acr_values` and the `max_age`, in seconds, that a new login needs.
    #[cfg(feature = "session")]
    pub(crate) fn required_login(&self) -> (String, Option<u64>) {
        let Requirements { acr_values, max_age, .. } = &self.0.requirements;
        (join_tokens(acr_values), max_age.map(|age| age.as_secs()))
    }

    /// Converts a denial that a handler returned into a rejection.
    ///
    /// An anonymous caller gets 401, as from a policy. A fault or an outage stays what it is.
    fn for_caller(self, caller: &Caller) -> Rejection {
        match caller {
            Caller::Authenticated { scheme, challenge } => {
                self.into_rejection(*scheme, challenge.as_ref())
            }
            Caller::Anonymous(challenges) if !self.is_fault() => {
                let rejection = Rejection::new(RejectionKind::MissingCredentials);
                rejection.with_scheme_challenges(challenges).with_source(self)
            }
            Caller::Anonymous(_) => Rejection::new(self.kind()).with_source(self),
        }
    }

    fn challenge(&self, scheme: Scheme, base: Option<&Challenge>, error: &str) -> Challenge {
        let Requirements { scopes, acr_values, max_age } = &self.0.requirements;
        let max_age = max_age.map_or(String::new(), |age| age.as_secs().to_string());
        // A login at a provider does not change the scopes of a session.
        let has_scopes = scheme.has_oauth_errors();
        let scopes = if has_scopes { join_tokens(scopes) } else { String::new() };
        base.cloned().unwrap_or_else(|| Challenge::new(scheme)).with_params([
            ("error", error),
            ("error_description", ""),
            ("scope", &scopes),
            ("acr_values", &join_tokens(acr_values)),
            ("max_age", &max_age),
        ])
    }
}

/// Joins the items with spaces.
///
/// Returns an empty string if an item contains a character that the parameter does not allow, which
/// can happen if a scope is made from the request. An incomplete list would mislead the client.
fn join_tokens(items: &[Box<str>]) -> String {
    let items: Vec<_> = items.iter().map(|item| &**item).filter(|item| !item.is_empty()).collect();
    if items.iter().all(|item| is_scope_token(item)) { items.join(" ") } else { String::new() }
}

/// For a handler that denies access. With the feature `axum`, a handler can also return
/// `Err(denial)`.
///
/// It becomes the same response as the denial of a policy: the enclosing layer adds the challenge,
/// and anonymous callers get 401. Without a responder, it is an HTTP status, also for a gRPC
/// request.
impl<B: Default> From<Denial> for Response<B> {
    fn from(denial: Denial) -> Self {
        let known = Rejection::new(denial.kind()).with_source(denial.clone());
        HandlerRejection::response(known, move |caller| denial.clone().for_caller(caller))
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requirements { scopes, acr_values, max_age } = &self.0.requirements;
        match self.0.kind {
            Kind::Scope => write!(f, "the route requires the scopes {scopes:?}"),
            Kind::Authentication => {
                f.write_str("the route requires another login")?;
                if !acr_values.is_empty() {
                    write!(f, ", with one of the acr values {acr_values:?}")?;
                }
                max_age.map_or(Ok(()), |age| write!(f, ", at most {} s ago", age.as_secs()))
            }
            Kind::Forbidden => f.write_str("the policy does not allow the request"),
            Kind::Unavailable => f.write_str("the policy cannot be evaluated at the moment"),
            Kind::Misconfigured => f.write_str("the policy does not fit the route"),
        }
    }
}

impl Error for Denial {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.reason.as_deref().map(|reason| reason as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Principal;

    fn rejection(challenge: Option<Challenge>, denial: Denial) -> (RejectionKind, Vec<String>) {
        let mut principal = Principal::builder("alice", Scheme::BEARER);
        if let Some(challenge) = challenge {
            principal = principal.challenge(challenge);
        }
        let principal = principal.build();
        let rejection = denial.into_rejection(principal.scheme(), principal.challenge());
        let challenges = rejection.challenges().map(|one| one.to_header_value());
        let challenges = challenges.map(|one| one.to_str().unwrap().to_owned()).collect();
        (rejection.kind(), challenges)
    }

    fn scopes(scopes: &[&str]) -> Denial {
        Denial::insufficient_scope(scopes.iter().copied())
    }

    fn login(acr_values: &[&str], max_age: Option<u64>) -> Denial {
        let max_age = max_age.map(Duration::from_secs);
        Denial::insufficient_user_authentication(acr_values.iter().copied(), max_age)
    }

    #[test]
    fn caller_with_a_session_is_asked_to_log_in_again() {
        let base = Challenge::new(Scheme::COOKIE);
        let base = base.with_param("cookie-name", "__Host-session").unwrap();
        let denial = login(&["gold"], Some(60)).and(scopes(&["a"]));
        let rejection = denial.into_rejection(Scheme::COOKIE, Some(&base));
        assert_eq!(rejection.kind(), RejectionKind::InsufficientAuthentication);
        let challenges: Vec<_> =
            rejection.challenges().map(|challenge| challenge.to_header_value()).collect();
        assert_eq!(
            challenges,
            ["Cookie cookie-name=\"__Host-session\", error=\"insufficient_user_authentication\", \
              acr_values=\"gold\", max_age=\"60\""]
        );
        let rejection = login(&[], None).into_rejection(Scheme::COOKIE, None);
        assert_eq!(rejection.challenges().count(), 1);
        // Scopes are not obtained by a login.
        let rejection = scopes(&["a"]).into_rejection(Scheme::COOKIE, Some(&base));
        assert_eq!(rejection.kind(), RejectionKind::InsufficientScope);
        assert_eq!(rejection.challenges().count(), 0);
    }

    #[test]
    fn invalid_scopes_are_left_out_of_the_challenge() {
        let kind = RejectionKind::InsufficientScope;
        let plain = r#"Bearer error="insufficient_scope""#;
        let expected = |challenge: &str| (kind, vec![challenge.to_owned()]);
        assert_eq!(
            rejection(None, scopes(&["a", "b"])),
            expected(&format!(r#"{plain}, scope="a b""#))
        );
        assert_eq!(
            rejection(None, scopes(&["", "b"])),
            expected(&format!(r#"{plain}, scope="b""#))
        );
        // A policy may make such scopes from the path of the request.
        for scope in ["file:/a\"b", "file:/é", "a b", ""] {
            assert_eq!(rejection(None, scopes(&[scope])), expected(plain));
        }
        assert_eq!(rejection(None, scopes(&["file:/a\"b", "c"])), expected(plain));
        assert_eq!(rejection(None, scopes(&[])), expected(plain));
        // The 403 keeps the realm of the 401 challenge, but not its scope or error description.
        let mut challenge = Challenge::new(Scheme::BEARER);
        for (name, value) in [("scope", "x"), ("realm", "y"), ("error_description", "z")] {
            challenge = challenge.with_param(name, value).unwrap();
        }
        assert_eq!(
            rejection(Some(challenge), scopes(&["a"])),
            expected(r#"Bearer realm="y", error="insufficient_scope", scope="a""#)
        );
    }

    #[test]
    fn invalid_acr_values_are_left_out_of_the_challenge() {
        let kind = RejectionKind::InsufficientAuthentication;
        let plain = r#"Bearer error="insufficient_user_authentication""#;
        let denial = login(&["a b", "c"], Some(60));
        let challenge = Challenge::new(Scheme::BEARER).with_param("max_age", "1").unwrap();
        assert_eq!(
            rejection(Some(challenge), denial),
            (kind, vec![format!(r#"{plain}, max_age="60""#)])
        );
        let rejection = login(&["a"], None).into_rejection(Scheme::BASIC, None);
        assert_eq!(
            (rejection.kind(), rejection.challenges().count()),
            (RejectionKind::Forbidden, 0)
        );
    }

    #[test]
    fn combined_denials_merge_their_requirements() {
        let error = r#"Bearer error="insufficient_user_authentication""#;
        let silver = login(&["gold", "silver"], None);
        let denial =
            silver.and(scopes(&["a"])).and(login(&["gold"], Some(60))).and(login(&[], Some(5)));
        assert_eq!(
            rejection(None, denial),
            (
                RejectionKind::InsufficientAuthentication,
                vec![format!(r#"{error}, scope="a", acr_values="gold", max_age="5""#)]
            )
        );
        let both = scopes(&["a", "b"]).and(scopes(&["b", "c"]));
        assert_eq!(both.scopes().collect::<Vec<_>>(), ["a", "b", "c"]);
        let either = login(&["a"], Some(5)).or(login(&["b"], Some(60)));
        assert_eq!(
            rejection(None, either).1,
            [format!(r#"{error}, acr_values="a b", max_age="60""#)]
        );
    }

    #[test]
    fn combined_kind_does_not_depend_on_the_order() {
        let (scope, login) = (|| scopes(&["a"]), || login(&[], None));
        for (first, second, both, either) in [
            (scope(), login(), Kind::Authentication, Kind::Scope),
            (scope(), Denial::forbidden(), Kind::Forbidden, Kind::Scope),
            (login(), Denial::forbidden(), Kind::Forbidden, Kind::Authentication),
            (scope(), Denial::unavailable(), Kind::Unavailable, Kind::Unavailable),
            (Denial::forbidden(), Denial::unavailable(), Kind::Forbidden, Kind::Unavailable),
            (Denial::forbidden(), Denial::misconfigured(), Kind::Forbidden, Kind::Misconfigured),
            (
                Denial::unavailable(),
                Denial::misconfigured(),
                Kind::Misconfigured,
                Kind::Unavailable,
            ),
        ] {
            for (first, second) in [(first.clone(), second.clone()), (second, first)] {
                assert_eq!(first.clone().and(second.clone()).0.kind, both);
                assert_eq!(first.or(second).0.kind, either);
            }
        }
    }

    #[test]
    fn truth_value_does_not_depend_on_the_kind() {
        let definite = [Denial::forbidden(), scopes(&["a"]), login(&[], None)];
        let indeterminate =
            [Denial::indeterminate(), Denial::unavailable(), Denial::misconfigured()];
        assert!(!definite.iter().any(Denial::is_indeterminate));
        assert!(indeterminate.iter().all(Denial::is_indeterminate));
        for definite in &definite {
            for indeterminate in &indeterminate {
                let (first, second) = (|| definite.clone(), || indeterminate.clone());
                assert!(!first().and(second()).is_indeterminate());
                assert!(!second().and(first()).is_indeterminate());
                assert!(first().or(second()).is_indeterminate());
                assert!(second().or(first()).is_indeterminate());
                assert!(second().and(second()).is_indeterminate());
            }
        }
    }
}
