use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::requirements::Requirements;
use crate::{
    header::{Challenge, Scheme, grammar::is_scope_token},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// A policy's refusal.
#[derive(Clone, Debug)]
#[must_use]
pub struct Denial(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    /// Nobody knows whether the policy would let the caller through, so that `not` must not.
    undecided: bool,
    requirements: Requirements,
    reason: Option<Arc<dyn Error + Send + Sync>>,
}

/// Where two policies have both to be content, the later kind says more: what can be mended, what cannot be
/// decided, and what stands whatever the other says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Scope,
    Authentication,
    Unavailable,
    Misconfigured,
    Forbidden,
}

impl Denial {
    /// The caller may not do this: 403.
    pub fn forbidden() -> Self {
        Self::of(Kind::Forbidden, Requirements::none())
    }

    /// The caller needs these scopes, all of which are named, whether it holds some of them or not, so
    /// that a client can ask for them at once (RFC 6750 §3.1): 403.
    pub fn insufficient_scope<I>(required: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::of(Kind::Scope, Requirements::scopes(required))
    }

    /// The caller has to log in again, in one of these ways (`acr`), or not longer ago than this, or both
    /// (RFC 9470 §3): 401. A caller whose scheme is not Bearer cannot, and gets a 403.
    pub fn insufficient_user_authentication<I>(acr_values: I, max_age: Option<Duration>) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::of(Kind::Authentication, Requirements::login(acr_values, max_age))
    }

    /// Nobody can tell at the moment whether the caller may do this, as when a database is away: 503.
    pub fn unavailable() -> Self {
        Self::of(Kind::Unavailable, Requirements::none())
    }

    /// The policy does not fit where it is, such as one that reads a path parameter which the route does
    /// not have: 500, and an error in the log.
    pub fn misconfigured() -> Self {
        Self::of(Kind::Misconfigured, Requirements::none())
    }

    /// Says why, to the operator alone. Put no secret in it: it may be logged.
    pub fn because(mut self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.reason = Some(Arc::from(reason.into()));
        self
    }

    /// What kind of refusal it becomes, for a caller with a token.
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

    /// The scopes that would do, where it is for want of those.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.requirements.scopes.iter().map(|scope| &**scope)
    }

    fn of(kind: Kind, requirements: Requirements) -> Self {
        let undecided = matches!(kind, Kind::Unavailable | Kind::Misconfigured);
        Self(Box::new(Inner { kind, undecided, requirements, reason: None }))
    }

    /// A plain 403, where what the policy asks about is not there to be judged.
    pub(crate) fn undecided(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut denial = Self::forbidden().because(reason);
        denial.0.undecided = true;
        denial
    }

    /// A plain 403, unless it is allowed.
    pub(crate) fn unless(allowed: bool) -> Result<(), Self> {
        if allowed { Ok(()) } else { Err(Self::forbidden()) }
    }

    /// Whether the opposite of the policy may let the caller through.
    pub(crate) fn may_be_turned_around(&self) -> bool {
        !self.0.undecided && !self.is_fault()
    }

    /// Whether it stands whatever else is asked.
    pub(crate) fn is_final(&self) -> bool {
        self.0.kind == Kind::Forbidden && !self.0.undecided
    }

    fn is_fault(&self) -> bool {
        matches!(self.0.kind, Kind::Unavailable | Kind::Misconfigured)
    }

    /// Names what else has to be there, so that the caller can get it all at once.
    pub(crate) fn asking_for(mut self, others: Requirements) -> Self {
        if self.0.kind <= Kind::Authentication {
            self.0.requirements = self.0.requirements.and(others);
        }
        self
    }

    /// What two policies say that have both to be content.
    pub(crate) fn and(self, other: Self) -> Self {
        let undecided = self.0.undecided && other.0.undecided;
        let (mut graver, lighter) =
            if self.0.kind >= other.0.kind { (self, other) } else { (other, self) };
        graver.0.undecided = undecided;
        graver.asking_for(lighter.0.requirements)
    }

    /// What two policies say of which one has to be content: what can be mended more easily, unless
    /// one of them could not decide.
    pub(crate) fn or(self, other: Self) -> Self {
        let undecided = self.0.undecided || other.0.undecided;
        let fault = self.is_fault() || other.is_fault();
        let same = self.0.kind == other.0.kind;
        let (mut lighter, graver) =
            if self.0.kind <= other.0.kind { (self, other) } else { (other, self) };
        if fault && !lighter.is_fault() {
            lighter = graver;
        } else if same {
            lighter.0.requirements = lighter.0.requirements.or(graver.0.requirements);
        }
        lighter.0.undecided = undecided;
        lighter
    }

    /// For callers whose scheme is Bearer, the challenge says what RFC 6750 §3.1 and RFC 9470 §3 say; other
    /// schemes have no word for a lack of authority, and a 403 does not need one.
    pub(crate) fn into_rejection(self, principal: &Principal) -> Rejection {
        let bearer = principal.scheme() == Scheme::BEARER;
        let (kind, error) = match self.kind() {
            kind @ RejectionKind::InsufficientScope => (kind, Some("insufficient_scope")),
            kind @ RejectionKind::InsufficientAuthentication if bearer => {
                (kind, Some("insufficient_user_authentication"))
            }
            RejectionKind::InsufficientAuthentication => (RejectionKind::Forbidden, None),
            kind => (kind, None),
        };
        let mut rejection = Rejection::new(kind);
        if let Some(error) = error.filter(|_| bearer) {
            rejection = rejection.with_challenge(self.challenge(principal, error));
        }
        rejection.with_source(self)
    }

    fn challenge(&self, principal: &Principal, error: &str) -> Challenge {
        let Requirements { scopes, acr_values, max_age } = &self.0.requirements;
        let max_age = max_age.map_or(String::new(), |age| age.as_secs().to_string());
        let base = principal.challenge().cloned();
        base.unwrap_or_else(|| Challenge::new(Scheme::BEARER)).with_params([
            ("error", error),
            ("error_description", ""),
            ("error_uri", ""),
            ("scope", &written(scopes)),
            ("acr_values", &written(acr_values)),
            ("max_age", &max_age),
        ])
    }
}

