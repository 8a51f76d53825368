use std::{error::Error, fmt, mem, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};

use super::RejectionKind;
use crate::header::{Challenge, Challenges, Scheme};

/// The reason why a request is rejected. A [responder](crate::respond::Respond) turns it into a
/// response.
///
/// The caller sees the kind and the challenges. The reason is for the operator: it is available
/// from [`Error::source`], and outer layers find the rejection in the extensions of the response.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::{Rejection, RejectionKind};
///
/// let rejection = Rejection::new(RejectionKind::Unavailable)
///     .with_retry_after(Duration::from_secs(2))
///     .because("the user store does not answer");
/// assert_eq!(rejection.kind().status(), 503);
/// ```
#[derive(Clone)]
pub struct Rejection {
    kind: RejectionKind,
    challenges: Option<Challenges>,
    retry_after: Option<Duration>,
    reason: Option<Arc<dyn Error + Send + Sync>>,
    rendering: Rendering,
    /// The scheme of the credentials that were rejected, for events.
    scheme: KnownScheme,
    /// Whether an observer has received it.
    is_observed: bool,
    /// Whether the challenges of the authenticator are not added.
    has_all_challenges: bool,
}

/// A scheme in one byte: all admitted requests would pay for a longer rejection, because it is
/// moved together with the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(any(feature = "basic", feature = "jwt", feature = "session")), allow(dead_code))]
enum KnownScheme {
    Basic,
    Bearer,
    Cookie,
    Dpop,
    Certificate,
    /// Another one, which the challenge of the rejection names, or none.
    Other,
}

impl KnownScheme {
    #[cfg(any(feature = "basic", feature = "jwt", feature = "session"))]
    fn of(scheme: Scheme) -> Self {
        let known = [Self::Basic, Self::Bearer, Self::Cookie, Self::Dpop, Self::Certificate];
        let schemes =
            [Scheme::BASIC, Scheme::BEARER, Scheme::COOKIE, Scheme::DPOP, Scheme::CERTIFICATE];
        let found = known.into_iter().zip(schemes).find(|(_, known)| *known == scheme);
        found.map_or(Self::Other, |(known, _)| known)
    }
}

/// How the response that carries a rejection was rendered.
#[derive(Clone, Default)]
pub(crate) enum Rendering {
    /// By a responder that was set.
    #[default]
    Final,
    /// By `Inherit`. An outer layer with a responder renders the rejection again, for the request
    /// with this head, if it is known.
    Inherited(Option<Arc<Parts>>),
}

impl Rejection {
    /// The default `Retry-After` of 429 and 503.
    const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

    /// Creates a rejection.
    ///
    /// If the kind requires challenges, the layer adds those of the authenticator.
    #[must_use]
    pub fn new(kind: RejectionKind) -> Self {
        let has_retry_after =
            matches!(kind, RejectionKind::TooManyRequests | RejectionKind::Unavailable);
        let retry_after = has_retry_after.then_some(Self::DEFAULT_RETRY_AFTER);
        Self {
            kind,
            challenges: None,
            retry_after,
            reason: None,
            rendering: Rendering::Final,
            scheme: KnownScheme::Other,
            is_observed: false,
            has_all_challenges: false,
        }
    }

    /// Adds a challenge with details that the authenticator's challenge lacks, such as an `error`.
    ///
    /// It replaces the authenticator's challenge of the same scheme. Adding an equal challenge
    /// twice has no effect.
    #[must_use]
    pub fn with_challenge(mut self, challenge: Challenge) -> Self {
        self.challenges = Some(match self.challenges {
            Some(challenges) => challenges.and(challenge),
            None => challenge.into(),
        });
        self
    }

    /// Sets the only challenge of the response. The authenticator adds none.
    #[cfg(feature = "dpop")]
    pub(crate) fn with_only_challenge(self, challenge: Challenge) -> Self {
        Self { challenges: Some(challenge.into()), has_all_challenges: true, ..self }
    }

    /// Replaces the challenges.
    #[cfg(feature = "jwt")]
    pub(crate) fn with_challenges(self, challenges: Challenges) -> Self {
        Self { challenges: Some(challenges), ..self }
    }

    /// Removes the challenges, so that the authenticator adds its own.
    #[cfg(feature = "jwks")]
    pub(crate) fn without_challenges(self) -> Self {
        Self { challenges: None, ..self }
    }

