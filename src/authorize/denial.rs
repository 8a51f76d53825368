use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::{Challenge, Principal, Rejection, RejectionKind, Scheme};

/// A policy's refusal.
#[derive(Clone, Debug)]
pub struct Denial(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    scopes: Vec<Box<str>>,
    acr_values: Vec<Box<str>>,
    max_age: Option<Duration>,
    reason: Option<Arc<dyn Error + Send + Sync>>,
}

/// From what the caller can mend most easily to what it cannot mend at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Scope,
    Authentication,
    Forbidden,
    Unavailable,
    Misconfigured,
}

impl Denial {
    /// The caller may not do this: 403.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::of(Kind::Forbidden)
    }

    /// The caller needs these scopes, all of which are named, whether it holds some of them or not, so
    /// that a client can ask for them at once (RFC 6750 §3.1): 403.
    pub fn insufficient_scope<I>(required: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let mut denial = Self::of(Kind::Scope);
        denial.0.scopes = required.into_iter().map(Into::into).collect();
        denial
    }

    /// The caller has to log in again, in one of these ways (`acr`), or not longer ago than this, or both
    /// (RFC 9470 §3): 401. A caller whose scheme is not Bearer cannot, and gets a 403.
    pub fn insufficient_user_authentication<I>(acr_values: I, max_age: Option<Duration>) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let mut denial = Self::of(Kind::Authentication);
        denial.0.acr_values = acr_values.into_iter().map(Into::into).collect();
        denial.0.max_age = max_age;
        denial
    }

    /// Nobody can tell at the moment whether the caller may do this, as when a database is away: 503.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::of(Kind::Unavailable)
    }

    /// The policy does not fit where it is, such as one that reads a path parameter which the route does
    /// not have: 500, and an error in the log.
    #[must_use]
    pub fn misconfigured() -> Self {
        Self::of(Kind::Misconfigured)
    }

    /// Says why, to the operator alone. Put no secret in it: it may be logged.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.reason = Some(Arc::from(reason.into()));
        self
    }

    /// The scopes that would do, where it is for want of those.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(|scope| &**scope)
    }

    fn of(kind: Kind) -> Self {
        let (scopes, acr_values) = (Vec::new(), Vec::new());
        Self(Box::new(Inner { kind, scopes, acr_values, max_age: None, reason: None }))
    }

    /// Whether another token or another login could mend it.
    pub(super) fn can_be_mended(&self) -> bool {
        self.0.kind <= Kind::Authentication
    }

    /// Whether it says that nothing could be decided.
    pub(super) fn is_fault(&self) -> bool {
        self.0.kind >= Kind::Unavailable
    }

    /// Names what else the policy asks for, so that the caller can get it all at once.
    pub(super) fn asking_for(mut self, scopes: Vec<&str>) -> Self {
        if self.can_be_mended() {
            for scope in scopes {
                if !self.0.scopes.iter().any(|known| **known == *scope) {
                    self.0.scopes.push(scope.into());
                }
            }
        }
        self
    }

    /// What two policies say that have both to be content: the graver, with what both ask for.
    pub(super) fn and(self, other: Self) -> Self {
        let (mut graver, lighter) =
            if self.0.kind >= other.0.kind { (self, other) } else { (other, self) };
        if graver.0.acr_values.is_empty() {
            graver.0.acr_values = lighter.0.acr_values;
        }
        graver.0.max_age = match (graver.0.max_age, lighter.0.max_age) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let scopes = lighter.0.scopes;
        graver.asking_for(scopes.iter().map(|scope| &**scope).collect())
    }

    /// What two policies say of which one has to be content: what can be mended more easily, unless
    /// one of them could not decide.
    pub(super) fn or(self, other: Self) -> Self {
        let both_scopes = self.0.kind == Kind::Scope && other.0.kind == Kind::Scope;
        if both_scopes || self.is_fault() || other.is_fault() {
            return self.and(other);
        }
        if self.0.kind <= other.0.kind { self } else { other }
    }

    /// For callers whose scheme is Bearer, the challenge says what RFC 6750 §3.1 and RFC 9470 §3 say; other
    /// schemes have no word for a lack of authority, and a 403 does not need one.
    pub(super) fn into_rejection(self, principal: &Principal) -> Rejection {
        let bearer = principal.scheme() == Scheme::BEARER;
        let (kind, error) = match self.0.kind {
            Kind::Scope => (RejectionKind::InsufficientScope, "insufficient_scope"),
            Kind::Authentication if bearer => {
                (RejectionKind::InsufficientAuthentication, "insufficient_user_authentication")
            }
            Kind::Authentication | Kind::Forbidden => (RejectionKind::Forbidden, ""),
            Kind::Unavailable => (RejectionKind::Unavailable, ""),
            Kind::Misconfigured => (RejectionKind::Misconfigured, ""),
        };
        let mut rejection = Rejection::new(kind);
        if bearer && !error.is_empty() {
            rejection = rejection.with_challenge(self.challenge(principal, error));
        }
        rejection.because(self)
    }

    /// What cannot be written, as a scope that was made of the request may be, is left out.
    fn challenge(&self, principal: &Principal, error: &str) -> Challenge {
        let Inner { scopes, acr_values, max_age, .. } = &*self.0;
        let base = principal.challenge().map(|base| base.without(&["error", "scope"]));
        let mut challenge = base.unwrap_or_else(|| Challenge::new(Scheme::BEARER));
        let max_age = max_age.map_or(String::new(), |age| age.as_secs().to_string());
        for (name, value) in [
            ("error", error),
            ("scope", &scopes.join(" ")),
            ("acr_values", &acr_values.join(" ")),
            ("max_age", &max_age),
        ] {
            if !value.is_empty() {
                challenge = challenge.with_param(name, value).unwrap_or(challenge);
            }
        }
        challenge
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, scopes, acr_values, max_age, reason } = &*self.0;
        match kind {
            Kind::Scope => write!(f, "the route asks for the scopes {scopes:?}")?,
            Kind::Authentication => {
                f.write_str("the route asks for another login")?;
                if !acr_values.is_empty() {
                    write!(f, ", by one of {acr_values:?}")?;
                }
                if let Some(age) = max_age {
                    write!(f, ", at most {} s ago", age.as_secs())?;
                }
            }
            Kind::Forbidden => f.write_str("the policy does not allow it")?,
            Kind::Unavailable => f.write_str("the policy cannot be decided at the moment")?,
            Kind::Misconfigured => f.write_str("the policy does not fit where it is")?,
        }
        reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
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

    fn refused(challenge: Option<Challenge>, denial: Denial) -> (RejectionKind, Vec<String>) {
        let mut principal = Principal::builder("alice", Scheme::BEARER);
        if let Some(challenge) = challenge {
            principal = principal.challenge(challenge);
        }
        let rejection = denial.into_rejection(&principal.build());
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
    fn a_refusal_stays_one_whatever_its_scopes_are() {
        let kind = RejectionKind::InsufficientScope;
        let plain = r#"Bearer error="insufficient_scope""#;
        let said = |said: &str| (kind, vec![said.to_owned()]);
        assert_eq!(refused(None, scopes(&["a", "b"])), said(&format!(r#"{plain}, scope="a b""#)));
        // As a policy may make them of the request's path.
        assert_eq!(refused(None, scopes(&["file:/a\"b"])), said(plain));
        assert_eq!(refused(None, scopes(&["file:/é"])), said(plain));
        assert_eq!(refused(None, scopes(&[])), said(plain));
        // What the 401 says is not what the 403 says.
        let asked = Challenge::new(Scheme::BEARER).with_param("scope", "x").unwrap();
        let asked = asked.with_param("realm", "y").unwrap();
        assert_eq!(
            refused(Some(asked), scopes(&["a"])),
            said(r#"Bearer realm="y", error="insufficient_scope", scope="a""#)
        );
    }

    #[test]
    fn two_refusals_say_it_all_at_once() {
        let error = r#"Bearer error="insufficient_user_authentication""#;
        assert_eq!(
            refused(None, login(&["gold"], Some(60)).and(scopes(&["a"])).and(login(&[], Some(5)))),
            (
                RejectionKind::InsufficientAuthentication,
                vec![format!(r#"{error}, scope="a", acr_values="gold", max_age="5""#)]
            )
        );
        let both = scopes(&["a", "b"]).and(scopes(&["b", "c"]));
        assert_eq!(both.scopes().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn what_cannot_be_mended_outweighs_what_can() {
        let kind = |denial: Denial| denial.0.kind;
        assert_eq!(kind(scopes(&["a"]).and(Denial::forbidden())), Kind::Forbidden);
        assert_eq!(kind(scopes(&["a"]).or(Denial::forbidden())), Kind::Scope);
        assert_eq!(kind(Denial::forbidden().or(login(&[], None))), Kind::Authentication);
        assert_eq!(kind(Denial::unavailable().or(scopes(&["a"]))), Kind::Unavailable);
        assert_eq!(kind(Denial::misconfigured().and(Denial::unavailable())), Kind::Misconfigured);
    }
}