/// A list between spaces. Where one item cannot be written, as a scope that was made of the request may not be, none is: a
/// part of what is needed would not do.
fn written(items: &[Box<str>]) -> String {
    let items: Vec<_> = items.iter().map(|item| &**item).filter(|item| !item.is_empty()).collect();
    if items.iter().all(|item| is_scope_token(item)) { items.join(" ") } else { String::new() }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requirements { scopes, acr_values, max_age } = &self.0.requirements;
        match self.0.kind {
            Kind::Scope => write!(f, "the route asks for the scopes {scopes:?}"),
            Kind::Authentication => {
                f.write_str("the route asks for another login")?;
                if !acr_values.is_empty() {
                    write!(f, ", by one of {acr_values:?}")?;
                }
                max_age.map_or(Ok(()), |age| write!(f, ", at most {} s ago", age.as_secs()))
            }
            Kind::Forbidden => f.write_str("the policy does not allow it"),
            Kind::Unavailable => f.write_str("the policy cannot be decided at the moment"),
            Kind::Misconfigured => f.write_str("the policy does not fit where it is"),
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
        assert_eq!(refused(None, scopes(&["", "b"])), said(&format!(r#"{plain}, scope="b""#)));
        // As a policy may make them of the request's path.
        for odd in ["file:/a\"b", "file:/é", "a b", ""] {
            assert_eq!(refused(None, scopes(&[odd])), said(plain));
        }
        assert_eq!(refused(None, scopes(&["file:/a\"b", "c"])), said(plain));
        assert_eq!(refused(None, scopes(&[])), said(plain));
        // What the 401 says is not what the 403 says.
        let mut asked = Challenge::new(Scheme::BEARER);
        for (name, value) in [("scope", "x"), ("realm", "y"), ("error_description", "z")] {
            asked = asked.with_param(name, value).unwrap();
        }
        assert_eq!(
            refused(Some(asked), scopes(&["a"])),
            said(r#"Bearer realm="y", error="insufficient_scope", scope="a""#)
        );
    }

    #[test]
    fn a_login_is_asked_for_in_what_can_be_written() {
        let kind = RejectionKind::InsufficientAuthentication;
        let plain = r#"Bearer error="insufficient_user_authentication""#;
        let odd = login(&["a b", "c"], Some(60));
        let asked = Challenge::new(Scheme::BEARER).with_param("max_age", "1").unwrap();
        assert_eq!(refused(Some(asked), odd), (kind, vec![format!(r#"{plain}, max_age="60""#)]));
        let basic = Principal::builder("alice", Scheme::BASIC).build();
        let rejection = login(&["a"], None).into_rejection(&basic);
        assert_eq!(
            (rejection.kind(), rejection.challenges().count()),
            (RejectionKind::Forbidden, 0)
        );
    }

    #[test]
    fn two_refusals_say_it_all_at_once() {
        let error = r#"Bearer error="insufficient_user_authentication""#;
        let silver = login(&["gold", "silver"], None);
        let denial =
            silver.and(scopes(&["a"])).and(login(&["gold"], Some(60))).and(login(&[], Some(5)));
        assert_eq!(
            refused(None, denial),
            (
                RejectionKind::InsufficientAuthentication,
                vec![format!(r#"{error}, scope="a", acr_values="gold", max_age="5""#)]
            )
        );
        let both = scopes(&["a", "b"]).and(scopes(&["b", "c"]));
        assert_eq!(both.scopes().collect::<Vec<_>>(), ["a", "b", "c"]);
        let either = login(&["a"], Some(5)).or(login(&["b"], Some(60)));
        assert_eq!(
            refused(None, either).1,
            [format!(r#"{error}, acr_values="a b", max_age="60""#)]
        );
    }

    #[test]
    fn of_two_refusals_the_one_that_says_more_stands_in_whatever_order() {
        let (scope, login) = (|| scopes(&["a"]), || login(&[], None));
        for (one, other, both, either) in [
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
            for (one, other) in [(one.clone(), other.clone()), (other, one)] {
                assert_eq!(one.clone().and(other.clone()).0.kind, both);
                assert_eq!(one.or(other).0.kind, either);
            }
        }
    }

    #[test]
    fn what_was_not_decided_is_not_turned_around() {
        let undecided = || Denial::undecided("there is nothing to judge");
        let turned = |denial: Denial| denial.may_be_turned_around();
        assert!(turned(Denial::forbidden()) && turned(scopes(&["a"])) && turned(login(&[], None)));
        assert!(!turned(undecided()) && !turned(Denial::unavailable()));
        assert!(!turned(Denial::misconfigured()));
        assert!(turned(undecided().and(Denial::forbidden())));
        assert!(!turned(undecided().or(Denial::forbidden())));
        assert!(!turned(undecided().and(undecided())));
    }
}