    /// Sets the `Retry-After` of the response, in whole seconds, rounded up.
    ///
    /// The default is 5 s for 429 and 503, and none for other kinds.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets the reason, which is the [`Error::source`] of this rejection.
    ///
    /// # Security
    ///
    /// The caller does not see the reason, but it may be logged. It must not contain a secret.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.reason = Some(Arc::from(reason.into()));
        self
    }

    /// Like [`because`](Self::because), without the intermediate box.
    pub(crate) fn with_source(mut self, reason: impl Error + Send + Sync + 'static) -> Self {
        self.reason = Some(Arc::new(reason));
        self
    }

    /// Returns the kind of the rejection.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// Returns how long the caller should wait before it retries, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the challenges of the response.
    pub fn challenges(&self) -> impl Iterator<Item = &Challenge> {
        self.challenges.iter().flat_map(Challenges::iter)
    }

    /// Sets the scheme of the credentials, unless an authenticator inside has set it.
    #[cfg(any(feature = "basic", feature = "jwt", feature = "session"))]
    pub(crate) fn of_scheme(mut self, scheme: Scheme) -> Self {
        if self.scheme == KnownScheme::Other {
            self.scheme = KnownScheme::of(scheme);
        }
        self
    }

    /// Returns the scheme of the credentials that were rejected, if it is known.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        match self.scheme {
            KnownScheme::Basic => Some(Scheme::BASIC),
            KnownScheme::Bearer => Some(Scheme::BEARER),
            KnownScheme::Cookie => Some(Scheme::COOKIE),
            KnownScheme::Dpop => Some(Scheme::DPOP),
            KnownScheme::Certificate => Some(Scheme::CERTIFICATE),
            KnownScheme::Other => None,
        }
    }

    /// Marks the rejection as observed, so that it is not observed again if a handler returns it.
    #[cfg(feature = "basic")]
    pub(crate) fn observed(self) -> Self {
        Self { is_observed: true, ..self }
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.is_observed
    }

    #[inline]
    pub(crate) fn set_rendering(&mut self, rendering: Rendering) {
        self.rendering = rendering;
    }

    /// Returns how the response was rendered, and sets it to final.
    pub(crate) fn take_rendering(&mut self) -> Rendering {
        mem::take(&mut self.rendering)
    }

    /// Adds `WWW-Authenticate`, with one header line for each challenge, and `Retry-After`.
    ///
    /// A header that is already present is kept. The layers call this for the response of every
    /// responder.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(WWW_AUTHENTICATE) {
            for challenge in self.challenges() {
                headers.append(WWW_AUTHENTICATE, challenge.to_header_value());
            }
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            headers.entry(RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
        }
    }

    /// Adds the challenges of the authenticator if the kind requires challenges.
    ///
    /// Their order is kept. A challenge of this rejection replaces the one of the same scheme.
    pub(crate) fn with_scheme_challenges(mut self, challenges: &Challenges) -> Self {
        let needs_challenges = matches!(
            self.kind,
            RejectionKind::MissingCredentials
                | RejectionKind::InvalidCredentials
                | RejectionKind::MalformedRequest
                | RejectionKind::InsufficientAuthentication
        );
        if !needs_challenges || self.has_all_challenges {
            return self;
        }
        // The common cases share the prepared challenges, without an allocation.
        let own: Vec<_> = match &self.challenges {
            None if self.kind != RejectionKind::MalformedRequest => {
                self.challenges = Some(challenges.clone());
                return self;
            }
            Some(own) if own.covers_schemes_of(challenges) => return self,
            own => own.iter().flat_map(Challenges::iter).cloned().collect(),
        };
        self.challenges = Some(merge_challenges(self.kind, own, challenges));
        self
    }
}

/// Returns the challenges of `schemes`, followed by the rest of `own`.
///
/// A challenge in `own` takes the position of the challenge of the same scheme.
fn merge_challenges(
    kind: RejectionKind,
    mut own: Vec<Challenge>,
    schemes: &Challenges,
) -> Challenges {
    for (index, challenge) in schemes.iter().enumerate() {
        let has_same_scheme = |own: &Challenge| own.scheme() == challenge.scheme();
        let found = own.iter().skip(index).position(has_same_scheme);
        let found = found.map(|offset| own.remove(index + offset));
        own.insert(index, found.unwrap_or_else(|| kind.add_error(challenge)));
    }
    Challenges::from_vec(own)
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.kind)
            .field("challenges", &self.challenges)
            .field("retry_after", &self.retry_after)
            .field("reason", &self.reason)
            .finish()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.message())
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.as_deref().map(|reason| reason as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Scheme;

    #[test]
    fn challenge_with_error_replaces_plain_challenge_of_same_scheme() {
        let plain = Challenge::new(Scheme::BEARER).with_param("realm", "api").unwrap();
        let with_error = plain.with_param("error", "invalid_token").unwrap();
        let schemes = Challenges::from(plain).and(Challenge::basic("staff").unwrap());

        let rejection =
            Rejection::new(RejectionKind::InvalidCredentials).with_challenge(with_error);
        let mut headers = HeaderMap::new();
        rejection.with_scheme_challenges(&schemes).write_headers(&mut headers);

        let lines: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(
            lines,
            [
                r#"Bearer realm="api", error="invalid_token""#,
                r#"Basic realm="staff", charset="UTF-8""#,
            ]
        );
    }

    #[test]
    fn malformed_request_adds_error_to_bearer_challenge_only() {
        let plain = Challenges::from(Challenge::new(Scheme::BEARER));
        let schemes = plain.clone().and(Challenge::basic("staff").unwrap()).and(plain);
        let mut headers = HeaderMap::new();
        Rejection::new(RejectionKind::MalformedRequest)
            .with_scheme_challenges(&schemes)
            .write_headers(&mut headers);
        let lines: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        let basic = r#"Basic realm="staff", charset="UTF-8""#;
        assert_eq!(lines, [r#"Bearer error="invalid_request""#, basic]);
    }

    #[test]
    fn longest_retry_after_is_written_in_full() {
        let rejection =
            Rejection::new(RejectionKind::TooManyRequests).with_retry_after(Duration::MAX);
        let mut headers = HeaderMap::new();
        rejection.write_headers(&mut headers);
        assert_eq!(headers.get(RETRY_AFTER).unwrap(), &u64::MAX.to_string());
    }

    #[test]
    fn unavailable_has_retry_after_and_no_challenge() {
        let schemes = Challenges::from(Challenge::new(Scheme::BEARER));
        let rejection = Rejection::new(RejectionKind::Unavailable)
            .with_retry_after(Duration::from_millis(1_200))
            .with_scheme_challenges(&schemes);
        let mut headers = HeaderMap::new();
        rejection.write_headers(&mut headers);
        assert_eq!(headers.get(RETRY_AFTER).unwrap(), "2");
        assert!(!headers.contains_key(WWW_AUTHENTICATE));
    }
}
